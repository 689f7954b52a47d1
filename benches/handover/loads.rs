//! The handles on the processes that make the load, each with a part of the clients.

use std::net::SocketAddr;

use super::common::remote::Remote;
use super::extent::{Past, Plan};
use super::orders::{Heard, Order};

/// All of them.
pub struct Loads(Vec<Remote>);

impl Loads {
    pub fn start(plan: &Plan, server: SocketAddr) -> Self {
        let (count, traffic) = plan.loads();
        let traffic = serde_json::to_string(&traffic).expect("it can be written");
        let server = server.to_string();
        let start = |number: usize| Remote::start(&["--load", &server, &number.to_string(), &traffic]);
        Self((0..count).map(start).collect())
    }

    /// All clients connect, of one process after the other. The first one's hear what is remembered.
    pub fn connect(&mut self, plan: &Plan) {
        let (count, mut past_listeners) = (self.0.len(), plan.past.listeners);
        for (number, load) in self.0.iter_mut().enumerate() {
            let clients = plan.clients / count + usize::from(number < plan.clients % count);
            load.ask::<()>(&Order::Connect { clients, past_listeners });
            past_listeners = 0;
        }
    }

    /// So much is published, and fills the history.
    pub fn remember(&mut self, past: Past) {
        self.0[0].ask::<()>(&Order::Remember(past));
    }

    pub fn begin(&mut self) {
        self.ask_all::<()>(&Order::Begin);
    }

    /// What has become of all the traffic.
    pub fn end(&mut self) -> Heard {
        self.ask_all::<Heard>(&Order::End)
            .into_iter()
            .reduce(|one, other| one.and(&other))
            .expect("there is a load")
    }

    fn ask_all<A: serde::de::DeserializeOwned>(&mut self, order: &Order) -> Vec<A> {
        self.0.iter_mut().for_each(|load| load.tell(order));
        self.0.iter_mut().map(Remote::answer).collect()
    }
}

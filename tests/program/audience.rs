//! Those who are there while a server hands over: clients that stay, and somebody who publishes all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::client::Client;
use support::events::Listener;
use support::publisher::Publisher;

use crate::process::Process;

/// Publications while something is done, at most.
const MOST: usize = 1000;

/// Clients that stay, over WebSockets and event streams.
pub struct Audience {
    clients: Vec<Client>,
    listeners: Vec<Listener>,
}

impl Audience {
    /// Enough for every worker to have some.
    pub fn of(server: &Process) -> Self {
        let clients = (0..12).map(|_| server.client()).collect();
        let listeners = (0..6).map(|_| Listener::join(server.address(), "/events")).collect();
        Self { clients, listeners }
    }

    /// All hear these, in this order and nothing else, and are heard.
    pub fn hear(&mut self, texts: &[String]) {
        for text in texts {
            self.clients.iter_mut().for_each(|client| assert_eq!(client.hear_data(), text.as_str()));
            self.listeners.iter_mut().for_each(|listener| assert_eq!(listener.hear_data(), text.as_str()));
        }
        self.clients.iter_mut().for_each(|client| client.echo("x"));
    }

    /// The server serves all of them, and who publishes now.
    pub fn is_served(&mut self, server: &Process) {
        Publisher::connect(server.address()).publish("served");
        self.hear(&["served".to_owned()]);
    }
}

/// What was published over one connection while this was done: every request was answered.
pub fn published_while(server: &Process, deed: impl FnOnce()) -> Vec<String> {
    let (address, is_over) = (server.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let (mut publisher, mut published) = (Publisher::connect(address), vec![]);
            while !is_over.load(Ordering::Relaxed) {
                // Nobody reads meanwhile, and nobody is to be cut off for that.
                if published.len() == MOST {
                    thread::yield_now();
                    continue;
                }
                let text = format!("publication {}", published.len());
                publisher.publish(&text);
                published.push(text);
            }
            published
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        is_over.store(true, Ordering::Relaxed);
        done.unwrap();
        publisher.join().unwrap()
    })
}

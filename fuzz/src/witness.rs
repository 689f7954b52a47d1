//! A client of a worker that hears all that it hands on.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use slackwater::policy::sequencer::Position;

use crate::client::Client;
use crate::line::Line;
use crate::truth::{Truth, position};

/// The witness at one worker.
#[derive(Default)]
pub struct Witness {
    client: Option<Client>,
    /// The newest publication it has heard, or was told of.
    pub newest: Option<Position>,
}

impl Witness {
    /// The worker serves: here is its line.
    pub fn connect(&mut self) -> Option<Rc<RefCell<Line>>> {
        if self.client.is_some() {
            return None;
        }
        let client = self.client.insert(Client::new());
        client.is_browser = true;
        client.upgrade("/ws?topic=*");
        Some(client.line.clone())
    }

    /// Listens to what has come in a turn. It leaves with the worker.
    pub fn testify(&mut self, is_leaving: bool) {
        let Some(client) = &mut self.client else { return };
        for message in client.listen() {
            self.newest = hear(self.newest, &message);
        }
        let mut line = client.line.borrow_mut();
        if is_leaving && line.is_open() {
            line.end();
        }
    }

    /// Compares what it has heard with others.
    pub fn check(&self, truth: &mut Truth) {
        self.client.iter().for_each(|client| client.check(truth));
    }
}

fn hear(newest: Option<Position>, payload: &[u8]) -> Option<Position> {
    let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
    match message["type"].as_str() {
        Some("welcome") => Some(position(&message["last_event_id"])),
        Some("notification") => {
            let position = position(&message["id"]);
            assert_eq!(Some(position), newest.map(|newest| newest + 1), "a worker hands on what follows");
            Some(position)
        }
        _ => newest,
    }
}

//! The door of a process: who waits there, and when it is open.

use std::cell::RefCell;
use std::rc::Rc;

use slackwater::http::door::Door;
use slackwater::server::transport::Security;

use crate::socket::{Line, VirtualSocket};
use crate::tls::security;
use crate::wire::Wire;
use crate::worker::Worker;

impl Worker {
    /// Somebody connects, to be let in with the next turn.
    pub fn admit(&mut self, line: Rc<RefCell<Line>>) {
        self.newcomers.push(VirtualSocket::new(line));
    }

    /// Whether those are let in who wait: not by one that was not told to serve yet, though they wait at its door already where it
    /// follows one that has died.
    pub fn lets_in(&self) -> bool {
        self.server.may_accept() && (self.accepts || self.server.is_leaving())
    }

    pub fn let_in(&mut self) {
        let count = self.newcomers.len().min(self.accepts_per_turn);
        for socket in self.newcomers.drain(..count).collect::<Vec<_>>() {
            let lines = &mut self.lines;
            let register = |key| {
                if let Some(before) = lines.insert(key, socket.line().clone()) {
                    let before = before.borrow();
                    assert!(before.dropped || before.has_travelled, "a key has two owners");
                }
                let is_secured = socket.line().borrow().tls.is_some();
                let security = if is_secured { security() } else { Security::default() };
                Ok(Wire::Client(security.apply(socket)))
            };
            self.server.admit(Door::Public, register).expect("nothing fails here");
        }
    }
}

//! What the peers ask of the order, and what it has to say.

use super::{Effect, Turn};
use crate::server::order::Heard;
use crate::server::socket::Socket;

impl<S: Socket> Turn<S> {
    /// Hands on what the peers ask, and takes in what there is to hear.
    pub(super) fn ask(&mut self) {
        let now = self.now;
        loop {
            while let Some((ticket, question)) = self.peers.next_question() {
                self.order.ask(ticket, question, now);
            }
            let heard = self.order.poll(now);
            self.peers.tell_newest(self.order.knows_newest());
            match heard {
                Some(Heard::Publication(publication)) => self.peers.publish(publication, now),
                Some(Heard::Answer(ticket, answer)) => self.peers.on_answer(ticket, answer, now),
                Some(Heard::Line(continuation)) => {
                    let continuity = self.peers.go_on_with(continuation, now);
                    // A worker's are counted by its supervisor, once for all of them.
                    if continuity.is_gap() && !self.order.has_supervisor() {
                        self.peers.count_gap();
                    }
                }
                Some(Heard::Instruction(instruction)) => self.follow(instruction),
                Some(Heard::MetricsWanted) => self.order.tell_metrics(|| self.peers.metrics(self.now)),
                Some(Heard::DetailsWanted(inquiry, wish)) => {
                    let (metrics, details) = (self.peers.metrics(self.now), self.peers.details(wish));
                    self.order.tell_details(inquiry, metrics, details);
                }
                Some(Heard::Reconnected) => self.peers.count_reconnect(),
                Some(Heard::Connect(wanted)) => self.effects.push_back(Effect::Connect(wanted)),
                None if self.peers.has_answered() => self.peers.go_on(now),
                None => break,
            }
        }
        self.peers.hold_publishers(self.order.is_congested());
    }
}

#[cfg(test)]
#[path = "hearing_tests.rs"]
mod tests;

//! What the line of publications means to those who are here where it does not simply go on: they may have missed something,
//! and are told so, behind what they have heard of the line that there was and ahead of all that follows.

use super::Peers;
use crate::policy::line::{Continuation, Continuity};
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::wire::event_stream;
use crate::wire::messages::ServerMessage;

impl<S: Socket> Peers<S> {
    /// The line goes on so. Whoever listens is told where it may have missed something.
    pub fn go_on_with(&mut self, continuation: Continuation, now: Now) -> Continuity {
        let continuity = self.feed.go_on(continuation);
        for (_, connection) in &mut self.connections {
            connection.replay.iter_mut().for_each(|replay| replay.go_on(continuity));
        }
        if continuity.is_gap() {
            self.tell_gap(now);
        }
        continuity
    }

    /// A gap has been told to all, here or by the workers.
    pub fn count_gap(&mut self) {
        self.counts.on_gap();
    }

    /// The connections to the engine were lost and made anew, whether or not there is a gap.
    pub fn count_reconnect(&mut self) {
        self.counts.on_reconnected();
    }

    /// Only queues it, which takes no longer for all of them than for a few to be written to: that is done as with replies.
    fn tell_gap(&mut self, now: Now) {
        let (timestamp, newest) = (now.wall, self.feed.newest());
        // What is still to come of a replay is behind an id of its own.
        let [behind_all, amid_replay] = [Some(newest), None]
            .map(|last_event_id| ServerMessage::Gap { timestamp, last_event_id }.to_frame());
        let event = ServerMessage::Gap { timestamp, last_event_id: None };
        for key in 0..self.connections.capacity() {
            // What is left of the line that there was.
            self.hand_pending(key, now);
            let Some(connection) = self.connections.get_mut(key).filter(|it| it.speaks().is_client()) else {
                continue;
            };
            let is_behind = connection.replay.as_deref().is_some_and(|replay| !self.feed.is_complete(replay));
            let heard = Some(newest).filter(|_| !is_behind);
            if connection.is_stream() {
                connection.send_block(event_stream::gap(&event, heard));
            } else {
                let frame = if heard.is_some() { &behind_all } else { &amid_replay };
                connection.send_behind_pending(frame.clone(), now, &self.terms.limits);
            }
            self.agenda.mark_dirty(key, connection);
        }
    }
}

#[cfg(test)]
#[path = "gaps_drawn_tests.rs"]
mod drawn_tests;
#[cfg(test)]
#[path = "gaps_tests.rs"]
mod tests;

//! How the peers are parted with when the server leaves: idle ones at once, clients in their own time, and in the end
//! everyone. How clients are asked to reconnect is in `guiding`.

use std::borrow::Cow;
use std::time::Instant;

use log::{Level, log};

use super::Peers;
use crate::http::door::Door;
use crate::server::clock::Now;
use crate::server::connection::Connection;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::overview::Draining;

/// How the peers are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    /// Others take the newcomers: whoever has connected is served, and stays.
    SteppingDown,
    /// No new clients; those who are here stay.
    Leaving,
    /// Everyone has been told to go.
    Farewell,
}

/// Says in the log who has asked for a drain. Which signal it was is for those who look closely.
pub(in crate::server) fn mention(origin: &str) {
    let level = if origin.starts_with("SIG") { Level::Debug } else { Level::Info };
    log!(level, "Asked to leave by {origin}");
}

impl<S: Socket> Peers<S> {
    /// No newcomers from here on: idle HTTP connections are closed, clients stay. Unless it leaves `alone`, requests
    /// for a WebSocket are refused, and those for a stream are told to come back.
    pub fn leave(&mut self, now: Now, alone: bool) {
        self.mode = if alone { Mode::SteppingDown } else { Mode::Leaving };
        self.turn_waiting_away(now);
        self.end_where(now, Ending::Answered, |connection| connection.is_idle_http());
        // A peer that waits for answers can ask nothing more: its connection ends behind the last one.
        self.connections.iter_mut().for_each(|(_, connection)| connection.awaited.hold());
    }

    /// The server is leaving, until then at the latest, since this one has asked for it.
    pub fn announce_drain(&mut self, now: Now, deadline: Instant, origin: Cow<'static, str>) {
        mention(&origin);
        self.reports.announce(Draining {
            origin,
            since_unix_ms: now.wall.as_millisecond(),
            deadline_unix_ms: now.unix_ms_until(deadline),
            clients_then: self.clients() as u64,
        });
    }

    /// Sends every WebSocket the close frame 1012 behind all that waits for it, and tells every stream when to come back.
    pub fn say_farewell(&mut self, now: Now) {
        self.mode = Mode::Farewell;
        // What a fan-out under way has not brought yet goes ahead of the close.
        for key in 0..self.connections.capacity() {
            self.hand_pending(key, now);
            self.say_when_to_return(key, None, now);
        }
        self.end_where(now, Ending::Drained, |connection| connection.speaks().is_client());
    }

    /// Whether somebody who is no client is owed an answer.
    pub fn owes_answers(&self, is_worker: bool) -> bool {
        let serves = self.mode == Mode::SteppingDown;
        // An operator's request could be answered by any worker, but this one has let it in.
        self.connections.iter().any(|(_, connection)| {
            connection.is_owed_an_answer(serves || is_worker && connection.door == Door::Admin)
        })
    }

    /// Whether any of those who are leaving has taken something of what its socket holds since the last look.
    pub fn take_on(&mut self, now: Now) -> bool {
        self.connections.iter_mut().fold(false, |taken, (_, connection)| connection.takes_on(now) || taken)
    }

    /// The process is about to end: a peer that has not answered its farewell in time is
    /// reset, so that the kernel keeps nothing.
    pub fn abandon(&mut self) {
        for (_, connection) in &mut self.connections {
            connection.abandon();
        }
    }

    fn end_where(&mut self, now: Now, ending: Ending, which: impl Fn(&Connection<S>) -> bool) {
        for (key, connection) in &mut self.connections {
            if which(connection) {
                connection.end(ending, now);
                self.agenda.mark_dirty(key, connection);
            }
        }
    }
}

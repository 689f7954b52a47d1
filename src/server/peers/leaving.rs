//! How the peers are parted with when the server leaves: idle ones at once, clients when they have been asked to reconnect,
//! a slice of them each turn, each at a moment of its own.

use std::time::{Duration, Instant};

use super::Peers;
use crate::policy::reconnect_notices::ReconnectNotices;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Speaks};
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::messages::ServerMessage;
use crate::wire::overview::Draining;

/// Clients that are told in one turn, so that nobody else waits for long.
const NOTICES_PER_TURN: usize = 128;

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

impl<S: Socket> Peers<S> {
    /// No newcomers from here on: idle HTTP connections are closed, WebSockets stay. Unless it leaves `alone`, requests
    /// for a WebSocket are refused.
    pub fn leave(&mut self, now: Now, alone: bool) {
        self.mode = if alone { Mode::SteppingDown } else { Mode::Leaving };
        self.end_where(now, Ending::Answered, |connection| connection.is_idle_http());
        // A peer that waits for answers can ask nothing more: its connection ends behind the last one.
        self.connections.iter_mut().for_each(|(_, connection)| connection.awaited.hold());
    }

    /// The server is leaving, until then at the latest.
    pub fn announce_drain(&mut self, now: Now, deadline: Instant) {
        self.reports.announce(Draining {
            since_unix_ms: now.wall.as_millisecond(),
            deadline_unix_ms: now.unix_ms_until(deadline),
            clients_then: self.clients() as u64,
        });
    }

    /// Begins to ask all clients to reconnect; they have until this deadline.
    pub fn begin_notices(&mut self, now: Now, deadline: Instant) {
        let Some(terms) = self.terms.reconnect.filter(|_| self.notices.is_none()) else { return };
        let is_open = |(key, connection): (usize, &Connection<S>)| {
            (connection.speaks() == Speaks::WebSocket).then_some(key)
        };
        let clients: Vec<usize> = self.connections.iter().filter_map(is_open).collect();
        let seed = (u64::from(self.terms.epoch) << 32) + self.counts.clients_so_far();
        self.notices = Some(ReconnectNotices::new(terms, &clients, now.instant, deadline, seed));
    }

    /// When the next client that has not reconnected is closed.
    pub(super) fn next_closing(&self) -> Option<Instant> {
        self.notices.as_ref().and_then(ReconnectNotices::next_deadline)
    }

    /// Closes those whose time to reconnect was over when all that had arrived was read.
    pub(super) fn close_overdue(&mut self, now: Now, heard_until: Instant) {
        while let Some(key) = self.notices.as_mut().and_then(|notices| notices.next_closing(heard_until)) {
            if let Some(connection) = self.connections.get_mut(key).filter(|connection| connection.has_notice)
            {
                connection.end(Ending::Drained, now);
                self.mark_dirty(key);
            }
        }
    }

    /// Gives somebody who has become a client of a leaving server a moment, too.
    pub(super) fn notify_late(&mut self, key: usize, now: Now) {
        if let Some(notices) = &mut self.notices {
            notices.join(key, now.instant);
        }
    }

    pub(super) fn has_unsent_notices(&self) -> bool {
        self.notices.as_ref().is_some_and(ReconnectNotices::has_unsent)
    }

    /// Sends the next notices.
    pub(super) fn send_notices(&mut self, now: Now) {
        for _ in 0..NOTICES_PER_TURN {
            let Some(notice) = self.notices.as_mut().and_then(|notices| notices.next_notice(now.instant))
            else {
                return;
            };
            // It may be gone, and its key have passed to another, whose own notice is still to come.
            let Some(connection) = self.connections.get_mut(notice.client) else { continue };
            if connection.speaks() == Speaks::WebSocket
                && !std::mem::replace(&mut connection.has_notice, true)
            {
                let milliseconds =
                    |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let message = ServerMessage::Reconnect {
                    reason: "server_restart",
                    after_ms: milliseconds(notice.after),
                    deadline_ms: milliseconds(notice.deadline),
                    timestamp: now.wall,
                };
                connection.send(message.to_frame(), now, &self.terms.limits);
                self.mark_dirty(notice.client);
            }
        }
    }

    /// Sends every WebSocket the close frame 1012 behind all that waits for it.
    pub fn say_farewell(&mut self, now: Now) {
        self.mode = Mode::Farewell;
        // What a fan-out under way has not brought yet goes ahead of the close.
        for key in 0..self.connections.capacity() {
            self.hand_pending(key, now);
        }
        self.end_where(now, Ending::Drained, |connection| connection.speaks() == Speaks::WebSocket);
    }

    /// Whether somebody who is no client is owed an answer.
    pub fn owes_answers(&self, is_worker: bool) -> bool {
        let serves = self.mode == Mode::SteppingDown;
        // An operator's request could be answered by any worker, but this one has let it in.
        self.connections
            .iter()
            .any(|(_, connection)| connection.is_owed_an_answer(serves || is_worker && connection.is_admin))
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

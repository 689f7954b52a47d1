//! How clients are asked to reconnect while the server leaves: a slice of them each turn, each with a moment of its own.

use std::time::{Duration, Instant};

use super::Peers;
use crate::policy::reconnect_notices::ReconnectNotices;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Speaks};
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::messages::ServerMessage;

/// Clients that are told in one turn, so that nobody else waits for long.
const NOTICES_PER_TURN: usize = 128;

impl<S: Socket> Peers<S> {
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
}

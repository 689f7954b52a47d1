//! How clients are asked to reconnect, each at a moment of its own, because the server leaves or because their connections
//! are old: a slice of them each turn. Whoever has not done so in time is closed.

use std::time::{Duration, Instant};

use super::Peers;
use super::streaming::milliseconds;
use crate::policy::reconnect_notices::{ReconnectNotices, ReconnectReason};
use crate::server::clock::Now;
use crate::server::connection::Connection;
use crate::server::socket::Socket;
use crate::server::terms::Terms;
use crate::wire::ending::Ending;
use crate::wire::messages::ServerMessage;

/// Clients that are told in one turn, so that nobody else waits for long.
const NOTICES_PER_TURN: usize = 128;

/// The notices of a server that serves, if connections are not to grow old.
pub(super) fn ageing_notices(terms: &Terms) -> Option<ReconnectNotices> {
    ReconnectNotices::by_age(terms.reconnect?, seed(terms, 0))
}

fn seed(terms: &Terms, clients_so_far: u64) -> u64 {
    (u64::from(terms.epoch) << 32) + clients_so_far
}

impl<S: Socket> Peers<S> {
    /// Begins to ask all clients to reconnect because the server leaves; they have until this deadline. Whoever has been
    /// asked before, since its connection is old, is given another moment.
    pub fn begin_notices(&mut self, now: Now, deadline: Instant) {
        let has_begun =
            self.notices.as_ref().is_some_and(|notices| notices.reason() == ReconnectReason::ServerRestart);
        let Some(terms) = self.terms.reconnect.filter(|_| !has_begun) else { return };
        let is_open =
            |(key, connection): (usize, &Connection<S>)| connection.speaks().is_client().then_some(key);
        let clients: Vec<usize> = self.connections.iter().filter_map(is_open).collect();
        let seed = seed(&self.terms, self.counts.clients_so_far());
        self.notices = Some(ReconnectNotices::new(terms, &clients, now.instant, deadline, seed));
    }

    /// When the next notice is to be sent, or the next client closed that has not reconnected.
    pub(super) fn next_guidance(&self) -> Option<Instant> {
        self.notices.as_ref().and_then(ReconnectNotices::next_deadline)
    }

    /// Gives somebody who has become a client a moment, if everybody has one.
    pub(super) fn give_moment(&mut self, key: usize, now: Now) {
        if let Some(notices) = &mut self.notices {
            notices.join(key, now.instant);
        }
    }

    /// Closes those whose time to reconnect was over when all that had arrived was read.
    pub(super) fn close_overdue(&mut self, now: Now, heard_until: Instant) {
        while let Some(notices) = &mut self.notices
            && let Some(key) = notices.next_closing(heard_until)
        {
            let reason = notices.reason();
            let ending = match reason {
                ReconnectReason::ServerRestart => Ending::Drained,
                ReconnectReason::ConnectionAge => Ending::TooOld,
            };
            // What a fan-out under way has not brought yet goes ahead of the close.
            self.hand_pending(key, now);
            self.say_when_to_return(key, Some(reason), now);
            // A WebSocket was asked before.
            if self.connections[key].is_stream() {
                self.counts.on_notice();
            }
            self.connections[key].end(ending, now);
            self.mark_dirty(key);
        }
    }

    /// How long somebody is to wait who has come now, as the server leaves.
    pub(super) fn moment_of_newcomer(&mut self, now: Now) -> Duration {
        let notices =
            self.notices.as_mut().filter(|notices| notices.reason() == ReconnectReason::ServerRestart);
        let moment = notices.map(|notices| notices.moment(now.instant));
        moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(now.instant))
    }

    /// Sends the next notices. A stream cannot move while it lasts: it is ended at its moment.
    pub(super) fn send_notices(&mut self, now: Now) {
        for _ in 0..NOTICES_PER_TURN {
            let Some(notices) = &mut self.notices else { return };
            let reason = notices.reason().name();
            let Some(notice) = notices.next_notice(now.instant) else { return };
            if self.connections[notice.client].is_stream() {
                notices.close_at(notice.client, now + notice.after);
                continue;
            }
            let message = ServerMessage::Reconnect {
                reason,
                after_ms: milliseconds(notice.after),
                deadline_ms: notice.deadline.map(milliseconds),
                timestamp: now.wall,
                last_event_id: self.heard_by(notice.client),
            };
            let connection = &mut self.connections[notice.client];
            self.counts.on_notice();
            // It may be on its way out, and is told nothing then.
            connection.send(message.to_frame(), now, &self.terms.limits);
            self.agenda.mark_dirty(notice.client, connection);
        }
    }
}

#[cfg(test)]
#[path = "guiding_tests.rs"]
mod tests;

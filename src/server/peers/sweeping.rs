//! What is due: the limits of the peers, looked at all together, and memory to give back.

use std::time::{Duration, Instant};

use super::Peers;
use super::upkeep::earliest;
use crate::policy::addresses::Addresses;
use crate::policy::message_limit::MessageLimit;
use crate::server::clock::Now;
use crate::server::socket::Socket;

/// A turn this long may have been as long as a limit: the limits that it set are counted from its end.
const LONG_TURN: Duration = Duration::from_millis(100);

impl<S: Socket> Peers<S> {
    /// When `keep_time` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let forgetting = self.addresses.as_ref().and_then(Addresses::next_deadline);
        let deadlines = [
            self.next_sweep(),
            self.next_guidance(),
            self.expiries.next(),
            self.upkeep.next_shrink(),
            forgetting,
            self.held_back.as_ref().and_then(MessageLimit::next_deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due; whether memory was given back. What depends on the peers is due when all that had arrived by then
    /// was read: until then the loop does not sleep.
    pub fn keep_time(&mut self, now: Now, heard_until: Instant) -> bool {
        if self.next_sweep().is_some_and(|at| at <= heard_until) {
            self.sweep(now, heard_until);
        }
        self.close_overdue(now, heard_until);
        if let Some(addresses) = &mut self.addresses {
            addresses.forget(now.instant);
        }
        self.close_expired(now, heard_until);
        let gives_back = self.upkeep.next_shrink().is_some_and(|at| at <= now.instant);
        if gives_back {
            self.shrink();
        }
        gives_back
    }

    fn next_sweep(&self) -> Option<Instant> {
        self.upkeep.next_sweep(self.sweep_pause())
    }

    /// Applies the limits that were reached when all that had arrived was read: one look at each connection.
    fn sweep(&mut self, now: Now, heard_until: Instant) {
        let limits = self.terms.limits;
        if self.feed.expire(now.instant) {
            self.upkeep.shrink_later(now.instant);
        }
        let mut next_look = self.feed.next_expiry();
        let newest = (!self.feed.is_pending()).then(|| self.feed.newest());
        for (key, connection) in &mut self.connections {
            if connection.next_look(&limits).is_some_and(|at| at <= heard_until) {
                if let Some(refusal) = connection.on_deadline(now, heard_until, &limits, newest) {
                    self.counts.on_rejected(refusal.label());
                }
                self.agenda.mark_swept_up(key, connection);
            }
            next_look = earliest(next_look, connection.next_look(&limits));
        }
        self.upkeep.on_swept(now.instant, next_look);
    }

    /// Gives back what a crowd has needed, once half of it has left.
    fn shrink(&mut self) {
        if !self.agenda.is_replaying() {
            self.feed.rest();
        }
        if self.upkeep.begin_to_shrink(self.connections.len()) {
            self.connections.shrink_to_fit();
            self.register.shrink(self.connections.capacity());
            self.feed.shrink();
            self.agenda.shrink();
            self.handshakes.shrink();
            self.unheard.shrink();
            self.held_back.iter_mut().for_each(MessageLimit::shrink);
        }
    }

    /// The turn has ended at this time. If it was long, that is not counted against the peers.
    pub fn on_turn_end(&mut self, now: Now, end: Instant) {
        let took = end.saturating_duration_since(now.instant);
        self.counts.on_turn_end(took, end, self.feed.is_pending());
        if took >= LONG_TURN {
            for (_, connection) in &mut self.connections {
                connection.forgive(now, took, &self.terms.limits);
            }
        }
    }

    /// A fortieth of the shortest limit, so that none is missed by more, and at most a quarter of a second: the pings
    /// that are due together are so few that nobody waits long behind them.
    fn sweep_pause(&self) -> Duration {
        let limits = &self.terms.limits;
        let always = [limits.handshake, limits.write, Duration::from_secs(10)];
        let shortest = always.into_iter().chain(limits.ping_interval).chain(limits.ping_timeout).min();
        shortest.map_or(Duration::ZERO, |shortest| shortest / 40)
    }
}

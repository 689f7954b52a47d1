//! When a connection's limits are reached, and what follows.

use std::time::Instant;

use super::{Connection, LINGER, Phase, Reading};
use crate::frame::Frame;
use crate::policy::drain::LONGEST_FAREWELL;
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::http::Refusal;

impl<S: Socket> Connection<S> {
    /// When to look at its limits next.
    pub(in crate::server) fn next_look(&self, limits: &Limits) -> Option<Instant> {
        let stall = self.stall_limit(limits);
        [self.expires, stall].into_iter().flatten().min()
    }

    /// Applies the limits that are reached now, and gives back the refusal of a request that never became whole.
    pub(in crate::server) fn on_deadline(&mut self, now: Now, limits: &Limits) -> Option<Refusal> {
        if self.stall_limit(limits).is_some_and(|limit| now.instant >= limit) {
            match self.phase {
                Phase::Open { .. } => self.end(Ending::TooSlow, now),
                _ => self.end_unheard(now),
            }
            return None;
        }
        if self.expires.is_none_or(|expires| now.instant < expires) {
            return None;
        }
        match &mut self.phase {
            // It is still taking the last response, which only a stall ends, or it is us who do not read on.
            Phase::Request { .. }
                if !self.outbox.is_empty() || self.awaited > 0 || self.reading == Reading::Congested =>
            {
                self.expires = Some(now + limits.keep_alive.max(LINGER));
            }
            // What is still to come of a body that nobody wants belongs to a request that has its answer.
            Phase::Request { buffer, served: true } if !buffer.has_begun() => self.end(Ending::Answered, now),
            Phase::Request { .. } => {
                self.refuse(Refusal::Timeout, now, limits);
                return Some(Refusal::Timeout);
            }
            // Its pong may be among what is not read yet; while it takes what waits for it, it is there.
            Phase::Open { awaits_pong: true, .. } if self.reading == Reading::Paused => {
                self.expires = limits.ping_timeout.map(|wait| now + wait);
            }
            Phase::Open { awaits_pong: true, .. } => self.end(Ending::Silent, now),
            Phase::Open { awaits_pong, .. } => {
                *awaits_pong = limits.ping_timeout.is_some();
                self.expires = limits.ping_timeout.or(limits.ping_interval).map(|wait| now + wait);
                self.outbox.push_unbounded(Frame::ping().into_bytes());
            }
            Phase::Closing { since, told, .. } => {
                let is_over = *told || now.instant >= *since + LONGEST_FAREWELL;
                // The second to take its last word begins when that is written, or with the last byte taken ahead of it.
                let taken_at = self.outbox.stalled_since().unwrap_or(now.instant);
                match taken_at + LINGER {
                    until if !is_over && until > now.instant => self.expires = Some(until),
                    _ => self.give_up(),
                }
            }
        }
        None
    }

    /// When it has taken nothing for too long. An ending with a time of its own has that, no less and no more.
    fn stall_limit(&self, limits: &Limits) -> Option<Instant> {
        let has_own_limit = matches!(self.phase, Phase::Closing { .. }) && self.expires.is_some();
        if has_own_limit { None } else { self.outbox.stalled_since().map(|since| since + limits.write) }
    }

    fn end_unheard(&mut self, now: Now) {
        self.end(Ending::TooSlow, now);
        self.give_up();
    }
}

//! When a connection's limits are reached, and what follows.

use std::time::{Duration, Instant};

use super::streaming::HEARTBEAT;
use super::{Connection, LINGER, Phase, Reading, Sender};
use crate::frame::Frame;
use crate::policy::sequencer::PublicationId;
use crate::server::bound_socket::SEND_BUFFER_BYTES;
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::outbox::Pace;
use crate::wire::refusal::Refusal;

/// What a peer may still have to read of what its socket has taken: a full send buffer, and the receive window that
/// Linux begins with, 64 KiB.
const BUFFERED_BYTES: usize = 2 * SEND_BUFFER_BYTES + 64 * 1024;

/// An empty ping (RFC 6455 §5.5.2).
const PING_BYTES: u32 = 2;

impl<S: Socket> Connection<S> {
    /// When to look at its limits next.
    pub(in crate::server) fn next_look(&self, limits: &Limits) -> Option<Instant> {
        let stall = self.stall_limit(limits);
        [self.expires, stall].into_iter().flatten().min()
    }

    /// Applies the limit that was reached when all that had arrived was read, and gives back the refusal of a request
    /// that never became whole. `newest` is the id up to which all clients have been handed all, where that is known.
    pub(in crate::server) fn on_deadline(
        &mut self,
        now: Now,
        heard_until: Instant,
        limits: &Limits,
        newest: Option<PublicationId>,
    ) -> Option<Refusal> {
        // If it is about to be written to, there may be room again.
        if let Some(stalled_since) = self.outbox.stalled_since()
            && !self.dirty
            && self.stall_limit(limits).is_some_and(|limit| heard_until >= limit)
        {
            // Its system may take what the socket holds, though not enough yet for the socket to take more.
            if self.look() > 0 {
                self.outbox.restart_stall(stalled_since, now.instant);
            } else if self.speaks().is_client() {
                self.end(Ending::TooSlow, now);
            } else {
                self.end_unheard(now);
            }
            return None;
        }
        if self.expires.is_none_or(|expires| heard_until < expires) {
            return None;
        }
        match &mut self.phase {
            Phase::Closing(_) => self.on_last_second(now, heard_until, limits),
            Phase::Stream { .. } => self.on_quiet(now, newest),
            // What it has sent is not all read yet: it is judged after that.
            _ if self.reading == Reading::Listed => {}
            // It is still taking the last response, which only a stall ends, or it is us who do not read on.
            Phase::Request { .. }
                if !self.outbox.is_empty() || self.awaited.any() || self.reading == Reading::Congested =>
            {
                self.expires = Some(now + limits.keep_alive.max(LINGER));
            }
            // Idle between two requests, or never heard of since it connected, as browsers and probes do. What is still
            // to come of a body that nobody wants belongs to a request that has its answer. A proxy's own words, which are
            // not whole, are no request.
            Phase::Request { buffer, sender, .. }
                if !buffer.has_begun() || matches!(sender, Sender::Unannounced(_)) =>
            {
                self.end(Ending::Answered, now);
            }
            Phase::Request { .. } => {
                self.refuse(Refusal::Timeout, None, now, limits);
                return Some(Refusal::Timeout);
            }
            // Its pong may have come: it is us who do not read on.
            Phase::Open { pinged: Some(_), .. } if self.reading == Reading::HeldBack => {
                self.expires = limits.ping_timeout.map(|timeout| now + timeout);
            }
            // It has published, and it is us who do not read on: its pong may be behind that.
            Phase::Open { pinged: Some(_), .. }
                if matches!(self.reading, Reading::Congested | Reading::Unanswered) =>
            {
                self.expires = Some(now + LINGER);
            }
            Phase::Open { pinged: Some(_), ahead, .. } => {
                // While its system takes what is ahead of the ping, the ping has not left.
                let left = *ahead;
                let taken = self.look().min(left);
                if let Phase::Open { ahead, .. } = &mut self.phase {
                    *ahead = left - taken;
                }
                match taken {
                    0 => self.end(Ending::Silent, now),
                    _ => self.expires = limits.ping_timeout.map(|timeout| now + timeout),
                }
            }
            Phase::Open { pinged, .. } => {
                *pinged = limits.ping_timeout.map(|_| now.instant);
                // The time for the pong begins once the ping has left.
                self.expires = limits.ping_interval.filter(|_| pinged.is_none()).map(|wait| now + wait);
                self.outbox.push_unbounded(Frame::ping().into_bytes());
            }
        }
        None
    }

    /// Goes on by these limits, which may be others than those of the process that has handed it over.
    pub(in crate::server) fn go_on_by(&mut self, now: Now, limits: &Limits) {
        let expires = self.expires;
        let within = |most| Some(expires.map_or(now + most, |expires| expires.min(now + most)));
        match &mut self.phase {
            Phase::Open { pinged: Some(_), .. } if limits.ping_timeout.is_some() => {}
            Phase::Open { pinged, .. } => {
                // It is no longer judged by its pong.
                let was_pinged = pinged.take().is_some();
                let left = expires.filter(|_| !was_pinged);
                let next = |interval| left.map_or(now + interval, |at| at.min(now + interval));
                self.expires = limits.ping_interval.map(next);
            }
            Phase::Request { .. } => {
                self.expires = within(limits.handshake.max(limits.keep_alive).max(LINGER));
            }
            Phase::Stream { .. } => self.expires = within(HEARTBEAT),
            Phase::Closing(_) => {}
        }
    }

    /// The peer has sent something, be it a pong or not: it is there. The next ping follows the last one by the interval.
    pub(in crate::server) fn on_heard(&mut self, now: Now, limits: &Limits) {
        if let Phase::Open { pinged, .. } = &mut self.phase
            && let Some(pinged) = pinged.take()
        {
            self.expires = limits.ping_interval.map(|interval| (pinged + interval).max(now.instant));
        }
    }

    /// The socket takes nothing more for now: until it has taken all, only a stall counts against the peer.
    pub(super) fn on_blocked(&mut self, now: Now) {
        if self.outbox.stalled_since() == Some(now.instant) {
            self.look();
        }
        if matches!(self.phase, Phase::Open { pinged: Some(_), .. }) {
            self.expires = None;
        }
    }

    /// The socket has taken all: a ping has left. A peer that was slow to take what went before will come to it more
    /// slowly than that, since a part waits in the buffers of both kernels, where nobody sees it taken.
    pub(super) fn on_emptied(&mut self, pace: Option<Pace>, now: Now, limits: &Limits) {
        if let Some(pace) = pace {
            self.reads_until = Some(Box::new(now + pace.time_for(BUFFERED_BYTES)));
        }
        if let (Phase::Open { pinged: Some(_), ahead, .. }, None) = (&mut self.phase, self.expires) {
            self.in_flight = self.socket.unacknowledged_bytes();
            // Nothing is ahead of the ping, if it is all there is.
            let ping_bytes = PING_BYTES + self.socket.overhead_bytes();
            *ahead = if self.in_flight > ping_bytes { self.in_flight } else { 0 };
            let has_read = self.reads_until.as_deref().map_or(now.instant, |until| now.instant.max(*until));
            self.expires = limits.ping_timeout.map(|timeout| has_read + timeout);
        }
    }

    /// The turn has taken so long, and what it has said to the peer may have left at its end: limits that it has set
    /// begin there. Those from before go on, so that no number of long turns suspends them.
    pub(in crate::server) fn forgive(&mut self, now: Now, turn: Duration, limits: &Limits) {
        let always = [limits.handshake, limits.keep_alive, limits.keep_alive.max(LINGER), LINGER];
        let is_new =
            |expires| always.into_iter().chain(limits.ping_timeout).any(|limit| now + limit == expires);
        self.expires = self.expires.map(|expires| if is_new(expires) { expires + turn } else { expires });
        self.outbox.restart_stall(now.instant, now + turn);
    }

    /// When it has taken nothing for too long. An ending with a time of its own has that, no less and no more.
    fn stall_limit(&self, limits: &Limits) -> Option<Instant> {
        let has_own_limit = self.closing().is_some() && self.expires.is_some();
        if has_own_limit { None } else { self.outbox.stalled_since().map(|since| since + limits.write) }
    }

    /// Parts with it without a word: it would not be heard.
    pub(in crate::server) fn end_unheard(&mut self, now: Now) {
        self.end(Ending::TooSlow, now);
        self.socket.abort();
        self.give_up();
    }
}

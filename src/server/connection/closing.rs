//! How a connection ends, once it does: while the peer's system has not taken all that it is told, the kernel would keep
//! the rest for as long as it likes. So it is kept in sight, and reset when nothing of it is taken.

use std::time::Instant;

use super::{Connection, LINGER, Phase};
use crate::policy::drain::{LONGEST_FAREWELL, TAKING};
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;

/// What the end of our side counts among the bytes that are not acknowledged.
const END_BYTES: u32 = 1;

/// How far an ending has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    pub(super) ending: Ending,
    /// Whether it was an event stream.
    pub(super) was_stream: bool,
    since: Instant,
    /// When the peer was last seen to take something of what it is told.
    taken: Instant,
    /// All has been written, and our side of the stream is ended.
    pub(super) told: bool,
    pub(super) peer_finished: bool,
    /// Nothing more is waited for.
    pub(super) given_up: bool,
}

impl Closing {
    pub(super) fn new(ending: Ending, was_stream: bool, now: Now) -> Self {
        let (since, taken) = (now.instant, now.instant);
        Self { ending, was_stream, since, taken, told: false, peer_finished: false, given_up: false }
    }
}

impl<S: Socket> Connection<S> {
    /// Whether both sides have ended, or nothing more is waited for.
    pub(in crate::server) fn is_over(&self) -> bool {
        self.closing().is_some_and(|closing| closing.given_up || closing.told && closing.peer_finished)
    }

    /// Whether there is nothing left to do but to bury it. While the peer's system has not acknowledged all, the kernel
    /// would keep the rest for as long as it likes: it is kept in sight instead.
    pub(in crate::server) fn may_be_buried(&mut self, now: Now) -> bool {
        let is_settled = self.closing().is_some_and(|closing| closing.given_up) || !self.has_more_to_take();
        if !is_settled {
            self.expires.get_or_insert(now + LINGER);
        }
        is_settled
    }

    /// Whether it has left as far as a drain is concerned: both sides have said so, or it is over.
    pub(in crate::server) fn has_departed(&self) -> bool {
        self.closing().is_some_and(|closing| closing.told && closing.ending.is_agreed()) || self.is_over()
    }

    /// There is no more time for the peer's last word, and it has not shown that it has taken it.
    pub(in crate::server) fn abandon(&mut self) {
        if self.ending().is_some_and(|ending| ending != Ending::Answered) && !self.has_departed() {
            self.socket.abort();
        } else if self.has_more_to_take() {
            self.socket.bequeath();
        }
    }

    /// The time for the last word is over, unless the peer is still taking what is ahead of it.
    pub(super) fn on_last_second(&mut self, now: Now, heard_until: Instant, limits: &Limits) {
        if self.takes_on(now) && self.expires.is_some_and(|expires| expires > heard_until) {
            return;
        }
        let Some(&Closing { ending, since, taken, told, peer_finished, .. }) = self.closing() else { return };
        let is_response = ending == Ending::Answered && (told || !self.outbox.is_empty());
        let has_more_to_take = self.has_more_to_take();
        let until = match told {
            // The second begins when the last word is written, or with the last byte that the socket took ahead of it.
            false if self.outbox.is_empty() => since + LINGER,
            false => self.outbox.stalled_since().unwrap_or(now.instant) + LINGER,
            // A response may take its time as long as it makes progress.
            true if is_response && has_more_to_take => taken + limits.write,
            true => heard_until,
        };
        let is_in_time = is_response || heard_until < since + LONGEST_FAREWELL;
        if is_in_time && (until > heard_until || self.dirty && !told) {
            self.expires = Some(until.min(now + LINGER));
            return;
        }
        if has_more_to_take || !told || !is_response && !peer_finished {
            self.socket.abort();
        }
        self.give_up();
    }

    /// Looks whether a leaving peer has taken something of what its socket holds since the last look; it has time for
    /// more then.
    pub(in crate::server) fn takes_on(&mut self, now: Now) -> bool {
        if self.speaks().is_client() || self.look() == 0 {
            return false;
        }
        if let Some(stalled_since) = self.outbox.stalled_since() {
            self.outbox.restart_stall(stalled_since, now.instant);
        }
        let has_more_to_take = self.has_more_to_take();
        // Responses that were asked for before the leaving.
        let Phase::Closing(closing) = &mut self.phase else { return true };
        let was_slow = std::mem::replace(&mut closing.taken, now.instant) > closing.since;
        let time = match () {
            () if has_more_to_take => TAKING,
            // The last word has only just reached it.
            () if was_slow => LINGER,
            () => return false,
        };
        self.expires = match closing.ending {
            Ending::Answered => closing.told.then(|| now + LINGER),
            _ => Some((now + time).min(closing.since + LONGEST_FAREWELL)),
        };
        true
    }

    /// How much of what its socket was handed the peer's system has taken since the last look.
    pub(super) fn look(&mut self) -> u32 {
        let before = std::mem::replace(&mut self.in_flight, self.socket.unacknowledged_bytes());
        before.saturating_sub(self.in_flight)
    }

    pub(super) fn closing(&self) -> Option<&Closing> {
        match &self.phase {
            Phase::Closing(closing) => Some(closing),
            _ => None,
        }
    }

    /// Whether the peer's system is still to take some of what the socket was handed.
    pub(super) fn has_more_to_take(&self) -> bool {
        self.socket.unacknowledged_bytes() > END_BYTES && !self.socket.is_dead()
    }

    /// Ends one whose socket is dead, though it is not read from; whether that is so.
    pub(in crate::server) fn end_if_dead(&mut self, now: Now) -> bool {
        let is_dead = self.socket.is_dead();
        if is_dead {
            self.end(Ending::SocketFailed, now);
            self.give_up();
        }
        is_dead
    }
}

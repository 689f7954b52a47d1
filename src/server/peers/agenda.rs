//! The connections that need attention though no event will say so. Each list has a connection at most once, and one turn
//! takes only so many of each.

use std::collections::VecDeque;

use crate::server::connection::Connection;

/// Connections with replies that are flushed in one turn.
const FLUSH_BUDGET: usize = 128;

/// Connections with pings that are flushed in one turn: no reply waits behind all that are due together.
const SWEPT_UP_BUDGET: usize = 32;

/// Connections whose replay goes on by a piece in one turn.
const REPLAYS_PER_TURN: usize = 16;

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// To be flushed, or to be buried.
    dirty: VecDeque<usize>,
    /// As `dirty`, found by a sweep: pings and ended limits, which nobody waits for.
    swept_up: VecDeque<usize>,
    /// Stopped reading before the socket was empty.
    unread: VecDeque<usize>,
    /// Have been answered, and may have asked more already: handled before the turn goes on.
    answered: Vec<usize>,
    /// Can be sent another piece of what they missed.
    replaying: VecDeque<usize>,
    /// Publishers that wait for what was published to reach its subscribers.
    congested: Vec<usize>,
}

impl Agenda {
    /// Whether the loop must not sleep. Those who are congested wait for others.
    pub(super) fn has_work(&self) -> bool {
        self.wants_settling() || !self.unread.is_empty()
    }

    /// Whether anybody is to be written to.
    pub(super) fn wants_settling(&self) -> bool {
        !(self.dirty.is_empty() && self.swept_up.is_empty() && self.replaying.is_empty())
    }

    /// This connection is to be settled.
    pub(super) fn mark_dirty<S>(&mut self, key: usize, connection: &mut Connection<S>) {
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push_back(key);
        }
    }

    /// As `mark_dirty`, where nobody waits for it.
    pub(super) fn mark_swept_up<S>(&mut self, key: usize, connection: &mut Connection<S>) {
        if !std::mem::replace(&mut connection.dirty, true) {
            self.swept_up.push_back(key);
        }
    }

    /// Those to settle in this turn.
    pub(super) fn take_dirty(&mut self) -> Vec<usize> {
        let replies = self.dirty.drain(..self.dirty.len().min(FLUSH_BUDGET));
        let pings = self.swept_up.drain(..self.swept_up.len().min(SWEPT_UP_BUDGET));
        replies.chain(pings).collect()
    }

    /// This connection is to be read on.
    pub(super) fn list_unread(&mut self, key: usize) {
        self.unread.push_back(key);
    }

    /// Those that are to be read on.
    pub(super) fn unread(&self) -> impl Iterator<Item = usize> {
        self.unread.iter().copied()
    }

    /// How many are to be read on.
    pub(super) fn count_unread(&self) -> usize {
        self.unread.len()
    }

    /// The one that has waited longest to be read on.
    pub(super) fn next_unread(&mut self) -> Option<usize> {
        self.unread.pop_front()
    }

    /// This connection is to be removed: its key may pass on to another, which has not waited. A scan, of those that wait.
    pub(super) fn unlist_unread(&mut self, key: usize) {
        self.unread.retain(|listed| *listed != key);
    }

    /// This connection need not wait for answers any longer.
    pub(super) fn list_answered(&mut self, key: usize) {
        self.answered.push(key);
    }

    /// Whether there are any such connections.
    pub(super) fn has_answered(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Those that need not wait for answers any longer.
    pub(super) fn take_answered(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.answered)
    }

    /// This connection can be sent another piece of its replay.
    pub(super) fn list_replaying(&mut self, key: usize) {
        self.replaying.push_back(key);
    }

    /// This connection is to be sent no more pieces, and its key may pass on. A scan, of those that wait.
    pub(super) fn unlist_replaying(&mut self, key: usize) {
        self.replaying.retain(|listed| *listed != key);
    }

    /// How many are to be sent another piece in this turn.
    pub(super) fn count_replaying(&self) -> usize {
        self.replaying.len().min(REPLAYS_PER_TURN)
    }

    /// The one that has waited longest for another piece.
    pub(super) fn next_replaying(&mut self) -> Option<usize> {
        self.replaying.pop_front()
    }

    /// Whether anybody waits for another piece.
    pub(super) fn is_replaying(&self) -> bool {
        !self.replaying.is_empty()
    }

    /// This publisher has to wait.
    pub(super) fn list_congested(&mut self, key: usize) {
        self.congested.push(key);
    }

    /// Those that need no longer wait. The first one of this time is the last one next time: otherwise it could take all the
    /// room there is, turn after turn.
    pub(super) fn take_congested(&mut self) -> Vec<usize> {
        let first = usize::from(!self.congested.is_empty());
        self.congested.rotate_left(first);
        std::mem::take(&mut self.congested)
    }

    /// Gives back the memory that a crowd has needed.
    pub(super) fn shrink(&mut self) {
        for list in [&mut self.dirty, &mut self.swept_up, &mut self.replaying] {
            list.shrink_to_fit();
        }
        self.unread.shrink_to_fit();
        self.congested.shrink_to_fit();
    }
}

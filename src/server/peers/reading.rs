//! How peers are read from: each until its socket is empty or its budget is used up, and not while it must wait.

use super::{Peers, SCRATCH_BYTES};
use crate::server::clock::Now;
use crate::server::connection::{Reading, Speaks};
use crate::server::socket::{Received, Socket};
use crate::wire::ending::Ending;

/// Bytes read from one connection in one turn, so that a loud one cannot keep others waiting; and what inflating its compressed
/// messages may cost.
pub(super) const READ_BUDGET: usize = SCRATCH_BYTES;

/// What inflating the messages of all may cost in one turn.
const INFLATED_BYTES: usize = 8 * READ_BUDGET;

/// What an event says about reading from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing: it can be written to.
    Room,
    /// There are bytes, and their end is announced by another event.
    Bytes,
    /// The peer has ended its side, or anything else: it is read until it would block.
    End,
}

impl<S: Socket> Peers<S> {
    /// Reads from a connection that can be read from, and notes that it may be writable again. One that has only sent
    /// something is not written to because there might be room.
    pub fn on_ready(&mut self, key: usize, readiness: Readiness, has_room: bool, now: Now) {
        let Some(connection) = self.connections.get(key) else { return };
        let is_listed = connection.reading == Reading::Listed;
        if has_room && connection.is_stalled() {
            self.mark_dirty(key);
        }
        if !is_listed && readiness != Readiness::Room {
            self.read_on(key, readiness == Readiness::Bytes, now);
        }
    }

    /// Reads from those that have connected and were not read from yet.
    pub fn read_newcomers(&mut self, now: Now) {
        let newcomers = self.connections.iter().filter(|(_, connection)| connection.is_new());
        for key in newcomers.map(|(key, _)| key).collect::<Vec<_>>() {
            self.read_on(key, false, now);
        }
    }

    /// Begins a turn: goes on reading where a budget or a pause has stopped it.
    pub fn read_unread(&mut self, now: Now) {
        self.let_go(now);
        self.inflated_before = self.inflater.cost();
        self.handshakes.begin_turn();
        for _ in 0..self.agenda.count_unread() {
            if self.has_inflated_enough() {
                break;
            }
            let Some(key) = self.agenda.next_unread() else { break };
            if self.is_in_line(key) {
                self.agenda.list_unread(key);
            } else if self.connections.contains(key) {
                self.read_on(key, false, now);
            }
        }
    }

    /// As `read_unread`, but only those whose requests or handshakes are half read; the others remain listed.
    pub fn read_half_read(&mut self, now: Now) {
        self.handshakes.begin_turn();
        for _ in 0..self.agenda.count_unread() {
            let Some(key) = self.agenda.next_unread() else { break };
            if self.is_half_read_by(key) {
                self.read_on(key, false, now);
            } else {
                self.agenda.list_unread(key);
            }
        }
    }

    /// Whether more has come of a request that is half read than one turn has read.
    pub fn has_half_read_unread(&self) -> bool {
        self.agenda.unread().any(|key| self.is_half_read_by(key))
    }

    /// The buffer, for others that read in this turn.
    pub fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    /// Reads until the socket is empty, the budget is used up, or the peer must take its answers first. Where another
    /// event would announce the end, a short read shows that it is empty, and a second one is saved.
    pub(super) fn read_on(&mut self, key: usize, is_end_announced: bool, now: Now) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut budget = READ_BUDGET;
        let inflated_before = self.inflater.cost();
        // Requests and messages may be left from a pause: they go first.
        self.converse(key, now);
        self.hear_unheard(key, now);
        let reading = loop {
            if self.must_stop_reading(key) {
                let (is_held_back, must_wait) = (self.is_held_back(key), self.must_wait(key));
                let connection = &mut self.connections[key];
                break match () {
                    () if connection.must_pause(&self.terms.limits) => Reading::Paused,
                    () if connection.awaited.stops_reading() => Reading::Unanswered,
                    // Nobody waits for what it has still to say. All others are read on before long, or written to.
                    () if is_held_back && !is_end_announced && connection.end_if_dead(now) => {
                        Reading::Awaited
                    }
                    () if is_held_back => Reading::HeldBack,
                    () if must_wait => Reading::Congested,
                    // There is more to be heard than fits into one turn.
                    () => Reading::Listed,
                };
            }
            let is_used_up = budget == 0
                || self.inflater.has_cost_since(inflated_before, READ_BUDGET)
                || self.is_put_off(key)
                || self.is_in_line(key);
            let connection = &mut self.connections[key];
            if is_used_up || connection.is_over() {
                break if is_used_up { Reading::Listed } else { Reading::Awaited };
            }
            let room = self
                .held_back
                .as_ref()
                .map_or(scratch.len(), |_| connection.room_for_messages(scratch.len()));
            let handshake = connection.handshake();
            let received = connection.read(&mut scratch[..room]);
            self.note_handshake(key, handshake, received, now);
            let connection = &mut self.connections[key];
            match received {
                Received::Bytes(count) => {
                    budget = budget.saturating_sub(count);
                    let is_empty = is_end_announced && connection.is_emptied_by(count, &scratch[..room]);
                    self.on_bytes(key, &scratch[..count], now);
                    if is_empty && !self.must_stop_reading(key) {
                        break Reading::Awaited;
                    }
                }
                Received::Nothing => break Reading::Awaited,
                Received::Finished => {
                    connection.on_finished(now);
                    break Reading::Awaited;
                }
                Received::Failed => {
                    connection.end(Ending::SocketFailed, now);
                    connection.give_up();
                    break Reading::Awaited;
                }
                Received::PlainHttp { head_only } => {
                    self.refuse_plain(key, head_only, now);
                    break Reading::Awaited;
                }
                Received::Broken => {
                    connection.end(Ending::TlsFailed, now);
                    break Reading::Awaited;
                }
            }
        };
        self.scratch = scratch;
        if reading == Reading::Listed {
            self.agenda.list_unread(key);
        }
        let connection = &mut self.connections[key];
        let was = std::mem::replace(&mut connection.reading, reading);
        if reading == Reading::Congested && was != Reading::Congested {
            self.agenda.list_congested(key);
        }
        // A pong or a request may have brought the next limit forward.
        self.upkeep.look_by(connection.next_look(&self.terms.limits));
        if connection.wants_settling() {
            self.agenda.mark_dirty(key, connection);
        }
    }

    fn on_bytes(&mut self, key: usize, bytes: &[u8], now: Now) {
        match self.connections[key].speaks() {
            Speaks::Http => {
                if let Some(requests) = self.connections[key].requests() {
                    requests.extend(bytes);
                }
                self.converse(key, now);
            }
            Speaks::WebSocket => self.hear(key, bytes, now),
            Speaks::EventStream | Speaks::NoMore => {}
        }
    }

    /// Whether so much has been inflated in this turn that others must not wait for more.
    fn has_inflated_enough(&self) -> bool {
        self.inflater.has_cost_since(self.inflated_before, INFLATED_BYTES)
    }

    /// Whether what a client sends has to wait for another turn, as it may be compressed. It is heard behind those that wait already.
    pub(super) fn is_put_off(&self, key: usize) -> bool {
        self.has_inflated_enough() && self.connections[key].may_compress()
    }

    /// Whether what the peer sends next is better left in its socket.
    pub(super) fn must_stop_reading(&self, key: usize) -> bool {
        self.must_wait(key) || self.unheard.holds(key)
    }

    /// Whether what the peer has sent has to wait, be it read already or not.
    pub(super) fn must_wait(&self, key: usize) -> bool {
        let connection = &self.connections[key];
        connection.must_pause(&self.terms.limits)
            || connection.awaited.stops_reading()
            || self.is_held_back(key)
            || connection.speaks() != Speaks::NoMore && connection.publishes && self.is_congested()
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;

//! All peers of this process: who is connected, who has something to flush, who hears what next.
//! Invariants: only `settle` writes to sockets and only `settle` removes connections, so that within one batch of
//! events a key cannot change its owner. It owns no poll and no listener: sockets are handed to it.

use std::io;

use jiff::Timestamp;
use log::info;
use slab::Slab;

use crate::http::door::Door;
use crate::http::keys::VerifyingKeys;
use crate::http::site::Site;
use crate::policy::addresses::Addresses;
use crate::policy::expiries::Expiries;
use crate::policy::feed::Feed;
use crate::policy::line::Line;
use crate::policy::mentions::Mentions;
use crate::policy::message_limit::MessageLimit;
use crate::policy::reconnect_notices::ReconnectNotices;
use crate::policy::tally::Tally;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Reading};
use crate::server::peers::agenda::Agenda;
use crate::server::peers::counts::Counts;
use crate::server::peers::guiding::ageing_notices;
use crate::server::peers::handshakes::Handshakes;
use crate::server::peers::leaving::Mode;
use crate::server::peers::register::Register;
use crate::server::peers::reports::Reports;
use crate::server::peers::unheard::Unheard;
use crate::server::peers::upkeep::Upkeep;
use crate::server::peers::waiting::Waiting;
use crate::server::socket::Socket;
use crate::server::terms::Terms;
use crate::wire::deflate::{Compressor, Inflater};

mod addressing;
mod agenda;
mod challenges;
mod conversation;
mod counts;
mod describing;
mod gaps;
mod guiding;
mod handshakes;
mod held_back;
#[cfg(test)]
mod house;
mod identities;
pub(super) mod leaving;
mod moving;
mod publishing;
mod reading;
mod register;
mod reports;
mod speaking;
mod streaming;
mod sweeping;
mod unheard;
mod upkeep;
mod waiting;

pub(super) use identities::Member;
pub use moving::{Arrival, Most};
pub use reading::Readiness;

/// The only read buffer in the process.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The slab of connections and what is known about all of them together.
#[derive(Debug)]
pub struct Peers<S> {
    connections: Slab<Connection<S>>,
    /// What is published.
    feed: Feed,
    waiting: Waiting,
    agenda: Agenda,
    upkeep: Upkeep,
    /// When whose token expires.
    expiries: Expiries,
    /// When each client is to reconnect: while the server leaves, or once its connection is old.
    notices: Option<ReconnectNotices>,
    counts: Counts,
    /// Who the clients are.
    register: Register,
    /// Whose the connections are, where that is limited.
    addresses: Option<Addresses>,
    unheard: Unheard,
    handshakes: Handshakes,
    /// Clients that send more messages than they may, where that is limited.
    held_back: Option<MessageLimit>,
    refused: Tally,
    unannounced: Tally,
    unreadable_challenges: Tally,
    /// Tokens that were shown in vain where the operators' is one that counts.
    wrong_tokens: Tally,
    /// What was published in this turn.
    turn_bytes: usize,
    reports: Reports,
    /// What the log has said of strangers.
    mentions: Mentions,
    scratch: Box<[u8]>,
    compressor: Compressor,
    inflater: Inflater,
    /// What inflating had cost when this turn began.
    inflated_before: u64,
    mode: Mode,
    /// Which id is the newest: otherwise nobody can be told behind what it listens.
    knows_newest: bool,
    site: Site,
    terms: Terms,
}

impl<S: Socket> Peers<S> {
    /// Nobody yet, in a process that starts now.
    pub fn new(terms: Terms, now: Now) -> Self {
        Self {
            connections: Slab::new(),
            feed: Feed::new(Line::empty(terms.epoch, terms.history)),
            waiting: Waiting::default(),
            agenda: Agenda::default(),
            upkeep: Upkeep::default(),
            expiries: Expiries::default(),
            notices: ageing_notices(&terms),
            counts: Counts::new(now),
            register: Register::default(),
            addresses: terms.addresses.map(Addresses::new),
            unheard: Unheard::default(),
            handshakes: Handshakes::default(),
            held_back: terms.messages.map(MessageLimit::new),
            refused: Tally::default(),
            unannounced: Tally::default(),
            unreadable_challenges: Tally::default(),
            wrong_tokens: Tally::default(),
            turn_bytes: 0,
            reports: Reports::default(),
            mentions: Mentions::default(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            compressor: Compressor::default(),
            inflater: Inflater::default(),
            inflated_before: 0,
            mode: Mode::Serving,
            knows_newest: true,
            site: Site::default(),
            terms,
        }
    }

    /// Takes in a peer, unless it is to be closed at once. `socket` is given the key under which its events are to be
    /// announced.
    ///
    /// # Errors
    /// Those of `socket`; nobody is taken in then.
    pub fn admit(
        &mut self,
        door: Door,
        now: Now,
        socket: impl FnOnce(usize) -> io::Result<S>,
    ) -> io::Result<Option<usize>> {
        let expires = now + self.terms.limits.handshake;
        let mut connection = Connection::new(socket(self.connections.vacant_key())?, expires);
        connection.door = door;
        if !self.greet(&mut connection, now) {
            return Ok(None);
        }
        let key = self.connections.insert(connection);
        self.upkeep.on_admitted(self.connections.len());
        self.upkeep.look_by(Some(expires));
        Ok(Some(key))
    }

    /// Verifies tokens by other keys from now on. Whoever is here stays for as long as its token says.
    pub fn replace_keys(&mut self, keys: VerifyingKeys) {
        if let Some(auth) = &mut self.terms.auth {
            auth.replace_keys(keys);
        }
    }

    /// Newcomers are shown a certificate that ends then.
    pub fn show_certificate(&mut self, until: Option<Timestamp>) {
        self.counts.show_certificate(until);
    }

    /// The WebSockets and event streams that have not departed.
    pub fn clients(&self) -> usize {
        self.counts.clients()
    }

    /// All who are connected, clients or not.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Bytes that sockets have taken since the start.
    pub fn bytes_taken(&self) -> u64 {
        self.counts.bytes_sent()
    }

    /// A turn begins.
    pub fn on_turn(&mut self, now: Now) {
        self.counts.on_turn(now);
    }

    /// Whether there is something to do that no event will announce: the loop must not sleep.
    pub fn has_work(&self) -> bool {
        self.agenda.has_work() || self.feed.is_pending()
    }

    /// Whether there is something to write that no event will announce, whatever there may be to read.
    pub fn wants_settling(&self) -> bool {
        self.agenda.wants_settling() || self.feed.is_pending()
    }

    /// Flushes replies, carries fan-out and replays on, and buries the ended.
    pub fn settle(&mut self, now: Now) {
        self.send_notices(now);
        for key in self.agenda.take_dirty() {
            self.connections[key].dirty = false;
            self.flush(key, now);
        }
        self.fan_out(now);
    }

    /// Flushes one connection, and does what follows from how that went.
    fn flush(&mut self, key: usize, now: Now) {
        let connection = &mut self.connections[key];
        let waited = connection.queued();
        connection.flush(now, &self.terms.limits);
        self.counts.on_sent(waited, connection.queued(), connection.is_client);
        if let Some(ending) = connection.ending() {
            self.feed.forget(key);
            self.unheard.forget(key);
            if let Some(held_back) = &mut self.held_back {
                held_back.forget(key);
            }
            if let Some(replay) = connection.replay.take() {
                if replay.is_listed {
                    self.agenda.unlist_replaying(key);
                }
                self.feed.abandon(*replay);
            }
            connection.member.take().into_iter().for_each(|member| member.forget(key, &mut self.expiries));
            if connection.has_departed() && std::mem::take(&mut connection.is_client) {
                let is_stream = connection.is_stream();
                self.counts.on_departed(ending, is_stream);
                if let Some(notices) = &mut self.notices {
                    notices.forget(key);
                }
                self.say_departed(key, ending, is_stream, now);
                if self.mode != Mode::Farewell {
                    info!("Client disconnected. Total connections: {}", self.counts.clients());
                }
            }
        }
        let connection = &mut self.connections[key];
        if connection.is_over() {
            return self.bury(key, now);
        }
        let is_read_on = match connection.reading {
            Reading::Paused => !connection.must_pause(&self.terms.limits),
            // So that it can be parted with.
            Reading::HeldBack => connection.ending().is_some(),
            _ => false,
        };
        if is_read_on {
            connection.reading = Reading::Listed;
            self.agenda.list_unread(key);
        }
        self.upkeep.look_by(connection.next_look(&self.terms.limits));
        self.list_replay(key);
    }

    /// Removes one that is over. Its key must not pass on to another while it is listed as dirty, or while an answer to it is
    /// still to come: it is settled again then.
    fn bury(&mut self, key: usize, now: Now) {
        let connection = &mut self.connections[key];
        if connection.dirty || connection.awaited.any() {
            return;
        }
        if connection.may_be_buried(now) {
            self.forget_handshake(key);
            self.register.leave(key);
            let connection = self.connections.remove(key);
            if connection.reading == Reading::Listed {
                self.agenda.unlist_unread(key);
            }
            self.count_out(&connection, now);
            self.upkeep.shrink_later(now.instant);
        } else {
            self.upkeep.look_by(connection.next_look(&self.terms.limits));
        }
    }

    fn mark_dirty(&mut self, key: usize) {
        self.agenda.mark_dirty(key, &mut self.connections[key]);
    }
}

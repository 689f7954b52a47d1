//! All peers as they are handed over to another process, and as they go on in this one.

use std::collections::HashMap;
use std::io::{self, Write};

use bytes::Bytes;

use super::Peers;
use super::agenda::Agenda;
use super::leaving::Mode;
use crate::http::door::Door;
use crate::policy::addresses::Address;
use crate::policy::feed::Feed;
use crate::policy::handover::{FEW_BYTES, MOST_BYTES};
use crate::policy::history::History;
use crate::policy::line::Line;
use crate::policy::replay::Forgotten;
use crate::policy::sequencer::Position;
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::connection::{Connection, Reading, Speaks, Standing};
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::handover::Damaged;
use crate::wire::handover::image::Writer;
use crate::wire::handover::record::{self, Monotonic, Piece, Record};
use crate::wire::handover::secured::Tls;
use crate::wire::handover::times::Moment;
use crate::wire::metrics::{Handover, Metrics};

/// How much there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Connections.
    pub connections: usize,
    /// Bytes that these are in the midst of, where that are more than a few for each.
    pub bytes: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self { connections: usize::MAX, bytes: MOST_BYTES }
    }
}

/// A connection that comes from another process, as far as its socket has to do with it.
#[derive(Debug)]
pub struct Arrival {
    /// By which its events come.
    pub key: usize,
    /// Where it came in.
    pub door: Door,
    /// How TLS stands, if that is spoken on it.
    pub tls: Option<Tls>,
}

/// The pieces that several outboxes share, by where they end in memory: of one that has been written in part the rest ends
/// there, too.
#[derive(Default)]
struct Shared {
    known: HashMap<*const u8, SharedPiece>,
    count: u64,
}

/// As much of a piece as anybody has still to be written.
struct SharedPiece {
    octets: Bytes,
    /// Once it is written.
    number: Option<u64>,
}

impl Shared {
    /// Somebody has still to be written this.
    fn note(&mut self, octets: &Bytes) {
        if octets.is_unique() {
            return;
        }
        let end = octets.as_ptr_range().end;
        let new = || SharedPiece { octets: octets.clone(), number: None };
        let known = self.known.entry(end).or_insert_with(new);
        if known.octets.len() < octets.len() {
            known.octets = octets.clone();
        }
    }

    /// Whether it was noted.
    fn holds(&self, octets: &Bytes) -> bool {
        self.known.contains_key(&octets.as_ptr_range().end)
    }

    /// How a piece that was noted is written, once `write` has written what others share of it.
    fn piece(&mut self, octets: &Bytes, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<Piece> {
        let Some(known) = self.known.get_mut(&octets.as_ptr_range().end) else {
            return Ok(Piece::Own(octets.to_vec()));
        };
        let number = match known.number {
            Some(number) => number,
            None => {
                write(&known.octets)?;
                self.count += 1;
                *known.number.insert(self.count - 1)
            }
        };
        Ok(Piece::Shared { number, skip: (known.octets.len() - octets.len()) as u64 })
    }
}

impl<S: Socket> Peers<S> {
    /// Whether somebody is in the midst of a request, so that it could not be handed over now.
    pub fn is_asked(&self) -> bool {
        self.connections.iter().any(|(_, connection)| !connection.can_move() && connection.ending().is_none())
    }

    /// Whether a request of this one is half read, or it is about to end.
    pub fn is_half_read_by(&self, key: usize) -> bool {
        let connection = self.connections.get(key);
        connection.is_some_and(|connection| connection.is_half_read() || connection.ending().is_some())
    }

    /// Whether somebody waits for the answer to a request.
    pub fn awaits_answers(&self) -> bool {
        self.connections
            .iter()
            .any(|(_, connection)| connection.awaits_answer() && connection.ending().is_none())
    }

    /// Whether a request is half read.
    pub fn is_half_read(&self) -> bool {
        self.connections
            .iter()
            .any(|(_, connection)| connection.is_half_read() && connection.ending().is_none())
    }

    /// Writes how each stands that can be handed over, as many as there is room for, and gives back their keys in the same order.
    /// Takes nothing away.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pack<W: Write>(
        &mut self,
        now: Now,
        at: Moment,
        most: Most,
        to: &mut Writer<W>,
    ) -> io::Result<Vec<usize>> {
        // From here on nobody has anything to hear but what is in its outbox, or in the history.
        while let Some(key) = self.feed.next_subscriber() {
            self.hand_pending(key, now);
            // In case that all goes on here.
            if let Some(connection) = self.connections.get_mut(key).filter(|it| it.wants_settling()) {
                self.agenda.mark_dirty(key, connection);
            }
        }
        let (mut shared, mut packed) = (Shared::default(), vec![]);
        for (_, connection) in &self.connections {
            connection.queue().for_each(|octets| shared.note(octets));
        }
        let mut room = most.bytes;
        for (key, connection) in &self.connections {
            if packed.len() == most.connections {
                break;
            }
            let own = connection.bytes_to_move(|octets| shared.holds(octets)) + self.unheard.of(key).len();
            let weight = if own > FEW_BYTES { own } else { 0 };
            if weight > room {
                continue;
            }
            let piece = |octets: &Bytes| shared.piece(octets, |octets| to.shared(octets));
            let Some(record) = connection.pack(at, piece)? else { continue };
            to.connection(&self.complete(key, connection, record, at))?;
            room -= weight;
            packed.push(key);
        }
        Ok(packed)
    }

    /// Adds what is known of a connection by its key.
    fn complete(&self, key: usize, connection: &Connection<S>, record: Record, at: Moment) -> Record {
        let [reconnects, closes] = self.notices.as_ref().map_or([None; 2], |notices| notices.times_of(key));
        let pace = self.held_back.as_ref().and_then(|held_back| held_back.times_of(key));
        Record {
            member: connection.member.as_deref().map(|member| member.pack()),
            client: connection.is_client.then(|| self.record_of(key)),
            filters: self.feed.filters(key).map(|filter| filter.as_str().to_owned()).collect(),
            replay: connection.replay.as_deref().map(|replay| record::Replay {
                reached: replay.reached(),
                filters: replay
                    .filters()
                    .iter()
                    .map(|(filter, from)| (filter.as_str().to_owned(), *from))
                    .collect(),
            }),
            unheard: self.unheard.of(key).to_vec(),
            pace: pace.map(|(full_at, held_until)| record::Pace {
                full_at: at.monotonic(full_at),
                held_until: held_until.map(|until| at.monotonic(until)),
            }),
            reconnects: reconnects.map(|time| at.monotonic(time)),
            closes: closes.map(|time| at.monotonic(time)),
            ..record
        }
    }

    /// The addresses that have had connections lately, and when each may have as many as ever.
    pub fn addresses_lately(&self, now: Now, at: Moment) -> Vec<(u64, Monotonic)> {
        let lately = self.addresses.iter().flat_map(|addresses| addresses.lately(now.instant));
        lately.map(|(address, full_at)| (address.number(), at.monotonic(full_at))).collect()
    }

    /// The socket of a connection.
    pub fn socket(&mut self, key: usize) -> Option<&mut S> {
        self.connections.get_mut(key).map(Connection::socket)
    }

    /// The sockets of connections that are here.
    pub fn sockets(&self, keys: &[usize]) -> Vec<&S> {
        keys.iter().filter_map(|key| self.connections.get(*key)).map(Connection::its_socket).collect()
    }

    /// Forgets those who are another process's now, with all that was known of them. Those who are left are to end.
    pub fn part_with(&mut self, moved: &[usize], now: Now) {
        for key in moved {
            let is_client = self.connections.get(*key).is_some_and(|connection| connection.is_client);
            if is_client {
                self.note_moved_out(*key);
            }
            let connection = self.connections.try_remove(*key);
            let member = connection.and_then(|connection| connection.member);
            member.into_iter().for_each(|member| member.forget(*key, &mut self.expiries));
            self.unheard.forget(*key);
        }
        let left = || self.connections.iter().filter(|(_, connection)| connection.is_client);
        let streams = left().filter(|(_, connection)| connection.is_stream()).count();
        self.counts.part_with(left().count(), streams);
        self.bring_the_rest(now);
        let line = self.feed.line();
        let history = History::new(self.terms.history, line.newest());
        self.feed = Feed::new(Line::new(line.epochs().clone(), history));
        (self.notices, self.held_back, self.addresses) = (None, None, None);
        self.agenda = Agenda::default();
        self.mode = Mode::Leaving;
        for (key, connection) in &mut self.connections {
            connection.dirty = false;
            self.agenda.mark_dirty(key, connection);
            connection.reading = Reading::Listed;
            self.agenda.list_unread(key);
        }
        self.upkeep.shrink_later(now.instant);
    }

    /// Queues for those who are left all that they miss: the history goes, and they are told how far they have heard.
    fn bring_the_rest(&mut self, now: Now) {
        for (_, connection) in &mut self.connections {
            let Some(mut replay) = connection.replay.take() else { continue };
            while !self.feed.is_complete(&replay) {
                match self.feed.next_piece(&mut replay, usize::MAX) {
                    Ok(piece) => {
                        piece
                            .iter()
                            .for_each(|message| connection.send_missed(message, &mut self.compressor));
                    }
                    Err(Forgotten) => {
                        connection.end(Ending::TooSlow, now);
                        break;
                    }
                }
            }
            connection.finish_if_answered(now);
        }
    }

    /// A hand-over has come to an end.
    pub fn count_handover(&mut self, handover: Handover) {
        self.counts.on_handed_over(handover);
    }

    /// Goes on with what another process has counted.
    pub fn go_on_counting(&mut self, counted: Metrics) {
        self.counts.go_on(counted);
    }

    /// Goes on with what another process knew of addresses.
    pub fn remember_addresses(&mut self, known: &[(u64, Monotonic)], now: Now, at: Moment) {
        let Some(addresses) = &mut self.addresses else { return };
        for (number, full_at) in known {
            if let Some(address) = Address::from_number(*number) {
                addresses.remember(address, at.instant(*full_at), now.instant);
            }
        }
    }

    /// Takes in a connection that another process has handed over; `socket` makes its socket. It is read from and written to
    /// as soon as there is an event for it.
    ///
    /// # Errors
    /// Those of `socket`, and when it cannot stand so.
    pub fn take_over(
        &mut self,
        record: Record,
        socket: impl FnOnce(Arrival) -> io::Result<S>,
        now: Now,
        at: Moment,
        shared: &[Bytes],
    ) -> io::Result<()> {
        let key = self.connections.vacant_key();
        let mut record = record;
        let (member, replay, pace) = (record.member.take(), record.replay.take(), record.pace.take());
        let client = record.client.take();
        let (filters, unheard) = (std::mem::take(&mut record.filters), std::mem::take(&mut record.unheard));
        let times = [record.reconnects, record.closes].map(|time| time.map(|time| at.instant(time)));
        let door = Connection::<S>::door_of(&record);
        let socket = socket(Arrival { key, door, tls: record.tls.take() })?;
        let has_read_ahead = socket.has_read_ahead();
        let mut connection = Connection::unpack(record, socket, at, shared).map_err(io::Error::other)?;
        let (is_client, speaks) = (connection.is_client, connection.speaks());
        if !is_client && (!filters.is_empty() || replay.is_some() || !unheard.is_empty()) {
            return Err(io::Error::other(Damaged));
        }
        let has_begun = connection.requests().is_some_and(|requests| requests.has_begun());
        let key = self.connections.insert(connection);
        for filter in parse(&filters)? {
            self.feed.subscribe(key, &filter, None).map_err(|_| io::Error::other(Damaged))?;
        }
        if let Some(replay) = replay {
            self.replay_on(key, replay, now)?;
        }
        if let Some(member) = member {
            self.identify_again(key, member, now)?;
        }
        self.unheard.keep(key, &unheard);
        if let (Some(held_back), Some(pace)) = (&mut self.held_back, pace) {
            let held_until = pace.held_until.map(|until| at.instant(until));
            held_back.remember(key, at.instant(pace.full_at), held_until, now.instant);
        }
        if is_client {
            self.counts.on_moved_in(speaks == Speaks::EventStream);
            self.note_moved_in(key, client.as_ref(), now);
            if let Some(notices) = &mut self.notices {
                notices.join_again(key, times, now.instant);
            }
        }
        self.count_in(key, now);
        let connection = &mut self.connections[key];
        connection.go_on_by(now, &self.terms.limits);
        self.upkeep.look_by(connection.next_look(&self.terms.limits));
        // What its socket holds or has room for, an event announces: it has just been registered.
        if connection.wants_settling() {
            self.agenda.mark_dirty(key, connection);
        }
        // Whole requests may have waited for the peer to take its answers.
        if self.unheard.holds(key) || has_begun || has_read_ahead {
            connection.reading = Reading::Listed;
            self.agenda.list_unread(key);
        }
        self.list_replay(key);
        self.upkeep.on_admitted(self.connections.len());
        Ok(())
    }

    /// Counts one that another process has counted.
    fn count_in(&mut self, key: usize, now: Now) {
        let connection = &mut self.connections[key];
        let (Some(addresses), Some(address)) = (&mut self.addresses, connection.address) else { return };
        match connection.standing {
            Standing::Uncounted | Standing::RefusedRequest => {}
            Standing::Counted => addresses.adopt(address, false, now.instant),
            Standing::Refused => addresses.adopt(address, true, now.instant),
        }
    }

    fn replay_on(&mut self, key: usize, replay: record::Replay, now: Now) -> io::Result<()> {
        let (names, from): (Vec<String>, Vec<Position>) = replay.filters.into_iter().unzip();
        let filters = parse(&names)?.into_iter().zip(from).collect();
        match self.feed.replay_on(replay.reached, filters) {
            Some(replay) => self.connections[key].replay = Some(Box::new(replay)),
            // Told so, the client resumes, and is answered that something is missing.
            None => self.connections[key].end(Ending::TooSlow, now),
        }
        Ok(())
    }
}

/// The filters of a record.
pub(super) fn parse(filters: &[String]) -> io::Result<Vec<Filter>> {
    filters.iter().map(|filter| Filter::parse(filter).map_err(|_| io::Error::other(Damaged))).collect()
}

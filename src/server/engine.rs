//! The way to the engine that orders the publications of several machines: what is published goes there, and only what comes back
//! from there is heard. Owns no poll and opens no connection: sockets are handed to it. What comes next is decided by
//! `policy::engine`, what is said by `wire::engine`.
//!
//! Invariant: whoever has asked is answered once, also when the engine is gone: publishers in their order, and those who wait until all
//! has been heard in theirs, so that no publisher ever waits for these.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::engine::Course;
use crate::policy::engine::fault::Fault;
use crate::policy::engine::refusals::Refusals;
use crate::policy::engine::step::{Greeting, Line};
use crate::policy::sequencer::PublicationId;
use crate::server::clock::Now;
use crate::server::engine::conversation::Conversation;
use crate::server::engine::owed::Owed;
use crate::server::socket::Socket;
use crate::wire::engine::Speaker;
use crate::wire::engine::entry::Entry;
use crate::wire::engine::publishing::Sent;
use crate::wire::publish::Submission;
use crate::wire::published::{Published, Unpublished};

mod acting;
mod conversation;
pub mod dial;
mod hearing;
mod news;
mod owed;
pub mod security;
mod status;

pub use news::{News, Wanted};

/// What waits for the engine before publishers have to wait, too.
const CONGESTED_BYTES: usize = 4 * 1024 * 1024;

/// How long all wait at the doors at the start for an engine that cannot be used: it may be starting, too. Then they are told so.
const START_LIMIT: Duration = Duration::from_secs(3);

/// What is the same for one engine as long as the process lives.
#[derive(Debug, Clone)]
pub struct EngineTerms {
    /// Says what is to be said.
    pub speaker: Speaker,
    /// As lines of the log name it, without any password.
    pub name: String,
    /// The sentinels that know where it is, as lines of the log name them; none if it is known.
    pub sentinels: Vec<String>,
    /// How many entries are read at once at most.
    pub page: usize,
    /// How long a replica is waited for, in milliseconds, if one is.
    pub wait_ms: Option<u32>,
    /// Draws pauses: another number on each machine.
    pub seed: u64,
}

/// The connections to the engine, and who waits for it. `K` says who asks.
#[derive(Debug)]
pub struct Engine<S, K> {
    terms: EngineTerms,
    course: Course,
    /// Which sentinel is asked.
    sentinel: usize,
    locator: Option<Conversation<S, Expected>>,
    writer: Option<Conversation<S, Expected>>,
    reader: Option<Conversation<S, Expected>>,
    /// Of these connections: what belongs to earlier ones is passed over.
    generation: u64,
    greeting: Option<Greeting>,
    owed: Owed<K, Given>,
    /// What is to be published once it is known whether the engine is there, by their numbers.
    early: Vec<(u64, Submission)>,
    /// To those who wait until all has been heard.
    syncs: Owed<K, ()>,
    /// Published, and not known to be on a replica: those about which the engine was asked first.
    unconfirmed: VecDeque<(u64, Result<Published, Unpublished>)>,
    /// How many of what was published it was not asked about.
    unasked: usize,
    /// What has come of the stream and was not taken yet; nothing between two answers.
    page: Option<PageOf>,
    news: VecDeque<News<K>>,
    clients: usize,
    begun: Instant,
    /// Somebody may come in already.
    serves: bool,
    has_been_up: bool,
    /// Why it cannot be used.
    why_down: Option<String>,
    /// What this generation was refused, though the engine is there.
    refusals: Refusals,
}

/// Entries of one answer.
#[derive(Debug)]
struct PageOf {
    entries: std::vec::IntoIter<Entry>,
    is_full: bool,
    /// They were there before this machine was.
    is_old: bool,
}

/// What is expected in return for what was asked.
#[derive(Debug)]
enum Expected {
    Master,
    Greeting,
    Done,
    Anything,
    Begun,
    /// With so many entries at most.
    Page(usize),
    News,
    Tail,
    /// This was known by then.
    Beat(PublicationId),
    /// The same.
    Notified(PublicationId),
    Published {
        number: u64,
        sent: Sent,
    },
    /// Of so many publications, whether a replica has them.
    Confirmed(usize),
}

/// What a publisher has waited for.
#[derive(Debug)]
enum Given {
    Published(Result<Published, Unpublished>),
    /// Nothing but its turn.
    Passed,
}

impl<S: Socket, K> Engine<S, K> {
    /// Nothing is connected yet; `poll` says what is to be.
    pub fn new(terms: EngineTerms, now: Now) -> Self {
        Self {
            course: Course::new(terms.sentinels.len(), terms.page, terms.seed, now.instant),
            terms,
            sentinel: 0,
            locator: None,
            writer: None,
            reader: None,
            generation: 0,
            greeting: None,
            owed: Owed::default(),
            early: vec![],
            syncs: Owed::default(),
            unconfirmed: VecDeque::new(),
            unasked: 0,
            page: None,
            news: VecDeque::new(),
            clients: 0,
            begun: now.instant,
            serves: false,
            has_been_up: false,
            why_down: None,
            refusals: Refusals::default(),
        }
    }

    /// Goes on behind what a predecessor has heard. To be called ahead of everything else.
    pub fn go_on_behind(&mut self, newest: PublicationId) {
        // Epoch 0 is that of a predecessor that has never heard anything: all is still to be read.
        if newest.epoch() > 0 {
            self.course.go_on_behind(newest);
        }
        self.serves = true;
    }

    /// Whether nobody need wait at the doors any longer: all that the stream held has been read, or that cannot be done now.
    pub fn may_serve(&self) -> bool {
        self.serves
    }

    /// Whether all that the stream held has been read once, here or by a predecessor.
    pub fn has_read_all(&self) -> bool {
        self.course.has_read_all()
    }

    /// Publishes for somebody, all of it or nothing. Whether the engine is there is waited for once, at the beginning: a successor's
    /// publishers are not to notice that it makes connections of its own.
    pub fn submit(&mut self, who: K, submission: Submission, now: Now) {
        let number = self.owed.ask(who);
        if self.has_been_up || self.course.has_failed() {
            self.order(number, &submission, now);
        } else {
            self.early.push((number, submission));
        }
    }

    fn order(&mut self, number: u64, submission: &Submission, now: Now) {
        let (Some(epoch), Some(writer)) = (self.course.epoch(), &mut self.writer) else {
            return self.owed.answer(number, Given::Published(Err(Unpublished::EngineDown)));
        };
        let (speaker, at) = (&self.terms.speaker, now.wall.as_millisecond());
        let known = self.course.known();
        let sent = writer.write(now.instant, |to| speaker.publish(submission, epoch, known, at, to));
        writer.expect(Expected::Published { number, sent });
        self.unasked += 1;
    }

    /// Says so once all has been heard that was published before, or that takes too long. Nobody else waits for that.
    pub fn sync(&mut self, who: K, now: Instant) {
        let number = self.syncs.ask(who);
        self.course.sync(number, now);
    }

    /// Publishes nothing for somebody, and says so once all is answered that was to be published before.
    pub fn pass(&mut self, who: K) {
        let number = self.owed.ask(who);
        self.owed.answer(number, Given::Passed);
    }

    /// Publishes the periodic notification, unless a machine has done so during the last period or most of it.
    pub fn notify(&mut self, period: Duration, now: Now) {
        let (Some(epoch), Some(writer)) = (self.course.epoch(), &mut self.writer) else { return };
        let (speaker, clients) = (&self.terms.speaker, self.clients);
        let (within_ms, at) = (period.as_millis() * 9 / 10, now.wall.as_millisecond());
        writer.write(now.instant, |to| speaker.notify(clients, within_ms, epoch, at, to));
        writer.expect(Expected::Notified(self.course.known()));
    }

    /// This machine has so many clients.
    pub fn count(&mut self, clients: usize) {
        self.clients = clients;
    }

    /// Whether publishers have to wait until what they have sent is taken, or heard.
    pub fn is_congested(&self) -> bool {
        !self.early.is_empty()
            || self.course.backlog() > self.terms.speaker.most_behind()
            || self.writer.as_ref().is_some_and(|writer| writer.queued_bytes() > CONGESTED_BYTES)
    }

    /// Whether there is something to do that no event will announce. Where so much has still to reach its subscribers that it
    /// `is_behind`, nothing more is taken in of what was published.
    pub fn has_work(&self, is_behind: bool) -> bool {
        let heard = self.reader.as_ref().filter(|_| !is_behind);
        let mut unread = [self.locator.as_ref(), self.writer.as_ref(), heard].into_iter().flatten();
        self.page.is_some()
            || !self.news.is_empty()
            || self.conversations().any(Conversation::wants_flush)
            || unread.any(Conversation::is_unread)
    }

    /// When there is something to do, though nothing has come.
    pub fn next_deadline(&self) -> Option<Instant> {
        let start = (!self.serves && self.course.has_failed()).then_some(self.begun + START_LIMIT);
        let deadlines = self.conversations().filter_map(Conversation::deadline).chain(start);
        deadlines.chain(self.course.deadline()).min()
    }

    /// A connection that was wanted is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>, now: Instant) {
        if wanted.generation != self.generation {
            return;
        }
        match socket {
            Ok(socket) => {
                if let Some(conversation) = self.conversation(wanted.line) {
                    conversation.connect(socket);
                }
            }
            Err(why) => self.fail(wanted.line, Fault::Connection(why), now),
        }
    }

    /// A socket is ready.
    pub fn on_ready(&mut self, line: Line) {
        self.conversation(line).iter_mut().for_each(Conversation::on_ready);
    }

    /// Takes in what the engine has said, for `poll`: not what was published while so much of that has still to reach its
    /// subscribers that it `is_behind`.
    pub fn take_in(&mut self, is_behind: bool, scratch: &mut [u8], now: Now) {
        for line in [Line::Locator, Line::Writer, Line::Reader] {
            let waits = line == Line::Reader && (is_behind || self.page.is_some());
            let Some(conversation) = self.conversation(line) else { continue };
            if waits {
                conversation.excuse(now.instant);
                continue;
            }
            let is_late = |it: &Conversation<S, Expected>| it.deadline().is_some_and(|at| at <= now.instant);
            // What has come while this process was not running counts.
            if is_late(conversation) {
                conversation.on_ready();
            }
            let mut replies = vec![];
            let taken = if conversation.is_unread() {
                conversation.take(scratch, now.instant, &mut replies)
            } else {
                Ok(())
            };
            let silence = is_late(conversation).then(|| conversation.silence());
            let generation = self.generation;
            for (expected, reply) in replies {
                let heard = self.hear(expected, reply, now);
                heard.unwrap_or_else(|fault| self.fail(line, fault, now.instant));
            }
            if let Some(fault) = taken.err().or(silence)
                && generation == self.generation
            {
                self.fail(line, fault, now.instant);
            }
        }
    }

    /// Sends what waits for the engine.
    pub fn flush(&mut self, now: Instant) {
        if let (Some(most), Some(writer)) = (self.terms.wait_ms, &mut self.writer)
            && self.unasked > 0
            && !writer.is_held()
        {
            let asked = std::mem::take(&mut self.unasked);
            writer.write(now, |to| self.terms.speaker.wait(most, to));
            writer.expect(Expected::Confirmed(asked));
            // The engine would do nothing else for this connection meanwhile: what is published until it answers is confirmed together,
            // instead of each waiting for all those before it.
            writer.hold();
        }
        for line in [Line::Locator, Line::Writer, Line::Reader] {
            let flushed = self.conversation(line).as_mut().map_or(Ok(()), |it| it.flush(now));
            flushed.unwrap_or_else(|fault| self.fail(line, fault, now));
        }
    }

    /// What there is to hear or to do next. Call until `None`.
    pub fn poll(&mut self, now: Now) -> Option<News<K>> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            if let Some((who, given)) = self.owed.next() {
                return Some(match given {
                    Given::Published(outcome) => News::Published(who, outcome),
                    Given::Passed => News::Passed(who),
                });
            }
            if let Some((who, ())) = self.syncs.next() {
                return Some(News::Synced(who));
            }
            if let Some(page) = &mut self.page {
                match page.entries.next() {
                    Some(entry) => {
                        let is_old = page.is_old;
                        self.take(entry, is_old, now);
                    }
                    None => {
                        let is_full = page.is_full;
                        self.page = None;
                        self.course.on_page(is_full, now.instant);
                    }
                }
                continue;
            }
            let Some(step) = self.course.poll(now.instant) else {
                let is_late = now.instant >= self.begun + START_LIMIT && self.course.has_failed();
                self.serves |= self.course.has_read_all() || is_late;
                return None;
            };
            self.perform(step, now);
        }
    }

    fn fail(&mut self, line: Line, fault: Fault, now: Instant) {
        match line {
            Line::Locator => {
                let name = self.terms.sentinels.get(self.sentinel).cloned().unwrap_or_default();
                self.course.on_locator_fault(Fault::Sentinel { name, fault: fault.into() }, now);
            }
            Line::Writer | Line::Reader => self.course.on_fault(fault, now),
        }
    }

    fn conversation(&mut self, line: Line) -> &mut Option<Conversation<S, Expected>> {
        match line {
            Line::Locator => &mut self.locator,
            Line::Writer => &mut self.writer,
            Line::Reader => &mut self.reader,
        }
    }

    fn conversations(&self) -> impl Iterator<Item = &Conversation<S, Expected>> {
        [&self.locator, &self.writer, &self.reader].into_iter().flatten()
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

//! How a machine keeps company with its engine, the Redis or Valkey whose stream is the order of all machines: where it is
//! connected to, what is asked of it next, when it counts as gone, and when to try again. Knows no socket and no protocol: it is
//! told what was answered, and says step by step what is to be done.
//!
//! Two connections make a generation: by one of them (the writer) is published, by the other (the reader) is heard. They come
//! and go together, so that no answer of an earlier one is ever taken for one of a later one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::engine::behind::Behind;
use crate::policy::engine::cursor::{Cursor, Kind, Taken};
use crate::policy::engine::dice::Dice;
use crate::policy::engine::fault::Fault;
use crate::policy::engine::marks::Marks;
use crate::policy::engine::page::PageSize;
use crate::policy::engine::step::{Ask, Beaten, Begun, Greeting, Line, Step, Target};
use crate::policy::sequencer::PublicationId;

mod behind;
pub mod cursor;
mod dice;
pub mod fault;
pub mod marks;
mod page;
pub mod refusals;
pub mod step;

/// How long an answer may take; then the engine counts as gone. Longer by what a question itself lets it wait.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long the engine waits for a publication before it answers the reader that there is none.
pub const BLOCK: Duration = Duration::from_secs(5);

/// How often a machine reports itself, and looks whether it is still the right engine.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(5);

/// How often a sentinel is asked for the master while all is well: one that was replaced goes on taking publications, which are
/// lost, until it hears of that itself, some ten seconds later.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The oldest that knows `XADD key <epoch>-*` (Redis 7.0).
const OLDEST: (u32, u32) = (7, 0);

/// What is heard where nothing is.
const NOTHING: PublicationId = PublicationId::new(0, 0);

/// How far the current attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Locating,
    Greeting,
    Beginning,
    Reading,
    Following,
}

/// What is known of the engine, and what comes next.
#[derive(Debug)]
pub struct Course {
    state: State,
    steps: VecDeque<Step>,
    cursor: Cursor,
    marks: Marks,
    begun: Option<Begun>,
    /// How many sentinels there are, and which one is asked next.
    sentinels: (usize, usize),
    /// Where this generation is connected to.
    target: Target,
    /// Where the next one is to be, once.
    redirected: Option<Target>,
    /// Attempts since all was well for a while.
    failures: u32,
    /// Since when all is well, or was last.
    up_since: Instant,
    /// Draws pauses and epochs, differently on each machine.
    dice: Dice,
    page_size: PageSize,
    next_beat: Option<Instant>,
    /// When a sentinel is asked again; `None` while it is, or where there is none.
    next_watch: Option<Instant>,
    /// Whether there is a connection to one.
    is_watching: bool,
    behind: Behind,
    /// The stream was put back in an earlier state, and no epoch has begun since.
    is_set_back: bool,
    /// Since when nothing could be heard.
    down_since: Option<Instant>,
    has_read_all: bool,
}

impl Course {
    /// Nothing is known yet. There are so many sentinels to ask, if any; at most so many entries, 1 or more, are read at once.
    pub fn new(sentinels: usize, page: usize, seed: u64, now: Instant) -> Self {
        Self {
            state: State::Waiting { until: now },
            steps: VecDeque::new(),
            cursor: Cursor::default(),
            marks: Marks::default(),
            begun: None,
            sentinels: (sentinels, 0),
            target: Target::Configured,
            redirected: None,
            failures: 0,
            up_since: now,
            dice: Dice::new(seed),
            page_size: PageSize::new(page),
            next_beat: None,
            next_watch: None,
            is_watching: false,
            behind: Behind::default(),
            is_set_back: false,
            down_since: Some(now),
            has_read_all: false,
        }
    }

    /// Goes on behind what a predecessor has heard. To be called ahead of everything else.
    pub fn go_on_behind(&mut self, newest: PublicationId) {
        (self.cursor, self.has_read_all) = (Cursor::behind(newest), true);
    }

    /// What is to be done next. Call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        if self.steps.is_empty() {
            self.keep_time(now);
        }
        self.steps.pop_front()
    }

    /// When there is something to do, though nothing has come.
    pub fn deadline(&self) -> Option<Instant> {
        let own = match self.state {
            State::Waiting { until } => Some(until),
            _ => self.next_beat.into_iter().chain(self.next_watch).min(),
        };
        own.into_iter().chain(self.marks.deadline()).min()
    }

    /// The epoch in which can be published now, if it can.
    pub fn epoch(&self) -> Option<u32> {
        let begun = self.begun.filter(|_| self.state == State::Following);
        begun.map(|begun| begun.epoch)
    }

    /// The newest id that was heard.
    pub fn newest(&self) -> Option<PublicationId> {
        self.cursor.newest()
    }

    /// The same; before all ids where there is none.
    fn heard(&self) -> PublicationId {
        self.cursor.newest().unwrap_or(NOTHING)
    }

    /// The newest id that was heard or is known to be positioned.
    pub fn known(&self) -> PublicationId {
        self.heard().max(self.behind.newest().unwrap_or(NOTHING))
    }

    /// Whether all that the stream held has been read once.
    pub fn has_read_all(&self) -> bool {
        self.has_read_all
    }

    /// Whether an attempt has failed since it was up last, or none ever has come to its end well.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// How long it has been since everything was heard that is known to be published, or might be.
    pub fn lag(&self, now: Instant) -> Duration {
        let since = self.down_since.or(self.behind.since());
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How many publications are known to be positioned and have not been heard.
    pub fn backlog(&self) -> u64 {
        self.behind.count(self.heard())
    }

    /// Says by `Synced` once everything has been heard that was published before, also if the engine is away meanwhile; or when that
    /// takes too long.
    pub fn sync(&mut self, number: u64, now: Instant) {
        self.marks.ask(number, now);
    }

    /// A sentinel has said where the master is, if it knows.
    pub fn on_master(&mut self, master: Option<(String, u16)>, now: Instant) {
        let Some((host, port)) = master else { return self.on_locator_fault(Fault::Unknown, now) };
        self.next_watch = Some(now + WATCH_INTERVAL);
        let target = Target::Named(host.clone(), port);
        if self.state == State::Locating {
            self.connect(target);
        } else if target != self.target {
            self.on_fault(Fault::Replaced(host, port), now);
        }
    }

    /// The connection to a sentinel has come to its end. While the engine itself is there, that says nothing of it.
    pub fn on_locator_fault(&mut self, fault: Fault, now: Instant) {
        if self.state == State::Locating {
            return self.on_fault(fault, now);
        }
        self.sentinels.1 = (self.sentinels.1 + 1) % self.sentinels.0.max(1);
        (self.is_watching, self.next_watch) = (false, Some(now + WATCH_INTERVAL));
        self.steps.push_back(Step::Part(Line::Locator));
    }

    /// The engine has said who it is.
    pub fn on_greeting(&mut self, greeting: Greeting, now: Instant) {
        let Greeting { product, version, is_master } = greeting;
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        let known = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if known < OLDEST {
            self.on_fault(Fault::TooOld { product, version }, now);
        } else if !is_master {
            self.on_fault(Fault::Replica, now);
        } else if self.state == State::Greeting {
            self.state = State::Beginning;
            let salt = u16::try_from(self.dice.draw() >> 48).unwrap_or_default();
            let (known, is_set_back) = (self.known(), self.is_set_back);
            self.steps.push_back(Step::Ask(Line::Writer, Ask::Begin { known, salt, is_set_back }));
        }
    }

    /// It has said in which epoch is published.
    pub fn on_begun(&mut self, begun: Begun) {
        (self.begun, self.is_set_back) = (Some(begun), false);
        self.state = State::Reading;
        self.cursor.reopen();
        let page = Ask::Page { from: self.cursor.newest(), most: self.page_size.next() };
        self.steps.extend([
            Step::Connect(Line::Reader, self.target.clone()),
            Step::Ask(Line::Reader, Ask::Greet),
            Step::Ask(Line::Reader, page),
        ]);
    }

    /// Takes the next entry of the stream.
    ///
    /// # Errors
    /// `Fault` when it cannot come here; to be given to `on_fault`.
    pub fn take(&mut self, id: PublicationId, kind: Kind) -> Result<Taken, Fault> {
        let taken = self.cursor.take(id, kind)?;
        self.behind.on_heard(id);
        Ok(taken)
    }

    /// All entries of an answer have been taken; there may be more of them if it `is_full`.
    pub fn on_page(&mut self, is_full: bool, now: Instant) {
        let Some(begun) = self.begun else { return };
        self.page_size.on_page(now);
        match (self.state, self.cursor.newest()) {
            (State::Reading, Some(newest)) if is_full => {
                // What was heard last does come again, so that a page brings something else, too.
                self.cursor.reopen();
                let page = Ask::Page { from: Some(newest), most: self.page_size.next() };
                self.steps.push_back(Step::Ask(Line::Reader, page));
            }
            (State::Reading, _) => {
                self.steps.extend(self.cursor.on_end(begun.newest).map(Step::Line));
                self.state = State::Following;
                (self.has_read_all, self.down_since, self.up_since) = (true, None, now);
                self.next_beat = Some(now);
                self.steps.push_back(Step::Up);
                self.follow();
            }
            _ => self.follow(),
        }
        if let Some(newest) = self.cursor.newest() {
            let synced = self.marks.heard(newest);
            if !synced.is_empty() {
                self.steps.push_back(Step::Synced(synced));
            }
        }
    }

    /// It has said which id is the newest of the stream.
    pub fn on_tail(&mut self, newest: PublicationId, now: Instant) {
        self.on_positioned(newest, now);
        self.marks.on_answer(newest);
        if let Some(heard) = self.cursor.newest() {
            self.steps.push_back(Step::Synced(self.marks.heard(heard)));
        }
    }

    /// Something was positioned under this id.
    pub fn on_positioned(&mut self, id: PublicationId, now: Instant) {
        self.behind.on_positioned(id, self.heard(), now);
    }

    /// It has noted that this machine is there, to which this was `known` when it was asked, and has said how far the stream is; `None`
    /// if that is gone.
    pub fn on_beat(&mut self, beaten: Option<Beaten>, known: PublicationId, now: Instant) {
        let Some(Beaten { epoch, newest }) = beaten else { return self.on_fault(Fault::Gone, now) };
        if self.begun.is_some_and(|begun| begun.epoch != epoch) {
            return self.on_fault(Fault::Superseded, now);
        }
        if newest.is_some_and(|newest| newest < known) {
            return self.on_fault(Fault::SetBack(known), now);
        }
        newest.into_iter().for_each(|newest| self.on_positioned(newest, now));
        // Only now: where the stream vanishes again and again, or something is refused that is asked later, attempts are to
        // become fewer.
        if now >= self.up_since + BEAT_INTERVAL {
            self.failures = 0;
        }
    }

    /// This generation has come to its end.
    pub fn on_fault(&mut self, fault: Fault, now: Instant) {
        if matches!(self.state, State::Waiting { .. }) {
            return;
        }
        let (is_again, mut pause) =
            (self.failures > 0 && self.epoch().is_none(), self.dice.pause(self.failures));
        if let Fault::Moved(host, port) = &fault {
            self.redirected = Some(Target::Named(host.clone(), *port));
        }
        // It is known where it is: the other machines go on there.
        let is_elsewhere = matches!(
            fault,
            Fault::Moved(..) | Fault::Replaced(..) | Fault::Superseded | Fault::Gone | Fault::SetBack(_)
        );
        if is_elsewhere && self.failures == 0 {
            pause = Duration::ZERO;
        }
        if matches!(self.state, State::Reading | State::Following) {
            self.page_size.on_end(now);
        }
        self.is_set_back |= matches!(fault, Fault::SetBack(_));
        self.sentinels.1 = (self.sentinels.1 + 1) % self.sentinels.0.max(1);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + pause };
        self.down_since.get_or_insert(now);
        self.behind.on_end();
        (self.begun, self.next_beat) = (None, None);
        (self.is_watching, self.next_watch) = (false, None);
        // What was about to be asked is not any more.
        self.steps.retain(|step| matches!(step, Step::Line(_) | Step::Synced(_)));
        self.steps.extend([Step::HangUp, Step::Down { fault, is_again }]);
        self.marks.on_fault();
    }

    fn keep_time(&mut self, now: Instant) {
        let given_up = self.marks.give_up(now);
        if !given_up.is_empty() {
            self.steps.push_back(Step::Synced(given_up));
        }
        match self.state {
            State::Waiting { until } if until <= now => match self.redirected.take() {
                Some(target) => self.connect(target),
                None if self.sentinels.0 > 0 => {
                    self.state = State::Locating;
                    self.watch();
                }
                None => self.connect(Target::Configured),
            },
            State::Following => {
                if self.next_beat.is_some_and(|at| at <= now) {
                    self.next_beat = Some(now + BEAT_INTERVAL);
                    self.steps.push_back(Step::Ask(Line::Writer, Ask::Beat { known: self.known() }));
                }
                if self.next_watch.is_some_and(|at| at <= now) {
                    self.next_watch = None;
                    self.watch();
                }
                if self.marks.take_question() {
                    self.steps.push_back(Step::Ask(Line::Writer, Ask::Tail));
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, target: Target) {
        self.state = State::Greeting;
        self.target = target.clone();
        self.steps.extend([Step::Connect(Line::Writer, target), Step::Ask(Line::Writer, Ask::Greet)]);
    }

    fn watch(&mut self) {
        if !std::mem::replace(&mut self.is_watching, true) {
            self.steps.push_back(Step::Connect(Line::Locator, Target::Sentinel(self.sentinels.1)));
        }
        self.steps.push_back(Step::Ask(Line::Locator, Ask::Master));
    }

    fn follow(&mut self) {
        if let Some(after) = self.cursor.newest() {
            self.steps.push_back(Step::Ask(Line::Reader, Ask::Follow { after, most: self.page_size.next() }));
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

//! A virtual client: it follows its script, reads as it pleases, and reacts to what it has read as RFC 6455 asks.
//! It judges nothing: what it has done and heard is there for the verdict.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::compression::{Offer, Window};
use crate::ear::Heard;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{self, PONG, Speech};
use crate::worker::Place;

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Act {
    Say(Speech),
    /// The first part of what a later `Say` ends; some of it may be answered already.
    Begin(Speech),
    /// Once all that was asked is answered.
    Close(Option<u16>),
    /// At once, whatever is unanswered.
    CloseHastily(Option<u16>),
    /// Breaks the protocol; the code it deserves.
    Violate(Vec<u8>, u16),
    /// Anything may be the answer to this, an ending too.
    Babble(Vec<u8>),
    /// Ends its side of the stream.
    End,
    Reset,
    /// Stops reading.
    Sleep,
    /// Reads so many bytes at a time, this often.
    Trickle(usize, Duration),
    /// Reads everything as it comes.
    Wake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Steady,
    Trickle(usize, Duration),
    Asleep,
}

/// How a client is.
#[derive(Debug, Clone)]
pub struct Character {
    pub name: &'static str,
    /// Each act with the pause before it.
    pub script: VecDeque<(Duration, Act)>,
    pub answers_pings: bool,
    /// Answers a close with a close, and the end of the stream with its own end.
    pub is_polite: bool,
    pub capacity: usize,
    pub fails_behind: Option<usize>,
    pub offer: Offer,
    /// What that has to come to.
    pub window: Option<Window>,
    /// It asks for an event stream in the end.
    pub is_stream: bool,
    /// In HTTP/1.0.
    pub is_old: bool,
}

/// What it has done so far.
#[derive(Debug, Default, Clone)]
pub struct Deeds {
    pub asked: Speech,
    pub closed_with: Option<Option<u16>>,
    pub violated: Option<u16>,
    pub has_babbled: bool,
    /// It went without a word, or its net did.
    pub has_vanished: bool,
    /// It has not always read at once.
    pub was_slow: bool,
    /// The beginning of something is sent, not its end.
    pub is_halfway: bool,
    pub last_sent: Duration,
}

pub struct Client {
    /// The process that it is connected to.
    pub place: Place,
    pub line: Rc<RefCell<Line>>,
    pub character: Character,
    pub deeds: Deeds,
    pub connected_at: Duration,
    pub reading: Reading,
    random: Random,
    next_act: Option<Duration>,
    next_read: Option<Duration>,
    /// How much of what was heard it has reacted to.
    reacted: usize,
    answers_read: usize,
    owes_pong: bool,
    /// It has been told of the end.
    pub knows_the_end: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.borrow();
        let (all, Deeds { asked, .. }) = (&line.ear.heard, &self.deeds);
        write!(f, "{} of {:?}: {:?}; ", self.character.name, self.connected_at, self.reading)?;
        write!(f, "asked {} replies, {} pings, ", asked.replies.len(), asked.pings.len())?;
        let deeds = Deeds {
            asked: Speech { statuses: asked.statuses.clone(), ..Speech::default() },
            ..self.deeds.clone()
        };
        write!(
            f,
            "{deeds:?}; heard {} things, last {:?}; {line:?}",
            all.len(),
            &all[all.len().saturating_sub(6)..]
        )
    }
}

impl Client {
    pub fn new(mut random: Random, character: Character, place: Place, now: Duration) -> Self {
        let mut line = Line::new(random.fork(), character.capacity);
        line.fails_behind = character.fails_behind;
        (line.ear.window, line.ear.is_old) = (character.window, character.is_old);
        line.secure_by_lot(&random);
        Self {
            place,
            line: Rc::new(RefCell::new(line)),
            next_act: character.script.front().map(|(pause, _)| now + *pause),
            character,
            deeds: Deeds::default(),
            connected_at: now,
            reading: Reading::Steady,
            random,
            next_read: None,
            reacted: 0,
            answers_read: 0,
            owes_pong: false,
            knows_the_end: false,
        }
    }

    /// When it will do something next by itself.
    pub fn next_time(&self) -> Option<Duration> {
        let next_act = self.next_act.filter(|_| !self.waits_for_answers());
        next_act.into_iter().chain(self.next_read).min()
    }

    /// Does what is due.
    pub fn act(&mut self, now: Duration) {
        if self.line.borrow().dropped {
            (self.next_act, self.next_read) = (None, None);
            return;
        }
        while self.next_act.is_some_and(|at| at <= now) && !self.waits_for_answers() {
            let Some((_, act)) = self.character.script.pop_front() else { break };
            self.perform(act, now);
            self.next_act = self.character.script.front().map(|(pause, _)| now + *pause);
        }
        if self.next_read.is_some_and(|at| at <= now) {
            self.read(now);
        }
    }

    /// Reads what is there, unless it sleeps, and reacts to it.
    pub fn on_turn(&mut self, now: Duration) {
        match self.reading {
            Reading::Steady if self.line.borrow().unread_by_client() > 0 => self.read(now),
            Reading::Trickle(..) if self.next_read.is_none() => self.read(now),
            _ => {}
        }
        let line = self.line.borrow();
        let saw_end = line.outbound_ended && line.unread_by_client() == 0;
        let failed = line.failure.is_some();
        drop(line);
        self.deeds.has_vanished |= failed;
        if saw_end && self.reading != Reading::Asleep {
            self.learn_the_end();
        }
    }

    fn read(&mut self, now: Duration) {
        let most = match self.reading {
            Reading::Steady => usize::MAX,
            Reading::Trickle(bytes, _) => bytes,
            Reading::Asleep => 0,
        };
        self.line.borrow_mut().take(most);
        let trickles = matches!(self.reading, Reading::Trickle(..)) && !self.line.borrow().dropped;
        self.next_read = match self.reading {
            Reading::Trickle(_, every) if trickles => Some(now + every),
            _ => None,
        };
        self.react(now);
    }

    fn react(&mut self, now: Duration) {
        loop {
            let line = self.line.borrow();
            let Some((_, heard)) =
                line.ear.heard.get(self.reacted).filter(|(end, _)| *end <= line.read_bytes)
            else {
                return;
            };
            let heard = heard.clone();
            drop(line);
            self.reacted += 1;
            match heard {
                Heard::Ping if self.character.answers_pings => {
                    self.owes_pong = true;
                    self.answer_ping();
                }
                Heard::Echo(..)
                | Heard::Error
                | Heard::Response { closes: false, .. }
                | Heard::Switched
                | Heard::Streaming => self.answers_read += 1,
                Heard::Close(code) => {
                    if self.character.is_polite && !self.has_closed() && !self.deeds.is_halfway {
                        let close = speech::close(&mut self.random, code);
                        self.line.borrow_mut().send(&close);
                    }
                    self.learn_the_end();
                }
                Heard::Response { closes: true, .. } | Heard::Parting { .. } => self.learn_the_end(),
                Heard::Reconnect(notice) if self.random.chance(50) => self.heed(notice.after, now),
                _ => {}
            }
        }
    }

    /// It is to be elsewhere then: whatever it had in mind, it leaves, once what it has begun to say is said.
    fn heed(&mut self, after: Duration, now: Duration) {
        // Told once more, it goes by what it was told last.
        if matches!(self.character.script.back(), Some((_, Act::Close(Some(1001))))) {
            self.character.script.pop_back();
        }
        if self.has_closed() {
            return;
        }
        if !self.deeds.is_halfway {
            self.character.script.clear();
            self.next_act = Some(now + after);
        }
        self.character.script.push_back((after, Act::Close(Some(1001))));
    }

    fn answer_ping(&mut self) {
        // Nothing goes between the parts of a frame.
        if self.owes_pong && !self.deeds.is_halfway && !self.has_closed() {
            self.owes_pong = false;
            let pong = speech::frame(&mut self.random, PONG, b"");
            self.line.borrow_mut().send(&pong);
        }
    }

    fn learn_the_end(&mut self) {
        self.knows_the_end = true;
        self.character.script.clear();
        self.next_act = None;
        if self.character.is_polite {
            self.line.borrow_mut().end();
        }
    }

    fn has_closed(&self) -> bool {
        self.deeds.closed_with.is_some() || self.deeds.violated.is_some()
    }

    fn waits_for_answers(&self) -> bool {
        let asked = &self.deeds.asked;
        matches!(self.character.script.front(), Some((_, Act::Close(_))))
            && self.answers_read < asked.replies.len() + asked.statuses.len()
    }

    fn perform(&mut self, act: Act, now: Duration) {
        let bytes = match act {
            Act::Say(speech) => {
                self.deeds.is_halfway = false;
                self.ask(speech)
            }
            Act::Begin(speech) => {
                self.deeds.is_halfway = true;
                self.ask(speech)
            }
            Act::Close(code) | Act::CloseHastily(code) => {
                self.deeds.closed_with = Some(code);
                speech::close(&mut self.random, code)
            }
            Act::Violate(bytes, code) => {
                self.deeds.violated = Some(code);
                bytes
            }
            Act::Babble(bytes) => {
                self.deeds.has_babbled = true;
                bytes
            }
            Act::End | Act::Reset => {
                self.deeds.has_vanished = true;
                return match act {
                    Act::End => self.line.borrow_mut().end(),
                    _ => self.line.borrow_mut().fail(ErrorKind::ConnectionReset),
                };
            }
            Act::Sleep | Act::Trickle(..) | Act::Wake => return self.change_reading(&act, now),
        };
        self.deeds.last_sent = now;
        self.line.borrow_mut().send(&bytes);
        self.answer_ping();
    }

    fn ask(&mut self, speech: Speech) -> Vec<u8> {
        let asked = &mut self.deeds.asked;
        asked.replies.extend(speech.replies);
        asked.pings.extend(speech.pings);
        asked.statuses.extend(speech.statuses);
        speech.bytes
    }

    fn change_reading(&mut self, act: &Act, now: Duration) {
        self.reading = match act {
            Act::Sleep => Reading::Asleep,
            Act::Trickle(bytes, every) => Reading::Trickle(*bytes, *every),
            _ => Reading::Steady,
        };
        self.deeds.was_slow |= self.reading != Reading::Steady;
        self.next_read = Some(now).filter(|_| self.reading != Reading::Asleep);
    }
}

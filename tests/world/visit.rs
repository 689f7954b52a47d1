//! One connection of a subscriber: what it plans to do on it, how it reads, and what it makes of what it has read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{self, PONG};
use crate::subscriber::{FILTERS, Welcomer};
use crate::verdict::{Command, Entry, Form, Record};

#[derive(Debug, Clone)]
pub enum Act {
    Ask { filter: String, subscribes: bool },
    Reset,
    End,
    Close,
    Stall,
    Wake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Steady,
    Trickle(usize, Duration),
    Stalled,
}

/// One connection.
#[derive(Debug)]
pub struct Visit {
    pub line: Rc<RefCell<Line>>,
    pub record: Record,
    pub plan: VecDeque<(Duration, Act)>,
    pub reading: Reading,
    pub next_read: Option<Duration>,
    /// How much of what was heard it has reacted to.
    pub reacted: usize,
    pub answered: usize,
    /// After which time to come back, as it was told last.
    pub retry: Option<Duration>,
    pub is_over: bool,
}

impl Visit {
    /// Whether it was told of the end, be that read yet or not.
    pub fn has_parted(&self) -> bool {
        self.line.borrow().ear.has_parted()
    }

    /// The server says farewell to all who are there, or has told this one of its end at a moment of its own. Up to here it was
    /// handed out everything then, and nothing behind its end.
    pub fn note_farewell(&mut self, newest: u64, is_to_all: bool) {
        if is_to_all || self.record.farewell.is_none() && self.has_parted() {
            self.record.farewell = Some(newest);
        }
    }

    /// Reacts to the next thing that it has read; `false` if there is none.
    pub fn react(&mut self, random: &mut Random, last: &mut Option<Id>) -> bool {
        let mut line = self.line.borrow_mut();
        let read_bytes = line.read_bytes;
        let Some((end, heard)) = line.ear.heard.get_mut(self.reacted).filter(|(end, _)| *end <= read_bytes)
        else {
            return false;
        };
        let (end, heard) = (*end, std::mem::replace(heard, Heard::Ping));
        self.reacted += 1;
        match heard {
            Heard::Switched | Heard::Streaming | Heard::Heartbeat(None) => {}
            Heard::Heartbeat(Some(id)) => {
                *last = Some(id);
                self.record.entries.push(Entry::Mark(id));
            }
            Heard::Primed { retry, id } => {
                self.retry = Some(retry);
                *last = id.or(*last);
                self.record.entries.push(Entry::Primed(id));
            }
            Heard::Gap(Some(newest)) => {
                *last = Some(newest);
                self.record.entries.push(Entry::Gap(newest));
            }
            Heard::Parting { retry, id, .. } => {
                self.retry = Some(retry);
                *last = id.or(*last);
                self.record.entries.extend(id.map(Entry::Mark));
                self.record.entries.push(Entry::Parting);
            }
            Heard::Complete => self.record.entries.push(Entry::Complete),
            // It stays as long as it may.
            Heard::Reconnect(notice) => {
                *last = notice.last.or(*last);
                self.record.entries.extend(notice.last.map(Entry::Mark));
            }
            // It pongs for each ping; these come from between its own fragments.
            Heard::Pong(_) => {}
            Heard::Ping => {
                let pong = speech::frame(random, PONG, b"");
                line.send(&pong);
            }
            Heard::Welcome { last: newest, resumed, topics } => {
                if !resumed {
                    *last = Some(newest);
                }
                self.record.entries.push(Entry::Welcome { last: newest, resumed, topics });
            }
            Heard::Publication(id, payload) => {
                *last = Some(id);
                let form = match line.ear.deflated.contains(&end) {
                    _ if self.record.is_stream => Form::Event,
                    true => Form::Deflated,
                    false => Form::Plain,
                };
                self.record.entries.push(Entry::Publication(id, payload, form));
            }
            answer @ (Heard::Subscribed(_) | Heard::Unsubscribed(_)) => {
                let Command { filter, subscribes, .. } = self.record.commands[self.answered].clone();
                let expected = if subscribes { Heard::Subscribed } else { Heard::Unsubscribed };
                assert_eq!(answer, expected(filter), "commands are answered in order");
                self.record.entries.push(Entry::Answer(self.answered));
                self.answered += 1;
            }
            Heard::Close(code) => {
                if !self.record.has_closed {
                    let close = speech::close(random, code);
                    line.send(&close);
                }
                self.record.entries.push(Entry::Close(code));
                self.is_over = true;
            }
            // The server is leaving; this one comes back. A browser would not.
            Heard::Response { status: 503, .. } if !self.record.is_stream => self.is_over = true,
            other => panic!("a subscriber heard {other:?}"),
        }
        true
    }
}

/// What somebody does who comes now.
pub fn draw_plan(random: &mut Random, welcomer: Welcomer, now: Duration) -> VecDeque<(Duration, Act)> {
    let mut plan = VecDeque::new();
    let mut at = now;
    for _ in 0..random.pick(&[0, 0, 1, 2, 4, 9]) {
        at += if random.chance(40) { Duration::from_micros(300) } else { random.millis(0..700) };
        let filter = random.pick(&FILTERS).to_owned();
        plan.push_back((at, Act::Ask { filter, subscribes: random.chance(60) }));
    }
    at += if random.chance(15) { random.millis(0..20) } else { random.millis(0..2500) };
    match random.below(12) {
        0..3 => plan.push_back((at, Act::Reset)),
        3..5 => plan.push_back((at, Act::End)),
        5..8 => plan.push_back((at, Act::Close)),
        8..11 => {
            plan.push_back((at, Act::Stall));
            at += welcomer.write_limit.mul_f64(random.within(10..200) as f64 / 100.0);
            plan.push_back((at, if random.chance(70) { Act::Wake } else { Act::Reset }));
            plan.push_back((at + random.millis(0..1500), Act::End));
        }
        // It stays until the server lets it go.
        _ => {}
    }
    plan
}

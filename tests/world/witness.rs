//! A client of a process's own that hears everything: what it is told must be the truth and nothing else, or is where the truth
//! comes from.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::speech::handshake;
use crate::truth::Truth;
use crate::worker::{Place, Worker};

#[derive(Debug)]
pub struct Witness {
    pub line: Rc<RefCell<Line>>,
    heard: usize,
    /// The newest position that it was told of.
    pub newest: u64,
}

/// What holds for the process that a witness is connected to.
struct Oath {
    place: Place,
    /// Nobody else publishes.
    is_alone: bool,
    may_publish: bool,
    has_said_farewell: bool,
    at: Duration,
    /// How many clients there were.
    audience: usize,
}

impl Witness {
    /// One that is about to connect.
    fn new(random: &mut Random) -> Self {
        let line = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
        line.borrow_mut().send(handshake("topic=*").as_bytes());
        Self { line, heard: 0, newest: 0 }
    }

    /// Says what it has heard.
    fn testify(&mut self, truth: &mut Truth, oath: &Oath) {
        let mut line = self.line.borrow_mut();
        let (Place { reign, epoch, .. }, is_alone) = (oath.place, oath.is_alone);
        line.take(usize::MAX);
        let mut pings = 0;
        for (_, heard) in &mut line.ear.heard[self.heard..] {
            self.heard += 1;
            match std::mem::replace(heard, Heard::Ping) {
                // Told to serve and to leave in one turn, it lets nobody in.
                Heard::Response { status: 503, .. } if !is_alone => {}
                Heard::Switched | Heard::Reconnect(_) => {}
                Heard::Close(code) => assert!(oath.has_said_farewell || code != Some(1012) || !is_alone),
                Heard::Ping => pings += 1,
                Heard::Welcome { last, .. } => {
                    let newest = truth.newest(epoch);
                    assert!(
                        last.epoch == epoch && last.position <= newest,
                        "{last:?} {epoch} {newest} {:?}",
                        oath.place
                    );
                    assert!(last.position == newest || !is_alone);
                    self.newest = last.position;
                }
                Heard::Publication(id, payload) => {
                    assert_eq!(id, Id { epoch, position: self.newest + 1 }, "it hands on what follows");
                    assert!(oath.may_publish || !is_alone, "published while leaving");
                    assert!(is_alone || truth.get(id).is_some(), "{id} was never published");
                    truth.hear(id, payload, oath.at, reign, oath.audience);
                    self.newest = id.position;
                }
                other => panic!("the witness heard {other:?}"),
            }
        }
        for _ in 0..pings {
            line.send(b"\x8a\x80mask");
        }
    }
}

impl Worker {
    /// From here on it accepts, its witness ahead of all others.
    pub fn serve(&mut self, random: &mut Random) {
        self.accepts = true;
        self.invite_witness(random);
    }

    /// Has a witness if there is none.
    pub fn invite_witness(&mut self, random: &mut Random) {
        if self.has_witness && self.witnesses.is_empty() {
            let witness = Witness::new(random);
            self.newcomers.insert(0, VirtualSocket::new(witness.line.clone()));
            self.witnesses.push(witness);
        }
    }

    /// Takes in what the witnesses have heard.
    pub fn testify(&mut self, truth: &mut Truth, at: Duration, audience: usize, may_publish: bool) {
        let oath = Oath {
            place: self.place,
            is_alone: self.link.is_none(),
            may_publish,
            has_said_farewell: self.farewell_at.is_some(),
            at,
            audience,
        };
        for witness in &mut self.witnesses {
            witness.testify(truth, &oath);
            self.newest = self.newest.max(witness.newest);
        }
    }

    /// The witnesses' time is over.
    pub fn dismiss_witness(&self) {
        self.witnesses.iter().for_each(|witness| witness.line.borrow_mut().end());
    }

    /// The witnesses that have moved.
    pub fn take_moved_witnesses(&mut self) -> Vec<Witness> {
        let lines = &self.lines;
        let is_here = |line: &Rc<RefCell<Line>>| lines.values().any(|other| Rc::ptr_eq(line, other));
        let (stays, moves) = std::mem::take(&mut self.witnesses).into_iter().partition(|w| is_here(&w.line));
        self.witnesses = stays;
        moves
    }
}

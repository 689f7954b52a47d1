//! A client of a process's own that hears everything: what it is told must be the truth and nothing else, or is where the truth
//! comes from.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::Line;
use crate::speech::handshake;
use crate::truth::Truth;
use crate::worker::Place;

#[derive(Debug)]
pub struct Witness {
    pub line: Rc<RefCell<Line>>,
    heard: usize,
    /// The newest position that it was told of.
    pub newest: u64,
}

/// What holds for the process that a witness is connected to.
pub struct Oath {
    pub place: Place,
    /// Nobody else publishes.
    pub is_alone: bool,
    pub may_publish: bool,
    pub has_said_farewell: bool,
    pub at: Duration,
    /// How many clients there were.
    pub audience: usize,
}

impl Witness {
    /// One that is about to connect.
    pub fn new(random: &mut Random) -> Self {
        let line = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
        line.borrow_mut().send(handshake("topic=*").as_bytes());
        Self { line, heard: 0, newest: 0 }
    }

    /// Says what it has heard.
    pub fn testify(&mut self, truth: &mut Truth, oath: &Oath) {
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
                    assert!(last.epoch == epoch && last.position <= newest);
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

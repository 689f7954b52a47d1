//! A worker that takes up connections of another supervisor's workers before it serves: each of these sends its own by a way of
//! their own.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::drain::Outcome;
use slackwater::policy::handover::Heard;
use slackwater::policy::handover::successor::{Successor, Task, Told};
use slackwater::server::clock::Now;
use slackwater::server::peers::Arrival;

use crate::channel::{Channel, Passed, TakingEnd, Word};
use crate::moving::moment;
use crate::socket::VirtualSocket;
use crate::tls::security;
use crate::wire::Wire;
use crate::worker::Worker;

/// The connections of one worker of the predecessor's.
#[derive(Debug)]
pub struct Part {
    end: TakingEnd,
    machine: Successor,
    image: Vec<u8>,
    sockets: Vec<VirtualSocket>,
    is_whole: bool,
}

/// How far it is.
#[derive(Debug)]
pub struct Arriving {
    parts: Vec<Part>,
    is_done: bool,
}

impl Part {
    pub fn new(end: TakingEnd) -> Self {
        Self { end, machine: Successor::Ready, image: vec![], sockets: vec![], is_whole: false }
    }

    pub fn channel(&self) -> &Rc<RefCell<Channel>> {
        &self.end.0
    }

    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether something has come that is waited for.
    pub fn is_woken(&self, at: Duration) -> bool {
        !self.is_whole && self.channel().borrow().wakes_successor(at)
    }

    pub fn poll(&mut self) -> Option<Task> {
        self.machine.poll()
    }

    pub fn on_told(&mut self, told: Told) -> Result<Task, ()> {
        self.machine.on_told(told).map_err(|_| ())
    }

    /// They are served from here on.
    pub fn say_serving(self, at: Duration) {
        self.end.0.borrow_mut().say_serving(at);
    }

    /// Takes what has come; an error when nothing comes of it.
    pub fn on_turn(&mut self, at: Duration) -> Result<(), ()> {
        while !self.is_whole {
            let task = match self.machine.poll() {
                Some(task) => task,
                None => match self.told(at) {
                    Some(told) => self.machine.on_told(told).map_err(|_| ())?,
                    None => return Ok(()),
                },
            };
            match task {
                Task::Read => {}
                Task::Acknowledge(count) => self.answer(Heard::Taken(count), at),
                Task::TakeUp => self.is_whole = true,
                Task::Prepare | Task::Serve => panic!("nobody has said that"),
            }
        }
        Ok(())
    }

    fn told(&mut self, at: Duration) -> Option<Told> {
        let word = self.end.0.borrow_mut().be_told(at);
        Some(match word {
            Ok(None) => return None,
            Ok(Some(word)) => self.understand(word),
            Err(()) => Told::Ended,
        })
    }

    pub fn understand(&mut self, word: Word) -> Told {
        match word {
            Word::Image { octets, connections } => {
                self.image = octets;
                Told::Image { connections }
            }
            Word::Batch(mut sockets) => {
                let count = sockets.len();
                self.sockets.append(&mut sockets);
                Told::Batch(count)
            }
            other => panic!("that is not for it: {other:?}"),
        }
    }

    pub fn answer(&self, heard: Heard, at: Duration) {
        self.end.0.borrow_mut().tell_predecessor(heard, at);
    }
}

impl Arriving {
    pub fn new(ends: Vec<TakingEnd>) -> Self {
        Self { parts: ends.into_iter().map(Part::new).collect(), is_done: false }
    }

    /// Whether something has come.
    pub fn is_woken(&self, at: Duration) -> bool {
        self.parts.iter().any(|part| part.is_woken(at))
    }

    /// They are served from here on.
    pub fn say_serving(&mut self, at: Duration) {
        self.parts.drain(..).for_each(|part| part.say_serving(at));
    }

    pub fn channels(&self) -> impl Iterator<Item = &Rc<RefCell<Channel>>> {
        self.parts.iter().map(Part::channel)
    }
}

impl Worker {
    /// Takes up what comes by these before it serves.
    pub fn take_up_first(&mut self, ends: Vec<TakingEnd>) {
        self.server.take_up_first();
        self.taking = Some(Arriving::new(ends));
    }

    /// Takes what has come, and once that is all, takes it up; if nothing comes of it, it ends, and has touched nobody.
    pub fn take_parts(&mut self, now: Now) {
        let Some(taking) = self.taking.as_mut().filter(|taking| !taking.is_done) else { return };
        let at = self.at;
        if taking.parts.iter_mut().try_for_each(|part| part.on_turn(at)).is_err() {
            self.outcome = Some(Outcome::Forced);
            return;
        }
        if !self.server.may_take_up() || taking.parts.iter().any(|part| !part.is_whole) {
            return;
        }
        taking.is_done = true;
        let mut parts = std::mem::take(&mut taking.parts);
        for part in &mut parts {
            self.take_up(part, now);
            part.answer(Heard::Prepared, at);
        }
        self.taking.iter_mut().for_each(|taking| taking.parts.append(&mut parts));
        self.server.say_ready();
        self.passed.push(Passed::TakenUp);
    }

    /// Goes on with what has come.
    pub fn take_up(&mut self, part: &mut Part, now: Now) {
        let (lines, mut sockets) = (&mut self.lines, std::mem::take(&mut part.sockets).into_iter());
        let register = |Arrival { key, tls, .. }: Arrival| {
            let socket = sockets.next().expect("one for each");
            socket.line().borrow_mut().edge = true;
            lines.insert(key, socket.line().clone());
            Ok(Wire::Client(security().go_on(socket, tls)?))
        };
        self.server.take_over(&part.image, now, moment(now), register).expect("it can be gone on with");
        assert!(sockets.next().is_none(), "more than there are in the image");
    }
}

//! A worker's connections on their way to another supervisor's worker, and back.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::drain::{Drain, Outcome};
use slackwater::policy::roster::WorkerId;
use slackwater::server::clock::Now;
use slackwater::wire::handover::times::Moment;

use crate::channel::Passed;
use crate::draw::SECOND;
use crate::socket::{Line, VirtualSocket};
use crate::wire::Wire;
use crate::worker::Worker;

/// All of one worker's connections, as they travel.
#[derive(Debug)]
pub struct Parcel {
    pub from: WorkerId,
    pub image: Vec<u8>,
    pub sockets: Vec<VirtualSocket>,
}

/// How far a worker is that gives its connections away.
#[derive(Debug, Default)]
pub struct Giving {
    /// By their old keys. They are registered here no longer.
    pub lines: Vec<(usize, Rc<RefCell<Line>>)>,
    /// To be sent.
    pub parcel: Option<Parcel>,
    /// It does nothing else until it is told how that went, or until then.
    pub waits_until: Option<Duration>,
}

/// How far a worker is that takes connections over.
#[derive(Debug)]
pub struct Taking {
    /// Of so many others.
    pub expected: usize,
    pub come: Vec<Parcel>,
    /// Those who have to be told that theirs are taken up.
    pub taken_up: Vec<WorkerId>,
    pub is_done: bool,
}

/// One moment, as all processes write it.
pub fn moment(now: Now) -> Moment {
    Moment { instant: now.instant, monotonic: 1 << 50 }
}

impl Worker {
    /// Takes up connections of so many workers of another supervisor's before it serves.
    pub fn take_up_first(&mut self, expected: usize) {
        self.server.take_up_first();
        self.taking = Some(Taking { expected, come: vec![], taken_up: vec![], is_done: false });
    }

    /// Sends all connections that can move, and waits.
    pub fn give(&mut self, by: i64, format: u32) {
        let (now, mut image) = (self.server.now(), vec![]);
        let at = moment(now);
        let packed = self.server.pack(at, format, &mut image).expect("memory takes all of it");
        let lines = packed.connections.iter().map(|key| {
            let line = self.lines.remove(key).expect("it is registered");
            line.borrow_mut().has_travelled = true;
            (*key, line)
        });
        self.giving.lines = lines.collect();
        let sockets = self.giving.lines.iter().map(|(_, line)| VirtualSocket::new(line.clone())).collect();
        self.giving.parcel = Some(Parcel { from: self.place.id, image, sockets });
        let left = at.instant(by).saturating_duration_since(now.instant);
        self.giving.waits_until = Some(self.at + left);
    }

    /// It has been told how that went.
    pub fn on_given(&mut self, result: Result<(), &str>) {
        if self.giving.waits_until.take().is_none() {
            return;
        }
        self.is_woken = true;
        match result {
            Ok(()) => self.server.say_moved(self.giving.lines.len()),
            Err(why) => {
                // They are registered again once all go on.
                self.giving.parcel = None;
                self.server.say_not_moved(why.to_owned());
            }
        }
    }

    fn register_again(&mut self) {
        for (key, line) in self.giving.lines.drain(..) {
            // That it is registered announces what has come.
            line.borrow_mut().edge = true;
            self.lines.insert(key, line);
        }
    }

    /// What has moved is another process's.
    pub fn part(&mut self) {
        let keys: Vec<usize> = self.giving.lines.drain(..).map(|(key, _)| key).collect();
        self.accepts = false;
        self.server.part_with(&keys, Drain::new(self.patience, 5 * SECOND));
        if self.server.connections() == 0 {
            self.outcome = Some(Outcome::Drained);
        }
    }

    /// All goes on here.
    pub fn resume(&mut self) {
        self.register_again();
        self.server.resume();
    }

    /// Takes up what has come, once that is all.
    pub fn take_parcels(&mut self, now: Now) {
        let Some(taking) = &mut self.taking else { return };
        if taking.is_done || taking.come.len() < taking.expected || !self.server.may_take_up() {
            return;
        }
        taking.is_done = true;
        for Parcel { from, image, sockets } in std::mem::take(&mut taking.come) {
            let (lines, mut sockets) = (&mut self.lines, sockets.into_iter());
            let register = |key| {
                let socket = sockets.next().expect("one for each");
                socket.line().borrow_mut().edge = true;
                lines.insert(key, socket.line().clone());
                Ok(Wire::Client(socket))
            };
            self.server.take_over(&image, now, moment(now), register).expect("it can be gone on with");
            assert!(sockets.next().is_none(), "more than there are in the image");
            taking.taken_up.push(from);
        }
        self.server.say_ready();
        self.passed.push(Passed::TakenUp);
    }
}

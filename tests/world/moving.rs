//! A worker's connections on their way to another supervisor's worker, and back, as the program has them go. What has become of
//! them it hears from its supervisor, or by the way that they went.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::drain::{Drain, Outcome};
use slackwater::policy::handover::{Heard, Predecessor, Step};
use slackwater::server::clock::Now;
use slackwater::wire::handover::times::Moment;

use crate::arriving::Arriving;
use crate::channel::{Channel, GivingEnd, Passed, Word};
use crate::draw::SECOND;
use crate::socket::{Line, VirtualSocket};
use crate::worker::Worker;

/// How far a worker is that gives its connections away.
#[derive(Debug, Default)]
pub struct Giving {
    /// To the worker that takes them.
    pub end: Option<GivingEnd>,
    /// While they are sent it does nothing else.
    machine: Option<Predecessor>,
    /// By their old keys. Their events are announced here as well as where they move to.
    pub lines: Vec<(usize, Rc<RefCell<Line>>)>,
    sent: usize,
    /// Until when it is waited for the supervisor's word.
    held_until: Option<Duration>,
    /// The supervisor is gone.
    is_orphan: bool,
}

impl Giving {
    pub fn begin(&mut self, end: GivingEnd, machine: Predecessor) {
        (self.end, self.machine) = (Some(end), Some(machine));
    }

    pub fn machine_mut(&mut self) -> Option<&mut Predecessor> {
        self.machine.as_mut()
    }

    /// Whether nothing else is done.
    pub fn waits(&self) -> bool {
        self.machine.as_ref().is_some_and(Predecessor::is_cut)
    }

    /// What wakes it, beside whatever else does if it does not wait.
    pub fn is_woken(&self, (now, at): (Instant, Duration)) -> bool {
        let Some(machine) = &self.machine else { return false };
        machine.next_deadline() <= now
            || self.end.as_ref().is_none_or(|end| end.0.borrow().wakes_predecessor(at))
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        self.machine.as_ref().map(Predecessor::next_deadline)
    }

    /// Whether it is said by now what has become of those who have moved.
    fn is_told(&self, at: Duration) -> bool {
        self.end.as_ref().is_some_and(|end| end.0.borrow().is_served(at).is_some())
    }

    /// Whether it could be said; if not, that is heard, too.
    pub fn say(&self, word: Word, at: Duration) -> bool {
        self.end.as_ref().is_some_and(|end| end.0.borrow_mut().tell_successor(word, at).is_ok())
    }

    pub fn hear(&mut self, now: Instant, at: Duration) {
        let (Some(end), Some(machine)) = (&self.end, &mut self.machine) else { return };
        while let Some(heard) = end.0.borrow_mut().hear(at) {
            let is_over = heard == Heard::Ended;
            machine.on_heard(heard, now);
            if is_over {
                return;
            }
        }
    }

    fn send_batch(&mut self, count: usize, at: Duration) {
        let next = &self.lines[self.sent..self.sent + count];
        let sockets = next.iter().map(|(_, line)| VirtualSocket::new(line.clone())).collect();
        self.sent += count;
        self.say(Word::Batch(sockets), at);
    }
}

/// One moment, as all processes write it.
pub fn moment(now: Now) -> Moment {
    Moment { instant: now.instant, monotonic: 1 << 50 }
}

impl Worker {
    /// Sends all connections that can move, and waits.
    pub fn give(&mut self, by: i64, format: u32) {
        let now = self.server.now();
        let end = self.passage.take().expect("it has come before");
        self.giving.begin(end, Predecessor::part(moment(now).instant(by)));
        self.send_image(format);
        self.go_on_giving(now.instant);
    }

    /// Sends how all stand that can move.
    pub fn send_image(&mut self, format: u32) {
        let (now, mut octets) = (self.server.now(), vec![]);
        let packed = self.server.pack(moment(now), format, &mut octets).expect("memory takes all of it");
        let lines = packed.connections.iter().map(|key| {
            let line = self.lines.remove(key).expect("it is registered");
            line.borrow_mut().has_travelled = true;
            (*key, line)
        });
        (self.giving.lines, self.giving.sent) = (lines.collect(), 0);
        let connections = self.giving.lines.len();
        self.giving.machine.iter_mut().for_each(|machine| machine.moving(connections));
        self.giving.say(Word::Image { octets, connections: connections as u64 }, self.at);
        self.passed.push(Passed::Sent);
    }

    pub fn send_batch(&mut self, count: usize) {
        self.batches += 1;
        self.giving.send_batch(count, self.at);
    }

    /// Does nothing else until they are taken, or are not.
    pub fn go_on_giving(&mut self, now: Instant) {
        loop {
            self.giving.hear(now, self.at);
            let Some(machine) = &mut self.giving.machine else { return };
            match machine.poll(now, || false) {
                None => return,
                Some(Step::Batch(count)) => self.send_batch(count),
                Some(Step::Commit) => {
                    self.server.say_moved(self.giving.lines.len());
                    break;
                }
                Some(Step::GiveUp(why)) => {
                    self.server.say_not_moved(why.to_string());
                    break;
                }
                Some(other @ (Step::Offer { .. } | Step::Cut)) => panic!("that is not a worker's: {other:?}"),
            }
        }
        (self.giving.machine, self.is_woken) = (None, true);
    }

    /// What has moved is another process's.
    pub fn part(&mut self) {
        let keys: Vec<usize> = std::mem::take(&mut self.giving).lines.drain(..).map(|(key, _)| key).collect();
        self.accepts = false;
        // Its witness has moved, and is told elsewhere what those who stay are brought now.
        self.newest = self.newest.max(*self.server.history().positions().end());
        self.server.part_with(&keys, Drain::new(self.patience, 5 * SECOND));
        if self.server.connections() == 0 {
            self.outcome = Some(Outcome::Drained);
        }
    }

    /// All goes on here.
    pub fn resume(&mut self) {
        self.register_again();
        let at = self.at;
        self.taking.iter_mut().for_each(|taking| taking.say_serving(at));
        self.server.resume();
    }

    pub fn register_again(&mut self) {
        for (key, line) in std::mem::take(&mut self.giving).lines.drain(..) {
            // That it is registered announces what has come.
            line.borrow_mut().edge = true;
            self.lines.insert(key, line);
        }
    }

    /// Gives or takes over, and does nothing else.
    pub fn hand_on(&mut self, (now, at): (Now, Duration)) {
        self.at = at;
        if self.alone.is_some() {
            self.take_over_alone(now);
        } else if self.link.is_some() {
            self.go_on_giving(now.instant);
        } else {
            self.hand_over_alone(now);
        }
    }

    /// The ways by which its connections go, or others' come.
    pub fn channels(&self) -> impl Iterator<Item = &Rc<RefCell<Channel>>> {
        let taking = self.taking.iter().flat_map(Arriving::channels);
        let alone = self.alone.iter().flat_map(|taking| taking.channels());
        self.giving.end.iter().map(|end| &end.0).chain(taking).chain(alone)
    }

    /// The supervisor is gone. What has become of those who have moved shows where they were sent to.
    pub fn be_orphaned(&mut self) {
        if self.giving.end.is_none() {
            return self.vanish_for_good();
        }
        self.giving.is_orphan = true;
    }

    fn vanish_for_good(&mut self) {
        self.has_vanished = true;
        self.outcome = Some(Outcome::Forced);
    }

    /// Goes on, or parts with what has moved, without the supervisor's word if that does not come.
    pub fn look_at_moved(&mut self) {
        let (has_moved, giving) = (self.server.has_moved(), &mut self.giving);
        if !self.server.is_held() || has_moved && giving.end.is_none() || giving.waits() {
            giving.held_until = None;
            return;
        }
        let is_late = self.at >= *giving.held_until.get_or_insert(self.at + self.handover_timeout);
        let is_orphan = giving.is_orphan;
        let moved = giving.end.as_ref().filter(|_| has_moved);
        match moved.map(|end| end.0.borrow().is_served(self.at)) {
            Some(Some(true)) => {
                self.parted_unasked = true;
                return self.part();
            }
            Some(None) if is_orphan && is_late => return self.vanish_for_good(),
            Some(None) => return,
            None if !is_late => return,
            Some(Some(false)) | None => self.resume(),
        }
        if is_orphan {
            self.server.leave("the end of the supervisor");
        }
    }

    /// Whether it is to look at those who have moved.
    pub fn is_to_look_at_moved(&self, at: Duration) -> bool {
        let is_late = self.held_until().is_some_and(|until| until <= at);
        is_late || self.server.has_moved() && self.giving.is_told(at)
    }

    /// When it is to, at the latest.
    pub fn held_until(&self) -> Option<Duration> {
        let Giving { held_until, is_orphan, .. } = self.giving;
        held_until.filter(|_| is_orphan || !self.server.has_moved())
    }
}

//! One server hands over to another, each of them one process or a supervisor and its workers: what goes between them, and what may befall either at
//! any step. Up to the commitment all go on in the first; from then on in the second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::Heard;
use slackwater::policy::roster::WorkerId;

use crate::channel::{ALL_PASSED, Channel, GivingEnd, Passed, TakingEnd, Word};
use crate::ear::Id;
use crate::fates::Fate;
use crate::pipe::Pace;
use crate::random::Random;
use crate::reign::{Reign, Setup};
use crate::socket::Line;
use crate::taking::Taking;
use crate::taking_alone::TakingAlone;
use crate::worker::Worker;
use crate::world::World;

/// Who is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Predecessor,
    Successor,
    OldWorker,
    NewWorker,
}

pub const VICTIMS: [Victim; 4] =
    [Victim::Predecessor, Victim::Successor, Victim::OldWorker, Victim::NewWorker];

/// Something that happens to one who takes part: it dies, or is stopped for so long.
#[derive(Debug, Clone, Copy)]
pub struct Blow {
    /// Once this has come to pass,
    pub passed: Passed,
    /// and so much later.
    pub later: Duration,
    pub victim: Victim,
    pub stops: Option<Duration>,
}

impl Blow {
    pub fn draw(random: &mut Random) -> Self {
        let later = Duration::from_micros(random.pick(&[0, 0, 200, 2000, 20_000]));
        let stops = random.chance(30).then(|| random.millis(10..3000));
        Self { passed: random.pick(&ALL_PASSED), later, victim: random.pick(&VICTIMS), stops }
    }
}

pub struct Succession {
    random: Random,
    /// The number of the reign that hands over.
    pub from: usize,
    pub channel: Rc<RefCell<Channel>>,
    /// How long a word takes at most.
    delay: Duration,
    setup: Setup,
    pub successor: Option<Reign>,
    /// The predecessor is one process.
    is_from_alone: bool,
    /// The workers of the predecessor whose connections are sent, in their order.
    moving: Vec<WorkerId>,
    blow: Option<Blow>,
    strikes_at: Option<Duration>,
    pub is_committed: bool,
    /// The successor's.
    number: usize,
}

impl Succession {
    /// A process of the successor's is there, and says so.
    fn new(mut random: Random, from: usize, setup: Setup, at: Duration) -> Self {
        let delay = Duration::from_micros(random.pick(&[0, 100, 2000, 20_000]));
        let channel = Channel::new(random.fork(), delay);
        let hello = Heard::Hello { oldest: 1, newest: 1, most_descriptors: 1 << 20 };
        channel.borrow_mut().tell_predecessor(hello, at);
        channel.borrow_mut().pass(Passed::Greeted);
        Self {
            random,
            from,
            channel,
            delay,
            setup,
            successor: None,
            is_from_alone: false,
            moving: Vec::new(),
            blow: None,
            strikes_at: None,
            is_committed: false,
            number: usize::MAX,
        }
    }

    /// Whether the successor has been started, be it there still or not.
    fn has_started(&self) -> bool {
        self.number != usize::MAX
    }

    /// When something happens by itself.
    pub fn next_time(&self) -> Option<Duration> {
        self.channel.borrow().next_time().into_iter().chain(self.strikes_at).min()
    }

    /// Whether something happens now.
    pub fn is_awake(&self, at: Duration) -> bool {
        let wants_sockets = !self.has_started() && self.channel.borrow().wakes_successor(at);
        wants_sockets || self.strikes_at.is_some_and(|due| due <= at)
    }

    /// Notes how far these are.
    fn note<'a>(&mut self, workers: impl Iterator<Item = &'a mut Worker>) {
        let mut channel = self.channel.borrow_mut();
        let mut note = |worker: &mut Worker| worker.passed.drain(..).for_each(|passed| channel.pass(passed));
        workers.for_each(&mut note);
        self.successor.iter_mut().flat_map(|successor| &mut successor.workers).for_each(note);
    }

    /// From here on nothing is held up.
    pub fn be_prompt(&mut self) {
        self.channel.borrow_mut().hurry();
        (self.delay, self.setup.pace) = (Duration::ZERO, Some(Pace::PROMPT));
        self.successor.iter_mut().for_each(Reign::be_prompt);
    }

    /// Whether it strikes now.
    fn strike(&mut self, at: Duration) -> Option<Blow> {
        let blow = self.blow?;
        if self.strikes_at.is_none() && self.channel.borrow().has_passed(blow.passed) {
            self.strikes_at = Some(at + blow.later);
        }
        self.strikes_at.take_if(|due| *due <= at)?;
        self.blow.take()
    }
}

impl World {
    /// The server that serves begins to hand over to one with so many workers, if it can. Whether it does.
    pub fn begin_succession(&mut self, workers: usize, blow: Option<Blow>) -> bool {
        let may = self.reign().may_hand_over();
        if self.succession.is_some() || !may {
            return false;
        }
        let (at, from, mut setup) = (self.now, self.reign().number, self.setup.clone());
        setup.workers = workers;
        let mut succession = Succession::new(self.random.fork(), from, setup, at);
        let now = self.clock();
        succession.is_from_alone = self.reign().is_alone();
        succession.moving = self.reign().begin_giving(succession.channel.clone(), (now, at));
        succession.blow = blow;
        self.succession = Some(succession);
        true
    }

    /// Goes on with it.
    pub fn succeed(&mut self) {
        self.batches = self.workers().map(|worker| worker.batches).chain([self.batches]).max().unwrap_or(0);
        let Some(mut succession) = self.succession.take() else { return };
        let (at, from) = (self.now, succession.from);
        if !succession.has_started() && !succession.channel.borrow().is_successor_gone() {
            let told = succession.channel.borrow_mut().be_told(at);
            match told {
                Ok(None) => {}
                Ok(Some(Word::Sockets)) => self.start_successor(&mut succession),
                _ => drop(succession.channel.borrow_mut().leave_successor()),
            }
        }
        let workers = self.reigns.iter_mut().flat_map(|reign| &mut reign.workers).chain(&mut self.orphans);
        let number = succession.number;
        succession.note(workers.filter(|worker| [from, number].contains(&worker.place.reign)));
        if let Some(failed) = succession.successor.take_if(|reign| reign.has_failed()) {
            failed.workers.into_iter().for_each(Worker::die);
        }
        let has_passed = |passed| succession.channel.borrow().has_passed(passed);
        let (commits, is_given_up) = (has_passed(Passed::Commit), has_passed(Passed::GivenUp));
        if commits && !std::mem::replace(&mut succession.is_committed, commits) {
            self.on_committed(&mut succession);
        }
        if let Some(blow) = succession.strike(at) {
            self.strike(&mut succession, blow);
        }
        let is_there = |number| self.reigns.iter().any(|reign| reign.number == number);
        let serves = succession.channel.borrow().has_passed(Passed::Serve);
        let is_over = match succession.is_committed {
            true => serves || !is_there(succession.number),
            false => (is_given_up || !is_there(from)) && succession.successor.is_none(),
        };
        if is_over && succession.strikes_at.is_none() {
            self.handovers[usize::from(succession.is_committed)] += 1;
        } else {
            self.succession = Some(succession);
        }
    }

    fn start_successor(&mut self, succession: &mut Succession) {
        let (channel, setup) = (succession.channel.clone(), succession.setup.clone());
        let deadline = self.now + setup.handover_timeout;
        let epoch = self.reigns.iter().find(|reign| reign.number == succession.from).map(|reign| reign.epoch);
        let epoch = epoch.unwrap_or_default();
        let (number, now) = (self.reigns_so_far, self.clock());
        self.reigns_so_far += 1;
        self.successors += 1;
        succession.number = number;
        succession.successor = Some(match (setup.workers, succession.is_from_alone) {
            (0, is_from_alone) => {
                let ends = if is_from_alone { vec![] } else { self.open_channels(succession).remove(0) };
                Reign::successor_alone(number, epoch, setup, TakingAlone::new(channel, ends, deadline), now)
            }
            (slots, true) => {
                // What a worker says there is there before what it says then to its supervisor: nothing is late.
                let passage = Channel::new(succession.random.fork(), Duration::ZERO);
                let mut ends: Vec<Vec<TakingEnd>> = (0..slots).map(|_| vec![]).collect();
                ends[0].push(TakingEnd(passage.clone()));
                let taking = Taking::new(channel, ends, Some(GivingEnd(passage)), deadline);
                Reign::successor(number, epoch, setup, taking, &mut succession.random, now)
            }
            (_, false) => {
                let taking = Taking::new(channel, self.open_channels(succession), None, deadline);
                Reign::successor(number, epoch, setup, taking, &mut succession.random, now)
            }
        });
    }

    /// One for each worker of the predecessor's; their other ends, for each slot of the successor's.
    fn open_channels(&mut self, succession: &mut Succession) -> Vec<Vec<TakingEnd>> {
        let slots = succession.setup.workers.max(1);
        let mut ends: Vec<Vec<TakingEnd>> = (0..slots).map(|_| vec![]).collect();
        let mut old: Vec<&mut Worker> = self.reigns.iter_mut().flat_map(|reign| &mut reign.workers).collect();
        for (nth, id) in succession.moving.iter().enumerate() {
            let channel = Channel::new(succession.random.fork(), succession.delay);
            ends[nth % slots].push(TakingEnd(channel.clone()));
            let mut old = old.iter_mut().filter(|worker| worker.place.reign == succession.from);
            let old = old.find(|worker| worker.place.id == *id);
            old.into_iter().for_each(|worker| worker.passage = Some(GivingEnd(channel.clone())));
        }
        ends
    }

    /// All is the successor's.
    fn on_committed(&mut self, succession: &mut Succession) {
        self.setup.workers = succession.setup.workers;
        let mut successor = succession.successor.take().expect("it has said so");
        let slots = succession.setup.workers.max(1);
        let old =
            self.reigns.iter_mut().find(|reign| reign.number == succession.from).expect("it hands over");
        if succession.is_from_alone {
            // What is still to be written to its witness others may hear before that.
            let known = self.truth.newest(old.epoch);
            for (position, publication) in old.workers[0].server.history().after(known) {
                let payload = publication.message.json().to_vec();
                let id = Id { epoch: old.epoch, position };
                self.truth.hear_of(id, payload, self.now, old.number);
            }
        }
        for old in &mut old.workers {
            let nth = succession.moving.iter().position(|id| *id == old.place.id);
            let slot = nth.map_or(0, |nth| nth % slots);
            let new = successor.workers.iter().position(|worker| worker.slot == slot);
            let Some(new) = successor.workers.get_mut(new.unwrap_or(0)) else { continue };
            for witness in old.take_moved_witnesses() {
                // One that was about to go, or has died with the one that has taken it up, is followed by another.
                let is_there = new.known_lines().any(|line| Rc::ptr_eq(line, &witness.line));
                if !is_there || witness.line.borrow().inbound_ended {
                    continue;
                }
                new.newest = new.newest.max(witness.newest);
                new.witnesses.push(witness);
            }
            // Its door is the successor's from here on.
            old.accepts = false;
            new.newcomers.append(&mut old.newcomers);
        }
        if succession.setup.workers == 0 {
            // One that is alone is the witness's only source.
            successor.workers.iter_mut().for_each(|worker| worker.invite_witness(&mut succession.random));
        }
        for worker in &mut successor.workers {
            // What its witness has still to be brought, too.
            worker.newest = worker.newest.max(*worker.server.history().positions().end());
        }
        for worker in &successor.workers {
            let is_its = |line: &Rc<RefCell<Line>>| worker.known_lines().any(|other| Rc::ptr_eq(line, other));
            for visit in self.subscribers.iter_mut().filter_map(|subscriber| subscriber.visit.as_mut()) {
                if is_its(&visit.line) {
                    visit.record.place = worker.place;
                    self.moved += 1;
                }
            }
            for publisher in &mut self.publishers {
                publisher.follow(successor.number, is_its);
            }
        }
        self.reigns.push(successor);
    }

    fn strike(&mut self, succession: &mut Succession, blow: Blow) {
        self.blows += 1;
        let until = blow.stops.map(|duration| self.now + duration);
        let is_to_alone = succession.setup.workers == 0;
        let victim = match blow.victim {
            Victim::OldWorker if succession.is_from_alone => Victim::Predecessor,
            Victim::NewWorker if is_to_alone => Victim::Successor,
            victim => victim,
        };
        match (victim, until) {
            (Victim::Predecessor, Some(until)) => {
                let old = self.reigns.iter_mut().find(|reign| reign.number == succession.from);
                old.into_iter().for_each(|reign| reign.freeze(until));
            }
            (Victim::Predecessor, None) => self.kill_predecessor(succession),
            (Victim::Successor, Some(until)) => {
                let new = self.successor_of(succession);
                new.into_iter().for_each(|reign| reign.freeze(until));
            }
            (Victim::Successor, None) => self.kill_successor(succession),
            (Victim::OldWorker, until) => {
                let old = self.reigns.iter_mut().find(|reign| reign.number == succession.from);
                strike_one_of(old, &mut succession.random, until);
            }
            (Victim::NewWorker, until) => {
                let mut random = succession.random.fork();
                strike_one_of(self.successor_of(succession), &mut random, until);
            }
        }
    }

    /// Wherever it is by now.
    fn successor_of<'a>(&'a mut self, succession: &'a mut Succession) -> Option<&'a mut Reign> {
        if succession.is_committed { self.reigns.last_mut() } else { succession.successor.as_mut() }
    }

    fn kill_predecessor(&mut self, succession: &mut Succession) {
        let Some(nth) = self.reigns.iter().position(|reign| reign.number == succession.from) else { return };
        let is_committed = succession.is_committed || succession.channel.borrow().has_passed(Passed::Commit);
        if !is_committed && nth + 1 < self.reigns.len() {
            // It has been told to leave meanwhile, and another goes on already with what it has left.
            return;
        }
        let reign = self.reigns.remove(nth);
        succession.channel.borrow_mut().leave_predecessor();
        if !is_committed {
            self.crashed.insert(reign.number, self.now);
            self.orphan(reign.crash());
            return self.begin(None);
        }
        self.orphan(reign.crash());
    }

    fn kill_successor(&mut self, succession: &mut Succession) {
        succession.channel.borrow_mut().leave_successor();
        if succession.is_committed {
            return self.fulfil(Fate::Crashed);
        }
        let workers = succession.successor.take().into_iter().flat_map(Reign::crash).collect();
        self.orphan(workers);
    }

    /// Their supervisor is gone. Nobody would kill those that are stopped: they are continued before long.
    pub fn orphan(&mut self, mut workers: Vec<Worker>) {
        let latest = self.now + Duration::from_secs(10);
        workers.iter_mut().for_each(|worker| worker.frozen_until = worker.frozen_until.min(latest));
        self.orphans.append(&mut workers);
    }

    /// Workers whose supervisor is gone, and who have ended.
    pub fn bury_orphans(&mut self) {
        for worker in self.orphans.extract_if(.., |worker| worker.has_ended()) {
            self.parted_unasked += usize::from(worker.parted_unasked);
            if worker.has_vanished {
                worker.vanish();
            }
        }
    }

    /// The server that takes over, until all is its own.
    pub fn successor(&self) -> impl Iterator<Item = &Reign> {
        self.succession.iter().filter_map(|succession| succession.successor.as_ref())
    }

    /// When something happens to it by itself.
    pub fn next_of_succession(&self) -> Option<Duration> {
        self.succession.as_ref().and_then(Succession::next_time)
    }
}

fn strike_one_of(reign: Option<&mut Reign>, random: &mut Random, until: Option<Duration>) {
    let Some(reign) = reign.filter(|reign| !reign.workers.is_empty()) else { return };
    let nth = random.below(reign.workers.len());
    let id = reign.workers[nth].place.id;
    match until {
        Some(until) => reign.workers[nth].frozen_until = until,
        None => reign.kill(id),
    }
}

//! Supervisors that follow one another, their workers and the clients of these, over virtual sockets and one virtual
//! clock. A process takes a turn only when something wakes it, as its poll would.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::policy::roster::WorkerId;
use slackwater::process::crew::Signal;
use slackwater::server::clock::Now;
use slackwater::server::limits::Limits;
use slackwater::wire::snapshot::Snapshot;

use crate::ear::Id;
use crate::pipe::Pace;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::reign::{Custom, Reign};
use crate::socket::Line;
use crate::subscriber::{Subscriber, Welcomer};
use crate::truth::Truth;
use crate::worker::Worker;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 40_000;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// A worker is killed.
    Killed,
    /// A worker takes nothing for so long.
    Frozen(Duration),
    /// A worker is sent a signal to leave.
    Signalled,
    Reload,
    Grow,
    Shrink,
    /// The whole server leaves, and a successor goes on with its state.
    Redeployed,
    /// The supervisor is killed, and another one begins anew.
    Crashed,
}

pub struct World {
    pub random: Random,
    pub custom: Custom,
    base: Instant,
    pub now: Duration,
    /// Those that are leaving, and the one whose workers serve as the last.
    pub reigns: Vec<Reign>,
    reigns_so_far: usize,
    /// Workers whose supervisor is gone.
    pub orphans: Vec<Worker>,
    workers_so_far: usize,
    pub subscribers: Vec<Subscriber>,
    pub publishers: Vec<Publisher>,
    pub truth: Truth,
    /// The next one last.
    pub fates: Vec<(Duration, Fate)>,
    busy_turns: usize,
    pub crashed: Vec<usize>,
    /// Came with an id that their worker had not been told of.
    pub ahead: usize,
    count: usize,
}

impl World {
    pub fn new(random: Random, custom: Custom, count: usize) -> Self {
        let mut world = Self {
            random,
            base: Instant::now(),
            now: Duration::ZERO,
            reigns: Vec::new(),
            reigns_so_far: 0,
            orphans: Vec::new(),
            workers_so_far: 0,
            subscribers: Vec::new(),
            publishers: Vec::new(),
            truth: Truth::new(custom.terms.history),
            fates: Vec::new(),
            busy_turns: 0,
            crashed: Vec::new(),
            ahead: 0,
            custom,
            count,
        };
        world.begin(0xbeef, None);
        world
    }

    /// Takes turns as long as this holds, which must not be for ever.
    pub fn run_while(&mut self, holds: impl Fn(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(60);
        loop {
            self.turn();
            if !holds(self) {
                return;
            }
            self.sleep(limit);
            assert!(self.now < limit, "it takes for ever: {:?} {:?}", self.subscribers, self.publishers);
        }
    }

    /// From here on nothing is held up between the processes.
    pub fn let_everything_through(&mut self) {
        self.custom.pace = Some(Pace::PROMPT);
        for reign in &mut self.reigns {
            reign.be_prompt();
        }
        self.orphans.iter().for_each(|worker| worker.pipe.borrow_mut().hurry());
    }

    /// Whether only the last supervisor and its workers are left, and all clients have what they want.
    pub fn is_settled(&self) -> bool {
        let ([reign], true) = (self.reigns.as_slice(), self.orphans.is_empty()) else { return false };
        self.is_at_rest()
            && reign.crew.is_complete()
            && reign
                .workers
                .iter()
                .all(|worker| !worker.server.is_leaving() && worker.frozen_until <= self.now)
            && self.publishers.iter().all(Publisher::is_done)
            && self.subscribers.iter().all(|subscriber| subscriber.is_settled_at().is_some())
    }

    /// Whether nobody is connected to anybody, and the supervisor knows.
    pub fn is_deserted(&self) -> bool {
        self.is_at_rest()
            && self.workers().all(Worker::is_deserted)
            && self.reigns.iter().all(|reign| reign.crew.clients() == 0)
    }

    pub fn reign(&mut self) -> &mut Reign {
        self.reigns.last_mut().expect("one supervises")
    }

    /// Takes turns until then.
    pub fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.turn();
            self.sleep(end);
        }
    }

    /// One of the last supervisor's.
    pub fn worker(&mut self, id: WorkerId) -> &mut Worker {
        self.reign().workers.iter_mut().find(|worker| worker.id == id).expect("it is there")
    }

    /// Connects somebody who says this to a worker.
    pub fn connect_to(&mut self, worker: WorkerId, capacity: usize, request: &str) -> Rc<RefCell<Line>> {
        let line = Rc::new(RefCell::new(Line::new(self.random.fork(), capacity)));
        line.borrow_mut().send(request.as_bytes());
        self.worker(worker).admit(line.clone());
        line
    }

    pub fn clock(&self) -> Now {
        let wall = Timestamp::from_second(1_790_000_000).expect("in range") + self.now;
        Now { instant: self.base + self.now, wall }
    }

    /// One turn of each process that is awake, in any order, and what the clients make of it.
    pub fn turn(&mut self) {
        self.fulfil_fates();
        self.let_act();
        let (now, at) = (self.clock(), self.now);
        self.carry();
        for nth in 0..self.reigns.len() {
            let reign = &mut self.reigns[nth];
            let is_first = self.random.chance(50);
            if is_first && reign.is_awake(now.instant) {
                reign.turn((now, at), &mut self.random, &mut self.truth, &mut self.workers_so_far);
            }
            self.random.shuffle(&mut reign.workers);
            for worker in &mut reign.workers {
                worker_turn(worker, &mut self.subscribers, (now, at), &mut self.random, &self.truth);
            }
            reign.part();
            if !is_first && reign.is_awake(now.instant) {
                reign.turn((now, at), &mut self.random, &mut self.truth, &mut self.workers_so_far);
            }
        }
        for worker in &mut self.orphans {
            worker_turn(worker, &mut self.subscribers, (now, at), &mut self.random, &self.truth);
        }
        self.orphans.retain(|worker| !worker.has_ended);
        self.let_succeed();
        self.reigns.retain(|reign| !reign.is_complete);
        self.carry();
        for nth in 0..self.subscribers.len() {
            let newest = self.newest_for(nth);
            self.subscribers[nth].on_turn(newest, self.now);
        }
        for publisher in &mut self.publishers {
            publisher.on_turn(self.now);
        }
    }

    /// Lets arrive between the processes what is due.
    fn carry(&self) {
        let of_orphans = self.orphans.iter().map(|worker| &worker.pipe);
        for pipe in self.reigns.iter().flat_map(Reign::pipes).chain(of_orphans) {
            pipe.borrow_mut().carry(self.now);
        }
    }

    fn let_act(&mut self) {
        let at = self.now;
        for nth in 0..self.subscribers.len() {
            let newest = self.newest_for(nth);
            self.subscribers[nth].act(newest, at);
        }
        let Limits { write: write_limit, outbox_bytes, .. } = self.custom.terms.limits;
        let (reign, random) = (self.reigns.last_mut().expect("one supervises"), &mut self.random);
        let (number, epoch) = (reign.number, reign.epoch);
        let mut serving: Vec<&mut Worker> =
            reign.workers.iter_mut().filter(|worker| worker.accepts).collect();
        if serving.is_empty() {
            for publisher in self.publishers.iter_mut().filter(|p| !p.wants_to_connect(at)) {
                assert!(publisher.act(number, at).is_none());
            }
            return;
        }
        for subscriber in &mut self.subscribers {
            let place = random.below(serving.len());
            let worker = &mut serving[place];
            let welcomer = Welcomer { server: worker.number, epoch, write_limit, outbox_bytes };
            if let Some(line) = subscriber.come(welcomer, at) {
                let asked =
                    subscriber.visit.as_ref().and_then(|visit| Id::read(visit.record.asked.as_deref()?));
                let is_real = asked.is_some_and(|id| id.epoch == epoch && self.truth.get(id).is_some());
                self.ahead += usize::from(is_real && asked.is_some_and(|id| id.position > worker.newest));
                worker.admit(line);
            }
        }
        for publisher in &mut self.publishers {
            let place = random.below(serving.len());
            if let Some(line) = publisher.act(number, at) {
                serving[place].admit(line);
            }
        }
    }

    /// The newest position at the worker to which a subscriber is connected.
    fn newest_for(&self, subscriber: usize) -> u64 {
        let Some(visit) = &self.subscribers[subscriber].visit else { return 0 };
        self.workers()
            .find(|worker| worker.number == visit.record.server)
            .map_or(u64::MAX, |worker| worker.newest)
    }

    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        let of_reigns = self.reigns.iter().flat_map(|reign| &reign.workers);
        of_reigns.chain(&self.orphans)
    }

    /// A turn takes its time; behind it all sleep until the next moment at which something happens.
    pub fn sleep(&mut self, end: Duration) {
        self.now += Duration::from_micros(self.random.within(20..400) as u64);
        if !self.is_at_rest() {
            self.busy_turns += 1;
            assert!(self.busy_turns < LIVELOCK_TURNS, "it never comes to rest");
            return;
        }
        self.busy_turns = 0;
        let at = self.now;
        let own = self.workers().filter(|w| w.frozen_until <= at).filter_map(Worker::next_time);
        let own = own.chain(self.reigns.iter().filter_map(Reign::next_time)).map(|at| at - self.base);
        let thaws = self.workers().map(|worker| worker.frozen_until).filter(|until| *until > at);
        let pipes = self.reigns.iter().flat_map(Reign::pipes).filter_map(|pipe| pipe.borrow().next_time());
        let orphans = self.orphans.iter().filter_map(|worker| worker.pipe.borrow().next_time());
        let can_connect = self.reigns.iter().flat_map(|reign| &reign.workers).any(|worker| worker.accepts);
        let subscribers =
            self.subscribers.iter().filter(|s| can_connect || s.visit.is_some()).map(Subscriber::next_time);
        let publishers = self
            .publishers
            .iter()
            .filter(|p| can_connect || !p.wants_to_connect(at))
            .map(Publisher::next_time);
        let fates = self.fates.last().map(|(at, _)| *at);
        let next = own
            .chain(thaws)
            .chain(pipes)
            .chain(orphans)
            .chain(subscribers)
            .chain(publishers)
            .chain(fates)
            .min();
        self.now = self.now.max(next.unwrap_or(end).min(end));
    }

    /// Whether every process would sleep, and no event would wake it.
    pub fn is_at_rest(&self) -> bool {
        let now = self.base + self.now;
        let is_asleep = |worker: &Worker| worker.frozen_until > self.now || !worker.is_awake(now);
        self.reigns.iter().all(|reign| !reign.is_awake(now)) && self.workers().all(is_asleep)
    }

    fn fulfil_fates(&mut self) {
        while let Some((_, fate)) = self.fates.pop_if(|(at, _)| *at <= self.now) {
            self.fulfil(fate);
        }
    }

    pub fn fulfil(&mut self, fate: Fate) {
        let now = self.clock();
        let until = self.now;
        let chosen = self.random.below(8);
        let reign = self.reigns.last_mut().expect("one supervises");
        reign.is_woken = true;
        let chosen = (!reign.workers.is_empty()).then(|| chosen % reign.workers.len());
        // As long as nobody has ever served, one who fails is the end of it all.
        let chosen = chosen.filter(|_| reign.has_begun);
        match (fate, chosen) {
            (Fate::Killed, Some(nth)) => {
                let id: WorkerId = reign.workers[nth].id;
                reign.kill(id);
            }
            (Fate::Frozen(duration), Some(nth)) => reign.workers[nth].frozen_until = until + duration,
            (Fate::Signalled, Some(nth)) => reign.workers[nth].signal(),
            (Fate::Reload, _) => reign.signals.push(Signal::Reload),
            (Fate::Grow, _) => reign.signals.push(Signal::Grow),
            (Fate::Shrink, _) => reign.signals.push(Signal::Shrink),
            (Fate::Redeployed, _) => {
                reign.signals.push(Signal::Leave);
                reign.turn((now, until), &mut self.random, &mut self.truth, &mut self.workers_so_far);
                self.let_succeed();
            }
            (Fate::Crashed, _) => {
                let reign = self.reigns.pop().expect("one supervises");
                self.crashed.push(reign.number);
                let epoch = reign.epoch + 1;
                reign.orphan(&mut self.orphans);
                self.begin(epoch, None);
            }
            (Fate::Killed | Fate::Frozen(_) | Fate::Signalled, None) => {}
        }
    }

    /// What a supervisor leaves behind, another one takes over.
    fn let_succeed(&mut self) {
        let reign = self.reign();
        if let Some(legacy) = reign.legacy.take() {
            let epoch = reign.epoch;
            self.begin(epoch, Some(Snapshot::decode(&legacy.encode()).expect("it is whole")));
        }
    }

    fn begin(&mut self, epoch: u32, snapshot: Option<Snapshot>) {
        let now = self.clock();
        let custom = self.custom.clone();
        let reign =
            Reign::new(self.reigns_so_far, epoch, snapshot, self.count, custom, &mut self.random, now);
        self.reigns_so_far += 1;
        self.reigns.push(reign);
    }
}

fn worker_turn(
    worker: &mut Worker,
    subscribers: &mut [Subscriber],
    (now, at): (Now, Duration),
    random: &mut Random,
    truth: &Truth,
) {
    if worker.frozen_until > at || !worker.is_awake(now.instant) {
        return;
    }
    let had_said_farewell = worker.has_said_farewell;
    let visits = subscribers.iter_mut().filter_map(|subscriber| subscriber.visit.as_mut());
    let mut here: Vec<_> = visits.filter(|visit| visit.record.server == worker.number).collect();
    // Who has not been welcomed yet may be now.
    for visit in here.iter_mut().filter(|visit| visit.line.borrow().ear.heard.len() < 2) {
        visit.record.at = at;
    }
    worker.turn(now, random, truth);
    if worker.has_said_farewell && !had_said_farewell {
        here.iter_mut().for_each(|visit| visit.record.farewell = Some(worker.newest));
    }
}

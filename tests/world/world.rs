//! Servers that follow one another, their processes and the clients of these, over virtual sockets and one virtual
//! clock. A process takes a turn only when something wakes it, as its poll would.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::policy::roster::WorkerId;
use slackwater::server::clock::Now;
use slackwater::server::limits::Limits;
use slackwater::wire::snapshot::Snapshot;

use crate::crowd::Crowd;
use crate::ear::Id;
use crate::fates::Fate;
use crate::judge::Scene;
use crate::pipe::{Pace, Pipe};
use crate::publisher::Publisher;
use crate::random::Random;
use crate::reign::{Reign, Setup};
use crate::socket::Line;
use crate::subscriber::{Subscriber, Welcomer};
use crate::succession::Succession;
use crate::supervisor::Supervisor;
use crate::truth::Truth;
use crate::worker::{Place, Worker};

/// On the wall's clock.
pub const BEGINNING: Timestamp = Timestamp::constant(1_790_000_000, 0);

pub struct World {
    pub random: Random,
    pub setup: Setup,
    pub base: Instant,
    pub now: Duration,
    /// Those that are leaving, and the one that serves as the last.
    pub reigns: Vec<Reign>,
    pub reigns_so_far: usize,
    /// Workers whose supervisor is gone.
    pub orphans: Vec<Worker>,
    pub subscribers: Vec<Subscriber>,
    pub publishers: Vec<Publisher>,
    pub crowd: Crowd,
    pub truth: Truth,
    /// The next one last.
    pub fates: Vec<(Duration, Fate)>,
    /// Turns in a row behind which nobody has slept.
    pub busy_turns: usize,
    /// The reigns that did, and when.
    pub crashed: BTreeMap<usize, Duration>,
    /// Hand-overs that were given up, and that were not.
    pub handovers: [usize; 2],
    /// One that is under way, between supervisors.
    pub succession: Option<Succession>,
    /// Subscribers that have moved so, and how often somebody was struck meanwhile.
    pub moved: usize,
    pub successors: usize,
    pub blows: usize,
    /// The most batches in which a process has sent its connections.
    pub batches: usize,
    /// Orphans that were told by those who have taken their connections what became of these.
    pub parted_unasked: usize,
    /// Workers that have lost a supervisor that was there, and when: what one has refused then may have been published, and of what
    /// was published it has heard no more.
    pub severed: Vec<(Place, Duration)>,
    /// Came with an id that their worker had not been told of.
    pub ahead: usize,
}

impl World {
    pub fn new(random: Random, setup: Setup) -> Self {
        let mut world = Self {
            random,
            base: Instant::now(),
            now: Duration::ZERO,
            reigns: Vec::new(),
            reigns_so_far: 0,
            orphans: Vec::new(),
            subscribers: Vec::new(),
            publishers: Vec::new(),
            crowd: Crowd::default(),
            truth: Truth::new(setup.terms.history, setup.terms.compresses),
            fates: Vec::new(),
            busy_turns: 0,
            crashed: BTreeMap::new(),
            handovers: [0; 2],
            succession: None,
            moved: 0,
            successors: 0,
            blows: 0,
            batches: 0,
            parted_unasked: 0,
            severed: Vec::new(),
            ahead: 0,
            setup,
        };
        world.begin(None);
        world
    }

    /// The next reign, which goes on with what another has left.
    pub fn begin(&mut self, snapshot: Option<Snapshot>) {
        let (setup, now) = (self.setup.clone(), self.clock());
        self.reigns.push(Reign::new(self.reigns_so_far, snapshot, setup, &mut self.random, now));
        self.reigns_so_far += 1;
    }

    /// The one that serves.
    pub fn reign(&mut self) -> &mut Reign {
        self.reigns.last_mut().expect("one serves")
    }

    /// Its supervisor.
    pub fn supervisor(&mut self) -> &mut Supervisor {
        self.reign().supervisor_mut()
    }

    /// One of its workers.
    pub fn worker(&mut self, id: WorkerId) -> &mut Worker {
        self.reign().workers.iter_mut().find(|worker| worker.place.id == id).expect("it is there")
    }

    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.all_reigns().flat_map(|reign| &reign.workers).chain(&self.orphans)
    }

    /// All that there are, also one that is about to take over.
    pub fn all_reigns(&self) -> impl Iterator<Item = &Reign> {
        self.reigns.iter().chain(self.successor())
    }

    /// Connects somebody who says this to a server's first or only process, and has room for so much unread.
    pub fn connect(&mut self, capacity: usize, request: &str) -> Rc<RefCell<Line>> {
        self.connect_to(0, capacity, request)
    }

    /// The same to any process that serves.
    pub fn connect_to_any(&mut self, request: &str) -> Rc<RefCell<Line>> {
        let serving = self.reign().workers.iter().find(|worker| worker.accepts);
        let id = serving.expect("one serves").place.id;
        self.connect_to(id, 1 << 40, request)
    }

    /// Connects somebody who says this to a worker.
    pub fn connect_to(&mut self, worker: WorkerId, capacity: usize, request: &str) -> Rc<RefCell<Line>> {
        let line = Line::new(self.random.fork(), capacity);
        self.connect_by(line, worker, request)
    }

    /// The same by TLS.
    #[cfg(feature = "tls")]
    pub fn connect_by_tls(&mut self, worker: WorkerId, capacity: usize, request: &str) -> Rc<RefCell<Line>> {
        let mut line = Line::new(self.random.fork(), capacity);
        line.secure();
        self.connect_by(line, worker, request)
    }

    fn connect_by(&mut self, mut line: Line, worker: WorkerId, request: &str) -> Rc<RefCell<Line>> {
        line.send(request.as_bytes());
        let line = Rc::new(RefCell::new(line));
        self.worker(worker).admit(line.clone());
        line
    }

    /// Takes turns for so long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Takes turns until then.
    pub fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.turn();
            self.sleep(end);
        }
    }

    /// Takes turns as long as this holds, which must not be for ever.
    pub fn run_while(&mut self, mut holds: impl FnMut(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(60);
        loop {
            self.turn();
            if !holds(self) {
                return;
            }
            self.sleep(limit);
            let states: Vec<String> = self.all_reigns().map(Reign::state).collect();
            assert!(
                self.now < limit,
                "it takes for ever: {states:?} {:?} {:?}",
                self.subscribers,
                self.publishers
            );
        }
    }

    /// Lets the turn before of the only process have taken so long.
    pub fn stretch_turn(&mut self, time: Duration) {
        let server = &mut self.worker(0).server;
        server.end(server.now() + time);
        self.now += time;
    }

    /// How many notifications the only process has published.
    pub fn published(&self) -> u64 {
        self.reigns[0].workers[0].published()
    }

    /// Takes turns until there is nothing left to do.
    pub fn calm_down(&mut self) {
        self.run_while(|world| !world.is_at_rest());
    }

    /// Takes turns until all serve who are to serve, and there is nothing left to do.
    pub fn begin_calmly(&mut self) {
        self.run_while(|world| !world.reigns.iter().all(Reign::is_whole) || !world.is_at_rest());
    }

    /// From here on nothing is held up between the processes, and no orphan, which nobody would kill.
    pub fn let_everything_through(&mut self) {
        self.orphans.iter_mut().for_each(|worker| worker.frozen_until = self.now);
        self.setup.pace = Some(Pace::PROMPT);
        self.reigns.iter_mut().for_each(Reign::be_prompt);
        self.succession.iter_mut().for_each(Succession::be_prompt);
        self.pipes().for_each(|pipe| pipe.borrow_mut().hurry());
        self.workers().flat_map(Worker::channels).for_each(|channel| channel.borrow_mut().hurry());
    }

    /// One turn of each process that is awake, in any order, and what the clients make of it.
    pub fn turn(&mut self) {
        self.fulfil_fates();
        self.let_act();
        let moment = (self.clock(), self.now);
        self.carry();
        for reign in &mut self.reigns {
            reign.turn(moment, &mut self.random, &mut self.truth, &mut self.subscribers);
        }
        if let Some(successor) = self.succession.as_mut().and_then(|it| it.successor.as_mut()) {
            successor.turn(moment, &mut self.random, &mut self.truth, &mut self.subscribers);
        }
        self.succeed();
        for worker in &mut self.orphans {
            worker.turn(moment, &mut self.random, &mut self.truth, &mut self.subscribers);
        }
        self.bury_orphans();
        self.follow_back();
        if let Some(legacy) = self.reign().take_legacy().filter(|_| self.setup.is_followed) {
            self.begin(Some(Snapshot::decode(&legacy.encode()).expect("it is whole")));
        }
        self.reigns.retain(|reign| !reign.is_complete());
        self.carry();
        for nth in 0..self.subscribers.len() {
            let [_, latest] = self.newest_for(nth);
            self.subscribers[nth].on_turn(latest, self.now);
        }
        for publisher in &mut self.publishers {
            publisher.on_turn(self.now);
        }
        self.crowd.on_turn(self.now);
        self.judge(Crowd::judge);
    }

    /// Has what each process has told the scripted clients judged in this way.
    pub fn judge(&mut self, judge: impl Fn(&mut Crowd, Scene<'_>)) {
        let (terms, truth, now) = (&self.setup.terms, &self.truth, self.now);
        let workers = self.reigns.iter().flat_map(|reign| &reign.workers).chain(&self.orphans);
        if !self.crowd.clients.is_empty() {
            workers.for_each(|worker| judge(&mut self.crowd, Scene { worker, terms, truth, now }));
        }
    }

    /// What links the processes.
    pub fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        let of_supervisors = self.all_reigns().flat_map(Reign::supervisors).flat_map(Supervisor::pipes);
        of_supervisors.chain(self.orphans.iter().filter_map(|worker| worker.link.as_ref()))
    }

    /// Lets arrive between the processes what is due.
    fn carry(&self) {
        self.pipes().for_each(|pipe| pipe.borrow_mut().carry(self.now));
    }

    fn let_act(&mut self) {
        let at = self.now;
        for nth in 0..self.subscribers.len() {
            let [earliest, _] = self.newest_for(nth);
            self.subscribers[nth].act(earliest, at);
        }
        self.crowd.act(at);
        let Limits { write: write_limit, outbox_bytes, .. } = self.setup.terms.limits;
        let compresses = self.setup.terms.compresses;
        let (reign, random) = (self.reigns.last_mut().expect("one serves"), &mut self.random);
        let number = reign.number;
        let mut serving: Vec<&mut Worker> =
            reign.workers.iter_mut().filter(|worker| worker.accepts).collect();
        self.crowd.come(&mut serving, random, at);
        if serving.is_empty() {
            for publisher in self.publishers.iter_mut().filter(|p| !p.wants_to_connect(at)) {
                assert!(publisher.act(number, at).is_none());
            }
            return;
        }
        for subscriber in &mut self.subscribers {
            let worker_nth = random.below(serving.len());
            let worker = &mut serving[worker_nth];
            let welcomer = Welcomer { place: worker.place, write_limit, outbox_bytes, compresses };
            if let Some(line) = subscriber.come(welcomer, at) {
                let asked =
                    subscriber.visit.as_ref().and_then(|visit| Id::read(visit.record.asked.as_deref()?));
                let is_ahead = |id: &Id| id.epoch == reign.epoch && id.position > worker.newest;
                self.ahead +=
                    usize::from(asked.filter(is_ahead).is_some_and(|id| self.truth.get(id).is_some()));
                worker.admit(line);
            }
        }
        for publisher in &mut self.publishers {
            let worker_nth = random.below(serving.len());
            if let Some(line) = publisher.act(number, at) {
                serving[worker_nth].admit(line);
            }
        }
    }

    pub fn clock(&self) -> Now {
        Now { instant: self.base + self.now, wall: BEGINNING + self.now }
    }
}

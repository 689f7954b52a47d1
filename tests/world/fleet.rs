//! Several machines that share one engine, under one virtual clock: their production turns, an engine that fails in every way that
//! engines do, and those who listen and publish on any of them. After it all everybody is judged by what the engine has written.

pub mod answer;
pub mod author;
pub mod chronicle;
pub mod connection;
pub mod engine;
pub mod judge;
pub mod listener;
pub mod machine;
pub mod mishap;
pub mod node;
pub mod process;
pub mod store;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::server::clock::Now;

use crate::draw::{GENEROUS, SECOND};
use crate::ear::Id;
use crate::fleet::author::Author;
use crate::fleet::engine::Engine;
use crate::fleet::judge::{Judge, Tally};
use crate::fleet::listener::Listener;
use crate::fleet::machine::{Machine, Sharing};
use crate::fleet::mishap::Mishap;
use crate::pipe::{Pace, Pipe};
use crate::random::Random;
use crate::reign::Setup;
use crate::socket::Line;
use crate::world::BEGINNING;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 40_000;

/// Whatever has befallen a machine, it is well after that.
const RECOVERY: Duration = Duration::from_secs(25);

pub struct Fleet {
    pub random: Random,
    base: Instant,
    pub now: Duration,
    setup: Setup,
    sharing: Sharing,
    /// So many each machine has; none is one process.
    workers: Vec<usize>,
    pub engine: Engine,
    /// `None` while one is to be started again.
    pub machines: Vec<Option<Machine>>,
    starts: Vec<(Duration, usize)>,
    /// The only machine that anybody comes to, if it is one.
    pub open: Option<usize>,
    pub listeners: Vec<Listener>,
    pub authors: Vec<Author>,
    /// The next one last.
    pub mishaps: Vec<(Duration, Mishap)>,
    busy_turns: usize,
    /// A machine was: what it alone knew is known no longer.
    has_killed: bool,
}

impl Fleet {
    /// Machines of so many workers each, which have not begun yet.
    pub fn new(mut random: Random, setup: Setup, sharing: Sharing, workers: &[usize]) -> Self {
        let mut fleet = Self {
            engine: Engine::new(random.fork()),
            random,
            base: Instant::now(),
            now: Duration::ZERO,
            setup,
            sharing,
            workers: workers.into(),
            machines: Vec::new(),
            starts: Vec::new(),
            open: None,
            listeners: Vec::new(),
            authors: Vec::new(),
            mishaps: Vec::new(),
            busy_turns: 0,
            has_killed: false,
        };
        for number in 0..workers.len() {
            let machine = fleet.build(number);
            fleet.machines.push(Some(machine));
        }
        fleet
    }

    fn build(&mut self, number: usize) -> Machine {
        let now = self.clock();
        self.setup.workers = self.workers[number];
        Machine::new(number, &self.setup, self.sharing, &mut self.random, now)
    }

    /// A machine is killed, and started again after so long.
    pub fn kill(&mut self, number: usize, gone: Duration) {
        self.has_killed = true;
        if let Some(machine) = self.machines[number].take() {
            machine.die();
            self.starts.push((self.now + gone, number));
        }
    }

    /// Connects somebody to any process of a machine that serves.
    pub fn connect_to(&mut self, machine: usize, line: Rc<RefCell<Line>>) {
        let serving = self.machines[machine].as_mut().map(Machine::serving).unwrap_or_default();
        let nth = self.random.below(serving.len());
        serving.into_iter().nth(nth).expect("just counted").admit(line);
    }

    pub fn serving(&mut self) -> Vec<usize> {
        let (at, open) = (self.now, self.open);
        let serves = |machine: &mut Machine| machine.stopped_until <= at && !machine.serving().is_empty();
        let numbered = self.machines.iter_mut().enumerate();
        let numbered = numbered.filter(|(n, _)| open.is_none_or(|open| open == *n));
        numbered.filter_map(|(n, it)| it.as_mut().is_some_and(serves).then_some(n)).collect()
    }

    pub fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.turn();
            self.sleep(end);
        }
    }

    pub fn run_for(&mut self, lasts: Duration) {
        self.run_until(self.now + lasts);
    }

    /// Nothing more befalls anybody: everybody comes to rest, hears a last word, and is judged.
    pub fn end(&mut self) -> Tally {
        self.mishaps.clear();
        self.authors.iter_mut().for_each(|author| author.has_finished = true);
        self.listeners.iter_mut().for_each(Listener::settle_down);
        self.run_for(RECOVERY);
        self.authors.iter_mut().for_each(|author| author.say_last(self.now));
        let end = self.now + RECOVERY;
        while !self.authors.iter().all(Author::is_done) {
            assert!(self.now < end, "an author is never done");
            self.run_for(SECOND);
        }
        // What is published from here on may still be on its way when all are judged.
        let newest = self.engine.master().store.newest().expect("something was published");
        self.run_for(SECOND);
        self.judge(newest)
    }

    /// What everybody was told of the line that ends so, while all is well.
    fn judge(&self, newest: Id) -> Tally {
        let (mut tally, chronicle) = (Tally::default(), &self.engine.chronicle);
        let line: BTreeSet<Id> = chronicle.line(newest).into_iter().collect();
        let published = self.authors.iter().filter(|_| !self.has_killed).flat_map(Author::published);
        let lost = published.filter(|id| !line.contains(id)).collect();
        let forgets_nothing = self.setup.terms.history.publications >= GENEROUS.publications;
        let judge = Judge { chronicle, newest, lost, forgets_nothing };
        self.listeners.iter().for_each(|listener| judge.hears(listener, &mut tally));
        self.authors.iter().for_each(|author| judge.answers(author, &mut tally));
        tally
    }

    fn turn(&mut self) {
        let at = self.now;
        while let Some((_, mishap)) = self.mishaps.pop_if(|(due, _)| *due <= at) {
            self.befall(mishap);
        }
        for (_, number) in self.starts.extract_if(.., |(due, _)| *due <= at).collect::<Vec<_>>() {
            self.machines[number] = Some(self.build(number));
        }
        self.let_come();
        self.carry();
        self.engine.turn(at);
        self.carry();
        let moment = (self.clock(), at);
        let mut order: Vec<usize> = (0..self.machines.len()).collect();
        self.random.shuffle(&mut order);
        for nth in order {
            if let Some(machine) = &mut self.machines[nth] {
                machine.turn(moment, &mut self.engine, &mut self.random);
            }
        }
        self.carry();
        self.listeners.iter_mut().for_each(|listener| listener.on_turn(at));
        self.authors.iter_mut().for_each(|author| author.on_turn(at));
    }

    fn let_come(&mut self) {
        let (at, serving) = (self.now, self.serving());
        if serving.is_empty() {
            return;
        }
        for nth in 0..self.listeners.len() {
            if self.listeners[nth].wants_to_come(at) {
                let line = self.listeners[nth].come(at);
                let machine = self.random.pick(&serving);
                self.connect_to(machine, line);
            }
        }
        for nth in 0..self.authors.len() {
            if self.authors[nth].wants_to_come(at) {
                let line = self.authors[nth].come(at);
                let machine = self.random.pick(&serving);
                self.connect_to(machine, line);
            }
        }
    }

    fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        self.machines.iter().flatten().flat_map(Machine::pipes).chain(self.engine.pipes())
    }

    fn carry(&self) {
        self.pipes().for_each(|pipe| pipe.borrow_mut().carry(self.now));
    }

    /// Behind a turn all sleep until the next moment at which something happens, but no longer than this.
    fn sleep(&mut self, end: Duration) {
        self.now += Duration::from_micros(self.random.within(20..400) as u64);
        let at = self.now;
        let moment = (self.base + at, at);
        let mut machines = self.machines.iter().flatten();
        if machines.any(|machine| machine.is_awake(moment)) || self.engine.is_awake(at) {
            self.busy_turns += 1;
            assert!(self.busy_turns < LIVELOCK_TURNS, "it never comes to rest");
            return;
        }
        self.busy_turns = 0;
        let can_connect = !self.serving().is_empty();
        let machines = || self.machines.iter().flatten();
        let running = machines().filter(|machine| machine.stopped_until <= at);
        let of_machines = running.filter_map(Machine::next_time).map(|time| time - self.base);
        let stops = machines().map(|machine| machine.stopped_until).filter(|until| *until > at);
        let listeners = self.listeners.iter().filter(|it| can_connect || it.is_connected());
        let authors = self.authors.iter().filter(|author| can_connect || !author.wants_to_come(at));
        let next = of_machines
            .chain(stops)
            .chain(self.pipes().filter_map(|pipe| pipe.borrow().next_time()))
            .chain(self.engine.next_time(at))
            .chain(self.starts.iter().map(|(due, _)| *due))
            .chain(self.mishaps.last().map(|(due, _)| *due))
            .chain(listeners.map(Listener::next_time))
            .chain(authors.map(Author::next_time))
            .min();
        self.now = self.now.max(next.unwrap_or(end).min(end));
    }

    pub fn clock(&self) -> Now {
        Now { instant: self.base + self.now, wall: BEGINNING + self.now }
    }
}

/// How fast the bytes of one direction travel, be it within a machine or beyond.
fn draw_pace(random: &mut Random) -> Pace {
    // Small pieces come fast: scripts are some kilobytes long.
    let (piece, micros) = random.pick(&[(30, 100), (1000, 3000), (100_000, 20_000), (100_000, 0)]);
    let capacity = random.pick(&[300, 20_000, 200_000]);
    Pace { capacity, piece, delay: Duration::from_micros(micros), shortage: 0 }
}

//! A supervisor without its poll and with virtual workers: its crew takes its turns over virtual links. A scribe among its
//! workers, who takes everything at once and serves nobody, writes down the truth.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::message::Message;
use slackwater::policy::drain;
use slackwater::policy::line::Continuation;
use slackwater::policy::roster::{Doing, Exit, Sight, SlotId, Step, Times, WorkerId};
use slackwater::process::crew::{Arrived, Crew, CrewTerms, Signal};
use slackwater::server::clock::Now;
use slackwater::wire::link::{ToWorker, next};
use slackwater::wire::snapshot::Snapshot;

use crate::draw::HOUR;
use crate::ear::Id;
use crate::giving::Giving;
use crate::pipe::{Pace, Pipe, Side};
use crate::random::Random;
use crate::reign::Setup;
use crate::spin::Spin;
use crate::taking::Taking;
use crate::truth::Truth;
use crate::wire::Wire;
use crate::worker::{Place, Worker};

const SCRIBE: WorkerId = WorkerId::MAX;

/// One process.
pub struct Supervisor {
    reign: usize,
    epoch: u32,
    pub setup: Setup,
    pub crew: Crew<Wire>,
    /// What links it to each process that it has started and not buried.
    pub children: Vec<(WorkerId, Rc<RefCell<Pipe>>)>,
    /// Ended, to be buried.
    exits: Vec<(WorkerId, Exit)>,
    pub signals: Vec<Signal>,
    /// Woken, by a signal or by nothing.
    pub is_woken: bool,
    scribe: Rc<RefCell<Pipe>>,
    scribed: u64,
    /// It left this to a successor.
    pub legacy: Option<Snapshot>,
    pub is_complete: bool,
    /// All workers have served.
    pub has_begun: bool,
    pub kills: usize,
    pub starts: usize,
    spin: Spin,
    /// A successor that is there.
    pub giving: Option<Giving>,
    /// A predecessor that is there.
    pub taking: Option<Taking>,
    /// One of its workers has ended.
    pub has_lost_one: bool,
    /// It could not take over, and ends.
    pub has_failed: bool,
    /// Since when everything is another's.
    pub parted_at: Option<Duration>,
    /// Why it has gone on itself.
    pub gave_up: Vec<String>,
    /// Takes no turn until then.
    pub frozen_until: Duration,
}

impl Supervisor {
    pub fn new(
        reign: usize,
        epoch: u32,
        snapshot: Option<Snapshot>,
        setup: Setup,
        random: &mut Random,
        now: Now,
    ) -> Self {
        let Setup { workers, healthcheck, drain_delay, patience: grace, notify_interval, .. } = setup;
        let times = Times { healthcheck, drain_delay, grace, report_interval: HOUR };
        let terms = CrewTerms {
            workers,
            epoch: setup.terms.epoch,
            history: setup.terms.history,
            times,
            notify_interval,
        };
        let mut crew = Crew::new(terms, now);
        if let Some(snapshot) = snapshot {
            crew.restore(snapshot);
        }
        let scribe = Pipe::new(random.fork(), Pace::PROMPT, Pace::PROMPT);
        crew.admit(SCRIBE, 0, 0, Wire::Pipe(Pipe::end(&scribe, Side::Supervisor)));
        Self {
            reign,
            epoch,
            setup,
            crew,
            children: Vec::new(),
            exits: Vec::new(),
            signals: Vec::new(),
            is_woken: true,
            scribe,
            scribed: 0,
            legacy: None,
            is_complete: false,
            has_begun: false,
            kills: 0,
            starts: 0,
            spin: Spin::default(),
            giving: None,
            taking: None,
            has_lost_one: false,
            has_failed: false,
            parted_at: None,
            gave_up: Vec::new(),
            frozen_until: Duration::ZERO,
        }
    }

    /// Goes on where a predecessor stops that has so many workers, once it is told to.
    pub fn succeed_by(&mut self, taking: Taking) {
        self.crew.await_predecessor();
        self.taking = Some(taking);
    }

    /// What would wake it now.
    pub fn is_awake(&self, (now, at): (Instant, Duration)) -> bool {
        self.is_woken
            || !self.exits.is_empty()
            || self.pipes().any(|pipe| pipe.borrow().has_event(Side::Supervisor))
            || self.next_time().is_some_and(|at| at <= now)
            || self.giving.as_ref().is_some_and(|giving| giving.channel.borrow().wakes_predecessor(at))
            || self.taking.as_ref().is_some_and(|taking| taking.is_woken(at))
            || self.parting_until().is_some_and(|until| until <= at)
    }

    /// When it wakes by itself, as its crew says.
    pub fn next_time(&self) -> Option<Instant> {
        self.crew.next_timeout().map(|timeout| self.crew.now() + timeout)
    }

    /// The same for what else it waits for.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.taking.as_ref().map(Taking::deadline).into_iter().chain(self.parting_until()).min()
    }

    pub fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        self.children.iter().map(|(_, pipe)| pipe)
    }

    pub fn turn(
        &mut self,
        workers: &mut Vec<Worker>,
        (now, at): (Now, Duration),
        random: &mut Random,
        truth: &mut Truth,
    ) {
        self.is_woken = false;
        self.hear_successor(at);
        let has_event =
            |(_, pipe): &&(WorkerId, Rc<RefCell<Pipe>>)| pipe.borrow_mut().take_event(Side::Supervisor);
        let mut ready: Vec<WorkerId> = self.children.iter().filter(has_event).map(|(id, _)| *id).collect();
        random.shuffle(&mut ready);
        let ended = std::mem::take(&mut self.exits);
        self.children.retain(|(id, _)| !ended.iter().any(|(other, _)| other == id));
        self.has_lost_one |= !ended.is_empty();
        self.crew.handle(
            Arrived { ready, signals: std::mem::take(&mut self.signals), ended, engine: vec![] },
            now,
        );
        self.take_over((now, at));
        self.hand_over((now, at));
        self.end_parting(at);
        if self.has_failed || self.is_complete {
            return;
        }
        while let Some(step) = self.crew.poll() {
            self.take(step, workers, at, random);
        }
        self.has_begun |= self.crew.is_complete();
        self.crew.settle();
        let deeds = self.pipes().map(|pipe| pipe.borrow().deeds(Side::Supervisor)).sum();
        self.spin.on_turn(deeds, self.crew.next_timeout() == Some(Duration::ZERO));
        self.write_down(truth, at);
    }

    fn take(&mut self, step: Step, workers: &mut Vec<Worker>, at: Duration, random: &mut Random) {
        match step {
            Step::Start { worker, slot } => workers.push(self.start(worker, slot, random)),
            Step::Look { worker } => self.look(worker, workers, at),
            Step::Withdraw { worker, .. } => self.kill(worker, workers),
            Step::Kill { worker, .. } => {
                self.kills += 1;
                self.kill(worker, workers);
            }
            Step::Drain(drain::Step::Close) if self.parted_at.is_some() => {}
            Step::Drain(drain::Step::Close) => self.legacy = Some(self.crew.snapshot()),
            Step::Drain(drain::Step::Complete(_)) => self.is_complete = true,
            Step::GiveUp { .. } if self.taking.is_some() => {}
            Step::GiveUp { .. } => panic!("workers do not start"),
            _ => {}
        }
    }

    /// What is to be seen of a worker: it is stopped, or waits for a processor.
    fn look(&mut self, id: WorkerId, workers: &[Worker], at: Duration) {
        let worker = workers.iter().find(|worker| worker.place.id == id);
        let doing = |worker: &Worker| if worker.frozen_until > at { Doing::Stopped } else { Doing::Runnable };
        let sight = worker.map(|worker| Sight { doing: doing(worker), worked: Duration::ZERO, stirred: 0 });
        self.crew.on_seen(id, sight);
    }

    fn start(&mut self, id: WorkerId, slot: SlotId, random: &mut Random) -> Worker {
        self.starts += 1;
        let mut pace = || self.setup.pace.unwrap_or_else(|| Pace::draw(random));
        let (up, down) = (pace(), pace());
        let pipe = Pipe::new(random.fork(), up, down);
        self.crew.admit(id, id, id, Wire::Pipe(Pipe::end(&pipe, Side::Supervisor)));
        self.children.push((id, pipe.clone()));
        let place = Place { id, reign: self.reign, epoch: self.epoch };
        let mut worker = Worker::new(place, Some(pipe), &self.setup, self.crew.now());
        worker.slot = slot;
        let ends = self.taking.as_mut().map(|taking| taking.ends_of(slot));
        ends.into_iter().for_each(|ends| worker.take_up_first(ends));
        worker
    }

    /// The process of a worker is killed, by whomever.
    pub fn kill(&mut self, id: WorkerId, workers: &mut Vec<Worker>) {
        let Some(nth) = workers.iter().position(|worker| worker.place.id == id) else { return };
        workers.swap_remove(nth).die();
        self.exits.push((id, Exit::Signal(9)));
    }

    /// A worker has left by itself.
    pub fn bury(&mut self, id: WorkerId) {
        self.exits.push((id, Exit::Code(0)));
    }

    /// The scribe takes all that was published in this turn.
    fn write_down(&mut self, truth: &mut Truth, at: Duration) {
        let octets = self.scribe.borrow_mut().take_all();
        let mut input = &octets[..];
        while let Some(message) = next(&mut input).expect("messages are whole") {
            match message {
                ToWorker::Line(Continuation::Begin { epochs, newest }) => {
                    assert_eq!(epochs.plain(), Some(self.epoch));
                    self.scribed = newest;
                }
                ToWorker::Publication(relayed) => {
                    self.scribed += 1;
                    let id = Id { epoch: self.epoch, position: self.scribed };
                    let payload =
                        Message::from_octets(relayed.message).expect("a message is whole").json().to_vec();
                    truth.hear(id, payload, at, self.reign, self.crew.clients());
                }
                ToWorker::CaughtUp | ToWorker::Beat | ToWorker::Close | ToWorker::Leave => {}
                ToWorker::Insist => {}
                other => panic!("the scribe was told {other:?}"),
            }
        }
        assert!(input.is_empty(), "a message was cut short");
    }
}

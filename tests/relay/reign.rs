//! One supervisor without its poll and with virtual workers: its crew takes its turns over virtual links. A scribe among its
//! workers, who takes everything at once and serves nobody, writes down the truth.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::drain;
use slackwater::policy::roster::{Doing, Exit, Sight, Step, Times, WorkerId};
use slackwater::process::crew::{Arrived, Crew, CrewTerms, Signal};
use slackwater::server::clock::Now;
use slackwater::server::terms::Terms;
use slackwater::wire::link::{ToWorker, next};
use slackwater::wire::snapshot::Snapshot;

use crate::ear::Id;
use crate::pipe::{Pace, Pipe, Side, Wire};
use crate::random::Random;
use crate::spin::Spin;
use crate::truth::Truth;
use crate::worker::Worker;

const SCRIBE: WorkerId = WorkerId::MAX;

/// What is the same for all supervisors of a world.
#[derive(Debug, Clone)]
pub struct Custom {
    pub terms: Terms,
    pub healthcheck: Duration,
    /// How long after a signal the supervisor begins to leave.
    pub drain_delay: Duration,
    /// How long a leaving worker waits for its clients.
    pub patience: Duration,
    pub notify_interval: Option<Duration>,
    /// How fast the processes are told what; drawn for each of them where this says nothing.
    pub pace: Option<Pace>,
}

/// A supervisor and its workers.
pub struct Reign {
    pub number: usize,
    pub epoch: u32,
    pub custom: Custom,
    pub crew: Crew<Wire>,
    pub workers: Vec<Worker>,
    /// What links it to each process that it has started and not buried.
    children: Vec<(WorkerId, Rc<RefCell<Pipe>>)>,
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
}

impl Reign {
    pub fn new(
        number: usize,
        epoch: u32,
        snapshot: Option<Snapshot>,
        count: usize,
        custom: Custom,
        random: &mut Random,
        now: Now,
    ) -> Self {
        let Custom { healthcheck, drain_delay, patience: grace, notify_interval, .. } = custom;
        let report_interval = Duration::from_secs(3600);
        let times = Times { healthcheck, drain_delay, grace, report_interval };
        let history = custom.terms.history;
        let mut crew = Crew::new(CrewTerms { workers: count, epoch, history, times, notify_interval }, now);
        if let Some(snapshot) = snapshot {
            crew.restore(snapshot);
        }
        let scribe = Pipe::new(random.fork(), Pace::PROMPT, Pace::PROMPT);
        crew.admit(SCRIBE, 0, 0, Wire::Pipe(Pipe::end(&scribe, Side::Supervisor)));
        Self {
            number,
            epoch,
            crew,
            workers: Vec::new(),
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
            custom,
        }
    }

    /// What would wake it now.
    pub fn is_awake(&self, now: Instant) -> bool {
        let has_event = |(_, pipe): &(WorkerId, Rc<RefCell<Pipe>>)| pipe.borrow().has_event(Side::Supervisor);
        self.is_woken
            || !self.exits.is_empty()
            || self.children.iter().any(has_event)
            || self.next_time().is_some_and(|at| at <= now)
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        self.crew.next_timeout().map(|timeout| self.crew.now() + timeout)
    }

    pub fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        self.children.iter().map(|(_, pipe)| pipe).chain(self.workers.iter().map(|worker| &worker.pipe))
    }

    pub fn turn(
        &mut self,
        (now, at): (Now, Duration),
        random: &mut Random,
        truth: &mut Truth,
        workers_so_far: &mut usize,
    ) {
        self.is_woken = false;
        let mut ready: Vec<WorkerId> = self.children.iter().map(|(id, _)| *id).collect();
        ready.retain(|id| self.pipe(*id).borrow_mut().take_event(Side::Supervisor));
        random.shuffle(&mut ready);
        let ended = std::mem::take(&mut self.exits);
        self.children.retain(|(id, _)| !ended.iter().any(|(other, _)| other == id));
        self.crew.handle(Arrived { ready, signals: std::mem::take(&mut self.signals), ended }, now);
        while let Some(step) = self.crew.poll() {
            self.take(step, at, random, workers_so_far);
        }
        self.has_begun |= self.crew.is_complete();
        self.crew.settle();
        let deeds = self.children.iter().map(|(_, pipe)| pipe.borrow().deeds(Side::Supervisor)).sum();
        self.spin.on_turn(deeds, self.crew.next_timeout() == Some(Duration::ZERO));
        let clients = self.crew.clients();
        self.write_down(truth, at, clients);
    }

    /// What is to be seen of a worker: it is stopped, or waits for a processor.
    fn look(&mut self, id: WorkerId, at: Duration) {
        let worker = self.workers.iter().find(|worker| worker.id == id);
        let doing = |worker: &Worker| if worker.frozen_until > at { Doing::Stopped } else { Doing::Runnable };
        let sight = worker.map(|worker| Sight { doing: doing(worker), worked: Duration::ZERO, stirred: 0 });
        self.crew.on_seen(id, sight);
    }

    fn take(&mut self, step: Step, at: Duration, random: &mut Random, workers_so_far: &mut usize) {
        match step {
            Step::Start { worker, .. } => {
                *workers_so_far += 1;
                self.start(worker, *workers_so_far, random);
            }
            Step::Look { worker } => self.look(worker, at),
            Step::Withdraw { worker, .. } => self.kill(worker),
            Step::Kill { worker, .. } => {
                self.kills += 1;
                self.kill(worker);
            }
            Step::Drain(drain::Step::Close) => self.legacy = Some(self.crew.snapshot()),
            Step::Drain(drain::Step::Complete(_)) => self.is_complete = true,
            Step::GiveUp { .. } => panic!("workers do not start"),
            _ => {}
        }
    }

    fn start(&mut self, id: WorkerId, number: usize, random: &mut Random) {
        self.starts += 1;
        let mut pace = || self.custom.pace.unwrap_or_else(|| Pace::draw(random));
        let (up, down) = (pace(), pace());
        let pipe = Pipe::new(random.fork(), up, down);
        self.crew.admit(id, id, id, Wire::Pipe(Pipe::end(&pipe, Side::Supervisor)));
        let custom = &self.custom;
        let terms = &custom.terms;
        let (now, patience) = (self.crew.now(), custom.patience);
        let worker = Worker::new((id, number), pipe.clone(), self.epoch, terms, patience, now);
        self.children.push((id, pipe));
        self.workers.push(worker);
    }

    /// The process of a worker is killed, by whomever.
    pub fn kill(&mut self, id: WorkerId) {
        let Some(nth) = self.workers.iter().position(|worker| worker.id == id) else { return };
        self.workers.swap_remove(nth).die();
        self.exits.push((id, Exit::Signal(9)));
    }

    /// Lets go of workers that have left by themselves.
    pub fn part(&mut self) {
        for nth in (0..self.workers.len()).rev() {
            if self.workers[nth].has_ended {
                let worker = self.workers.swap_remove(nth);
                self.exits.push((worker.id, Exit::Code(0)));
            }
        }
    }

    /// From here on nothing is held up between the processes.
    pub fn be_prompt(&mut self) {
        self.custom.pace = Some(Pace::PROMPT);
        self.pipes().for_each(|pipe| pipe.borrow_mut().hurry());
    }

    /// The supervisor is killed: its workers are on their own.
    pub fn orphan(self, orphans: &mut Vec<Worker>) {
        let Self { crew, workers, .. } = self;
        drop(crew);
        for worker in workers {
            worker.pipe.borrow_mut().lose_what_was_sent(Side::Supervisor);
            orphans.push(worker);
        }
    }

    fn pipe(&self, id: WorkerId) -> &Rc<RefCell<Pipe>> {
        &self.children.iter().find(|(other, _)| *other == id).expect("a child has one").1
    }

    /// The scribe takes all that was published in this turn.
    fn write_down(&mut self, truth: &mut Truth, at: Duration, clients: usize) {
        let octets = self.scribe.borrow_mut().take_all();
        let mut input = &octets[..];
        while let Some(message) = next(&mut input).expect("messages are whole") {
            match message {
                ToWorker::Begin { epoch, newest } => {
                    assert_eq!(epoch, self.epoch);
                    self.scribed = newest;
                }
                ToWorker::Publication(relayed) => {
                    self.scribed += 1;
                    let id = Id { epoch: self.epoch, position: self.scribed };
                    let payload = payload_of(relayed.frame);
                    if let Some(before) = truth.get(id) {
                        assert!(before.payload == payload, "{id} is another after the change");
                    } else {
                        check_total(payload, clients);
                        truth.add(id, payload.to_vec(), at, self.number);
                    }
                }
                ToWorker::CaughtUp | ToWorker::Beat | ToWorker::Close | ToWorker::Leave => {}
                other => panic!("the scribe was told {other:?}"),
            }
        }
        assert!(input.is_empty(), "a message was cut short");
    }
}

/// A periodic notification says how many clients there are.
fn check_total(payload: &[u8], clients: usize) {
    let text = String::from_utf8_lossy(payload);
    if let Some((_, rest)) = text.split_once(r#""active_connections":"#) {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(digits.parse(), Ok(clients), "{text}");
    }
}

/// What an unmasked frame carries.
fn payload_of(frame: &[u8]) -> &[u8] {
    match frame[1] {
        126 => &frame[4..],
        127 => &frame[10..],
        _ => &frame[2..],
    }
}

//! A supervisor: the production crew over lines, whose workers are processes of this world.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::drain;
use slackwater::policy::roster::{Doing, Exit, Sight, Step, Times, WorkerId};
use slackwater::process::crew::{Arrived, Crew, CrewTerms, Signal};
use slackwater::server::clock::Now;

use crate::line::{FarSocket, Line};
use crate::process::{EPOCH, GRACE, HISTORY, Process, REPORT_INTERVAL};
use crate::witness::Witness;

/// Between a signal and the beginning of the leaving.
const DRAIN_DELAY: Duration = Duration::from_secs(1);

/// For a worker to answer.
const HEALTHCHECK: Duration = Duration::from_secs(10);

/// One supervisor.
pub struct Headquarters {
    crew: Crew<FarSocket>,
    /// What links it to each process that it has started and not buried.
    children: Vec<(WorkerId, Rc<RefCell<Line>>)>,
    signals: Vec<Signal>,
    /// Ended, to be buried.
    exits: Vec<(WorkerId, Exit)>,
    /// Each link holds so much.
    capacity: usize,
    /// Each worker has a witness.
    has_witnesses: bool,
    pub has_ended: bool,
}

/// A worker, as which its supervisor knows it.
pub struct Worker {
    pub id: WorkerId,
    pub process: Process,
}

impl Headquarters {
    pub fn new(workers: usize, capacity: usize, has_witnesses: bool, now: Now) -> Self {
        let times = Times {
            healthcheck: HEALTHCHECK,
            drain_delay: DRAIN_DELAY,
            grace: GRACE,
            report_interval: REPORT_INTERVAL,
        };
        let notify_interval = Some(Duration::from_secs(3));
        let terms = CrewTerms { workers, epoch: EPOCH, history: HISTORY, times, notify_interval };
        Self {
            crew: Crew::new(terms, now),
            children: Vec::new(),
            signals: Vec::new(),
            exits: Vec::new(),
            capacity,
            has_witnesses,
            has_ended: false,
        }
    }

    /// It is sent a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    /// The links hold so much from now on.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.children.iter().for_each(|(_, line)| line.borrow_mut().resize(capacity));
    }

    /// Whether it would take a turn now.
    pub fn is_awake(&self, now: Instant) -> bool {
        let has_event = |(_, line): &(WorkerId, Rc<RefCell<Line>>)| line.borrow().has_far_event;
        !self.has_ended
            && (!(self.signals.is_empty() && self.exits.is_empty())
                || self.children.iter().any(has_event)
                || self.next_time().is_some_and(|at| at <= now))
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        let timeout = self.crew.next_timeout().filter(|_| !self.has_ended)?;
        Some(self.crew.now() + timeout)
    }

    pub fn turn(&mut self, workers: &mut Vec<Worker>, now: Now) {
        let ended = std::mem::take(&mut self.exits);
        self.children.retain(|(id, _)| !ended.iter().any(|(other, _)| other == id));
        let ready =
            self.children.iter().filter(|(_, line)| std::mem::take(&mut line.borrow_mut().has_far_event));
        let ready = ready.map(|(id, _)| *id).collect();
        self.crew.handle(
            Arrived { ready, signals: std::mem::take(&mut self.signals), ended, ..Arrived::default() },
            now,
        );
        while let Some(step) = self.crew.poll() {
            self.take(step, workers, now);
        }
        self.crew.settle();
    }

    fn take(&mut self, step: Step, workers: &mut Vec<Worker>, now: Now) {
        match step {
            Step::Start { worker, .. } => workers.push(self.start(worker, now)),
            Step::Look { worker } => self.look(worker, workers),
            Step::Withdraw { worker, .. } | Step::Kill { worker, .. } => self.kill(worker, workers),
            Step::Drain(drain::Step::Close) => drop(self.crew.snapshot()),
            Step::Drain(drain::Step::Complete(_)) | Step::GiveUp { .. } => {
                assert!(workers.is_empty(), "it ends before its workers");
                self.has_ended = true;
            }
            _ => {}
        }
    }

    fn start(&mut self, id: WorkerId, now: Now) -> Worker {
        let line = Line::link(self.capacity);
        self.crew.admit(id, id, id, FarSocket(line.clone()));
        self.children.push((id, line.clone()));
        let mut process = Process::worker(line, now);
        process.witness = self.has_witnesses.then(Witness::default);
        Worker { id, process }
    }

    fn look(&mut self, id: WorkerId, workers: &[Worker]) {
        let doing = |worker: &Worker| if worker.process.is_frozen { Doing::Stopped } else { Doing::Runnable };
        let worker = workers.iter().find(|worker| worker.id == id);
        let sight = worker.map(|worker| Sight { doing: doing(worker), worked: Duration::ZERO, stirred: 0 });
        self.crew.on_seen(id, sight);
    }

    /// The process of a worker is killed, by whomever.
    pub fn kill(&mut self, id: WorkerId, workers: &mut Vec<Worker>) {
        let Some(nth) = workers.iter().position(|worker| worker.id == id) else { return };
        workers.remove(nth).process.die();
        self.on_exit(id, Exit::Signal(9));
    }

    /// A worker has ended.
    pub fn on_exit(&mut self, id: WorkerId, exit: Exit) {
        self.exits.push((id, exit));
    }
}

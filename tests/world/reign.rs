//! One server from its start to its end: a supervisor and its workers, or one process that is all of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::roster::WorkerId;
use slackwater::process::crew::Signal;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::terms::Terms;
use slackwater::wire::snapshot::Snapshot;

use crate::channel::Channel;
use crate::pipe::{Pace, Pipe, Side};
use crate::random::Random;
use crate::subscriber::Subscriber;
use crate::supervisor::Supervisor;
use crate::taking::Taking;
use crate::taking_alone::TakingAlone;
use crate::truth::Truth;
use crate::worker::{Place, Worker};

/// What is the same for all servers of a world.
#[derive(Debug, Clone)]
pub struct Setup {
    pub terms: Terms,
    /// So many are started by a supervisor; without any, one process serves by itself.
    pub workers: usize,
    /// Whether each process that serves has a client who hears everything.
    pub has_witness: bool,
    /// Whether a successor goes on with what a server leaves.
    pub is_followed: bool,
    /// How often a process is told of a readiness that is none.
    pub spurious_percent: usize,
    pub healthcheck: Duration,
    /// How long after a signal it begins to leave.
    pub drain_delay: Duration,
    /// How long a leaving process waits for its clients.
    pub patience: Duration,
    pub notify_interval: Option<Duration>,
    /// How long a hand-over may take.
    pub handover_timeout: Duration,
    /// How fast the processes are told what; drawn for each of them where this says nothing.
    pub pace: Option<Pace>,
}

pub struct Reign {
    pub number: usize,
    pub epoch: u32,
    supervisor: Option<Supervisor>,
    pub workers: Vec<Worker>,
    pub has_been_told_to_leave: bool,
}

impl Reign {
    /// Goes on with what a predecessor left, or begins an epoch of its own.
    pub fn new(
        number: usize,
        snapshot: Option<Snapshot>,
        mut setup: Setup,
        random: &mut Random,
        now: Now,
    ) -> Self {
        setup.terms.epoch = 0xbeef + u32::try_from(number).expect("few");
        let epoch = snapshot.as_ref().map_or(setup.terms.epoch, |snapshot| snapshot.epochs.epoch());
        let (mut supervisor, mut workers) = (None, Vec::new());
        if setup.workers > 0 {
            supervisor = Some(Supervisor::new(number, epoch, snapshot, setup, random, now));
        } else {
            let mut worker = Worker::new(Place { id: 0, reign: number, epoch }, None, &setup, now);
            worker.notify_every(setup.notify_interval);
            if let Some(snapshot) = snapshot {
                worker.server.restore(snapshot);
            }
            worker.serve(random);
            workers.push(worker);
        }
        Self { number, epoch, supervisor, workers, has_been_told_to_leave: false }
    }

    /// A supervisor and workers that take over from another one's.
    pub fn successor(
        number: usize,
        epoch: u32,
        setup: Setup,
        taking: Taking,
        random: &mut Random,
        now: Now,
    ) -> Self {
        let mut supervisor = Supervisor::new(number, epoch, None, setup, random, now);
        supervisor.succeed_by(taking);
        Self {
            number,
            epoch,
            supervisor: Some(supervisor),
            workers: Vec::new(),
            has_been_told_to_leave: false,
        }
    }

    /// One process that takes over.
    pub fn successor_alone(
        number: usize,
        epoch: u32,
        mut setup: Setup,
        taking: TakingAlone,
        now: Now,
    ) -> Self {
        setup.terms.epoch = epoch;
        let mut worker = Worker::new(Place { id: 0, reign: number, epoch }, None, &setup, now);
        worker.notify_every(setup.notify_interval);
        worker.take_over_first(taking);
        Self { number, epoch, supervisor: None, workers: vec![worker], has_been_told_to_leave: false }
    }

    /// Whether it could not take over.
    pub fn has_failed(&self) -> bool {
        let has_worker_failed =
            |worker: &Worker| worker.alone.as_ref().is_some_and(|taking| taking.has_failed);
        self.supervisors().any(|supervisor| supervisor.has_failed)
            || self.workers.iter().any(has_worker_failed)
    }

    /// Whether one process is all of it.
    pub fn is_alone(&self) -> bool {
        self.supervisor.is_none()
    }

    /// Whether a successor could be heard now.
    pub fn may_hand_over(&self) -> bool {
        match &self.supervisor {
            Some(supervisor) => supervisor.may_hand_over() && supervisor.has_begun,
            None => self.workers.iter().all(Worker::may_hand_over),
        }
    }

    /// A successor has come by this channel. The workers whose connections are to move.
    pub fn begin_giving(
        &mut self,
        channel: Rc<RefCell<Channel>>,
        (now, at): (Now, Duration),
    ) -> Vec<WorkerId> {
        let Some(supervisor) = &mut self.supervisor else {
            self.workers.iter_mut().for_each(|worker| worker.begin_giving(channel.clone(), now, at));
            return vec![0];
        };
        supervisor.begin_giving(channel, at);
        supervisor.crew.moving()
    }

    /// Its first process takes no turn until then.
    pub fn freeze(&mut self, until: Duration) {
        match &mut self.supervisor {
            Some(supervisor) => supervisor.frozen_until = until,
            None => self.workers.iter_mut().for_each(|worker| worker.frozen_until = until),
        }
    }

    /// Where it is known that there is one.
    pub fn supervisor(&self) -> &Supervisor {
        self.supervisor.as_ref().expect("it has a supervisor")
    }

    /// What stories do to it.
    pub fn supervisor_mut(&mut self) -> &mut Supervisor {
        self.supervisor.as_mut().expect("it has a supervisor")
    }

    pub fn supervisors(&self) -> impl Iterator<Item = &Supervisor> {
        self.supervisor.iter()
    }

    pub fn notify_every(&mut self, interval: Option<Duration>) {
        match &mut self.supervisor {
            Some(supervisor) => supervisor.crew.notify_every(interval),
            None => self.workers.iter_mut().for_each(|worker| worker.notify_every(interval)),
        }
    }

    /// Sent to the whole server.
    pub fn signal(&mut self, signal: Signal) {
        self.has_been_told_to_leave |= matches!(signal, Signal::Leave(_));
        match (&mut self.supervisor, signal) {
            (Some(supervisor), _) => {
                supervisor.signals.push(signal);
                supervisor.is_woken = true;
            }
            (None, Signal::Leave(_)) => {
                self.workers.iter_mut().for_each(|worker| worker.signal(Control::Leave("SIGTERM")));
            }
            // It ignores them.
            (None, Signal::Grow | Signal::Shrink) => {}
        }
    }

    /// A turn of each process that is awake, in any order.
    pub fn turn(
        &mut self,
        (now, at): (Now, Duration),
        random: &mut Random,
        truth: &mut Truth,
        subscribers: &mut [Subscriber],
    ) {
        for nth in (0..self.workers.len()).rev() {
            if self.workers[nth].has_ended() {
                let worker = self.workers.swap_remove(nth);
                self.supervisor.iter_mut().for_each(|supervisor| supervisor.bury(worker.place.id));
                if worker.has_vanished {
                    worker.vanish();
                }
            }
        }
        let is_first = random.chance(50);
        if is_first {
            self.supervise((now, at), random, truth);
        }
        random.shuffle(&mut self.workers);
        for worker in &mut self.workers {
            worker.turn((now, at), random, truth, subscribers);
        }
        if !is_first {
            self.supervise((now, at), random, truth);
        }
    }

    fn supervise(&mut self, (now, at): (Now, Duration), random: &mut Random, truth: &mut Truth) {
        if let Some(supervisor) = &mut self.supervisor
            && supervisor.frozen_until <= at
            && supervisor.is_awake((now.instant, at))
        {
            supervisor.turn(&mut self.workers, (now, at), random, truth);
        }
    }

    /// Whether all serve who are to serve.
    pub fn is_whole(&self) -> bool {
        self.supervisor.as_ref().is_none_or(|supervisor| supervisor.crew.is_complete())
    }

    /// What there is of it, for whoever looks for a fault.
    pub fn state(&self) -> String {
        let worker = |worker: &Worker| {
            let Worker { place, server, accepts, frozen_until, .. } = worker;
            let (leaves, held) = (server.is_leaving(), !server.may_accept());
            format!("{}: accepts {accepts}, leaves {leaves}, held {held}, stopped {frozen_until:?}", place.id)
        };
        let workers: Vec<String> = self.workers.iter().map(worker).collect();
        let supervisor = self.supervisors().map(|supervisor| {
            let Supervisor { crew, frozen_until, gave_up, .. } = supervisor;
            let (leaves, hands_over) = (crew.is_leaving(), crew.is_handed_over());
            format!(
                "whole {}, leaves {leaves}, hands over {hands_over}, stopped {frozen_until:?}, {gave_up:?}",
                crew.is_complete()
            )
        });
        format!("{}: {:?} of {workers:?}", self.number, supervisor.collect::<Vec<_>>())
    }

    /// Whether it is over.
    pub fn is_complete(&self) -> bool {
        self.supervisor.as_ref().map_or(self.workers.is_empty(), |supervisor| supervisor.is_complete)
    }

    /// What it leaves to a successor.
    pub fn take_legacy(&mut self) -> Option<Snapshot> {
        let of_worker = |worker: &mut Worker| worker.legacy.take();
        let of_supervisor = self.supervisor.as_mut().and_then(|supervisor| supervisor.legacy.take());
        of_supervisor.or_else(|| self.workers.iter_mut().find_map(of_worker))
    }

    /// All clients, as the server itself knows.
    pub fn clients(&self) -> usize {
        let of_workers = self.workers.iter().map(|worker| worker.server.clients()).sum();
        self.supervisor.as_ref().map_or(of_workers, |supervisor| supervisor.crew.clients())
    }

    /// The process of a worker is killed.
    pub fn kill(&mut self, id: WorkerId) {
        self.supervisor.as_mut().expect("it has a supervisor").kill(id, &mut self.workers);
    }

    /// From here on nothing is held up between the processes.
    pub fn be_prompt(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.setup.pace = Some(Pace::PROMPT);
            supervisor.pipes().for_each(|pipe| pipe.borrow_mut().hurry());
        }
    }

    /// The first of its processes is killed: the workers of a supervisor are on their own then.
    pub fn crash(self) -> Vec<Worker> {
        let Self { supervisor, workers, .. } = self;
        if supervisor.is_none() {
            workers.into_iter().for_each(Worker::die);
            return Vec::new();
        }
        drop(supervisor);
        let lose = |pipe: &Rc<RefCell<Pipe>>| pipe.borrow_mut().lose_what_was_sent(Side::Supervisor);
        workers.iter().filter_map(|worker| worker.link.as_ref()).for_each(lose);
        workers
    }
}

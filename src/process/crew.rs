//! A supervisor's turn without its poll: which workers there are to be, and the order of what all of them publish. Reads no
//! clock, starts and kills no process and knows no listener: it is told what has come and when, and answers with steps.
//!
//! A turn: `handle` what has come; `poll` until `None` and do what each step says; `settle`, and sleep for `next_timeout`
//! at most. It is generic over the socket, so that a simulation can take the same turns without any process.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::policy::drain;
use crate::policy::engine::step::Line;
use crate::policy::handover::crew::CrewPredecessor;
use crate::policy::history::HistoryLimits;
use crate::policy::period::next_in_period;
use crate::policy::roster::{Exit, Roster, Sight, Step, Times, WorkerId};
use crate::server::clock::Now;
use crate::server::engine::{EngineTerms, Wanted};
use crate::server::relay::{Relay, WorkerEvent};
use crate::server::socket::Socket;
use crate::wire::link::ToWorker;
use crate::wire::snapshot::Snapshot;

mod moving;

/// What holds for a crew from its beginning on.
#[derive(Debug, Clone, Copy)]
pub struct CrewTerms {
    /// So many workers are started first.
    pub workers: usize,
    /// Of the ids of all publications.
    pub epoch: u32,
    /// What is kept for clients that come back.
    pub history: HistoryLimits,
    /// How long whatever takes, in the life of workers.
    pub times: Times,
    /// The period of the notification.
    pub notify_interval: Option<Duration>,
}

/// What a signal asks of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To leave; for the second time, to leave at once. With whoever asks, in words.
    Leave(&'static str),
    /// One worker more.
    Grow,
    /// One worker less.
    Shrink,
}

/// What has come since the last turn.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Workers whose sockets are ready.
    pub ready: Vec<WorkerId>,
    /// Signals, in the order in which they came.
    pub signals: Vec<Signal>,
    /// Workers whose processes have ended.
    pub ended: Vec<(WorkerId, Exit)>,
    /// Connections to the engine whose sockets are ready.
    pub engine: Vec<Line>,
}

/// The workers of one supervisor, and its links to them.
#[derive(Debug)]
pub struct Crew<S> {
    relay: Relay<S>,
    roster: Roster,
    /// From the order to leave to the end of the grace period.
    longest_drain: Duration,
    /// Who has asked for the drain.
    caller: Cow<'static, str>,
    /// The period of the notification, and when it is due.
    notify: Option<(Duration, Instant)>,
    /// While everything is handed over.
    handover: Option<CrewPredecessor>,
    /// To a later start.
    is_parking: bool,
    /// Until everything that is taken over is its own.
    is_taking_over: bool,
    /// Workers of which it was known when that began that they leave alone: their clients move, too.
    leaving_alone: Vec<WorkerId>,
    /// Signals that wait until that has come to nothing.
    put_off: Vec<Signal>,
    /// Read once per turn.
    now: Now,
}

impl<S: Socket> Crew<S> {
    /// No worker is started yet: `poll` says which are to be.
    pub fn new(terms: CrewTerms, now: Now) -> Self {
        let CrewTerms { workers, epoch, history, times, notify_interval } = terms;
        Self {
            relay: Relay::new(epoch, history),
            roster: Roster::new(workers, times, now.instant),
            longest_drain: times.drain_delay + times.grace,
            caller: Cow::default(),
            notify: notify_interval.map(|period| (period, now + period)),
            handover: None,
            is_parking: false,
            is_taking_over: false,
            leaving_alone: Vec::new(),
            put_off: Vec::new(),
            now,
        }
    }

    /// Lets an engine give the order, for several machines.
    pub fn share_order(&mut self, terms: EngineTerms) {
        self.relay.share_order(terms, self.now);
    }

    /// Connections to the engine that are to be opened.
    pub fn take_wanted(&mut self) -> Vec<Wanted> {
        self.relay.take_wanted()
    }

    /// One of them is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>) {
        self.relay.on_connected(wanted, socket, self.now);
    }

    /// Publishes the periodic notification from now on, or no more.
    pub fn notify_every(&mut self, period: Option<Duration>) {
        self.notify = period.map(|period| (period, self.now + period));
    }

    /// Goes on where a predecessor stopped. There must be no workers yet.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.relay.restore(snapshot, self.now);
    }

    /// Takes what has come, all of it, before anybody is judged; then publishes the periodic notification if it is due.
    pub fn handle(&mut self, arrived: Arrived, now: Now) {
        self.now = now;
        for worker in arrived.ready {
            self.relay.on_ready(worker, now);
        }
        // Ahead of what the workers say: one that was sent the same signal as this process has nothing to ask.
        for signal in arrived.signals {
            self.obey(signal);
        }
        for line in arrived.engine {
            self.relay.on_engine_ready(line);
        }
        self.relay.listen(now);
        self.relay.hear_engine(now);
        self.take_events();
        for (worker, exit) in arrived.ended {
            self.on_exit(worker, exit);
        }
        self.excuse_held();
        if let Some((period, at)) = self.notify.filter(|(_, at)| *at <= now.instant && self.may_publish()) {
            self.relay.publish_periodic(period, now);
            self.notify = Some((period, next_in_period(at, period, now.instant)));
        }
    }

    /// The next step, whose line is to be logged. The workers have been told already what there is to tell them; left to
    /// the caller is:
    ///
    /// * `Start`: a process, and then `admit`, or else `on_exit`;
    /// * `Look`: `on_seen`;
    /// * `Withdraw` and `Kill`: to kill the process;
    /// * `CloseSlot`, and `Close` of the drain: the listeners, and to keep the `snapshot` for a successor;
    /// * `GiveUp`, and `Complete` of the drain: the end.
    pub fn poll(&mut self) -> Option<Step> {
        let step = self.roster.poll(self.now.instant)?;
        match step {
            Step::Beat => self.relay.tell_all(&ToWorker::Beat),
            Step::StepDown { worker, is_last, .. } => {
                self.relay.tell(worker, &ToWorker::StepDown { is_last });
            }
            Step::Insist { worker } => self.relay.tell(worker, &ToWorker::Insist),
            Step::Cut { worker, .. } => self.relay.cut(worker),
            Step::Drain(step) => self.follow(step),
            _ => {}
        }
        Some(step)
    }

    /// Hands on what was published, and lets each worker have what it takes.
    pub fn settle(&mut self) {
        self.relay.settle(self.now);
    }

    /// How long to sleep from the time of this turn on; `None` until something comes.
    pub fn next_timeout(&self) -> Option<Duration> {
        let now = self.now.instant;
        if self.relay.has_work(now) {
            return Some(Duration::ZERO);
        }
        let notify_at = self.notify.map(|(_, at)| at).filter(|_| self.may_publish());
        let handover_at = self.handover.as_ref().map(CrewPredecessor::next_deadline);
        let deadlines = [self.roster.deadline(), self.relay.deadline(), notify_at, handover_at];
        deadlines.into_iter().flatten().min().map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The time of this turn.
    pub fn now(&self) -> Now {
        self.now
    }

    /// A worker was started, of this number, counted from 1, and as this process.
    pub fn admit(&mut self, worker: WorkerId, number: u32, pid: u32, socket: S) {
        self.relay.admit(worker, number, pid, socket);
    }

    /// A worker has ended, or could not be started. What it said before that counts.
    pub fn on_exit(&mut self, worker: WorkerId, exit: Exit) {
        self.relay.forget(worker, self.now);
        self.take_events();
        match &mut self.handover {
            Some(handover) if self.is_parking => handover.do_without(worker),
            Some(handover) => handover.on_gone(worker),
            None => {}
        }
        self.roster.on_exit(worker, exit, self.now.instant);
    }

    /// What a worker has said, or what has become of it. The links tell by themselves; a simulation may, too.
    pub fn on_event(&mut self, worker: WorkerId, event: WorkerEvent) {
        let now = self.now.instant;
        match event {
            WorkerEvent::Ready => self.roster.on_ready(worker, now),
            WorkerEvent::Closed => self.roster.on_closed(worker),
            // It leaves with all others, as soon as everything is parked or is not.
            WorkerEvent::Signalled if self.is_parking => {}
            WorkerEvent::Signalled => self.roster.on_signalled(worker, now),
            WorkerEvent::Alive => self.roster.on_heard(worker),
            WorkerEvent::AskedToLeave(caller) => {
                self.note_caller(caller.into());
                self.roster.ask_to_leave(now);
            }
            WorkerEvent::Stuck => self.roster.on_stuck(worker),
            WorkerEvent::Lost => self.roster.on_lost(worker, now),
            WorkerEvent::Said(said) => {
                self.handover.iter_mut().for_each(|handover| handover.on_said(worker, said.clone()));
            }
        }
    }

    /// What a worker's process does, as far as that can be seen.
    pub fn on_seen(&mut self, worker: WorkerId, sight: Option<Sight>) {
        self.roster.on_seen(worker, sight, self.now.instant);
    }

    /// What a successor needs to go on in the same epoch. To be asked for once the drain says `Close`.
    pub fn snapshot(&mut self) -> Snapshot {
        self.relay.snapshot(self.now)
    }

    /// Clients of all workers together.
    pub fn clients(&self) -> usize {
        self.relay.clients()
    }

    /// Until the grace period ends, once all workers wait for their clients.
    pub fn remaining(&self) -> Option<Duration> {
        self.roster.limit().map(|limit| limit.saturating_duration_since(self.now.instant))
    }

    /// Whether every slot has a worker that serves.
    pub fn is_complete(&self) -> bool {
        self.roster.is_complete()
    }

    fn obey(&mut self, signal: Signal) {
        let now = self.now.instant;
        match signal {
            Signal::Grow | Signal::Shrink if self.handover.is_some() => {
                self.put_off.push(signal);
            }
            Signal::Leave(caller) => {
                self.note_caller(caller.into());
                self.roster.signal(now);
            }
            Signal::Grow => self.roster.grow(now),
            Signal::Shrink => self.roster.shrink(now),
        }
    }

    /// Whoever is the first to ask has begun it.
    fn note_caller(&mut self, caller: Cow<'static, str>) {
        if !self.is_leaving() {
            self.caller = caller;
        }
    }

    fn take_events(&mut self) {
        for (worker, event) in self.relay.take_events() {
            self.on_event(worker, event);
        }
    }

    fn follow(&mut self, step: drain::Step) {
        match step {
            // Operators that ask are told of it while all goes on.
            drain::Step::SignalReceived => {
                self.relay.announce_drain(self.now, self.now + self.longest_drain, self.caller.clone());
            }
            drain::Step::Close => {
                self.relay.close();
                self.notify = None;
                self.relay.tell_all(&ToWorker::Close);
            }
            drain::Step::Initiated => self.relay.tell_all(&ToWorker::Leave),
            drain::Step::Insisted { .. } => self.relay.tell_all(&ToWorker::Insist),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;

//! One process that serves nobody itself: it listens, starts workers on its listeners, gives all publications their
//! order, and stays until the last worker has ended. One thread and one poll loop, as a worker is.
//!
//! A turn: **receive** signals, what workers have said and which have ended; **keep time**; **advance** the roster,
//! which alone starts and ends anything; **settle**, which alone writes to workers.

use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use log::{Level, debug, error, info, log};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

use crate::config::Config;
use crate::ffi;
use crate::policy::drain;
use crate::policy::period::next_in_period;
use crate::policy::roster::{Exit, Roster, SlotId, Step, Times, WorkerId};
use crate::process::listeners::{self, Listeners, OpenError};
use crate::process::program::Program;
use crate::process::progress::Progress;
use crate::process::{announce, exit_code, loop_failed, service_manager, sight};
use crate::server::clock::Now;
use crate::server::exhaustion::with_mend;
use crate::server::relay::{Relay, Report};
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::terms::{history_limits, random_epoch};
use crate::wire::relay::ToWorker;

const SIGNALS: Token = Token(0);
/// A worker's token is its number beyond this.
const FIRST_WORKER: usize = 1;

const EVENTS_PER_TURN: usize = 256;

const OBEYED: [i32; 6] = [SIGTERM, SIGINT, SIGHUP, SIGTTIN, SIGTTOU, SIGCHLD];

/// How often a turn asks for events that were there already, at most.
const POLLS_PER_TURN: usize = 8;

/// Why there is nothing to supervise.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// No listening socket.
    #[error(transparent)]
    Listen(#[from] OpenError),
    /// No state file.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// No poll or no signals: the machine is out of something.
    #[error("cannot set up the event loop: {why}", why = with_mend(.0))]
    Poll(#[from] io::Error),
}

/// The only owner of the listeners and of the order.
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    config: Config,
    program: Program,
    listeners: Listeners,
    roster: Roster,
    relay: Relay<Stream>,
    children: Vec<(WorkerId, Child)>,
    state_file: Option<StateFile>,
    notify_at: Option<Instant>,
    progress: Progress,
    is_at_terminal: bool,
    now: Now,
}

impl Supervisor {
    /// Listens; workers are started by `run`.
    ///
    /// # Errors
    /// A message that names the act, the place and the mend.
    pub fn new(config: Config) -> Result<Self, SupervisorError> {
        let inherited = listeners::inherit(&config)?;
        // Ahead of what listens: one that comes while this process starts waits until it is heard.
        let mut signals = Signals::new(OBEYED)?;
        ffi::unblock(&OBEYED)?;
        let state_file = config.state_file.as_deref().map(StateFile::open).transpose()?;
        let listeners = Listeners::open(&config, inherited)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let now = Now::read();
        let times = Times {
            healthcheck: config.timeout_worker_healthcheck,
            drain_delay: config.drain_delay,
            grace: config.timeout_graceful_shutdown,
            report_interval: config.drain_check_interval,
        };
        let mut relay = Relay::new(random_epoch(), history_limits(&config));
        if let Some(snapshot) = state_file.as_ref().map(StateFile::take_up).transpose()?.flatten() {
            relay.restore(snapshot, now);
        }
        Ok(Self {
            poll,
            signals,
            program: Program::own(&config)?,
            listeners,
            roster: Roster::new(config.workers.into(), times, now.instant),
            relay,
            children: Vec::new(),
            state_file,
            notify_at: config.notify_interval.0.map(|interval| now + interval),
            progress: Progress::default(),
            is_at_terminal: io::stdin().is_terminal(),
            now,
            config,
        })
    }

    /// Stays until the last worker has ended. Exit codes: 0 all drained, 1 some forced, 3 workers do not start.
    pub fn run(mut self) -> ExitCode {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            if let Err(why) = self.receive(&mut events) {
                return loop_failed(&why);
            }
            self.keep_time();
            if let Some(code) = self.advance() {
                return code;
            }
            // What the workers will say about it follows.
            log::logger().flush();
            self.relay.settle(self.now);
        }
    }

    /// Takes what has come. Memory only. All of it: nobody is judged by what has arrived and was not read.
    fn receive(&mut self, events: &mut Events) -> io::Result<()> {
        log::logger().flush();
        let mut patience = self.patience();
        for _ in 0..POLLS_PER_TURN {
            // Interrupted, it has not looked: signal(7) says when, SIGCONT among it.
            let has_looked = match self.poll.poll(events, patience) {
                Ok(()) => events.iter().count() < EVENTS_PER_TURN,
                Err(e) if e.kind() == ErrorKind::Interrupted => false,
                Err(e) => return Err(e),
            };
            self.now = Now::read();
            for event in &*events {
                let worker = event.token().0.checked_sub(FIRST_WORKER);
                let worker = worker.and_then(|id| WorkerId::try_from(id).ok());
                worker.iter().for_each(|worker| self.relay.on_ready(*worker, self.now));
            }
            patience = Some(Duration::ZERO);
            if has_looked {
                break;
            }
        }
        // Ahead of the workers: one that was sent the same signal as this process has nothing to ask.
        self.obey();
        self.relay.listen(self.now);
        self.take_reports();
        self.bury();
        Ok(())
    }

    fn take_reports(&mut self) {
        let now = self.now.instant;
        for (worker, report) in self.relay.take_reports() {
            match report {
                Report::Ready => self.roster.on_ready(worker, now),
                Report::Closed => self.roster.on_closed(worker),
                Report::Signalled => self.roster.on_signalled(worker, now),
                Report::Alive => self.roster.on_heard(worker),
                Report::AskedToLeave => self.roster.ask_to_leave(now),
                Report::Stuck => self.roster.on_stuck(worker),
                Report::Lost => self.roster.on_lost(worker, now),
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        if self.relay.has_work(self.now.instant) {
            return Some(Duration::ZERO);
        }
        let deadlines = self.roster.deadline().into_iter().chain(self.relay.deadline()).chain(self.notify_at);
        deadlines.min().map(|deadline| deadline.saturating_duration_since(self.now.instant))
    }

    fn obey(&mut self) {
        for signal in self.signals.pending().collect::<Vec<_>>() {
            match signal {
                SIGTERM | SIGINT => self.roster.signal(self.now.instant),
                // The terminal at which it was started is gone.
                SIGHUP if self.is_at_terminal => self.roster.signal(self.now.instant),
                SIGHUP => self.roster.reload(self.now.instant),
                SIGTTIN => self.roster.grow(self.now.instant),
                SIGTTOU => self.roster.shrink(self.now.instant),
                // Who has ended is looked for in every turn.
                _ => {}
            }
        }
    }

    /// Takes leave of the workers that have ended, behind the last that they have said.
    fn bury(&mut self) {
        let mut ended = vec![];
        self.children.retain_mut(|(worker, child)| {
            let Ok(Some(status)) = child.try_wait() else { return true };
            debug!("Worker process {} has ended: {status}", child.id());
            ended.push((*worker, exit_of(status)));
            false
        });
        for (worker, exit) in ended {
            self.relay.forget(worker, self.now);
            self.take_reports();
            self.roster.on_exit(worker, exit, self.now.instant);
        }
    }

    fn keep_time(&mut self) {
        if let (Some(at), Some(interval)) = (self.notify_at, self.config.notify_interval.0)
            && at <= self.now.instant
        {
            self.relay.publish_periodic(self.now);
            self.notify_at = Some(next_in_period(at, interval, self.now.instant));
        }
        if let Some(limit) = self.roster.limit() {
            self.progress.show(self.relay.clients(), limit.saturating_duration_since(self.now.instant));
        }
    }

    /// Takes the steps that are due.
    fn advance(&mut self) -> Option<ExitCode> {
        while let Some(step) = self.roster.poll(self.now.instant) {
            let line = step.to_string();
            if !line.is_empty() {
                log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{line}");
            }
            match step {
                Step::Start { worker, slot } => self.start(worker, slot),
                Step::Beat => self.tell_all(&ToWorker::Beat),
                Step::Look { worker } => self.look(worker),
                Step::CloseSlot { slot } => self.listeners.close(slot),
                Step::StepDown { worker, is_last, .. } => {
                    self.relay.tell(worker, &ToWorker::StepDown { is_last });
                }
                Step::Insist { worker } => self.relay.tell(worker, &ToWorker::Insist),
                Step::Cut { worker, .. } => self.relay.cut(worker),
                Step::Assembled => {
                    announce(&self.config, self.listeners.address(), self.listeners.admin_address());
                }
                Step::Reloading => {
                    info!("Reloading: replacing the workers one by one by {}", self.program.path().display());
                }
                Step::Drain(drain::Step::SignalReceived) => self.announce_drain(),
                Step::Drain(drain::Step::Close) => self.close(),
                Step::Drain(drain::Step::Initiated) => self.tell_all(&ToWorker::Leave),
                Step::Drain(drain::Step::Waiting { remaining, .. }) => {
                    service_manager::draining(self.relay.clients(), remaining);
                }
                Step::Drain(drain::Step::Insisted { .. }) => self.tell_all(&ToWorker::Insist),
                Step::Withdraw { worker, .. } | Step::Kill { worker, .. } => self.kill(worker),
                Step::GiveUp { .. } => return Some(ExitCode::from(3)),
                Step::Drain(drain::Step::Complete(outcome)) => {
                    self.progress.hide();
                    return Some(exit_code(outcome));
                }
                Step::Drain(_) | Step::Ended { .. } | Step::ReloadFailed { .. } | Step::Reloaded => {}
            }
        }
        None
    }

    fn start(&mut self, worker: WorkerId, slot: SlotId) {
        let number = u32::try_from(slot + 1).unwrap_or(u32::MAX);
        let sockets = self.listeners.of(slot);
        let started = sockets.and_then(|(listener, admin)| self.program.start(number, listener, admin));
        let admitted = started.and_then(|(child, socket)| {
            let (mut socket, token) = (Stream::from(socket), Token(FIRST_WORKER + worker as usize));
            debug!("Started worker {} as process {}", slot + 1, child.id());
            let pid = child.id();
            self.children.push((worker, child));
            self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            self.relay.admit(worker, number, pid, socket);
            Ok(())
        });
        if let Err(why) = admitted {
            error!("cannot start {} as worker {}: {why}", self.program.path().display(), slot + 1);
            self.roster.on_exit(worker, Exit::NotStarted, self.now.instant);
        }
    }

    /// Looks at what a worker's process does.
    fn look(&mut self, worker: WorkerId) {
        let child = self.children.iter().find(|(id, _)| *id == worker);
        let sight = child.and_then(|(_, child)| sight::of(child.id()));
        self.roster.on_seen(worker, sight, self.now.instant);
    }

    /// Those who ask are told of it while all goes on.
    fn announce_drain(&mut self) {
        let longest = self.config.drain_delay + self.config.timeout_graceful_shutdown;
        self.relay.announce_drain(self.now, self.now + longest);
        if !self.config.drain_delay.is_zero() {
            service_manager::draining(self.relay.clients(), longest);
        }
    }

    /// The order is kept for a successor, and then the listeners are freed for it, in all processes.
    fn close(&mut self) {
        self.relay.close();
        if let Some(file) = &self.state_file {
            file.leave_behind(&self.relay.snapshot(self.now));
        }
        self.listeners.close_all();
        self.notify_at = None;
        self.tell_all(&ToWorker::Close);
    }

    fn tell_all(&mut self, message: &ToWorker<'_>) {
        for (worker, _) in &self.children {
            self.relay.tell(*worker, message);
        }
    }

    fn kill(&mut self, worker: WorkerId) {
        if let Some((_, child)) = self.children.iter_mut().find(|(id, _)| *id == worker)
            && let Err(why) = child.kill()
        {
            error!("cannot kill worker process {}: {why}", child.id());
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, number) => Exit::Signal(number.unwrap_or_default()),
    }
}

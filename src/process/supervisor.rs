//! One process that serves nobody itself: it listens, starts workers on its listeners, and stays until the last of them
//! has ended. One thread and one poll loop, as a worker is. What is to be done its crew says; here it is done.
//!
//! A turn: **receive** what has come, from workers, signals and processes that have ended; **advance**, which alone starts
//! and ends anything; **settle** with the workers.

use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::Duration;

use log::{Level, debug, error, info, log};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

use crate::config::Config;
use crate::ffi;
use crate::policy::drain;
use crate::policy::roster::{Exit, SlotId, Step, Times, WorkerId};
use crate::process::crew::{Arrived, Crew, CrewTerms, Signal};
use crate::process::listeners::{self, OpenError, SlotSockets};
use crate::process::program::Program;
use crate::process::progress_bar::ProgressBar;
use crate::process::{announce, exit_code, loop_failed, service_manager, sight};
use crate::server::clock::Now;
use crate::server::exhaustion::with_mend;
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::terms::{history_limits, random_epoch};

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

/// The only owner of the poll, the listeners and the children.
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    config: Config,
    program: Program,
    listeners: SlotSockets,
    crew: Crew<Stream>,
    children: Vec<(WorkerId, Child)>,
    state_file: Option<StateFile>,
    progress_bar: ProgressBar,
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
        let listeners = SlotSockets::open(&config, inherited)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let now = Now::read();
        let mut crew = Crew::new(terms(&config), now);
        if let Some(snapshot) = state_file.as_ref().map(StateFile::take_up).transpose()?.flatten() {
            crew.restore(snapshot);
        }
        Ok(Self {
            poll,
            signals,
            program: Program::own(&config)?,
            listeners,
            crew,
            children: Vec::new(),
            state_file,
            progress_bar: ProgressBar::default(),
            is_at_terminal: io::stdin().is_terminal(),
            now,
            config,
        })
    }

    /// Stays until the last worker has ended. Exit codes: 0 all drained, 1 some forced, 3 workers do not start.
    pub fn run(mut self) -> ExitCode {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            match self.receive(&mut events) {
                Ok(arrived) => self.crew.handle(arrived, self.now),
                Err(why) => return loop_failed(&why),
            }
            if let Some(remaining) = self.crew.remaining() {
                self.progress_bar.show(self.crew.clients(), remaining);
            }
            if let Some(code) = self.advance() {
                return code;
            }
            // What the workers will say about it follows.
            log::logger().flush();
            self.crew.settle();
        }
    }

    /// Waits until something has come. All of it: nobody is judged by what has arrived and was not read.
    fn receive(&mut self, events: &mut Events) -> io::Result<Arrived> {
        log::logger().flush();
        let mut arrived = Arrived::default();
        let mut timeout = self.crew.next_timeout();
        for _ in 0..POLLS_PER_TURN {
            // Interrupted, it has not looked: signal(7) says when, SIGCONT among it.
            let has_looked = match self.poll.poll(events, timeout) {
                Ok(()) => events.iter().count() < EVENTS_PER_TURN,
                Err(e) if e.kind() == ErrorKind::Interrupted => false,
                Err(e) => return Err(e),
            };
            self.now = Now::read();
            let workers = events.iter().filter_map(|event| event.token().0.checked_sub(FIRST_WORKER));
            arrived.ready.extend(workers.filter_map(|id| WorkerId::try_from(id).ok()));
            timeout = Some(Duration::ZERO);
            if has_looked {
                break;
            }
        }
        let is_at_terminal = self.is_at_terminal;
        arrived.signals.extend(self.signals.pending().filter_map(|signal| match signal {
            SIGTERM | SIGINT => Some(Signal::Leave),
            // The terminal at which it was started is gone.
            SIGHUP if is_at_terminal => Some(Signal::Leave),
            SIGHUP => Some(Signal::Reload),
            SIGTTIN => Some(Signal::Grow),
            SIGTTOU => Some(Signal::Shrink),
            // Every turn looks for processes that have ended.
            _ => None,
        }));
        self.children.retain_mut(|(worker, child)| {
            let Ok(Some(status)) = child.try_wait() else { return true };
            debug!("Worker process {} has ended: {status}", child.id());
            arrived.ended.push((*worker, exit_of(status)));
            false
        });
        Ok(arrived)
    }

    /// Takes the steps that are due.
    fn advance(&mut self) -> Option<ExitCode> {
        while let Some(step) = self.crew.poll() {
            let line = step.to_string();
            if !line.is_empty() {
                log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{line}");
            }
            match step {
                Step::Start { worker, slot } => self.start(worker, slot),
                Step::Look { worker } => self.look(worker),
                Step::Withdraw { worker, .. } | Step::Kill { worker, .. } => self.kill(worker),
                Step::CloseSlot { slot } => self.listeners.close(slot),
                Step::Assembled => {
                    announce(&self.config, self.listeners.address(), self.listeners.admin_address());
                }
                Step::Reloading => {
                    info!("Reloading: replacing the workers one by one by {}", self.program.path().display());
                }
                Step::GiveUp { .. } => return Some(ExitCode::from(3)),
                Step::Drain(drain::Step::Complete(outcome)) => {
                    self.progress_bar.hide();
                    return Some(exit_code(outcome));
                }
                Step::Drain(step) => self.leave(step),
                Step::Beat
                | Step::StepDown { .. }
                | Step::Insist { .. }
                | Step::Cut { .. }
                | Step::Ended { .. }
                | Step::ReloadFailed { .. }
                | Step::Reloaded => {}
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
            self.crew.admit(worker, number, pid, socket);
            Ok(())
        });
        if let Err(why) = admitted {
            error!("cannot start {} as worker {}: {why}", self.program.path().display(), slot + 1);
            self.crew.on_exit(worker, Exit::NotStarted);
        }
    }

    /// Looks at what a worker's process does.
    fn look(&mut self, worker: WorkerId) {
        let child = self.children.iter().find(|(id, _)| *id == worker);
        let sight = child.and_then(|(_, child)| sight::of(child.id()));
        self.crew.on_seen(worker, sight);
    }

    fn leave(&mut self, step: drain::Step) {
        match step {
            // The first report would be long in coming.
            drain::Step::SignalReceived if !self.config.drain_delay.is_zero() => {
                let longest = self.config.drain_delay + self.config.timeout_graceful_shutdown;
                service_manager::draining(self.crew.clients(), longest);
            }
            // The order is kept for a successor, and then the listeners are freed for it, in all processes.
            drain::Step::Close => {
                if let Some(file) = &self.state_file {
                    file.leave_behind(&self.crew.snapshot());
                }
                self.listeners.close_all();
            }
            drain::Step::Waiting { remaining, .. } => {
                service_manager::draining(self.crew.clients(), remaining);
            }
            _ => {}
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

fn terms(config: &Config) -> CrewTerms {
    CrewTerms {
        workers: config.workers.into(),
        epoch: random_epoch(),
        history: history_limits(config),
        times: Times {
            healthcheck: config.timeout_worker_healthcheck,
            drain_delay: config.drain_delay,
            grace: config.timeout_graceful_shutdown,
            report_interval: config.drain_check_interval,
        },
        notify_interval: config.notify_interval.0,
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, number) => Exit::Signal(number.unwrap_or_default()),
    }
}

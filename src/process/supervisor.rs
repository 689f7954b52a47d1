//! One process that serves nobody itself: it listens, starts workers on its listeners, and stays until the last of them
//! has ended. One thread and one poll loop, as a worker is. What is to be done its crew says; here it is done.
//!
//! A turn: **receive** what has come, from workers, signals and processes that have ended; **advance**, which alone starts
//! and ends anything; **settle** with the workers.

use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use log::{Level, debug, error, log, warn};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

use crate::config::Config;
use crate::ffi;
use crate::policy::drain;
use crate::policy::roster::{Step, WorkerId};
use crate::process;
use crate::process::crew::{Arrived, Crew};
use crate::process::handover::{Approach, SuccessionError, SuccessorProcess};
use crate::process::listeners::slots::SlotSockets;
use crate::process::listeners::{self, OpenError};
use crate::process::program::Program;
use crate::process::progress_bar::ProgressBar;
use crate::process::{announce, exit_code, loop_failed, secrets, service_manager, serving, sight};
use crate::server::bound_socket::BoundSocket;
use crate::server::certificate::CertificateError;
use crate::server::clock::Now;
use crate::server::engine::dial::{self, Dialer};
use crate::server::exhaustion::with_mend;
use crate::server::handover::{Launcher, bundle::Store, channel::Channel, parked::ParkedError};
use crate::server::lookout::keeper::Keeper;
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::ticket_secret;
use crate::server::transport::Transport;
use crate::wire::metrics::Metrics;
use beginning::{Beginning, begin, terms};
use giving::Giving;
use parking::Parking;
use taking::Taking;
use taking_up::TakingUp;

mod beginning;
mod ending;
mod giving;
mod parking;
mod sharing;
mod signals;
mod taking;
mod taking_up;
mod workers;

const SIGNALS: Token = Token(0);
const SUCCESSOR: Token = Token(1);
const SUCCESSORS: Token = Token(2);
const PREDECESSOR: Token = Token(3);
const PART: Token = Token(4);
/// The first of the engine's.
const ENGINE: usize = 5;
/// A worker's token is its number beyond this.
const FIRST_WORKER: usize = ENGINE + dial::TOKENS;

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
    /// Nothing to take over.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// Not with what was parked.
    #[error("cannot take up what was parked: {0}")]
    Parked(#[from] ParkedError),
    /// Nothing to speak TLS with the engine by.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No poll or no signals: the machine is out of something.
    #[error("cannot set up the event loop: {why}", why = with_mend(.0))]
    Poll(#[from] io::Error),
}

/// The only owner of the poll, the listeners and the children.
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    /// Signals that were only looked at.
    ahead: Vec<i32>,
    config: Config,
    program: Program,
    /// Of the files that workers read.
    keeper: Keeper,
    listeners: SlotSockets,
    crew: Crew<Transport<Stream>>,
    /// To the engine, if there is one.
    dialer: Option<Dialer>,
    children: Vec<(WorkerId, Child)>,
    /// Through which workers are sent channels.
    lines: Vec<(WorkerId, Channel)>,
    state_file: Option<StateFile>,
    launcher: Box<dyn Launcher>,
    /// Where a successor may connect.
    path: Option<BoundSocket>,
    /// When somebody may be accepted there whom no event will announce.
    accept_at: Option<Instant>,
    giving: Option<Giving>,
    taking: Option<Taking>,
    /// What an earlier server has parked, until it is served.
    taking_up: Option<TakingUp>,
    /// What is to be said, once it serves, of keys that do not count though they have changed.
    unheeded: Vec<String>,
    /// Where everything is parked when this server is told to leave, if it is to be.
    store: Option<Box<dyn Store>>,
    parking: Option<Parking>,
    /// It is to be in this turn.
    is_to_park: bool,
    /// What a predecessor has counted.
    counted: Option<Metrics>,
    /// A successor is to be started in this turn.
    is_to_hand_over: bool,
    /// A worker has ended, or could not be started.
    has_lost_one: bool,
    /// Everything is another process's.
    has_parted: bool,
    /// When those who are left are told to leave.
    leave_at: Option<Instant>,
    progress_bar: ProgressBar,
    is_at_terminal: bool,
    now: Now,
}

impl Supervisor {
    /// Listens; workers are started by `run`. With the way to the process that has started this one as its successor, if one has.
    ///
    /// # Errors
    /// A message that names the act, the place and the mend.
    pub fn new(mut config: Config, from_parent: Option<&OwnedFd>) -> Result<Self, SupervisorError> {
        let approach = Approach::begin(&config, from_parent)?;
        // With the same arguments, but not with the same descriptors: what that one was given comes another way.
        let inherited = if approach.is_own() { None } else { listeners::inherit(&config)? };
        let parked = if approach.is_own() { vec![] } else { process::parking::find() };
        // Ahead of what listens: one that comes while this process starts waits until it is heard.
        let mut signals = Signals::new(OBEYED)?;
        ffi::unblock(&OBEYED)?;
        let state_file = config.state_file.as_deref().map(StateFile::open).transpose()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let now = Now::read();
        let mut crew = Crew::new(terms(&config), now);
        let Beginning { listeners, path, taking, taking_up, tickets, unheeded } =
            begin(&config, approach, inherited, parked, state_file.as_ref(), &mut crew, poll.registry())?;
        if config.ssl.is_on() && config.ssl.ssl_ticket_keyfile.is_none() {
            config.ssl.ticket_secret = Some(tickets.map_or_else(ticket_secret::draw, Ok)?);
        }
        let dialer = sharing::share_order(&config, listeners.address(), &mut crew, poll.registry())?;
        for socket in path.iter().flat_map(BoundSocket::sockets) {
            SourceFd(&socket.as_raw_fd()).register(poll.registry(), SUCCESSORS, Interest::READABLE)?;
        }
        let status = serving(listeners.address());
        Ok(Self {
            poll,
            signals,
            ahead: vec![],
            program: Program::own(&config)?,
            keeper: Keeper::begin(&config, secrets::of_files(&config), now.instant),
            listeners,
            crew,
            dialer,
            children: Vec::new(),
            lines: Vec::new(),
            state_file,
            launcher: Box::new(SuccessorProcess::new(Program::own(&config)?, status)),
            path,
            accept_at: None,
            giving: None,
            parking: None,
            store: process::parking::store(&config),
            taking,
            taking_up,
            unheeded,
            counted: None,
            is_to_park: false,
            is_to_hand_over: false,
            has_lost_one: false,
            has_parted: false,
            leave_at: None,
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
            let arrived = match self.receive(&mut events) {
                Ok(arrived) => arrived,
                Err(why) => return loop_failed(&why),
            };
            self.has_lost_one |= !arrived.ended.is_empty();
            // Ahead of what workers ask that were sent the same signal.
            if std::mem::take(&mut self.is_to_park) {
                self.begin_parking();
            }
            self.keeper.look(self.now.instant);
            self.crew.handle(arrived, self.now);
            self.connect();
            // Whoever has ended by now has nothing that could be moved.
            if std::mem::take(&mut self.is_to_hand_over) {
                self.launch_successor();
            }
            self.take_up();
            if let Err(why) = self.take_over() {
                error!("{}", self.config.sources.locate(&why.to_string()));
                return self.end_all();
            }
            self.hand_over();
            if let Some(code) = self.end_parting() {
                return code;
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
        let mut timeout = self.next_timeout();
        for _ in 0..POLLS_PER_TURN {
            // Interrupted, it has not looked: signal(7) says when, SIGCONT among it.
            let has_looked = match self.poll.poll(events, timeout) {
                Ok(()) => events.iter().count() < EVENTS_PER_TURN,
                Err(e) if e.kind() == ErrorKind::Interrupted => false,
                Err(e) => return Err(e),
            };
            self.now = Now::read();
            let has_come = |token| events.iter().any(|event| event.token() == token);
            // Until it serves, a successor is for the predecessor to hear of.
            let is_due = self.accept_at.is_some_and(|at| at <= self.now.instant);
            if (has_come(SUCCESSORS) || is_due) && self.taking.is_none() {
                self.accept_successors();
            }
            if has_come(SUCCESSOR) {
                self.hear_successor();
            }
            let workers = events.iter().filter_map(|event| event.token().0.checked_sub(FIRST_WORKER));
            arrived.ready.extend(workers.filter_map(|id| WorkerId::try_from(id).ok()));
            arrived.engine.extend(events.iter().filter_map(|event| Dialer::line_of(event.token(), ENGINE)));
            timeout = Some(Duration::ZERO);
            if has_looked {
                break;
            }
        }
        self.take_in_signals(&mut arrived);
        self.children.retain_mut(|(worker, child)| {
            let Ok(Some(status)) = child.try_wait() else { return true };
            debug!("Worker process {} has ended: {status}", child.id());
            arrived.ended.push((*worker, sight::exit_of(status)));
            false
        });
        let children = &self.children;
        self.lines.retain(|(worker, _)| children.iter().any(|(child, _)| child == worker));
        Ok(arrived)
    }

    fn next_timeout(&self) -> Option<Duration> {
        if self.taking.is_some() && self.has_lost_one || !self.ahead.is_empty() {
            return Some(Duration::ZERO);
        }
        let taking = self.taking.as_ref().map(Taking::deadline);
        let deadlines = taking.into_iter().chain(self.leave_at).chain(self.accept_at);
        let own = deadlines
            .chain(self.keeper.next_look())
            .map(|at| at.saturating_duration_since(self.crew.now().instant));
        own.chain(self.crew.next_timeout()).min()
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
                    self.unheeded.drain(..).for_each(|unheeded| warn!("{unheeded}"));
                    let others = [self.listeners.admin(), self.listeners.redirect()];
                    let [admin, redirect] = others.map(|door| door.map(BoundSocket::address));
                    announce(&self.config, self.listeners.address(), admin, redirect);
                }
                // What is taken over is another's still, who is to be told.
                Step::GiveUp { .. } if self.taking.is_some() => {}
                Step::GiveUp { .. } => return Some(self.end_unserved()),
                Step::Drain(drain::Step::Complete(outcome)) => {
                    self.progress_bar.hide();
                    return Some(exit_code(outcome));
                }
                Step::Drain(step) => self.leave(step),
                Step::Beat
                | Step::StepDown { .. }
                | Step::Insist { .. }
                | Step::Cut { .. }
                | Step::Ended { .. } => {}
            }
        }
        None
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
}

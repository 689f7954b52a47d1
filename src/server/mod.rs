//! The room that moves bytes: mio, sockets, and the one reading of the clock. `Server` owns the poll and takes turns.
//!
//! A turn: **receive** what has come, into memory only; **keep time**; **settle**, which alone writes to sockets and
//! removes connections; **advance** the drain, which alone ends the process. Never sleep on unfinished work.

use std::io::{self, ErrorKind};
use std::time::Duration;

use log::{Level, error, info, log, warn};
use mio::{Events, Interest, Poll, Token};
use thiserror::Error;

use crate::config::Config;
use crate::policy::deadlines::{Deadlines, Due};
use crate::policy::drain::{Drain, Outcome, Step};
use crate::server::clock::Now;
use crate::server::control::{Control, Controls};
use crate::server::listener::{Accepted, Listener};
use crate::server::listening::Listening;
use crate::server::peers::Peers;
use crate::server::peers::upstream::{Instruction, Upstream};
use crate::server::socket::Stream;
use crate::server::state_file::StateFile;
use crate::server::terms::terms;

pub mod clock;
pub mod connection;
pub mod control;
pub mod limits;
mod link;
mod listener;
pub mod listening;
pub mod order;
pub mod peers;
pub mod relay;
mod routes;
mod site;
pub mod socket;
pub mod state_file;
pub mod terms;

pub use control::Handle;
pub use listening::{Address, ListenError};
pub use routes::Publishers;
pub use terms::Service;

const CONTROLS: Token = Token(0);
const SIGNALS: Token = Token(1);
const LISTENER: Token = Token(2);
const SUPERVISOR: Token = Token(3);
/// A connection's token is its key beyond this.
const FIRST_PEER: usize = 4;

const EVENTS_PER_TURN: usize = 1024;
const ACCEPTS_PER_TURN: usize = 64;

/// How long accepting rests when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No listening socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No poll, no waker or no signals: the machine is out of something.
    #[error("cannot set up the event loop: {0}; check the limit on open files (ulimit -n)")]
    Poll(#[from] io::Error),
}

/// One listening process: the only owner of the poll.
pub struct Server {
    poll: Poll,
    controls: Controls,
    /// None before a worker may serve, and once leaving.
    listener: Option<Listener>,
    /// What a worker will listen on once it has heard all that was published.
    standby: Option<Listening>,
    address: Address,
    peers: Peers<Stream>,
    deadlines: Deadlines,
    drain: Drain,
    manner: Manner,
    /// Whether the supervisor has been asked how to leave.
    has_asked: bool,
    notify_interval: Option<Duration>,
    state_file: Option<StateFile>,
    /// Read once per turn.
    now: Now,
}

/// How a server leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With all there is of it.
    Whole,
    /// As one worker, while others serve. Who waits to be accepted is accepted by another, unless it `is_last`.
    Alone { is_last: bool },
}

impl Server {
    /// Binds the address of the configuration and listens; serving begins with `run`.
    ///
    /// # Errors
    /// A message that names the act, the address and the mend.
    pub fn bind(config: &Config, service: Service) -> Result<Self, StartError> {
        Self::over(Listening::bind(&config.host, config.port, config.backlog, false)?, config, service)
    }

    /// Listens on a socket that is there already.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn over(listening: Listening, config: &Config, service: Service) -> Result<Self, StartError> {
        let mut server = Self::new(listening, config, service, None)?;
        server.notify_interval = config.notify_interval.0.filter(|_| service == Service::Notifications);
        let first = server.notify_interval.map(|interval| server.now + interval);
        server.deadlines.set(Due::Notify, first);
        server.state_file = config.state_file.as_deref().map(StateFile::new);
        server.serve()?;
        Ok(server)
    }

    /// One of several workers: it serves once its supervisor says so.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn worker(listening: Listening, supervisor: Stream, config: &Config) -> Result<Self, StartError> {
        Self::new(listening, config, Service::Notifications, Some(supervisor))
    }

    fn new(
        listening: Listening,
        config: &Config,
        service: Service,
        supervisor: Option<Stream>,
    ) -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let controls = Controls::new(poll.registry(), CONTROLS)?;
        let register = |mut socket: Stream| {
            poll.registry().register(&mut socket, SUPERVISOR, Interest::READABLE | Interest::WRITABLE)?;
            io::Result::Ok(Upstream::new(socket))
        };
        let upstream = supervisor.map(register).transpose()?;
        Ok(Self {
            controls,
            listener: None,
            address: listening.address().clone(),
            peers: Peers::new(terms(config, service, listening.address()), upstream),
            standby: Some(listening),
            deadlines: Deadlines::default(),
            drain: Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval),
            manner: Manner::Whole,
            has_asked: false,
            notify_interval: None,
            state_file: None,
            now: Now::read(),
            poll,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        if let Some(listening) = self.standby.take() {
            self.listener = Some(Listener::new(listening, self.poll.registry(), LISTENER)?);
        }
        Ok(())
    }

    /// Goes on where the process before this one stopped, if it has left its state. To be asked once the port is this
    /// one's: until then the other may still publish.
    pub fn take_over(&mut self) {
        if let Some(snapshot) = self.state_file.as_ref().and_then(StateFile::take_up) {
            self.peers.restore(snapshot, self.now);
        }
    }

    /// The address listened on, with the port that was taken for port 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// To end it from another thread.
    pub fn handle(&self) -> Handle {
        self.controls.handle()
    }

    /// Lets SIGTERM and SIGINT end it, and SIGHUP do no harm.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub fn take_signals(&mut self) -> Result<(), StartError> {
        Ok(self.controls.take_signals(self.poll.registry(), SIGNALS)?)
    }

    /// Serves until it is told to leave and the last client has left, or time runs out. `on_step` is told of every step
    /// on that way.
    ///
    /// # Errors
    /// Only if the poll itself fails.
    pub fn run(mut self, mut on_step: impl FnMut(&Step)) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.receive(&mut events)?;
            self.keep_time();
            self.peers.settle(self.now);
            if let Some(outcome) = self.advance(&mut on_step) {
                return Ok(outcome);
            }
        }
    }

    /// Takes what has come: bytes, newcomers, and orders to leave. Memory only.
    fn receive(&mut self, events: &mut Events) -> io::Result<()> {
        self.deadlines.set(Due::Sweep, self.peers.next_sweep());
        if let Err(e) = self.poll.poll(events, self.patience())
            && e.kind() != ErrorKind::Interrupted
        {
            return Err(e);
        }
        self.now = Now::read();
        self.peers.read_unread(self.now);
        for event in &*events {
            match event.token() {
                CONTROLS | SIGNALS => self.obey(),
                LISTENER => self.on_waiting(),
                SUPERVISOR => self.peers.on_supervisor_ready(),
                Token(peer) => self.peers.on_ready(peer - FIRST_PEER, self.now),
            }
        }
        for instruction in self.peers.hear_supervisor(self.now) {
            self.follow(instruction)?;
        }
        self.accept(ACCEPTS_PER_TURN);
        Ok(())
    }

    /// How long to sleep. Measured from the last reading of the clock, so late by that turn's length at most.
    fn patience(&self) -> Option<Duration> {
        if self.peers.has_work() || self.listener.as_ref().is_some_and(|listener| listener.has_waiting) {
            return Some(Duration::ZERO);
        }
        let deadlines = self.deadlines.earliest().into_iter().chain(self.drain.deadline());
        deadlines.min().map(|deadline| deadline.saturating_duration_since(self.now.instant))
    }

    fn obey(&mut self) {
        for control in self.controls.take() {
            match control {
                // A worker's first signal is the supervisor's to answer: others may have been sent it, too.
                Control::Leave if !self.has_asked && self.peers.ask_how_to_leave() => self.has_asked = true,
                Control::Leave => self.drain.signal(self.now.instant),
                // Sent to all processes at once: the supervisor has been sent it, too.
                Control::Reload if self.peers.has_supervisor() => {}
                Control::Reload => warn!(
                    "Cannot reload: a server of one process has nobody to replace it. Restart it, or start it with --workers 2"
                ),
            }
        }
    }

    /// Does what the supervisor asks. To be asked to leave again changes at most the manner.
    fn follow(&mut self, instruction: Instruction) -> io::Result<()> {
        let is_leaving = self.drain.is_leaving();
        match instruction {
            Instruction::Serve => self.serve()?,
            Instruction::Leave if is_leaving => self.peers.leave(self.now, false),
            Instruction::StepDown { .. } if is_leaving => {}
            Instruction::Leave => self.drain.signal(self.now.instant),
            Instruction::StepDown { is_last } => {
                self.manner = Manner::Alone { is_last };
                self.drain.signal(self.now.instant);
            }
            Instruction::Insist => self.drain.insist(self.now.instant),
        }
        Ok(())
    }

    fn on_waiting(&mut self) {
        // While paused, only the timer tries again.
        if let Some(listener) = self.listener.as_mut().filter(|listener| !listener.is_paused) {
            listener.has_waiting = true;
        }
    }

    fn accept(&mut self, most: usize) {
        let Some(listener) = self.listener.as_mut().filter(|listener| listener.has_waiting) else { return };
        for _ in 0..most {
            let accepted = match listener.accept() {
                Accepted::Peer(mut socket) => self.peers.admit(self.now, |key| {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut socket, Token(FIRST_PEER + key), interest)?;
                    Ok(socket)
                }),
                Accepted::Nobody => return end_pause(listener),
                Accepted::Exhausted(e) => Err(e),
            };
            if let Err(e) = accepted {
                begin_pause(listener, &e);
                return self.deadlines.set(Due::Accept, Some(self.now + ACCEPT_PAUSE));
            }
        }
    }

    fn keep_time(&mut self) {
        while let Some((due, at)) = self.deadlines.take_due(self.now.instant) {
            match (due, self.notify_interval) {
                (Due::Sweep, _) => self.peers.sweep(self.now),
                (Due::Accept, _) => _ = self.listener.as_mut().map(|listener| listener.has_waiting = true),
                (Due::Notify, None) => {}
                (Due::Notify, Some(interval)) => {
                    self.peers.publish_periodic(self.now);
                    // From when it was due, so that lateness does not add up; what was slept through is skipped.
                    let missed = (self.now.instant - at).div_duration_f64(interval).floor();
                    self.deadlines.set(Due::Notify, Some(at + interval.mul_f64(missed + 1.0)));
                }
            }
        }
    }

    /// Takes the steps of the drain that are due.
    fn advance(&mut self, on_step: &mut impl FnMut(&Step)) -> Option<Outcome> {
        while let Some(step) = self.next_step() {
            log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{step}");
            on_step(&step);
            match step {
                Step::Initiated => self.stop_accepting(),
                Step::TimedOut { .. } | Step::Insisted { .. } => self.peers.say_farewell(self.now),
                Step::Complete(outcome) => return Some(outcome),
                Step::SignalReceived | Step::Waiting { .. } | Step::AllClosed => {}
            }
        }
        None
    }

    fn next_step(&mut self) -> Option<Step> {
        let clients = self.peers.clients();
        let owes_answers = clients == 0 && self.drain.is_leaving() && self.peers.owes_answers();
        self.drain.poll(self.now.instant, clients, owes_answers)
    }

    /// Leaves its state to a successor and then frees the port for it; says nothing more unasked. Who waits to be
    /// accepted is taken in first, as closing the listener would reset them, unless another worker accepts them.
    fn stop_accepting(&mut self) {
        self.peers.leave(self.now, self.manner != Manner::Whole);
        if let Some(file) = &self.state_file
            && let Some(snapshot) = self.peers.snapshot(self.now)
        {
            file.leave_behind(&snapshot);
        }
        if let Some(listener) = &mut self.listener
            && self.manner != (Manner::Alone { is_last: false })
        {
            listener.has_waiting = true;
            self.accept(usize::MAX);
        }
        if let Some(listener) = self.listener.take() {
            listener.close(self.poll.registry());
        }
        self.standby = None;
        self.deadlines.set(Due::Accept, None);
        self.deadlines.set(Due::Notify, None);
    }
}

fn begin_pause(listener: &mut Listener, why: &io::Error) {
    listener.has_waiting = false;
    // Said once, until all who waited have been accepted.
    if !std::mem::replace(&mut listener.is_paused, true) {
        error!(
            "Accepting connections paused: {why}. Raise the limit on open files (ulimit -n) to serve more"
        );
    }
}

fn end_pause(listener: &mut Listener) {
    if std::mem::take(&mut listener.is_paused) {
        info!("Accepting connections again");
    }
}

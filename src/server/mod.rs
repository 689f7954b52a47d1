//! The room that moves bytes: mio, sockets, and the one reading of the clock. `Server` owns the poll and takes turns.
//!
//! A turn: **receive** what has come, into memory only; **keep time**; **settle**, which alone writes to sockets and
//! removes connections; **advance** the drain, which alone ends the process. Never sleep on unfinished work.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use log::{Level, error, info, log, warn};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use thiserror::Error;

use crate::config::Config;
use crate::policy::deadlines::{Deadlines, Due};
use crate::policy::drain::{Drain, Outcome, Step};
use crate::policy::history::HistoryLimits;
use crate::server::clock::Now;
use crate::server::control::{Control, Controls};
use crate::server::limits::Limits;
use crate::server::listener::{Accepted, Listener};
use crate::server::peers::{Peers, Terms};
use crate::server::state_file::StateFile;
use crate::wire::websocket::Rules;

pub mod clock;
pub mod connection;
pub mod control;
pub mod limits;
mod listener;
pub mod peers;
mod routes;
mod site;
pub mod socket;
mod state_file;

pub use control::Handle;
pub use listener::ListenError;
pub use peers::Service;
pub use routes::Publishers;

const CONTROLS: Token = Token(0);
const SIGNALS: Token = Token(1);
const LISTENER: Token = Token(2);
/// A connection's token is its key beyond this.
const FIRST_PEER: usize = 3;

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
    /// None once leaving.
    listener: Option<Listener>,
    address: SocketAddr,
    peers: Peers<TcpStream>,
    deadlines: Deadlines,
    drain: Drain,
    notify_interval: Option<Duration>,
    state_file: Option<StateFile>,
    /// Read once per turn.
    now: Now,
}

impl Server {
    /// Binds the address and listens; serving begins with `run`.
    ///
    /// # Errors
    /// A message that names the act, the address and the mend.
    pub fn bind(config: &Config, service: Service) -> Result<Self, StartError> {
        let mut listener = Listener::bind(&config.host, config.port, config.backlog)?;
        let poll = Poll::new()?;
        let controls = Controls::new(poll.registry(), CONTROLS)?;
        listener.register(poll.registry(), LISTENER)?;
        let (address, now) = (listener.address()?, Now::read());
        let notify_interval = config.notify_interval.0.filter(|_| service == Service::Notifications);
        let mut deadlines = Deadlines::default();
        deadlines.set(Due::Notify, notify_interval.map(|interval| now + interval));
        Ok(Self {
            poll,
            controls,
            listener: Some(listener),
            address,
            peers: Peers::new(terms(config, service, address)),
            deadlines,
            drain: Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval),
            notify_interval,
            state_file: config.state_file.as_deref().map(StateFile::new),
            now,
        })
    }

    /// Goes on where the process before this one stopped, if it has left its state. To be asked once the port is this
    /// one's: until then the other may still publish.
    pub fn take_over(&mut self) {
        let Some(file) = &self.state_file else { return };
        match file.take() {
            Ok(snapshot) => {
                info!("Going on behind publication {} of {}", snapshot.newest, file.path().display());
                self.peers.restore(snapshot, self.now);
            }
            Err(why) => warn!("Starting a new history: {}: {why}", file.path().display()),
        }
    }

    /// The address listened on, with the port that was taken for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// To end it from another thread.
    pub fn handle(&self) -> Handle {
        self.controls.handle()
    }

    /// Lets SIGTERM and SIGINT end it.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub fn take_signals(&mut self) -> Result<(), StartError> {
        Ok(self.controls.take_signals(self.poll.registry(), SIGNALS)?)
    }

    /// Serves until it is told to leave and the last client has left, or time runs out.
    ///
    /// # Errors
    /// Only if the poll itself fails.
    pub fn run(mut self) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.receive(&mut events)?;
            self.keep_time();
            self.peers.settle(self.now);
            if let Some(outcome) = self.advance() {
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
                Token(peer) => self.peers.on_ready(peer - FIRST_PEER, self.now),
            }
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
                Control::Leave => self.drain.signal(self.now.instant),
            }
        }
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
    fn advance(&mut self) -> Option<Outcome> {
        while let Some(step) = self.drain.poll(self.now.instant, self.peers.clients()) {
            log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{step}");
            match step {
                Step::Initiated => self.stop_accepting(),
                Step::TimedOut { .. } | Step::Insisted { .. } => self.peers.say_farewell(self.now),
                Step::Complete(outcome) => return Some(outcome),
                Step::SignalReceived | Step::Waiting { .. } | Step::AllClosed => {}
            }
        }
        None
    }

    /// Leaves its state to a successor and then frees the port for it; says nothing more unasked. Who waits to be
    /// accepted is taken in first: closing the listener would reset them.
    fn stop_accepting(&mut self) {
        self.peers.leave(self.now);
        if let Some(file) = &self.state_file
            && let Err(why) = file.write(&self.peers.snapshot(self.now))
        {
            error!("The history is lost to a successor: cannot write {}: {why}", file.path().display());
        }
        if let Some(listener) = &mut self.listener {
            listener.has_waiting = true;
        }
        self.accept(usize::MAX);
        self.listener = None;
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

fn terms(config: &Config, service: Service, address: SocketAddr) -> Terms {
    let limits = Limits {
        handshake: config.handshake_timeout,
        keep_alive: config.timeout_keep_alive,
        ping_interval: config.ws_ping_interval.0,
        ping_timeout: config.ws_ping_timeout.0,
        write: config.write_timeout,
        outbox_bytes: config.outbox_limit,
        rules: Rules { max_message_bytes: config.ws_max_size, binary: service == Service::Echo },
    };
    // The standard library seeds its hashers from the system's randomness.
    let random = RandomState::new().hash_one(());
    Terms {
        service,
        limits,
        concurrency: config.limit_concurrency,
        epoch: (random >> 32) as u32,
        history: HistoryLimits {
            publications: config.history_size,
            bytes: config.history_bytes,
            age: config.history_ttl,
        },
        publishers: match &config.publish_token {
            Some(token) => Publishers::WithToken(token.clone()),
            None if address.ip().is_loopback() => Publishers::Local,
            None => Publishers::Nobody,
        },
        max_publish_bytes: config.max_publish_size,
    }
}

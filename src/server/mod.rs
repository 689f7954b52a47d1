//! The room that moves bytes: mio, sockets, and the one reading of the clock. `Server` owns the poll and takes turns.
//!
//! A turn: **receive** what has come, into memory only; **keep time**; **settle**, which alone writes to sockets and
//! removes connections; **advance** the drain, which alone ends the process. Never sleep on unfinished work.

use std::io::{self, ErrorKind};
use std::time::Duration;

use log::warn;
use mio::{Events, Interest, Poll, Token};
use thiserror::Error;

use crate::config::Config;
use crate::policy::deadlines::{Deadlines, Due, next_in_period};
use crate::policy::drain::{Drain, Outcome};
use crate::policy::heard::{Heard, Look};
use crate::server::clock::Now;
use crate::server::control::{Control, Controls, Signals};
use crate::server::descriptors::Descriptors;
use crate::server::exhaustion::with_mend;
use crate::server::leaving::Manner;
use crate::server::listener::{Accepted, Listener, Round};
use crate::server::listening::Listening;
use crate::server::log_pace::LogPace;
use crate::server::peers::upstream::Upstream;
use crate::server::peers::{News, Peers};
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::terms::terms;

mod access;
mod authority;
pub mod clock;
pub mod connection;
pub mod control;
mod descriptors;
pub mod exhaustion;
mod leaving;
pub mod limits;
mod link;
mod listener;
pub mod listening;
pub mod log_pace;
pub mod order;
pub mod peers;
mod process;
pub mod relay;
mod routes;
mod site;
pub mod socket;
pub mod state_file;
pub mod terms;

pub use access::{Access, Reach};
pub use control::Handle;
pub use leaving::Watched;
pub use listening::{Address, ListenError};
pub use routes::Door;
pub use terms::Service;

const CONTROLS: Token = Token(0);
const SIGNALS: Token = Token(1);
const LISTENER: Token = Token(2);
const SUPERVISOR: Token = Token(3);
const ADMIN: Token = Token(4);
/// A connection's token is its key beyond this.
const FIRST_PEER: usize = 5;

/// As many as can be answered in one turn: with more, a crowd that leaves at once piles up answers, and the memory for
/// them stays.
const EVENTS_PER_TURN: usize = 128;
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
    #[error("cannot set up the event loop: {why}", why = with_mend(.0))]
    Poll(#[from] io::Error),
}

/// One listening process: the only owner of the poll.
pub struct Server {
    poll: Poll,
    controls: Controls,
    /// None before a worker may serve, and once leaving.
    listener: Option<Listener>,
    /// Where operators come in: until the process ends, or another worker lets them in.
    admin: Option<Listener>,
    /// What a worker will listen on once it has heard all that was published.
    standby: Option<Listening>,
    address: Address,
    peers: Peers<Stream>,
    deadlines: Deadlines,
    /// No peer is judged by a later time.
    heard: Heard,
    drain: Drain,
    manner: Manner,
    log_pace: LogPace,
    descriptors: Descriptors,
    /// How many may wait to be accepted.
    backlog: usize,
    notify_interval: Option<Duration>,
    state_file: Option<StateFile>,
    /// Read once per turn.
    now: Now,
}

impl Server {
    /// Binds the address of the configuration and listens; serving begins with `run`.
    ///
    /// # Errors
    /// A message that names the act, the address and the mend.
    pub fn bind(config: &Config, service: Service) -> Result<Self, StartError> {
        Self::over(Listening::bind(&config.host, config.port, config.backlog, false)?, None, config, service)
    }

    /// Listens on a socket that is there already, and on one for operators, if there is one.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn over(
        listening: Listening,
        admin: Option<Listening>,
        config: &Config,
        service: Service,
    ) -> Result<Self, StartError> {
        let mut server = Self::new(listening, admin, config, service, None)?;
        server.notify_interval = config.notify_interval.0.filter(|_| service == Service::Notifications);
        let first = server.notify_interval.map(|interval| server.now + interval);
        server.deadlines.set(Due::Notify, first);
        server.serve()?;
        Ok(server)
    }

    /// One of several workers: it serves once its supervisor says so.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn worker(
        listening: Listening,
        admin: Option<Listening>,
        supervisor: Stream,
        config: &Config,
    ) -> Result<Self, StartError> {
        let mut server = Self::new(listening, admin, config, Service::Notifications, Some(supervisor))?;
        // The supervisor has waited already.
        server.drain = Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval);
        Ok(server)
    }

    fn new(
        listening: Listening,
        admin: Option<Listening>,
        config: &Config,
        service: Service,
        supervisor: Option<Stream>,
    ) -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let terms = terms(config, service, listening.address(), admin.as_ref().map(Listening::address));
        let controls = Controls::new(poll.registry(), CONTROLS)?;
        let register = |mut socket: Stream| {
            poll.registry().register(&mut socket, SUPERVISOR, Interest::READABLE | Interest::WRITABLE)?;
            io::Result::Ok(Upstream::new(socket))
        };
        let mut peers = Peers::new(terms, supervisor.map(register).transpose()?);
        let now = Now::read();
        peers.on_start(now);
        Ok(Self {
            controls,
            listener: None,
            address: listening.address().clone(),
            peers,
            admin: admin.map(|admin| Listener::new(admin, poll.registry(), ADMIN)).transpose()?,
            standby: Some(listening),
            deadlines: Deadlines::default(),
            heard: Heard::new(now.instant),
            drain: Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval)
                .delayed(config.drain_delay),
            manner: Manner::Whole,
            log_pace: LogPace::default(),
            descriptors: Descriptors::read(),
            // That of an inherited socket may be another, and is this much unless somebody has seen to it
            // (/proc/sys/net/core/somaxconn).
            backlog: usize::from(config.backlog).max(4096),
            notify_interval: None,
            state_file: None,
            now,
            poll,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        if let Some(listening) = self.standby.take() {
            self.listener = Some(Listener::new(listening, self.poll.registry(), LISTENER)?);
        }
        Ok(())
    }

    /// Goes on where the process before this one stopped, if it has left its state, and leaves its own there. To be
    /// asked once the port is this one's: until then the other may still publish.
    ///
    /// # Errors
    /// When no state can be left there.
    pub fn take_over(&mut self, state_file: StateFile) -> Result<(), StateFileError> {
        if let Some(snapshot) = state_file.take_up()? {
            self.peers.restore(snapshot, self.now);
        }
        self.state_file = Some(state_file);
        Ok(())
    }

    /// The address listened on, with the port that was taken for port 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// To end it from another thread.
    pub fn handle(&self) -> Handle {
        self.controls.handle()
    }

    /// Lets the signals that were taken end it, also those that have come since.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn obey_signals(&mut self, signals: Signals) -> Result<(), StartError> {
        Ok(self.controls.listen_to(signals, self.poll.registry(), SIGNALS)?)
    }

    /// Serves until it is told to leave and the last client has left, or time runs out. `watch` is told of every
    /// step on that way.
    ///
    /// # Errors
    /// Only if the poll itself fails.
    pub fn run(mut self, mut watch: impl FnMut(Watched<'_>)) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.receive(&mut events)?;
            self.keep_time(&mut watch);
            self.peers.settle(self.now);
            if let Some(outcome) = self.advance(&mut watch) {
                self.peers.abandon();
                return Ok(outcome);
            }
            self.peers.on_turn_end(self.now, self.now.end_of_turn());
        }
    }

    /// Takes what has come: bytes, newcomers, and orders to leave. Memory only.
    fn receive(&mut self, events: &mut Events) -> io::Result<()> {
        self.deadlines.set(Due::Log, self.log_pace.flush(self.now.instant));
        self.deadlines.set(Due::Sweep, self.peers.next_sweep());
        self.deadlines.set(Due::Close, self.peers.next_closing());
        self.deadlines.set(Due::Shrink, self.peers.next_shrink());
        self.deadlines.set(Due::Link, self.peers.next_retry());
        let began = self.now.instant;
        match self.poll.poll(events, self.patience()) {
            Ok(()) => {
                let look = Look { began, events: events.iter().count(), most: EVENTS_PER_TURN };
                self.heard.on_look(look, FIRST_PEER + self.peers.connections());
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        self.now = Now::read();
        self.peers.read_unread(self.now);
        for event in &*events {
            match event.token() {
                CONTROLS | SIGNALS => self.obey(),
                LISTENER => self.listener.iter_mut().for_each(Listener::on_waiting),
                ADMIN => self.admin.iter_mut().for_each(Listener::on_waiting),
                SUPERVISOR => self.peers.on_supervisor_ready(),
                Token(peer) => {
                    let is_ended = event.is_read_closed() || event.is_error();
                    let news = match () {
                        () if is_ended => News::End,
                        () if event.is_readable() => News::Bytes,
                        () => News::Room,
                    };
                    self.peers.on_event(peer - FIRST_PEER, news, event.is_writable(), self.now);
                }
            }
        }
        for instruction in self.peers.hear_supervisor(self.now) {
            self.follow(instruction)?;
        }
        if self.peers.take_wish_to_leave() {
            self.drain.ask(self.now.instant);
        }
        self.accept(Door::Public, ACCEPTS_PER_TURN);
        self.accept(Door::Admin, ACCEPTS_PER_TURN);
        Ok(())
    }

    /// How long to sleep. Measured from the last reading of the clock, so late by that turn's length at most.
    fn patience(&self) -> Option<Duration> {
        let mut listeners = self.listener.iter().chain(&self.admin);
        if self.peers.has_work() || listeners.any(|listener| listener.has_waiting) {
            return Some(Duration::ZERO);
        }
        let deadlines = self.deadlines.earliest().into_iter().chain(self.drain.deadline());
        deadlines.min().map(|deadline| deadline.saturating_duration_since(self.now.instant))
    }

    fn obey(&mut self) {
        for control in self.controls.take() {
            match control {
                // A worker's signals are the supervisor's to answer: others may have been sent them, too.
                Control::Leave if self.peers.ask_how_to_leave() => {}
                Control::Leave => self.drain.signal(self.now.instant),
                // Sent to all processes at once: the supervisor has been sent it, too.
                Control::Reload if self.peers.has_supervisor() => {}
                Control::Reload => warn!(
                    "Cannot reload: a server of one process has nobody to replace it. Restart it, or start it with --workers 2"
                ),
            }
        }
    }

    fn accept(&mut self, door: Door, most: usize) {
        let listener = match door {
            Door::Public => &mut self.listener,
            Door::Admin => &mut self.admin,
        };
        let Some(listener) = listener.as_mut().filter(|listener| listener.has_waiting) else { return };
        let mut round = Round::of(most);
        let room = self.descriptors.room(door);
        let why = loop {
            if self.peers.connections() >= room {
                break io::Error::from_raw_os_error(libc::EMFILE);
            }
            let admitted = match listener.accept(&mut round) {
                Accepted::Peer(mut socket) => self.peers.admit_by(door, self.now, |key| {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut socket, Token(FIRST_PEER + key), interest)?;
                    Ok(socket)
                }),
                Accepted::Nobody => return listener.end_pause(),
                Accepted::Enough => return,
                Accepted::Exhausted(e) => break e,
            };
            match admitted {
                // Its request is mostly there already, and need not wait for the next turn; when the server is about to
                // leave, it must.
                Ok(key) if !self.drain.is_leaving() => self.peers.on_event(key, News::Bytes, false, self.now),
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        listener.begin_pause(&why);
        self.deadlines.set(Due::Accept, Some(self.now + ACCEPT_PAUSE));
    }

    fn keep_time(&mut self, watch: &mut impl FnMut(Watched<'_>)) {
        let heard_until = self.heard.until();
        while let Some((due, at)) = self.deadlines.take_due(self.now.instant) {
            match (due, self.notify_interval) {
                // What has arrived is read first: they are due again in the next turn, which does not sleep.
                (Due::Sweep | Due::Close, _) if at > heard_until => {}
                (Due::Sweep, _) => self.peers.sweep(self.now, heard_until),
                // Whatever woke the loop, the log is looked after before it sleeps again; the link was, when it woke.
                (Due::Log | Due::Link, _) => {}
                (Due::Close, _) => self.peers.close_the_unmoved(self.now, heard_until),
                (Due::Shrink, _) => {
                    self.peers.shrink();
                    watch(Watched::Shrunk);
                }
                (Due::Accept, _) => {
                    self.listener.iter_mut().chain(&mut self.admin).for_each(|l| l.has_waiting = true);
                }
                (Due::Notify, None) => {}
                (Due::Notify, Some(interval)) => {
                    self.peers.publish_periodic(self.now);
                    let next = next_in_period(at, interval, self.now.instant);
                    self.deadlines.set(Due::Notify, Some(next));
                }
            }
        }
    }
}

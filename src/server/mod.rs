//! The room that moves bytes: mio, sockets, and the one reading of the clock. `Server` owns the poll, the listeners and
//! the state file, and does what its `Turn` cannot: sleep, accept, and perform effects.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use log::{Level, log};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use thiserror::Error;

use crate::config::Config;
use crate::http::routes::Door;
use crate::policy::drain::{Drain, Outcome, Step};
use crate::policy::heard::Look;
use crate::server::acceptor::{Accepted, Acceptor, Round};
use crate::server::bound_socket::BoundSocket;
use crate::server::clock::Now;
use crate::server::control::{Controls, Signals};
use crate::server::descriptors::Descriptors;
use crate::server::exhaustion::with_mend;
use crate::server::log_pace::LogPace;
use crate::server::peers::Readiness;
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::terms::terms;
use crate::server::turn::{Effect, Ready, Turn};

mod acceptor;
pub mod bound_socket;
pub mod clock;
pub mod connection;
pub mod control;
mod descriptors;
pub mod exhaustion;
mod footprint;
pub mod limits;
mod link;
pub mod log_pace;
pub mod order;
pub mod peers;
pub mod question;
pub mod relay;
pub mod socket;
pub mod state_file;
pub mod terms;
pub mod turn;

pub use bound_socket::{Address, ListenError};
pub use control::Handle;
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
    listener: Option<Acceptor>,
    /// Where operators come in: until the process ends, or another worker lets them in.
    admin: Option<Acceptor>,
    /// What a worker will listen on once it has heard all that was published.
    standby: Option<BoundSocket>,
    /// The end of a pause in accepting.
    accept_at: Option<Instant>,
    address: Address,
    turn: Turn<Stream>,
    log_pace: LogPace,
    descriptors: Descriptors,
    /// How many may wait to be accepted.
    backlog: usize,
    state_file: Option<StateFile>,
}

/// What the caller of `run` may watch.
#[derive(Debug)]
pub enum Watched<'a> {
    /// What it does next.
    Step(&'a Step),
    /// At the end of a turn, while it leaves.
    Turn {
        /// Clients that are left.
        clients: usize,
        /// Until they are waited for no longer.
        remaining: Duration,
    },
    /// Memory was freed, which the allocator may still keep.
    Trim,
}

impl Server {
    /// Binds the address of the configuration and listens; serving begins with `run`.
    ///
    /// # Errors
    /// A message that names the act, the address and the mend.
    pub fn bind(config: &Config, service: Service) -> Result<Self, StartError> {
        Self::over(
            BoundSocket::bind(&config.host, config.port, config.backlog, false)?,
            None,
            config,
            service,
        )
    }

    /// Listens on a socket that is there already, and on one for operators, if there is one.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn over(
        socket: BoundSocket,
        admin: Option<BoundSocket>,
        config: &Config,
        service: Service,
    ) -> Result<Self, StartError> {
        let mut server = Self::new(socket, admin, config, service, None)?;
        server.turn.notify_every(config.notify_interval.0.filter(|_| service == Service::Notifications));
        server.listen()?;
        Ok(server)
    }

    /// One of several workers: it serves once its supervisor says so.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn worker(
        socket: BoundSocket,
        admin: Option<BoundSocket>,
        supervisor: Stream,
        config: &Config,
    ) -> Result<Self, StartError> {
        Self::new(socket, admin, config, Service::Notifications, Some(supervisor))
    }

    fn new(
        socket: BoundSocket,
        admin: Option<BoundSocket>,
        config: &Config,
        service: Service,
        mut supervisor: Option<Stream>,
    ) -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let terms = terms(config, service, socket.address(), admin.as_ref().map(BoundSocket::address));
        let controls = Controls::new(poll.registry(), CONTROLS)?;
        if let Some(link) = &mut supervisor {
            poll.registry().register(link, SUPERVISOR, Interest::READABLE | Interest::WRITABLE)?;
        }
        let drain = Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval);
        // A worker's supervisor has waited already.
        let drain = if supervisor.is_none() { drain.delayed(config.drain_delay) } else { drain };
        Ok(Self {
            controls,
            listener: None,
            address: socket.address().clone(),
            admin: admin.map(|admin| Acceptor::new(admin, poll.registry(), ADMIN)).transpose()?,
            standby: Some(socket),
            accept_at: None,
            turn: Turn::new(terms, supervisor, drain, Now::read()),
            log_pace: LogPace::default(),
            descriptors: Descriptors::read(),
            // That of an inherited socket may be another, and is this much unless somebody has seen to it
            // (/proc/sys/net/core/somaxconn).
            backlog: usize::from(config.backlog).max(4096),
            state_file: None,
            poll,
        })
    }

    fn listen(&mut self) -> io::Result<()> {
        if let Some(socket) = self.standby.take() {
            self.listener = Some(Acceptor::new(socket, self.poll.registry(), LISTENER)?);
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
            self.turn.restore(snapshot);
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
            self.accept(Door::Public, ACCEPTS_PER_TURN);
            self.accept(Door::Admin, ACCEPTS_PER_TURN);
            while let Some(effect) = self.turn.poll() {
                if let Some(outcome) = self.perform(effect, &mut watch)? {
                    return Ok(outcome);
                }
            }
            let now = self.turn.now();
            if let Some(limit) = self.turn.limit() {
                let remaining = limit.saturating_duration_since(now.instant);
                watch(Watched::Turn { clients: self.turn.clients(), remaining });
            }
            self.turn.end(now.end_of_turn());
        }
    }

    /// Sleeps until something has come or is due, and begins the turn with it.
    fn receive(&mut self, events: &mut Events) -> io::Result<()> {
        let (timeout, began) = (self.next_timeout(), self.turn.now().instant);
        match self.poll.poll(events, timeout) {
            Ok(()) => {
                let look = Look { began, events: events.iter().count(), most: EVENTS_PER_TURN };
                self.turn.on_look(look, FIRST_PEER + self.turn.connections());
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        let now = Now::read();
        if self.accept_at.take_if(|at| *at <= now.instant).is_some() {
            self.listener.iter_mut().chain(&mut self.admin).for_each(Acceptor::try_again);
        }
        let has_come = |token| events.iter().any(|event| event.token() == token);
        self.listener.iter_mut().filter(|_| has_come(LISTENER)).for_each(Acceptor::on_waiting);
        self.admin.iter_mut().filter(|_| has_come(ADMIN)).for_each(Acceptor::on_waiting);
        let controls = if has_come(CONTROLS) || has_come(SIGNALS) { self.controls.take() } else { vec![] };
        self.turn.handle(events.iter().filter_map(ready), controls, now);
        Ok(())
    }

    /// How long to sleep: until somebody waits, or anything is due.
    fn next_timeout(&mut self) -> Option<Duration> {
        let now = self.turn.now().instant;
        let log_at = self.log_pace.flush(now);
        if self.listener.iter().chain(&self.admin).any(|listener| listener.has_waiting) {
            return Some(Duration::ZERO);
        }
        let own = self.accept_at.into_iter().chain(log_at).map(|at| at.saturating_duration_since(now));
        own.chain(self.turn.next_timeout()).min()
    }

    /// Does what the turn cannot do; with the last step of the drain, all is done.
    fn perform(
        &mut self,
        effect: Effect,
        watch: &mut impl FnMut(Watched<'_>),
    ) -> io::Result<Option<Outcome>> {
        match effect {
            Effect::Accept => self.listen()?,
            Effect::Step(step) => {
                log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{step}");
                watch(Watched::Step(&step));
                if let Step::Complete(outcome) = step {
                    return Ok(Some(outcome));
                }
            }
            Effect::LeaveState => {
                if let Some(file) = &self.state_file
                    && let Some(snapshot) = self.turn.snapshot()
                {
                    file.leave_behind(&snapshot);
                }
            }
            Effect::StopAccepting { admits_waiting, with_admin } => {
                self.stop_accepting(admits_waiting, with_admin);
            }
            Effect::CloseAdmin => {
                if let Some(door) = self.admin.take() {
                    door.close(self.poll.registry());
                }
            }
            Effect::Trim => watch(Watched::Trim),
        }
        Ok(None)
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
            if self.turn.connections() >= room {
                break io::Error::from_raw_os_error(libc::EMFILE);
            }
            let admitted = match listener.accept(&mut round) {
                Accepted::Peer(mut socket) => self.turn.admit(door, |key| {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut socket, Token(FIRST_PEER + key), interest)?;
                    Ok(socket)
                }),
                Accepted::Nobody => return listener.end_pause(),
                Accepted::Enough => return,
                Accepted::Exhausted(e) => break e,
            };
            if let Err(e) = admitted {
                break e;
            }
        };
        listener.begin_pause(&why);
        self.accept_at = Some(self.turn.now() + ACCEPT_PAUSE);
    }

    /// Stops listening. Later connections find the port closed.
    fn stop_accepting(&mut self, admits_waiting: bool, with_admin: bool) {
        if let Some(listener) = self.listener.as_mut().filter(|_| admits_waiting) {
            listener.has_waiting = true;
            self.accept(Door::Public, self.backlog + 1);
        }
        let admin = self.admin.take_if(|_| with_admin);
        for listener in self.listener.take().into_iter().chain(admin) {
            listener.close(self.poll.registry());
        }
        (self.standby, self.accept_at) = (None, None);
    }
}

/// What an event says about a peer, or the supervisor.
fn ready(event: &Event) -> Option<Ready> {
    match event.token() {
        CONTROLS | SIGNALS | LISTENER | ADMIN => None,
        SUPERVISOR => Some(Ready::Supervisor),
        Token(peer) => {
            let is_ended = event.is_read_closed() || event.is_error();
            let readiness = match () {
                () if is_ended => Readiness::End,
                () if event.is_readable() => Readiness::Bytes,
                () => Readiness::Room,
            };
            Some(Ready::Peer { key: peer - FIRST_PEER, readiness, has_room: event.is_writable() })
        }
    }
}

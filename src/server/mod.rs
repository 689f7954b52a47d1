//! The room that moves bytes: mio, sockets, and the one reading of the clock. `Server` owns the poll, the doors and
//! the state file, and does what its `Turn` cannot: sleep, accept, and perform effects.

use std::io::{self, ErrorKind};
use std::time::Duration;

use log::{Level, log};
use mio::{Events, Interest, Poll, Token};
use thiserror::Error;

use crate::config::Config;
use crate::http::door::Door;
use crate::policy::drain::{Drain, Outcome, Step};
use crate::policy::heard::Look;
use crate::server::bound_socket::BoundSocket;
use crate::server::certificate::CertificateError;
use crate::server::clock::Now;
use crate::server::control::{Controls, Signals};
use crate::server::doors::Doors;
use crate::server::engine::dial::{self, Dialer};
use crate::server::entrances::Entrances;
use crate::server::exhaustion::with_mend;
use crate::server::handover::{Means, Park, Share, Succession};
use crate::server::key_file::KeyFileError;
use crate::server::log_pace::LogPace;
use crate::server::lookout::Lookout;
use crate::server::socket::Stream;
use crate::server::state_file::{StateFile, StateFileError};
use crate::server::terms::terms;
use crate::server::transport::Transport;
use crate::server::turn::{Effect, Turn};

mod acceptor;
pub mod address;
pub mod bound_socket;
#[cfg_attr(not(feature = "tls"), path = "certificate/absent.rs")]
pub mod certificate;
pub mod clock;
pub mod connection;
pub mod control;
pub mod descriptors;
mod dialling;
mod doors;
pub mod engine;
pub mod entrances;
mod event;
pub mod exhaustion;
#[cfg(test)]
pub(crate) mod far_end;
mod footprint;
pub mod handover;
pub mod key_file;
pub mod limits;
mod link;
pub mod log_pace;
pub mod lookout;
pub mod order;
pub mod peers;
pub mod prospect;
pub mod question;
pub mod regular_file;
pub mod relay;
#[cfg(feature = "tls")]
pub mod secured;
pub mod socket;
mod socket_file;
pub mod state_file;
pub mod terms;
pub mod ticket_secret;
#[cfg(feature = "tls")]
pub mod tls_client;
pub mod transport;
pub mod turn;
pub mod watch;
pub mod webroot;

pub use address::Address;
pub use bound_socket::ListenError;
pub use control::Handle;
pub use terms::Service;

const CONTROLS: Token = Token(0);
const SIGNALS: Token = Token(1);
const LISTENER: Token = Token(2);
const SUPERVISOR: Token = Token(3);
const ADMIN: Token = Token(4);
const SUCCESSOR: Token = Token(5);
const SUCCESSORS: Token = Token(6);
const REDIRECT: Token = Token(7);
/// The first of the engine's.
const ENGINE: usize = 8;
/// A connection's token is its key beyond this.
const FIRST_PEER: usize = ENGINE + dial::TOKENS;

/// As many as can be answered in one turn: with more, a crowd that leaves at once piles up answers, and the memory for
/// them stays.
const EVENTS_PER_TURN: usize = 128;

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No listening socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No poll, no waker or no signals: the machine is out of something.
    #[error("cannot set up the event loop: {why}", why = with_mend(.0))]
    Poll(#[from] io::Error),
    /// No keys for tokens.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// One listening process: the only owner of the poll.
pub struct Server {
    poll: Poll,
    controls: Controls,
    doors: Doors,
    address: Address,
    turn: Turn<Transport<Stream>>,
    log_pace: LogPace,
    state_file: Option<StateFile>,
    lookout: Lookout,
    succession: Succession,
    share: Option<Share>,
    park: Park,
    /// To the engine, where this process is a whole machine.
    dialer: Option<Dialer>,
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
    /// All is another process's now, but for those who could not be moved.
    HandedOver,
    /// So many connections are the next start's now, and so is everything else; those who could not be parked have a moment.
    Parked(usize),
    /// Memory was freed, which the allocator may still keep.
    Trim,
}

impl Server {
    /// Binds the address of the configuration and listens; serving begins with `run`.
    ///
    /// # Errors
    /// A message that names the act, the address and the mend.
    pub fn bind(config: &Config, service: Service) -> Result<Self, StartError> {
        let bound = BoundSocket::bind(&config.host, config.port, config.backlog, false)?;
        Self::over(bound.into(), config, service)
    }

    /// Listens on sockets that are there already.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn over(entrances: Entrances, config: &Config, service: Service) -> Result<Self, StartError> {
        let mut server = Self::new(entrances, config, service, None)?;
        server.turn.notify_every(config.notify_interval.0.filter(|_| service == Service::Notifications));
        server.share_order(config)?;
        server.doors.open(server.poll.registry())?;
        Ok(server)
    }

    /// One of several workers: it serves once its supervisor says so.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn worker(
        entrances: Entrances,
        supervisor: Stream,
        means: Means,
        config: &Config,
    ) -> Result<Self, StartError> {
        let mut server = Self::new(entrances, config, Service::Notifications, Some(supervisor))?;
        let share = Share::new(means, server.poll.registry())?;
        if share.takes_up() {
            server.turn.take_up_first();
        }
        server.share = Some(share);
        Ok(server)
    }

    fn new(
        entrances: Entrances,
        config: &Config,
        service: Service,
        mut supervisor: Option<Stream>,
    ) -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let now = Now::read();
        let (keys, lookout) = Lookout::begin(config, now)?;
        let address = entrances.public.address().clone();
        let admin = entrances.admin.as_ref().map(BoundSocket::address);
        let terms = terms(config, service, &address, admin, keys);
        let controls = Controls::new(poll.registry(), CONTROLS)?;
        if let Some(link) = &mut supervisor {
            poll.registry().register(link, SUPERVISOR, Interest::READABLE | Interest::WRITABLE)?;
        }
        let drain = Drain::new(config.timeout_graceful_shutdown, config.drain_check_interval);
        let undelayed = drain.clone();
        // A worker's supervisor has waited already.
        let drain = if supervisor.is_none() { drain.delayed(config.drain_delay) } else { drain };
        let mut doors = Doors::new(entrances, config.backlog, poll.registry())?;
        let mut turn = Turn::new(terms, supervisor.map(Transport::from), drain, now);
        lookout.secure(&mut turn, &mut doors);
        Ok(Self {
            controls,
            address,
            doors,
            turn,
            log_pace: LogPace::default(),
            state_file: None,
            lookout,
            succession: Succession::new(config.handover.handover_timeout, undelayed),
            share: None,
            park: Park::default(),
            dialer: None,
            poll,
        })
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

    /// Leaves its state there when it leaves.
    pub fn leave_state_in(&mut self, state_file: StateFile) {
        self.state_file = Some(state_file);
    }

    /// The address listened on, with the port that was taken for port 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address of another door, if there is one.
    pub fn address_of(&self, door: Door) -> Option<&Address> {
        self.doors.listening().find(|(of, _)| *of == door).map(|(_, bound)| bound.address())
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
            if self.turn.may_accept() {
                self.doors.accept(&mut self.turn, self.poll.registry());
            }
            while let Some(effect) = self.turn.poll() {
                if let Some(outcome) = self.perform(effect, &mut watch)? {
                    return Ok(outcome);
                }
            }
            match self.hand_over() {
                Some(0) => return Ok(Outcome::Drained),
                Some(_) => watch(Watched::HandedOver),
                None => {}
            }
            if let Some(parted) = self.park() {
                watch(Watched::Parked(parted.parked));
                if parted.left == 0 {
                    return Ok(Outcome::Drained);
                }
            }
            if let Some(outcome) = self.take_parts_or_end().or_else(|| self.look_at_moved()) {
                return Ok(outcome);
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
        self.lookout.look(now, &mut self.turn, &mut self.doors);
        let has_come = |token| events.iter().any(|event| event.token() == token);
        self.doors.on_events(has_come, now.instant);
        self.on_successors(has_come, now);
        let has_found = events.iter().any(|event| Dialer::has_found(event.token(), ENGINE));
        // Until what it has taken up is served, a signal waits: it would be for the predecessor to answer.
        let may_obey = !self.takes_up();
        let has_come_to_do =
            may_obey && (has_come(CONTROLS) || has_come(SIGNALS) || self.controls.is_ahead());
        let controls = if has_come_to_do { self.controls.take() } else { vec![] };
        self.turn.handle(events.iter().filter_map(event::ready), controls, now);
        if has_found {
            self.connect_found();
        }
        Ok(())
    }

    /// How long to sleep: until somebody waits, or anything is due.
    fn next_timeout(&mut self) -> Option<Duration> {
        let now = self.turn.now().instant;
        let log_in = self.log_pace.flush(now).map(|at| at.saturating_duration_since(now));
        let files_in = self.lookout.next_look().map(|at| at.saturating_duration_since(now));
        let succession_in = self.succession.next_deadline().map(|at| at.saturating_duration_since(now));
        if self.controls.is_ahead() {
            return Some(Duration::ZERO);
        }
        let doors_in = self.doors.next_timeout(now).filter(|_| self.turn.may_accept());
        let held_in = self.held_until().map(|at| at.saturating_duration_since(now));
        let park_in = self.park.state.deadline().map(|at| at.saturating_duration_since(now));
        let timeouts =
            [doors_in, log_in, files_in, succession_in, held_in, park_in, self.turn.next_timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// Does what the turn cannot do; with the last step of the drain, all is done.
    fn perform(
        &mut self,
        effect: Effect,
        watch: &mut impl FnMut(Watched<'_>),
    ) -> io::Result<Option<Outcome>> {
        match effect {
            Effect::Accept => self.doors.open(self.poll.registry())?,
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
            Effect::StopAccepting { admits_waiting } => {
                self.doors.close(admits_waiting, &mut self.turn, self.poll.registry());
            }
            Effect::RestAdmin => self.doors.rest_admin(self.poll.registry()),
            Effect::OpenAdmin => self.doors.open_admin(self.poll.registry())?,
            Effect::CloseAdmin => self.doors.close_admin(self.poll.registry()),
            Effect::Park => self.park.state.signal(self.turn.now().instant),
            Effect::HandOver => self.launch_successor(),
            Effect::Move { by, format } => self.move_connections(by, format),
            Effect::ParkPart { format } => self.park_part(format),
            Effect::Commit => return Ok(self.part_with_moved()),
            Effect::Resume => self.resume(),
            Effect::Vanish => return Ok(self.vanish()),
            Effect::Connect(wanted) => self.connect(wanted),
            Effect::Trim => watch(Watched::Trim),
        }
        Ok(None)
    }
}

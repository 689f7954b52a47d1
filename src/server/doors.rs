//! The doors by which peers come in: that of the clients and, if there is one, that of the operators. Accepts at each with a
//! budget, and pauses when something has run out.

use std::io;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};

use crate::http::routes::Door;
use crate::server::acceptor::{Accepted, Acceptor, Round};
use crate::server::bound_socket::BoundSocket;
use crate::server::descriptors::Descriptors;
use crate::server::socket::Stream;
use crate::server::transport::{Security, Transport};
use crate::server::turn::Turn;
use crate::server::{ADMIN, FIRST_PEER, LISTENER};

const ACCEPTS_PER_TURN: usize = 64;

/// How long accepting rests when descriptors have run out.
pub(in crate::server) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What is listened on, and what will be.
pub(super) struct Doors {
    /// None before a worker may serve, and once leaving.
    public: Option<Acceptor>,
    /// Open until the process ends, but for the time in which other workers let operators in.
    admin: Option<Acceptor>,
    /// What operators came in by, and may again.
    resting_admin: Option<BoundSocket>,
    /// What a worker will listen on once it has heard all that was published.
    standby: Option<BoundSocket>,
    /// The end of a pause in accepting.
    accept_at: Option<Instant>,
    descriptors: Descriptors,
    /// How many may wait to be accepted.
    backlog: usize,
    /// What is spoken with clients.
    security: Security,
    /// Whether it is with operators, too.
    secures_admin: bool,
}

impl Doors {
    /// Opens the operators' door; that of the clients stays closed. All other descriptors of the process are open already.
    pub(super) fn new(
        public: BoundSocket,
        admin: Option<BoundSocket>,
        backlog: u16,
        registry: &Registry,
    ) -> io::Result<Self> {
        Ok(Self {
            public: None,
            admin: admin.map(|admin| Acceptor::new(admin, registry, ADMIN)).transpose()?,
            resting_admin: None,
            standby: Some(public),
            accept_at: None,
            descriptors: Descriptors::read(),
            // That of an inherited socket may be another, and is this much unless somebody has seen to it
            // (/proc/sys/net/core/somaxconn).
            backlog: usize::from(backlog).max(4096),
            security: Security::default(),
            secures_admin: false,
        })
    }

    /// Speaks so with those who come in from now on, operators included if that is said.
    pub(super) fn secure(&mut self, security: Security, secures_admin: bool) {
        (self.security, self.secures_admin) = (security, secures_admin);
    }

    /// What is spoken with clients.
    pub(super) fn security(&self) -> &Security {
        &self.security
    }

    /// What is spoken with those who come in there.
    pub(super) fn security_at(&self, door: Door) -> Security {
        let is_secured = door == Door::Public || self.secures_admin;
        if is_secured { self.security.clone() } else { Security::default() }
    }

    /// Opens the clients' door.
    pub(super) fn open(&mut self, registry: &Registry) -> io::Result<()> {
        if let Some(socket) = self.standby.take() {
            self.public = Some(Acceptor::new(socket, registry, LISTENER)?);
        }
        Ok(())
    }

    /// Notes where somebody waits.
    pub(super) fn on_events(&mut self, has_come: impl Fn(Token) -> bool, now: Instant) {
        let is_over = self.accept_at.take_if(|at| *at <= now).is_some();
        for (door, token) in [(&mut self.public, LISTENER), (&mut self.admin, ADMIN)] {
            door.iter_mut().filter(|_| is_over).for_each(Acceptor::try_again);
            door.iter_mut().filter(|_| has_come(token)).for_each(Acceptor::on_waiting);
        }
    }

    /// How long until somebody may be accepted whom no event will announce.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Duration> {
        if self.public.iter().chain(&self.admin).any(|door| door.has_waiting) {
            return Some(Duration::ZERO);
        }
        self.accept_at.map(|at| at.saturating_duration_since(now))
    }

    /// Admits those who wait, as many as one turn has time for.
    pub(super) fn accept(&mut self, turn: &mut Turn<Transport<Stream>>, registry: &Registry) {
        self.accept_at(Door::Public, ACCEPTS_PER_TURN, turn, registry);
        self.accept_at(Door::Admin, ACCEPTS_PER_TURN, turn, registry);
    }

    fn accept_at(
        &mut self,
        door: Door,
        most: usize,
        turn: &mut Turn<Transport<Stream>>,
        registry: &Registry,
    ) {
        let security = self.security_at(door);
        let acceptor = match door {
            Door::Public => &mut self.public,
            Door::Admin => &mut self.admin,
        };
        let Some(acceptor) = acceptor.as_mut().filter(|acceptor| acceptor.has_waiting) else { return };
        let mut round = Round::of(most);
        let room = self.descriptors.room(door);
        let why = loop {
            if turn.connections() >= room {
                break io::Error::from_raw_os_error(libc::EMFILE);
            }
            let admitted = match acceptor.accept(&mut round) {
                Accepted::Peer(mut socket) => turn.admit(door, |key| {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    registry.register(&mut socket, Token(FIRST_PEER + key), interest)?;
                    Ok(security.apply(socket))
                }),
                Accepted::Nobody => return acceptor.end_pause(),
                Accepted::Enough => return,
                Accepted::Exhausted(e) => break e,
            };
            if let Err(e) = admitted {
                break e;
            }
        };
        acceptor.begin_pause(&why);
        self.accept_at = Some(turn.now() + ACCEPT_PAUSE);
    }

    /// Closes the clients' door, after those who wait there, if these are to be admitted. Later connections find the port
    /// closed.
    pub(super) fn close(
        &mut self,
        admits_waiting: bool,
        turn: &mut Turn<Transport<Stream>>,
        registry: &Registry,
    ) {
        if let Some(acceptor) = self.public.as_mut().filter(|_| admits_waiting) {
            acceptor.has_waiting = true;
            self.accept_at(Door::Public, self.backlog + 1, turn, registry);
        }
        if let Some(acceptor) = self.public.take() {
            acceptor.close(registry);
        }
        // The end of a pause stays: it may be the operators' door that pauses.
        self.standby = None;
    }

    /// Leaves operators to others who listen on the same sockets.
    pub(super) fn rest_admin(&mut self, registry: &Registry) {
        if let Some(acceptor) = self.admin.take() {
            self.resting_admin = Some(acceptor.close(registry));
        }
    }

    /// Opens the operators' door again, if it rests.
    pub(super) fn open_admin(&mut self, registry: &Registry) -> io::Result<()> {
        if let Some(socket) = self.resting_admin.take() {
            self.admin = Some(Acceptor::new(socket, registry, ADMIN)?);
        }
        Ok(())
    }

    /// What is listened on, and for whom.
    pub(super) fn listening(&self) -> impl Iterator<Item = (Door, &BoundSocket)> {
        let public = self.public.iter().map(Acceptor::bound).chain(&self.standby);
        let admin = self.admin.iter().map(Acceptor::bound).chain(&self.resting_admin);
        public.map(|bound| (Door::Public, bound)).chain(admin.map(|bound| (Door::Admin, bound)))
    }

    /// What is listened on, whatever for.
    pub(super) fn bound_mut(&mut self) -> impl Iterator<Item = &mut BoundSocket> {
        let doors = self.public.iter_mut().chain(&mut self.admin).map(Acceptor::bound_mut);
        doors.chain(&mut self.standby).chain(&mut self.resting_admin)
    }

    /// Another process listens from now on, on the same sockets.
    pub(super) fn bequeath(&mut self, registry: &Registry) {
        let doors = [self.public.take(), self.admin.take()].into_iter().flatten();
        let bound = doors.map(|door| door.close(registry));
        bound.chain(self.standby.take()).chain(self.resting_admin.take()).for_each(BoundSocket::bequeath);
        self.accept_at = None;
    }

    /// Closes the operators' door for good.
    pub(super) fn close_admin(&mut self, registry: &Registry) {
        self.rest_admin(registry);
        self.resting_admin = None;
    }
}

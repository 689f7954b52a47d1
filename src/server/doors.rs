//! The doors by which peers come in: that of the clients and, where there are such, that of the operators and that of those who are
//! redirected to HTTPS. Accepts at each with a budget, and pauses when something has run out.

use std::io;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};

use crate::http::door::Door;
use crate::server::acceptor::{Accepted, Acceptor, Round};
use crate::server::bound_socket::BoundSocket;
use crate::server::descriptors::Descriptors;
use crate::server::entrances::Entrances;
use crate::server::socket::Stream;
use crate::server::transport::{Security, Transport};
use crate::server::turn::Turn;
use crate::server::{ADMIN, FIRST_PEER, LISTENER, REDIRECT};

const ACCEPTS_PER_TURN: usize = 64;

/// How long accepting rests when descriptors have run out.
pub(in crate::server) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What is listened on, and what will be.
pub(super) struct Doors {
    /// None before a worker may serve, and once leaving.
    public: Option<Acceptor>,
    /// Open while that is: who is redirected is to find somebody.
    redirect: Option<Acceptor>,
    /// Open until the process ends, but for the time in which other workers let operators in.
    admin: Option<Acceptor>,
    /// What operators came in by, and may again.
    resting_admin: Option<BoundSocket>,
    /// What a worker will listen on once it has heard all that was published.
    standby: Option<BoundSocket>,
    /// The same for those who are redirected.
    standby_redirect: Option<BoundSocket>,
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
    /// Opens the operators' door; the others stay closed. All other descriptors of the process are open already.
    pub(super) fn new(entrances: Entrances, backlog: u16, registry: &Registry) -> io::Result<Self> {
        let Entrances { public, admin, redirect } = entrances;
        Ok(Self {
            public: None,
            redirect: None,
            admin: admin.map(|admin| Acceptor::new(admin, registry, ADMIN)).transpose()?,
            resting_admin: None,
            standby: Some(public),
            standby_redirect: redirect,
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
        let is_secured = match door {
            Door::Public => true,
            Door::Redirect => false,
            Door::Admin => self.secures_admin,
        };
        if is_secured { self.security.clone() } else { Security::default() }
    }

    /// Opens the clients' door, and that of those who are redirected to it.
    pub(super) fn open(&mut self, registry: &Registry) -> io::Result<()> {
        if let Some(socket) = self.standby.take() {
            self.public = Some(Acceptor::new(socket, registry, LISTENER)?);
        }
        if let Some(socket) = self.standby_redirect.take() {
            self.redirect = Some(Acceptor::new(socket, registry, REDIRECT)?);
        }
        Ok(())
    }

    /// Notes where somebody waits.
    pub(super) fn on_events(&mut self, has_come: impl Fn(Token) -> bool, now: Instant) {
        let is_over = self.accept_at.take_if(|at| *at <= now).is_some();
        for (door, token) in
            [(&mut self.public, LISTENER), (&mut self.redirect, REDIRECT), (&mut self.admin, ADMIN)]
        {
            door.iter_mut().filter(|_| is_over).for_each(Acceptor::try_again);
            door.iter_mut().filter(|_| has_come(token)).for_each(Acceptor::on_waiting);
        }
    }

    /// How long until somebody may be accepted whom no event will announce.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Duration> {
        if self.public.iter().chain(&self.redirect).chain(&self.admin).any(|door| door.has_waiting) {
            return Some(Duration::ZERO);
        }
        self.accept_at.map(|at| at.saturating_duration_since(now))
    }

    /// Admits those who wait, as many as one turn has time for.
    pub(super) fn accept(&mut self, turn: &mut Turn<Transport<Stream>>, registry: &Registry) {
        for door in [Door::Public, Door::Redirect, Door::Admin] {
            self.accept_at(door, ACCEPTS_PER_TURN, turn, registry);
        }
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
            Door::Redirect => &mut self.redirect,
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

    /// Closes the clients' door and that of those who are redirected, after those who wait there, if these are to be admitted. Later
    /// connections find the ports closed.
    pub(super) fn close(
        &mut self,
        admits_waiting: bool,
        turn: &mut Turn<Transport<Stream>>,
        registry: &Registry,
    ) {
        if admits_waiting {
            self.public.iter_mut().chain(&mut self.redirect).for_each(Acceptor::try_again);
            self.accept_at(Door::Public, self.backlog + 1, turn, registry);
            self.accept_at(Door::Redirect, self.backlog + 1, turn, registry);
        }
        for acceptor in [self.public.take(), self.redirect.take()].into_iter().flatten() {
            acceptor.close(registry);
        }
        // The end of a pause stays: it may be the operators' door that pauses.
        (self.standby, self.standby_redirect) = (None, None);
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
        let doors = [
            (Door::Public, &self.public, &self.standby),
            (Door::Redirect, &self.redirect, &self.standby_redirect),
            (Door::Admin, &self.admin, &self.resting_admin),
        ];
        doors.into_iter().flat_map(|(door, open, closed)| {
            open.iter().map(Acceptor::bound).chain(closed).map(move |bound| (door, bound))
        })
    }

    /// What is listened on, whatever for.
    pub(super) fn bound_mut(&mut self) -> impl Iterator<Item = &mut BoundSocket> {
        let open = self.public.iter_mut().chain(&mut self.redirect).chain(&mut self.admin);
        let closed = [&mut self.standby, &mut self.standby_redirect, &mut self.resting_admin];
        open.map(Acceptor::bound_mut).chain(closed.into_iter().flatten())
    }

    /// Another process listens from now on, on the same sockets.
    pub(super) fn bequeath(&mut self, registry: &Registry) {
        let open = [self.public.take(), self.redirect.take(), self.admin.take()];
        let closed = [self.standby.take(), self.standby_redirect.take(), self.resting_admin.take()];
        let open = open.into_iter().flatten().map(|door| door.close(registry));
        open.chain(closed.into_iter().flatten()).for_each(BoundSocket::bequeath);
        self.accept_at = None;
    }

    /// Closes the operators' door for good.
    pub(super) fn close_admin(&mut self, registry: &Registry) {
        self.rest_admin(registry);
        self.resting_admin = None;
    }
}

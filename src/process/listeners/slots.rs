//! What a supervisor listens on: a socket for each of its workers.

use std::collections::BTreeMap;
use std::io;

use socket2::Socket;

use super::{
    KEPT_BACK, Listening, OpenError, adopt_admin, adopt_redirect, is_named, open, open_admin, open_redirect,
};
use crate::config::Config;
use crate::server::address::Address;
use crate::server::bound_socket::BoundSocket;

/// One listener for each slot of the supervisor's.
#[derive(Debug)]
pub struct SlotSockets {
    address: Address,
    /// The first one; none once leaving. A Unix socket's file goes with it.
    first: Option<BoundSocket>,
    slots: Vec<BoundSocket>,
    /// Those that slots have beside their own, as there have been more workers once.
    spares: Vec<Spare>,
    /// The same for all slots.
    admin: Option<BoundSocket>,
    /// The same for all slots; none once leaving.
    redirect: Option<BoundSocket>,
    backlog: u16,
}

/// What a worker accepts from: what it is given when it is started.
#[derive(Debug, Clone, Copy)]
pub struct WorkerSockets<'a> {
    /// For clients.
    pub public: &'a [Socket],
    /// For operators; none where they have no door of their own.
    pub admin: &'a [Socket],
    /// For those who are redirected; none where nobody is.
    pub redirect: &'a [Socket],
}

impl WorkerSockets<'_> {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Socket> {
        self.public.iter().chain(self.admin).chain(self.redirect)
    }
}

/// What a slot has beside its own. It stays that one's, who accepts there; another slot may accept there, too, instead of opening
/// one more. It is not closed, as that would lose those who wait there, until its owner is.
#[derive(Debug)]
struct Spare {
    owner: usize,
    lent_to: Option<usize>,
    socket: BoundSocket,
}

impl SlotSockets {
    /// Opens what all listen on, unless it was inherited; the slots are opened one by one.
    ///
    /// # Errors
    /// As `open`.
    pub fn open(config: &Config, inherited: Option<BoundSocket>) -> Result<Self, OpenError> {
        let first = inherited.map_or_else(|| open(config, true), Ok)?;
        let (admin, redirect) = (open_admin(config)?, open_redirect(config)?);
        Ok(Self { admin, redirect, ..Self::of_first(config, first) })
    }

    /// Listens on what a predecessor has listened on, if that is where this configuration says: `slots` of its workers', all of
    /// which are accepted from.
    ///
    /// # Errors
    /// As `open`.
    pub fn adopt(
        config: &Config,
        inherited: Option<BoundSocket>,
        slots: Vec<BoundSocket>,
        admin: Option<BoundSocket>,
        redirect: Option<BoundSocket>,
        is_own: bool,
    ) -> Result<Self, OpenError> {
        let is_named = slots.first().map_or(Ok(false), |first| is_named(config, first))?;
        let is_kept = inherited.is_none() && (is_named || is_own && !slots.is_empty());
        let admin = adopt_admin(config, admin, is_own)?;
        let redirect = adopt_redirect(config, redirect, is_own)?;
        if !is_kept {
            let opened = inherited.map_or_else(|| open(config, true), Ok)?;
            return Ok(Self { admin, redirect, ..Self::of_first(config, opened) });
        }
        let all: Vec<BoundSocket> = slots.into_iter().flat_map(BoundSocket::apart).collect();
        let mut firsts: Vec<BoundSocket> = vec![];
        let workers = usize::from(config.workers);
        // As evenly as they go: who has few of them opens more, and these would be ever more otherwise.
        let mut places: Vec<Vec<BoundSocket>> = (0..workers).map(|_| vec![]).collect();
        let mut spares: BTreeMap<usize, Vec<BoundSocket>> = BTreeMap::new();
        let mut seen: Vec<Address> = vec![];
        for socket in all {
            let nth = seen.iter().filter(|address| *address == socket.address()).count();
            if nth == 0 {
                firsts.push(socket.share()?);
            }
            if nth >= workers {
                spares.entry(nth).or_default().push(socket.share()?);
            }
            seen.push(socket.address().clone());
            places[nth % workers].push(socket);
        }
        let slots = places.into_iter().filter_map(BoundSocket::join).collect();
        let first = BoundSocket::join(firsts).expect("what is kept is listened on");
        let spares = spares.into_iter().filter_map(|(nth, sockets)| {
            let socket = BoundSocket::join(sockets)?;
            // What another slot is to accept from is all that clients come in by.
            let is_whole = socket.addresses().len() == first.addresses().len();
            is_whole.then_some(Spare { owner: nth % workers, lent_to: None, socket })
        });
        let spares = spares.collect();
        Ok(Self { slots, spares, admin, redirect, ..Self::of_first(config, first) })
    }

    fn of_first(config: &Config, first: BoundSocket) -> Self {
        Self {
            address: first.address().clone(),
            first: Some(first),
            slots: vec![],
            spares: vec![],
            admin: None,
            redirect: None,
            backlog: config.backlog,
        }
    }

    /// All of it; nothing once leaving.
    pub fn listening(&self) -> Option<Listening<'_>> {
        let public = self.first.as_ref()?;
        Some(Listening { public, admin: self.admin(), redirect: self.redirect() })
    }

    /// What the workers accept from, in their order.
    pub fn slots(&self) -> impl Iterator<Item = &BoundSocket> {
        self.slots.iter()
    }

    /// What operators come in by.
    pub fn admin(&self) -> Option<&BoundSocket> {
        self.admin.as_ref()
    }

    /// What those come in by who are redirected.
    pub fn redirect(&self) -> Option<&BoundSocket> {
        self.redirect.as_ref()
    }

    /// Whether the file of what clients come in by goes with it.
    pub fn owns_file(&self) -> bool {
        self.first.as_ref().is_some_and(BoundSocket::owns_file)
    }

    /// What is listened on and may own a file.
    pub fn bound_mut(&mut self) -> impl Iterator<Item = &mut BoundSocket> {
        self.first.iter_mut().chain(&mut self.admin)
    }

    /// Another process listens from now on, on the same sockets.
    pub fn bequeath(&mut self) {
        let owners = [self.first.take(), self.admin.take(), self.redirect.take()];
        owners.into_iter().flatten().for_each(BoundSocket::bequeath);
        self.slots.drain(..).for_each(BoundSocket::bequeath);
        self.spares.clear();
    }

    /// Where all listen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The listening sockets of a slot. Those up to the slot are opened where they are not yet.
    ///
    /// # Errors
    /// When the machine is out of something, or all are closed.
    pub fn of(&mut self, slot: usize) -> io::Result<WorkerSockets<'_>> {
        let first = self.first.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        (0..KEPT_BACK).map(|_| first.sockets()[0].try_clone()).collect::<io::Result<Vec<Socket>>>()?;
        while self.slots.len() <= slot {
            let nth = self.slots.len();
            let next = match self.spares.iter_mut().find(|spare| spare.lent_to.is_none()) {
                Some(spare) => {
                    spare.lent_to = Some(nth);
                    spare.socket.share()
                }
                None if first.is_shared() && nth > 0 => first.bind_again(self.backlog),
                None => first.share(),
            };
            self.slots.push(next.map_err(io::Error::other)?);
        }
        Ok(WorkerSockets {
            public: self.slots[slot].sockets(),
            admin: self.admin.as_ref().map_or(&[], BoundSocket::sockets),
            redirect: self.redirect.as_ref().map_or(&[], BoundSocket::sockets),
        })
    }

    /// Closes all that clients come in by, and those who are redirected to them. Operators come in until the workers have ended.
    pub fn close_all(&mut self) {
        self.slots.clear();
        self.spares.clear();
        (self.first, self.redirect) = (None, None);
    }

    /// Closes the listener of the last slot.
    pub fn close(&mut self, slot: usize) {
        self.slots.truncate(slot);
        self.spares.retain(|spare| spare.owner < slot);
        for spare in &mut self.spares {
            spare.lent_to.take_if(|to| *to >= slot);
        }
    }
}

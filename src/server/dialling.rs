//! A server's connections to the engine, where it is a whole machine by itself: they are opened and registered here.

use std::io;

use mio::{Interest, Token};

use super::{ENGINE, Server};
use crate::config::Config;
use crate::policy::engine::step::Line;
use crate::server::engine::Wanted;
use crate::server::engine::dial::{Dialer, Dialled};
use crate::server::terms::engine_terms;

/// In the order of their tokens.
const LINES: [Line; 3] = [Line::Locator, Line::Writer, Line::Reader];

/// How many tokens the engine has: one for each connection, and one for names that were looked up.
pub(super) const TOKENS: usize = LINES.len() + 1;

/// Which connection an event is about, if it is one to the engine.
pub(super) fn line_of(token: Token) -> Option<Line> {
    LINES.get(token.0.checked_sub(ENGINE)?).copied()
}

/// Where names that were looked up are announced.
pub(super) const FOUND: Token = Token(ENGINE + LINES.len());

impl Server {
    /// Lets the engine give the order, if the configuration names one.
    pub(super) fn share_order(&mut self, config: &Config) -> io::Result<()> {
        let (Some(terms), Some(url)) = (engine_terms(config), &config.engine.url) else { return Ok(()) };
        let mut dialer = Dialer::new(url.at.clone())?;
        self.poll.registry().register(dialer.rung(), FOUND, Interest::READABLE)?;
        self.dialer = Some(dialer);
        self.turn.share_order(terms);
        Ok(())
    }

    /// Connects to the engine.
    pub(super) fn connect(&mut self, wanted: Wanted) {
        let dialled = self.dialer.as_mut().and_then(|dialer| dialer.dial(wanted));
        dialled.into_iter().for_each(|dialled| self.on_dialled(dialled));
    }

    /// Goes on with connections whose names have been looked up.
    pub(super) fn connect_found(&mut self) {
        let found = self.dialer.iter_mut().flat_map(Dialer::dial_found).collect::<Vec<_>>();
        found.into_iter().for_each(|dialled| self.on_dialled(dialled));
    }

    fn on_dialled(&mut self, (wanted, socket): Dialled) {
        let index = LINES.iter().position(|line| *line == wanted.line).unwrap_or_default();
        let registry = self.poll.registry();
        let registered = socket.and_then(|mut socket| {
            let both = Interest::READABLE | Interest::WRITABLE;
            let registered = registry.register(&mut socket, Token(ENGINE + index), both);
            registered.map(|()| socket).map_err(|e| e.to_string())
        });
        self.turn.on_connected(&wanted, registered);
    }
}

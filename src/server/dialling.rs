//! A server's connections to the engine, where it is a whole machine by itself.

use super::{ENGINE, Server, StartError};
use crate::config::Config;
use crate::server::engine::Wanted;
use crate::server::engine::dial::{Dialer, Dialled};
use crate::server::engine::security::EngineSecurity;
use crate::server::terms::engine_terms;

impl Server {
    /// Lets the engine give the order, if the configuration names one.
    pub(super) fn share_order(&mut self, config: &Config) -> Result<(), StartError> {
        if let (Some(terms), Some(url)) = (engine_terms(config, &self.address), &config.engine.url) {
            let security = EngineSecurity::open(&config.engine)?;
            self.dialer = Some(Dialer::new(url.at.clone(), security, self.poll.registry(), ENGINE)?);
            self.turn.share_order(terms);
        }
        Ok(())
    }

    /// Connects to the engine.
    pub(super) fn connect(&mut self, wanted: Wanted) {
        let dialled = self.dialer.as_mut().and_then(|dialer| dialer.dial(wanted));
        dialled.into_iter().for_each(|dialled| self.on_dialled(dialled));
    }

    /// Goes on with connections whose names have been looked up.
    pub(super) fn connect_found(&mut self) {
        let found: Vec<Dialled> = self.dialer.iter_mut().flat_map(Dialer::dial_found).collect();
        found.into_iter().for_each(|dialled| self.on_dialled(dialled));
    }

    fn on_dialled(&mut self, (wanted, socket): Dialled) {
        self.turn.on_connected(&wanted, socket);
    }
}

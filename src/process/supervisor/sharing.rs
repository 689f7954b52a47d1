//! A supervisor's connections to the engine, where one gives the order of all machines.

use mio::Registry;

use super::{ENGINE, Supervisor, SupervisorError};
use crate::config::Config;
use crate::process::crew::Crew;
use crate::server::address::Address;
use crate::server::engine::dial::{Dialer, Dialled};
use crate::server::engine::security::EngineSecurity;
use crate::server::socket::Stream;
use crate::server::terms::engine_terms;
use crate::server::transport::Transport;

/// Lets the engine give the order, if the configuration names one.
pub(super) fn share_order(
    config: &Config,
    address: &Address,
    crew: &mut Crew<Transport<Stream>>,
    registry: &Registry,
) -> Result<Option<Dialer>, SupervisorError> {
    let (Some(terms), Some(url)) = (engine_terms(config, address), &config.engine.url) else {
        return Ok(None);
    };
    let security = EngineSecurity::open(&config.engine)?;
    crew.share_order(terms);
    Ok(Some(Dialer::new(url.at.clone(), security, registry, ENGINE)?))
}

impl Supervisor {
    /// Opens the connections to the engine that are wanted, and goes on with those whose names have been looked up.
    pub(super) fn connect(&mut self) {
        let Some(dialer) = &mut self.dialer else { return };
        let wanted = self.crew.take_wanted().into_iter().filter_map(|wanted| dialer.dial(wanted));
        let mut dialled: Vec<Dialled> = wanted.collect();
        dialled.extend(dialer.dial_found());
        dialled.into_iter().for_each(|(wanted, socket)| self.crew.on_connected(&wanted, socket));
    }
}

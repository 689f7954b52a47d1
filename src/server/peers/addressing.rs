//! Whose each connection is, where that is limited: how many one address has, and what becomes of those that are too many.

use log::warn;

use super::Peers;
use crate::policy::addresses::{Address, TooMany};
use crate::server::clock::Now;
use crate::server::connection::{Connection, Standing};
use crate::server::socket::Socket;

/// As which handshakes are counted that were refused for their address.
const REASON: &str = "too_many_requests";

impl<S: Socket> Peers<S> {
    /// Counts a newcomer for its address; whether it is taken in. Operators are not counted, and Unix sockets have no
    /// address.
    pub(super) fn greet(&mut self, connection: &mut Connection<S>, now: Now) -> bool {
        if self.addresses.is_none() || connection.is_admin {
            return true;
        }
        let Some(peer) = connection.peer_address() else { return true };
        let is_taken_in = self.count_in(connection, peer.into(), now);
        if !is_taken_in {
            connection.abort();
        }
        is_taken_in
    }

    /// Counts a connection for an address; whether it is worth keeping.
    fn count_in(&mut self, connection: &mut Connection<S>, address: Address, now: Now) -> bool {
        let Some(addresses) = &mut self.addresses else { return true };
        let opened = addresses.open(address, now.instant);
        if opened.is_err() {
            self.counts.on_rejected(REASON);
        }
        if let Some(refusals) = addresses.report(address, now.instant) {
            let (count, latest) = (refusals.count, refusals.latest);
            warn!(
                "Refused for their address (--limit-per-ip, --limit-connect-rate): {count}, the last of {latest}"
            );
        }
        connection.address = Some(address);
        connection.standing = match opened {
            Ok(()) => Standing::Counted,
            Err(TooMany::Refused) => Standing::Refused,
            Err(TooMany::Dropped) => Standing::Uncounted,
        };
        opened != Err(TooMany::Dropped)
    }

    /// A connection has ended.
    pub(super) fn count_out(&mut self, connection: &Connection<S>, now: Now) {
        let (Some(addresses), Some(address)) = (&mut self.addresses, connection.address) else { return };
        match connection.standing {
            Standing::Uncounted => {}
            Standing::Counted => addresses.close(address, now.instant),
            Standing::Refused => addresses.close_refused(address, now.instant),
        }
    }

    /// After how many seconds a peer may try again whose connection is one too many.
    pub(super) fn retry_after(&self, key: usize, now: Now) -> Option<u64> {
        let connection = &self.connections[key];
        let address = connection.address.filter(|_| connection.standing == Standing::Refused)?;
        let wait = self.addresses.as_ref()?.retry_after(address, now.instant);
        Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

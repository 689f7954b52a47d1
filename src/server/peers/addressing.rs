//! Whose each connection is, where that is limited: how many one address has, and what becomes of those that are too many.

use log::warn;

use super::Peers;
use crate::policy::addresses::{Address, Addresses, TooMany};
use crate::server::clock::Now;
use crate::server::connection::{Connection, Sender, Speaks, Standing};
use crate::server::peers::counts::Counts;
use crate::server::socket::Socket;
use crate::wire::request::Request;

/// As what those are counted that were refused for their address.
const REASON: &str = "too_many_requests";

impl<S: Socket> Peers<S> {
    /// Counts a newcomer for its address; whether it is taken in. Operators are not counted, nor is whoever comes by a Unix
    /// socket and has no address. Of a proxy that is believed each request says whose it is.
    pub(super) fn greet(&mut self, connection: &mut Connection<S>, now: Now) -> bool {
        let Some(addresses) = self.addresses.as_mut().filter(|_| !connection.is_admin) else { return true };
        let peer = connection.peer_address();
        if self.terms.proxies.as_ref().is_some_and(|proxies| proxies.list(peer)) {
            connection.is_sent_by(peer);
            return true;
        }
        let Some(peer) = peer else { return true };
        let address = Address::from(peer);
        let opened = addresses.open(address, now.instant);
        if opened.is_err() {
            note_refusal(addresses, &mut self.counts, address, now);
        }
        connection.address = Some(address);
        connection.standing = match opened {
            Ok(()) => Standing::Counted,
            Err(TooMany::Refused) => Standing::Refused,
            Err(TooMany::Dropped) => {
                connection.abort();
                return false;
            }
        };
        true
    }

    /// Counts a proxy's connection for the client whose request has come on it, and for no other any more. It is a new one of
    /// this client, unless the last request was this client's, too.
    pub(super) fn count_for_client(&mut self, key: usize, request: &Request, now: Now) {
        let connection = &mut self.connections[key];
        let (Sender::Proxy(peer), Some(addresses)) = (connection.sender(), &mut self.addresses) else {
            return;
        };
        let forwarded_for = request.fields.forwarded_for.as_deref();
        let client = self.terms.proxies.as_ref().and_then(|proxies| proxies.client(peer, forwarded_for));
        // Health checks are told nothing else but that the server is there.
        let client = client.filter(|_| request.path != "/healthz").map(Address::from);
        let is_counted = connection.standing == Standing::Counted;
        if is_counted && client == connection.address {
            return;
        }
        let before = connection.address;
        if let Some(before) = before.filter(|_| is_counted) {
            addresses.close(before, now.instant);
        }
        connection.standing = Standing::Uncounted;
        let Some(client) = client else { return };
        let is_new = before != Some(client);
        let opened =
            if is_new { addresses.open(client, now.instant) } else { addresses.reopen(client, now.instant) };
        connection.address = Some(client);
        connection.standing = match opened {
            Ok(()) => Standing::Counted,
            Err(why) => {
                note_refusal(addresses, &mut self.counts, client, now);
                // It is answered at once, and what waits for that is the proxy's.
                if why == TooMany::Refused {
                    addresses.close_refused(client, now.instant);
                }
                Standing::RefusedRequest
            }
        };
    }

    /// A proxy's connection is nobody's once its request has been answered, unless it has become a client's.
    pub(super) fn leave_to_proxy(&mut self, key: usize, now: Now) {
        let connection = &mut self.connections[key];
        let is_idle = connection.speaks() == Speaks::Http && !connection.awaited.any();
        let (Sender::Proxy(_), Standing::Counted) = (connection.sender(), connection.standing) else {
            return;
        };
        if let (Some(addresses), Some(address), true) = (&mut self.addresses, connection.address, is_idle) {
            addresses.close(address, now.instant);
            connection.standing = Standing::Uncounted;
        }
    }

    /// A connection has ended.
    pub(super) fn count_out(&mut self, connection: &Connection<S>, now: Now) {
        let (Some(addresses), Some(address)) = (&mut self.addresses, connection.address) else { return };
        match connection.standing {
            Standing::Uncounted | Standing::RefusedRequest => {}
            Standing::Counted => addresses.close(address, now.instant),
            Standing::Refused => addresses.close_refused(address, now.instant),
        }
    }

    /// After how many seconds a peer may try again whose connection or request is one too many.
    pub(super) fn retry_after(&self, key: usize, now: Now) -> Option<u64> {
        let connection = &self.connections[key];
        let is_refused = matches!(connection.standing, Standing::Refused | Standing::RefusedRequest);
        let address = connection.address.filter(|_| is_refused)?;
        let wait = self.addresses.as_ref()?.retry_after(address, now.instant);
        Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

/// Counts a refusal, and logs it with others, now and then.
fn note_refusal(addresses: &mut Addresses, counts: &mut Counts, latest: Address, now: Now) {
    counts.on_rejected(REASON);
    if let Some(refusals) = addresses.report(latest, now.instant) {
        let count = refusals.count;
        warn!(
            "Refused for their address (--limit-per-ip, --limit-connect-rate): {count}, the last of {latest}"
        );
    }
}

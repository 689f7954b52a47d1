//! Whose each connection is, where that is limited: how many one address has, and what becomes of those that are too many.

use std::net::IpAddr;

use log::warn;

use super::Peers;
use crate::http::door::Door;
use crate::policy::addresses::{Address, TooMany};
use crate::server::clock::Now;
use crate::server::connection::{Connection, Owner, Sender, Speaks, Standing};
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::proxy_protocol::{NoPreamble, Origin, Preamble};
use crate::wire::request::Request;

/// As what those are counted that were refused for their address.
const REASON: &str = "too_many_requests";

/// As what those are counted that do not say who has connected to them.
const UNANNOUNCED: &str = "proxy_protocol";

impl<S: Socket> Peers<S> {
    /// Looks who a newcomer is, and counts it; whether it is taken in. Operators are not counted.
    pub(super) fn greet(&mut self, connection: &mut Connection<S>, now: Now) -> bool {
        let is_looked_at = self.addresses.is_some() || self.terms.announcing_proxies.is_some();
        if !is_looked_at || connection.door == Door::Admin {
            return true;
        }
        // Of one that is gone nobody knows whether it was listed.
        let Ok(peer) = connection.peer_address() else { return false };
        let owner = match &self.terms.announcing_proxies {
            Some(proxies) if proxies.list(peer) => {
                connection.socket().expect_preamble(vec![]);
                Some(Owner::nobody(Sender::Unannounced(peer)))
            }
            Some(_) => {
                self.note_unannounced(peer, now);
                None
            }
            None => self.owner(peer, now),
        };
        match owner {
            Some(owner) => connection.belongs_to(owner),
            None => connection.abort(),
        }
        owner.is_some()
    }

    /// Whose a connection is, with which this address has connected, and whether it is counted; `None` if it is not even worth
    /// telling it that there are too many. Of a proxy that is believed each request says whose it is; whoever comes by a Unix
    /// socket has no address.
    fn owner(&mut self, peer: Option<IpAddr>, now: Now) -> Option<Owner> {
        if self.terms.proxies.as_ref().is_some_and(|proxies| proxies.list(peer)) {
            return Some(Owner::nobody(Sender::Proxy(peer)));
        }
        let (Some(addresses), Some(address)) = (&mut self.addresses, peer.map(Address::from)) else {
            return Some(Owner::nobody(Sender::Client));
        };
        let standing = match addresses.open(address, now.instant) {
            Ok(()) => Standing::Counted,
            // That is for its requests to be told: it may be a probe, which is answered.
            Err(TooMany::Refused) => Standing::Refused,
            Err(TooMany::Dropped) => {
                self.note_refused(address, now);
                return None;
            }
        };
        Some(Owner { sender: Sender::Client, address: Some(address), standing })
    }

    /// Whether it is known who has connected. What a proxy says about that is read first. If it says nothing of the kind it is
    /// closed without a word: what it would be told, its client would take for an answer.
    pub(super) fn is_announced(&mut self, key: usize, now: Now) -> bool {
        let Sender::Unannounced(peer) = self.connections[key].sender() else { return true };
        let Some(requests) = self.connections[key].requests().filter(|requests| requests.has_begun()) else {
            return false;
        };
        let owner = match requests.preamble() {
            Ok(Preamble::More) => return false,
            Ok(Preamble::Header { origin: Origin::Client(client), .. }) => {
                self.register.forward(key, client);
                self.owner(Some(client), now)
            }
            // Without an address there is nobody to count it for.
            Ok(Preamble::Header { .. }) => Some(Owner::nobody(Sender::Client)),
            Err(NoPreamble) => {
                self.note_unannounced(peer, now);
                None
            }
        };
        match owner {
            Some(owner) => self.connections[key].belongs_to(owner),
            None => self.connections[key].end(Ending::Answered, now),
        }
        owner.is_some()
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
                // It is answered at once, and what waits for that is the proxy's.
                if why == TooMany::Refused {
                    addresses.close_refused(client, now.instant);
                }
                Standing::RefusedRequest
            }
        };
        if opened.is_err() {
            self.note_refused(client, now);
        }
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

    /// A peer whose connection is one too many is told so.
    pub(super) fn note_refused_peer(&mut self, key: usize, now: Now) {
        let connection = &self.connections[key];
        if let (Standing::Refused, Some(address)) = (connection.standing, connection.address) {
            self.note_refused(address, now);
        }
    }

    /// Counts a refusal, and logs it with others, now and then.
    fn note_refused(&mut self, latest: Address, now: Now) {
        self.counts.on_rejected(REASON);
        if let Some(count) = self.refused.add(now.instant) {
            warn!(
                "Refused for their address (--limit-per-ip, --limit-connect-rate): {count}, the last of {latest}"
            );
        }
    }

    /// The same of one that does not say who has connected to it, or is not believed.
    fn note_unannounced(&mut self, peer: Option<IpAddr>, now: Now) {
        self.counts.on_rejected(UNANNOUNCED);
        if let Some(count) = self.unannounced.add(now.instant) {
            let latest =
                peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_canonical().to_string());
            warn!(
                "Closed without the PROXY protocol of a listed proxy (--proxy-protocol, --forwarded-allow-ips): {count}, the \
                 last of {latest}"
            );
        }
    }
}

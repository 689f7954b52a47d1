//! Who the clients are, for operators: the id of each, since when it is here, and where it is; and what the log says of how it came
//! and went. Twelve bytes for each client, and somewhat more for those of proxies that are believed, and at debug for each address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use log::{Level, debug, info, log_enabled};

use super::Peers;
use crate::server::clock::Now;
use crate::server::connection::Sender;
use crate::server::socket::Socket;
use crate::wire::connection_id::ConnectionId;
use crate::wire::ending::Ending;
use crate::wire::handover::record;
use crate::wire::request::Request;

/// By the keys of connections.
#[derive(Debug, Default)]
pub(super) struct Register {
    clients: Vec<Client>,
    /// Whose those are that have come by a proxy that is believed.
    forwarded: HashMap<usize, IpAddr>,
    /// Where clients have come from, as far as the log has said it: of one that was reset the system no longer knows.
    told: HashMap<usize, Box<str>>,
    /// Clients that another process has handed over without their id.
    unnamed: u32,
}

/// What is known of one client. It stays when that has gone: the key says whether it is there.
#[derive(Debug, Clone, Copy, Default)]
struct Client {
    id: ConnectionId,
    /// In seconds since 1970.
    since: u32,
}

impl Register {
    /// A connection is this client's from now on.
    fn enter(&mut self, key: usize, client: Client) {
        if self.clients.len() <= key {
            // By an eighth: with the usual doubling, up to half of it would be held for nothing.
            let more = key + 1 - self.clients.len();
            if self.clients.capacity() < key + 1 {
                self.clients.reserve_exact(more + self.clients.len() / 8);
            }
            self.clients.resize(key + 1, Client::default());
        }
        self.clients[key] = client;
    }

    /// A proxy that is believed has said whose this connection is.
    pub(super) fn forward(&mut self, key: usize, client: IpAddr) {
        self.forwarded.insert(key, client.to_canonical());
    }

    /// The id of a client.
    pub(super) fn id(&self, key: usize) -> ConnectionId {
        self.client(key).id
    }

    /// Since when a client is here, in milliseconds since 1970.
    pub(super) fn since_unix_ms(&self, key: usize) -> i64 {
        i64::from(self.client(key).since) * 1000
    }

    /// Whose a connection is that has come by a proxy.
    pub(super) fn forwarded(&self, key: usize) -> Option<IpAddr> {
        self.forwarded.get(&key).copied()
    }

    /// The connection is over, or another process's.
    pub(super) fn leave(&mut self, key: usize) {
        self.forwarded.remove(&key);
        self.told.remove(&key);
    }

    /// Gives back the memory of a crowd that has left: no key is beyond this.
    pub(super) fn shrink(&mut self, keys: usize) {
        self.clients.truncate(keys);
        self.clients.shrink_to_fit();
        self.forwarded.shrink_to_fit();
        self.told.shrink_to_fit();
    }

    fn client(&self, key: usize) -> Client {
        self.clients.get(key).copied().unwrap_or_default()
    }
}

impl<S: Socket> Peers<S> {
    /// A connection has become a client.
    pub(super) fn note_joined(&mut self, key: usize, request: &Request, now: Now) {
        self.counts.on_joined(self.connections[key].is_stream());
        info!("Client connected. Total connections: {}", self.clients());
        let number = u32::try_from(self.counts.clients_so_far() & u64::from(u32::MAX)).unwrap_or_default();
        let id = ConnectionId { epoch: self.terms.epoch, number };
        self.register.enter(key, Client { id, since: seconds(now) });
        if let Some(client) = self.forwarded_by(key, request.fields.forwarded_for.as_deref()) {
            self.register.forward(key, client);
        }
        self.say_there(key, "");
    }

    /// A client has come that was one elsewhere, under this id, if that is known.
    pub(super) fn note_moved_in(&mut self, key: usize, client: Option<&record::Client>, now: Now) {
        if client.is_none() {
            self.register.unnamed += 1;
        }
        let unnamed = ConnectionId { epoch: self.terms.epoch, number: u32::MAX - self.register.unnamed };
        let (id, since) = client.map_or((unnamed, seconds(now)), |client| {
            (ConnectionId { epoch: client.epoch, number: client.number }, client.since)
        });
        self.register.enter(key, Client { id, since });
        if let Some(address) = client.and_then(|client| client.forwarded.as_ref()?.parse().ok()) {
            self.register.forward(key, address);
        }
        self.say_there(key, ", taken over");
    }

    /// Who a client is, for another process.
    pub(super) fn record_of(&self, key: usize) -> record::Client {
        let Client { id, since } = self.register.client(key);
        let forwarded = self.register.forwarded(key).map(|address| address.to_string());
        record::Client { epoch: id.epoch, number: id.number, since, forwarded }
    }

    /// A client is another process's from now on.
    pub(super) fn note_moved_out(&mut self, key: usize) {
        let id = self.register.id(key);
        debug!(connection:% = id; "Connection {id}: moved to another process");
        self.register.leave(key);
    }

    /// A client has departed.
    pub(super) fn say_departed(&self, key: usize, ending: Ending, is_stream: bool, now: Now) {
        if log_enabled!(Level::Debug) {
            let (id, how) = (self.register.id(key), ending.in_words(is_stream));
            let ms = now.wall.as_millisecond().saturating_sub(self.register.since_unix_ms(key));
            let lasted = ms.max(0) / 1000;
            let address = self
                .register
                .told
                .get(&key)
                .map_or_else(|| self.whereabouts(key, None), |told| told.to_string());
            debug!(
                connection:% = id, address = address.as_str(), reason = ending.label(), code = ending.counted_code(), seconds = lasted;
                "Connection {id}: from {address}, {how}, after {lasted} s"
            );
        }
    }

    /// Where a connection comes from: by which proxy, too, if that is believed and has said this of it.
    pub(super) fn whereabouts(&self, key: usize, forwarded_for: Option<&str>) -> String {
        let peer = self.peer(key);
        match self.forwarded_by(key, forwarded_for) {
            Some(client) => format!("{client}, by way of {peer}"),
            None => peer,
        }
    }

    /// The other end of its socket.
    pub(super) fn peer(&self, key: usize) -> String {
        match self.connections[key].its_socket().peer() {
            Ok(Some(peer)) => SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string(),
            Ok(None) => "a Unix socket".to_owned(),
            Err(_) => "an address that has gone".to_owned(),
        }
    }

    /// For whom a proxy that is believed has forwarded a request, or made a connection.
    fn forwarded_by(&self, key: usize, forwarded_for: Option<&str>) -> Option<IpAddr> {
        let connection = &self.connections[key];
        let proxies = self.terms.proxies.as_ref().filter(|_| forwarded_for.is_some());
        let peer = || match connection.sender() {
            Sender::Proxy(peer) => Some(peer),
            Sender::Client | Sender::Unannounced(_) => connection.peer_address().ok(),
        };
        let by_field = proxies.and_then(|proxies| {
            let peer = peer().filter(|peer| proxies.list(*peer))?;
            proxies.client(peer, forwarded_for)
        });
        by_field.or_else(|| self.register.forwarded(key))
    }

    /// Says in the log that a client is there.
    fn say_there(&mut self, key: usize, how: &str) {
        if log_enabled!(Level::Debug) {
            let (id, connection) = (self.register.id(key), &self.connections[key]);
            let (address, kind) = (self.whereabouts(key, None), kind(connection.is_stream()));
            let subject = connection.member.as_deref().and_then(|member| member.identity.subject.as_ref());
            let who = subject.map_or_else(String::new, |subject| format!(", subject {subject:?}"));
            debug!(
                connection:% = id, address = address.as_str(), kind = kind,
                subject = subject.map(String::as_str).unwrap_or_default();
                "Connection {id}: {kind} from {address}{who}{how}"
            );
            self.register.told.insert(key, address.into());
        }
    }
}

/// What a client speaks.
pub(super) fn kind(is_stream: bool) -> &'static str {
    if is_stream { "event stream" } else { "WebSocket" }
}

fn seconds(now: Now) -> u32 {
    u32::try_from(now.wall.as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::house::{House, compressing};
    use super::*;
    use crate::http::door::Door;
    use crate::wire::connections::Page;
    use crate::wire::overview::Wish;

    #[test]
    fn a_client_takes_twelve_bytes_and_those_of_a_crowd_are_given_back() {
        assert_eq!(size_of::<Client>(), 12);
        let mut register = Register::default();
        (0..10_000).for_each(|key| register.enter(key, Client::default()));
        assert!(register.clients.capacity() < 12_000);
        register.shrink(10);
        assert_eq!(register.clients.capacity(), 10);
    }

    #[test]
    fn of_a_proxy_that_is_believed_the_client_is_named_and_of_others_whoever_has_connected() {
        for (flags, expected) in [
            ("--proxy-headers --forwarded-allow-ips 10.0.0.2", "203.0.113.5, by way of 10.0.0.2:0"),
            ("--proxy-headers --forwarded-allow-ips 10.0.0.3", "10.0.0.2:0"),
            ("", "10.0.0.2:0"),
        ] {
            let mut house = House::with(flags);
            let request =
                compressing("a").replacen("\r\n", "\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.5\r\n", 1);
            let key = house.admit_from(Door::Public, Some("10.0.0.2".parse().unwrap()), request);
            house.say(key, "");
            assert_eq!(house.peers.whereabouts(key, None), expected);
            let listed =
                &house.peers.details(Wish::Connections(Page { limit: 1, after: None })).connections.list[0];
            assert_eq!(listed.id.to_string(), "0000beef-1");
            assert_eq!(listed.forwarded.as_deref().is_some(), expected.contains("by way"));
        }
    }
}

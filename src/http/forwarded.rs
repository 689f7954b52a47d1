//! Decides whose a request is that a proxy has forwarded: of what it says about that, as much is believed as listed peers have
//! written. Whoever is not listed may have written anything.

// Addresses as they are written; no socket.
use core::net::IpAddr;

use ipnet::IpNet;

use crate::http::host::Host;
use crate::wire::authority::Authority;

/// The proxies that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies(pub Vec<IpNet>);

impl Proxies {
    /// Whether a peer is believed. One without an address has come by a Unix socket: to open that is as good as being
    /// listed.
    pub fn list(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.0.iter().any(|network| network.contains(&peer.to_canonical())))
    }

    /// Whose a request of a listed peer is, by its `X-Forwarded-For`: each proxy has appended who has connected to it, so the
    /// last one that is not listed is the client, and what stands before that is the client's own say. Where all are
    /// listed it is the first. `None` if nobody has forwarded it: it is the proxy's own.
    pub fn client(&self, peer: Option<IpAddr>, forwarded_for: Option<&str>) -> Option<IpAddr> {
        let hops = forwarded_for?.rsplit(',').map(str::trim_ascii).filter(|hop| !hop.is_empty());
        let (mut latest, mut has_hops) = (peer, false);
        for hop in hops {
            has_hops = true;
            // What is no address has been written by the one behind it, which is believed, and stands for its client.
            let Some(address) = read(hop) else { break };
            latest = Some(address);
            if !self.list(latest) {
                break;
            }
        }
        latest.filter(|_| has_hops)
    }
}

/// Reads an address, for which some proxies add a port.
fn read(hop: &str) -> Option<IpAddr> {
    let host = hop.parse::<IpAddr>().map(|address| Host::Ip(address.to_canonical())).ok();
    match host.or_else(|| Host::read(Authority::read(hop)?.host))? {
        Host::Ip(address) => Some(address),
        Host::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(listed: &[&str]) -> Proxies {
        Proxies(listed.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_one_that_is_not_listed_is_the_client() {
        let proxies = proxies(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
        for (forwarded_for, client) in [
            ("203.0.113.5", "203.0.113.5"),
            ("6.6.6.6, 203.0.113.5", "203.0.113.5"),
            ("6.6.6.6, 203.0.113.5, 10.1.2.3,2001:db8::1", "203.0.113.5"),
            ("6.6.6.6,203.0.113.5 ,\t192.0.2.7", "203.0.113.5"),
            ("203.0.113.5, , 10.0.0.2,", "203.0.113.5"),
            ("203.0.113.5:4711, 10.0.0.2:80", "203.0.113.5"),
            ("6.6.6.6, [2001:db9::5]:4711, [2001:db8::1]", "2001:db9::5"),
            ("2001:db9::5", "2001:db9::5"),
            ("::ffff:203.0.113.5, ::ffff:10.0.0.2", "203.0.113.5"),
            // All are listed: a client of the inner network.
            ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
            // What is no address stands for a client of whoever is behind it.
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
            ("6.6.6.6, unknown", "10.9.9.9"),
            ("6.6.6.6, _hidden:1", "10.9.9.9"),
            ("6.6.6.6, unix:", "10.9.9.9"),
            ("6.6.6.6, 10.0.0.300", "10.9.9.9"),
        ] {
            let found = proxies.client(Some(ip("10.9.9.9")), Some(forwarded_for));
            assert_eq!(found, Some(ip(client)), "{forwarded_for}");
        }
    }

    #[test]
    fn what_nobody_has_forwarded_is_the_proxys_own() {
        let proxies = proxies(&["127.0.0.1/32"]);
        for forwarded_for in [None, Some(""), Some(" , ")] {
            assert_eq!(proxies.client(Some(ip("127.0.0.1")), forwarded_for), None);
        }
        assert_eq!(proxies.client(None, Some("203.0.113.5")), Some(ip("203.0.113.5")));
        assert_eq!(proxies.client(None, Some("unknown")), None);
    }

    #[test]
    fn only_listed_peers_are_believed_and_those_of_a_unix_socket() {
        let proxies = proxies(&["127.0.0.1/32", "10.0.0.0/8"]);
        let listed = ["127.0.0.1", "10.255.0.1", "::ffff:10.0.0.1"].map(|peer| proxies.list(Some(ip(peer))));
        let others =
            ["127.0.0.2", "11.0.0.1", "::1", "::ffff:11.0.0.1"].map(|peer| proxies.list(Some(ip(peer))));
        assert_eq!((listed, others, proxies.list(None)), ([true; 3], [false; 4], true));
    }

    #[test]
    fn whoever_believes_all_believes_the_first() {
        let proxies = proxies(&["0.0.0.0/0", "::/0"]);
        assert!(proxies.list(Some(ip("6.6.6.6"))) && proxies.list(Some(ip("2001:db8::1"))));
        assert_eq!(proxies.client(Some(ip("9.9.9.9")), Some("1.1.1.1, 2.2.2.2")), Some(ip("1.1.1.1")));
    }
}

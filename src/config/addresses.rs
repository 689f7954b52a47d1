//! What one address or client may take, and which proxies say whose address it is, as it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::{ArgAction, Args};
use ipnet::IpNet;

use super::listed::items;
use super::{truth, whole};

/// The fewest and most times a second that a rate may be.
const RATES: std::ops::RangeInclusive<f64> = 0.1..=100_000.0;

/// The proxies that are believed unless others are named.
const BELIEVED: &str = "127.0.0.1";

/// How much one address or client may take, and whose address it is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct AddressFlags {
    /// Connections that one address may have open, and of IPv6 each /64, or else 429 [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_PER_IP")]
    #[arg(value_name = "N", value_parser = whole::<u32>(1..=10_000_000), allow_negative_numbers = true)]
    pub limit_per_ip: Option<u32>,

    /// New connections of one address in a second, or else 429; at once as many as in five seconds, and at least 10
    /// [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_CONNECT_RATE")]
    #[arg(value_name = "PER_SECOND", value_parser = rate, allow_negative_numbers = true)]
    pub limit_connect_rate: Option<f64>,

    /// Messages of one client in a second: whoever sends more is not read from for a while; at once as many as in a second, and
    /// at least 10 [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_MESSAGES")]
    #[arg(value_name = "PER_SECOND", value_parser = rate, allow_negative_numbers = true)]
    pub limit_messages: Option<f64>,

    /// Takes a client's address from X-Forwarded-For, where a proxy of --forwarded-allow-ips has sent it
    #[arg(long, env = "SLACKWATER_PROXY_HEADERS")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_parser = truth)]
    pub proxy_headers: bool,

    /// Takes a client's address from the PROXY protocol, version 1 or 2, with which every connection has to begin, and which
    /// only proxies of --forwarded-allow-ips may send
    #[arg(long, env = "SLACKWATER_PROXY_PROTOCOL")]
    #[arg(value_name = "BOOLEAN", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_parser = truth)]
    pub proxy_protocol: bool,

    /// Addresses and networks of the proxies that are believed, with commas or spaces between them; * for all, which lets every client
    /// pretend to be any other
    #[arg(long, env = "SLACKWATER_FORWARDED_ALLOW_IPS", default_value = BELIEVED)]
    #[arg(value_name = "LIST", value_parser = allowed)]
    pub forwarded_allow_ips: AllowedIps,
}

/// Peers that are believed, as networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedIps(pub Vec<IpNet>);

impl AddressFlags {
    /// Whether clients are said to come by proxies.
    pub fn has_proxies(&self) -> bool {
        self.proxy_headers || self.proxy_protocol
    }
}

impl AllowedIps {
    /// Whether anybody is believed, be it by networks that make up all addresses together.
    pub fn are_all(&self) -> bool {
        IpNet::aggregate(&self.0).iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether nobody has asked for anything else.
    pub fn are_default(&self) -> bool {
        allowed(BELIEVED).as_ref() == Ok(self)
    }
}

/// Reads addresses and networks, with commas or spaces between them.
fn allowed(text: &str) -> Result<AllowedIps, String> {
    let mut networks = vec![];
    for item in items(text) {
        if item == "*" {
            let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            networks.extend(all.map(|address| IpNet::new_assert(address, 0)));
        } else {
            networks.push(network(item)?);
        }
    }
    Ok(AllowedIps(networks))
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("{text} is neither an address nor a network, such as 10.0.0.0/8, nor *"))?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!("{text} is an address within a network: give {} for all of it", network.trunc()))
    }
}

/// Reads how often something may happen.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| RATES.contains(number));
    number.ok_or_else(|| {
        format!("give a number a second from {} to {}, fractions allowed", RATES.start(), RATES.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_listed_as_addresses_and_networks() {
        let shown = |text| {
            let AllowedIps(networks) = allowed(text).unwrap();
            networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("10.0.0.0/8, ::1,2001:db8::/32", "10.0.0.0/8 ::1/128 2001:db8::/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("*", "0.0.0.0/0 ::/0"),
            ("", ""),
            (" , ", ""),
            ("127.0.0.1 10.0.0.0/8\n", "127.0.0.1/32 10.0.0.0/8"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert!(allowed("128.0.0.0/1,0.0.0.0/1").unwrap().are_all());
        assert!(allowed("10.0.0.0/8,*").unwrap().are_all() && !allowed("10.0.0.0/8").unwrap().are_all());
    }

    #[test]
    fn what_is_no_list_of_proxies_is_refused_with_what_would_be() {
        for (text, why) in [
            ("localhost", "localhost is neither an address nor a network, such as 10.0.0.0/8, nor *"),
            ("127.0.0.1,10.0.0.0/33", "10.0.0.0/33 is neither"),
            ("10.1.2.3/8", "10.1.2.3/8 is an address within a network: give 10.0.0.0/8 for all of it"),
            ("/run/proxy.sock", "is neither"),
        ] {
            let refused = allowed(text).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_rate_is_within_bounds() {
        assert_eq!((rate("0.1"), rate("2.5")), (Ok(0.1), Ok(2.5)));
        for text in ["0", "-1", "nan", "inf", "100001", "often"] {
            assert_eq!(
                rate(text),
                Err("give a number a second from 0.1 to 100000, fractions allowed".to_owned())
            );
        }
    }
}

//! Hosts and ports as they stand in URLs (RFC 3986 §3.2), without the user.

use std::net::Ipv6Addr;

/// The host and, if there is one, what stands for the port.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    let Some(colon) = authority[end..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(end + colon);
    Some((host, Some(&port[1..])))
}

/// Whether it is a name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_allowed))
}

/// A port from 1 on.
pub(super) fn read_port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|port| is_number && *port > 0)
}

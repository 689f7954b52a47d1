//! What a request, or a page, calls this server, and where the page comes from, told alike however they are spelt. The one
//! answer to "is this a name of this machine?".

use std::fmt;

// Addresses as they are written; no socket.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::authority::Authority;

/// A host: an address, or a name in small letters without the final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IPv4 address that is written as an IPv6 address counts as IPv4.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

impl fmt::Display for Host {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Host {
    /// Reads the host of the field `Host`, whose port does not matter; `None` if there is none.
    pub fn named_in(authority: &str) -> Option<Self> {
        Self::read(Authority::read(authority)?.host)
    }

    /// Reads a host, with or without brackets around an IPv6 address; `None` if it is not one.
    pub fn read(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            return Some(Self::Ip(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Some(Self::Ip(address.into()));
        }
        let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_allowed);
        name.split('.').all(is_label).then_some(Self::Name(name))
    }

    /// Whether every machine calls itself so: a loopback address, `localhost`, or a name below it (RFC 6761 §6.3).
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Whether it stands for this machine, which also has this name.
    pub fn is_here(&self, own_name: Option<&Self>) -> bool {
        self.is_loopback() || Some(self) == own_name
    }

    /// Whether it is a name below another.
    pub fn is_below(&self, other: &Self) -> bool {
        let (Self::Name(name), Self::Name(other)) = (self, other) else { return false };
        name.strip_suffix(other.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// Where a page comes from (RFC 6454 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// In small letters.
    pub scheme: String,
    /// Its host.
    pub host: Host,
    /// `None` where none is written and the scheme has no port of its own.
    pub port: Option<u16>,
}

impl Origin {
    /// Reads the field `Origin`; `None` if it names no host, as `null` does not.
    pub fn read(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::of(scheme, authority)
    }

    /// Whether it is a page that was loaded over HTTP.
    pub fn is_web(&self) -> bool {
        default_port(&self.scheme).is_some()
    }

    /// The origin of this scheme, host and port.
    pub fn of(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let Authority { host, port } = Authority::read(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        Some(Self { host: Host::read(host)?, port, scheme })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Whether a page of this `Origin` was loaded from this `Host`, by this `scheme`; by its own if nobody else knows it.
pub fn is_same_origin(origin: &str, host: &str, scheme: Option<&str>) -> bool {
    let page = Origin::read(origin).filter(Origin::is_web);
    page.is_some_and(|page| Origin::of(scheme.unwrap_or(&page.scheme), host).as_ref() == Some(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
        let names = "localhost LocalHost localhost. localhost:8000 LOCALHOST.:80 a.localhost a.b.LocalHost.:1 127.0.0.1 \
            127.0.0.1:8000 127.0.0.1. 127.0.0.2 127.255.255.254:1 [::1] [::1]:8000 [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] \
            [::FFFF:7f00:2]:80 localhost:";
        for name in names.split_whitespace() {
            assert!(Host::named_in(name).is_some_and(|host| host.is_loopback()), "{name}");
        }
    }

    #[test]
    fn what_only_looks_like_this_machine_is_not_it() {
        let others = "x example.com localhost.example.com notlocalhost 127.0.0.1.example.com 128.0.0.1 0.0.0.0 [::] \
            [::2] [::ffff:10.0.0.1] 10.0.0.1:8000 127.0.0.1:x localhost:80:80 localhost:99999 localhost:+1 ::1 [::1 \
            [::1]x [localhost] u@localhost localhost@example.com localhost/x localhost,example.com [::1%25lo] . :80 \
            .localhost a..localhost ..localhost localhost.. .localhost. a..localhost:8000 .";
        for name in others.split_whitespace().chain([""]) {
            assert!(!Host::named_in(name).is_some_and(|host| host.is_loopback()), "{name}");
        }
    }

    #[test]
    fn a_page_is_of_the_host_that_it_was_loaded_from_however_that_is_spelt() {
        let same = [
            ("http://localhost", "localhost"),
            ("http://localhost", "localhost:80"),
            ("http://LocalHost:8000", "localhost.:8000"),
            ("HTTP://[::1]:8000", "[0:0::1]:8000"),
            ("https://example.com", "example.com:443"),
            ("http://127.0.0.2:1", "[::ffff:127.0.0.2]:1"),
        ];
        for (origin, host) in same {
            assert!(is_same_origin(origin, host, None), "{origin} {host}");
        }
    }

    #[test]
    fn all_else_is_of_another_origin() {
        let others = [
            ("null", "null"),
            ("", ""),
            ("http://", ""),
            ("http://localhost:8001", "localhost:8000"),
            ("http://localhost:443", "localhost"),
            ("http://localhost", "127.0.0.1"),
            ("http://localhost/", "localhost"),
            ("http://u@localhost", "localhost"),
            ("file://localhost", "localhost"),
            ("chrome-extension://localhost", "localhost"),
            ("http://localhost, http://localhost", "localhost"),
            ("localhost", "localhost"),
        ];
        for (origin, host) in others {
            assert!(!is_same_origin(origin, host, None), "{origin} {host}");
        }
    }
}

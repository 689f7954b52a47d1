//! Reads what a proxy says ahead of all else about who has connected to it: the PROXY protocol, version 1 and 2, by the `ppp`
//! crate. Whoever sends it has to be believed; that is not for here.

// Addresses as they are written; no socket.
use core::net::IpAddr;

use ppp::{PartialResult, v1, v2};

/// The longest line of version 1, with its end.
const LINE_BYTES: usize = 107;

/// The most that version 2 may say: addresses, and what a proxy tells of the client's certificate and more.
const MAX_BYTES: usize = 16 * 1024;

/// What version 2 begins with, up to its length.
const FIXED_BYTES: usize = 16;

/// Version 2, and the command of a proxy that has connected by itself.
const LOCAL: u8 = 0x20;

/// A header, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// More has to come first.
    More,
    /// It is whole.
    Header {
        /// How long it is.
        bytes: usize,
        /// For whom the proxy has connected.
        origin: Origin,
    },
}

/// For whom a proxy has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// For itself, as for a health check.
    Proxy,
    /// For a client of which it knows no address, as one that has reached it through a Unix socket.
    Unknown,
    /// For the client of this address.
    Client(IpAddr),
}

/// There is no header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPreamble;

/// Reads the header that these bytes begin with.
///
/// # Errors
/// When no more bytes would make it one, or it is too long.
pub fn read(bytes: &[u8]) -> Result<Preamble, NoPreamble> {
    let prefix = v2::PROTOCOL_PREFIX;
    if bytes.starts_with(&prefix[..bytes.len().min(prefix.len())]) { read_v2(bytes) } else { read_v1(bytes) }
}

fn read_v2(bytes: &[u8]) -> Result<Preamble, NoPreamble> {
    if let Some([high, low]) = bytes.get(FIXED_BYTES - 2..FIXED_BYTES)
        && FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low])) > MAX_BYTES
    {
        return Err(NoPreamble);
    }
    if bytes.get(v2::PROTOCOL_PREFIX.len()) == Some(&LOCAL) {
        return Ok(read_local(bytes));
    }
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(why) if why.is_incomplete() => return Ok(Preamble::More),
        Err(_) => return Err(NoPreamble),
    };
    let origin = match header.addresses {
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => Origin::Unknown,
        v2::Addresses::IPv4(pair) => Origin::Client(pair.source_address.into()),
        v2::Addresses::IPv6(pair) => Origin::Client(pair.source_address.into()),
    };
    Ok(Preamble::Header { bytes: header.header.len(), origin })
}

/// Whatever a proxy says beside LOCAL, the family too, is to be passed over (the protocol's specification, §2.2); `ppp` refuses
/// some of it.
fn read_local(bytes: &[u8]) -> Preamble {
    let Some([high, low]) = bytes.get(FIXED_BYTES - 2..FIXED_BYTES) else { return Preamble::More };
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if bytes.len() < whole {
        return Preamble::More;
    }
    Preamble::Header { bytes: whole, origin: Origin::Proxy }
}

/// Only a whole line is handed on: `ppp` takes some that are not for wrong ones.
fn read_v1(bytes: &[u8]) -> Result<Preamble, NoPreamble> {
    const PREFIX: &[u8] = b"PROXY ";
    let line = &bytes[..bytes.len().min(LINE_BYTES)];
    if !line.starts_with(&PREFIX[..line.len().min(PREFIX.len())]) {
        return Err(NoPreamble);
    }
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < LINE_BYTES { Ok(Preamble::More) } else { Err(NoPreamble) };
    };
    let header = v1::Header::try_from(&line[..end + 2]).map_err(|_| NoPreamble)?;
    let origin = match header.addresses {
        v1::Addresses::Unknown => Origin::Unknown,
        v1::Addresses::Tcp4(pair) => Origin::Client(pair.source_address.into()),
        v1::Addresses::Tcp6(pair) => Origin::Client(pair.source_address.into()),
    };
    Ok(Preamble::Header { bytes: end + 2, origin })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Version 2, with this command, family and rest.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [203, 0, 113, 5, 127, 0, 0, 1, 0x12, 0x34, 0x1f, 0x40];

    fn client(text: &str) -> Origin {
        Origin::Client(text.parse().unwrap())
    }

    /// Headers, and for whom they are.
    fn headers() -> Vec<(Vec<u8>, Origin)> {
        let ipv6 =
            [&[0x20, 1, 0xd, 0xb8], [0; 11].as_slice(), &[5], &[0; 16], &[0x12, 0x34, 0x1f, 0x40]].concat();
        let with_more = [IPV4.as_slice(), &[0x04, 0, 3, 0, 0, 0], &[0xea, 0, 2, 1, 2]].concat();
        let line = |text: &str| text.as_bytes().to_vec();
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
            65535 65535\r\n";
        vec![
            (line("PROXY TCP4 203.0.113.5 127.0.0.1 4660 8000\r\n"), client("203.0.113.5")),
            (line("PROXY TCP6 2001:db8::5 ::1 4660 8000\r\n"), client("2001:db8::5")),
            (line(longest), client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
            (line("PROXY UNKNOWN\r\n"), Origin::Unknown),
            (line("PROXY UNKNOWN 203.0.113.5 127.0.0.1 4660 8000\r\n"), Origin::Unknown),
            (v2(1, 0x11, &IPV4), client("203.0.113.5")),
            (v2(1, 0x21, &ipv6), client("2001:db8::5")),
            (v2(1, 0x11, &with_more), client("203.0.113.5")),
            (v2(1, 0x31, &[b'x'; 216]), Origin::Unknown),
            (v2(1, 0x00, &[]), Origin::Unknown),
            (v2(1, 0x01, &IPV4), Origin::Unknown),
            (v2(0, 0x00, &[]), Origin::Proxy),
            (v2(0, 0x11, &IPV4), Origin::Proxy),
            (v2(0, 0x11, &[]), Origin::Proxy),
            (v2(0, 0x21, &IPV4), Origin::Proxy),
            (v2(0, 0x31, &[]), Origin::Proxy),
            (v2(0, 0x99, b"zzzz"), Origin::Proxy),
        ]
    }

    #[test]
    fn a_header_in_any_pieces_says_for_whom_the_proxy_has_connected() {
        for (header, origin) in headers() {
            for end in 0..header.len() {
                assert_eq!(read(&header[..end]), Ok(Preamble::More), "{:?}", header[..end].escape_ascii());
            }
            let whole = Preamble::Header { bytes: header.len(), origin };
            for behind in ["", "GET / HTTP/1.1\r\n", "\r\n"] {
                assert_eq!(read(&[&header, behind.as_bytes()].concat()), Ok(whole));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_known_as_early_as_that() {
        let too_long = format!("PROXY UNKNOWN {}", "x".repeat(100));
        let too_much =
            |command| [v2::PROTOCOL_PREFIX, &[command, 0x11], &(16_369_u16).to_be_bytes()].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"P ",
            b"PROXYTCP4",
            b"proxy TCP4",
            b"PROXY TCP5 203.0.113.5 127.0.0.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.5 127.0.0.1 1\r\n",
            b"PROXY TCP4 203.0.113.500 127.0.0.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::5 ::1 1 2\r\n",
            b"PROXY TCP4 203.0.113.5 127.0.0.1 1 65536\r\n",
            too_long.as_bytes(),
            &too_much(0x21),
            &too_much(0x20),
            &v2(2, 0x11, &IPV4),
            &v2(1, 0x11, &IPV4[..11]),
            &v2(1, 0x41, &IPV4),
            b"\r\n\r\n\0\r\nQUIT\r",
        ] {
            assert_eq!(read(bytes), Err(NoPreamble), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_alike_in_pieces(
            nth in 0..headers().len(),
            place in any::<prop::sample::Index>(),
            octet: u8,
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (mut bytes, _) = headers().swap_remove(nth);
            let place = place.index(bytes.len());
            bytes[place] = octet;
            bytes.extend(behind);
            // The first answer that is not to wait is the one to all of it.
            let first = (0..=bytes.len()).map(|end| read(&bytes[..end])).find(|read| *read != Ok(Preamble::More));
            prop_assert_eq!(first.unwrap_or(Ok(Preamble::More)), read(&bytes));
        }
    }
}

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

/// A header, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// More has to come first.
    More,
    /// It is whole.
    Header {
        /// How long it is.
        bytes: usize,
        /// Who has connected to the proxy; `None` if it has connected by itself, as for a health check, or does not know.
        client: Option<IpAddr>,
    },
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
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(why) if why.is_incomplete() => return Ok(Preamble::More),
        Err(_) => return Err(NoPreamble),
    };
    let client = match (header.command, header.addresses) {
        (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(pair)) => Some(pair.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(pair)) => Some(pair.source_address.into()),
    };
    Ok(Preamble::Header { bytes: header.header.len(), client })
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
    let client = match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(pair) => Some(pair.source_address.into()),
        v1::Addresses::Tcp6(pair) => Some(pair.source_address.into()),
    };
    Ok(Preamble::Header { bytes: end + 2, client })
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

    /// Headers, and whom they name.
    fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let ipv6 =
            [&[0x20, 1, 0xd, 0xb8], [0; 11].as_slice(), &[5], &[0; 16], &[0x12, 0x34, 0x1f, 0x40]].concat();
        let with_more = [IPV4.as_slice(), &[0x04, 0, 3, 0, 0, 0], &[0xea, 0, 2, 1, 2]].concat();
        let line = |text: &str| text.as_bytes().to_vec();
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
            65535 65535\r\n";
        vec![
            (line("PROXY TCP4 203.0.113.5 127.0.0.1 4660 8000\r\n"), Some("203.0.113.5")),
            (line("PROXY TCP6 2001:db8::5 ::1 4660 8000\r\n"), Some("2001:db8::5")),
            (line(longest), Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
            (line("PROXY UNKNOWN\r\n"), None),
            (line("PROXY UNKNOWN 203.0.113.5 127.0.0.1 4660 8000\r\n"), None),
            (v2(1, 0x11, &IPV4), Some("203.0.113.5")),
            (v2(1, 0x21, &ipv6), Some("2001:db8::5")),
            (v2(1, 0x11, &with_more), Some("203.0.113.5")),
            (v2(1, 0x31, &[b'x'; 216]), None),
            (v2(1, 0x00, &[]), None),
            (v2(0, 0x00, &[]), None),
            (v2(0, 0x11, &IPV4), None),
        ]
    }

    #[test]
    fn a_header_in_any_pieces_names_whoever_has_connected() {
        for (header, client) in headers() {
            for end in 0..header.len() {
                assert_eq!(read(&header[..end]), Ok(Preamble::More), "{:?}", header[..end].escape_ascii());
            }
            let whole =
                Preamble::Header { bytes: header.len(), client: client.map(|it| it.parse().unwrap()) };
            for behind in ["", "GET / HTTP/1.1\r\n", "\r\n"] {
                assert_eq!(read(&[&header, behind.as_bytes()].concat()), Ok(whole));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_known_as_early_as_that() {
        let too_long = format!("PROXY UNKNOWN {}", "x".repeat(100));
        let too_much = [v2::PROTOCOL_PREFIX, &[0x21, 0x11], &(16_369_u16).to_be_bytes()].concat();
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
            &too_much,
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
            nth in 0..12_usize,
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

//! The catalogue of how a connection ends. An ending is a value, not an error: each has its close code, a label for
//! counting, and a rule for the frames that are still queued.

use crate::frame::Frame;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The peer sent a close frame, with this code or none; it is echoed.
    PeerClosed(Option<u16>),
    /// The peer broke the protocol (RFC 6455 §7.1.7).
    Violated(Violation),
    /// The peer does not read: its outbox overflowed or made no progress.
    TooSlow,
    /// No pong came in time.
    Silent,
    /// The token that it has shown has expired.
    Expired,
    /// The server is leaving, and the time that clients had to leave by themselves is over.
    Drained,
    /// The connection is old, and the time that its client had to reconnect is over.
    TooOld,
    /// The last HTTP response of this connection is on its way, or the peer never asked for anything.
    Answered,
    /// The peer closed its side of TCP without a close frame.
    Gone,
    /// The socket failed: reset, broken pipe, timed out.
    SocketFailed,
    /// The peer broke TLS, or never spoke it; an alert has told it so, if there is one.
    TlsFailed,
}

/// What a peer did that RFC 6455 or this server's limits forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Framing: mask, reserved bits, opcodes, lengths, fragments, close payloads.
    Protocol(&'static str),
    /// A binary message.
    Binary,
    /// Text, or the reason of a close, that is not UTF-8.
    NotUtf8,
    /// A compressed message that cannot be inflated. No RFC has a code for that; 1007 is for data within a message that are not
    /// what they should be, and is what `ws` says.
    Corrupt,
    /// A message over the limit.
    TooBig,
}

impl Ending {
    /// The close frame that tells the peer; `None` where there is nobody to tell.
    pub fn close_frame(self) -> Option<Frame> {
        match self {
            Self::PeerClosed(code) => Some(Frame::close(code, "")),
            _ => self.code_and_reason().map(|(code, reason)| Frame::close(Some(code), reason)),
        }
    }

    /// The close code that both sides know of.
    pub fn close_code(self) -> Option<u16> {
        match self {
            Self::PeerClosed(code) => code,
            _ => self.code_and_reason().map(|(code, _)| code),
        }
    }

    /// The close code under which it is counted; 0 without one. Applications have 2,000 codes of their own (RFC 6455
    /// §7.4.2), and one hostile peer could use them all: they count as 3000 and 4000.
    pub fn counted_code(self) -> u16 {
        match self {
            Self::PeerClosed(Some(code @ 3000..)) => code / 1000 * 1000,
            _ => self.close_code().unwrap_or_default(),
        }
    }

    fn code_and_reason(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Violated(Violation::Protocol(what)) => (1002, what),
            Self::Violated(Violation::Binary) => (1003, "binary messages are not accepted"),
            Self::Violated(Violation::NotUtf8) => (1007, "text is not valid UTF-8"),
            Self::Violated(Violation::Corrupt) => (1007, "compressed message is corrupt"),
            Self::Violated(Violation::TooBig) => (1009, "message too big"),
            Self::Drained => (1012, "server restart"),
            Self::TooOld => (1012, "connection age"),
            Self::TooSlow => (4001, "too slow"),
            Self::Silent => (4003, "no pong in time"),
            Self::Expired => (4004, "the token has expired"),
            Self::PeerClosed(_) | Self::Answered | Self::Gone | Self::SocketFailed | Self::TlsFailed => {
                return None;
            }
        })
    }

    /// Whether queued frames are still sent. They are, except to a peer that has failed or fallen behind: what came before
    /// a close, a violation or the end of the peer's side is still to be answered.
    pub fn keeps_queue(self) -> bool {
        !matches!(self, Self::TooSlow | Self::Silent | Self::SocketFailed | Self::TlsFailed)
    }

    /// Whether the closing handshake is complete once our close frame is sent (RFC 6455 §7.1.4).
    pub fn is_agreed(self) -> bool {
        matches!(self, Self::PeerClosed(_))
    }

    /// As operators are told it: who has ended the connection, and by which code.
    pub fn in_words(self, is_stream: bool) -> String {
        match self {
            Self::PeerClosed(Some(code)) => format!("closed by the client, {code}"),
            Self::PeerClosed(None) => "closed by the client, without a code".to_owned(),
            Self::Gone if is_stream => "closed by the client".to_owned(),
            Self::Gone => "lost: the client has ended TCP without a close".to_owned(),
            Self::SocketFailed => "lost: reset or timed out".to_owned(),
            Self::TlsFailed => "lost: TLS has failed".to_owned(),
            Self::Answered => "ended by the server".to_owned(),
            _ => match self.code_and_reason() {
                Some((_, reason)) if is_stream => format!("ended by the server, {reason}"),
                Some((code, reason)) => format!("closed by the server, {code} {reason}"),
                None => "ended by the server".to_owned(),
            },
        }
    }

    /// A short name for logs and counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::PeerClosed(_) => "peer_closed",
            Self::Violated(_) => "violated",
            Self::TooSlow => "too_slow",
            Self::Silent => "silent",
            Self::Expired => "expired",
            Self::Drained => "drained",
            Self::TooOld => "too_old",
            Self::Answered => "answered",
            Self::Gone => "gone",
            Self::SocketFailed => "socket_failed",
            Self::TlsFailed => "tls_failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(ending: Ending) -> Option<u16> {
        let octets = ending.close_frame()?.into_bytes();
        Some(u16::from_be_bytes([*octets.get(2)?, *octets.get(3)?]))
    }

    #[test]
    fn every_ending_shows_its_code() {
        let endings = [
            (Ending::PeerClosed(Some(4321)), Some(4321)),
            (Ending::PeerClosed(None), None),
            (Ending::Violated(Violation::Protocol("x")), Some(1002)),
            (Ending::Violated(Violation::Binary), Some(1003)),
            (Ending::Violated(Violation::NotUtf8), Some(1007)),
            (Ending::Violated(Violation::Corrupt), Some(1007)),
            (Ending::Violated(Violation::TooBig), Some(1009)),
            (Ending::Drained, Some(1012)),
            (Ending::TooOld, Some(1012)),
            (Ending::TooSlow, Some(4001)),
            (Ending::Silent, Some(4003)),
            (Ending::Expired, Some(4004)),
            (Ending::Gone, None),
        ];
        for (ending, expected) in endings {
            assert_eq!(code(ending), expected, "{ending:?}");
        }
    }

    #[test]
    fn it_is_said_who_has_ended_it_and_by_which_code() {
        for (ending, is_stream, words) in [
            (Ending::PeerClosed(Some(1001)), false, "closed by the client, 1001"),
            (Ending::TooSlow, false, "closed by the server, 4001 too slow"),
            (Ending::Drained, true, "ended by the server, server restart"),
            (Ending::Gone, true, "closed by the client"),
            (Ending::SocketFailed, false, "lost: reset or timed out"),
        ] {
            assert_eq!(ending.in_words(is_stream), words);
        }
    }

    #[test]
    fn the_codes_of_applications_count_as_two() {
        let counted =
            [1000, 1014, 3000, 3999, 4001, 4999].map(|code| Ending::PeerClosed(Some(code)).counted_code());
        assert_eq!(counted, [1000, 1014, 3000, 3000, 4000, 4000]);
        let own = [Ending::TooSlow, Ending::Silent, Ending::Gone, Ending::PeerClosed(None)];
        assert_eq!(own.map(Ending::counted_code), [4001, 4003, 0, 0]);
    }
}

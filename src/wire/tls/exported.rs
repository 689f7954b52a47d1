//! What another process needs to go on with an open session, as plain data that can be encoded. Nothing that is read is believed to be
//! whole or true: it may have been written by another program. What is secret is neither shown nor left in memory.

use minicbor::{Decode, Encode};

use super::held::{self, Held};
use super::keys::{self, Keys};
use super::message::Message;
use super::records::Records;
use super::suite::{Suite, Version};
use super::{Own, Peer, Session, Side};
use crate::wire::octets::Octets;

/// An open session of a server.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Exported {
    /// The cipher suite, as it is registered at IANA. It implies the version.
    #[n(0)]
    pub suite: u16,
    /// What is received,
    #[n(1)]
    pub receives: Direction,
    /// and sent.
    #[n(2)]
    pub sends: Direction,
    /// What has come of a record that is not whole.
    #[cbor(n(3), default, with = "minicbor::bytes")]
    pub held: Vec<u8>,
    /// Whether the peer has said that it sends nothing more,
    #[cbor(n(4), default)]
    pub peer_closed: bool,
    /// and this side.
    #[cbor(n(5), default)]
    pub own_closed: bool,
    /// Whether the peer waits for this side to change its keys.
    #[cbor(n(6), default)]
    pub owes_update: bool,
    /// What has come of the header of a message that is not whole,
    #[cbor(n(7), default, with = "minicbor::bytes")]
    pub message_head: Vec<u8>,
    /// and how much is to come behind that.
    #[cbor(n(8), default)]
    pub message_rest: u32,
    /// How many times in a row the peer has said something that brings nothing.
    #[cbor(n(9), default)]
    pub fruitless: u8,
    /// Whether the application's protocol was agreed on.
    #[cbor(n(10), default)]
    pub is_alpn: bool,
    /// Whether it continues a session of before.
    #[cbor(n(11), default)]
    pub is_resumed: bool,
}

/// What goes one way.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Direction {
    /// The number of the next record.
    #[n(0)]
    pub seq: u64,
    /// Of the suite's cipher.
    #[n(1)]
    pub key: Octets,
    /// Of twelve octets. Of those a record of TLS 1.2 may carry eight of its own.
    #[n(2)]
    pub iv: Octets,
    /// By which the next keys are derived. TLS 1.2 has none.
    #[n(3)]
    pub secret: Option<Octets>,
}

pub(super) fn export(session: &Session) -> Option<Exported> {
    let Side::Open(records) = &session.side else { return None };
    let direction = |keys: &Keys| {
        let suite = records.suite;
        Direction {
            seq: keys.seq,
            key: Octets::new(&keys.key[..suite.aead.key_len()]),
            iv: Octets::new(&keys.iv),
            secret: (suite.version == Version::Tls13)
                .then(|| Octets::new(&keys.secret[..suite.secret_bytes])),
        }
    };
    Some(Exported {
        suite: records.suite.number,
        receives: direction(&records.rx),
        sends: direction(&records.tx),
        held: session.held.bytes().to_vec(),
        peer_closed: session.peer == Peer::Closed,
        own_closed: session.own == Own::Closed,
        owes_update: records.owes_update,
        message_head: records.message.head().to_vec(),
        message_rest: records.message.rest_bytes(),
        fruitless: records.fruitless,
        is_alpn: records.is_alpn,
        is_resumed: records.is_resumed,
    })
}

/// None if it cannot have been exported.
pub(super) fn import(exported: &Exported) -> Option<Session> {
    let suite = Suite::of(exported.suite)?;
    let rx = keys(suite, &exported.receives)?;
    let mut records = Records::new(suite, rx, keys(suite, &exported.sends)?);
    records.message = Message::begun(&exported.message_head, exported.message_rest)?;
    records.fruitless = exported.fruitless;
    records.owes_update = exported.owes_update;
    (records.is_alpn, records.is_resumed) = (exported.is_alpn, exported.is_resumed);
    let may_owe = suite.version == Version::Tls13 || !exported.owes_update;
    let is_unfinished = held::unfinished_from(&exported.held) == 0 && records.may_begin(&exported.held);
    if !may_owe || !is_unfinished {
        return None;
    }
    let mut held = Held::default();
    held.keep(&exported.held, 0, super::SERVER_HELD_BYTES);
    Some(Session {
        side: Side::Open(records),
        held,
        peer: if exported.peer_closed { Peer::Closed } else { Peer::Heard },
        own: if exported.own_closed { Own::Closed } else { Own::Open },
        handshake_bytes: 0,
    })
}

fn keys(suite: &Suite, direction: &Direction) -> Option<Keys> {
    let secret = match (suite.version, &direction.secret) {
        (Version::Tls12, None) => keys::Secret::new([0; 48]),
        (Version::Tls13, Some(octets)) if octets.len() == suite.secret_bytes => keys::secret(octets)?,
        _ => return None,
    };
    let key = &*direction.key;
    let iv = (*direction.iv).try_into().ok()?;
    (key.len() == suite.aead.key_len()).then(|| Keys::with(direction.seq, key, iv, secret)).flatten()
}

#[cfg(test)]
#[path = "exported_tests.rs"]
mod tests;

//! What a process leaves for one that is started later, in channels that nobody reads meanwhile: messages in this order, with
//! descriptors beside them. Nobody answers.

use minicbor::{Decode, Encode};

use super::message::Sockets;
use super::record::Monotonic;

/// One message of the whole server's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Parked {
    /// Who it was, and what it listened on: a descriptor for each.
    #[n(0)]
    Server(#[n(0)] Sockets),
    /// How everything stands but for the connections: a descriptor of a file in memory, which is sealed once all of this has
    /// been left.
    #[n(1)]
    Image,
    /// Channels that hold the connections, one for each worker: a descriptor for each.
    #[n(2)]
    Parts {
        /// How many.
        #[n(0)]
        count: u32,
    },
}

/// One message of those that hold connections.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// How they stand: a descriptor of a file in memory, sealed once all of them have been left.
    #[n(0)]
    Image {
        /// Connections that follow, at most.
        #[n(0)]
        connections: u64,
    },
    /// The next connections, in the order of the image: a descriptor for each.
    #[n(1)]
    Batch {
        /// How many.
        #[n(0)]
        connections: u32,
    },
}

/// How it went, for those who watch it: the last entry of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Left {
    /// Since when nothing is heard or said.
    #[cbor(n(0), default)]
    pub at: Monotonic,
    /// Connections that could not be parked.
    #[cbor(n(1), default)]
    pub behind: u64,
    /// Those that were.
    #[cbor(n(2), default)]
    pub connections: u64,
    /// Where the history was left, too, in case that all of this is lost; by then it is superseded.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub state_file: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handover::message::{Kind, Listening, TicketKey, decode, encode};

    #[test]
    fn what_this_version_has_left_is_read_by_every_later_one() {
        let listening =
            vec![Listening { kind: Kind::Public, is_shared: false, owns_file: true, slot: 0, path: None }];
        let version = "0.1.0".to_owned();
        let server =
            Sockets { format: 1, version, pid: 7, listening, workers: None, has_more: false, tickets: None };
        let messages: [(Parked, &[u8]); 3] = [
            (
                Parked::Server(server),
                b"\x82\x00\x81\xa5\x00\x01\x01\x650.1.0\x02\x07\x03\x81\xa4\x00\x00\x01\xf4\x02\xf5\x03\x00\x05\xf4",
            ),
            (Parked::Image, b"\x82\x01\x80"),
            (Parked::Parts { count: 2 }, b"\x82\x02\x81\x02"),
        ];
        for (message, octets) in messages {
            assert_eq!(decode(octets).as_ref(), Ok(&message));
            assert_eq!(encode(&message), octets, "{message:?}");
        }
        let tickets = Some(TicketKey(vec![7, 8]));
        let listening = vec![];
        let version = "0.1.0".to_owned();
        let server =
            Sockets { format: 1, version, pid: 7, listening, workers: None, has_more: false, tickets };
        let octets = b"\x82\x00\x81\xa6\x00\x01\x01\x650.1.0\x02\x07\x03\x80\x05\xf4\x06\x42\x07\x08";
        assert_eq!(decode(octets), Ok(Parked::Server(server)));
        let messages: [(Part, &[u8]); 2] = [
            (Part::Image { connections: 300 }, b"\x82\x00\x81\x19\x01\x2c"),
            (Part::Batch { connections: 200 }, b"\x82\x01\x81\x18\xc8"),
        ];
        for (message, octets) in messages {
            assert_eq!(decode(octets).as_ref(), Ok(&message));
            assert_eq!(encode(&message), octets, "{message:?}");
        }
        let left = Left { at: 256, behind: 3, connections: 5, state_file: Some(b"/s".to_vec()) };
        assert_eq!(decode(b"\xa5\x00\x19\x01\x00\x01\x03\x02\x05\x03\x42/s\x09\x81\x01"), Ok(left));
        assert_eq!(decode(b"\xa0"), Ok(Left::default()));
    }
}

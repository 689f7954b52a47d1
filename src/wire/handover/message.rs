//! What the two processes say to each other. Descriptors travel beside the octets; how many, the message says.

use std::fmt;

use minicbor::{Decode, Encode};

use super::Damaged;

/// No message is longer, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Of what the other process gives as a reason no more is taken, in characters.
const MAX_REASON_CHARS: usize = 200;

/// Descriptors that travel with one message at most: the kernel takes 253 (SCM_MAX_FD, unix(7)).
pub const MAX_DESCRIPTORS: usize = 200;

/// What a successor says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToPredecessor {
    /// It is there, and wants to take over.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// It could serve: nothing is left that can fail but what it is handed.
    #[n(1)]
    Ready,
    /// A batch has come whole.
    #[n(2)]
    Taken {
        /// Connections, with those of the batches before.
        #[n(0)]
        connections: u64,
    },
    /// It has everything, and goes on at the word.
    #[n(3)]
    Prepared,
    /// It does not take over.
    #[n(4)]
    Failed {
        /// Why, for the log.
        #[n(0)]
        why: String,
    },
    /// Said before `Ready`, as often as it takes: channels for the connections of the predecessor's workers, one for each, in
    /// their order.
    #[n(5)]
    Channels {
        /// How many come with this message.
        #[n(0)]
        count: u32,
    },
    /// Connections that have come from a worker of the predecessor's are served from here on. It hears so from its supervisor,
    /// too, unless that is stopped or has ended.
    #[n(6)]
    Serving,
}

/// What a supervisor says over the line to one of its workers, with a channel beside it: the connections go through that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Passage {}

/// Who wants to take over.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The oldest format that it understands,
    #[n(0)]
    pub oldest_format: u32,
    /// and the newest.
    #[n(1)]
    pub newest_format: u32,
    /// Its version, for the log.
    #[n(2)]
    pub version: String,
    /// Its process.
    #[n(3)]
    pub pid: u32,
    /// How many descriptors it may have (RLIMIT_NOFILE).
    #[n(4)]
    pub most_descriptors: u64,
}

/// What a predecessor says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToSuccessor {
    /// It hands over nothing.
    #[n(0)]
    Refused {
        /// Why, for the log.
        #[n(0)]
        why: String,
    },
    /// What it listens on: a descriptor for each.
    #[n(1)]
    Sockets(#[n(0)] Sockets),
    /// How everything stands: a descriptor of a file in memory. Nothing is heard or said from here on.
    #[n(2)]
    Image {
        /// Bytes of the file.
        #[n(0)]
        bytes: u64,
        /// Connections that follow.
        #[n(1)]
        connections: u64,
    },
    /// The next connections, in the order of the image: a descriptor for each.
    #[n(3)]
    Batch {
        /// How many.
        #[n(0)]
        connections: u32,
    },
    /// All of it is the successor's now.
    #[n(4)]
    Commit(#[n(0)] Commit),
    /// It goes on itself: everything is to be forgotten.
    #[n(5)]
    Abort {
        /// Why, for the log. The first version has not said so.
        #[n(0)]
        why: Option<String>,
    },
}

impl ToSuccessor {
    /// It goes on itself, for this reason.
    pub fn abort(why: &impl ToString) -> Self {
        Self::Abort { why: Some(printable(&why.to_string())) }
    }
}

/// How it went, for those who watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Commit {
    /// Since when nothing was heard or said, in nanoseconds of CLOCK_MONOTONIC.
    #[cbor(n(0), default)]
    pub cut_at: i64,
    /// Connections that could not be moved.
    #[cbor(n(1), default)]
    pub stayed: u64,
    /// What all workers together have counted, where that was not in the image.
    #[n(2)]
    pub counted: Option<String>,
    /// Connections that have moved, where they have not come on this channel.
    #[n(3)]
    pub moved: Option<u64>,
}

/// Who hands over, and what is listened on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sockets {
    /// The format of what follows.
    #[n(0)]
    pub format: u32,
    /// The version of the predecessor, for the log.
    #[n(1)]
    pub version: String,
    /// Its process.
    #[n(2)]
    pub pid: u32,
    /// In the order of the descriptors.
    #[n(3)]
    pub listening: Vec<Listening>,
    /// Its workers whose connections are to be moved, if it is a supervisor: each has its own channel for them.
    #[n(4)]
    pub workers: Option<u32>,
    /// Whether more sockets follow in another message.
    #[cbor(n(5), default)]
    pub has_more: bool,
    /// By what session tickets are made.
    #[n(6)]
    pub tickets: Option<TicketKey>,
}

/// By what session tickets are made, so that clients resume at the successor. It is not shown.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct TicketKey(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listening {
    /// What for.
    #[n(0)]
    pub kind: Kind,
    /// Whether others may listen on its address (SO_REUSEPORT).
    #[cbor(n(1), default)]
    pub is_shared: bool,
    /// Whether its file goes with it.
    #[cbor(n(2), default)]
    pub owns_file: bool,
    /// The place of the worker that accepts from it, from 0.
    #[cbor(n(3), default)]
    pub slot: u32,
    /// The absolute path of a Unix socket.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub path: Option<Vec<u8>>,
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// Clients.
    #[n(0)]
    Public,
    /// Operators.
    #[n(1)]
    Admin,
    /// Successors.
    #[n(2)]
    Handover,
    /// Those who are redirected to HTTPS.
    #[n(3)]
    Redirect,
}

/// What the other process says of itself, for the log: nothing that a terminal would obey, and of no more than some length.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect()
}

/// A message as octets.
pub fn encode(message: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(message).expect("memory takes all of it")
}

/// Reads a message.
///
/// # Errors
/// When it is none.
pub fn decode<'a, M: Decode<'a, ()>>(octets: &'a [u8]) -> Result<M, Damaged> {
    let mut decoder = minicbor::Decoder::new(octets);
    let message = decoder.decode().map_err(|_| Damaged)?;
    if decoder.position() == octets.len() { Ok(message) } else { Err(Damaged) }
}

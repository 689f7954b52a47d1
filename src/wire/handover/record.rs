//! How one connection stands, as it is handed over: everything that cannot be found out anew. Times are of CLOCK_MONOTONIC,
//! in nanoseconds: both processes have the same clock.

use minicbor::{Decode, Encode};

use super::secured::Tls;

/// Nanoseconds of CLOCK_MONOTONIC.
pub type Monotonic = i64;

/// One connection.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Record {
    /// What it speaks.
    #[n(0)]
    pub phase: Phase,
    /// When this phase's limit is reached.
    #[n(1)]
    pub expires: Option<Monotonic>,
    /// Bytes that its socket has been handed and that were not seen to be taken.
    #[cbor(n(2), default)]
    pub in_flight: u32,
    /// By when a slow peer will have read what its socket has taken.
    #[n(3)]
    pub reads_until: Option<Monotonic>,
    /// What is still to be written to it.
    #[n(4)]
    pub outbox: Option<Outbox>,
    /// Its address, as it is counted.
    #[n(5)]
    pub address: Option<u64>,
    /// How it is counted.
    #[n(6)]
    pub standing: Option<Standing>,
    /// Whether it has published.
    #[cbor(n(7), default)]
    pub publishes: bool,
    /// Whether it came in by the operators' door.
    #[cbor(n(8), default)]
    pub is_admin: bool,
    /// Who it is, if it has shown a token.
    #[n(9)]
    pub member: Option<Member>,
    /// What it listens to.
    #[cbor(n(10), default)]
    pub filters: Vec<String>,
    /// How far it has been brought what it missed, if it is being brought that.
    #[n(11)]
    pub replay: Option<Replay>,
    /// What was read of it and not heard.
    #[cbor(n(12), default, with = "minicbor::bytes")]
    pub unheard: Vec<u8>,
    /// What it has sent lately, where that is limited.
    #[n(13)]
    pub pace: Option<Pace>,
    /// When it is to be told to reconnect, for its age.
    #[n(14)]
    pub reconnects: Option<Monotonic>,
    /// When it is closed, since it has been told.
    #[n(15)]
    pub closes: Option<Monotonic>,
    /// Whether it came in where everybody is redirected to HTTPS.
    #[cbor(n(16), default)]
    pub redirects: bool,
    /// TLS, if that is spoken. Whoever does not know this must not pass it over: see `image::Entry`.
    #[n(17)]
    pub tls: Option<Tls>,
    /// Who it is for operators, if it is a client.
    #[n(18)]
    pub client: Option<Client>,
}

impl Record {
    /// One of which nothing is known but what it speaks.
    pub fn of(phase: Phase) -> Self {
        Self {
            phase,
            expires: None,
            in_flight: 0,
            reads_until: None,
            outbox: None,
            address: None,
            standing: None,
            publishes: false,
            is_admin: false,
            member: None,
            filters: Vec::new(),
            replay: None,
            unheard: Vec::new(),
            pace: None,
            reconnects: None,
            closes: None,
            redirects: false,
            tls: None,
            client: None,
        }
    }
}

/// Who a client is for operators.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Client {
    /// The first part of its id,
    #[cbor(n(0), default)]
    pub epoch: u32,
    /// and the second.
    #[cbor(n(1), default)]
    pub number: u32,
    /// Since when it is connected, in seconds since 1970.
    #[cbor(n(2), default)]
    pub since: u32,
    /// Its address, if it has come by a proxy that is believed.
    #[n(3)]
    pub forwarded: Option<String>,
}

/// What a connection speaks.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Phase {
    /// HTTP, between requests or within a head.
    #[n(0)]
    Http(#[n(0)] Http),
    /// A WebSocket.
    #[n(1)]
    WebSocket(#[n(0)] WebSocket),
    /// An event stream.
    #[n(2)]
    EventStream(#[n(0)] EventStream),
}

/// A connection that speaks HTTP.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Http {
    /// Whether a request has been answered and the next has not begun.
    #[cbor(n(0), default)]
    pub served: bool,
    /// The octets of a head that is not whole.
    #[cbor(n(1), default, with = "minicbor::bytes")]
    pub unread: Vec<u8>,
    /// Octets of a body that are to be passed over when they come.
    #[cbor(n(2), default)]
    pub skip: u64,
    /// Whether a proxy has said ahead of it all whose it is.
    #[cbor(n(3), default)]
    pub is_forwarded: bool,
    /// Who says whose the requests are, if it is a proxy.
    #[n(4)]
    pub proxy: Option<Proxy>,
}

/// A proxy that says whose requests come.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Proxy {
    /// Its address, unless it has come by a Unix socket.
    #[n(0)]
    pub address: Option<String>,
    /// Whether it has still to say who has connected to it.
    #[cbor(n(1), default)]
    pub is_unannounced: bool,
}

/// A WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct WebSocket {
    /// What was agreed on, if messages may be compressed.
    #[n(0)]
    pub compression: Option<Compression>,
    /// A frame or a message that is not whole.
    #[n(1)]
    pub unfinished: Option<Unfinished>,
    /// When it was sent the ping that it has not answered.
    #[n(2)]
    pub pinged: Option<Monotonic>,
    /// Bytes up to that ping that its system had not taken then.
    #[cbor(n(3), default)]
    pub ahead: u32,
}

/// permessage-deflate, as it was agreed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Compression {
    /// server_max_window_bits.
    #[n(0)]
    pub server_max_window_bits: Option<u8>,
}

/// What has come of a frame or a message that is not whole.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Unfinished {
    /// The first octets of a header.
    #[cbor(n(0), default, with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// A frame whose payload is still to come.
    #[n(1)]
    pub frame: Option<OpenFrame>,
    /// The payload so far of a control frame.
    #[cbor(n(2), default, with = "minicbor::bytes")]
    pub control: Vec<u8>,
    /// The fragments of a message so far.
    #[n(3)]
    pub message: Option<Message>,
}

/// A frame whose payload is still to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct OpenFrame {
    /// Of four bits (RFC 6455 §5.2).
    #[n(0)]
    pub opcode: u8,
    /// FIN.
    #[n(1)]
    pub is_final: bool,
    /// Bytes of payload.
    #[n(2)]
    pub remaining: u64,
    /// The first octet is for the next octet of payload.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub mask: [u8; 4],
}

/// The fragments of a message so far.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Message {
    /// Or else binary.
    #[n(0)]
    pub is_text: bool,
    /// RSV1 of the first frame.
    #[n(1)]
    pub is_compressed: bool,
    /// Unmasked.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub payload: Vec<u8>,
}

/// An event stream.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct EventStream {
    /// When it was last sent something.
    #[n(0)]
    pub sent: Monotonic,
    /// Whether its events are chunks.
    #[n(1)]
    pub is_chunked: bool,
}

/// What is still to be written to a connection.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Outbox {
    /// In their order.
    #[n(0)]
    pub pieces: Vec<Piece>,
    /// Whether a part of the first one has been written.
    #[cbor(n(1), default)]
    pub front_begun: bool,
    /// How many of the first ones are never abandoned.
    #[cbor(n(2), default)]
    pub promised: u64,
    /// How many of the last ones are pongs.
    #[cbor(n(3), default)]
    pub trailing_pongs: u8,
    /// Since when the socket has taken nothing.
    #[n(4)]
    pub stalled_since: Option<Monotonic>,
    /// When it first took nothing,
    #[n(5)]
    pub slow_since: Option<Monotonic>,
    /// and what it has taken since.
    #[cbor(n(6), default)]
    pub slow_bytes: u64,
}

/// A frame, a response, or a part of one.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Piece {
    /// Of this connection alone.
    #[n(0)]
    Own(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Of one that several share,
    #[n(1)]
    Shared {
        /// the one of this number,
        #[n(0)]
        number: u64,
        /// what is behind so many bytes.
        #[n(1)]
        skip: u64,
    },
}

/// How a connection is counted among those of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// As one of those that are open.
    #[n(0)]
    Counted,
    /// As one too many, which is to be told so.
    #[n(1)]
    Refused,
    /// Not at all, though the last request was one too many.
    #[n(2)]
    RefusedRequest,
}

/// Who has shown a token.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Member {
    /// `sub`.
    #[n(0)]
    pub subject: Option<String>,
    /// `exp`, in milliseconds since 1970.
    #[n(1)]
    pub expires_unix_ms: Option<i64>,
    /// What it may hear,
    #[cbor(n(2), default)]
    pub subscribe: Vec<String>,
    /// and publish.
    #[cbor(n(3), default)]
    pub publish: Vec<String>,
}

/// How far a connection has been brought what it missed.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Replay {
    /// Everything up to here.
    #[n(0)]
    pub reached: u64,
    /// What it listens to, each from behind its own position.
    #[n(1)]
    pub filters: Vec<(String, u64)>,
}

/// What a client has sent lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Pace {
    /// When it may send as much as ever.
    #[n(0)]
    pub full_at: Monotonic,
    /// Until when it is held back, if it is.
    #[n(1)]
    pub held_until: Option<Monotonic>,
}

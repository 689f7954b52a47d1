//! What becomes of a request, as it is decided by `routes` and carried out by the server.

use crate::http::challenge::Challenge;
use crate::http::origin::Stranger;
use crate::http::report::Report;
use crate::http::token::Identity;
use crate::wire::extensions::Compression;
use crate::wire::refusal::Refusal;
use crate::wire::request::Request;
use crate::wire::response::Response;
use crate::wire::upgrade::Acceptance;

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// It is answered.
    Respond(Response),
    /// It comes from a page that is not let in, which is told so; so is the server's owner.
    Stranger(Stranger, Response),
    /// It cannot be answered.
    Refuse(Refusal),
    /// The connection becomes a WebSocket.
    Upgrade {
        /// What the client is told.
        acceptance: Acceptance,
        /// Whether its messages may be compressed.
        compression: Option<Compression>,
        /// Names the topics and where to resume.
        request: Box<Request>,
        /// Who has shown a token.
        identity: Option<Box<Identity>>,
    },
    /// The connection becomes an event stream; or, for HEAD, is told how one would begin.
    Stream {
        /// Names the topics and where to resume.
        request: Box<Request>,
        /// Who has shown a token.
        identity: Option<Box<Identity>>,
    },
    /// The client of an event stream is to come back later. It is not refused: a browser would give up for ever.
    Postpone(Delay),
    /// What its body holds is published, all of it or nothing.
    Publish(Box<Request>),
    /// The peer is told something about the whole server.
    Report(Report),
    /// The peer is given this file, or told that it is not there.
    Challenge(Challenge),
    /// The server leaves, as at a signal.
    Drain,
}

/// Why an event stream is to be asked for again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// There are too many connections of its address, which may try again after so many seconds.
    TooMany(u64),
    /// There are more connections than the limit allows.
    Crowded,
    /// It is not known yet what was published, and so not behind what the client would listen.
    Starting,
    /// The server leaves. A client that has no id yet can be given one.
    Leaving {
        /// Whether it has one.
        resumes: bool,
    },
}

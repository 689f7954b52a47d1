//! What becomes of a request, as it is decided by `routes` and carried out by the server.

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
    /// What its body holds is published, all of it or nothing.
    Publish(Box<Request>),
    /// The peer is told something about the whole server.
    Report(Report),
    /// The server leaves, as at a signal.
    Drain,
}

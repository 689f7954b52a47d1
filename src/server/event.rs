//! What the poll announces, in the words of a turn.

use mio::Token;
use mio::event::Event;

use super::{
    ADMIN, CONTROLS, ENGINE, FIRST_PEER, LISTENER, REDIRECT, SIGNALS, SUCCESSOR, SUCCESSORS, SUPERVISOR,
};
use crate::server::engine::dial::Dialer;
use crate::server::peers::Readiness;
use crate::server::turn::Ready;

/// What an event says about a peer, the supervisor or the engine.
pub(super) fn ready(event: &Event) -> Option<Ready> {
    match event.token() {
        CONTROLS | SIGNALS | LISTENER | ADMIN | REDIRECT | SUCCESSOR | SUCCESSORS => None,
        SUPERVISOR => Some(Ready::Supervisor),
        token if token.0 < FIRST_PEER => Dialer::line_of(token, ENGINE).map(Ready::Engine),
        Token(peer) => {
            let is_ended = event.is_read_closed() || event.is_error();
            let readiness = match () {
                () if is_ended => Readiness::End,
                () if event.is_readable() => Readiness::Bytes,
                () => Readiness::Room,
            };
            // What is written to one that is gone fails, and shows it.
            let has_room = event.is_writable() || event.is_write_closed();
            Some(Ready::Peer { key: peer - FIRST_PEER, readiness, has_room })
        }
    }
}

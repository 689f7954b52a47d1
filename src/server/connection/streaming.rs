//! A connection that is an event stream: it is told what is published, and nothing that it sends means anything. That nobody
//! is there any more, only TCP says: in time, since it is never without something that has to arrive.

use std::time::Duration;

use bytes::Bytes;

use super::{Connection, Phase};
use crate::message::Message;
use crate::policy::sequencer::PublicationId;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::wire::chunk;
use crate::wire::event_stream::{self, Block};
use crate::wire::response::{Exchange, Response};

/// Proxies cut what has been silent for a minute, some for half of one.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);

impl<S: Socket> Connection<S> {
    /// Becomes an event stream. What came behind the request is dropped, as all that will.
    pub(in crate::server) fn stream(&mut self, opening: Response, exchange: &Exchange, now: Now) {
        self.phase = Phase::Stream { sent: now.instant, is_chunked: exchange.takes_chunks };
        let (head, opening) = opening.encode_beginning(exchange);
        self.outbox.push_unbounded(head);
        self.outbox.push_unbounded(opening);
        // No event means anything before the head and the responses ahead of it.
        self.outbox.promise();
        self.expires = Some(now + HEARTBEAT);
        self.is_client = true;
        // It is read from however much is to be published.
        self.publishes = false;
    }

    /// Whether it is an event stream, or was one until it ended.
    pub(in crate::server) fn is_stream(&self) -> bool {
        match &self.phase {
            Phase::Stream { .. } => true,
            Phase::Closing(closing) => closing.was_stream,
            Phase::Request { .. } | Phase::Open { .. } => false,
        }
    }

    /// Queues a block, however much waits, if it is a stream that goes on.
    pub(in crate::server) fn send_block(&mut self, block: Block) {
        if let Phase::Stream { is_chunked, .. } = self.phase {
            let block = if is_chunked { chunk::encode(block) } else { block };
            block.into_iter().for_each(|piece| self.outbox.push_unbounded(piece));
        }
    }

    /// A message as it goes on this stream.
    pub(super) fn event_of(&self, message: &Message) -> Block {
        match self.phase {
            Phase::Stream { is_chunked: true, .. } => message.event_chunk(),
            _ => message.event(),
        }
    }

    /// Says that the stream ends here, and was not cut, if there is a way to say so. It is two pieces as a block is, and so
    /// counted as a close frame is.
    pub(super) fn send_last_chunk(&mut self) {
        if let Phase::Stream { is_chunked: true, .. } = self.phase {
            chunk::LAST.into_iter().for_each(|piece| self.outbox.push_unbounded(Bytes::from_static(piece)));
        }
    }

    /// Up to which id its client has heard all once what is queued has reached it, if nothing else is still to come.
    pub(in crate::server) fn heard(&self, newest: Option<PublicationId>) -> Option<PublicationId> {
        newest.filter(|_| self.replay.is_none())
    }

    /// Time to look whether it was sent something lately. While something waits for it, that is enough. All that was handed
    /// out reaches up to this id, where that is known.
    pub(super) fn on_quiet(&mut self, now: Now, newest: Option<PublicationId>) {
        let Phase::Stream { sent, .. } = self.phase else { return };
        let due = sent + HEARTBEAT;
        self.expires = Some(if now.instant < due { due } else { now + HEARTBEAT });
        if now.instant >= due && self.outbox.is_empty() {
            self.send_block(event_stream::heartbeat(self.heard(newest)));
        }
    }
}

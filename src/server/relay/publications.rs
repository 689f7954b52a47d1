//! What was published: kept for workers that are still to come, and encoded once for all that are here.

use bytes::{Bytes, BytesMut};

use super::CONGESTED_BYTES;
use super::member::encode_publication;
use crate::policy::history::Publication;
use crate::policy::line::{Continuation, Continuity, Line};
use crate::server::clock::Now;
use crate::wire::link::{ToWorker, encode};

/// All of it, as far as it is known here.
#[derive(Debug)]
pub(super) struct Publications {
    line: Line,
    /// Those of this turn that were not handed on yet.
    batch: BytesMut,
    /// What was published in this turn, encoded.
    turn_bytes: usize,
}

impl Publications {
    /// Goes on behind the newest of these.
    pub(super) fn new(line: Line) -> Self {
        Self { line, batch: BytesMut::new(), turn_bytes: 0 }
    }

    /// What is kept.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Takes the next one.
    pub(super) fn push(&mut self, publication: Publication, now: Now) {
        let before = self.batch.len();
        encode_publication(&mut self.batch, &publication, now);
        self.turn_bytes += self.batch.len() - before;
        self.line.history_mut().push(publication);
    }

    /// The line goes on so, behind what was published up to now: for all who hear that, too.
    pub(super) fn go_on(&mut self, continuation: Continuation) -> Continuity {
        encode(&ToWorker::Line(continuation.clone()), &mut self.batch);
        self.line.go_on(continuation)
    }

    /// Whether there are any to be handed on.
    pub(super) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Those that are to be handed on. In memory of their own: otherwise the next batch would keep this one's memory in use.
    pub(super) fn take_batch(&mut self) -> Bytes {
        std::mem::take(&mut self.batch).freeze()
    }

    /// Whether as much was published in this turn as may be: what else has come waits for the next.
    pub(super) fn is_full(&self) -> bool {
        self.turn_bytes > CONGESTED_BYTES
    }

    /// A turn has ended.
    pub(super) fn end_turn(&mut self) {
        self.turn_bytes = 0;
    }

    /// Forgets what has become too old.
    pub(super) fn forget_old(&mut self, now: Now) {
        self.line.history_mut().expire(now.instant);
    }
}

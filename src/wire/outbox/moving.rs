//! What waits for a peer, as it is handed over to another process.

use bytes::Bytes;

use super::{Outbox, Queue};
use crate::wire::handover::Damaged;
use crate::wire::handover::record::{self, Piece};
use crate::wire::handover::times::Moment;

impl Outbox {
    /// What waits, in its order.
    pub fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.queue.iter().flat_map(|queue| &queue.frames)
    }

    /// How it stands. `piece` says how a frame is written.
    ///
    /// # Errors
    /// Those of `piece`.
    pub fn pack<E>(
        &self,
        at: Moment,
        piece: impl FnMut(&Bytes) -> Result<Piece, E>,
    ) -> Result<Option<record::Outbox>, E> {
        let Some(queue) = &self.queue else { return Ok(None) };
        Ok(Some(record::Outbox {
            pieces: queue.frames.iter().map(piece).collect::<Result<_, E>>()?,
            front_begun: queue.front_begun,
            promised: queue.promised as u64,
            trailing_pongs: queue.trailing_pongs,
            stalled_since: queue.stalled_since.map(|since| at.monotonic(since)),
            slow_since: queue.slow.map(|(since, _)| at.monotonic(since)),
            slow_bytes: queue.slow.map_or(0, |(_, bytes)| bytes as u64),
        }))
    }

    /// One that stands so. Whether the socket still takes nothing will show: it is tried at once.
    ///
    /// # Errors
    /// When it cannot stand so.
    pub fn unpack(record: record::Outbox, at: Moment, shared: &[Bytes]) -> Result<Self, Damaged> {
        let frames = record.pieces.into_iter().map(|piece| match piece {
            Piece::Own(octets) => Ok(octets.into()),
            Piece::Shared { number, skip } => {
                let whole = usize::try_from(number).ok().and_then(|number| shared.get(number));
                let whole = whole.ok_or(Damaged)?;
                let skip = usize::try_from(skip).ok().filter(|skip| *skip < whole.len()).ok_or(Damaged)?;
                Ok(whole.slice(skip..))
            }
        });
        let frames: std::collections::VecDeque<Bytes> = frames.collect::<Result<_, Damaged>>()?;
        let promised = usize::try_from(record.promised).map_err(|_| Damaged)?;
        let waiting = frames.len() - usize::from(record.front_begun && !frames.is_empty());
        let is_possible = !frames.is_empty()
            && frames.iter().all(|frame| !frame.is_empty())
            && promised <= frames.len()
            && usize::from(record.trailing_pongs) <= waiting
            && record.trailing_pongs <= super::PONGS_IN_A_ROW;
        if !is_possible {
            return Err(Damaged);
        }
        let queued_bytes = frames.iter().try_fold(0, |bytes: usize, frame| bytes.checked_add(frame.len()));
        let slow_bytes = u32::try_from(record.slow_bytes).unwrap_or(u32::MAX) as usize;
        Ok(Self {
            queue: Some(Box::new(Queue {
                queued_bytes: queued_bytes.ok_or(Damaged)?,
                frames,
                front_begun: record.front_begun,
                promised,
                trailing_pongs: record.trailing_pongs,
                stalled_since: record.stalled_since.map(|since| at.instant(since)),
                slow: record.slow_since.map(|since| (at.instant(since), slow_bytes)),
            })),
        })
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;

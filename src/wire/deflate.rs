//! Compresses and inflates whole messages (RFC 7692 §7.2), each for itself: one compressor and one inflater serve all
//! connections, and no connection keeps a window.
//!
//! Invariants: both take memory only once they are needed; nothing is inflated beyond the limit of a message.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use crate::frame::{Frame, Kind};
use crate::wire::ending::Violation;

/// Shorter messages are not worth it: of usual text, compressing 512 bytes saves a third, 2 KiB more than half.
const WORTHWHILE_BYTES: usize = 256;

/// What a flush ends with, and a message does not: an empty stored block, but for the bits of its header.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty block that is the last one. It reads like this only where a block may begin.
const END: [u8; 2] = [3, 0];

/// What the buffer of a compressor may hold on to.
const KEPT_BYTES: usize = 64 * 1024;

/// What is set aside for an inflated message at first, for each byte of the compressed one.
const USUAL_RATIO: usize = 4;

/// What reading an octet of a compressed message may cost, in octets that are written. A block has at least 91 bits if it brings
/// codes of its own, whose tables take some 200 ns, and need not inflate to anything: that is about 20 ns an octet. Writing one, and
/// doing with it what is done with a message, takes little more than 1 ns.
const READING: u64 = 16;

/// Whether compressing a message of this length may be of use.
pub fn is_worthwhile(message_bytes: usize) -> bool {
    message_bytes >= WORTHWHILE_BYTES
}

/// Compresses messages for all who can inflate them.
#[derive(Debug, Default)]
pub struct Compressor {
    stream: Option<Compress>,
    buffer: Vec<u8>,
    taken_bytes: u64,
    done: Compressed,
}

/// What has been compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compressed {
    /// How many messages.
    pub messages: u64,
    /// Their bytes before,
    pub bytes_before: u64,
    /// and after that.
    pub bytes_after: u64,
}

impl Compressor {
    /// A message as one whole, compressed frame; `None` where that would not be shorter than the plain frame, or the message is
    /// too short to be worth trying.
    pub fn compress(&mut self, kind: Kind, message: &[u8]) -> Option<Frame> {
        if !is_worthwhile(message.len()) {
            return None;
        }
        // What needs more than that is not shorter.
        self.buffer.reserve_exact(message.len() + TAIL.len());
        let stream = self.stream.get_or_insert_with(|| Compress::new(Level::default(), false));
        stream.reset();
        self.taken_bytes += message.len() as u64;
        let flushed = stream.compress_vec(message, &mut self.buffer, FlushCompress::Sync);
        debug_assert!(flushed.is_ok(), "{flushed:?}");
        // What has filled its room may have needed more.
        let is_whole = flushed.is_ok() && self.buffer.len() < self.buffer.capacity();
        let payload = self.buffer.strip_suffix(&TAIL);
        let payload = payload.filter(|payload| is_whole && payload.len() < message.len());
        if let Some(payload) = payload {
            self.done.messages += 1;
            self.done.bytes_before += message.len() as u64;
            self.done.bytes_after += payload.len() as u64;
        }
        let frame = payload.map(|payload| Frame::compressed(kind, payload));
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        frame
    }

    /// How long all messages are that it has tried to compress so far.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// By how much that is more than it was.
    pub fn taken_since(&self, before: u64) -> usize {
        usize::try_from(self.taken_bytes - before).unwrap_or(usize::MAX)
    }

    /// What it has compressed so far.
    pub fn done(&self) -> Compressed {
        self.done
    }
}

/// Inflates the messages of all who may compress them.
#[derive(Debug, Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    cost: u64,
}

impl Inflater {
    /// The message whose fragments had this payload.
    ///
    /// # Errors
    /// When it is longer than `most_bytes`, or is not what a compressor makes.
    pub fn inflate(&mut self, payload: &[u8], most_bytes: usize) -> Result<Vec<u8>, Violation> {
        let mut message = Message::new(payload.len().saturating_mul(USUAL_RATIO), most_bytes);
        let inflated = self.inflate_whole(payload, &mut message);
        // It has taken as long if it is of no use.
        self.cost += message.octets.len() as u64 + READING * payload.len() as u64;
        inflated.map(|()| message.octets)
    }

    /// What all it has done has cost so far, in octets that are written: what messages have inflated to, and more for what they
    /// were inflated from, since that need not inflate to anything.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether that is by so many octets more than it was.
    pub fn has_cost_since(&self, before: u64, octets: usize) -> bool {
        self.cost - before >= octets as u64
    }

    fn inflate_whole(&mut self, payload: &[u8], message: &mut Message) -> Result<(), Violation> {
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        let mut rest = payload;
        while message.take_in(stream, &mut rest)? == Status::StreamEnd {
            if rest.is_empty() {
                return Ok(());
            }
            // Any block may say that it is the last one, and others follow all the same (RFC 7692 §7.2.1).
            stream.reset(false);
        }
        // Some do not take the tail away, and some compress nothing to nothing. A payload that lacks the tail ends otherwise: its
        // last bit is zero.
        let mut tail: &[u8] = if payload.is_empty() || payload.ends_with(&TAIL) { &[] } else { &TAIL };
        let has_ended = message.take_in(stream, &mut tail)? == Status::StreamEnd;
        let (bytes, mut end) = (message.octets.len(), &END[..]);
        let is_whole = match has_ended {
            true => tail.is_empty(),
            // Unless it has stopped in the midst of a block.
            false => message.take_in(stream, &mut end)? == Status::StreamEnd && end.is_empty(),
        };
        if is_whole && message.octets.len() == bytes { Ok(()) } else { Err(Violation::Corrupt) }
    }
}

/// As much as the payload of a message of this length may have, as zlib puts it when it knows nothing more (`deflateBound`).
/// Whoever flushes often, or sends empty blocks, needs no more time and memory than that.
pub fn most_compressed_bytes(message_bytes: usize) -> usize {
    let overhead = message_bytes / 8 + message_bytes / 64 + 13;
    message_bytes.saturating_add(overhead)
}

/// A message that is being inflated.
struct Message {
    octets: Vec<u8>,
    most_bytes: usize,
}

impl Message {
    fn new(usual_bytes: usize, most_bytes: usize) -> Self {
        // One more shows that it is too long.
        let room = usual_bytes.min(most_bytes).saturating_add(1);
        Self { octets: Vec::with_capacity(room), most_bytes }
    }

    /// Inflates until the input is used up, or a block has ended that says it is the last one.
    fn take_in(&mut self, stream: &mut Decompress, input: &mut &[u8]) -> Result<Status, Violation> {
        loop {
            if self.octets.len() == self.octets.capacity() {
                let left = self.most_bytes.saturating_add(1) - self.octets.len();
                self.octets.reserve_exact(self.octets.len().min(left));
            }
            let (taken, written) = (stream.total_in(), self.octets.len());
            let status = stream.decompress_vec(input, &mut self.octets, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::Corrupt)?;
            let taken = usize::try_from(stream.total_in() - taken).expect("no more than there is");
            *input = &input[taken..];
            if self.octets.len() > self.most_bytes {
                return Err(Violation::TooBig);
            }
            let has_room = self.octets.len() < self.octets.capacity();
            match status {
                Status::StreamEnd => return Ok(status),
                _ if input.is_empty() && has_room => return Ok(status),
                _ if has_room && taken == 0 && self.octets.len() == written => {
                    return Err(Violation::Corrupt);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "deflate_tests.rs"]
mod tests;

//! What a leaving process hands to its successor: the epoch, the newest position and the history, as octets with a
//! version and a checksum. Reading what is not a whole snapshot of this version is an error, never a guess.
//!
//! Layout: the magic and version (16 octets), the CRC-32 of all that follows (u32), epoch (u32), newest (u64), count
//! (u64), then each publication: when it was published in milliseconds since 1970 (i64), the length of its topic (u8)
//! and of its frame (u32), the topic, the frame. Numbers are big-endian.

use bytes::{Buf, BufMut};
use thiserror::Error;

use crate::frame::Frame;
use crate::policy::sequencer::Position;
use crate::policy::topic::TopicName;

const MAGIC: &[u8; 16] = b"slackwater st 1\n";

/// The state of one process's history.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of all ids.
    pub epoch: u32,
    /// The position of the newest publication.
    pub newest: Position,
    /// The publications up to the newest, without a gap.
    pub publications: Vec<Kept>,
}

/// One publication of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it was published to.
    pub topic: TopicName,
    /// The message, encoded.
    pub frame: Frame,
    /// When it was published, in milliseconds since 1970.
    pub at_unix_ms: i64,
}

/// Why octets are not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Something else, or another version's.
    #[error("it is not a state file of this version")]
    Foreign,
    /// Cut short or changed.
    #[error("it is damaged")]
    Damaged,
}

impl Snapshot {
    /// The snapshot as octets.
    pub fn encode(&self) -> Vec<u8> {
        let payload: usize = self.publications.iter().map(|kept| 13 + 128 + kept.frame.len()).sum();
        let mut octets = Vec::with_capacity(40 + payload);
        octets.put_slice(MAGIC);
        octets.put_u32(0);
        octets.put_u32(self.epoch);
        octets.put_u64(self.newest);
        octets.put_u64(self.publications.len() as u64);
        for Kept { topic, frame, at_unix_ms } in &self.publications {
            octets.put_i64(*at_unix_ms);
            octets.put_u8(u8::try_from(topic.as_str().len()).expect("a topic has at most 128 bytes"));
            octets.put_u32(u32::try_from(frame.len()).expect("a frame is smaller than a request"));
            octets.put_slice(topic.as_str().as_bytes());
            octets.put_slice(frame.as_bytes());
        }
        let checksum = crc32fast::hash(&octets[MAGIC.len() + 4..]);
        octets[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&checksum.to_be_bytes());
        octets
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(octets: &[u8]) -> Result<Self, SnapshotError> {
        let mut rest = octets.strip_prefix(MAGIC).ok_or(SnapshotError::Foreign)?;
        let checksum = rest.try_get_u32().map_err(|_| SnapshotError::Damaged)?;
        if checksum != crc32fast::hash(rest) {
            return Err(SnapshotError::Damaged);
        }
        Self::decode_body(&mut rest).ok_or(SnapshotError::Damaged)
    }

    fn decode_body(rest: &mut &[u8]) -> Option<Self> {
        let (epoch, newest) = (rest.try_get_u32().ok()?, rest.try_get_u64().ok()?);
        let count = rest.try_get_u64().ok()?;
        let publications = (0..count).map(|_| Kept::decode(rest)).collect::<Option<Vec<_>>>()?;
        (rest.is_empty() && count <= newest).then_some(Self { epoch, newest, publications })
    }
}

impl Kept {
    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let at_unix_ms = rest.try_get_i64().ok()?;
        let topic_bytes = usize::from(rest.try_get_u8().ok()?);
        let frame_bytes = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let topic = TopicName::parse(str::from_utf8(rest.split_off(..topic_bytes)?).ok()?).ok()?;
        let frame = Frame::from_encoded(rest.split_off(..frame_bytes)?.to_vec());
        Some(Self { topic, frame, at_unix_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let kept = |text: &str| Kept {
            topic: TopicName::parse("orders/7").unwrap(),
            frame: Frame::text(text.to_owned()),
            at_unix_ms: 1_795_348_800_123,
        };
        Snapshot { epoch: 0xbeef, newest: 42, publications: vec![kept("one"), kept("ö")] }
    }

    #[test]
    fn what_was_written_is_read_again() {
        assert_eq!(Snapshot::decode(&snapshot().encode()), Ok(snapshot()));
        let empty = Snapshot { epoch: 1, newest: 0, publications: vec![] };
        assert_eq!(Snapshot::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn any_damage_is_noticed() {
        let whole = snapshot().encode();
        for end in 0..whole.len() {
            assert!(Snapshot::decode(&whole[..end]).is_err(), "cut at {end}");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert!(Snapshot::decode(&damaged).is_err(), "changed at {place}");
        }
        assert_eq!(Snapshot::decode(&[&whole[..], b"x"].concat()), Err(SnapshotError::Damaged));
    }

    #[test]
    fn what_is_something_else_is_called_foreign() {
        for foreign in [&b""[..], b"{}", b"slackwater st 2\n\0\0\0\0"] {
            assert_eq!(Snapshot::decode(foreign), Err(SnapshotError::Foreign));
        }
    }
}

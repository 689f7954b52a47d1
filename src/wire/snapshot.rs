//! What a leaving process hands to its successor: the epochs, the newest position, the history and the answers to keys, as
//! octets with a version and a checksum. Anything but a whole snapshot is an error, never guessed at. A checksum does not
//! prove who wrote it, so that only what a server could have written is accepted.
//!
//! Layout: the magic with the version (16 octets), the CRC-32 of all that follows (u32), epoch (u32), newest (u64), count
//! (u64), then each publication: when it was published in milliseconds since 1970 (i64), the length of its topic (u8)
//! and of its JSON (u32), the topic, the JSON; before version 3 a frame instead of the JSON. Then, since version 2, the count (u64) of answers and each of them: when
//! it was given (i64), the fingerprints of its key's name and payload (16 octets each), whether it is a batch's (u8), the
//! count (u32) of runs and each of them: its first position (u64) and how many there are (u32). Numbers are big-endian.
//!
//! Version 4 is written only where there is more to say than one epoch whose ids have the positions that they have here, so that
//! earlier programs read all else. Instead of the epoch it has the count (u8) of runs and each of them, as `policy::epochs` has
//! it: the epoch (u32) and the position in it (u64) of the id ahead of the run, and its position here (u64).

use std::collections::HashSet;
use std::io::{self, Write};

use bytes::{Buf, BufMut};
use serde::Deserialize;
use simdutf8::basic::from_utf8;
use thiserror::Error;

use crate::frame::text_range;
use crate::message::Message;
use crate::policy::epochs::{self, Epochs, Place};
use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::{Answer, Key};
use crate::policy::positions::{Positions, Run};
use crate::policy::sequencer::{MAX_POSITION, Position, PublicationId};
use crate::policy::topic::TopicName;
use crate::wire::publish::MAX_PUBLICATIONS;

/// What files of every version begin with.
pub const FAMILY: &[u8] = b"slackwater st ";

/// Of each version. The last two are written, all are read.
const MAGICS: [&[u8; 16]; 4] =
    [b"slackwater st 1\n", b"slackwater st 2\n", b"slackwater st 3\n", b"slackwater st 4\n"];

/// What is written, unless there is more than one epoch to tell of.
const PLAIN: &[u8; 16] = MAGICS[2];

/// What is written if there is.
const WITH_EPOCHS: &[u8; 16] = MAGICS[3];

/// The magic and the checksum.
const HEAD_BYTES: usize = PLAIN.len() + 4;

/// The state of one process's history.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The ids of the positions.
    pub epochs: Epochs,
    /// The position of the newest publication.
    pub newest: Position,
    /// The publications up to the newest, without a gap.
    pub publications: Vec<Kept>,
    /// The answers that were given to keys, oldest first.
    pub answers: Vec<Given>,
}

/// The octets of a snapshot, to be written.
#[derive(Debug)]
pub struct Summed<'a> {
    snapshot: &'a Snapshot,
    /// Of all that follows the head.
    pub checksum: crc32fast::Hasher,
    /// How many there are in all.
    pub bytes: usize,
}

/// One publication of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it was published to.
    pub topic: TopicName,
    /// What was said to all.
    pub message: Message,
    /// When it was published, in milliseconds since 1970.
    pub at_unix_ms: i64,
}

/// One answer of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    /// The key that it was given to.
    pub key: Key,
    /// What it says.
    pub answer: Answer,
    /// When it was given, in milliseconds since 1970.
    pub at_unix_ms: i64,
}

/// Why octets are not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Something else, or of another version.
    #[error("it is not a state file of this version")]
    Foreign,
    /// Cut short or changed.
    #[error("it is damaged")]
    Damaged,
}

impl Snapshot {
    /// What names all that was published.
    pub fn newest_id(&self) -> PublicationId {
        self.epochs.up_to(self.newest).expect("the newest position is of the newest epoch")
    }

    /// Whether another one is an earlier state of the same history.
    pub fn holds(&self, other: &Self) -> bool {
        matches!(self.epochs.place(other.newest_id(), self.newest), Place::At(_))
    }

    /// The snapshot as octets.
    pub fn encode(&self) -> Vec<u8> {
        let summed = self.sum_up();
        let mut octets = Vec::with_capacity(summed.bytes);
        summed.write(&mut octets).expect("memory takes all of it");
        octets
    }

    /// What is known of the octets ahead of writing them, which takes no memory for them all at once.
    pub fn sum_up(&self) -> Summed<'_> {
        let (mut checksum, mut bytes) = (crc32fast::Hasher::new(), HEAD_BYTES);
        let summed: io::Result<()> = self.each_piece(|octets| {
            checksum.update(octets);
            bytes += octets.len();
            Ok(())
        });
        summed.expect("it is only counted");
        Summed { snapshot: self, checksum, bytes }
    }

    /// All that is behind the checksum, piece by piece.
    fn each_piece(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut numbers = Vec::new();
        match self.epochs.plain() {
            Some(epoch) => numbers.put_u32(epoch),
            None => encode_epochs(&self.epochs, &mut numbers),
        }
        numbers.put_u64(self.newest);
        numbers.put_u64(self.publications.len() as u64);
        take(&numbers)?;
        for kept in &self.publications {
            numbers.clear();
            kept.encode_head(&mut numbers);
            take(&numbers)?;
            take(kept.message.json())?;
        }
        numbers.clear();
        numbers.put_u64(self.answers.len() as u64);
        self.answers.iter().for_each(|given| given.encode(&mut numbers));
        take(&numbers)
    }

    /// Reads what `encode` wrote, or did in an earlier version.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(octets: &[u8]) -> Result<Self, SnapshotError> {
        let (version, checksum, mut rest) = Self::read_head(octets)?;
        if checksum != crc32fast::hash(rest) {
            return Err(SnapshotError::Damaged);
        }
        Self::decode_body(&mut rest, version, is_notification).ok_or(SnapshotError::Damaged)
    }

    /// Reads what a process has just written with `encode` that hands over to this one, within a checksum of its own. Nobody is
    /// heard meanwhile, and to read all JSON would take longer than anything else: only its beginning is.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode_handed_over(octets: &[u8]) -> Result<Self, SnapshotError> {
        let (version, _, mut rest) = Self::read_head(octets)?;
        let is_sound = |json: &[u8], id, topic: &_| {
            begins_as_notification(json, id, topic) || is_notification(json, id, topic)
        };
        Self::decode_body(&mut rest, version, is_sound).ok_or(SnapshotError::Damaged)
    }

    /// The version, the checksum of all that follows, and that.
    fn read_head(octets: &[u8]) -> Result<(usize, u32, &[u8]), SnapshotError> {
        let (magic, mut rest) = octets.split_first_chunk().ok_or(SnapshotError::Foreign)?;
        let version = MAGICS.iter().position(|of| *of == magic).ok_or(SnapshotError::Foreign)? + 1;
        let checksum = rest.try_get_u32().map_err(|_| SnapshotError::Damaged)?;
        Ok((version, checksum, rest))
    }

    fn decode_body(
        rest: &mut &[u8],
        version: usize,
        is_sound: impl Fn(&[u8], PublicationId, &TopicName) -> bool,
    ) -> Option<Self> {
        let epochs = match version {
            ..=3 => Epochs::of(rest.try_get_u32().ok()?),
            _ => decode_epochs(rest)?,
        };
        let newest = rest.try_get_u64().ok().filter(|newest| *newest <= MAX_POSITION)?;
        let last = epochs.runs().last()?;
        let newest_in_epoch = last.id.position() + newest.checked_sub(last.position)?;
        let count = rest.try_get_u64().ok()?;
        let before = newest.checked_sub(count)?;
        // Collected one by one: memory is not reserved by what a count says.
        let publications = (before + 1..=newest)
            .map(|position| Kept::decode(rest, epochs.id(position)?, version, &is_sound))
            .collect::<Option<Vec<_>>>()?;
        let count = if version >= 2 { rest.try_get_u64().ok()? } else { 0 };
        let answers = (0..count).map(|_| Given::decode(rest, newest_in_epoch)).collect::<Option<Vec<_>>>()?;
        let names: HashSet<Fingerprint> = answers.iter().map(|given| given.key.name).collect();
        let is_whole = rest.is_empty() && names.len() == answers.len();
        is_whole.then_some(Self { epochs, newest, publications, answers })
    }
}

impl Summed<'_> {
    /// Writes them.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.head())?;
        self.write_rest(to)
    }

    /// Writes those behind the head.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_rest(&self, to: &mut impl Write) -> io::Result<()> {
        self.snapshot.each_piece(|octets| to.write_all(octets))
    }

    /// The first octets, and the checksum of those that follow.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let of_version = if self.snapshot.epochs.plain().is_some() { PLAIN } else { WITH_EPOCHS };
        let (magic, checksum) = head.split_at_mut(of_version.len());
        magic.copy_from_slice(of_version);
        checksum.copy_from_slice(&self.checksum.clone().finalize().to_be_bytes());
        head
    }
}

fn encode_epochs(epochs: &Epochs, octets: &mut Vec<u8>) {
    let runs = epochs.runs();
    octets.put_u8(u8::try_from(runs.len()).expect("no more are remembered"));
    for epochs::Run { id, position } in runs {
        octets.put_u32(id.epoch());
        octets.put_u64(id.position());
        octets.put_u64(*position);
    }
}

/// Those that an earlier version could have written it would have written in another way.
fn decode_epochs(rest: &mut &[u8]) -> Option<Epochs> {
    let count = rest.try_get_u8().ok()?;
    let mut run = || {
        let id = PublicationId::new(rest.try_get_u32().ok()?, rest.try_get_u64().ok()?);
        Some(epochs::Run { id, position: rest.try_get_u64().ok()? })
    };
    let runs = (0..count).map(|_| run()).collect::<Option<Vec<_>>>()?;
    Epochs::try_from(runs).ok().filter(|epochs| epochs.plain().is_none())
}

impl Kept {
    /// What precedes the JSON.
    fn encode_head(&self, octets: &mut Vec<u8>) {
        let Self { topic, message, at_unix_ms } = self;
        octets.put_i64(*at_unix_ms);
        octets.put_u8(u8::try_from(topic.as_str().len()).expect("a topic has at most 128 bytes"));
        octets
            .put_u32(u32::try_from(message.json().len()).expect("a message is hardly larger than a request"));
        octets.put_slice(topic.as_str().as_bytes());
    }

    fn decode(
        rest: &mut &[u8],
        id: PublicationId,
        version: usize,
        is_sound: impl Fn(&[u8], PublicationId, &TopicName) -> bool,
    ) -> Option<Self> {
        let at_unix_ms = rest.try_get_i64().ok()?;
        let topic_bytes = usize::from(rest.try_get_u8().ok()?);
        let bytes = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let topic = TopicName::parse(str::from_utf8(rest.split_off(..topic_bytes)?).ok()?).ok()?;
        let octets = rest.split_off(..bytes)?;
        let json = if version >= 3 { octets } else { unframe(octets)? };
        is_sound(json, id, &topic).then(|| Self { topic, message: Message::new(json, id), at_unix_ms })
    }
}

/// The message of a frame, if it is one whole text message.
fn unframe(frame: &[u8]) -> Option<&[u8]> {
    let range = text_range(frame)?;
    if range.end == frame.len() { frame.get(range) } else { None }
}

/// Whether clients would accept it as the publication of this id.
fn is_notification(json: &[u8], id: PublicationId, topic: &TopicName) -> bool {
    #[derive(Deserialize)]
    struct Notification<'a> {
        r#type: &'a str,
        id: &'a str,
        topic: &'a str,
    }
    let text = str::from_utf8(json).ok();
    let message = text.and_then(|text| serde_json::from_str::<Notification<'_>>(text).ok());
    message.is_some_and(|message| {
        message.r#type == "notification" && message.id == id.to_string() && message.topic == topic.as_str()
    })
}

/// Whether it is text, and begins as this program writes the publication of this id.
fn begins_as_notification(json: &[u8], id: PublicationId, topic: &TopicName) -> bool {
    // No topic has a character that JSON would have to escape.
    let beginning = format!(r#"{{"type":"notification","id":"{id}","topic":"{}","#, topic.as_str());
    json.starts_with(beginning.as_bytes()) && json.ends_with(b"}") && from_utf8(json).is_ok()
}

impl Given {
    fn encode(&self, octets: &mut Vec<u8>) {
        let Self { key, answer, at_unix_ms } = self;
        octets.put_i64(*at_unix_ms);
        octets.put_slice(&key.name.0);
        octets.put_slice(&key.payload.0);
        octets.put_u8(answer.is_batch.into());
        let runs = answer.positions.runs();
        octets.put_u32(u32::try_from(runs.len()).expect("a request makes fewer publications"));
        for Run { first, count } in runs {
            octets.put_u64(*first);
            octets.put_u32(*count);
        }
    }

    fn decode(rest: &mut &[u8], newest: Position) -> Option<Self> {
        let at_unix_ms = rest.try_get_i64().ok()?;
        let mut fingerprint = || Some(Fingerprint(*rest.split_off(..16)?.first_chunk()?));
        let key = Key { name: fingerprint()?, payload: fingerprint()? };
        let is_batch = match rest.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let runs = rest.try_get_u32().ok()?;
        let runs = (0..runs).map(|_| decode_run(rest, newest)).collect::<Option<Vec<_>>>()?;
        let positions: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        let is_an_answer = (1..=MAX_PUBLICATIONS as u64).contains(&positions);
        let answer = Answer { positions: Positions::from_runs(runs), is_batch };
        is_an_answer.then_some(Self { key, answer, at_unix_ms })
    }
}

fn decode_run(rest: &mut &[u8], newest: Position) -> Option<Run> {
    let run = Run { first: rest.try_get_u64().ok()?, count: rest.try_get_u32().ok()? };
    let last = run.first.checked_add(u64::from(run.count.checked_sub(1)?))?;
    (run.first > 0 && last <= newest).then_some(run)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;

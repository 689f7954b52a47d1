//! How everything stands, in one piece: the magic, the format, entries, and a checksum behind them. Each entry is its kind
//! (u8), the length of what follows (u64, big-endian) and that. Entries of a kind that is not known are passed over.

use std::io::{self, Write};

use bytes::Buf;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::parked::Left;
use super::record::{Monotonic, Record};
use super::{Damaged, FORMATS, message};
use crate::wire::snapshot::Snapshot;

const MAGIC: &[u8; 12] = b"slackwater h";

const WHOLE: u8 = 1;
const SNAPSHOT: u8 = 2;
const SHARED: u8 = 3;
const CONNECTION: u8 = 4;
const END: u8 = 5;
const LEFT: u8 = 6;
const SECURED_CONNECTION: u8 = 7;

/// What holds for the whole server.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Whole {
    /// Of the process that hands over.
    #[n(0)]
    pub counted: Option<String>,
    /// Periodic notifications so far.
    #[cbor(n(1), default)]
    pub notifications: u64,
    /// When the next one is due.
    #[n(2)]
    pub next_notification: Option<Monotonic>,
    /// The position before the first that was given since this server began to count.
    #[n(3)]
    pub begun: Option<u64>,
    /// Addresses that have no connection but have had some lately, and when they may have as many as ever.
    #[cbor(n(4), default)]
    pub addresses: Vec<(u64, Monotonic)>,
}

/// One entry of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// What holds for the whole server: comes first.
    Whole(Box<Whole>),
    /// The order and the history, as `wire::snapshot` writes them.
    Snapshot(&'a [u8]),
    /// A piece that several connections share; they are numbered from 0.
    Shared(&'a [u8]),
    /// A connection, in the order of the descriptors. One with TLS has a kind of its own: whoever does not know TLS, and would say in
    /// plain what it has to say, finds a descriptor too many, and takes nothing over.
    Connection(Box<Record>),
    /// All of it was left for a later start.
    Left(Left),
}

/// Writes an image, piece by piece.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    checksum: crc32fast::Hasher,
    bytes: u64,
    /// Memory for one entry. There may be keys in it.
    entry: Zeroizing<Vec<u8>>,
}

impl<W: Write> Writer<W> {
    /// Begins an image of this format.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(to: W, format: u32) -> io::Result<Self> {
        let mut writer =
            Self { to, checksum: crc32fast::Hasher::new(), bytes: 0, entry: Zeroizing::default() };
        writer.write(MAGIC)?;
        writer.write(&format.to_be_bytes())?;
        Ok(writer)
    }

    /// Says what holds for the whole server: once, and first.
    ///
    /// # Errors
    /// Those of writing.
    pub fn whole(&mut self, whole: &Whole) -> io::Result<()> {
        self.encoded(WHOLE, whole)
    }

    /// Says what was published lately. It is written as it is read, since there may be much of it, and nobody is heard meanwhile.
    ///
    /// # Errors
    /// Those of writing.
    pub fn history(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let summed = snapshot.sum_up();
        let head = summed.head();
        self.entry_head(SNAPSHOT, summed.bytes)?;
        self.write(&head)?;
        summed.write_rest(&mut self.to)?;
        self.checksum.combine(&summed.checksum);
        self.bytes += (summed.bytes - head.len()) as u64;
        Ok(())
    }

    /// Says something instead of it.
    #[cfg(test)]
    pub fn snapshot(&mut self, octets: &[u8]) -> io::Result<()> {
        self.entry(SNAPSHOT, octets)
    }

    /// Writes a piece that several connections share, ahead of the first of them.
    ///
    /// # Errors
    /// Those of writing.
    pub fn shared(&mut self, octets: &[u8]) -> io::Result<()> {
        self.entry(SHARED, octets)
    }

    /// Writes how the next connection stands.
    ///
    /// # Errors
    /// Those of writing.
    pub fn connection(&mut self, record: &Record) -> io::Result<()> {
        let kind = if record.tls.is_some() { SECURED_CONNECTION } else { CONNECTION };
        self.encoded(kind, record)
    }

    /// Says how it was left for a later start.
    ///
    /// # Errors
    /// Those of writing.
    pub fn left(&mut self, left: &Left) -> io::Result<()> {
        self.encoded(LEFT, left)
    }

    /// Ends the image, and says how many bytes it has.
    ///
    /// # Errors
    /// Those of writing.
    pub fn end(mut self) -> io::Result<u64> {
        self.entry(END, &[])?;
        let checksum = self.checksum.clone().finalize();
        self.write(&checksum.to_be_bytes())?;
        self.to.flush()?;
        Ok(self.bytes)
    }

    fn encoded(&mut self, kind: u8, value: &impl Encode<()>) -> io::Result<()> {
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        minicbor::encode(value, &mut *entry).expect("memory takes all of it");
        let written = self.entry(kind, &entry);
        self.entry = entry;
        written
    }

    fn entry(&mut self, kind: u8, octets: &[u8]) -> io::Result<()> {
        self.entry_head(kind, octets.len())?;
        self.write(octets)
    }

    fn entry_head(&mut self, kind: u8, bytes: usize) -> io::Result<()> {
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&(bytes as u64).to_be_bytes());
        self.write(&head)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.checksum.update(octets);
        self.bytes += octets.len() as u64;
        self.to.write_all(octets)
    }
}

/// How many connections there are in an image.
///
/// # Errors
/// When it is not whole, or of a format that is not understood.
pub fn connections(octets: &[u8]) -> Result<usize, Damaged> {
    let (mut entries, mut count) = (Reader::new(octets)?, 0);
    loop {
        match entries.next_raw()? {
            (END, _) => return Ok(count),
            (kind, _) => count += usize::from(matches!(kind, CONNECTION | SECURED_CONNECTION)),
        }
    }
}

/// Reads an image.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads what a `Writer` has written, once all of it is there.
    ///
    /// # Errors
    /// When it is not whole, or of a format that is not understood.
    pub fn new(octets: &'a [u8]) -> Result<Self, Damaged> {
        let (image, checksum) = octets.split_last_chunk().ok_or(Damaged)?;
        let rest = image.strip_prefix(MAGIC).ok_or(Damaged)?;
        let (format, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let is_whole = crc32fast::hash(image) == u32::from_be_bytes(*checksum);
        let is_known = FORMATS.contains(&u32::from_be_bytes(*format));
        if is_whole && is_known { Ok(Self { rest }) } else { Err(Damaged) }
    }

    /// The next entry. Call until `None`.
    ///
    /// # Errors
    /// When it is none.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, Damaged> {
        loop {
            let (kind, octets) = self.next_raw()?;
            return Ok(Some(match kind {
                WHOLE => Entry::Whole(Box::new(message::decode(octets)?)),
                SNAPSHOT => Entry::Snapshot(octets),
                SHARED => Entry::Shared(octets),
                CONNECTION | SECURED_CONNECTION => Entry::Connection(Box::new(message::decode(octets)?)),
                LEFT => Entry::Left(message::decode(octets)?),
                END if self.rest.is_empty() => return Ok(None),
                END => return Err(Damaged),
                _ => continue,
            }));
        }
    }

    pub(super) fn next_raw(&mut self) -> Result<(u8, &'a [u8]), Damaged> {
        let kind = self.rest.try_get_u8().map_err(|_| Damaged)?;
        let length = self.rest.try_get_u64().map_err(|_| Damaged)?;
        let length = usize::try_from(length).map_err(|_| Damaged)?;
        Ok((kind, self.rest.split_off(..length).ok_or(Damaged)?))
    }
}

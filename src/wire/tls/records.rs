//! A server's side once the handshake has ended: what the records of a client mean, and those that it is sent. It knows no handshake
//! but a change of keys, and holds no buffer.
//!
//! Source: RFC 8446 §4.6.3, §5 and §6; RFC 5246 §6.2, §7.2 and §7.4.1. A renegotiation is refused (RFC 5246 §7.2.2).

use std::io::IoSlice;

use aws_lc_rs::aead::LessSafeKey;
use bytes::{BufMut, BytesMut};
use rustls::AlertDescription;

use super::error::TlsError;
use super::keys::{APPLICATION_DATA, CONTENT_BYTES, HEADER_BYTES, Keys, NotOpened, Opened, UsedUp};
use super::machine::Stop;
use super::message::{Message, Step};
use super::suite::{Suite, Version};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// The level of an alert (RFC 5246 §7.2).
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// How many times in a row a client may say something that brings nothing: change keys, send an empty record, warn of something.
const MOST_FRUITLESS: u8 = 32;

/// What goes in both directions.
pub struct Records {
    pub suite: &'static Suite,
    pub rx: Keys,
    pub tx: Keys,
    pub message: Message,
    /// How many times in a row nothing was brought.
    pub fruitless: u8,
    /// Whether the client waits for us to change our keys.
    pub owes_update: bool,
    /// Whether the application's protocol was agreed on.
    pub is_alpn: bool,
    /// Whether it continues a session of before.
    pub is_resumed: bool,
}

/// What is wrong, and how the client is told.
struct Fault(AlertDescription, TlsError);

const UNEXPECTED: Fault =
    Fault(AlertDescription::UnexpectedMessage, TlsError::Violation("a message that may not come now"));

const MALFORMED: Fault = Fault(AlertDescription::DecodeError, TlsError::Violation("a malformed message"));

/// What a record means, beside what it has within.
enum Meaning {
    Nothing,
    NewKeys,
    End,
}

impl Records {
    /// Those of such keys.
    pub fn new(suite: &'static Suite, rx: Keys, tx: Keys) -> Self {
        let message = Message::default();
        let (is_alpn, is_resumed) = (false, false);
        Self { suite, rx, tx, message, fruitless: 0, owes_update: false, is_alpn, is_resumed }
    }

    /// Reads the whole records there are; how much that is. Of one that is not whole the header is looked at.
    ///
    /// # Errors
    /// When the connection is over. The alert that says so is in `out`.
    pub fn read(
        &mut self,
        input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(usize, Stop), TlsError> {
        self.read_all(input, plaintext, out).map_err(|Fault(alert, error)| {
            // Whoever has ended it is not told so.
            if !matches!(error, TlsError::PeerSays(_)) {
                self.alert(alert, out);
            }
            error
        })
    }

    /// Whether a record can begin so.
    pub fn may_begin(&self, octets: &[u8]) -> bool {
        self.record_bytes(octets).is_ok()
    }

    /// Encrypts the pieces, in as few records as they fit into.
    ///
    /// # Errors
    /// When the keys are used up. The end of our side is in `out` then.
    pub fn send(&mut self, pieces: &[IoSlice<'_>], out: &mut BytesMut) -> Result<(), TlsError> {
        let mut rest_bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if rest_bytes == 0 {
            return Ok(());
        }
        let last = self.tx.seq.saturating_add(rest_bytes.div_ceil(CONTENT_BYTES) as u64);
        if self.suite.version == Version::Tls12 && last > self.suite.most_records {
            self.close(out)?;
            return Err(TlsError::KeysUsedUp);
        }
        self.update_if_owed(out)?;
        let mut pieces = Pieces { rest: pieces, begun_bytes: 0 };
        let mut cipher = self.tx.cipher(self.suite);
        while rest_bytes > 0 {
            if self.tx.seq >= self.suite.most_records {
                self.update(out)?;
                cipher = self.tx.cipher(self.suite);
            }
            let content_bytes = rest_bytes.min(CONTENT_BYTES);
            let write = |out: &mut BytesMut| pieces.put(content_bytes, out);
            self.tx.seal(self.suite, &cipher, APPLICATION_DATA, content_bytes, out, write)?;
            rest_bytes -= content_bytes;
        }
        Ok(())
    }

    /// Says that nothing more follows.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn close(&mut self, out: &mut BytesMut) -> Result<(), TlsError> {
        self.update_if_owed(out)?;
        Ok(self.seal(ALERT, &[WARNING, AlertDescription::CloseNotify.into()], out)?)
    }

    /// Says that everything is over, and why.
    pub fn alert(&mut self, alert: AlertDescription, out: &mut BytesMut) {
        // If the keys are used up, there is nothing to say it with.
        let _ = self.seal(ALERT, &[FATAL, alert.into()], out);
    }

    fn read_all(
        &mut self,
        input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(usize, Stop), Fault> {
        let (mut cipher, mut used_bytes) = (None, 0);
        while let Some(length) = self.record_bytes(&input[used_bytes..])? {
            let Some(record) = input[used_bytes..].get_mut(..length) else { break };
            used_bytes += length;
            let current = cipher.get_or_insert_with(|| self.rx.cipher(self.suite));
            match self.open(current, record, plaintext, out)? {
                Meaning::Nothing => {}
                Meaning::NewKeys => cipher = None,
                Meaning::End => return Ok((used_bytes, Stop::PeerClosed)),
            }
        }
        Ok((used_bytes, Stop::NeedsInput))
    }

    /// How long the first record is, once its header is there.
    fn record_bytes(&self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let most_bytes = match self.suite.version {
            Version::Tls12 => CONTENT_BYTES + 2048,
            Version::Tls13 => CONTENT_BYTES + 256,
        };
        match (input.first(), self.suite.version) {
            (None | Some(&APPLICATION_DATA), _) | (Some(&(ALERT | HANDSHAKE)), Version::Tls12) => {}
            (Some(&(CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE)), _) => return Err(UNEXPECTED),
            _ => return Err(Fault(AlertDescription::UnexpectedMessage, TlsError::NotTls)),
        }
        let Some([.., high, low]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        match usize::from(u16::from_be_bytes([*high, *low])) {
            length if length > most_bytes => Err(NotOpened::TooLong.into()),
            length => Ok(Some(HEADER_BYTES + length)),
        }
    }

    fn open(
        &mut self,
        cipher: &LessSafeKey,
        record: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<Meaning, Fault> {
        let Opened { kind, content } = self.rx.open(self.suite, cipher, record)?;
        match kind {
            HANDSHAKE => return self.on_handshake(content, out),
            // Nothing may come between the pieces of a message (RFC 8446 §5.1).
            _ if !self.message.is_empty() => return Err(UNEXPECTED),
            ALERT => return self.on_alert(content),
            APPLICATION_DATA if content.is_empty() => self.bear()?,
            APPLICATION_DATA => {
                plaintext.put_slice(content);
                self.fruitless = 0;
            }
            _ => return Err(UNEXPECTED),
        }
        Ok(Meaning::Nothing)
    }

    fn on_alert(&mut self, content: &[u8]) -> Result<Meaning, Fault> {
        // It is whole, and alone in its record (RFC 8446 §5.1).
        let [level, alert] = content else { return Err(MALFORMED) };
        let alert = AlertDescription::from(*alert);
        match (alert, self.suite.version, *level) {
            (AlertDescription::CloseNotify, ..) => return Ok(Meaning::End),
            // All others are fatal in TLS 1.3, whatever level they claim (RFC 8446 §6).
            (AlertDescription::UserCanceled, ..) | (_, Version::Tls12, WARNING) => self.bear()?,
            _ => return Err(Fault(alert, TlsError::PeerSays(alert))),
        }
        Ok(Meaning::Nothing)
    }

    fn on_handshake(&mut self, mut content: &[u8], out: &mut BytesMut) -> Result<Meaning, Fault> {
        let mut is_whole = false;
        while !content.is_empty() {
            match (self.message.take(&mut content), self.suite.version) {
                (Step::Part, _) => {}
                (Step::Head { kind, length }, version) => check_message(version, kind, length)?,
                (Step::Whole(_), Version::Tls12) => {
                    self.bear()?;
                    self.seal(ALERT, &[WARNING, AlertDescription::NoRenegotiation.into()], out)?;
                    is_whole = true;
                }
                // What follows a change of keys begins a record (RFC 8446 §5.1).
                (Step::Whole(_), Version::Tls13) if !content.is_empty() => return Err(UNEXPECTED),
                (Step::Whole(request), Version::Tls13) => return self.on_key_update(request),
            }
        }
        if !is_whole {
            self.bear()?;
        }
        Ok(Meaning::Nothing)
    }

    fn on_key_update(&mut self, request: u8) -> Result<Meaning, Fault> {
        self.bear()?;
        match request {
            UPDATE_NOT_REQUESTED => {}
            UPDATE_REQUESTED => self.owes_update = true,
            _ => return Err(Fault(AlertDescription::IllegalParameter, MALFORMED.1)),
        }
        self.rx.update(self.suite);
        Ok(Meaning::NewKeys)
    }

    /// Counts what has brought nothing.
    fn bear(&mut self) -> Result<(), Fault> {
        const TOO_MANY: TlsError = TlsError::Violation("too many messages that bring nothing");
        if self.fruitless >= MOST_FRUITLESS {
            return Err(Fault(AlertDescription::UnexpectedMessage, TOO_MANY));
        }
        self.fruitless += 1;
        Ok(())
    }

    /// Answers a client that has asked for other keys. It may have asked several times (RFC 8446 §4.6.3).
    fn update_if_owed(&mut self, out: &mut BytesMut) -> Result<(), UsedUp> {
        if self.owes_update { self.update(out) } else { Ok(()) }
    }

    /// Changes our keys.
    fn update(&mut self, out: &mut BytesMut) -> Result<(), UsedUp> {
        self.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED], out)?;
        self.tx.update(self.suite);
        self.owes_update = false;
        Ok(())
    }

    /// Appends a record that has no part of the stream within.
    fn seal(&mut self, kind: u8, content: &[u8], out: &mut BytesMut) -> Result<(), UsedUp> {
        let cipher = self.tx.cipher(self.suite);
        self.tx.seal(self.suite, &cipher, kind, content.len(), out, |out| out.put_slice(content))
    }
}

/// Judges a message by its header.
fn check_message(version: Version, kind: u8, length: u32) -> Result<(), Fault> {
    match (version, kind, length) {
        (Version::Tls12, CLIENT_HELLO, 1..=0xffff) | (Version::Tls13, KEY_UPDATE, 1) => Ok(()),
        (Version::Tls12, CLIENT_HELLO, _) | (Version::Tls13, KEY_UPDATE, _) => Err(MALFORMED),
        _ => Err(UNEXPECTED),
    }
}

impl From<NotOpened> for Fault {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::Forged => Self(AlertDescription::BadRecordMac, TlsError::NotDecryptable),
            NotOpened::TooLong => {
                Self(AlertDescription::RecordOverflow, TlsError::Violation("a record is too long"))
            }
            NotOpened::NoType => UNEXPECTED,
        }
    }
}

impl From<UsedUp> for Fault {
    fn from(why: UsedUp) -> Self {
        Self(AlertDescription::InternalError, why.into())
    }
}

impl From<UsedUp> for TlsError {
    fn from(_: UsedUp) -> Self {
        Self::KeysUsedUp
    }
}

/// What is to be sent, in pieces that need not end where records do.
struct Pieces<'a> {
    rest: &'a [IoSlice<'a>],
    /// How much of the first is written.
    begun_bytes: usize,
}

impl Pieces<'_> {
    /// Appends the next so many bytes, which there have to be.
    fn put(&mut self, mut bytes: usize, out: &mut BytesMut) {
        while bytes > 0 {
            let Some(first) = self.rest.first().and_then(|first| first.get(self.begun_bytes..)) else {
                return;
            };
            let part = &first[..bytes.min(first.len())];
            out.put_slice(part);
            bytes -= part.len();
            self.begun_bytes += part.len();
            if part.len() == first.len() {
                self.rest = &self.rest[1..];
                self.begun_bytes = 0;
            }
        }
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

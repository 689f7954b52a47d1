//! What goes on with a connection: rustls, or the records of our own. A server's side leaves rustls with the handshake, and has then
//! but its keys. It knows neither what is held of the input, nor who has closed.

use std::io::IoSlice;
use std::mem;

use bytes::{BufMut, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::{AlertDescription, Error};

use super::handshake::{self, Handshake};
use super::machine::{self, Stop};
use super::records::Records;
use super::suite::Suite;
use super::{Sent, State, TlsError, terms};

#[expect(clippy::large_enum_variant, reason = "the largest is what most are for most of the time")]
pub enum Side {
    /// A server's, until the handshake has ended.
    Server(Box<Handshake>),
    /// A server's, from then on.
    Open(Records),
    /// A client's.
    Client(Box<UnbufferedClientConnection>),
    /// Why it is over, and what it was before that.
    Broken(TlsError, State),
}

/// What the two sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// As nginx and OpenSSL call it.
    pub suite: &'static str,
    /// Whether it continues a session of before, so that nothing had to be signed.
    pub is_resumed: bool,
}

impl Agreed {
    fn of(suite: &Suite, is_resumed: bool) -> Self {
        Self { version: suite.version.name(), suite: suite.name, is_resumed }
    }
}

impl Side {
    /// Whether there are no keys yet for what the two have to say.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Server(_) => true,
            Self::Client(machine) => machine.is_handshaking(),
            Self::Open(_) | Self::Broken(..) => false,
        }
    }

    /// The application protocol, once it is agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Open(records) => records.is_alpn.then_some(terms::ALPN),
            Self::Client(machine) => machine.alpn_protocol(),
            Self::Server(_) | Self::Broken(..) => None,
        }
    }

    /// The rest of it, once the handshake has ended.
    pub fn agreed(&self) -> Option<Agreed> {
        match self {
            Self::Open(records) => Some(Agreed::of(records.suite, records.is_resumed)),
            Self::Client(machine) if !machine.is_handshaking() => {
                Some(Agreed::of(handshake::suite(machine)?, handshake::is_resumed(machine)))
            }
            Self::Client(_) | Self::Server(_) | Self::Broken(..) => None,
        }
    }

    /// Reads what there is; how much of the front of it is used.
    ///
    /// # Errors
    /// When the connection is over. The alert that says so is in `out`, if there is one.
    pub fn read(
        &mut self,
        input: &mut [u8],
        plaintext: &mut impl BufMut,
        out: &mut BytesMut,
    ) -> Result<(usize, Stop), TlsError> {
        let end = out.len();
        let outcome = match self {
            Self::Broken(error, _) => return Err(*error),
            Self::Open(records) => return records.read(input, plaintext, out),
            Self::Server(handshake) => machine::read(&mut handshake.machine, input, plaintext, out),
            Self::Client(machine) => machine::read(&mut **machine, input, plaintext, out),
        };
        outcome.map_err(|error| match TlsError::of(&error) {
            error if out.len() == end => self.refuse(error, out),
            error => error,
        })
    }

    /// Tells the peer of an error for which rustls has sent no alert, as far as there are keys to do it with.
    pub fn refuse(&self, error: TlsError, out: &mut BytesMut) -> TlsError {
        match (error.alert(), self) {
            (Some(alert), Self::Server(handshake)) => handshake.alert(alert, out),
            (Some(alert), Self::Client(machine)) if machine.protocol_version().is_none() => {
                handshake::plain_alert(alert, out);
            }
            _ => {}
        }
        error
    }

    /// Takes a server's side out of rustls once the handshake has ended.
    ///
    /// # Errors
    /// When there is a rest behind the handshake's last message that is in the same record: a message that nobody may begin there.
    pub fn leave_rustls(&mut self, has_rest: bool, out: &mut BytesMut) -> Result<(), TlsError> {
        const MISPLACED: TlsError = TlsError::Violation("a message that may not come now");
        match self {
            Self::Server(handshake) if !handshake.machine.is_handshaking() => {}
            _ => return Ok(()),
        }
        let Self::Server(handshake) = mem::replace(self, Self::Broken(MISPLACED, State::Handshaking)) else {
            return Ok(());
        };
        let mut records =
            handshake.end().inspect_err(|error| *self = Self::Broken(*error, State::Handshaking))?;
        if has_rest {
            records.alert(AlertDescription::UnexpectedMessage, out);
            return Err(MISPLACED);
        }
        *self = Self::Open(records);
        Ok(())
    }

    /// Encrypts the pieces. `held` is what was read and not used.
    ///
    /// # Errors
    /// When it is over. If only now, the end of our side is in `out`.
    pub fn send(
        &mut self,
        pieces: &[IoSlice<'_>],
        held: &mut [u8],
        out: &mut BytesMut,
    ) -> Result<Sent, TlsError> {
        match self {
            Self::Broken(error, _) => return Err(*error),
            _ if self.is_handshaking() => return Ok(Sent::NotYet),
            Self::Open(records) => records.send(pieces, out)?,
            Self::Client(machine) => {
                let mut joined = Vec::new();
                let plaintext = match pieces {
                    [piece] => &piece[..],
                    _ => {
                        pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                        &joined
                    }
                };
                machine::encrypt(&mut **machine, held, plaintext, out).map_err(of)?;
            }
            Self::Server(_) => {}
        }
        Ok(Sent::Whole)
    }

    /// Says that nothing more follows, if it can be said.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn close(&mut self, held: &mut [u8], out: &mut BytesMut) -> Result<(), TlsError> {
        match self {
            Self::Broken(..) => Ok(()),
            Self::Open(records) => records.close(out),
            Self::Server(handshake) => machine::close(&mut handshake.machine, held, out).map_err(of),
            Self::Client(machine) => machine::close(&mut **machine, held, out).map_err(of),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as it is handed on")]
fn of(error: Error) -> TlsError {
    TlsError::of(&error)
}

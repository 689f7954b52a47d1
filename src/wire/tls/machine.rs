//! Drives the state machine of rustls over one buffer, a server's and a client's alike: what it wants encoded goes out at once, and
//! what it has decrypted goes to the plaintext. It keeps nothing, and decides nothing about the connection.

use bytes::{BufMut, BytesMut};
use rustls::Error;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use super::RECORD_OVERHEAD_BYTES;

/// How much of a stream is in one record at most.
const RECORD_CONTENT_BYTES: usize = 16 * 1024;

/// A connection of rustls that has no buffers: a server's or a client's.
pub trait Machine {
    /// What rustls tells the two apart by.
    type Side;

    /// The next state, of what has come.
    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;

    /// Whether there is something to be encoded.
    fn has_output(&self) -> bool;
}

impl Machine for UnbufferedServerConnection {
    type Side = ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(input)
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

impl Machine for UnbufferedClientConnection {
    type Side = ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(input)
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

/// Why the machine has stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// More has to come first.
    NeedsInput,
    /// The peer has closed its side: whatever comes behind that means nothing.
    PeerClosed,
}

/// Reads what has come, and answers it. Also says how much of the front of the input it has used: the rest has to be there again,
/// as it is left, in front of what comes next.
///
/// # Errors
/// When the connection is over. The alert that says so to the peer is in `out`, if there is one. The machine must not be handed
/// anything then: it would go on with what comes next, or panic.
pub fn read(
    machine: &mut impl Machine,
    input: &mut [u8],
    plaintext: &mut impl BufMut,
    out: &mut BytesMut,
) -> Result<(usize, Stop), Error> {
    let mut used_bytes = 0;
    loop {
        let UnbufferedStatus { mut discard, state, .. } = machine.step(&mut input[used_bytes..]);
        let stop = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    plaintext.put_slice(record.payload);
                    discard += record.discard;
                }
                None
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                put(out, 0, |room| data.encode(room))?;
                None
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                None
            }
            Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                Some(Stop::NeedsInput)
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Stop::PeerClosed),
            // Early data is not accepted: a request could be repeated by whoever has recorded it.
            Ok(_) => return Err(Error::General("an unknown state".to_owned())),
            Err(error) => {
                encode_rest(machine, out)?;
                return Err(error);
            }
        };
        used_bytes += discard;
        if let Some(stop) = stop {
            return Ok((used_bytes, stop));
        }
    }
}

/// Encrypts, if the machine has come far enough for that. `held` is what it has read and not used.
///
/// # Errors
/// When the keys are used up. The end of our side is in `out` then.
pub fn encrypt(
    machine: &mut impl Machine,
    held: &mut [u8],
    plaintext: &[u8],
    out: &mut BytesMut,
) -> Result<(), Error> {
    let records = plaintext.len().div_ceil(RECORD_CONTENT_BYTES);
    let bytes = plaintext.len() + records * RECORD_OVERHEAD_BYTES as usize;
    let outcome =
        write(machine, held, out, |traffic, out| put(out, bytes, |room| traffic.encrypt(plaintext, room)));
    if outcome.is_err() {
        encode_rest(machine, out)?;
    }
    outcome
}

/// Says that nothing more follows, if the machine has come far enough for that.
///
/// # Errors
/// When the keys are used up.
pub fn close(machine: &mut impl Machine, held: &mut [u8], out: &mut BytesMut) -> Result<(), Error> {
    write(machine, held, out, |traffic, out| put(out, 0, |room| traffic.queue_close_notify(room)))
}

fn write<M: Machine>(
    machine: &mut M,
    held: &mut [u8],
    out: &mut BytesMut,
    act: impl FnOnce(&mut WriteTraffic<'_, M::Side>, &mut BytesMut) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        match machine.step(held).state? {
            ConnectionState::EncodeTlsData(mut data) => put(out, 0, |room| data.encode(room))?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(mut traffic) => return act(&mut traffic, out),
            _ => return Ok(()),
        }
    }
}

/// Encodes what is left behind an error. The machine is not to look at any input for that, and stops before it does.
fn encode_rest(machine: &mut impl Machine, out: &mut BytesMut) -> Result<(), Error> {
    while machine.has_output() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = machine.step(&mut []).state else { break };
        put(out, 0, |room| data.encode(room))?;
    }
    Ok(())
}

/// Why nothing was written.
enum Refused {
    Room { needed_bytes: usize },
    Altogether,
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::Room { needed_bytes: size.required_size },
            EncodeError::AlreadyEncoded => Self::Altogether,
        }
    }
}

impl From<EncryptError> for Refused {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::Room { needed_bytes: size.required_size },
            EncryptError::EncryptExhausted => Self::Altogether,
        }
    }
}

/// Appends what is written into so much room, or into as much as it says it needs.
fn put<E: Into<Refused>>(
    out: &mut BytesMut,
    mut room_bytes: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Error> {
    let end = out.len();
    loop {
        out.resize(end + room_bytes, 0);
        match write(&mut out[end..]).map_err(E::into) {
            Ok(written_bytes) => {
                out.truncate(end + written_bytes);
                return Ok(());
            }
            Err(Refused::Room { needed_bytes }) if needed_bytes > room_bytes => room_bytes = needed_bytes,
            Err(_) => {
                out.truncate(end);
                return Err(Error::EncryptError);
            }
        }
    }
}

//! What another process has left for this start: read out of its channel, and gone on with.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::Socket;
use thiserror::Error;

use super::channel::{Channel, Received};
use super::memory;
use crate::server::Server;
use crate::server::clock::Now;
use crate::wire::handover::message::{Listening, decode};
use crate::wire::handover::parked::{self, Left};
use crate::wire::handover::{Damaged, FORMATS};
use crate::wire::metrics::Handover;

/// Descriptors that a server needs beside its connections.
const OTHERS: u64 = 32;

/// Why it is not gone on with.
#[derive(Debug, Error)]
pub enum ParkedError {
    /// Something is missing, or is not what it should be.
    #[error("what was parked is damaged, or not whole")]
    Damaged,
    /// It was written by another version.
    #[error("it is of format {0}, and this program reads {oldest} to {newest}", oldest = FORMATS.start(), newest = FORMATS.end())]
    Format(u32),
    /// There would not be enough of them.
    #[error("the limit on open files is {most}, and {needed} are needed: raise it (LimitNOFILE=)")]
    Descriptors {
        /// The limit.
        most: u64,
        /// Of this process.
        needed: u64,
    },
    /// The machine is out of something.
    #[error(transparent)]
    Io(io::Error),
}

impl From<Damaged> for ParkedError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<io::Error> for ParkedError {
    fn from(why: io::Error) -> Self {
        let is_damaged = match why.get_ref() {
            Some(inner) => inner.is::<Damaged>(),
            None => why.kind() == ErrorKind::InvalidData,
        };
        if is_damaged { Self::Damaged } else { Self::Io(why) }
    }
}

/// What was left, but for the connections.
#[derive(Debug)]
pub struct Parked {
    /// Its process then.
    pub pid: u32,
    /// What it listened on, and what each is for.
    pub sockets: Vec<(Listening, Socket)>,
    /// The file that says how everything else stands.
    pub rest: OwnedFd,
    /// Channels that hold the connections.
    pub parts: Vec<Channel>,
}

impl Parked {
    /// Looks at what is in the channel, where all of it stays; `None` where nothing is.
    ///
    /// # Errors
    /// Why it cannot be gone on with.
    pub fn look(channel: &Channel) -> Result<Option<Self>, ParkedError> {
        let (mut pid, mut sockets, mut rest, mut parts) = (None, vec![], None, vec![]);
        let seen = channel.look()?;
        if seen.is_empty() {
            return Ok(None);
        }
        for Received { octets, mut descriptors } in seen {
            let count = descriptors.len();
            match decode(&octets)? {
                parked::Parked::Server(said) if !FORMATS.contains(&said.format) => {
                    return Err(ParkedError::Format(said.format));
                }
                parked::Parked::Server(said) if said.listening.len() == count => {
                    pid = Some(said.pid);
                    sockets.extend(said.listening.into_iter().zip(descriptors.into_iter().map(Socket::from)));
                }
                parked::Parked::Image if count == 1 && rest.is_none() => rest = descriptors.pop(),
                parked::Parked::Parts { count: said } if usize::try_from(said) == Ok(count) => {
                    parts.extend(descriptors.into_iter().map(Channel::from));
                }
                _ => return Err(Damaged.into()),
            }
        }
        match (pid, rest) {
            (Some(pid), Some(rest)) => Ok(Some(Self { pid, sockets, rest, parts })),
            _ => Err(Damaged.into()),
        }
    }

    /// How everything stands but for the connections: an image.
    ///
    /// # Errors
    /// When it is not whole, or there is no memory for it.
    pub fn read_rest(&mut self) -> Result<Vec<u8>, ParkedError> {
        Ok(memory::read_all(self.rest.try_clone()?)?)
    }
}

/// Connections that were left in one channel, and how they stand.
#[derive(Debug)]
struct Part {
    image: Vec<u8>,
    connections: Vec<OwnedFd>,
}

impl Part {
    /// Takes everything out of the channel. This process has so many connections already.
    fn take(channel: &Channel, had: usize) -> Result<Self, ParkedError> {
        let (mut file, mut connections) = (None, vec![]);
        while let Some(Received { octets, mut descriptors }) = channel.receive_left()? {
            let count = descriptors.len();
            match decode(&octets)? {
                parked::Part::Image { connections } if count == 1 && file.is_none() => {
                    look_at_limit(connections.saturating_add(had as u64))?;
                    file = descriptors.pop();
                }
                parked::Part::Batch { connections: said } if usize::try_from(said) == Ok(count) => {
                    connections.append(&mut descriptors);
                }
                _ => return Err(Damaged.into()),
            }
        }
        let image = memory::read_all(file.ok_or(Damaged)?)?;
        Ok(Self { image, connections })
    }
}

fn look_at_limit(connections: u64) -> Result<(), ParkedError> {
    let most = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let needed = connections.saturating_add(OTHERS);
    if needed > most { Err(ParkedError::Descriptors { most, needed }) } else { Ok(()) }
}

/// How long nobody has been heard who was left at this moment.
#[must_use]
pub fn silent_since(left: &Left) -> Duration {
    let silent_ns = Now::moment().monotonic.saturating_sub(left.at);
    Duration::from_nanos(silent_ns.try_into().unwrap_or_default())
}

/// That it was gone on with.
#[must_use]
pub fn completed(left: &Left, connections: u64) -> Handover {
    Handover {
        is_completed: true,
        ended_unix_ms: Now::read().wall.as_millisecond(),
        silent_seconds: silent_since(left).as_secs_f64(),
        moved: connections,
        stayed: left.behind,
    }
}

impl Server {
    /// Goes on with what was left, and says how it was.
    ///
    /// # Errors
    /// When it cannot be gone on with: then this server is none any more.
    pub fn take_up_parked(&mut self, parked: &mut Parked) -> Result<Left, ParkedError> {
        let left = self.take_up(&parked.read_rest()?, vec![])?.ok_or(Damaged)?;
        let mut count = 0;
        for part in &parked.parts {
            count += self.take_up_part(part, count)?;
        }
        self.turn.count_handover(completed(&left, count as u64));
        Ok(Left { connections: count as u64, ..left })
    }

    /// Goes on with the connections that were left there, beside those that it has: how many.
    ///
    /// # Errors
    /// When that is not possible.
    pub(super) fn take_up_part(&mut self, channel: &Channel, had: usize) -> Result<usize, ParkedError> {
        let Part { image, connections } = Part::take(channel, had)?;
        let count = connections.len();
        self.take_up(&image, connections)?;
        Ok(count)
    }
}

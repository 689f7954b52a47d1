//! What another process has left for this start: read out of its channel, and gone on with.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::Socket;
use thiserror::Error;

use super::channel::Channel;
use super::memory;
use crate::server::Server;
use crate::server::clock::Now;
use crate::wire::handover::message::{Listening, decode};
use crate::wire::handover::parked;
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

/// What was left.
#[derive(Debug)]
pub struct Parked {
    /// Its process then.
    pub pid: u32,
    /// What it listened on, and what each is for.
    pub sockets: Vec<(Listening, Socket)>,
    image: Vec<u8>,
    connections: Vec<OwnedFd>,
}

impl Parked {
    /// Takes everything out of the channel; `None` where nothing is in it, or no more.
    ///
    /// # Errors
    /// Why it cannot be gone on with. Everything is closed then.
    pub fn read(channel: &Channel) -> Result<Option<Self>, ParkedError> {
        let (mut server, mut file, mut connections) = (None, None, vec![]);
        while let Some(mut received) = next(channel)? {
            match (decode(&received.octets)?, received.descriptors.len()) {
                (parked::Parked::Server(said), _) if !FORMATS.contains(&said.format) => {
                    return Err(ParkedError::Format(said.format));
                }
                (parked::Parked::Server(said), count)
                    if server.is_none() && said.listening.len() == count =>
                {
                    let sockets = received.descriptors.into_iter().map(Socket::from);
                    server = Some((said.pid, said.listening.into_iter().zip(sockets).collect()));
                }
                (parked::Parked::Image { connections }, 1) if file.is_none() => {
                    look_at_limit(connections)?;
                    file = received.descriptors.pop();
                }
                (parked::Parked::Batch { connections: said }, count)
                    if usize::try_from(said) == Ok(count) =>
                {
                    connections.append(&mut received.descriptors);
                }
                _ => return Err(Damaged.into()),
            }
        }
        match (server, file) {
            (None, None) if connections.is_empty() => Ok(None),
            (Some((pid, sockets)), Some(file)) => {
                Ok(Some(Self { pid, sockets, image: memory::read_all(file)?, connections }))
            }
            _ => Err(Damaged.into()),
        }
    }
}

/// What comes next; `None` once that was all.
fn next(channel: &Channel) -> io::Result<Option<super::channel::Received>> {
    loop {
        match channel.receive() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // Whoever has left it is still there, and has nothing more to say.
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            received => return received,
        }
    }
}

fn look_at_limit(connections: u64) -> Result<(), ParkedError> {
    let most = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let needed = connections.saturating_add(OTHERS);
    if needed > most { Err(ParkedError::Descriptors { most, needed }) } else { Ok(()) }
}

impl Server {
    /// Goes on with what was left. How many connections that are, and how long nobody was heard.
    ///
    /// # Errors
    /// When it cannot be gone on with: then this server is none any more.
    pub fn take_up_parked(&mut self, parked: Parked) -> Result<(usize, Duration), ParkedError> {
        let count = parked.connections.len();
        let left = self.take_up(&parked.image, parked.connections)?.ok_or(Damaged)?;
        let silent_ns = Now::moment().monotonic.saturating_sub(left.at);
        let silent = Duration::from_nanos(silent_ns.try_into().unwrap_or_default());
        self.turn.count_handover(Handover {
            is_completed: true,
            ended_unix_ms: Now::read().wall.as_millisecond(),
            silent_seconds: silent.as_secs_f64(),
            moved: count as u64,
            stayed: left.behind,
        });
        Ok((count, silent))
    }
}

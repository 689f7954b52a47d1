//! What another process has left for this start: read out of its channel, and gone on with.

use std::cmp::Reverse;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use log::warn;
use socket2::Socket;
use thiserror::Error;

use super::channel::{Channel, CutShort, Received};
use super::memory;
use crate::config::ssl::TicketSecret;
use crate::server::Server;
use crate::server::clock::Now;
use crate::server::descriptors::OpenFiles;
use crate::server::ticket_secret;
use crate::wire::handover::message::{Listening, decode};
use crate::wire::handover::parked::{self, Left};
use crate::wire::handover::{Damaged, FORMATS, image};
use crate::wire::metrics::Handover;

/// Descriptors that are needed for a moment while connections are taken up.
const BESIDE: u64 = 2;

/// Descriptors that a worker needs beside its connections: what an idle one has, and a few.
const OF_A_WORKER: u64 = 14 + 4;

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
        /// Of one process.
        needed: u64,
    },
    /// The machine is out of something.
    #[error(transparent)]
    Io(io::Error),
}

impl ParkedError {
    /// Whether this start is to blame, and not what was parked: another may go on with it.
    pub fn is_of_this_start(&self) -> bool {
        match self {
            Self::Damaged | Self::Format(_) => false,
            Self::Descriptors { .. } => true,
            Self::Io(why) => {
                let is_cut_short = why.get_ref().is_some_and(|inner| inner.is::<CutShort>());
                is_cut_short || matches!(why.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
            }
        }
    }
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
    /// By what it made session tickets, if it has said so.
    pub tickets: Option<TicketSecret>,
    /// The file that says how everything else stands.
    pub rest: OwnedFd,
    /// Where the connections are.
    pub portions: Vec<Portion>,
}

/// A channel that holds some of the connections.
#[derive(Debug)]
pub struct Portion {
    /// All of it stays in there.
    pub channel: Channel,
    /// How many they are, at most.
    pub connections: u64,
}

impl Portion {
    fn look(channel: Channel) -> Result<Self, ParkedError> {
        let first = channel.look_at_first(1)?.pop();
        // Without that file, or if whoever wrote it has died meanwhile, nobody is taken up.
        let whole = first.filter(|first| first.descriptors.iter().all(memory::is_sealed));
        let connections = match whole.map(|first| decode(&first.octets)) {
            Some(Ok(parked::Part::Image { connections })) => connections,
            _ => 0,
        };
        Ok(Self { channel, connections })
    }
}

/// What was taken up.
#[derive(Debug)]
pub struct TakenUp {
    /// How it was left.
    pub left: Left,
    /// Connections that are gone on with.
    pub connections: u64,
}

impl Parked {
    /// Looks at what is in the channel, where all of it stays; `None` where nothing is.
    ///
    /// # Errors
    /// Why it cannot be gone on with.
    pub fn look(channel: &Channel) -> Result<Option<Self>, ParkedError> {
        let (mut pid, mut sockets, mut rest, mut portions) = (None, vec![], None, vec![]);
        let mut tickets = None;
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
                    (pid, tickets) = (Some(said.pid), ticket_secret::of_predecessor(said.tickets));
                    sockets.extend(said.listening.into_iter().zip(descriptors.into_iter().map(Socket::from)));
                }
                parked::Parked::Image if count == 1 && rest.is_none() => rest = descriptors.pop(),
                parked::Parked::Parts { count: said } if usize::try_from(said) == Ok(count) => {
                    for descriptor in descriptors {
                        portions.push(Portion::look(descriptor.into())?);
                    }
                }
                _ => return Err(Damaged.into()),
            }
        }
        match (pid, rest) {
            (Some(pid), Some(rest)) => Ok(Some(Self { pid, sockets, tickets, rest, portions })),
            _ => Err(Damaged.into()),
        }
    }

    /// How everything stands but for the connections: an image.
    ///
    /// # Errors
    /// When it is not whole, or there is no memory for it.
    pub fn read_rest(&self) -> Result<Vec<u8>, ParkedError> {
        Ok(memory::read_all(self.rest.try_clone()?)?)
    }

    /// Spreads the connections over so many workers, as evenly as their channels allow.
    ///
    /// # Errors
    /// When one of these may not open so many.
    pub fn spread(&mut self, workers: usize) -> Result<Vec<Vec<OwnedFd>>, ParkedError> {
        let mut all: Vec<(u64, Vec<OwnedFd>)> = (0..workers).map(|_| (0, vec![])).collect();
        self.portions.sort_by_key(|portion| Reverse(portion.connections));
        for Portion { channel, connections } in self.portions.drain(..) {
            if let Some((load, channels)) = all.iter_mut().min_by_key(|(load, _)| *load) {
                *load = load.saturating_add(connections);
                channels.push(channel.into());
            }
        }
        let most = all.iter().map(|(load, _)| *load).max().unwrap_or_default();
        look_at_limit(most.saturating_add(OF_A_WORKER))?;
        Ok(all.into_iter().map(|(_, channels)| channels).collect())
    }

    /// Whether this process may open all of them, beside what it has open now.
    fn look_at_limit(&self) -> Result<(), ParkedError> {
        let connections =
            self.portions.iter().fold(0, |all: u64, portion| all.saturating_add(portion.connections));
        look_at_limit(connections.saturating_add(OpenFiles::read().open as u64).saturating_add(BESIDE))
    }
}

/// Connections that were left in one channel, and how they stand.
#[derive(Debug)]
struct Part {
    image: Vec<u8>,
    connections: Vec<OwnedFd>,
}

impl Part {
    /// Reads everything that is in the channel. It stays there, in case that this process ends before it serves.
    fn read(channel: &Channel) -> Result<Self, ParkedError> {
        let (mut file, mut connections) = (None, vec![]);
        for Received { octets, mut descriptors } in channel.look()? {
            let count = descriptors.len();
            match decode(&octets)? {
                parked::Part::Image { .. } if count == 1 && file.is_none() => file = descriptors.pop(),
                parked::Part::Batch { connections: said } if usize::try_from(said) == Ok(count) => {
                    connections.append(&mut descriptors);
                }
                _ => return Err(Damaged.into()),
            }
        }
        let image = memory::read_all(file.ok_or(Damaged)?)?;
        // Ahead of all of them: none is gone on with where another is missing.
        let is_whole = image::connections(&image)? == connections.len();
        if is_whole { Ok(Self { image, connections }) } else { Err(Damaged.into()) }
    }
}

fn look_at_limit(needed: u64) -> Result<(), ParkedError> {
    let most = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
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
    /// Goes on with what was left, all of which stays where it is until it is forgotten.
    ///
    /// # Errors
    /// When it cannot be gone on with: then this server is none any more.
    pub fn take_up_parked(&mut self, parked: &Parked) -> Result<TakenUp, ParkedError> {
        parked.look_at_limit()?;
        let left = self.take_up(&parked.read_rest()?, vec![])?.ok_or(Damaged)?;
        let connections = self.take_up_portions(parked.portions.iter().map(|portion| &portion.channel))?;
        self.turn.count_handover(completed(&left, connections));
        Ok(TakenUp { left, connections })
    }

    /// Goes on with the connections that were left in these channels: how many. Nobody is there who could go on with those
    /// of a channel that is not whole.
    ///
    /// # Errors
    /// When another start could go on with them.
    pub(super) fn take_up_portions<'a>(
        &mut self,
        channels: impl Iterator<Item = &'a Channel>,
    ) -> Result<u64, ParkedError> {
        let mut count = 0;
        for channel in channels {
            match self.take_up_portion(channel) {
                Ok(taken) => count += taken,
                Err(why) if why.is_of_this_start() => return Err(why),
                Err(why) => warn!("Some of the connections that were parked are closed: {why}"),
            }
        }
        Ok(count)
    }

    fn take_up_portion(&mut self, channel: &Channel) -> Result<u64, ParkedError> {
        let Part { image, connections } = Part::read(channel)?;
        let count = connections.len() as u64;
        self.take_up(&image, connections)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A channel with so many connections in it, or one that a process has left that died before it was whole.
    fn portion(connections: u64, is_whole: bool) -> Portion {
        let (channel, kept) = Channel::pair().unwrap();
        let draft = memory::Draft::new().unwrap();
        channel.send(&parked::Part::Image { connections }, &[draft.as_fd()]).unwrap();
        if is_whole {
            draft.seal().unwrap();
        }
        Portion::look(kept.into()).unwrap()
    }

    fn parked(connections: &[u64]) -> Parked {
        let portions = connections.iter().map(|connections| portion(*connections, true)).collect();
        let rest = memory::Draft::new().unwrap().seal().unwrap();
        Parked { pid: 7, sockets: vec![], tickets: None, rest, portions }
    }

    #[test]
    fn connections_are_spread_evenly_over_the_workers_as_far_as_their_channels_allow() {
        let spread = parked(&[1, 5, 2, 7, 1]).spread(2).unwrap();
        let loads = spread.into_iter().map(|channels| {
            let portions = channels.into_iter().map(|channel| Portion::look(channel.into()).unwrap());
            portions.map(|portion| portion.connections).sum()
        });
        assert_eq!(loads.collect::<Vec<u64>>(), [8, 8]);
    }

    #[test]
    fn more_than_one_worker_may_open_are_none_of_this_start() {
        let (most, _) = rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap();
        parked(&[most / 2 + 1, most / 2 + 1]).spread(2).unwrap();
        let why = parked(&[most / 2 + 1, most / 2 + 1]).spread(1).unwrap_err();
        assert!(matches!(why, ParkedError::Descriptors { .. }) && why.is_of_this_start());
        assert!(!ParkedError::Damaged.is_of_this_start());
    }

    #[test]
    fn who_was_left_by_a_process_that_died_over_it_needs_no_descriptor() {
        assert_eq!((portion(5, true).connections, portion(5, false).connections), (5, 0));
    }
}

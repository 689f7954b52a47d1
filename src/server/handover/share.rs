//! One worker's share in handing over with the whole server: it sends its connections to a worker of the successor's, or takes
//! up those of workers of the predecessor's. When, its supervisor says.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use log::{Level, debug, error, log};
use mio::unix::SourceFd;
use mio::{Interest, Registry, event::Source};

use super::bundle::{explained, leave};
use super::channel::Channel;
use super::giving::{Giving, let_go};
use super::part::Part;
use super::taking::TakeOverError;
use crate::policy::drain::{Drain, Outcome};
use crate::policy::handover::Why;
use crate::policy::parking::LEFT_BEHIND;
use crate::server::clock::Now;
use crate::server::{SUCCESSOR, Server};
use crate::wire::handover::message::{Passage, decode};

/// What a worker is given for it.
#[derive(Debug)]
pub struct Means {
    /// Through which channels come from its supervisor.
    pub line: OwnedFd,
    /// Where connections come from that are to be taken up, if some are.
    pub origin: Option<Origin<OwnedFd>>,
}

/// Where connections come from: channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<T> {
    /// To workers of the predecessor's, if this is one of a successor's.
    Predecessor(Vec<T>),
    /// In which an earlier server has left them.
    Parked(Vec<T>),
}

impl<T> Origin<T> {
    /// The channels.
    pub fn channels(&self) -> &[T] {
        match self {
            Self::Predecessor(channels) | Self::Parked(channels) => channels,
        }
    }

    /// The same, with the channels taken in another way.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn try_map<U, E>(self, take: impl FnMut(T) -> Result<U, E>) -> Result<Origin<U>, E> {
        Ok(match self {
            Self::Predecessor(channels) => {
                Origin::Predecessor(channels.into_iter().map(take).collect::<Result<_, E>>()?)
            }
            Self::Parked(channels) => {
                Origin::Parked(channels.into_iter().map(take).collect::<Result<_, E>>()?)
            }
        })
    }
}

/// Connections that are to be taken up.
#[derive(Debug)]
enum Taking {
    Predecessor(Vec<Part>),
    Parked(Vec<Channel>),
}

/// A worker's share.
#[derive(Debug)]
pub(in crate::server) struct Share {
    line: Channel,
    /// Connections that have moved, or are about to.
    giving: Option<Giving>,
    /// Connections that are to be taken up, until they are.
    taking: Option<Taking>,
    /// Those that were, until they are served.
    taken: Vec<Part>,
    /// Until when it is waited for the supervisor's word, while nobody is heard.
    held_until: Option<Instant>,
    /// The supervisor is gone, and it is waited for what has become of connections that have moved.
    is_orphan: bool,
}

impl Taking {
    fn of(origin: Origin<OwnedFd>) -> Self {
        match origin {
            Origin::Predecessor(all) => {
                Self::Predecessor(all.into_iter().map(|channel| Part::new(channel.into())).collect())
            }
            Origin::Parked(all) => Self::Parked(all.into_iter().map(Channel::from).collect()),
        }
    }

    /// Takes what has come; whether that is all.
    fn on_ready(&mut self) -> Result<bool, TakeOverError> {
        let Self::Predecessor(parts) = self else { return Ok(true) };
        parts.iter_mut().try_for_each(Part::on_ready)?;
        Ok(parts.iter().all(Part::is_whole))
    }
}

impl Share {
    /// Nothing moves yet. What comes from a predecessor's workers is announced.
    pub(in crate::server) fn new(means: Means, registry: &Registry) -> io::Result<Self> {
        let taking = means.origin.map(Taking::of);
        if let Some(Taking::Predecessor(parts)) = &taking {
            for part in parts {
                SourceFd(&part.as_raw_fd()).register(registry, SUCCESSOR, Interest::READABLE)?;
            }
        }
        Ok(Self {
            line: means.line.into(),
            giving: None,
            taking,
            taken: vec![],
            held_until: None,
            is_orphan: false,
        })
    }

    /// Whether connections are to be taken up before this worker may serve.
    pub(in crate::server) fn takes_up(&self) -> bool {
        self.taking.is_some()
    }

    /// The channel that has come last.
    fn passage(&self) -> io::Result<Channel> {
        let mut passage = None;
        loop {
            match self.line.receive() {
                Ok(Some(mut received)) if decode::<Passage>(&received.octets).is_ok() => {
                    passage = received.descriptors.pop().or(passage);
                }
                Ok(_) => break,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        passage.map(Channel::from).ok_or_else(|| io::Error::other("the supervisor has sent no channel"))
    }
}

impl Server {
    /// Sends all connections that can move; from here on they are neither read nor written here, unless it fails.
    pub(in crate::server) fn move_connections(&mut self, by: i64, format: u32) {
        let deadline = Now::moment().instant(by);
        let Some(share) = &mut self.share else { return };
        let mut giving = match share.passage() {
            Ok(channel) => Giving::part(channel, format, deadline),
            Err(why) => return self.turn.say_not_moved(format!("cannot hand over: {why}")),
        };
        let moved = giving.move_all(&mut self.turn).and_then(|count| {
            let registered = giving.register(self.poll.registry(), SUCCESSOR);
            registered.map(|()| count).map_err(|why| Why::Own(format!("cannot hand over: {why}")))
        });
        match moved {
            Ok(count) => {
                debug!("{count} connections have been taken");
                share.giving = Some(giving);
                self.turn.say_moved(count);
            }
            Err(why) => {
                // The supervisor hears of it first, and then says that all goes on. Whoever takes them has not failed.
                share.giving = Some(giving);
                self.turn.say_not_moved(why.to_string());
            }
        }
    }

    /// Leaves all connections that can be parked in the channel that its supervisor has sent; from here on they are neither read nor
    /// written here, unless it fails.
    pub(in crate::server) fn park_part(&mut self, format: u32) {
        let Some(share) = &mut self.share else { return };
        let left = share.passage().and_then(|channel| {
            let moved = leave(&channel, &mut self.turn, Now::moment(), format)?;
            Ok(Giving::left(channel, format, moved))
        });
        match left.map_err(explained) {
            Ok(giving) => {
                let count = giving.moved();
                share.giving = Some(giving);
                self.turn.say_moved(count);
            }
            Err(why) => self.turn.say_not_moved(why.to_string()),
        }
    }

    /// The connections that were sent are another process's, and so is all else; whether nothing is left here to do. Those that have
    /// come back are left.
    pub(in crate::server) fn part_with_moved(&mut self) -> Option<Outcome> {
        let giving = self.share.as_mut()?.giving.take();
        let is_parked = giving.as_ref().is_some_and(Giving::is_parked);
        let moved = giving.map(Giving::into_moved).unwrap_or_default();
        self.doors.bequeath(self.poll.registry());
        let_go(&moved, &mut self.turn, self.poll.registry());
        let drain = if is_parked { Drain::new(LEFT_BEHIND, LEFT_BEHIND) } else { self.succession.drain() };
        self.turn.part_with(&moved, drain);
        let left = self.turn.connections();
        // The supervisor says so of all workers together.
        let level = if left == 0 { Level::Debug } else { Level::Info };
        log!(level, "Handed over {} connections; {left} could not be moved", moved.len());
        (left == 0).then_some(Outcome::Drained)
    }

    /// Whether what is to be served here is a predecessor's still.
    pub(in crate::server) fn takes_up(&self) -> bool {
        self.turn.has_moved() && self.share.as_ref().is_some_and(|share| share.giving.is_none())
    }

    /// All goes on here.
    pub(in crate::server) fn resume(&mut self) {
        let takes_up = self.takes_up();
        if let Some(share) = &mut self.share {
            share.giving = None;
            // Ahead of everything that is done with them.
            share.taken.drain(..).for_each(|part| part.say_serving());
        }
        if takes_up {
            // No event will announce what has come until now.
            self.controls.look_whether_to_leave();
        }
        self.turn.resume();
    }

    /// The supervisor is gone, while nothing but what has moved, or is another's still, is left to serve here. What has become
    /// of that shows where it was sent to.
    pub(in crate::server) fn vanish(&mut self) -> Option<Outcome> {
        let Some(share) = self.share.as_mut().filter(|share| share.giving.is_some()) else {
            return Some(Outcome::Forced);
        };
        share.is_orphan = true;
        None
    }

    /// Goes on, or parts with what has moved, without the supervisor's word if that does not come: it may be stopped, or gone.
    /// Whether nothing is left to do.
    pub(in crate::server) fn look_at_moved(&mut self) -> Option<Outcome> {
        let (now, timeout) = (self.turn.now().instant, self.succession.timeout());
        let share = self.share.as_mut()?;
        if !self.turn.is_held() || self.turn.has_moved() && share.giving.is_none() {
            share.held_until = None;
            return None;
        }
        let is_late = now >= *share.held_until.get_or_insert(now + timeout);
        let is_orphan = share.is_orphan;
        let moved = share.giving.as_ref().filter(|_| self.turn.has_moved());
        match moved.map(Giving::is_served) {
            Some(Some(true)) => return self.part_with_moved(),
            Some(None) if is_orphan && is_late => return Some(Outcome::Forced),
            // It may be served there, and nobody can tell.
            Some(None) => return None,
            None if !is_late => return None,
            Some(Some(false)) | None => self.resume(),
        }
        if is_orphan {
            self.turn.leave("the end of the supervisor");
        }
        None
    }

    /// When there is something to do though nothing has come.
    pub(in crate::server) fn held_until(&self) -> Option<Instant> {
        let share = self.share.as_ref()?;
        share.held_until.filter(|_| share.is_orphan || !self.turn.has_moved())
    }

    /// Takes what has come from a predecessor's workers, and once that is all, takes it up.
    ///
    /// # Errors
    /// When it cannot be gone on with.
    pub(in crate::server) fn take_parts(&mut self) -> Result<(), TakeOverError> {
        let Some(taking) = self.share.as_mut().and_then(|share| share.taking.as_mut()) else { return Ok(()) };
        if !taking.on_ready()? || !self.turn.may_take_up() {
            return Ok(());
        }
        let count = match self.share.as_mut().and_then(|share| share.taking.take()) {
            Some(Taking::Predecessor(parts)) => self.take_up_parts(parts)? as u64,
            Some(Taking::Parked(channels)) => self.take_up_portions(channels.iter())?,
            None => 0,
        };
        debug!("Could go on with {count} connections");
        self.turn.say_ready();
        Ok(())
    }

    fn take_up_parts(&mut self, parts: Vec<Part>) -> Result<usize, TakeOverError> {
        let (mut count, mut taken) = (0, vec![]);
        for mut part in parts {
            let (image, connections) = part.take();
            count += connections.len();
            self.take_up(&image, connections)?;
            part.say_prepared()?;
            SourceFd(&part.as_raw_fd()).deregister(self.poll.registry())?;
            taken.push(part);
        }
        self.share.iter_mut().for_each(|share| share.taken.append(&mut taken));
        Ok(count)
    }

    /// As `take_parts`; when it fails there is nothing to serve, and nobody was touched.
    pub(in crate::server) fn take_parts_or_end(&mut self) -> Option<Outcome> {
        let why = self.take_parts().err()?;
        error!("{why}");
        Some(Outcome::Forced)
    }
}

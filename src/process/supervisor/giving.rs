//! A supervisor that hands everything over to another process: what its crew decides is done here.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use log::{info, warn};
use mio::Interest;
use mio::event::Source;
use mio::unix::SourceFd;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};

use super::{SUCCESSOR, Supervisor};
use crate::policy::handover::crew::CrewStep;
use crate::policy::handover::{Heard, LEAVING, Predecessor, Why, refusal};
use crate::process::crew::Signal;
use crate::process::handover;
use crate::process::listeners::slots::SlotSockets;
use crate::server::bound_socket::BoundSocket;
use crate::server::clock::Now;
use crate::server::handover::channel::{Channel, Received};
use crate::server::handover::offer::Offer;
use crate::server::handover::{heard_of, memory, next_successor};
use crate::wire::handover::FORMATS;
use crate::wire::handover::image::Writer;
use crate::wire::handover::message::{Commit, Kind, Passage, ToPredecessor, ToSuccessor, decode};
use crate::wire::metrics::Handover;

/// Descriptors that a successor needs beside what its workers take, and how many a worker takes there.
const OTHERS: usize = 32;
const OF_A_WORKER: usize = 4;

/// A successor that is there.
pub(super) struct Giving {
    channel: Channel,
    pid: u32,
    deadline: Instant,
    format: u32,
    /// For the connections of the workers, in their order.
    channels: Vec<OwnedFd>,
    /// Since when nobody is heard.
    held_since: Option<Instant>,
    /// Since when nothing is positioned, as all processes write it.
    cut_at: i64,
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.channel.close();
    }
}

impl Supervisor {
    /// Starts a successor.
    pub(super) fn launch_successor(&mut self) {
        if let Some(why) = self.refusal() {
            return warn!("Not handing over: {why}");
        }
        match self.launcher.launch() {
            Ok(channel) => self.begin_giving(channel.into()),
            Err(why) => self.go_on(&why, 0.0),
        }
    }

    /// Hears of those who have connected at `--handover`.
    pub(super) fn accept_successors(&mut self) {
        while let Some(channel) = self.next_successor() {
            match self.refusal() {
                Some(why) => channel.refuse(why),
                None => self.begin_giving(channel),
            }
        }
    }

    /// Why nobody may take over now.
    fn refusal(&self) -> Option<&'static str> {
        let leaves = self.crew.is_leaving() || self.has_parted || self.parking.is_some();
        refusal(leaves, self.giving.is_some())
    }

    fn next_successor(&mut self) -> Option<Channel> {
        next_successor(self.path.as_ref()?, &mut self.accept_at)
    }

    fn begin_giving(&mut self, channel: Channel) {
        let registered =
            SourceFd(&channel.as_raw_fd()).register(self.poll.registry(), SUCCESSOR, Interest::READABLE);
        if let Err(why) = registered {
            let _ = channel.send(&ToSuccessor::abort(&why), &[]);
            return self.go_on(&why, 0.0);
        }
        let deadline = self.now + self.config.handover.handover_timeout;
        let needed = OTHERS + OF_A_WORKER * usize::from(self.config.workers);
        self.crew.hand_over(Predecessor::new([*FORMATS.start(), *FORMATS.end()], needed as u64, deadline));
        self.giving = Some(Giving {
            channel,
            pid: 0,
            deadline,
            format: *FORMATS.end(),
            channels: vec![],
            held_since: None,
            cut_at: 0,
        });
    }

    /// Takes in what the successor has said.
    pub(super) fn hear_successor(&mut self) {
        while let Some(giving) = &mut self.giving {
            let received = match giving.channel.receive() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Ok(Some(received)) => match giving.take_channels(received) {
                    Some(received) => Ok(Some(received)),
                    None => continue,
                },
                other => other,
            };
            let heard = heard_of(received.as_ref().map(Option::as_ref), &mut giving.pid);
            if heard == Heard::Ready && giving.channels.len() != self.crew.moving().len() {
                self.crew
                    .on_handover_failed("the successor has opened no channel for each worker".to_owned());
            }
            let is_over = !matches!(received, Ok(Some(_)));
            self.crew.on_heard(heard);
            if is_over {
                return;
            }
        }
    }

    /// Goes on with handing over, as far as that is possible now.
    pub(super) fn hand_over(&mut self) {
        while let Some(step) = self.crew.poll_handover() {
            if self.parking.is_some() {
                self.park(step);
                continue;
            }
            let Some(giving) = &mut self.giving else { return };
            let done = match step {
                CrewStep::Offer { format } => {
                    giving.format = format;
                    self.offer()
                }
                CrewStep::WindUp => Ok(()),
                CrewStep::Hold => {
                    giving.held_since = Some(Now::read().instant);
                    Ok(())
                }
                CrewStep::Move => self.cut(),
                CrewStep::Commit => self.commit(),
                CrewStep::GiveUp(why) => {
                    self.give_up(&why);
                    Ok(())
                }
            };
            if let Err(why) = done {
                // If it has ended, it may have said why.
                self.hear_successor();
                self.crew.on_handover_failed(format!("cannot hand over: {why}"));
            }
        }
    }

    fn offer(&self) -> io::Result<()> {
        let Some(giving) = &self.giving else { return Ok(()) };
        let offer = offer(&self.listeners, self.path.as_ref());
        let offer = offer.with_tickets(self.config.ssl.ticket_secret.as_ref());
        let workers = u32::try_from(self.crew.moving().len()).ok();
        offer.send(&giving.channel, giving.deadline, giving.format, workers)
    }

    /// Has all workers move their connections, and sends how everything else stands.
    fn cut(&mut self) -> io::Result<()> {
        let Some(giving) = &mut self.giving else { return Ok(()) };
        let channels = std::mem::take(&mut giving.channels);
        for (worker, channel) in self.crew.moving().into_iter().zip(channels) {
            let line = self.lines.iter().find(|(id, _)| *id == worker).map(|(_, line)| line);
            line.ok_or(ErrorKind::NotFound)?.send_by(giving.deadline, &Passage {}, &[channel.as_fd()])?;
        }
        let at = Now::moment();
        let silent = giving.held_since.map_or(at.instant, |since| since);
        giving.cut_at = at.monotonic(silent);
        let (whole, snapshot) = self.crew.cut(at, giving.deadline, giving.format);
        // They are told at once, and pack while this process does.
        self.crew.settle();
        let format = giving.format;
        let (file, bytes) = memory::write(|file| {
            let mut image = Writer::new(file, format)?;
            image.whole(&whole)?;
            image.history(&snapshot)?;
            image.end()
        })?;
        let image = ToSuccessor::Image { bytes, connections: 0 };
        giving.channel.send_by(giving.deadline, &image, &[file.as_fd()])?;
        self.crew.sent();
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        // Whoever takes over would not know of it.
        self.ahead = self.take_signals();
        if self.ahead.iter().any(|signal| [SIGTERM, SIGINT].contains(signal)) {
            self.give_up(&Why::Own(LEAVING.to_owned()));
            return Ok(());
        }
        let Some(giving) = &self.giving else { return Ok(()) };
        let (moved, stayed) = self.crew.counted_moved();
        let counted = serde_json::to_string(&self.crew.counted()).ok();
        let commit = Commit { cut_at: giving.cut_at, stayed, counted, moved: Some(moved) };
        let reachable = giving.channel.reachable(giving.pid);
        reachable.into_iter().for_each(|pid| self.launcher.on_commit(pid));
        if let Err(why) = giving.channel.send_by(giving.deadline, &ToSuccessor::Commit(commit), &[]) {
            self.give_up(&Why::Own(format!("cannot hand over: {why}")));
            return Ok(());
        }
        let put_off = self.crew.part();
        self.crew.settle();
        self.listeners.bequeath();
        self.path.take().into_iter().for_each(BoundSocket::bequeath);
        self.accept_at = None;
        self.state_file = None;
        self.has_parted = true;
        info!(
            "Handed over {moved} connections to process {}: nobody was heard for {} ms; {stayed} could not be moved",
            giving.pid,
            giving.silent_ms()
        );
        // They were meant for whoever serves.
        let put_off = put_off.into_iter().filter_map(number_of);
        let since = self.take_signals().into_iter().filter(|signal| *signal != SIGCHLD);
        if let Some(pid) = reachable {
            put_off.chain(since).for_each(|signal| handover::signal(pid, signal));
        }
        self.giving = None;
        Ok(())
    }

    fn give_up(&mut self, why: &Why) {
        let Some(giving) = self.giving.take() else { return };
        let _ = giving.channel.send(&ToSuccessor::abort(why), &[]);
        self.go_on(why, giving.silent_ms() as f64 / 1000.0);
    }

    /// Nobody takes over.
    fn go_on(&mut self, why: &dyn fmt::Display, silent_seconds: f64) {
        self.launcher.dismiss();
        self.crew.go_on(Handover {
            ended_unix_ms: Now::read().wall.as_millisecond(),
            silent_seconds,
            ..Handover::default()
        });
        warn!("Hand-over failed, this process goes on: {why}");
    }
}

/// What a supervisor listens on.
pub(super) fn offer<'a>(listeners: &'a SlotSockets, path: Option<&'a BoundSocket>) -> Offer<'a> {
    let slots = listeners.slots().zip(0..).map(|(bound, slot)| (Kind::Public, bound, slot));
    let admin = listeners.admin().map(|bound| (Kind::Admin, bound, 0));
    let redirect = listeners.redirect().map(|bound| (Kind::Redirect, bound, 0));
    let path = path.map(|bound| (Kind::Handover, bound, 0));
    let mut offer = Offer::default();
    for (kind, bound, slot) in slots.chain(admin).chain(redirect).chain(path) {
        let owns_file = bound.owns_file() || kind == Kind::Public && listeners.owns_file();
        offer.add(kind, bound, slot, owns_file);
    }
    offer
}

/// What a successor is sent that this process has not obeyed.
fn number_of(signal: Signal) -> Option<i32> {
    match signal {
        Signal::Grow => Some(SIGTTIN),
        Signal::Shrink => Some(SIGTTOU),
        Signal::Leave(_) => None,
    }
}

impl Giving {
    /// Keeps channels, if this is what has come; gives back anything else.
    fn take_channels(&mut self, received: Received) -> Option<Received> {
        match decode(&received.octets) {
            Ok(ToPredecessor::Channels { count })
                if received.descriptors.len() as u64 == u64::from(count) =>
            {
                self.channels.extend(received.descriptors);
                None
            }
            _ => Some(received),
        }
    }

    fn silent_ms(&self) -> u128 {
        self.held_since.map_or(0, |since| Now::read().instant.saturating_duration_since(since).as_millis())
    }
}

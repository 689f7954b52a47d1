//! The way between two processes: messages, each in one piece, with descriptors beside them (SOCK_SEQPACKET, unix(7)).

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use minicbor::Encode;
use nix::sys::socket::sockopt::{PeerCredentials, SndBuf, SndBufForce};
use nix::sys::socket::{UnixCredentials, getsockopt, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use thiserror::Error;

use crate::server::clock::Now;
use crate::wire::handover::message::{
    MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, ToPredecessor, ToSuccessor, encode,
};

/// What the kernel counts for a message with descriptors, rounded up.
const BYTES_OF_A_MESSAGE: usize = 1024;

/// What it begins with is about this much.
const LEAST_ROOM_BYTES: usize = 256 * 1024;

sockopt_impl!(
    /// Where a look into a channel goes on (SO_PEEK_OFF, socket(7)); none by -1.
    PeekOffset,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_PEEK_OFF,
    libc::c_int
);

/// One end. Never blocks but in `wait`.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// Descriptors that came beside a message are missing.
#[derive(Debug, Error)]
#[error("not all descriptors have come: the limit on open files is reached")]
pub struct CutShort;

/// A message and what came beside it.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub octets: Vec<u8>,
    /// Closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((one.into(), other))
    }

    /// Sends a message, with descriptors beside it.
    ///
    /// # Errors
    /// As sendmsg(2); `WouldBlock` until the other end has read what it was sent before.
    pub fn send(&self, message: &impl Encode<()>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let octets = encode(message);
        if octets.len() > MAX_MESSAGE_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::from(ErrorKind::InvalidInput));
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::from(ErrorKind::InvalidInput));
        }
        sendmsg(&self.socket, &[IoSlice::new(&octets)], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// As `send`, and waits until there is room.
    ///
    /// # Errors
    /// As sendmsg(2); `TimedOut` once the deadline is over.
    pub fn send_by(
        &self,
        deadline: Instant,
        message: &impl Encode<()>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        loop {
            match self.send(message, descriptors) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::OUT, deadline)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    /// The next message; `None` when the other end is closed.
    ///
    /// # Errors
    /// As recvmsg(2); `WouldBlock` when there is none yet, `InvalidData` when it has not come whole, with all that was sent
    /// beside it: near the limit of open files the kernel leaves out what there is no room for (MSG_CTRUNC).
    pub fn receive(&self) -> io::Result<Option<Received>> {
        self.receive_with(RecvFlags::empty())
    }

    fn receive_with(&self, flags: RecvFlags) -> io::Result<Option<Received>> {
        let mut octets = vec![0; MAX_MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(&mut octets)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let mut receive = || recvmsg(&self.socket, &mut pieces, &mut beside, flags);
        let received = match receive() {
            // Once, ahead of what the other end has said before it was closed with something unread.
            Err(Errno::CONNRESET) => receive()?,
            received => received?,
        };
        let descriptors = beside.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::new(ErrorKind::InvalidData, CutShort));
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(ErrorKind::InvalidData.into());
        }
        octets.truncate(received.bytes);
        Ok((received.bytes > 0).then_some(Received { octets, descriptors }))
    }

    /// As `receive`, of what somebody has left; `None` also where whoever did that is still there, and has left no more.
    ///
    /// # Errors
    /// As `receive`.
    pub fn receive_left(&self) -> io::Result<Option<Received>> {
        none_left(|| self.receive())
    }

    /// Everything that somebody has left in it, where all of it stays, also for whoever has this end of it, too.
    ///
    /// # Errors
    /// As `receive`.
    pub fn look(&self) -> io::Result<Vec<Received>> {
        self.look_at_first(usize::MAX)
    }

    /// The first so many of them, at most.
    ///
    /// # Errors
    /// As `receive`.
    pub fn look_at_first(&self, most: usize) -> io::Result<Vec<Received>> {
        // From the first on, and past each that was seen (socket(7), SO_PEEK_OFF).
        setsockopt(&self.socket, PeekOffset, &0)?;
        let next = || none_left(|| self.receive_with(RecvFlags::PEEK)).transpose();
        let seen = std::iter::from_fn(next).take(most).collect();
        setsockopt(&self.socket, PeekOffset, &-1)?;
        seen
    }

    /// Closes everything that somebody has left in it.
    pub fn discard(&self) {
        let is_over = |received: io::Result<Option<Received>>| match received {
            Ok(there) => there.is_none(),
            // What has not come whole is gone as well.
            Err(why) => why.kind() != ErrorKind::InvalidData,
        };
        while !is_over(self.receive_left()) {}
    }

    /// As `receive`, and waits for it.
    ///
    /// # Errors
    /// As `receive`; `TimedOut` once the deadline is over.
    pub fn receive_by(&self, deadline: Instant) -> io::Result<Option<Received>> {
        loop {
            match self.receive() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::IN, deadline)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                received => return received,
            }
        }
    }

    /// The number by which this process can reach the one at the other end, which says that it is this one: it may count
    /// otherwise, in a container. `None` if this one cannot see into that.
    pub fn reachable(&self, said: u32) -> Option<u32> {
        let peer = u32::try_from(peer(self).ok()?.pid()).ok()?;
        // A pair is this process's own, at both ends, and the other was inherited by one that it has started.
        let pid = if peer == std::process::id() { said } else { peer };
        (pid > 0).then_some(pid)
    }

    /// Tells a successor that nothing is handed over to it, and why.
    pub fn refuse(&self, why: &str) {
        // It may have ended by itself.
        let _ = self.send(&ToSuccessor::Refused { why: why.to_owned() }, &[]);
    }

    /// Takes nothing more from the other end, which finds it closed. What has come before can still be received.
    pub fn close(&self) {
        // It fails only where nobody is at the other end.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    /// Sends channels for the connections of a supervisor's workers, in as many messages as that takes.
    ///
    /// # Errors
    /// As `send_by`.
    pub fn send_channels(&self, deadline: Instant, channels: &[OwnedFd]) -> io::Result<()> {
        channels.chunks(MAX_DESCRIPTORS).try_for_each(|some| {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            let count = u32::try_from(descriptors.len()).map_err(|_| ErrorKind::InvalidInput)?;
            self.send_by(deadline, &ToPredecessor::Channels { count }, &descriptors)
        })
    }

    /// Makes room for so many messages that nobody reads yet, as far as the system lets it: the kernel counts some 800 bytes for
    /// each, and may keep its own limit (net.core.wmem_max).
    pub fn widen(&self, messages: usize) {
        let bytes = messages.saturating_mul(BYTES_OF_A_MESSAGE).max(LEAST_ROOM_BYTES);
        // Beyond that limit it takes a capability (CAP_NET_ADMIN, socket(7)).
        if setsockopt(&self.socket, SndBufForce, &bytes).is_err() {
            let _ = setsockopt(&self.socket, SndBuf, &bytes);
        }
    }

    /// Whether nobody has the other end any more, at the end of this time at the latest.
    pub fn is_abandoned_within(&self, time: Duration) -> bool {
        let mut asked = [PollFd::new(&self.socket, PollFlags::empty())];
        let time = Timespec::try_from(time).unwrap_or_default();
        retry_on_intr(|| poll(&mut asked, Some(&time))).is_ok() && asked[0].revents().contains(PollFlags::HUP)
    }

    fn wait(&self, what: PollFlags, deadline: Instant) -> io::Result<()> {
        wait(&mut [PollFd::new(&self.socket, what)], deadline)
    }
}

fn none_left(receive: impl Fn() -> io::Result<Option<Received>>) -> io::Result<Option<Received>> {
    loop {
        match receive() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            received => return received,
        }
    }
}

/// Waits until something has come through any of these.
///
/// # Errors
/// `TimedOut` once the deadline is over.
pub fn wait_for_any(channels: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<()> {
    let mut waited_for: Vec<PollFd<'_>> =
        channels.iter().map(|channel| PollFd::from_borrowed_fd(*channel, PollFlags::IN)).collect();
    wait(&mut waited_for, deadline)
}

fn wait(waited_for: &mut [PollFd<'_>], deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Now::read().instant);
        let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(waited_for, Some(&timeout)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whose process is at the other end (unix(7), SO_PEERCRED). Its number is 0 where it is in a container that this one cannot see
/// into, which rustix's type for it cannot hold.
///
/// # Errors
/// As getsockopt(2).
pub fn peer(socket: &impl AsFd) -> io::Result<UnixCredentials> {
    Ok(getsockopt(socket, PeerCredentials)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handover::message::ToSuccessor;

    #[test]
    fn what_was_said_before_the_end_is_heard_though_the_other_end_has_not_read_everything() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::from(other);
        one.send(&1, &[]).unwrap();
        other.send(&2, &[]).unwrap();
        drop(other);
        let deadline = Now::read().instant + Duration::from_secs(20);
        assert_eq!(one.receive_by(deadline).unwrap().unwrap().octets, encode(&2));
        assert!(one.receive_by(deadline).unwrap().is_none());
        assert_eq!(one.send_by(deadline, &3, &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_process_that_was_started_here_is_reached_by_the_number_that_it_says() {
        let (one, _other) = Channel::pair().unwrap();
        assert_eq!((one.reachable(7), one.reachable(0)), (Some(7), None));
    }

    #[test]
    fn what_was_sent_before_an_end_is_closed_is_received_and_nothing_can_be_sent_after_that() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::from(other);
        let said = ToSuccessor::abort(&"this is why");
        one.send(&said, &[]).unwrap();
        other.close();
        assert_eq!(one.send(&said, &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(other.receive().unwrap().unwrap().octets, encode(&said));
        assert!(other.receive().unwrap().is_none());
    }
}

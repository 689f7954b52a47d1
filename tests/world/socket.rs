//! One virtual TCP connection with the semantics of edge-triggered epoll(7): an event comes when bytes or an end have
//! arrived, or when a send buffer that was met full has room again, and never otherwise. Both ends share the `Line`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;

use slackwater::server::peers::Readiness;
use slackwater::server::socket::Socket;
use slackwater::server::turn::Ready;

use crate::ear::Ear;
use crate::random::Random;
use crate::tls::Layer;

/// How many of those that are drawn by lot speak TLS.
#[cfg(feature = "tls")]
const PERCENT_BY_TLS: usize = 25;

/// With room for so much unread, a handshake and the overhead of records change nothing about when a client counts as slow.
#[cfg(feature = "tls")]
const ROOMY: usize = 20_000;

/// What is between a client and the server.
pub struct Line {
    random: Random,
    /// Whether a read brings all there is, as Linux does, or sometimes less.
    reads_whole: bool,
    /// From where the client connects.
    pub address: Option<IpAddr>,
    /// From the client, not read by the server yet.
    inbound: VecDeque<u8>,
    pub inbound_ended: bool,
    /// The client has closed: whatever reaches it is answered by a reset.
    pub is_closed: bool,
    /// A process that had it has died, be it the last of them or not.
    pub was_bereft: bool,
    /// The last process that had it has died.
    pub is_orphaned: bool,
    /// The connection is dead from here on.
    pub failure: Option<ErrorKind>,
    /// The write that reaches this many bytes fails, as one does whose peer has gone.
    pub fails_behind: Option<usize>,
    /// How many bytes written and not read by the client there is room for.
    pub capacity: usize,
    written_bytes: usize,
    /// Bytes that the client has read.
    pub read_bytes: usize,
    /// TLS, if it is spoken.
    pub tls: Option<Layer>,
    /// Everything that was ever written, understood.
    pub ear: Ear,
    /// The server has ended its side.
    pub outbound_ended: bool,
    /// So many processes have its socket: two, while it is handed over.
    holders: usize,
    /// It has been on its way to another process: there it may still be held when this one has let go of it.
    pub has_travelled: bool,
    /// The last of them has let go of it.
    pub dropped: bool,
    /// It did so over bytes that it had not read: TCP would answer with a reset.
    pub dropped_over_unread: bool,
    /// It has it reset, and what the client has not read is thrown away.
    pub aborted: bool,
    /// The server was told to wait and has not been woken since.
    pub blocked: bool,
    /// An event waits to be taken.
    pub edge: bool,
    /// Bytes that the server has read since this was set to 0.
    pub read_this_turn: usize,
    /// The most bytes that the server has had to write at once.
    pub most_offered: usize,
    /// How often the server has received, sent or ended something.
    pub deeds: usize,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ended, unread) =
            ((self.inbound_ended, self.outbound_ended), (self.inbound.len(), self.unread_by_client()));
        write!(
            f,
            "ended in/out {ended:?}, unread in/out {unread:?} of {}, failure {:?}, ",
            self.capacity, self.failure
        )?;
        write!(f, "dropped {}, blocked {}, edge {}", self.dropped, self.blocked, self.edge)
    }
}

impl Line {
    pub fn new(mut random: Random, capacity: usize) -> Self {
        Self {
            reads_whole: random.chance(50),
            random: random.fork(),
            address: None,
            inbound: VecDeque::new(),
            inbound_ended: false,
            is_closed: false,
            was_bereft: false,
            is_orphaned: false,
            failure: None,
            fails_behind: None,
            capacity,
            written_bytes: 0,
            read_bytes: 0,
            tls: None,
            ear: Ear::default(),
            outbound_ended: false,
            holders: 0,
            has_travelled: false,
            dropped: false,
            dropped_over_unread: false,
            aborted: false,
            blocked: false,
            // Registration announces that the socket is writable.
            edge: true,
            read_this_turn: 0,
            most_offered: 0,
            deeds: 0,
        }
    }

    /// The client sends.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.inbound_ended && !self.dropped && !bytes.is_empty() {
            match &mut self.tls {
                Some(tls) => tls.send(bytes, &mut self.inbound),
                None => self.inbound.extend(bytes),
            }
            self.edge = true;
        }
    }

    /// The client, which has said nothing yet, speaks TLS.
    #[cfg(feature = "tls")]
    pub fn secure(&mut self) {
        self.tls = Some(Layer::new());
    }

    /// The same, if the lot says so, which is drawn once more from what its client draws from.
    pub fn secure_by_lot(&mut self, random: &Random) {
        #[cfg(feature = "tls")]
        if self.capacity >= ROOMY && random.clone().chance(PERCENT_BY_TLS) {
            self.secure();
        }
        #[cfg(not(feature = "tls"))]
        let _ = random;
    }

    /// The client says by TLS that nothing follows, and does not end its side of the stream yet.
    #[cfg(feature = "tls")]
    pub fn close_tls(&mut self) {
        let tls = self.tls.as_mut().expect("it speaks TLS");
        tls.close(&mut self.inbound);
        self.edge = true;
    }

    /// The client ends its side of the stream.
    pub fn end(&mut self) {
        self.edge |= !std::mem::replace(&mut self.inbound_ended, true);
    }

    /// The client ends both sides.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.end();
    }

    /// The client, or the net, kills the connection.
    pub fn fail(&mut self, kind: ErrorKind) {
        self.failure = Some(kind);
        self.edge = true;
    }

    /// The client reads; as in Linux, the server hears of room once a third of the buffer is free.
    pub fn take(&mut self, most: usize) -> usize {
        let count = most.min(self.unread_by_client());
        self.read_bytes += count;
        if self.blocked && (self.capacity - self.unread_by_client()) * 3 >= self.capacity {
            self.blocked = false;
            self.edge = true;
        }
        count
    }

    /// The event for this key.
    pub fn ready(&self, key: usize) -> Ready {
        let is_ended = self.inbound_ended || self.failure.is_some();
        let readiness = match self.inbound.is_empty() {
            _ if is_ended => Readiness::End,
            true => Readiness::Room,
            false => Readiness::Bytes,
        };
        Ready::Peer { key, readiness, has_room: is_ended || self.unread_by_client() < self.capacity }
    }

    pub fn unread_by_client(&self) -> usize {
        self.written_bytes - self.read_bytes
    }

    pub fn unread_by_server(&self) -> usize {
        self.inbound.len()
    }

    /// How many of so many bytes the socket takes: all, or some, or none at all for now.
    fn room_for(&mut self, wanted: usize) -> io::Result<usize> {
        assert!(!self.outbound_ended, "written behind the end of the stream");
        if let Some(kind) = self.failure {
            return Err(kind.into());
        }
        if self.fails_behind.is_some_and(|limit| self.written_bytes >= limit) {
            let kind = self.random.pick(&[ErrorKind::BrokenPipe, ErrorKind::ConnectionReset]);
            self.fail(kind);
            return Err(kind.into());
        }
        if self.random.chance(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let room = self.capacity - self.unread_by_client();
        if room == 0 {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = room.min(wanted);
        Ok(if self.random.chance(20) { self.random.within(1..most + 1) } else { most })
    }

    fn accept(&mut self, bytes: &[u8]) {
        self.written_bytes += bytes.len();
        self.deeds += 1;
        match self.tls.as_mut().map(|tls| tls.hear(bytes, &mut self.inbound)) {
            None => self.ear.listen(bytes),
            Some(Ok(plaintext)) => {
                self.edge |= !self.inbound.is_empty();
                self.ear.listen_within(&plaintext, self.written_bytes);
            }
            Some(Err(why)) => panic!("what is written is no TLS: {why}"),
        }
        if self.is_closed {
            self.fail(ErrorKind::BrokenPipe);
        }
    }
}

/// The server's end, as one process has it.
#[derive(Debug)]
pub struct VirtualSocket(Rc<RefCell<Line>>);

impl VirtualSocket {
    pub fn new(line: Rc<RefCell<Line>>) -> Self {
        line.borrow_mut().holders += 1;
        Self(line)
    }

    pub fn line(&self) -> &Rc<RefCell<Line>> {
        &self.0
    }
}

impl Read for VirtualSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        if let Some(kind) = line.failure {
            // Behind the end of the client's side TCP reads nothing else any more.
            return if line.inbound_ended { Ok(0) } else { Err(kind.into()) };
        }
        if line.random.chance(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = buffer.len().min(line.inbound.len());
        if most == 0 {
            return if line.inbound_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count =
            if !line.reads_whole && line.random.chance(30) { line.random.within(1..most + 1) } else { most };
        line.inbound.read_exact(&mut buffer[..count])?;
        line.read_this_turn += count;
        line.deeds += 1;
        Ok(count)
    }
}

impl Write for VirtualSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        assert_ne!(wanted, 0, "an empty write means nothing");
        line.most_offered = line.most_offered.max(wanted);
        let taken = line.room_for(wanted)?;
        let mut left = taken;
        for slice in slices {
            let count = left.min(slice.len());
            line.accept(&slice[..count]);
            left -= count;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for VirtualSocket {
    fn is_emptied_by_short_reads(&self) -> bool {
        self.0.borrow().reads_whole
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut line = self.0.borrow_mut();
        assert!(!line.outbound_ended, "the stream is ended once");
        line.outbound_ended = true;
        line.deeds += 1;
        line.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn abort(&mut self) {
        self.0.borrow_mut().aborted = true;
    }

    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        Ok(self.0.borrow().address)
    }

    fn is_dead(&self) -> bool {
        self.0.borrow().failure.is_some()
    }

    fn unacknowledged_bytes(&self) -> u32 {
        u32::try_from(self.0.borrow().unread_by_client()).expect("a line holds less")
    }
}

impl Drop for VirtualSocket {
    fn drop(&mut self) {
        let mut line = self.0.borrow_mut();
        line.deeds += 1;
        line.holders -= 1;
        if line.holders == 0 {
            line.dropped = true;
            line.is_orphaned = line.was_bereft && !line.outbound_ended;
            line.dropped_over_unread = !line.inbound.is_empty();
        }
    }
}

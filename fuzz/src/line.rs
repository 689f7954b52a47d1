//! A connection in memory: what the server's socket does on one end, and a client, or another socket, on the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use slackwater::server::peers::Readiness;
use slackwater::server::socket::Socket;
use slackwater::server::turn::Ready;

/// What the system holds that a client has not read, at most.
const CAPACITY: usize = 4096;

/// What is between a client and the server, or between a worker and its supervisor.
#[derive(Debug)]
pub struct Line {
    /// What it holds at most, in either direction; a client may always send.
    capacity: usize,
    /// Sent and not read by the server.
    inbound: VecDeque<u8>,
    has_ended: bool,
    has_failed: bool,
    /// All that the server has written.
    pub written: Vec<u8>,
    /// How much of it the client has read.
    read: usize,
    /// It reads whatever comes.
    is_reading: bool,
    /// The server was told to wait.
    is_blocked: bool,
    /// As epoll(7) would announce it, edge-triggered.
    pub has_event: bool,
    /// The far end was told to wait.
    is_far_blocked: bool,
    /// The same for a socket at the far end.
    pub has_far_event: bool,
    /// A socket at the far end is closed.
    is_far_dropped: bool,
    /// The server has ended its side behind what it has written.
    pub is_finished: bool,
    /// The server has let go of it.
    pub is_dropped: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            inbound: VecDeque::new(),
            has_ended: false,
            has_failed: false,
            written: Vec::new(),
            read: 0,
            is_reading: true,
            is_blocked: false,
            has_event: true,
            is_far_blocked: false,
            has_far_event: true,
            is_far_dropped: false,
            is_finished: false,
            is_dropped: false,
        }
    }
}

impl Line {
    /// Between a worker and its supervisor, of which it holds so much. Nothing is read by itself.
    pub fn link(capacity: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { capacity, is_reading: false, ..Self::default() }))
    }

    /// It holds so much from now on.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.wake_writers();
    }

    /// Takes the event at the server's end, with what epoll(7) says then: all that holds when it is asked.
    pub fn take_ready(&mut self, key: usize) -> Option<Ready> {
        if !std::mem::take(&mut self.has_event) || self.is_dropped {
            return None;
        }
        let readiness = match () {
            () if self.has_failed || self.has_ended => Readiness::End,
            () if !self.inbound.is_empty() => Readiness::Bytes,
            () => Readiness::Room,
        };
        Some(Ready::Peer { key, readiness, has_room: self.has_failed || self.is_finished || self.is_roomy() })
    }

    /// The client reads whatever comes, and nothing has gone wrong or come to an end.
    pub fn is_open(&self) -> bool {
        self.is_reading && !self.has_ended && !self.has_failed && !self.is_finished && !self.is_dropped
    }

    /// What the client has read.
    pub fn taken(&self) -> &[u8] {
        &self.written[..self.read]
    }

    /// The client has read the end of what the server says, and has not ended its own side.
    pub fn has_all(&self) -> bool {
        self.is_finished && self.read == self.written.len() && !self.has_ended
    }

    /// The client sends.
    pub fn send(&mut self, octets: &[u8]) {
        if !self.has_ended {
            self.inbound.extend(octets);
            self.has_event = true;
        }
    }

    /// The client sends no more.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.has_event = true;
    }

    /// The connection breaks.
    pub fn fail(&mut self) {
        self.has_failed = true;
        self.has_event = true;
    }

    /// The client reads so much and then no more by itself, or whatever comes from now on.
    pub fn read(&mut self, most: Option<usize>) {
        self.is_reading = most.is_none();
        self.read = self.written.len().min(self.read.saturating_add(most.unwrap_or(usize::MAX)));
        self.wake_writers();
    }

    fn wake_writers(&mut self) {
        if self.is_blocked && self.is_roomy() {
            (self.is_blocked, self.has_event) = (false, true);
        }
        if self.is_far_blocked && self.inbound.len() * 3 <= self.capacity * 2 {
            (self.is_far_blocked, self.has_far_event) = (false, true);
        }
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.written.len() - self.read)
    }

    /// A third of it is free: no earlier does the system announce that there is room.
    fn is_roomy(&self) -> bool {
        self.room() * 3 >= self.capacity
    }
}

/// The server's end.
#[derive(Debug)]
pub struct LineSocket(pub Rc<RefCell<Line>>);

impl Read for LineSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        match line.inbound.read(buffer)? {
            _ if line.has_failed => Err(ErrorKind::ConnectionReset.into()),
            0 if !line.has_ended => Err(ErrorKind::WouldBlock.into()),
            count => {
                line.wake_writers();
                Ok(count)
            }
        }
    }
}

impl Write for LineSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        assert!(!line.is_finished, "written behind the end");
        if line.has_failed || line.is_far_dropped {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = line.room();
        if room == 0 {
            line.is_blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = octets.len().min(room);
        line.written.extend_from_slice(&octets[..count]);
        line.has_far_event = true;
        if line.is_reading {
            line.read = line.written.len();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for LineSocket {
    fn is_emptied_by_short_reads(&self) -> bool {
        true
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut line = self.0.borrow_mut();
        (line.is_finished, line.has_far_event) = (true, true);
        Ok(())
    }

    fn abort(&mut self) {}

    /// The client's system holds half of what it has not read.
    fn unacknowledged_bytes(&self) -> u32 {
        let line = self.0.borrow();
        let unread = line.written.len() - line.read;
        let is_acknowledged = line.has_failed || line.is_far_dropped;
        u32::try_from(if is_acknowledged { 0 } else { unread.saturating_sub(line.capacity / 2) })
            .unwrap_or(u32::MAX)
    }
}

impl Drop for LineSocket {
    fn drop(&mut self) {
        let mut line = self.0.borrow_mut();
        (line.is_dropped, line.has_far_event) = (true, true);
    }
}

/// The far end, if that is a socket, too.
#[derive(Debug)]
pub struct FarSocket(pub Rc<RefCell<Line>>);

impl Read for FarSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        let line = &mut *line;
        let count = (&line.written[line.read..]).read(buffer)?;
        line.read += count;
        line.wake_writers();
        if count == 0 && !line.is_finished && !line.is_dropped {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(count)
    }
}

impl Write for FarSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        assert!(!line.has_ended, "written behind the end");
        if line.is_dropped {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = octets.len().min(line.capacity.saturating_sub(line.inbound.len()));
        if count == 0 {
            line.is_far_blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        line.send(&octets[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for FarSocket {
    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().end();
        Ok(())
    }

    fn abort(&mut self) {
        unreachable!("the pair is closed with the process");
    }
}

impl Drop for FarSocket {
    fn drop(&mut self) {
        let mut line = self.0.borrow_mut();
        line.end();
        line.is_far_dropped = true;
    }
}

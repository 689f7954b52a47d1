//! A connection in memory: what the server's socket does on one end, and a client on the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use slackwater::server::socket::Socket;

/// What the system holds that the client has not read, at most.
const CAPACITY: usize = 4096;

/// What is between a client and the server.
#[derive(Debug)]
pub struct Line {
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
    /// The server has ended its side behind what it has written.
    pub is_finished: bool,
    /// The server has let go of it.
    pub is_dropped: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            inbound: VecDeque::new(),
            has_ended: false,
            has_failed: false,
            written: Vec::new(),
            read: 0,
            is_reading: true,
            is_blocked: false,
            has_event: true,
            is_finished: false,
            is_dropped: false,
        }
    }
}

impl Line {
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
        if self.is_blocked && self.written.len() - self.read < CAPACITY {
            self.is_blocked = false;
            self.has_event = true;
        }
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
            count => Ok(count),
        }
    }
}

impl Write for LineSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        assert!(!line.is_finished, "written behind the end");
        if line.has_failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY - (line.written.len() - line.read);
        if room == 0 {
            line.is_blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = octets.len().min(room);
        line.written.extend_from_slice(&octets[..count]);
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
    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().is_finished = true;
        Ok(())
    }

    fn abort(&mut self) {}
}

impl Drop for LineSocket {
    fn drop(&mut self) {
        self.0.borrow_mut().is_dropped = true;
    }
}

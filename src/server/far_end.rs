//! The other end of a socket, for tests: it says at once what it is to say, and takes as much as it is let.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;

use crate::server::socket::Socket;
use crate::wire::link::{self, ToSupervisor};

/// What it has to say, what it has been told, and how much it takes.
#[derive(Debug, Default)]
pub(crate) struct FarEnd {
    pub said: VecDeque<u8>,
    pub room: usize,
    pub taken: Vec<u8>,
    /// When it has taken how much at once: the time is what `now` was then.
    pub writes: Vec<(Duration, usize)>,
    pub now: Duration,
    /// It has ended its side.
    pub is_closed: bool,
    /// It has reset the connection.
    pub is_reset: bool,
    /// It has been told that nothing follows, and when that was first.
    pub has_ended: bool,
    pub ended_at: Option<Duration>,
    /// Something has come of it that nobody was told of yet.
    pub has_event: bool,
    pub address: Option<IpAddr>,
    /// The machine has no memory for what is written.
    pub is_short: bool,
}

#[derive(Debug)]
pub(crate) struct Wire(pub Rc<RefCell<FarEnd>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.0.borrow_mut();
        if end.said.is_empty() && end.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if end.said.is_empty() && !end.is_closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.said.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut end = self.0.borrow_mut();
        if end.is_short {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let count = octets.len().min(end.room);
        if octets.is_empty() {
            return Ok(0);
        }
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.room -= count;
        end.taken.extend(&octets[..count]);
        let now = end.now;
        end.writes.push((now, count));
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&all)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Wire {
    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().end();
        Ok(())
    }

    fn abort(&mut self) {
        self.0.borrow_mut().end();
    }

    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        Ok(self.0.borrow().address)
    }
}

impl FarEnd {
    /// One that takes everything.
    pub(crate) fn open() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { room: usize::MAX, ..Self::default() }))
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.ended_at.get_or_insert(self.now);
    }

    pub(crate) fn say(&mut self, message: &ToSupervisor) {
        let mut octets = BytesMut::new();
        link::encode(message, &mut octets);
        self.said.extend(&octets);
    }
}

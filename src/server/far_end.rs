//! The other end of a link, for tests: it says at once what it is to say, and takes as much as it is let.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use bytes::BytesMut;

use crate::server::socket::Socket;
use crate::wire::link::{self, ToSupervisor};

/// A worker's end: what it has said, and how much it takes.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub said: VecDeque<u8>,
    pub room: usize,
    pub taken: Vec<u8>,
    pub is_closed: bool,
    /// The machine has no memory for what is written.
    pub is_short: bool,
}

#[derive(Debug)]
pub(crate) struct Wire(pub Rc<RefCell<End>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.0.borrow_mut();
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
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.room -= count;
        end.taken.extend(&octets[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Wire {
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}

impl End {
    /// One that takes everything.
    pub(crate) fn open() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { room: usize::MAX, ..Self::default() }))
    }

    pub(crate) fn say(&mut self, message: &ToSupervisor) {
        let mut octets = BytesMut::new();
        link::encode(message, &mut octets);
        self.said.extend(&octets);
    }
}

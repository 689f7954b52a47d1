//! Clients who agree on keys with the server and leave: so many at a time, or so many a second.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::Type;

use super::secured::Secured;
use crate::common::PATIENCE;
use crate::common::channel::Channel;
use crate::common::sources::Sources;

/// What can be agreed over.
pub trait Knock: Channel {
    /// Goes on until both have agreed; whether a ticket has spared them the certificate.
    ///
    /// # Errors
    /// `WouldBlock`, as long as the server has to speak first.
    fn agree(&mut self) -> io::Result<bool>;

    /// Says that nothing more is sent.
    fn leave(&mut self) -> io::Result<()>;
}

/// There is nothing to agree on: what the connection itself costs.
impl Knock for TcpStream {
    fn agree(&mut self) -> io::Result<bool> {
        match self.peer_addr() {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
            Err(e) => Err(e),
        }
    }

    fn leave(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Knock for Secured {
    fn agree(&mut self) -> io::Result<bool> {
        self.shake_hands().map_err(|e| match e.kind() {
            ErrorKind::NotConnected => ErrorKind::WouldBlock.into(),
            _ => e,
        })?;
        Ok(self.is_resumed())
    }

    fn leave(&mut self) -> io::Result<()> {
        self.close()?;
        self.socket().shutdown(Shutdown::Write)
    }
}

/// All of them.
pub struct Knocking<'t, K: Knock> {
    address: SocketAddr,
    terms: &'t K::Terms,
    poll: Poll,
    /// Whether each has agreed, and waits for the other side to end the connection.
    knocks: Slab<(K, bool)>,
    sources: Sources,
    /// How many have left.
    pub done: u64,
    /// How many of them had a ticket that was accepted.
    pub resumed: u64,
    /// To how many of them the other side did not say that it would send nothing more.
    pub cut: u64,
    scratch: Box<[u8]>,
}

impl<'t, K: Knock> Knocking<'t, K> {
    pub fn new(address: SocketAddr, terms: &'t K::Terms) -> Self {
        Self {
            address,
            terms,
            poll: Poll::new().expect("there can be a poll"),
            knocks: Slab::new(),
            sources: Sources::default(),
            done: 0,
            resumed: 0,
            cut: 0,
            scratch: vec![0; 256 * 1024].into(),
        }
    }

    /// So many of them, of whom so many are there at a time.
    pub fn count(&mut self, count: u64, at_a_time: usize) {
        let mut begun = 0;
        while self.done < count {
            while begun < count && self.knocks.len() < at_a_time {
                begun += 1;
                self.begin();
            }
            self.turn(PATIENCE);
        }
    }

    /// So many a second, for as long as this is on.
    pub fn at_a_rate(&mut self, per_second: u32, is_on: &AtomicBool) {
        let (mut due, pause) = (Instant::now(), Duration::from_secs(1) / per_second);
        while is_on.load(Ordering::Acquire) {
            let now = Instant::now();
            if due <= now {
                due += pause;
                self.begin();
            }
            self.turn(due.saturating_duration_since(now));
        }
        while !self.knocks.is_empty() {
            self.turn(PATIENCE);
        }
    }

    fn begin(&mut self) {
        let socket = self.sources.socket(Type::STREAM.nonblocking()).expect("there is a port left");
        match socket.connect(&self.address.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => panic!("cannot connect: {e}"),
            _ => {}
        }
        let mut channel = K::over(TcpStream::from_std(socket.into()), self.terms);
        let entry = self.knocks.vacant_entry();
        let (token, interest) = (Token(entry.key()), Interest::READABLE | Interest::WRITABLE);
        self.poll.registry().register(channel.socket(), token, interest).expect("a socket can be polled");
        entry.insert((channel, false));
    }

    fn turn(&mut self, wait: Duration) {
        let mut events = Events::with_capacity(128);
        match self.poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            polled => polled.expect("the poll works"),
        }
        assert!(!events.is_empty() || wait < PATIENCE, "nothing has come for {PATIENCE:?}");
        for event in &events {
            let Token(key) = event.token();
            match self.go_on(key) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                went_on => went_on.expect("every handshake succeeds"),
            }
        }
    }

    fn go_on(&mut self, key: usize) -> io::Result<()> {
        let Some((channel, has_agreed)) = self.knocks.get_mut(key) else { return Ok(()) };
        if !*has_agreed {
            self.resumed += u64::from(channel.agree()?);
            *has_agreed = true;
            channel.leave()?;
        }
        loop {
            match channel.read(&mut self.scratch) {
                Ok(0) => break,
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    self.cut += 1;
                    break;
                }
                read => read?,
            };
        }
        self.knocks.remove(key);
        self.done += 1;
        Ok(())
    }
}

//! Opens connections to the engine without waiting for them, and registers them with the poll. Decides nothing.
//!
//! A name is looked up in a thread of its own, since the system's resolver knows no way but to wait (getaddrinfo(3)): the loop
//! turns meanwhile, and is woken when it is found.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::unix::pipe;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::engine::EngineAddress;
use crate::policy::engine::step::{Line, Target};
use crate::server::engine::Wanted;
use crate::server::engine::security::EngineSecurity;
use crate::server::socket::Stream;
use crate::server::transport::Transport;

/// What has become of a connection that was wanted.
pub type Dialled = (Wanted, Result<Transport<Stream>, String>);

/// In the order of their tokens.
const LINES: [Line; 3] = [Line::Locator, Line::Writer, Line::Reader];

/// How many tokens the engine has: one for each connection, and behind them one for names that were looked up.
pub const TOKENS: usize = LINES.len() + 1;

type Found = (String, u16, io::Result<Vec<SocketAddr>>);

/// Connects to where the engine is.
pub struct Dialer {
    address: EngineAddress,
    security: EngineSecurity,
    registry: Registry,
    /// The first of the engine's tokens.
    first: usize,
    /// Wakes the loop.
    bell: Arc<pipe::Sender>,
    rung: pipe::Receiver,
    sender: Sender<Found>,
    found: Receiver<Found>,
    /// Wanted from names that are being looked up.
    waiting: Vec<(String, u16, Wanted)>,
}

impl Dialer {
    /// To the engine at this address, in this way. Its tokens begin with this one.
    ///
    /// # Errors
    /// When the machine is out of descriptors.
    pub fn new(
        address: EngineAddress,
        security: EngineSecurity,
        registry: &Registry,
        first: usize,
    ) -> io::Result<Self> {
        let (bell, mut rung) = pipe::new()?;
        registry.register(&mut rung, Token(first + LINES.len()), Interest::READABLE)?;
        let (sender, found) = mpsc::channel();
        let (registry, bell) = (registry.try_clone()?, Arc::new(bell));
        Ok(Self { address, security, registry, first, bell, rung, sender, found, waiting: vec![] })
    }

    /// Which connection an event is about, if it is one to the engine.
    pub fn line_of(token: Token, first: usize) -> Option<Line> {
        LINES.get(token.0.checked_sub(first)?).copied()
    }

    /// Whether an event says that a name has been looked up.
    pub fn has_found(token: Token, first: usize) -> bool {
        token.0 == first + LINES.len()
    }

    /// Begins a connection; what has become of it, unless a name is to be looked up first. It may turn out later that nobody is
    /// there.
    pub fn dial(&mut self, wanted: Wanted) -> Option<Dialled> {
        let (host, port) = match (&wanted.target, &self.address) {
            (Target::Named(host, port), _) => (host.clone(), *port),
            (Target::Configured, EngineAddress::Tcp { host, port }) => (host.clone(), *port),
            (Target::Configured, EngineAddress::Unix(path)) => {
                let socket = SockAddr::unix(path).and_then(|address| self.connect(&address, wanted.line));
                return Some((wanted, socket.map(Transport::Plain).map_err(|e| e.to_string())));
            }
            (Target::Sentinel(number), EngineAddress::Sentinel { sentinels, .. }) => {
                let (host, port) = &sentinels[number % sentinels.len()];
                (host.clone(), *port)
            }
            (target, _) => {
                let why = format!("{target:?} is nowhere");
                return Some((wanted, Err(why)));
            }
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            let socket = self.connect(&SocketAddr::new(address, port).into(), wanted.line);
            let socket =
                socket.map_err(|e| e.to_string()).and_then(|socket| self.security.apply(socket, &host));
            return Some((wanted, socket));
        }
        let is_under_way = self.waiting.iter().any(|(name, at, _)| (name, *at) == (&host, port));
        self.waiting.push((host.clone(), port, wanted));
        if !is_under_way {
            self.look_up(host, port);
        }
        None
    }

    /// Goes on with those whose names have been looked up since the last call.
    pub fn dial_found(&mut self) -> Vec<Dialled> {
        let mut dialled = vec![];
        while self.rung.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        while let Ok((host, port, found)) = self.found.try_recv() {
            let is_of = |(name, at, _): &mut (String, u16, Wanted)| (&*name, *at) == (&host, port);
            for (_, _, wanted) in self.waiting.extract_if(.., is_of).collect::<Vec<_>>() {
                let socket = one_of(&found, wanted.generation).and_then(|address| {
                    self.connect(&address.into(), wanted.line).map_err(|e| e.to_string())
                });
                let socket = socket.map_err(|why| format!("{host}: {why}"));
                dialled.push((wanted, socket.and_then(|socket| self.security.apply(socket, &host))));
            }
        }
        dialled
    }

    fn connect(&self, address: &SockAddr, line: Line) -> io::Result<Stream> {
        let mut socket = connect(address)?;
        let index = LINES.iter().position(|one| *one == line).unwrap_or_default();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut socket, Token(self.first + index), both)?;
        Ok(socket)
    }

    fn look_up(&self, host: String, port: u16) {
        let (sender, bell) = (self.sender.clone(), self.bell.clone());
        thread::spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            // Nobody is left to be told where the server has ended meanwhile.
            if sender.send((host, port, found)).is_ok() {
                // One that is full has been rung.
                let _ = (&*bell).write(&[0]);
            }
        });
    }
}

/// One of the addresses of a name, each time another.
fn one_of(found: &io::Result<Vec<SocketAddr>>, time: u64) -> Result<SocketAddr, String> {
    let addresses = found.as_ref().map_err(ToString::to_string)?;
    let index = usize::try_from(time).unwrap_or_default().checked_rem(addresses.len());
    Ok(index.map(|index| addresses[index]).ok_or("the name has no address")?)
}

fn connect(address: &SockAddr) -> io::Result<Stream> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(address) {
        Ok(()) => {}
        // connect(2): it goes on.
        Err(e) if e.kind() == ErrorKind::Interrupted || e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    Ok(Stream::from(socket))
}

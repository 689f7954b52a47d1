//! A socket that is connected and waited for until a certain time, however slowly the other end takes and gives. Knows not what is said.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Place;
use crate::server::clock::Now;

/// What the system is handed at once: a Unix socket waits anew for each piece of what it is handed.
const PIECE_BYTES: usize = 16 * 1024;

/// A socket that is waited for until a certain time.
#[derive(Debug)]
pub(in crate::process::commands) struct Bounded {
    socket: Socket,
    pub(super) until: Instant,
}

impl Bounded {
    /// Connects. One that takes nobody is waited for no longer than anything else.
    pub(super) fn connect(at: &Place, until: Instant) -> io::Result<Self> {
        let socket = match at {
            Place::Path(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                // Also for room among those who are to be accepted.
                socket.set_write_timeout(Some(left(until)?))?;
                socket.connect(&SockAddr::unix(path)?).map_err(in_time)?;
                socket
            }
            Place::Ip(host, port) => connect_to_one(&addresses(host, *port, until)?, until)?.into(),
        };
        Ok(Self { socket, until })
    }
}

impl Read for Bounded {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(room).map_err(in_time)
    }
}

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(&octets[..octets.len().min(PIECE_BYTES)]).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The addresses of a host. A thread of its own asks for those of a name, since nothing else bounds that.
fn addresses(host: &str, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, found) = channel();
    let host = host.to_owned();
    thread::Builder::new().spawn(move || {
        let _ = sender.send((host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    })?;
    found.recv_timeout(left(until)?).unwrap_or_else(|_| Err(late()))
}

/// The first that answers. One that does not leaves the others their share of the time.
fn connect_to_one(addresses: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let share = left(until)?.div_f64((addresses.len() - index) as f64);
        match TcpStream::connect_timeout(address, share.max(SHORTEST)) {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// What a socket can be told to wait; of none at all it thinks that it is for ever.
const SHORTEST: Duration = Duration::from_millis(1);

fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Now::read().instant) {
        Duration::ZERO => Err(late()),
        left => Ok(left.max(SHORTEST)),
    }
}

fn in_time(why: io::Error) -> io::Error {
    if why.kind() == ErrorKind::WouldBlock { late() } else { why }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

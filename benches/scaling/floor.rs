//! The floor: no server, but the least that any server must do. It takes clients in by accept(2), one read(2) and one
//! send(2) of a ready-made 101, and sends each message by a bare loop of send(2) of the same octets to one socket
//! after the other. It looks at nothing that clients send, waits for no event, and notices nobody leave.
//!
//! Its first connection tells it what to do, in lines: `take COUNT` clients; `watch COUNT` clients, which is the same
//! with an epoll(7) that all of them are registered with, as with any server that wants to hear from them; or
//! `send LENGTH…`, followed by octets of those lengths, each a frame that goes to everyone taken.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::common::arrival::ACCEPTED;

/// As the server's default.
const BACKLOG: i32 = 2048;

/// Serves until it is killed.
pub fn run() -> io::Result<()> {
    let listener = listen()?;
    eprintln!("The floor is at http://{}", listener.local_addr()?);
    let mut orders = BufReader::with_capacity(1024 * 1024, listener.accept()?.0);
    let (mut sockets, mut watch) = (Vec::new(), None);
    let mut line = String::new();
    while orders.read_line(&mut line)? > 0 {
        let mut words = line.split_whitespace();
        let act = words.next();
        let numbers: Vec<usize> = words.map(|number| number.parse().expect("a number")).collect();
        match (act, &*numbers) {
            (Some("take"), [count]) => take(&listener, *count, &mut sockets)?,
            (Some("watch"), [count]) => match &mut watch {
                Some(watch) => watch,
                None => watch.insert(Watch::new(listener.try_clone()?)?),
            }
            .take(*count)?,
            (Some("send"), lengths) => {
                let mut frames = vec![0; lengths.iter().sum()];
                orders.read_exact(&mut frames)?;
                send_to_all(&sockets, &frames, lengths)?;
            }
            _ => panic!("the floor does not know how to {line:?}"),
        }
        line.clear();
    }
    Ok(())
}

/// Accepted sockets inherit TCP_NODELAY (tcp(7)), as the server's do.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn take(listener: &TcpListener, count: usize, sockets: &mut Vec<TcpStream>) -> io::Result<()> {
    let mut request = [0; 4096];
    for _ in 0..count {
        let (mut socket, _) = listener.accept()?;
        // The load sends its request in one segment.
        let _ = socket.read(&mut request)?;
        socket.write_all(ACCEPTED.as_bytes())?;
        sockets.push(socket);
    }
    Ok(())
}

fn send_to_all(sockets: &[TcpStream], frames: &[u8], lengths: &[usize]) -> io::Result<()> {
    let mut frames = frames;
    for length in lengths {
        let (frame, rest) = frames.split_at(*length);
        for mut socket in sockets {
            socket.write_all(frame)?;
        }
        frames = rest;
    }
    Ok(())
}

/// Clients that are waited for by events.
struct Watch {
    poll: Poll,
    listener: mio::net::TcpListener,
    /// A client's token is its place here.
    clients: Vec<mio::net::TcpStream>,
}

const LISTENER: Token = Token(usize::MAX - 1);

impl Watch {
    fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (poll, mut listener) = (Poll::new()?, mio::net::TcpListener::from_std(listener));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, clients: Vec::new() })
    }

    fn take(&mut self, count: usize) -> io::Result<()> {
        let (mut events, mut request, mut answered) = (Events::with_capacity(1024), [0; 4096], 0);
        while answered < count {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(place) => {
                        let mut socket = &self.clients[place];
                        let _ = socket.read(&mut request)?;
                        socket.write_all(ACCEPTED.as_bytes())?;
                        answered += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut socket, _)) => {
                    let token = Token(self.clients.len());
                    self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
                    self.clients.push(socket);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

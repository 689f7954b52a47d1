//! Clients that stay connected over TLS, which is rustls', in the midst of everything.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustls::{ClientConnection, StreamOwned};
use support::client::Client;
use support::frames::text;
use support::peer::Peer;
use tempfile::TempDir;

use crate::door::Door;
use crate::visitor::{self, Visitor, issue};

/// A certificate, who trusts it, and a door without TLS for whoever publishes.
pub struct House {
    folder: TempDir,
    visitor: Visitor,
}

/// A connection of a client's.
pub struct Secured(StreamOwned<ClientConnection, TcpStream>);

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let visitor = Visitor::trusting(issue(folder.path()));
        Self { folder, visitor }
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn flags(&self) -> String {
        format!("{} --admin {}", visitor::flags(self.folder.path()), self.path("admin").display())
    }

    pub fn publish(&self, text: &str) {
        assert_eq!(Door::Unix(self.path("admin")).publish(text).status, 200);
    }

    pub fn client(&self, address: SocketAddr) -> Client<Secured> {
        Client::over(self.connect(address).socket, &format!("ws://{address}/ws")).unwrap()
    }

    fn connect(&self, address: SocketAddr) -> Peer<Secured> {
        Peer::over(self.secure(Peer::connect(address).socket))
    }

    fn secure(&self, socket: TcpStream) -> Secured {
        Secured(self.visitor.secure(socket))
    }
}

impl AsFd for Secured {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.sock.as_fd()
    }
}

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How much the slow one is sent that it does not read.
const SLOW: usize = 30;

/// What it says nevertheless.
const SAID: &str = "and it says something";

/// Clients in the midst of everything.
pub struct Guests {
    listener: Client<Secured>,
    /// Half of a message of its own is half of a record.
    half: Peer<Secured>,
    rest: Vec<u8>,
    slow: Peer<Secured>,
    filler: String,
    /// One that has said nothing at all.
    silent: TcpStream,
}

impl Guests {
    pub fn invite(house: &House, address: SocketAddr) -> Self {
        let listener = house.client(address);
        let slow = Peer::with_little_room(address).socket;
        let mut slow = upgraded(Peer::over(house.secure(slow)));
        let mut half = upgraded(house.connect(address));
        // The other half would be the server's business.
        half.send(text("first"));
        assert_eq!(half.message()["message"], "Server received: first");
        let mut record = vec![];
        let Secured(StreamOwned { conn, sock }) = &mut half.socket;
        conn.writer().write_all(&text(&"x".repeat(1000))).unwrap();
        conn.write_tls(&mut record).unwrap();
        let rest = record.split_off(500);
        sock.write_all(&record).unwrap();
        let silent = Peer::connect(address).socket;
        let filler = "z".repeat(60_000);
        for n in 0..SLOW {
            house.publish(&format!("{n} {filler}"));
        }
        slow.send(text(SAID));
        Self { listener, half, rest, slow, filler, silent }
    }

    /// Nobody has noticed anything, once it has been published that it is over.
    pub fn assert_gone_on(mut self, house: &House, over: &str) {
        let Secured(StreamOwned { sock, .. }) = &mut self.half.socket;
        sock.write_all(&self.rest).unwrap();
        let filler = &self.filler;
        let told: Vec<_> = (0..SLOW).map(|n| format!("{n} {filler}")).chain([over.to_owned()]).collect();
        for (peer, said) in [(&mut self.half, &*"x".repeat(1000)), (&mut self.slow, SAID)] {
            let heard: Vec<_> = (0..SLOW + 2).map(|_| peer.message()).collect();
            let datas = heard.iter().filter_map(|message| message["data"].as_str());
            assert_eq!(datas.collect::<Vec<_>>(), told);
            let mut echoes = heard.iter().filter_map(|message| message["message"].as_str());
            assert_eq!(echoes.next(), Some(&*format!("Server received: {said}")));
        }
        for data in told {
            assert_eq!(self.listener.hear_data(), data);
        }
        self.listener.echo("still here");
        let newcomer = Client::over(house.secure(self.silent), "ws://localhost/ws").unwrap();
        [newcomer, self.listener].into_iter().for_each(Client::leave);
    }
}

fn upgraded(mut peer: Peer<Secured>) -> Peer<Secured> {
    peer.send(support::HANDSHAKE);
    assert_eq!(peer.head().status, 101);
    assert_eq!(peer.message()["type"], "welcome");
    peer
}

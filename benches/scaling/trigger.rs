//! What makes the program under measure send to all: a POST /publish to the server, an order to the floor.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::bearer;
use super::common::arrival::{Greeting, REQUEST};
use super::common::channel::Channel;
use super::common::encoding::Encoding;
use super::common::floor::publications;
use super::common::publisher::{Publisher, Request};

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server,
    /// The server, and each of its clients shows a token.
    ServerByToken,
    /// The server, and its clients look at every octet that comes so.
    ServerBy(Encoding),
    Floor,
    /// The floor that waits for its clients by events.
    WatchingFloor,
}

impl Kind {
    const ALL: [(Self, &str); 7] = [
        (Self::Server, "server"),
        (Self::ServerByToken, "server-by-token"),
        (Self::ServerBy(Encoding::Plain), "server-plain"),
        (Self::ServerBy(Encoding::Compressed), "server-compressed"),
        (Self::ServerBy(Encoding::Stream), "server-stream"),
        (Self::Floor, "floor"),
        (Self::WatchingFloor, "watching-floor"),
    ];

    /// What it is called on the command line of the load.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(kind, _)| *kind == self);
        named.expect("each has a name").1
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, its)| *its == name).map(|(kind, _)| *kind)
    }

    pub fn is_server(self) -> bool {
        !matches!(self, Self::Floor | Self::WatchingFloor)
    }

    /// What its clients ask with.
    pub fn request(self) -> String {
        match self {
            Self::ServerByToken => bearer::request(),
            Self::ServerBy(encoding) => encoding.request(),
            Self::Server | Self::Floor | Self::WatchingFloor => REQUEST.to_owned(),
        }
    }
}

/// The connection that it goes over.
pub struct Trigger<C> {
    kind: Kind,
    publisher: Publisher<C>,
    sent: u64,
}

impl<C: Channel> Trigger<C> {
    pub fn connect(kind: Kind, address: SocketAddr, terms: &C::Terms) -> Self {
        Self { kind, publisher: Publisher::connect_over(address, terms), sent: 0 }
    }

    pub fn greeting(&self) -> Greeting {
        match self.kind {
            Kind::Server | Kind::ServerByToken => Greeting::Welcome,
            Kind::ServerBy(encoding) => Greeting::Of(encoding),
            Kind::Floor | Kind::WatchingFloor => Greeting::None,
        }
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        self.publisher.channel.socket()
    }

    /// Says that so many clients will connect, to whom it must be said.
    pub fn announce(&mut self, clients: usize) {
        let act = match self.kind {
            Kind::Server | Kind::ServerByToken | Kind::ServerBy(_) => return,
            Kind::Floor => "take",
            Kind::WatchingFloor => "watch",
        };
        self.publisher.send_octets(format!("{act} {clients}\n").as_bytes());
    }

    /// The octets that make it send so many publications of this JSON value behind a position.
    pub fn prepare(&self, data: &str, newest: u64, count: u64) -> Vec<u8> {
        if self.kind.is_server() {
            return Request::of(data, count).octets;
        }
        let count = usize::try_from(count).expect("a process holds them");
        let frames = publications(data, newest, count);
        let lengths: String = frames.iter().map(|frame| format!(" {}", frame.len())).collect();
        let mut octets = format!("send{lengths}\n").into_bytes();
        octets.extend(frames.iter().flat_map(|frame| frame.iter()));
        octets
    }

    pub fn pull(&mut self, octets: &[u8]) {
        self.sent += 1;
        self.publisher.send_octets(octets);
    }

    /// Whether the server has answered every request; the floor never does.
    pub fn is_answered(&self) -> bool {
        !self.kind.is_server() || self.publisher.answered == self.sent
    }

    pub fn on_ready(&mut self, scratch: &mut [u8]) {
        self.publisher.flush();
        self.publisher.read(scratch);
    }
}

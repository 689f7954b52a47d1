//! What an earlier process has parked with its service manager, as a test would have it: whole, in part, or damaged. What
//! the next start makes of it is up to the test.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use slackwater::policy::epochs::Epochs;
use slackwater::server::handover::channel::Channel;
use slackwater::server::handover::memory;
use slackwater::wire::handover::FORMATS;
use slackwater::wire::handover::image::{Whole, Writer};
use slackwater::wire::handover::message::{Kind, Listening, Sockets};
use slackwater::wire::handover::parked::{Left, Parked, Part};
use slackwater::wire::handover::record::{Http, Phase, Record};
use slackwater::wire::snapshot::Snapshot;
use support::peer::Peer;

use super::manager::{Manager, PARKED};
use super::server::Service;

/// The channels that it has left with the manager, what it has said in them, and one connection that it had.
pub struct StandIn {
    pub channel: Channel,
    kept: OwnedFd,
    part: Channel,
    pub kept_part: OwnedFd,
    pub public: TcpListener,
    peer: Peer,
    pub accepted: TcpStream,
}

impl StandIn {
    pub fn new() -> Self {
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::connect(public.local_addr().unwrap());
        let accepted = public.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        let (channel, kept) = Channel::pair().unwrap();
        let (part, kept_part) = Channel::pair().unwrap();
        Self { channel, kept, part, kept_part, public, peer, accepted }
    }

    pub fn say(&self, message: &Parked, beside: &[BorrowedFd<'_>]) {
        self.channel.send(message, beside).unwrap();
    }

    pub fn say_server(&self, format: u32) {
        let listening =
            vec![Listening { kind: Kind::Public, is_shared: false, owns_file: false, slot: 0, path: None }];
        let version = "stand-in".to_owned();
        let server =
            Sockets { format, version, pid: 77, listening, workers: None, has_more: false, tickets: None };
        self.say(&Parked::Server(server), &[self.public.as_fd()]);
    }

    pub fn say_rest(&self) {
        self.say(&Parked::Image, &[rest().as_fd()]);
    }

    pub fn say_part(&self) {
        self.say(&Parked::Parts { count: 1 }, &[self.kept_part.as_fd()]);
    }

    pub fn say_image(&self, file: &impl AsFd, connections: u64) {
        self.part.send(&Part::Image { connections }, &[file.as_fd()]).unwrap();
    }

    pub fn say_batch(&self, connections: u32) {
        self.part.send(&Part::Batch { connections }, &[self.accepted.as_fd()]).unwrap();
    }

    /// All but the connections.
    pub fn say_all_else(&self) {
        self.say_server(1);
        self.say_rest();
        self.say_part();
    }

    /// Whatever becomes of it at the next start; its connection, if it lives.
    pub fn begin(self, flags: &str) -> (Service, Peer) {
        let Self { channel, kept, part, kept_part, public, peer, accepted } = self;
        let manager = Manager::new(1);
        manager.put(PARKED, kept);
        drop((channel, part, kept_part, accepted, public));
        (Service::under(manager, flags), peer)
    }
}

/// How so many connections stand who have asked for nothing.
pub fn image_of(connections: usize) -> OwnedFd {
    let (file, ()) = memory::write(|file| {
        let mut image = Writer::new(file, *FORMATS.end())?;
        image.whole(&Whole::default())?;
        (0..connections).try_for_each(|_| image.connection(&Record::of(Phase::Http(Http::default()))))?;
        image.end().map(drop)
    })
    .unwrap();
    file
}

/// How everything else stands.
fn rest() -> OwnedFd {
    let snapshot = Snapshot { epochs: Epochs::of(7), newest: 0, publications: vec![], answers: vec![] };
    let (file, ()) = memory::write(|file| {
        let mut image = Writer::new(file, *FORMATS.end())?;
        image.whole(&Whole::default())?;
        image.history(&snapshot)?;
        image.left(&Left { connections: 1, ..Left::default() })?;
        image.end().map(drop)
    })
    .unwrap();
    file
}

/// These bytes instead of an image.
pub fn file_of(octets: &[u8]) -> OwnedFd {
    memory::write(|file| file.write_all(octets)).unwrap().0
}

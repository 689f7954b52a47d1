//! The ceiling: rustls' own server, which agrees with clients in the same memory, without a socket. Only the server's part counts.
//! It runs in a process of its own, on the core of the servers under measure.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use serde::{Deserialize, Serialize};

use super::credentials::{Credentials, KeyKind};
use super::knocker::Handshake;
use super::secured::NAME;
use super::terms::{self, Tickets};
use crate::common::machine::Cores;
use crate::common::remote::Remote;

/// What it is told; answered with the microseconds that each took.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    certificate: PathBuf,
    key: PathBuf,
    handshake: Handshake,
    count: u64,
}

/// Makes handshakes whenever it is told to.
pub fn run() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).expect("orders are known");
        println!("{}", microseconds(&order));
    }
    Ok(())
}

fn microseconds(order: &Order) -> f64 {
    let server = terms::server(&order.certificate, &order.key);
    let version = order.handshake.version().expect("there is nothing in memory but TLS");
    let tickets = order.handshake.is_resumed().then(Arc::<Tickets>::default);
    let client = terms::credulous(version, tickets);
    // The first one brings a ticket, and each one the next.
    agree(&server, &client);
    let expected = if order.handshake.is_resumed() { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let mut time = Duration::ZERO;
    for _ in 0..order.count {
        let (took, kind) = agree(&server, &client);
        assert_eq!(kind, expected, "each handshake is what it was meant to be");
        time += took;
    }
    time.as_secs_f64() * 1e6 / order.count as f64
}

/// How long the server was busy, and what came of it.
fn agree(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Duration, HandshakeKind) {
    let name = ServerName::try_from(NAME).expect("it is a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("the terms can be kept");
    let start = cpu();
    let mut server = ServerConnection::new(Arc::clone(server)).expect("the terms can be kept");
    let mut time = cpu() - start;
    loop {
        let mut said = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut said).expect("a buffer takes all");
        }
        if said.is_empty() {
            assert!(!client.is_handshaking() && !server.is_handshaking(), "they agree");
            return (time, server.handshake_kind().expect("they have agreed"));
        }
        let (start, mut answer) = (cpu(), Vec::new());
        let mut rest = &said[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("a buffer can be read");
            server.process_new_packets().expect("the client keeps to it");
        }
        while server.wants_write() {
            server.write_tls(&mut answer).expect("a buffer takes all");
        }
        time += cpu() - start;
        let mut rest = &answer[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("a buffer can be read");
            client.process_new_packets().expect("the server keeps to it");
        }
    }
}

/// CPU time of this thread, so that others who want the core are not in the figure.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("it is not negative")
}

/// The handle on it.
pub struct Ceiling(Remote);

impl Ceiling {
    pub fn start(cores: Option<Cores>) -> Self {
        let core = cores.map(|cores| cores.program.to_string());
        let by_way_of = core.as_ref().map_or(vec![], |core| vec!["taskset", "-c", core]);
        Self(Remote::start_through(&by_way_of, &["--ceiling"]))
    }

    /// What each of so many costs the server in microseconds.
    pub fn make(
        &mut self,
        credentials: &Credentials,
        kind: KeyKind,
        handshake: Handshake,
        count: u64,
    ) -> f64 {
        let (certificate, key) = (credentials.certificate(kind), credentials.key(kind));
        self.0.ask(&Order { certificate, key, handshake, count })
    }
}

//! The same publications, as they are, compressed, and as events of streams: octets and CPU time of a delivery, and what
//! compressing costs a publication, however many hear it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Serialize;

use super::common::encoding::Encoding;
use super::common::figures::{Spread, grouped};
use super::common::machine::Cores;
use super::common::notifications::Notifications;
use super::common::program::Program;
use super::extent::Extent;
use super::orders::{FanOut, Heard};
use super::side::Side;
use super::trigger::Kind;

/// What switches compression on.
pub const COMPRESSING: &str = "--ws-per-message-deflate";

/// To few clients a round is no more publications than that.
const MOST_PUBLICATIONS: u64 = 2_000;

/// The counter of messages that were compressed, each once.
const COUNTER: &str = "slackwater_messages_compressed_total ";

/// Servers and their clients, who take turns.
const WAYS: [(&str, Encoding, &str); 4] = [
    ("plain", Encoding::Plain, ""),
    ("plain, compression is on", Encoding::Plain, COMPRESSING),
    ("compressed", Encoding::Compressed, COMPRESSING),
    ("event stream", Encoding::Stream, ""),
];

/// To this way all others are compared.
const PLAIN: usize = 0;
const COMPRESSED: usize = 2;

/// What came each way, and the CPU time of a delivery, round by round.
type Rounds = [Vec<(Heard, f64)>; WAYS.len()];

/// Publications of one size to so many clients.
#[derive(Debug, Serialize)]
pub struct Encoded {
    pub clients: usize,
    pub size: &'static str,
    pub frame_bytes: usize,
    /// Of each way, in all rounds.
    pub publications: u64,
    pub ways: Vec<Way>,
    /// What a publication to all costs more when it is compressed.
    pub compression_us: Spread,
}

/// One way in which they came.
#[derive(Debug, Serialize)]
pub struct Way {
    pub name: &'static str,
    pub encoding: Encoding,
    /// Of a delivery: what the client has read.
    pub wire_bytes: f64,
    pub cpu_us: Spread,
    /// To the plain way.
    pub cpu_ratio: Spread,
    pub per_second: Spread,
    /// How often a publication was compressed.
    pub compressions: f64,
}

/// All sizes and numbers of clients.
pub fn measure(extent: &Extent, cores: Option<Cores>) -> Vec<Encoded> {
    let sizes = Notifications::all();
    let mut all = Vec::new();
    for clients in &extent.sizes {
        let say = |what: &str| eprintln!("{} clients: {what} …", grouped(*clients as f64, 0));
        say("they connect");
        let mut sides = WAYS.map(|(_, encoding, flags)| {
            let program = Program::server_with(cores, 1, flags).expect("the server starts");
            let mut side = Side::of_server(Kind::ServerBy(encoding), program);
            side.connect(*clients);
            side
        });
        for notifications in &sizes {
            say(&format!("they hear {}", notifications.name));
            all.push(Encoded::measure(notifications, &mut sides, *clients, extent));
        }
    }
    all
}

impl Encoded {
    fn measure(
        notifications: &Notifications,
        sides: &mut [Side; WAYS.len()],
        clients: usize,
        extent: &Extent,
    ) -> Self {
        let times = extent.publications(clients).min(MOST_PUBLICATIONS);
        let fan_out = FanOut { data: notifications.values.clone(), at_once: 1, times };
        // The first round is for getting warm.
        for side in sides.iter_mut() {
            side.fan_out(&fan_out, clients);
        }
        let (mut rounds, before) = (Rounds::default(), sides.each_ref().map(compressions));
        for round in 0..extent.rounds {
            // Nobody always comes first.
            for way in (0..WAYS.len()).map(|way| (way + round) % WAYS.len()) {
                rounds[way].push(sides[way].fan_out(&fan_out, clients));
            }
        }
        let publications = times * extent.rounds as u64;
        let way = |way: usize| {
            let count = compressions(&sides[way]) - before[way];
            assert!(
                count == 0 || way == COMPRESSED && count <= publications,
                "a publication is compressed once"
            );
            Way::of(way, &rounds, times * clients as u64, count as f64 / publications as f64)
        };
        let pairs = rounds[COMPRESSED].iter().zip(&rounds[PLAIN]);
        let differences = pairs.map(|((_, compressed), (_, plain))| (compressed - plain) * clients as f64);
        Self {
            clients,
            size: notifications.name,
            frame_bytes: notifications.frame_bytes,
            publications,
            ways: (0..WAYS.len()).map(way).collect(),
            compression_us: Spread::of(differences),
        }
    }

    pub fn plain(&self) -> &Way {
        &self.ways[PLAIN]
    }

    pub fn compressed(&self) -> &Way {
        &self.ways[COMPRESSED]
    }
}

impl Way {
    /// `deliveries` are those of a round.
    fn of(way: usize, rounds: &Rounds, deliveries: u64, compressions: f64) -> Self {
        let ((name, encoding, _), own, deliveries) = (WAYS[way], &rounds[way], deliveries as f64);
        let wire_bytes: u64 = own.iter().map(|(heard, _)| heard.wire_bytes).sum();
        let pairs = own.iter().zip(&rounds[PLAIN]);
        Self {
            name,
            encoding,
            wire_bytes: wire_bytes as f64 / (deliveries * own.len() as f64),
            cpu_us: Spread::of(own.iter().map(|(_, cpu_us)| *cpu_us)),
            cpu_ratio: Spread::of(pairs.map(|((_, cpu_us), (_, plain))| cpu_us / plain)),
            per_second: Spread::of(own.iter().map(|(heard, _)| deliveries / heard.seconds)),
            compressions,
        }
    }
}

/// How many messages the server says that it has compressed.
fn compressions(side: &Side) -> u64 {
    let mut socket = TcpStream::connect(side.program.address).expect("the server listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the server answers");
    let count = answer.lines().find_map(|line| line.strip_prefix(COUNTER)?.parse().ok());
    count.unwrap_or_else(|| panic!("the server counts what it compresses: {answer}"))
}

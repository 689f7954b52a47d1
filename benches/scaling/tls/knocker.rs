//! Whoever agrees with a server and leaves, a process of its own: as often as it is told, or at a rate while others are served.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use mio::net::TcpStream;
use serde::{Deserialize, Serialize};

use super::knocking::{Knock, Knocking};
use super::secured::Secured;
use super::terms::{self, Version};
use crate::common::remote::Remote;

/// How many are under way at a time.
const WINDOW: usize = 32;

/// By this it lets the load go first, with which it shares a core.
const GIVING_WAY: [&str; 3] = ["nice", "-n", "15"];

/// What is agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshake {
    /// Nothing: the connection alone.
    None,
    /// Keys, by the server's certificate.
    Full(Version),
    /// Keys, by a ticket.
    Resumed(Version),
}

impl Handshake {
    pub fn version(self) -> Option<Version> {
        match self {
            Self::None => None,
            Self::Full(version) | Self::Resumed(version) => Some(version),
        }
    }

    pub fn is_resumed(self) -> bool {
        matches!(self, Self::Resumed(_))
    }
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// So many of them; answered with `Made`.
    Make(Handshake, u64),
    /// Full ones, so many a second.
    Begin(u32),
    /// Ends that; answered with `Made`.
    End,
}

/// What was made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Made {
    pub count: u64,
    /// By a ticket.
    pub resumed: u64,
    /// Without the other side's `close_notify`.
    pub cut: u64,
    pub seconds: f64,
}

impl Made {
    fn by<K: Knock>(address: SocketAddr, terms: &K::Terms, act: impl FnOnce(&mut Knocking<K>)) -> Self {
        let (mut knocking, start) = (Knocking::new(address, terms), Instant::now());
        act(&mut knocking);
        let seconds = start.elapsed().as_secs_f64();
        Self { count: knocking.done, resumed: knocking.resumed, cut: knocking.cut, seconds }
    }

    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

/// Makes handshakes whenever it is told to.
pub fn run(address: SocketAddr) -> io::Result<()> {
    let is_on = Arc::new(AtomicBool::new(false));
    let mut flood = None;
    // A ticket is only good for the terms on which it came.
    let resuming = Version::ALL.map(|version| (version, terms::credulous(version, Some(Arc::default()))));
    for line in io::stdin().lock().lines() {
        let made = match serde_json::from_str(&line?).expect("orders are known") {
            Order::Make(Handshake::None, count) => {
                Made::by::<TcpStream>(address, &(), |knocking| knocking.count(count, WINDOW))
            }
            Order::Make(Handshake::Full(version), count) => {
                let terms = terms::credulous(version, None);
                Made::by::<Secured>(address, &terms, |knocking| knocking.count(count, WINDOW))
            }
            Order::Make(Handshake::Resumed(version), count) => {
                let (_, terms) =
                    resuming.iter().find(|(own, _)| *own == version).expect("there are some for each");
                Made::by::<Secured>(address, terms, |knocking| knocking.count(count, WINDOW))
            }
            Order::Begin(per_second) => {
                is_on.store(true, Ordering::Release);
                let is_on = Arc::clone(&is_on);
                flood = Some(thread::spawn(move || {
                    let terms = terms::credulous(Version::Tls13, None);
                    Made::by::<Secured>(address, &terms, |knocking| knocking.at_a_rate(per_second, &is_on))
                }));
                continue;
            }
            Order::End => {
                is_on.store(false, Ordering::Release);
                let flood = flood.take().expect("it was begun");
                flood.join().expect("every handshake succeeds")
            }
        };
        println!("{}", serde_json::to_string(&made)?);
    }
    Ok(())
}

/// The handle on it.
pub struct Knocker(Remote);

impl Knocker {
    pub fn start(address: SocketAddr) -> Self {
        Self(Remote::start(&["--knocker", &address.to_string()]))
    }

    /// One that lets the load go first.
    pub fn giving_way(address: SocketAddr) -> Self {
        Self(Remote::start_through(&GIVING_WAY, &["--knocker", &address.to_string()]))
    }

    /// Lets it collect tickets.
    pub fn collect_tickets(&mut self, version: Version) {
        let _: Made = self.0.ask(&Order::Make(Handshake::Resumed(version), 2 * WINDOW as u64));
    }

    /// So many handshakes of this kind, each of which succeeds so.
    pub fn make(&mut self, handshake: Handshake, count: u64) -> Made {
        let made: Made = self.0.ask(&Order::Make(handshake, count));
        let by_ticket = if handshake.is_resumed() { count } else { 0 };
        assert_eq!(
            (made.count, made.resumed),
            (count, by_ticket),
            "each handshake is what it was meant to be"
        );
        made
    }

    /// What is made, full ones and so many a second, while this is done.
    pub fn during<T>(&mut self, per_second: u32, act: impl FnOnce() -> T) -> (T, Made) {
        self.0.tell(&Order::Begin(per_second));
        let done = act();
        (done, self.0.ask(&Order::End))
    }
}

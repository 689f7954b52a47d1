//! The load, a process of its own: it does what it is told to one program under measure, and answers how that went.
//! It counts what is heard: each client must hear each publication once and in order, or it fails, and the bench with
//! it.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::common::channel::Channel;
use super::common::figures::percentile;
use super::common::span::{Span, now};
use super::crowd::Crowd;
use super::orders::{FanOut, Heard, Order, Took};
use super::trigger::{Kind, Trigger};

/// How long nothing more may come once all that was expected has come.
const SILENCE: Duration = Duration::from_millis(5);

/// Does what it is told until nobody tells it any more.
pub fn run<C: Channel>(kind: Kind, address: SocketAddr, terms: C::Terms) -> io::Result<()> {
    let trigger = Trigger::<C>::connect(kind, address, &terms);
    let crowd = Crowd::new(address, terms, kind.request().into_bytes(), trigger);
    let mut load = Load { kind, newest: 0, crowd };
    for line in io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).expect("orders are known");
        load.obey(order)?;
    }
    Ok(())
}

struct Load<C: Channel> {
    kind: Kind,
    crowd: Crowd<C>,
    /// The position of the newest publication.
    newest: u64,
}

impl<C: Channel> Load<C> {
    fn obey(&mut self, order: Order) -> io::Result<()> {
        let start = Instant::now();
        match order {
            Order::Connect { clients } => self.crowd.grow(clients),
            Order::Churn { visits } => self.crowd.churn(visits),
            Order::Listen { milliseconds } => self.crowd.listen(Duration::from_millis(milliseconds)),
            Order::Leave => self.crowd.leave(),
            Order::FanOut(fan_out) => return answer(&self.fan_out(&fan_out)),
        }
        answer(&Took { seconds: start.elapsed().as_secs_f64() })
    }

    fn fan_out(&mut self, fan_out: &FanOut) -> Heard {
        if !self.kind.is_server() {
            self.crowd.go_on_behind(self.newest);
        }
        let before = self.crowd.taken();
        let times: Vec<Times> = (0..fan_out.times)
            .map(|_| self.publish(fan_out.next_behind(self.newest), fan_out.at_once))
            .collect();
        self.crowd.take_what_comes(SILENCE, &mut |_| panic!("something is heard twice"));
        let mut heard = Times::heard(&times);
        if let (Some(before), Some(after)) = (before, self.crowd.taken()) {
            heard.wire_bytes = after - before;
        }
        heard
    }

    /// Publishes once; returns when all clients have heard all of it.
    fn publish(&mut self, data: &str, at_once: u64) -> Times {
        let octets = self.crowd.trigger.prepare(data, self.newest, at_once);
        self.newest += at_once;
        self.crowd.announce(self.newest, data);
        // Each hears every publication in its order: the sum is reached only when each has heard the newest.
        let mut to_hear = self.crowd.listening() as u64 * at_once;
        let mut receipts = Vec::with_capacity(self.crowd.listening());
        let (begin, start) = (now(), Instant::now());
        self.crowd.trigger.pull(&octets);
        while to_hear > 0 || !self.crowd.trigger.is_answered() {
            self.crowd.turn(&mut |count| {
                to_hear = to_hear.checked_sub(count).expect("nothing is heard twice");
                receipts.push(start.elapsed());
            });
        }
        let wire_bytes = self.crowd.wire_bytes();
        Times { receipts, span: Span { from: begin, to: now() }, wire_bytes }
    }
}

/// When each client has heard one publication, counted from it. Where many are made at once, a client may count more
/// than once.
struct Times {
    receipts: Vec<Duration>,
    span: Span,
    wire_bytes: u64,
}

impl Times {
    fn last(&self) -> Duration {
        self.receipts.last().copied().unwrap_or_default()
    }

    fn spread(&self) -> Duration {
        self.last() - self.receipts.first().copied().unwrap_or_default()
    }

    fn heard(times: &[Self]) -> Heard {
        let spreads: Vec<f64> = times.iter().map(|times| milliseconds(times.spread())).collect();
        let receipts: Vec<f64> =
            times.iter().flat_map(|times| &times.receipts).copied().map(milliseconds).collect();
        Heard {
            seconds: times.iter().map(|times| times.last().as_secs_f64()).sum(),
            p50_ms: percentile(&receipts, 50),
            p99_ms: percentile(&receipts, 99),
            worst_ms: percentile(&receipts, 100),
            spread_ms: percentile(&spreads, 50),
            wire_bytes: times.iter().map(|times| times.wire_bytes).sum(),
            spans: times.iter().map(|times| times.span).collect(),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn answer(answer: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(answer)?)?;
    stdout.flush()
}

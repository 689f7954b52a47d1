//! The prober, a process of its own: WebSockets whose every text is answered by an echo, one after the other, by the clock.
//! How long an echo takes is how long nobody was read from, seen from outside. With several workers there are several to each.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::PATIENCE;
use super::common::arrival::REQUEST;
use super::common::encoding::Encoding;
use super::common::remote::Remote;
use super::common::span::{Span, now};
use super::common::subscriber::{PING, TEXT, next_frame};
use super::common::urgency::Urgency;

/// How long it rests between two texts; several share it, so that all of them together ask no more.
const PAUSE: Duration = Duration::from_micros(200);

/// What it is told.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum Order {
    Begin,
    /// Answered with how many echoes there were, and how many milliseconds the slowest took.
    End,
}

/// Probes to each worker. It is by chance who serves them.
const PROBES: usize = 4;

/// Asks for echoes whenever it is told to, on so many connections. Says when it is there.
pub fn run(address: SocketAddr, probes: u32) -> io::Result<()> {
    let is_on = Arc::new(AtomicBool::new(false));
    let pause = PAUSE * probes;
    let mut probes = (0..probes).map(|_| Probe::connect(address)).collect::<io::Result<Vec<_>>>()?;
    let mut probing = vec![];
    println!("{}", serde_json::to_string(&())?);
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).expect("orders are known");
        is_on.store(order == Order::Begin, Ordering::Release);
        if order == Order::Begin {
            for mut probe in probes.drain(..) {
                let is_on = Arc::clone(&is_on);
                probing.push(thread::spawn(move || (probe.while_on(&is_on, pause), probe)));
            }
        } else {
            let mut all = vec![];
            for probing in probing.drain(..) {
                let (spans, again) = probing.join().expect("every text is answered");
                probes.push(again);
                all.extend(spans);
            }
            let worst = all.iter().map(|span: &Span| span.milliseconds()).fold(0.0, f64::max);
            println!("{}", serde_json::to_string(&(all.len(), worst))?);
        }
    }
    Ok(())
}

struct Probe {
    stream: TcpStream,
    came: Vec<u8>,
    number: u64,
}

impl Probe {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(REQUEST.replacen("/ws", "/ws?topic=probes", 1).as_bytes())?;
        let mut probe = Self { stream, came: Vec::new(), number: 0 };
        while Encoding::Plain.greeted(&probe.came).is_none() {
            probe.read()?;
        }
        probe.came.clear();
        Ok(probe)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.came.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }

    fn while_on(&mut self, is_on: &AtomicBool, pause: Duration) -> Vec<Span> {
        let mut spans = Vec::new();
        while is_on.load(Ordering::Acquire) {
            spans.push(self.echo().expect("every text is answered"));
            thread::sleep(pause);
        }
        spans
    }

    fn echo(&mut self) -> io::Result<Span> {
        self.number += 1;
        let text = format!("#{:08}#", self.number);
        let length = u8::try_from(text.len()).expect("it is short");
        let frame = [&[TEXT, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        let from = now();
        self.stream.write_all(&frame)?;
        loop {
            let mut rest = &self.came[..];
            let frame = next_frame(&mut rest).map(|(first, payload)| (first, payload.to_vec()));
            let length = self.came.len() - rest.len();
            self.came.drain(..length);
            match frame {
                None => self.read()?,
                Some((TEXT, payload)) => {
                    let payload = String::from_utf8_lossy(&payload);
                    assert!(payload.contains(&text), "{text} is answered with {payload}");
                    return Ok(Span { from, to: now() });
                }
                Some((PING, payload)) => {
                    let length = u8::try_from(payload.len()).expect("control frames are short");
                    self.stream.write_all(&[&[0x8a, 0x80 | length, 0, 0, 0, 0], &payload[..]].concat())?;
                }
                Some((first, _)) => panic!("a frame comes that begins with {first:#x}"),
            }
        }
    }
}

/// The handle on it.
pub struct Prober(Remote);

impl Prober {
    /// Where it shares the load's core it is let first, by what `urgency` says.
    pub fn start(address: SocketAddr, workers: usize, urgency: Urgency) -> Self {
        let probes = if workers > 1 { workers * PROBES } else { 1 }.to_string();
        let mut prober =
            Remote::start_through(urgency.command(), &["--prober", &address.to_string(), &probes]);
        prober.answer::<()>();
        Self(prober)
    }

    /// How many milliseconds the slowest echo took while this was done.
    pub fn during<T>(&mut self, act: impl FnOnce() -> T) -> (T, f64) {
        self.0.tell(&Order::Begin);
        let done = act();
        let (_, worst): (u64, f64) = self.0.ask(&Order::End);
        (done, worst)
    }
}

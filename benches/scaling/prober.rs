//! The prober, a process of its own: one handshake after the other, each by the clock, while others are being served.
//! It is apart from the load so that the load's own work does not delay it, and where that is permitted it comes
//! before the load in the kernel's queue.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::Type;

use super::common::PATIENCE;
use super::common::arrival::{ACCEPTED, REQUEST};
use super::common::remote::Remote;
use super::common::sources::Sources;
use super::common::span::{Span, now};
use super::common::urgency::Urgency;

/// How long it rests between two handshakes.
const PAUSE: Duration = Duration::from_micros(200);

/// It hears nothing of what is published to everyone.
const OWN_TOPIC: &str = "GET /ws?topic=probes HTTP/1.1";

/// What it is told.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum Order {
    Begin,
    /// Answered with the handshakes that were made.
    End,
}

/// Makes handshakes whenever it is told to.
pub fn run(address: SocketAddr) -> io::Result<()> {
    let is_on = Arc::new(AtomicBool::new(false));
    let mut probing = None;
    let request = REQUEST.replacen("GET /ws HTTP/1.1", OWN_TOPIC, 1);
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).expect("orders are known");
        is_on.store(order == Order::Begin, Ordering::Release);
        if order == Order::Begin {
            let (is_on, request) = (Arc::clone(&is_on), request.clone());
            probing = Some(thread::spawn(move || probe_while(&is_on, address, &request)));
        } else if let Some(probing) = probing.take() {
            let spans = probing.join().expect("every handshake succeeds");
            println!("{}", serde_json::to_string(&spans)?);
        }
    }
    Ok(())
}

fn probe_while(is_on: &AtomicBool, address: SocketAddr, request: &str) -> Vec<Span> {
    let (mut sources, mut spans) = (Sources::default(), Vec::new());
    while is_on.load(Ordering::Acquire) {
        spans.push(shake_hands(address, request, &mut sources).expect("every handshake succeeds"));
        thread::sleep(PAUSE);
    }
    spans
}

/// From the moment before it connects to that in which the 101 is here.
fn shake_hands(address: SocketAddr, request: &str, sources: &mut Sources) -> io::Result<Span> {
    let socket = sources.socket(Type::STREAM)?;
    let from = now();
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; 4096];
    let mut count = 0;
    while count < ACCEPTED.len() {
        match stream.read(&mut answer[count..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => count += more,
        }
    }
    let to = now();
    assert!(answer.starts_with(ACCEPTED.as_bytes()), "a handshake is answered with 101");
    Ok(Span { from, to })
}

/// The handle on it.
pub struct Prober(Remote);

impl Prober {
    /// Where it shares the load's core it is let first, by what `urgency` says.
    pub fn start(address: SocketAddr, urgency: Urgency) -> Self {
        Self(Remote::start_through(urgency.command(), &["--prober", &address.to_string()]))
    }

    /// The handshakes that are made while this is done.
    pub fn during<T>(&mut self, act: impl FnOnce() -> T) -> (T, Vec<Span>) {
        self.0.tell(&Order::Begin);
        let done = act();
        (done, self.0.ask(&Order::End))
    }
}

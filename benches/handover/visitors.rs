//! Those who come and go, a process of their own: each connects, is welcomed, says that it leaves, and is let go. One who is
//! refused or cut fails the bench.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Type;

use super::common::PATIENCE;
use super::common::arrival::REQUEST;
use super::common::encoding::Encoding;
use super::common::remote::Remote;
use super::common::sources::Sources;
use super::common::span::{Span, now};

/// Visitors at the same time. Each waits for the server, and as many others come meanwhile as there are.
const THREADS: u32 = 32;

/// A masked close frame: code 1000, under a mask of four zeros (RFC 6455 §5.5.1).
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// Sends visitors until nobody wants them any more; then says how many there were, and how long the slowest took.
pub fn run(address: SocketAddr, per_second: u32) -> io::Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    let begin = || {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || visit_until(&is_over, address, THREADS.min(per_second), per_second))
    };
    let threads: Vec<_> = (0..THREADS.min(per_second)).map(|_| begin()).collect();
    io::stdin().lock().read_line(&mut String::new())?;
    is_over.store(true, Ordering::Release);
    let visits: Vec<Span> =
        threads.into_iter().flat_map(|visits| visits.join().expect("every visit succeeds")).collect();
    let worst = visits.iter().map(|visit| visit.milliseconds()).fold(0.0, f64::max);
    println!("{}", serde_json::to_string(&(visits.len(), worst))?);
    Ok(())
}

fn visit_until(is_over: &AtomicBool, address: SocketAddr, threads: u32, per_second: u32) -> Vec<Span> {
    let (mut sources, mut visits, period) =
        (Sources::default(), Vec::new(), Duration::from_secs(1) * threads);
    let (begun, period) = (Instant::now(), period / per_second);
    let mut next = begun;
    while !is_over.load(Ordering::Acquire) {
        visits.push(visit(address, &mut sources).expect("every visit succeeds"));
        next += period;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    visits
}

/// From the moment before it connects to that in which it is welcomed.
fn visit(address: SocketAddr, sources: &mut Sources) -> io::Result<Span> {
    let socket = sources.socket(Type::STREAM)?;
    let from = now();
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST.replacen("/ws", "/ws?topic=visitors", 1).as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while Encoding::Plain.greeted(&answer).is_none() {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    let to = now();
    stream.write_all(&CLOSE)?;
    stream.read_to_end(&mut answer)?;
    Ok(Span { from, to })
}

/// The handle on them.
pub struct Visitors(Remote);

impl Visitors {
    pub fn begin(address: SocketAddr, per_second: u32) -> Self {
        Self(Remote::start(&["--visitors", &address.to_string(), &per_second.to_string()]))
    }

    /// How many there were, and for how many milliseconds the slowest waited.
    pub fn end(mut self) -> (u64, f64) {
        self.0.ask(&())
    }
}

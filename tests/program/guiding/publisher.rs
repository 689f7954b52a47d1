//! Publishes the numbers from 1, steadily and one after the other, to whoever serves on an address, until it is told to
//! stop. What is refused because the server restarts is published again, by the same key.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::driver::PATIENCE;

const PACE: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_millis(5);

/// How many were published, and how often the server did not take one at first.
#[derive(Debug)]
pub struct Published {
    pub count: u64,
    pub refused: u64,
}

/// Returns once the other end of the channel is gone.
pub fn publish_steadily(address: SocketAddr, stop: &Receiver<()>) -> Published {
    let mut published = Published { count: 0, refused: 0 };
    while stop.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let deadline = Instant::now() + PATIENCE;
        while !is_published(address, published.count + 1) {
            assert!(Instant::now() < deadline, "nobody takes a publication");
            published.refused += 1;
            let _ = stop.recv_timeout(AGAIN);
        }
        published.count += 1;
    }
    published
}

fn is_published(address: SocketAddr, number: u64) -> bool {
    match publish(address, number) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => true,
        Ok(answer) => {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
            false
        }
        Err(_) => false,
    }
}

fn publish(address: SocketAddr, number: u64) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let text = number.to_string();
    write!(
        stream,
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIdempotency-Key: {number}\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

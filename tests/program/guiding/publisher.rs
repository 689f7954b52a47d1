//! Publishes the numbers from 1, steadily and one after the other, to whoever serves on an address, until it is told to
//! stop. What is refused because the server restarts is published again, by the same key.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use support::PATIENCE;
use support::peer::Peer;
use support::publisher::Publisher;

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
    let Ok(stream) = TcpStream::connect(address) else { return false };
    let key = format!("Idempotency-Key: {number}\r\n");
    let answer = Publisher(Peer::over(stream)).try_post("/publish", &key, &number.to_string());
    let status = answer.map(|answer| answer.status);
    assert!(matches!(status, Ok(200 | 503) | Err(_)), "{status:?}");
    status.is_ok_and(|status| status == 200)
}

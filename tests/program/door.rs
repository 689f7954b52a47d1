//! Where somebody is answered: an address or a Unix socket, asked as any program would, one request a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use support::PATIENCE;
use support::peer::{Peer, Response};

use crate::exposition::Metrics;

#[derive(Debug, Clone)]
pub enum Door {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl Door {
    pub fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path}"), "")
    }

    /// Sends a method and a path, and more header fields, each with its CRLF.
    pub fn ask(&self, what: &str, fields: &str) -> Response {
        self.send(&format!("{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
    }

    pub fn publish(&self, text: &str) -> Response {
        let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nConnection: close";
        self.send(&format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    pub fn status(&self) -> Value {
        let answer = self.get("/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Metrics::read(answer.text())
    }

    /// The numbers, as soon as they are as expected.
    pub fn metrics_with(&self, what: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics();
            if is_so(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "{what} does not come: {metrics:#?}");
            thread::yield_now();
        }
    }

    /// Waits until nobody listens.
    pub fn closes(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_open() {
            assert!(Instant::now() < deadline, "somebody listens on {self:?}");
            thread::yield_now();
        }
    }

    /// Whether anybody listens.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Ip(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => is_listened_on(path),
        }
    }

    /// Sends a whole request.
    pub fn send(&self, request: &str) -> Response {
        match self {
            Self::Ip(address) => exchange(TcpStream::connect(address).expect("somebody listens"), request),
            Self::Unix(path) => exchange(UnixStream::connect(path).expect("somebody listens"), request),
        }
    }
}

/// Where many wait and nobody lets them in, somebody listens, too: to connect there would take for ever, unix(7).
fn is_listened_on(path: &Path) -> bool {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    match socket.connect(&SockAddr::unix(path).unwrap()) {
        Ok(()) => true,
        Err(e) => e.kind() == ErrorKind::WouldBlock,
    }
}

fn exchange(stream: impl Read + Write + AsFd, request: &str) -> Response {
    let mut peer = Peer::over(stream);
    peer.send(request);
    peer.last_response()
}

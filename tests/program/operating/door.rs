//! Where operators are answered: an address or a Unix socket, asked as any program would, one request a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::exposition::Metrics;
use crate::driver::PATIENCE;

#[derive(Debug, Clone)]
pub enum Door {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

impl Door {
    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }

    /// Sends a method and a path, and more header fields, each with its CRLF.
    pub fn ask(&self, what: &str, fields: &str) -> Answer {
        self.send(&format!("{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
    }

    pub fn publish(&self, text: &str) -> Answer {
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
        Metrics::read(&answer.body)
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
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }

    /// Sends a whole request.
    pub fn send(&self, request: &str) -> Answer {
        let octets = match self {
            Self::Ip(address) => {
                let stream = TcpStream::connect(address).expect("somebody listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                exchange(stream, request)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).expect("somebody listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                exchange(stream, request)
            }
        };
        let (head, body) = octets.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {octets:?}"));
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status line"), head: head.to_owned(), body: body.to_owned() }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("the server takes a request");
    let mut octets = vec![];
    stream.read_to_end(&mut octets).expect("the server answers and closes");
    String::from_utf8(octets).expect("answers are text")
}

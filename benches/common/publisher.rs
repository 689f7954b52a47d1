//! One HTTP connection that publishes: requests out, answers in.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::channel::Channel;
use super::floor::DATA;

/// A request's octets, and how many publications it makes.
pub struct Request {
    pub octets: Vec<u8>,
    pub publications: u64,
}

impl Request {
    /// A small JSON object, by itself.
    pub fn single() -> Self {
        Self::new("application/json", &object(DATA), 1)
    }

    /// So many of them, one a line.
    pub fn lines(publications: u64) -> Self {
        Self::lines_of(DATA, publications)
    }

    /// So many publications of this JSON value, one a line; a single one is a request of its own kind.
    pub fn of(data: &str, publications: u64) -> Self {
        match publications {
            1 => Self::new("application/json", &object(data), 1),
            _ => Self::lines_of(data, publications),
        }
    }

    /// This object.
    pub fn json(object: &str) -> Self {
        Self::new("application/json", object, 1)
    }

    /// These objects, one a line.
    pub fn ndjson(lines: &str) -> Self {
        Self::new("application/x-ndjson", lines, lines.lines().count() as u64)
    }

    fn lines_of(data: &str, publications: u64) -> Self {
        let body: String = (0..publications).map(|_| object(data) + "\n").collect();
        Self::new("application/x-ndjson", &body, publications)
    }

    fn new(content_type: &str, body: &str, publications: u64) -> Self {
        let length = body.len();
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        Self { octets: (head + body).into_bytes(), publications }
    }
}

fn object(data: &str) -> String {
    format!(r#"{{"topic":"notifications","data":{data}}}"#)
}

/// The connection.
pub struct Publisher<C = TcpStream> {
    pub channel: C,
    unsent: Vec<u8>,
    /// The beginning of an answer whose rest is still to come.
    cut: Vec<u8>,
    pub answered: u64,
}

impl Publisher {
    pub fn connect(server: SocketAddr) -> Self {
        Self::connect_over(server, &())
    }
}

impl<C: Channel> Publisher<C> {
    /// As `connect`, over what can be opened on these terms.
    pub fn connect_over(server: SocketAddr, terms: &C::Terms) -> Self {
        let stream = std::net::TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("a socket can be made so");
        stream.set_nonblocking(true).expect("a socket can be made so");
        let channel = C::over(TcpStream::from_std(stream), terms);
        Self { channel, unsent: Vec::new(), cut: Vec::new(), answered: 0 }
    }

    /// Sends the same request so many times, in one write if the socket takes it.
    pub fn send(&mut self, request: &Request, times: u64) {
        for _ in 0..times {
            self.unsent.extend_from_slice(&request.octets);
        }
        self.flush();
    }

    /// Sends octets, in one write if the socket takes them.
    pub fn send_octets(&mut self, octets: &[u8]) {
        self.unsent.extend_from_slice(octets);
        self.flush();
    }

    /// Sends what the socket has not taken before.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.channel.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("the publisher cannot write: {e}"),
            }
        }
    }

    /// Reads the answers that have come.
    pub fn read(&mut self, scratch: &mut [u8]) {
        loop {
            match self.channel.read(scratch) {
                Ok(0) => panic!("the publisher was disconnected behind {} answers", self.answered),
                Ok(count) => self.cut.extend_from_slice(&scratch[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("the publisher cannot read: {e}"),
            }
        }
        let mut used = 0;
        while let Some(length) = answer_length(&self.cut[used..]) {
            used += length;
            self.answered += 1;
        }
        self.cut.drain(..used);
    }
}

/// The length of the first answer, which must be a good one, if all of it is there.
fn answer_length(octets: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut answer = httparse::Response::new(&mut fields);
    let head = answer.parse(octets).expect("answers are HTTP");
    let httparse::Status::Complete(head) = head else { return None };
    assert_eq!(answer.code, Some(200), "every publication is taken: {}", String::from_utf8_lossy(octets));
    let length = answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case("Content-Length"));
    let length = length.and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    let whole = head + length.expect("every answer has a length");
    (octets.len() >= whole).then_some(whole)
}

//! Asks a server by HTTP whether it is well: for containers, in which there is no shell and no curl. One question and the line
//! that answers it is all that is read; whoever answers late, or with something else, is not well.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::config::health::{Asked, HealthUrl};
use crate::process::commands::{FAILED, fail, print};

#[cfg(feature = "tls")]
mod secured;

/// In which everything has to be done, from the look-up of the name on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest head that is read of an answer.
const MOST_BYTES: u64 = 16 * 1024;

/// The most fields that it may have.
const MOST_FIELDS: usize = 100;

/// What is read from and written to.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Prints one line. Exit codes: 0 if the answer's status is one of success, 1 if not or if there is none, 3 if this cannot be
/// printed.
pub fn run(url: HealthUrl) -> ExitCode {
    let name = url.to_string();
    let (line, code) = match ask(url) {
        Ok(status) if (200..300).contains(&status) => {
            (format!("healthy: {name} answers {status}"), ExitCode::SUCCESS)
        }
        Ok(status) => (format!("not healthy: {name} answers {status}"), ExitCode::FAILURE),
        Err(why) => (format!("not healthy: {name}: {why}"), ExitCode::FAILURE),
    };
    match print(&(line + "\n")) {
        Ok(()) => code,
        Err(why) => fail(FAILED, format_args!("cannot print the answer: {why}")),
    }
}

/// The status that is answered. A thread of its own asks, since nothing else bounds the look-up of a name.
fn ask(url: HealthUrl) -> io::Result<u16> {
    let (sender, answer) = channel();
    thread::Builder::new().spawn(move || sender.send(exchange(&url)))?;
    answer
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(io::Error::other(format!("no answer in {} s", PATIENCE.as_secs()))))
}

fn exchange(url: &HealthUrl) -> io::Result<u16> {
    match &url.at {
        Asked::Ip(host, port) => converse(url, TcpStream::connect((host.as_str(), *port))?),
        Asked::Path(path) => converse(url, UnixStream::connect(path)?),
    }
}

fn converse(url: &HealthUrl, mut socket: impl Stream + 'static) -> io::Result<u16> {
    if url.is_announced {
        // The specification of the PROXY protocol, §2.1: whoever asks for its own sake.
        socket.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    let mut stream = secure(url, socket)?;
    let host = match &url.at {
        Asked::Ip(host, port) if host.contains(':') => format!("[{host}]:{port}"),
        Asked::Ip(host, port) => format!("{host}:{port}"),
        Asked::Path(_) => "localhost".to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    // At once: whoever answers and closes before the rest of it would look like one who does not answer.
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slackwater/{version}\r\nConnection: close\r\n\r\n",
        url.target
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    status(stream)
}

#[cfg(feature = "tls")]
fn secure(url: &HealthUrl, socket: impl Stream + 'static) -> io::Result<Box<dyn Stream>> {
    Ok(if url.is_secured { Box::new(secured::over(socket, &url.at)?) } else { Box::new(socket) })
}

#[cfg(not(feature = "tls"))]
#[allow(clippy::unnecessary_wraps)] // As with TLS, whose URLs are refused here when they are read.
fn secure(_: &HealthUrl, socket: impl Stream + 'static) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(socket))
}

/// The status of an answer, once its head is whole.
fn status(stream: impl Read) -> io::Result<u16> {
    let (mut stream, mut head, mut chunk) = (stream.take(MOST_BYTES), vec![], [0; 1024]);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            let why =
                if head.is_empty() { "the connection was closed" } else { "the answer is no whole one" };
            return Err(io::Error::other(why));
        }
        head.extend_from_slice(&chunk[..count]);
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&head) {
            Ok(httparse::Status::Complete(_)) => return Ok(response.code.unwrap_or_default()),
            Ok(httparse::Status::Partial) => {}
            Err(why) => return Err(io::Error::other(format!("the answer is not HTTP: {why}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<u16, String> {
        status(answer.as_bytes()).map_err(|why| why.to_string())
    }

    #[test]
    fn the_status_is_that_of_a_whole_head_and_a_body_may_be_missing() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"), Ok(200));
        assert_eq!(read("HTTP/1.0 503 x\r\n\r\nleaving"), Ok(503));
        assert_eq!(read(""), Err("the connection was closed".to_owned()));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent"), Err("the answer is no whole one".to_owned()));
        assert!(read("SSH-2.0-OpenSSH\r\n").unwrap_err().starts_with("the answer is not HTTP"));
    }

    #[test]
    fn no_more_is_read_than_a_head_may_have() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(64 * 1024));
        assert_eq!(read(&endless), Err("the answer is no whole one".to_owned()));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
        assert!(read(&many).unwrap_err().contains("too many headers"));
    }
}

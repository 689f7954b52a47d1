//! `publish` at a server that takes the connection and no more, or is slow: it ends when its time is over, whatever it waits for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::process::BINARY;

/// Within which everything is over that has a second: far beyond that, and far below the 10 s for which an answer is waited for where
/// there is more time.
const SOON: Duration = Duration::from_secs(6);

/// Has this speak to whoever connects, and names the port.
fn stand_in(speak: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || speak(listener.accept().unwrap().0));
    port
}

/// Says this at once, and then an octet each tenth of a second, until nobody listens.
fn trickles(begin: &'static [u8], on: &'static [u8]) -> u16 {
    stand_in(move |mut socket| {
        socket.write_all(begin).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for octet in on.iter().cycle() {
            let is_gone = matches!(socket.read(&mut [0; 4096]), Ok(0));
            if is_gone || socket.write_all(&[*octet]).is_err() {
                return;
            }
        }
    })
}

/// Publishes these lines with a second of time.
fn publish(args: &[&str], lines: &[u8]) -> (Option<i32>, String, Duration) {
    let began = Instant::now();
    let mut command = Command::new(BINARY);
    command.args(["publish", "--timeout", "1"]).args(args).arg("-");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap(), began.elapsed())
}

fn is_given_up(args: &[&str], lines: &[u8]) {
    let (code, said, took) = publish(args, lines);
    assert!(code == Some(3) && said.contains("in time") && took < SOON, "{args:?}: {code:?} {took:?} {said}");
}

#[test]
fn whoever_is_silent_or_says_an_octet_at_a_time_is_given_up_when_the_time_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [
        silent.local_addr().unwrap().port(),
        trickles(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        trickles(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
        trickles(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ];
    thread::scope(|scope| {
        for port in ports {
            scope.spawn(move || is_given_up(&["--url", &format!("http://127.0.0.1:{port}")], b"hello\n"));
        }
    });
}

#[cfg(feature = "tls")]
#[test]
fn so_is_whoever_does_not_get_on_with_a_handshake() {
    let folder = tempfile::tempdir().unwrap();
    crate::visitor::issue_for(folder.path(), "localhost");
    let certificate = folder.path().join("cert.pem");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // A record of the handshake with 16,000 octets.
    for port in [silent.local_addr().unwrap().port(), trickles(&[22, 3, 3, 0x3e, 0x80], &[0])] {
        let url = format!("https://127.0.0.1:{port}");
        is_given_up(&["--url", &url, "--ca-file", certificate.to_str().unwrap()], b"hello\n");
    }
}

#[test]
fn so_is_whoever_takes_nothing_of_what_is_published() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    is_given_up(&["--url", &url], &[vec![b'x'; 32 * 1024 * 1024], b"\n".to_vec()].concat());
}

#[test]
fn so_is_a_unix_socket_at_which_nobody_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    is_given_up(&["--uds", path.to_str().unwrap()], b"hello\n");
}

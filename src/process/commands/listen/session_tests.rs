//! Who is no server to listen to, or is too slow: what is said of it, and that it is given up when the time is over.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tungstenite::error::CapacityError;

use super::*;
use crate::config::command::Command;

/// Far more than is needed.
const AMPLE: Duration = Duration::from_secs(20);

/// Why there is no connection in this time to whoever speaks so.
fn opened(patience: Duration, speak: impl FnOnce(TcpStream) + Send + 'static) -> Failure {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let peer = thread::spawn(move || speak(listener.accept().unwrap().0));
    let args = ["slackwater", "listen", "--url", &url].map(Into::into);
    let Ok(Command::Listen(request)) = Command::read(args, &|_| unreachable!()) else { panic!("no request") };
    let far_end = FarEnd::new(request.reach).unwrap();
    let until = Now::read().instant + patience;
    let opened = Session::open(&far_end, &[], None, until);
    let failure = opened.map(|_| ()).unwrap_err();
    peer.join().unwrap();
    failure
}

/// Over before whoever trickles has said all.
const BRIEF: Duration = Duration::from_millis(200);

/// The head of a request.
fn head(socket: &mut TcpStream) -> String {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        socket.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Takes the upgrade, and says these octets behind it.
fn agree(socket: &mut TcpStream, behind: &[u8]) {
    let head = head(socket);
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let answer = format!(
        "HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    socket.write_all(&[answer.as_bytes(), behind].concat()).unwrap();
}

/// Says an octet each time that nothing has come for a hundredth of a second, until nobody listens.
fn trickle(mut socket: TcpStream, octet: u8) {
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    while !matches!(socket.read(&mut [0; 1024]), Ok(0)) && socket.write_all(&[octet]).is_ok() {}
}

#[test]
fn whoever_answers_or_welcomes_an_octet_at_a_time_is_given_up() {
    let answering = opened(BRIEF, |mut socket| {
        socket.write_all(b"HTTP/1.1 101 X\r\nX: ").unwrap();
        trickle(socket, b'x');
    });
    assert!(matches!(&answering, Failure::Unreachable(why) if why.ends_with("in time")), "{answering}");
    let welcoming = opened(BRIEF, |mut socket| {
        // A text of 100 octets.
        agree(&mut socket, &[0x81, 100]);
        trickle(socket, b'x');
    });
    assert!(matches!(&welcoming, Failure::Unreachable(why) if why.ends_with("in time")), "{welcoming}");
}

#[test]
fn what_comes_in_place_of_a_welcome_is_said_in_plain_words() {
    for (octets, why) in [
        (&b"\x81\x02{}"[..], "something else than a welcome: is this a Slackwater server?"),
        (b"\x88\x02\x03\xf4", "closed the connection with 1012"),
        (b"\x88\x00", "the server closed the connection"),
        (b"", "no welcome: it ended without a close frame"),
        (b"\xf1\x00", "no welcome: something came that no WebSocket may carry"),
        (b"\x81\xff", "no welcome: it ended without a close frame"),
    ] {
        let failure = opened(AMPLE, |mut socket| agree(&mut socket, octets)).to_string();
        assert!(failure.contains(why), "{octets:?}: {failure}");
    }
}

#[test]
fn whatever_becomes_of_a_connection_is_said_without_the_words_of_a_library() {
    let reset = io::Error::from(ErrorKind::ConnectionReset);
    for (error, words) in [
        (Error::Io(ErrorKind::TimedOut.into()), "nothing came in time"),
        (Error::Io(reset), "connection reset"),
        (Error::ConnectionClosed, "it ended without a close frame, as where a process or a proxy is killed"),
        (
            Error::Capacity(CapacityError::MessageTooLong { size: 2, max_size: 1 }),
            "a message came that is too long to be taken",
        ),
        (Error::Utf8("x".to_owned()), "something came that no WebSocket may carry (RFC 6455)"),
        (
            Error::Protocol(ProtocolError::MaskedFrameFromServer),
            "something came that no WebSocket may carry (RFC 6455)",
        ),
    ] {
        assert_eq!(in_words(&error), words);
    }
}

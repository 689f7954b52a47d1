//! The floor: no server, but the least that any server must do that sends each message on its own – a bare loop of
//! `send(2)` of one encoded frame to one socket after the other. It runs in a process of its own, as the server does.

use std::io::{self, BufRead, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use slackwater::policy::sequencer::Sequencer;
use slackwater::wire::messages::{DEFAULT_TOPIC, ServerMessage};

/// What is published everywhere, so that all send the same bytes.
pub const DATA: &str = r#"{"order":4711,"state":"shipped","eta_minutes":12}"#;

/// Takes in so many clients; then, for each line of two numbers, sends the publications behind the position that is
/// the first, as many as the second says.
pub fn run(clients: usize) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("The floor is at http://{}", listener.local_addr()?);
    let mut sockets = Vec::with_capacity(clients);
    for _ in 0..clients {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (newest, count) = line.split_once(' ').expect("two numbers");
        let count = count.parse().expect("a count");
        let frames = publications(DATA, newest.parse().expect("a position"), count);
        send_to_all(&sockets, &frames)?;
    }
    Ok(())
}

fn send_to_all(sockets: &[TcpStream], frames: &[Bytes]) -> io::Result<()> {
    for frame in frames {
        for mut socket in sockets {
            socket.write_all(frame)?;
        }
    }
    Ok(())
}

/// What the server would send for so many publications of this JSON value behind a position.
pub fn publications(data: &str, newest: u64, count: usize) -> Vec<Bytes> {
    let data: &RawValue = serde_json::from_str(data).expect("it is JSON");
    let mut sequencer = Sequencer::new(0, newest);
    let (topic, timestamp) = (DEFAULT_TOPIC, Timestamp::now());
    let mut publication =
        || ServerMessage::Data { id: sequencer.advance(), topic, data, timestamp }.to_frame().into_bytes();
    (0..count).map(|_| publication()).collect()
}

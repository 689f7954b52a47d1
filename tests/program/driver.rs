//! A running server process, the lines it logs, and a client that nobody here wrote.
//! No sleeps and no fixed ports: every wait is for a fact, with a deadline that fails the test.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::{Error, HandshakeError, Message, WebSocket};

pub const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server and the lines it logs.
pub struct Process {
    pub child: Child,
    /// What it logged before it said where it is.
    pub preamble: Vec<String>,
    lines: Receiver<String>,
    pub address: SocketAddr,
}

impl Process {
    pub fn start(flags: &str) -> Self {
        Self::spawn(Command::new(BINARY).args(flags.split_whitespace()))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let started = spawn(command);
        Self::read_log(started)
    }

    pub fn read_log(started: Started) -> Self {
        let Started { child, stderr, preamble, address } = started;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, preamble, lines, address }
    }

    /// The next line that contains this.
    pub fn line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no line with {part:?} in time"));
            if line.contains(part) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Its exit code, once it has ended by itself, and what it logged since the last line that was asked for.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = wait(&mut self.child);
        let lines = self.lines.iter().map(|line| text_of(&line).to_owned()).collect();
        (code, lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that has been started, and its log behind the line that says where it is.
pub struct Started {
    pub child: Child,
    pub stderr: BufReader<ChildStderr>,
    pub preamble: Vec<String>,
    pub address: SocketAddr,
}

/// Starts a server and reads no more of its log than the line that says where it is.
pub fn spawn(command: &mut Command) -> Started {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut preamble = vec![];
    let address = loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).unwrap() == 0 {
            panic!("it ended with {}: {preamble:?}", child.wait().unwrap());
        }
        if line.contains("Serving the page on") {
            break address_in(&line);
        }
        preamble.push(line);
    };
    Started { child, stderr, preamble, address }
}

pub fn signal(child: &Child, name: &str) {
    assert!(kill(&child.id().to_string(), name));
}

/// Sends a signal to a process, or to the group of `-PID`. Whether there was somebody to take it.
pub fn kill(target: &str, name: &str) -> bool {
    // The shell's own kill: it is there wherever a shell is.
    let script = format!("kill -s {name} -- {target}");
    Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap().success()
}

pub fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::yield_now();
    }
    panic!("the process did not end in time");
}

pub fn address_in(line: &str) -> SocketAddr {
    let start = line.find("http://").expect("the line says where the page is") + "http://".len();
    line[start..].split(' ').next().unwrap().parse().unwrap()
}

/// A line without its timestamp.
pub fn text_of(line: &str) -> &str {
    line.split_once(' ').expect("a line begins with its time").1
}

/// A WebSocket client that nobody here wrote.
pub struct Client<S = TcpStream>(pub WebSocket<Resuming<S>>);

/// Reads on when a signal has interrupted it: a read with a time limit does not by itself when this process was stopped
/// and goes on, signal(7).
pub struct Resuming<S>(pub S);

impl<S: Read> Read for Resuming<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<S: Write> Write for Resuming<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::connect_at(address, "/ws");
        assert!(client.hear().starts_with(r#"{"type":"welcome""#));
        client
    }

    /// Connects with what the query says; the welcome is still to be heard.
    pub fn connect_at(address: SocketAddr, target: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream, &format!("ws://{address}{target}")).unwrap()
    }
}

impl<S: Read + Write> Client<S> {
    /// Asks for a WebSocket on a connection; the welcome is still to be heard.
    pub fn over(stream: S, url: &str) -> Result<Self, Error> {
        match tungstenite::client::client(url, Resuming(stream)) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Failure(why)) => Err(why),
            Err(HandshakeError::Interrupted(_)) => panic!("no answer to the handshake in time"),
        }
    }

    /// What it is connected by.
    #[allow(dead_code)] // Not every test asks.
    pub fn stream(&self) -> &S {
        &self.0.get_ref().0
    }

    /// The next text, whatever the server has asked by pings before it.
    pub fn hear(&mut self) -> String {
        self.next().to_text().unwrap().to_owned()
    }

    fn next(&mut self) -> Message {
        loop {
            match self.0.read().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    pub fn echo(&mut self, text: &str) -> String {
        self.0.send(Message::text(text)).unwrap();
        self.hear()
    }

    /// Closes politely and waits until the server has answered.
    pub fn leave(mut self) {
        self.0.close(None).unwrap();
        while self.0.read().is_ok() {}
    }

    /// The code of the close frame that comes next.
    pub fn close_code(&mut self) -> Option<u16> {
        match self.next() {
            Message::Close(frame) => frame.map(|frame| frame.code.into()),
            other => panic!("expected a close frame, not {other:?}"),
        }
    }
}

pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

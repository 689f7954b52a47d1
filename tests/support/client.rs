//! A friendly client, tungstenite's: a server that only ever talks to its own code proves nothing.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use tungstenite::{Message, WebSocket};

use crate::{DEADLINE, LIFETIME};

/// A WebSocket that has been welcomed.
pub struct Client {
    pub socket: WebSocket<TcpStream>,
    pub welcome: Value,
    born: Instant,
}

impl Client {
    /// Connects with what the target says, and hears the welcome.
    pub fn join(address: SocketAddr, target: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{address}{target}");
        let (socket, _) = tungstenite::client::client(url, stream).expect("the handshake succeeds");
        let mut client = Self { socket, welcome: Value::Null, born: Instant::now() };
        client.welcome = client.hear();
        client
    }

    /// The next message.
    pub fn hear(&mut self) -> Value {
        loop {
            assert!(self.born.elapsed() < LIFETIME, "what is waited for does not come");
            match self.socket.read().expect("a message comes in time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("messages are JSON"),
                Message::Ping(_) => {}
                other => panic!("expected a message, not {other:?}"),
            }
        }
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the server takes it");
    }
}

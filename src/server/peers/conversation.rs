//! What is said to whom: requests become answers or WebSockets, events become replies, and publications become news.
//! Nothing here touches a socket: all of it ends in outboxes.

use log::info;

use super::{Mood, Peers, Service};
use crate::frame::Frame;
use crate::server::clock::Now;
use crate::server::connection::Socket;
use crate::server::routes::{self, Answer, Conditions};
use crate::wire::http::Method;
use crate::wire::messages::{Command, DEFAULT_TOPIC, ServerMessage, read_command};
use crate::wire::response::{Exchange, switching_protocols};
use crate::wire::websocket::Event;

impl<S: Socket> Peers<S> {
    /// Publishes the periodic notification to all who are connected now.
    pub fn publish_periodic(&mut self, now: Now) {
        self.notifications_so_far += 1;
        let notification = ServerMessage::Notification {
            id: self.sequencer.advance(),
            topic: DEFAULT_TOPIC,
            message: &format!("Periodic notification #{}", self.notifications_so_far),
            timestamp: now.wall,
            active_connections: self.clients,
        };
        self.hub.publish(notification.to_frame());
    }

    /// Answers the requests that are whole, as long as the peer takes the answers.
    pub(super) fn converse(&mut self, key: usize, now: Now) {
        let conditions = Conditions {
            leaving: self.mood != Mood::Serving,
            crowded: self.terms.concurrency.is_some_and(|most| self.connections.len() > most),
        };
        let limits = &self.terms.limits;
        loop {
            let connection = &mut self.connections[key];
            if connection.must_pause(limits) {
                return;
            }
            let Some(requests) = connection.requests() else { return };
            let request = match requests.next_request() {
                Ok(Some(request)) => request,
                Ok(None) if !requests.has_begun() => return,
                Ok(None) => return connection.expect_head(now + limits.handshake),
                Err(refusal) => return connection.refuse(refusal, now, limits),
            };
            let exchange = Exchange {
                now: now.wall,
                head_only: request.method == Method::Head,
                keep_alive: request.keep_alive && !conditions.leaving && !conditions.crowded,
            };
            match routes::answer(request, &self.site, conditions) {
                Answer::Respond(response) => connection.respond(response, exchange, now, limits),
                Answer::Upgrade(accept) => return self.open(key, &accept, now),
            }
        }
    }

    /// Takes in what a WebSocket sends, and replies.
    pub(super) fn hear(&mut self, key: usize, mut bytes: &[u8], now: Now) {
        let Self { connections, terms, .. } = self;
        let (connection, limits) = (&mut connections[key], &terms.limits);
        while let Some(event) = connection.next_event(&mut bytes, &limits.rules) {
            match (event, terms.service) {
                (Event::Ended(ending), _) => connection.end(ending, now),
                (Event::Pong, _) => connection.on_pong(now, limits),
                (Event::Text(text), Service::Notifications) => {
                    connection.send(reply_to(&text, now), now, limits);
                }
                (Event::Text(text), Service::Echo) => connection.send(Frame::text(text), now, limits),
                (Event::Binary(bytes), _) => connection.send(Frame::binary(bytes), now, limits),
            }
        }
    }

    /// Makes a connection a client: 101, the welcome, and what it has sent behind its handshake.
    fn open(&mut self, key: usize, accept: &str, now: Now) {
        let limits = &self.terms.limits;
        // Pings are spread over their period by the key, evenly for any number of keys (the golden ratio).
        let fraction = ((key + 1) as f64 * 0.618_033_988_749_895).fract();
        let first_ping = limits.ping_interval.map(|interval| now + interval.mul_f64(fraction));
        let connection = &mut self.connections[key];
        let rest = connection.open(switching_protocols(accept), self.hub.newest(), first_ping);
        self.clients += 1;
        self.clients_so_far += 1;
        info!("Client connected. Total connections: {}", self.clients);
        if self.terms.service == Service::Notifications {
            let welcome = ServerMessage::Welcome {
                message: "Connected to WebSocket server",
                timestamp: now.wall,
                connection_id: &format!("{:08x}-{}", self.terms.epoch, self.clients_so_far),
                topics: &[DEFAULT_TOPIC],
                last_event_id: self.sequencer.newest(),
                resumed: false,
            };
            connection.send(welcome.to_frame(), now, limits);
        }
        self.hear(key, &rest, now);
    }
}

fn reply_to(text: &str, now: Now) -> Frame {
    let timestamp = now.wall;
    match read_command(text) {
        Command::Echo => {
            ServerMessage::Echo { message: &format!("Server received: {text}"), timestamp }.to_frame()
        }
        Command::Unknown(why) => {
            ServerMessage::Error { code: "bad_message", message: &why, timestamp }.to_frame()
        }
    }
}

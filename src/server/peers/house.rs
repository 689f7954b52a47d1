//! Peers in virtual time, for tests: whoever is connected to them says what it is to say, and they have turn after turn. They are
//! given what the loop gives them, in its order.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::events::{Chunks, Event, Reader};
use support::handshake_with;

use super::*;
use crate::config::Config;
use crate::policy::history::Publication;
use crate::policy::topic::TopicName;
use crate::server::Service;
use crate::server::address::Address;
use crate::server::far_end::{FarEnd, Wire};
use crate::server::terms::terms;
use crate::wire::messages::ServerMessage;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const GET: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// More than any message of these tests has.
const MOST_BYTES: usize = 1 << 24;

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A handshake that asks for this topic, and for compression.
pub(super) fn compressing(topic: &str) -> String {
    let handshake = handshake_with("Sec-WebSocket-Extensions: permessage-deflate");
    handshake.replacen("/ws", &format!("/ws?topic={topic}"), 1)
}

/// Peers, and a clock that moves only from one deadline to the next.
pub(super) struct House {
    pub peers: Peers<Wire>,
    begin: Now,
    pub elapsed: Duration,
    pub turns: usize,
    pub published: u64,
    /// The other ends, by the keys of the peers.
    pub ends: Vec<Rc<RefCell<FarEnd>>>,
}

impl House {
    pub(super) fn with(flags: &str) -> Self {
        let args = ["slackwater", "--ws-ping-interval", "0"].into_iter().chain(flags.split_whitespace());
        let config = Config::read(args.map(Into::into)).unwrap();
        let address = Address::Ip("127.0.0.1:0".parse().unwrap());
        let begin = Now::read();
        let terms = terms(&config, Service::Notifications, &address, None, None);
        let peers = Peers::new(Terms { epoch: 0xbeef, ..terms }, begin);
        Self { peers, begin, elapsed: Duration::ZERO, turns: 0, published: 0, ends: vec![] }
    }

    pub(super) fn now(&self) -> Now {
        Now { instant: self.begin.instant + self.elapsed, ..self.begin }
    }

    /// Connects somebody who says this; by its key it can be asked what it has heard.
    pub(super) fn connect(&mut self, request: &str) -> usize {
        let key = self.admit(request);
        self.say(key, "");
        key
    }

    /// Admits somebody who says this as soon as it is listened to.
    pub(super) fn admit(&mut self, said: impl AsRef<[u8]>) -> usize {
        self.admit_from(Door::Public, None, said)
    }

    /// The same by a door and from an address.
    pub(super) fn admit_from(
        &mut self,
        door: Door,
        address: Option<IpAddr>,
        said: impl AsRef<[u8]>,
    ) -> usize {
        let end = FarEnd::open();
        end.borrow_mut().address = address;
        let key = self.peers.admit(door, self.now(), |_| Ok(Wire(end.clone()))).unwrap().unwrap();
        // A key passes on when its owner has gone.
        self.ends.splice(key..self.ends.len().min(key + 1), [end]);
        self.send(key, said);
        key
    }

    /// Lets somebody say something, and the peers do all that follows.
    pub(super) fn say(&mut self, who: usize, bytes: impl AsRef<[u8]>) {
        self.send(who, bytes);
        self.step(&[who]);
        self.turn();
    }

    /// Something is on its way to the peers.
    pub(super) fn send(&mut self, who: usize, bytes: impl AsRef<[u8]>) {
        self.ends[who].borrow_mut().said.extend(bytes.as_ref());
    }

    /// Somebody takes so much more.
    pub(super) fn take(&mut self, who: usize, bytes: usize) {
        self.ends[who].borrow_mut().room = bytes;
        self.peers.on_ready(who, Readiness::Room, true, self.now());
    }

    pub(super) fn publish(&mut self) {
        self.publish_to("notifications", "x");
        self.turn();
    }

    /// Publishes within a turn that goes on.
    pub(super) fn publish_to(&mut self, topic: &str, message: &str) {
        self.published += 1;
        let line = self.peers.line();
        let id = line.epochs().id(line.newest() + 1).unwrap();
        let (timestamp, at) = (self.now().wall, self.now().instant);
        let message = ServerMessage::Notification { id, topic, message, timestamp, active_connections: 0 }
            .to_message(id);
        let topic = TopicName::parse(topic).unwrap();
        self.peers.publish(Publication { topic, message, at }, self.now());
    }

    /// One turn, in which something has come from these.
    pub(super) fn step(&mut self, ready: &[usize]) {
        let now = self.now();
        self.turns += 1;
        self.ends.iter().for_each(|end| end.borrow_mut().now = self.elapsed);
        self.peers.on_turn(now);
        self.peers.read_unread(now);
        ready.iter().for_each(|who| self.peers.on_ready(*who, Readiness::Bytes, false, now));
        self.peers.keep_time(now, now.instant);
        self.peers.settle(now);
    }

    /// The same; gives back who was told anything in it.
    pub(super) fn step_telling(&mut self, ready: &[usize]) -> Vec<usize> {
        let told = |house: &Self| house.ends.iter().map(|end| end.borrow().taken.len()).collect::<Vec<_>>();
        let before = told(self);
        self.step(ready);
        let after = told(self);
        (0..after.len()).filter(|who| after[*who] > before[*who]).collect()
    }

    /// One turn, or as many as there is work for.
    pub(super) fn turn(&mut self) {
        let now = self.now().instant;
        self.step(&[]);
        while self.peers.has_work() || self.peers.next_deadline().is_some_and(|at| at <= now) {
            self.step(&[]);
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        let begin = self.begin.instant;
        let since_begin = |at: Instant| at.saturating_duration_since(begin);
        while let Some(at) = self.peers.next_deadline().map(since_begin).filter(|at| *at <= end) {
            self.elapsed = at;
            self.turn();
        }
        self.elapsed = end;
    }

    /// The server begins to leave, and has much time for it.
    pub(super) fn leave(&mut self) {
        self.peers.leave(self.now(), false);
        self.peers.begin_notices(self.now(), self.now() + seconds(1000));
    }

    /// All that somebody has been told.
    pub(super) fn text(&self, who: usize) -> String {
        String::from_utf8(self.ends[who].borrow().taken.clone()).unwrap()
    }

    /// What somebody's browser makes of it.
    pub(super) fn heard(&self, who: usize) -> (Vec<Event>, Reader) {
        let text = self.text(who);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut reader = Reader::default();
        (reader.read(Chunks::default().read(body)), reader)
    }

    /// The whole messages that somebody has been told by its WebSocket, compressed or not, and its close code.
    pub(super) fn messages(&self, who: usize) -> Vec<Value> {
        let end = self.ends[who].borrow();
        let head = end.taken.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
        let (mut rest, mut messages) = (&end.taken[head + 4..], vec![]);
        while let [first, length, behind @ ..] = rest {
            let extended = [0, 2, 8][usize::from(length.saturating_sub(125))];
            let Some((extension, behind)) = behind.split_at_checked(extended) else { break };
            let long = extension.iter().fold(0, |long, octet| long << 8 | usize::from(*octet));
            let bytes = if extended == 0 { usize::from(*length) } else { long };
            let Some((payload, behind)) = behind.split_at_checked(bytes) else { break };
            messages.push(match first {
                0x81 => serde_json::from_slice(payload).unwrap(),
                0xc1 => {
                    let message = Inflater::default().inflate(payload, MOST_BYTES).unwrap();
                    serde_json::from_slice(&message).unwrap()
                }
                0x88 => json!({"type": "close", "code": u16::from_be_bytes([payload[0], payload[1]])}),
                other => panic!("a frame of {other:x}"),
            });
            rest = behind;
        }
        messages
    }

    /// The ids of the publications that it has been told.
    pub(super) fn ids(&self, who: usize) -> Vec<String> {
        let messages = self.messages(who).into_iter();
        messages.filter_map(|message| Some(message.get("id")?.as_str()?.to_owned())).collect()
    }

    /// When somebody was told this.
    pub(super) fn told(&self, who: usize, what: &str) -> Vec<Duration> {
        let end = self.ends[who].borrow();
        let mut rest = &end.taken[..];
        let mut is_so = |bytes: usize| {
            let (written, behind) = rest.split_at(bytes);
            rest = behind;
            String::from_utf8_lossy(written).contains(what)
        };
        end.writes.iter().filter(|(_, bytes)| is_so(*bytes)).map(|(at, _)| *at).collect()
    }

    pub(super) fn has_ended(&self, who: usize) -> bool {
        self.ends[who].borrow().has_ended
    }

    /// How clients have departed: reasons and codes.
    pub(super) fn departures(&mut self) -> Vec<(String, u16, u64)> {
        let metrics = self.peers.metrics(self.now());
        metrics.disconnects.into_iter().map(|one| (one.reason.into_owned(), one.code, one.count)).collect()
    }
}

/// The ids of the first publications.
pub(super) fn first_ids(count: u64) -> Vec<String> {
    (1..=count).map(|n| format!("0000beef-{n}")).collect()
}

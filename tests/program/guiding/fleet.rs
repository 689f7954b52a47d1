//! Many clients in one loop, each with a life of its own: some move when they are asked to, others only when they are
//! closed. What no client may live through fails the test at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::CLOSE_AFTER_MS;
use super::link::{Came, Link, Stage, member};
use super::rate::{Moments, now_unix_ms, unix_ms};

/// No story takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client waits that nobody has let in.
const AGAIN: Duration = Duration::from_millis(20);
/// How long the loop sleeps at most before it looks at what is not its own.
const GLANCE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub struct Client {
    /// Moves at its moment; others ignore the notice.
    pub cooperates: bool,
    /// Welcomed and open.
    pub serving: Option<usize>,
    opening: Option<usize>,
    /// The position of the newest publication that it has heard.
    pub newest: u64,
    /// How many it has heard for the first time.
    pub heard: u64,
    pub hints: Vec<Hint>,
    /// How often it was closed.
    pub closed: usize,
    /// How much later than at its moment this program has got round to its last move.
    late_ms: i64,
}

/// What one notice has said, with the moment in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Hint {
    pub slot: i64,
    pub after_ms: i64,
}

pub struct Fleet {
    poll: Poll,
    address: SocketAddr,
    links: Slab<Link>,
    pub clients: Vec<Client>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    epoch: String,
    scratch: Box<[u8]>,
    /// The welcomes, by the server's clock, less what this program was late: of those who moved by themselves.
    pub moved: Moments,
    /// The welcomes of those who stay until they are closed, and when they were.
    pub returned: Moments,
    pub closed: Moments,
    /// How many were closed though they were about to move.
    pub overtaken: usize,
    /// How late this program was at most.
    pub latest_ms: i64,
    /// How long this program has not looked for what had come, though it would have.
    pub longest_lag: Duration,
}

impl Fleet {
    /// So many clients, of which those cooperate that are chosen; all of them are welcomed.
    pub fn connect(address: SocketAddr, count: usize, cooperates: impl Fn(usize) -> bool) -> Self {
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be read");
        let clients = (0..count).map(|n| Client { cooperates: cooperates(n), ..Client::default() });
        let mut fleet = Self {
            poll: Poll::new().expect("there are descriptors left"),
            address,
            links: Slab::new(),
            clients: clients.collect(),
            due: BinaryHeap::new(),
            epoch: String::new(),
            scratch: vec![0; 64 * 1024].into(),
            moved: Moments::default(),
            returned: Moments::default(),
            closed: Moments::default(),
            overtaken: 0,
            latest_ms: 0,
            longest_lag: Duration::ZERO,
        };
        // No more at a time than wait for a server to accept them.
        for first in (0..count).step_by(500) {
            let next = (first + 500).min(count);
            (first..next).for_each(|client| fleet.open(client));
            fleet.live_until("all are welcomed", |fleet| {
                fleet.clients[first..next].iter().all(|client| client.serving.is_some())
            });
        }
        fleet
    }

    /// Lets all of them live until this is so.
    pub fn live_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let (mut events, mut looked) = (Events::with_capacity(1024), Instant::now());
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            let patience = self
                .due
                .peek()
                .map_or(GLANCE, |Reverse((at, _))| at.saturating_duration_since(Instant::now()).min(GLANCE));
            let began = looked;
            match self.poll.poll(&mut events, Some(patience)) {
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                polled => polled.expect("the poll works"),
            }
            looked = Instant::now();
            self.longest_lag = self.longest_lag.max((looked - began).saturating_sub(patience));
            for event in &events {
                self.on_ready(event.token().0);
            }
            self.keep_time();
        }
    }

    /// The clients that have a connection on which they were not asked to move.
    pub fn settled(&self) -> usize {
        self.clients.iter().filter(|client| client.serving.is_some() && client.opening.is_none()).count()
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        while self.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, client))) = self.due.pop() else { return };
            if self.clients[client].opening.is_none() {
                self.clients[client].late_ms = milliseconds(at.elapsed());
                self.open(client);
            }
        }
    }

    fn open(&mut self, client: usize) {
        let newest = self.clients[client].newest;
        let id = format!("{}-{newest}", self.epoch);
        let is_back = self.clients[client].serving.is_some() || self.clients[client].closed > 0;
        let mut link = Link::open(self.address, client, is_back.then_some(&*id));
        link.heard = newest;
        let entry = self.links.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut link.socket, Token(entry.key()), interest).expect("it is new");
        self.clients[client].opening = Some(entry.key());
        entry.insert(link);
    }

    fn on_ready(&mut self, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.on_writable();
        for came in link.take(&mut self.scratch) {
            match came {
                Came::Text(message) => self.on_message(key, &message),
                Came::Closed(code) => self.on_close(key, code),
                Came::Refused(status) => assert_eq!(status, 503, "a handshake is refused"),
                Came::Ended(why) => return self.on_end(key, why),
            }
        }
    }

    fn on_message(&mut self, key: usize, message: &str) {
        let stage = self.links[key].stage;
        match (member(message, "type"), stage) {
            (Some("welcome"), Stage::Upgraded) => self.on_welcome(key, message),
            (Some("notification"), Stage::Welcomed) => self.on_publication(key, message),
            (Some("reconnect"), Stage::Welcomed) => self.on_hint(key, message),
            (_, Stage::Closing) => {}
            (_, stage) => panic!("{message} comes when the connection is {stage:?}"),
        }
    }

    fn on_welcome(&mut self, key: usize, message: &str) {
        let link = &mut self.links[key];
        let client = &mut self.clients[link.client];
        let at = unix_ms(member(message, "timestamp").expect("a time"));
        let (epoch, newest) = position(member(message, "last_event_id").expect("an id"));
        link.stage = Stage::Welcomed;
        client.opening = None;
        let old = client.serving.replace(key);
        if old.is_none() && client.closed == 0 {
            (self.epoch, client.newest, link.heard) = (epoch.to_owned(), newest, newest);
            return;
        }
        assert_eq!(member(message, "resumed"), Some("true"), "nothing may be missing: {message}");
        match client.cooperates {
            true => self.moved.note(at - client.late_ms),
            false => self.returned.note(at),
        }
        self.latest_ms = self.latest_ms.max(client.late_ms);
        if let Some(old) = old {
            self.links[old].close(1000);
        }
    }

    fn on_publication(&mut self, key: usize, message: &str) {
        let link = &mut self.links[key];
        let client = &mut self.clients[link.client];
        let (epoch, position) = position(member(message, "id").expect("an id"));
        assert_eq!((epoch, position), (&*self.epoch, link.heard + 1), "on one connection: {message}");
        assert_eq!(member(message, "data"), Some(&*position.to_string()), "{message}");
        link.heard = position;
        // The old connection and the new may both bring it.
        if position > client.newest {
            assert_eq!(position, client.newest + 1, "client {} has missed something", link.client);
            client.newest = position;
            client.heard += 1;
        }
    }

    fn on_hint(&mut self, key: usize, message: &str) {
        let number = |name| member(message, name).and_then(|n| n.parse::<i64>().ok()).expect("a number");
        let said = unix_ms(member(message, "timestamp").expect("a time"));
        let after_ms = number("after_ms");
        let name = self.links[key].client;
        let client = &mut self.clients[name];
        client.hints.push(Hint { slot: said + after_ms, after_ms });
        if client.cooperates {
            let after = Duration::from_millis(after_ms.unsigned_abs());
            self.due.push(Reverse((Instant::now() + after, name)));
        }
    }

    fn on_close(&mut self, key: usize, code: u16) {
        let link = &mut self.links[key];
        if link.stage == Stage::Closing {
            return;
        }
        let client = &mut self.clients[link.client];
        let now = now_unix_ms();
        let due =
            client.hints.last().expect("nobody is closed who was not asked to move").slot + CLOSE_AFTER_MS;
        // The moment was told in whole milliseconds, by a clock that is not this one.
        assert!(now + 1 >= due, "client {} is closed ahead of its time: {client:?}", link.client);
        assert_eq!((code, client.serving), (1012, Some(key)));
        client.serving = None;
        client.closed += 1;
        link.close(code);
        let name = link.client;
        if client.cooperates {
            // The machine had no time for its move until then: that is under way, or is tried again.
            self.overtaken += 1;
        } else {
            self.closed.note(now);
            self.open(name);
        }
    }

    fn on_end(&mut self, key: usize, why: Option<ErrorKind>) {
        let mut link = self.links.remove(key);
        let _ = self.poll.registry().deregister(&mut link.socket);
        let client = &mut self.clients[link.client];
        match link.stage {
            Stage::Closing => {}
            // Nobody listens at the moment, or not for much longer.
            Stage::Connecting | Stage::Asked => {
                client.opening = None;
                self.due.push(Reverse((Instant::now() + AGAIN, link.client)));
            }
            stage @ (Stage::Upgraded | Stage::Welcomed) => {
                let name = link.client;
                panic!(
                    "a connection of client {name} ends without a close frame, {stage:?}, {why:?}: {client:?}"
                )
            }
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("nothing takes this long")
}

/// The two halves of an id.
fn position(id: &str) -> (&str, u64) {
    let (epoch, position) = id.split_once('-').expect("an epoch and a position");
    (epoch, position.parse().expect("a number"))
}

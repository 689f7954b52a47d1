//! The load's clients, all of them in one poll loop: they connect, hear what is published, visit and leave.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::common::PATIENCE;
use super::common::arrival::{Arrival, Greeting};
use super::common::channel::Channel;
use super::common::encoding::Encoding;
use super::common::sources::Sources;
use super::common::subscriber::Subscriber;
use super::reader::{Edition, Reader};
use super::trigger::Trigger;

const TRIGGER: Token = Token(usize::MAX - 1);

/// Connections that are being made at the same time. The kernel's queue has room for more.
const WINDOW: usize = 128;

/// A masked close frame: code 1000, under a mask of four zeros (RFC 6455 §5.5.1).
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// One client.
enum Client<C> {
    Arriving(Arrival<C>),
    Listening(Subscriber<C>),
    /// Listens, too, and looks at every octet. It stays to the end.
    Reading(Reader<C>),
    /// Has said so, and waits for the other side to end the connection.
    Leaving(C),
    /// Is becoming another of these.
    Between,
}

impl<C: Channel> Client<C> {
    fn into_channel(self) -> C {
        match self {
            Self::Arriving(arrival) => arrival.channel,
            Self::Listening(subscriber) => subscriber.inbound.channel,
            Self::Leaving(channel) => channel,
            Self::Reading(_) => unreachable!("who reads every octet stays to the end"),
            Self::Between => unreachable!("nobody is looked at while becoming another"),
        }
    }
}

/// What becomes of those who have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Stay,
    /// They leave at once.
    Visit,
}

/// All clients, and what publishes to them.
pub struct Crowd<C: Channel> {
    address: SocketAddr,
    /// What its clients connect on.
    terms: C::Terms,
    /// What each of them asks with.
    request: Vec<u8>,
    greeting: Greeting,
    poll: Poll,
    events: Events,
    clients: Slab<Client<C>>,
    /// What those hear who look at every octet.
    edition: Edition,
    sources: Sources,
    pub trigger: Trigger<C>,
    purpose: Purpose,
    arriving: usize,
    listening: usize,
    leaving: usize,
    scratch: Box<[u8]>,
}

impl<C: Channel> Crowd<C> {
    /// Nobody yet, but for what publishes.
    pub fn new(address: SocketAddr, terms: C::Terms, request: Vec<u8>, mut trigger: Trigger<C>) -> Self {
        let poll = Poll::new().expect("there can be a poll");
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(trigger.socket(), TRIGGER, interest).expect("a socket can be polled");
        Self {
            address,
            terms,
            request,
            greeting: trigger.greeting(),
            poll,
            events: Events::with_capacity(1024),
            clients: Slab::new(),
            edition: Edition::new(Encoding::Plain, 0, String::new()),
            sources: Sources::default(),
            trigger,
            purpose: Purpose::Stay,
            arriving: 0,
            listening: 0,
            leaving: 0,
            scratch: vec![0; 256 * 1024].into(),
        }
    }

    /// How many there are to hear a publication.
    pub fn listening(&self) -> usize {
        self.listening
    }

    /// So many more connect; returns when all of them are welcomed.
    pub fn grow(&mut self, count: usize) {
        let wanted = self.listening + count;
        self.purpose = Purpose::Stay;
        self.trigger.announce(count);
        while self.listening < wanted {
            while self.arriving < WINDOW && self.listening + self.arriving < wanted {
                self.begin();
            }
            self.turn(&mut |_| {});
        }
    }

    /// So many connect, are welcomed and leave; returns when the last connection is closed by the other side.
    pub fn churn(&mut self, visits: usize) {
        let mut begun = 0;
        self.purpose = Purpose::Visit;
        while begun < visits || self.arriving + self.leaving > 0 {
            while begun < visits && self.arriving + self.leaving < WINDOW {
                begun += 1;
                self.begin();
            }
            self.turn(&mut |_| {});
        }
    }

    /// All leave; returns when all connections are closed by the other side.
    pub fn leave(&mut self) {
        for key in 0..self.clients.capacity() {
            if matches!(self.clients.get(key), Some(Client::Listening(_))) {
                self.listening -= 1;
                self.say_goodbye(key);
            }
        }
        while self.leaving > 0 {
            self.turn(&mut |_| {});
        }
    }

    /// Says which position the next publication follows.
    pub fn go_on_behind(&mut self, position: u64) {
        for (_, client) in &mut self.clients {
            if let Client::Listening(subscriber) = client {
                subscriber.go_on_behind(position);
            }
        }
    }

    /// Says what is about to be published, to those who look at every octet.
    pub fn announce(&mut self, position: u64, data: &str) {
        if let Greeting::Of(encoding) = self.greeting {
            self.edition = Edition::new(encoding, position, data.to_owned());
        }
    }

    /// The octets that have brought it to them.
    pub fn wire_bytes(&self) -> u64 {
        self.edition.wire_bytes
    }

    /// The octets that have come to those who stay, where they are others than those that were read.
    pub fn taken(&self) -> Option<u64> {
        let readers = self.clients.iter().filter_map(|(_, client)| match client {
            Client::Reading(reader) => Some(reader.channel()),
            _ => None,
        });
        readers.map(Channel::taken).sum()
    }

    /// Takes what has come, and tells of each client that has heard something how many publications that were.
    pub fn turn(&mut self, on_heard: &mut impl FnMut(u64)) {
        assert!(self.take_what_comes(PATIENCE, on_heard), "nothing has come for {PATIENCE:?}");
    }

    /// As `turn`, for no longer than this; `false` if nothing came.
    pub fn take_what_comes(&mut self, wait: Duration, on_heard: &mut impl FnMut(u64)) -> bool {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(1));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            polled => polled.expect("the poll works"),
        }
        let has_come = !events.is_empty();
        for event in &events {
            match event.token() {
                TRIGGER => self.trigger.on_ready(&mut self.scratch),
                Token(key) => self.on_ready(key, event, on_heard),
            }
        }
        self.events = events;
        has_come
    }

    /// Takes what comes for so long; nothing is published meanwhile.
    pub fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            self.take_what_comes(rest, &mut |_| panic!("nothing is heard that nobody has published"));
        }
    }

    fn begin(&mut self) {
        let sources = &mut self.sources;
        let mut arrival = Arrival::<C>::begin_over(self.address, &self.terms, &self.request, sources);
        let entry = self.clients.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.poll.registry().register(arrival.channel.socket(), Token(entry.key()), interest);
        registered.expect("a socket can be polled");
        entry.insert(Client::Arriving(arrival));
        self.arriving += 1;
    }

    fn on_ready(&mut self, key: usize, event: &Event, on_heard: &mut impl FnMut(u64)) {
        match self.clients.get_mut(key) {
            Some(Client::Listening(subscriber)) => match subscriber.read(&mut self.scratch) {
                0 => {}
                heard => on_heard(heard),
            },
            Some(Client::Reading(reader)) => match reader.read(&mut self.scratch, &mut self.edition) {
                0 => {}
                heard => on_heard(heard),
            },
            Some(Client::Arriving(arrival)) => {
                if let Some(newest) = arrival.go_on(&self.request, self.greeting, &mut self.scratch) {
                    self.on_arrived(key, newest);
                }
            }
            Some(Client::Leaving(_)) if event.is_readable() => self.read_to_the_end(key),
            Some(Client::Leaving(_) | Client::Between) | None => {}
        }
    }

    fn on_arrived(&mut self, key: usize, newest: u64) {
        self.arriving -= 1;
        if self.purpose == Purpose::Visit {
            return self.say_goodbye(key);
        }
        self.listening += 1;
        let channel = self.take_channel(key);
        self.clients[key] = match self.greeting {
            Greeting::Of(_) => Client::Reading(Reader::new(channel, newest)),
            Greeting::Welcome | Greeting::None => Client::Listening(Subscriber::new(channel, newest)),
        };
    }

    fn say_goodbye(&mut self, key: usize) {
        self.leaving += 1;
        let mut channel = self.take_channel(key);
        channel.write_all(&CLOSE).expect("an idle socket takes a close frame");
        self.clients[key] = Client::Leaving(channel);
    }

    fn take_channel(&mut self, key: usize) -> C {
        std::mem::replace(&mut self.clients[key], Client::Between).into_channel()
    }

    fn read_to_the_end(&mut self, key: usize) {
        let Client::Leaving(channel) = &mut self.clients[key] else { return };
        loop {
            match channel.read(&mut self.scratch) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("a leaving client cannot read: {e}"),
            }
        }
        self.clients.remove(key);
        self.leaving -= 1;
    }
}

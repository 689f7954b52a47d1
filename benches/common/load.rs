//! The load: one thread that publishes, and listens for every subscriber.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};

use super::PATIENCE;
use super::program::Program;
use super::publisher::{Publisher, Request};
use super::subscriber::Subscriber;

const PUBLISHER: Token = Token(usize::MAX - 1);

/// How long nothing more may come once all that was expected has come.
const SILENCE: Duration = Duration::from_millis(50);

/// When the next request leaves.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as fewer than this many are unanswered.
    Unanswered(u64),
    /// When all subscribers have heard what the one before has published.
    Heard,
}

/// A publisher, unless the program publishes by itself, and its subscribers.
pub struct Load {
    poll: Poll,
    events: Events,
    publisher: Option<Publisher>,
    subscribers: Vec<Subscriber>,
    /// Position of the newest publication there will be, once all is published.
    pub newest: u64,
    /// Publications that subscribers have heard, each counted for each of them, and that they are to hear.
    heard: u64,
    to_hear: u64,
    scratch: Box<[u8]>,
}

impl Load {
    /// One publisher and so many subscribers of a server that has published nothing yet.
    pub fn on_server(server: SocketAddr, subscribers: usize) -> Self {
        let subscribers = (0..subscribers).map(|_| Subscriber::join(server)).collect();
        Self::new(Some(Publisher::connect(server)), subscribers)
    }

    /// So many clients of the floor.
    pub fn on_floor(floor: SocketAddr, clients: usize) -> Self {
        Self::new(None, (0..clients).map(|_| Subscriber::join_floor(floor)).collect())
    }

    fn new(mut publisher: Option<Publisher>, mut subscribers: Vec<Subscriber>) -> Self {
        let poll = Poll::new().expect("there can be a poll");
        let register = |socket: &mut dyn Source, token, interest| {
            poll.registry().register(socket, token, interest).expect("a socket can be polled");
        };
        for (key, subscriber) in subscribers.iter_mut().enumerate() {
            register(&mut subscriber.inbound.channel, Token(key), Interest::READABLE);
        }
        if let Some(publisher) = &mut publisher {
            register(&mut publisher.channel, PUBLISHER, Interest::READABLE | Interest::WRITABLE);
        }
        let (events, scratch) = (Events::with_capacity(1024), vec![0; 256 * 1024].into());
        Self { poll, events, publisher, subscribers, newest: 0, heard: 0, to_hear: 0, scratch }
    }

    /// Sends the request so many times; returns when all of it is answered, and heard by everyone.
    pub fn publish(&mut self, request: &Request, times: u64, pace: Pace) {
        let answered_before = self.publisher().answered;
        let mut sent = 0;
        loop {
            let answered = self.publisher().answered - answered_before;
            let may_be_sent = match pace {
                Pace::Unanswered(most) => answered + most,
                Pace::Heard => answered + u64::from(answered == sent && self.have_all_heard()),
            };
            let more = may_be_sent.min(times).saturating_sub(sent);
            if more > 0 {
                sent += more;
                self.expect(more * request.publications);
                self.publisher().send(request, more);
            }
            if answered == times && self.have_all_heard() {
                return;
            }
            self.turn();
        }
    }

    /// Has the floor send so many publications behind this position; returns when everyone has heard them.
    pub fn have_sent(&mut self, floor: &Program, position: u64, count: u64) {
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.go_on_behind(position));
        self.newest = position;
        self.expect(count);
        floor.tell(&format!("{position} {count}"));
        while !self.have_all_heard() {
            self.turn();
        }
    }

    /// Fails the bench if anything comes that nobody has published.
    pub fn expect_silence(&mut self) {
        self.poll.poll(&mut self.events, Some(SILENCE)).expect("the poll works");
        self.take_events();
        assert_eq!(self.heard, self.to_hear, "nothing is heard twice");
    }

    fn publisher(&mut self) -> &mut Publisher {
        self.publisher.as_mut().expect("the floor is not published to")
    }

    fn expect(&mut self, publications: u64) {
        self.newest += publications;
        self.to_hear += publications * self.subscribers.len() as u64;
    }

    fn have_all_heard(&self) -> bool {
        // Each hears every publication in its order: the sum is reached only when each has heard the newest.
        self.heard == self.to_hear
    }

    fn turn(&mut self) {
        match self.poll.poll(&mut self.events, Some(PATIENCE)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return,
            polled => polled.expect("the poll works"),
        }
        assert!(
            !self.events.is_empty(),
            "{} of {} messages came, and then no more",
            self.heard,
            self.to_hear
        );
        self.take_events();
    }

    fn take_events(&mut self) {
        for event in &self.events {
            match (event.token(), &mut self.publisher) {
                (PUBLISHER, Some(publisher)) => {
                    publisher.flush();
                    publisher.read(&mut self.scratch);
                }
                (Token(key), _) => self.heard += self.subscribers[key].read(&mut self.scratch),
            }
        }
    }
}

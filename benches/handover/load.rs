//! The load, a process of its own: thousands of clients and a publisher in one poll loop. It goes on by the clock, whether
//! the server answers or not, and counts what every client hears.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use super::client::{Client, Topics};
use super::common::PATIENCE;
use super::common::arrival::{Arrival, Greeting};
use super::common::encoding::Encoding;
use super::common::publisher::{Publisher, Request};
use super::common::sources::Sources;
use super::extent::{Past, Traffic};
use super::faults::Faults;
use super::orders::{Heard, Order};

const PUBLISHER: Token = Token(usize::MAX - 1);

/// Connections that are being made at the same time.
const WINDOW: usize = 128;

/// How soon an order is noticed while there is traffic.
const GLANCE: Duration = Duration::from_millis(5);

/// Publications of one request, of those that nobody hears: `--max-publish-size` allows no more of the large ones.
const LINES: usize = 40;

/// Requests that are not answered yet, of those.
const PIPELINED: u64 = 8;

/// Compresses as JSON does.
const TEXT: &str = "the parcel was handed to the carrier and will arrive between noon and five; please have someone at \
                    home, as a signature is required, and if you are out your neighbour can also take it, for which \
                    you may leave a note on the door";

/// Does what it is told until nobody tells it any more.
pub fn run(address: SocketAddr, number: u32, traffic: Traffic) -> io::Result<()> {
    let (orders, mut load) = (orders(), Load::new(address, number, traffic));
    while let Some(order) = load.next_order(&orders) {
        match order {
            Order::Connect { clients, past_listeners } => answer(&load.connect(clients, past_listeners))?,
            Order::Remember(past) => answer(&load.remember(past))?,
            Order::Begin => answer(&load.begin())?,
            Order::End => answer(&load.end())?,
        }
    }
    Ok(())
}

fn answer(answer: &impl Serialize) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(answer)?)
}

/// What is told on standard input, so that nobody has to wait for it.
fn orders() -> Receiver<Order> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let order = serde_json::from_str(&line).expect("orders are known");
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    orders
}

/// Something that is done so many times a second.
struct Beat {
    period: Duration,
    next: Instant,
}

impl Beat {
    fn new(per_second: u32) -> Self {
        Self { period: Duration::from_secs(1) / per_second, next: Instant::now() }
    }

    /// Whether it is to be done once more by now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next <= now;
        self.next += if is_due { self.period } else { Duration::ZERO };
        is_due
    }
}

/// What is going on.
struct Beats {
    publication: Beat,
    to_all: Beat,
    message: Beat,
}

struct Load {
    address: SocketAddr,
    number: u32,
    names: Topics,
    traffic: Traffic,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    /// Those who are in the midst of a message, and whose turn it is to end it.
    talkers: Vec<usize>,
    next_talker: usize,
    topics: usize,
    next_topic: usize,
    /// Publications of each topic, and to all.
    published: Vec<u64>,
    published_to_all: u64,
    remembered: usize,
    publisher: Publisher,
    asked: VecDeque<Instant>,
    worst_answer: Duration,
    messages: u64,
    faults: Faults,
    beats: Option<Beats>,
    scratch: Box<[u8]>,
}

impl Load {
    fn new(address: SocketAddr, number: u32, traffic: Traffic) -> Self {
        let poll = Poll::new().expect("there can be a poll");
        let mut publisher = Publisher::connect(address);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut publisher.channel, PUBLISHER, interest)
            .expect("a socket can be polled");
        Self {
            address,
            number,
            names: Topics::of(number),
            traffic,
            poll,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            talkers: Vec::new(),
            next_talker: 0,
            topics: 0,
            next_topic: 0,
            published: Vec::new(),
            published_to_all: 0,
            remembered: 0,
            publisher,
            asked: VecDeque::new(),
            worst_answer: Duration::ZERO,
            messages: 0,
            faults: Faults::default(),
            beats: None,
            scratch: vec![0; 256 * 1024].into(),
        }
    }

    /// While there is traffic it goes on until the next order.
    fn next_order(&mut self, orders: &Receiver<Order>) -> Option<Order> {
        while self.beats.is_some() {
            match orders.try_recv() {
                Ok(order) => return Some(order),
                Err(mpsc::TryRecvError::Disconnected) => return None,
                Err(mpsc::TryRecvError::Empty) => self.turn(),
            }
        }
        orders.recv().ok()
    }

    fn connect(&mut self, count: usize, past_listeners: usize) {
        self.topics = (count / self.traffic.listeners).max(1);
        self.published = vec![0; self.topics];
        let (mut sources, mut arriving, mut begun) = (Sources::default(), Vec::new(), 0);
        while self.clients.len() < count {
            while begun < count && arriving.len() < WINDOW {
                let (encoding, topic) = (encoding(begun), begun % self.topics);
                let hears_past = begun < past_listeners;
                let request = Client::request(encoding, topic, &self.names, hears_past).into_bytes();
                let arrival = Arrival::begin(self.address, &request, &mut sources);
                arriving.push((arrival, request, encoding, topic));
                begun += 1;
            }
            let mut place = 0;
            while let Some((arrival, request, encoding, _)) = arriving.get_mut(place) {
                match arrival.go_on(request, Greeting::Of(*encoding), &mut self.scratch) {
                    None => place += 1,
                    Some(newest) => {
                        let (arrival, _, encoding, topic) = arriving.swap_remove(place);
                        self.clients.push(Client::new(arrival.channel, encoding, topic, newest));
                    }
                }
            }
        }
        for (key, client) in self.clients.iter_mut().enumerate() {
            let registered =
                self.poll.registry().register(&mut client.socket, Token(key), Interest::READABLE);
            registered.expect("a socket can be polled");
        }
        // Who hears a stream has nothing to say.
        let most = count * self.traffic.talkers_of_20 / 20;
        self.talkers = (0..count).filter(|key| self.clients[*key].can_talk()).take(most).collect();
    }

    fn remember(&mut self, past: Past) {
        let repeated = |bytes: usize| "0123456789abcdef ".repeat(bytes.div_ceil(17));
        let text = past.bytes.map_or_else(|| TEXT.to_owned(), repeated);
        let (topic, first) = (self.names.past.clone(), self.remembered + 1);
        self.remembered += past.publications;
        let wanted = (self.remembered * past.listeners) as u64;
        let heard = |clients: &[Client]| clients.iter().map(Client::heard_of_past).sum::<u64>();
        let (mut done, before) = (0, self.publisher.answered);
        let mut sent = 0;
        while done < past.publications || heard(&self.clients) < wanted {
            assert!(self.faults.is_none(), "what was published is heard");
            if done < past.publications && sent - (self.publisher.answered - before) < PIPELINED {
                let count = LINES.min(past.publications - done);
                let lines = (done..done + count).map(|n| object(&topic, (first + n) as u64, &text));
                self.publisher.send(&Request::ndjson(&lines.collect::<String>()), 1);
                (done, sent) = (done + count, sent + 1);
            }
            self.take_what_comes(GLANCE);
        }
    }

    fn begin(&mut self) {
        for key in &self.talkers {
            self.clients[*key].begin();
        }
        self.beats = Some(Beats {
            publication: Beat::new(self.traffic.publications_per_second),
            to_all: Beat {
                period: Duration::from_secs(self.traffic.seconds_to_all.into()),
                next: Instant::now() + Duration::from_secs(self.number.into()),
            },
            message: Beat::new(self.traffic.messages_per_second),
        });
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let Some(mut beats) = self.beats.take() else { return };
        while beats.to_all.is_due(now) {
            self.published_to_all += 1;
            self.publish(&self.names.all.clone(), self.published_to_all);
        }
        while beats.publication.is_due(now) {
            let topic = self.next_topic;
            self.next_topic = (topic + 1) % self.topics;
            self.published[topic] += 1;
            self.publish(&self.names.name(topic), self.published[topic]);
        }
        while beats.message.is_due(now) && !self.talkers.is_empty() {
            let talker = &mut self.clients[self.talkers[self.next_talker]];
            self.next_talker = (self.next_talker + 1) % self.talkers.len();
            self.messages += 1;
            talker.end();
            talker.begin();
        }
        let next = beats.publication.next.min(beats.message.next);
        self.beats = Some(beats);
        self.take_what_comes(next.saturating_duration_since(now).min(GLANCE));
    }

    fn publish(&mut self, topic: &str, n: u64) {
        self.asked.push_back(Instant::now());
        self.publisher.send(&Request::json(&object(topic, n, TEXT)), 1);
    }

    /// Ends what is begun, and waits until all of it has been heard and answered.
    fn end(&mut self) -> Heard {
        self.beats = None;
        for key in &self.talkers {
            self.messages += 1;
            self.clients[*key].end();
        }
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            let missing = self.missing();
            if missing == 0 && self.asked.is_empty() {
                break;
            }
            if missing < last {
                (last, since) = (missing, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                break;
            }
            self.take_what_comes(GLANCE);
        }
        // Whatever is heard twice has had the time to come.
        self.take_what_comes(10 * GLANCE);
        for client in &self.clients {
            self.faults.lost += client.missing(self.published[client.topic], self.published_to_all);
            self.faults.unanswered += client.unanswered();
        }
        let published: u64 = self.published.iter().sum();
        let heard = self.clients.iter().map(|client| self.published[client.topic] + self.published_to_all);
        Heard {
            published: published + self.published_to_all,
            deliveries: heard.sum(),
            messages: self.messages,
            worst_answer_ms: self.worst_answer.as_secs_f64() * 1e3,
            faults: self.faults,
        }
    }

    fn missing(&self) -> u64 {
        let missing = |client: &Client| {
            client.missing(self.published[client.topic], self.published_to_all) + client.unanswered()
        };
        self.clients.iter().map(missing).sum()
    }

    fn take_what_comes(&mut self, wait: Duration) {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return,
            polled => polled.expect("the poll works"),
        }
        for event in &self.events {
            let Some(client) = self.clients.get_mut(event.token().0) else {
                let before = self.publisher.answered;
                self.publisher.flush();
                self.publisher.read(&mut self.scratch);
                for _ in before..self.publisher.answered {
                    let asked = self.asked.pop_front();
                    self.worst_answer =
                        self.worst_answer.max(asked.map_or(Duration::ZERO, |asked| asked.elapsed()));
                }
                continue;
            };
            if !client.is_gone {
                client.read(&mut self.scratch, &mut self.faults);
            }
        }
    }
}

/// Of twenty clients three hear an event stream, and three have their messages compressed.
fn encoding(number: usize) -> Encoding {
    match number % 20 {
        0..3 => Encoding::Stream,
        7 | 12 | 17 => Encoding::Compressed,
        _ => Encoding::Plain,
    }
}

/// A publication, in one line.
fn object(topic: &str, n: u64, text: &str) -> String {
    format!("{{\"topic\":\"{topic}\",\"data\":{{\"n\":{n},\"text\":\"{text}\"}}}}\n")
}

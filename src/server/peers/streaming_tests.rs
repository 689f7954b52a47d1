//! The life of event streams in virtual time: what keeps them alive, what ends them, and what they are told then.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use support::events::{Chunks, Event, Reader};

use super::*;
use crate::config::Config;
use crate::http::routes::Door;
use crate::policy::history::Publication;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::server::Service;
use crate::server::bound_socket::Address;
use crate::server::peers::Readiness;
use crate::server::terms::{Terms, terms};

#[path = "streaming_heard_tests.rs"]
mod heard;
const SECOND: Duration = Duration::from_secs(1);
const GET: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A connection, as both ends see it.
#[derive(Debug, Default)]
struct Line {
    inbound: Vec<u8>,
    /// What the client has received, in order, and when.
    received: Vec<(Duration, Vec<u8>)>,
    /// How many bytes it takes still.
    room: Option<usize>,
    has_ended: bool,
    now: Duration,
}

#[derive(Debug)]
struct Fake(Rc<RefCell<Line>>);

impl Read for Fake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inbound = &mut self.0.borrow_mut().inbound;
        let count = inbound.len().min(buffer.len());
        buffer[..count].copy_from_slice(&inbound[..count]);
        inbound.drain(..count);
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}

impl Write for Fake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        let count = line.room.unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        line.room = line.room.map(|room| room - count);
        let now = line.now;
        line.received.push((now, bytes[..count].to_vec()));
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&all)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Fake {
    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().has_ended = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.0.borrow_mut().has_ended = true;
    }
}

/// Peers, and a clock that moves only from one deadline to the next.
struct House {
    peers: Peers<Fake>,
    begin: Now,
    elapsed: Duration,
    turns: usize,
    published: u64,
    lines: Vec<Rc<RefCell<Line>>>,
}

impl House {
    fn with(flags: &str) -> Self {
        let args = ["slackwater", "--ws-ping-interval", "0"].into_iter().chain(flags.split_whitespace());
        let config = Config::read(args.map(Into::into)).unwrap();
        let address = Address::Ip("127.0.0.1:0".parse().unwrap());
        let begin = Now::read();
        let terms = terms(&config, Service::Notifications, &address, None, None);
        let peers = Peers::new(Terms { epoch: 0xbeef, ..terms }, begin);
        Self { peers, begin, elapsed: Duration::ZERO, turns: 0, published: 0, lines: vec![] }
    }

    fn now(&self) -> Now {
        Now { instant: self.begin.instant + self.elapsed, ..self.begin }
    }

    /// Connects somebody who says this; by its number it can be asked what it has heard.
    fn connect(&mut self, request: &str) -> usize {
        let line = Rc::new(RefCell::new(Line::default()));
        self.lines.push(line.clone());
        let key = self.peers.admit(Door::Public, self.now(), |_| Ok(Fake(line))).unwrap();
        assert_eq!(key, Some(self.lines.len() - 1));
        self.say(self.lines.len() - 1, request);
        self.lines.len() - 1
    }

    fn say(&mut self, who: usize, bytes: &str) {
        self.lines[who].borrow_mut().inbound.extend(bytes.as_bytes());
        self.peers.on_ready(who, Readiness::Bytes, false, self.now());
        self.turn();
    }

    fn publish(&mut self) {
        self.published += 1;
        let id = PublicationId::new(self.peers.feed.epoch(), self.published);
        let message = ServerMessage::Notification {
            id,
            topic: "notifications",
            message: "x",
            timestamp: self.now().wall,
            active_connections: 0,
        };
        let (topic, at) = (TopicName::parse("notifications").unwrap(), self.now().instant);
        self.peers.publish(Publication { topic, message: message.to_message(id), at }, self.now());
        self.turn();
    }

    /// One turn, or as many as there is work for.
    fn turn(&mut self) {
        let now = self.now();
        self.lines.iter().for_each(|line| line.borrow_mut().now = self.elapsed);
        loop {
            self.turns += 1;
            self.peers.read_unread(now);
            self.peers.keep_time(now, now.instant);
            self.peers.settle(now);
            if !self.peers.has_work() && self.peers.next_deadline().is_none_or(|at| at > now.instant) {
                break;
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        let begin = self.begin.instant;
        let since_begin = |at: Instant| at.saturating_duration_since(begin);
        while let Some(at) = self.peers.next_deadline().map(since_begin).filter(|at| *at <= end) {
            self.elapsed = at;
            self.turn();
        }
        self.elapsed = end;
    }

    /// All that somebody has been told.
    fn text(&self, who: usize) -> String {
        let line = self.lines[who].borrow();
        let received = line.received.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        String::from_utf8(received).unwrap()
    }

    /// What somebody's browser makes of it.
    fn heard(&self, who: usize) -> (Vec<Event>, Reader) {
        let text = self.text(who);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut reader = Reader::default();
        (reader.read(Chunks::default().read(body)), reader)
    }

    /// When somebody was told this.
    fn told(&self, who: usize, what: &str) -> Vec<Duration> {
        let line = self.lines[who].borrow();
        let is_so = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(what);
        line.received.iter().filter(|(_, bytes)| is_so(bytes)).map(|(at, _)| *at).collect()
    }

    fn has_ended(&self, who: usize) -> bool {
        self.lines[who].borrow().has_ended
    }

    /// How clients have departed: reasons and codes.
    fn departures(&mut self) -> Vec<(String, u16, u64)> {
        let metrics = self.peers.metrics();
        metrics.disconnects.into_iter().map(|one| (one.reason.into_owned(), one.code, one.count)).collect()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_stream_is_told_every_25_seconds_that_it_lives_unless_it_was_told_anything_and_costs_nothing_else() {
    let mut house = House::with("");
    let stream = house.connect(GET);
    house.run_for(seconds(60));
    assert_eq!(house.told(stream, ":\nid: "), [25, 50].map(seconds));
    house.publish();
    house.run_for(seconds(24));
    assert_eq!(house.heard(stream).1.comments, 3, "the first is the opening's");
    house.turns = 0;
    house.run_for(seconds(40));
    assert_eq!(house.told(stream, ":\nid: "), [25, 50, 85, 110].map(seconds));
    assert!(house.turns <= 3, "{} turns", house.turns);
    let (events, reader) = house.heard(stream);
    assert_eq!((events.len(), reader.is_between_blocks()), (1, true));
    assert_eq!(reader.last_event_id, events[0].last_event_id);
}

#[test]
fn what_a_stream_sends_is_read_and_means_nothing_not_even_that_it_lives() {
    let mut house = House::with("");
    let stream = house.connect(&GET.repeat(3));
    let told = house.text(stream);
    assert_eq!(told.matches("HTTP/1.1").count(), 1);
    house.run_for(seconds(20));
    house.say(stream, &"GET / HTTP/1.1\r\n\r\n\0".repeat(20_000));
    assert!(house.lines[stream].borrow().inbound.is_empty(), "it is read");
    assert_eq!(house.text(stream), told);
    house.run_for(seconds(5));
    assert_eq!(house.told(stream, ":\nid: "), [25].map(seconds));
}

#[test]
fn a_stream_that_takes_nothing_is_not_told_that_it_lives_and_ends_without_another_word() {
    let mut house = House::with("--write-timeout 10 --timeout-keep-alive 100");
    let stream = house.connect(GET);
    // Two bytes of the event get through.
    house.lines[stream].borrow_mut().room = Some(2);
    house.publish();
    house.run_for(seconds(9));
    assert_eq!((house.has_ended(stream), house.departures()), (false, vec![]));
    house.run_for(seconds(3));
    assert!(house.has_ended(stream));
    assert_eq!(house.departures(), [("too_slow".to_owned(), 0, 1)]);
    let (events, reader) = house.heard(stream);
    assert_eq!(events, []);
    assert!(reader.last_event_id.ends_with("-0"), "it resumes from the opening's id");
}

#[test]
fn at_an_age_a_stream_is_told_to_come_back_and_ended_at_its_moment_and_not_before() {
    let mut house = House::with("--max-connection-age 100 --drain-close-after 1000");
    let stream = house.connect(GET);
    house.run_for(seconds(89));
    assert!(!house.text(stream).contains("reconnect"));
    house.run_for(seconds(22));
    assert!(house.has_ended(stream));
    let (events, reader) = house.heard(stream);
    let [notice] = &events[..] else { panic!("{events:?}") };
    assert_eq!((notice.name.as_str(), &notice.json()["reason"]), ("reconnect", &"connection_age".into()));
    assert_eq!(notice.json()["after_ms"].as_u64(), reader.retry);
    assert_eq!(house.departures(), [("too_old".to_owned(), 0, 1)]);
}

#[test]
fn when_the_server_leaves_each_stream_is_ended_at_its_own_moment_behind_what_was_published() {
    let mut house = House::with("--drain-spread 60");
    let streams: Vec<usize> = (0..20).map(|_| house.connect(GET)).collect();
    house.publish();
    let deadline = house.now() + seconds(1000);
    house.peers.leave(house.now(), false);
    house.peers.begin_notices(house.now(), deadline);
    house.turn();
    assert!(
        streams.iter().all(|stream| !house.text(*stream).contains("reconnect")),
        "nothing is said before"
    );
    for _ in 0..60 {
        house.run_for(SECOND);
        house.publish();
    }
    let mut moments = vec![];
    for stream in streams {
        let (events, reader) = house.heard(stream);
        let [.., before, notice] = &events[..] else { panic!("{events:?}") };
        assert_eq!(notice.json()["reason"], "server_restart");
        assert_eq!(notice.last_event_id, before.last_event_id, "it resumes behind the last");
        let told = &events[..events.len() - 1];
        let ids: Vec<_> = told.iter().map(|event| event.last_event_id.clone()).collect();
        let expected: Vec<_> = (1..=ids.len()).map(|n| format!("0000beef-{n}")).collect();
        assert!(ids == expected && reader.is_between_blocks(), "{ids:?}");
        moments.extend(house.told(stream, "event: reconnect"));
    }
    house.run_for(seconds(2));
    moments.sort_unstable();
    let halves = moments.iter().filter(|moment| **moment < seconds(30)).count();
    assert!(moments.len() == 20 && (9..=11).contains(&halves), "{moments:?}");
    assert_eq!(house.departures(), [("drained".to_owned(), 0, 20)]);
}

#[test]
fn whoever_asks_for_a_stream_while_the_server_leaves_is_told_its_moment_and_not_refused() {
    let mut house = House::with("--drain-spread 60");
    let [new, head, back] = [(); 3].map(|()| house.connect(""));
    let deadline = house.now() + seconds(1000);
    house.peers.leave(house.now(), false);
    house.peers.begin_notices(house.now(), deadline);
    for (who, method, field) in [(new, "GET", ""), (head, "HEAD", ""), (back, "GET", "Last-Event-ID: x\r\n")]
    {
        house.say(who, &format!("{method} /events HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"));
        assert!(house.has_ended(who) && house.text(who).contains("\r\nContent-Type: text/event-stream"));
        let (events, reader) = house.heard(who);
        assert_eq!((events, reader.retry.is_some()), (vec![], who != head));
        assert!(reader.retry.is_none_or(|retry| (1000..=60_000).contains(&retry)), "{reader:?}");
        assert_eq!(reader.last_event_id.is_empty(), who != new, "only who has none is given an id");
    }
    let metrics = house.peers.metrics();
    let refused: Vec<_> =
        metrics.requests_refused.iter().map(|one| (&*one.what, &*one.why, one.count)).collect();
    assert_eq!((refused, metrics.connections_total), (vec![("/events", "draining", 3)], 0));
}

#[test]
fn at_the_end_of_a_drain_without_notices_streams_are_told_when_to_come_back_and_nothing_else() {
    let mut house = House::with("--no-drain-notice");
    let streams = [(); 3].map(|()| house.connect(GET));
    house.peers.leave(house.now(), false);
    house.peers.begin_notices(house.now(), house.now() + seconds(1000));
    house.run_for(seconds(100));
    assert!(streams.iter().all(|stream| !house.has_ended(*stream)));
    house.peers.say_farewell(house.now());
    house.turn();
    let mut waits = vec![];
    for stream in streams {
        assert!(house.has_ended(stream));
        let (events, reader) = house.heard(stream);
        let (Some(retry), []) = (reader.retry, &events[..]) else { panic!("{events:?} {reader:?}") };
        let end = format!("\nretry: {retry}\nid: 0000beef-0\n\n\r\n0\r\n\r\n");
        assert!(house.text(stream).ends_with(&end));
        waits.push(retry);
    }
    waits.dedup();
    assert!(waits.len() == 3 && waits.iter().all(|wait| (1000..3000).contains(wait)), "{waits:?}");
}

#[test]
fn however_a_stream_takes_what_it_is_told_nothing_is_missing_up_to_its_end_or_behind_its_last_id() {
    use proptest::prelude::*;
    let steps = prop::collection::vec((0..4_u64, prop::option::of(0..1500_usize)), 1..40);
    let (ended, whole) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let outcome = runner.run(&(steps, 0..40_usize), |(steps, leaves_at)| {
        let mut house = House::with("--outbox-limit 1024 --write-timeout 1 --drain-spread 2");
        let stream = house.connect(GET);
        house.lines[stream].borrow_mut().room = Some(0);
        for (step, (publications, room)) in steps.iter().enumerate() {
            (0..*publications).for_each(|_| house.publish());
            if let Some(room) = room {
                house.lines[stream].borrow_mut().room.replace(*room);
                house.peers.on_ready(stream, Readiness::Room, true, house.now());
                house.turn();
            }
            if step == leaves_at {
                house.peers.leave(house.now(), false);
                house.peers.begin_notices(house.now(), house.now() + seconds(1000));
            }
            // An end leaves it a second to take something more.
            house.run_for(SECOND / 4);
            if house.has_ended(stream) {
                break;
            }
        }
        let (events, reader) = house.heard(stream);
        let ids = |events: &[Event]| {
            let messages = events.iter().filter(|event| event.name == "message");
            messages.map(|event| event.last_event_id.clone()).collect::<Vec<_>>()
        };
        let mut heard = ids(&events);
        if house.has_ended(stream) {
            ended.set(ended.get() + 1);
            let is_told = events.last().is_some_and(|event| event.name == "reconnect");
            whole.set(whole.get() + usize::from(is_told));
        }
        // A successor would bring it the rest; here that is a server that has not begun to leave.
        let mut successor = House::with("");
        (0..house.published).for_each(|_| successor.publish());
        let field = format!("\r\nLast-Event-ID: {}\r\n\r\n", reader.last_event_id);
        let back = successor.connect(&GET.replace("\r\n\r\n", &field));
        heard.extend(ids(&successor.heard(back).0));
        let expected: Vec<_> = (1..=house.published).map(|n| format!("0000beef-{n}")).collect();
        prop_assert_eq!(heard, expected);
        Ok(())
    });
    outcome.unwrap();
    assert!(ended.get() > 10 && whole.get() > 10 && ended > whole, "{ended:?} {whole:?}");
}

//! Whatever the line goes through and whenever a worker joins: all know the same of it, or a later part of that.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::tests::{ask, relay_with, turn};
use super::*;
use crate::message::Message;
use crate::policy::history::Publication;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::link::{self, Relayed};

/// What a worker makes of what it is told.
struct Worker {
    end: Rc<RefCell<FarEnd>>,
    line: Line,
    /// How often its clients, of whom it has some once it has caught up, are told of a gap.
    gaps: u64,
    has_caught_up: bool,
}

impl Worker {
    fn join(relay: &mut Relay<Wire>, id: WorkerId) -> Self {
        let end = FarEnd::open();
        relay.admit(id, id, id, Wire(end.clone()));
        let limits = HistoryLimits { publications: 1000, bytes: 1 << 20, age: Duration::from_secs(1000) };
        Self { end, line: Line::empty(99, limits), gaps: 0, has_caught_up: false }
    }

    fn hear(&mut self, now: Now) {
        let octets = std::mem::take(&mut self.end.borrow_mut().taken);
        let mut input = &octets[..];
        while let Some(message) = link::next::<ToWorker<'_>>(&mut input).unwrap() {
            match message {
                ToWorker::Line(continuation) => {
                    let is_gap = self.line.go_on(continuation).is_gap();
                    self.gaps += u64::from(is_gap && self.has_caught_up);
                }
                ToWorker::Publication(Relayed { topic, message, .. }) => {
                    let message = Message::from_octets(message).unwrap();
                    let topic = TopicName::parse(topic).unwrap();
                    self.line.history_mut().push(Publication { topic, message, at: now.instant });
                }
                ToWorker::CaughtUp => self.has_caught_up = true,
                _ => {}
            }
        }
        self.end.borrow_mut().taken = input.to_vec();
    }

    /// What is behind the position where it has begun, or behind a later one.
    fn messages(line: &Line, after: u64) -> Vec<Message> {
        line.history().after(after).map(|(_, kept)| kept.message.clone()).collect()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Publish(usize),
    /// Behind an id of the present epoch, or behind the one ahead of the newest epochs.
    Begin(u64),
    BeginBefore,
    Restart(u64),
    Join,
    /// The newest worker takes so much.
    Take(usize),
    Turn,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..40usize).prop_map(Event::Publish),
        2 => (0..30u64).prop_map(Event::Begin),
        1 => Just(Event::BeginBefore),
        1 => (0..9u64).prop_map(Event::Restart),
        2 => Just(Event::Join),
        2 => (0..200_000usize).prop_map(Event::Take),
        4 => Just(Event::Turn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_workers_know_the_same_line_whatever_it_goes_through(events in prop::collection::vec(event(), 1..40)) {
        let now = Now::read();
        let (mut relay, publishers) = relay_with(1, now);
        let (mut workers, mut gaps, mut epoch) = (vec![Worker::join(&mut relay, 1)], 0, 7);
        turn(&mut relay, now);
        workers[0].hear(now);
        for event in events {
            epoch += 1;
            let newest = relay.publications.line().newest_id();
            let present = |position| Continuation::Epoch { epoch, after: PublicationId::new(newest.epoch(), position), is_lossy: false };
            let continuation = match event {
                Event::Publish(count) => {
                    ask(&publishers[0], count, 3000);
                    relay.on_ready(0, now);
                    relay.listen(now);
                    None
                }
                Event::Begin(back) => Some(present(newest.position().saturating_sub(back))),
                Event::BeginBefore => {
                    let first = relay.publications.line().epochs().runs()[0].id;
                    Some(Continuation::Epoch { epoch, after: first, is_lossy: false })
                }
                Event::Restart(first) => Some(Continuation::Restart(PublicationId::new(epoch, first))),
                Event::Join => {
                    let id = u32::try_from(workers.len()).unwrap() + 1;
                    workers.push(Worker::join(&mut relay, id));
                    workers.last().unwrap().end.borrow_mut().room = 0;
                    None
                }
                Event::Take(room) => {
                    workers.last().unwrap().end.borrow_mut().room = room;
                    relay.on_ready(u32::try_from(workers.len()).unwrap(), now);
                    None
                }
                Event::Turn => {
                    turn(&mut relay, now);
                    None
                }
            };
            let is_gap = continuation.is_some_and(|continuation| relay.go_on_with(continuation).is_gap());
            gaps += u64::from(is_gap);
            workers.iter_mut().for_each(|worker| worker.hear(now));
        }
        for (id, worker) in (1..).zip(&workers) {
            worker.end.borrow_mut().room = usize::MAX;
            relay.on_ready(id, now);
        }
        while relay.has_work(now.instant) {
            turn(&mut relay, now);
            workers.iter_mut().for_each(|worker| worker.hear(now));
        }
        let line = relay.publications.line();
        for worker in &workers {
            prop_assert!(worker.has_caught_up);
            prop_assert_eq!((worker.line.newest(), worker.line.epochs()), (line.newest(), line.epochs()));
            let after = *worker.line.history().positions().start() - 1;
            prop_assert!(line.history().reaches(after));
            prop_assert_eq!(Worker::messages(&worker.line, after), Worker::messages(line, after));
        }
        prop_assert_eq!((workers[0].gaps, relay.counted().gaps), (gaps, gaps));
    }
}

#[test]
fn an_epoch_comes_between_the_publications_that_it_divides() {
    let now = Now::read();
    let (mut relay, ends) = relay_with(1, now);
    ask(&ends[0], 2, 1);
    relay.on_ready(0, now);
    relay.listen(now);
    relay.go_on_with(Continuation::Epoch { epoch: 8, after: PublicationId::new(7, 1), is_lossy: false });
    ask(&ends[0], 1, 1);
    relay.on_ready(0, now);
    turn(&mut relay, now);
    let octets = std::mem::take(&mut ends[0].borrow_mut().taken);
    let (mut input, mut told) = (&octets[..], String::new());
    while let Some(message) = link::next::<ToWorker<'_>>(&mut input).unwrap() {
        told.push(match message {
            ToWorker::Line(_) => 'E',
            ToWorker::Publication(_) => 'p',
            ToWorker::Published(_) => '-',
            other => panic!("told {other:?}"),
        });
    }
    assert_eq!(told.replace('-', ""), "ppEp");
}

//! A held worker in virtual time: its supervisor and its peers are the ends of sockets, and say what they are to say.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;
use support::handshake;

use super::*;
use crate::config::Config;
use crate::http::door::Door;
use crate::policy::drain::Drain;
use crate::policy::epochs::Epochs;
use crate::policy::heard::Look;
use crate::policy::line::Continuation;
use crate::server::Service;
use crate::server::address::Address;
use crate::server::clock::Now;
use crate::server::far_end::{FarEnd, Wire};
use crate::server::peers::Readiness;
use crate::server::terms::terms;
use crate::wire::link::{ToWorker, encode, next};
use crate::wire::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);
const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HALF: &str = "POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab";
const MOVE: ToWorker<'static> = ToWorker::Move { by: i64::MAX, format: 1 };

fn begin() -> ToWorker<'static> {
    ToWorker::Line(Continuation::Begin { epochs: Epochs::of(7), newest: 0 })
}

pub(in crate::server::turn) struct Story {
    turn: Turn<Wire>,
    now: Now,
    link: Rc<RefCell<FarEnd>>,
    pub peers: Vec<Rc<RefCell<FarEnd>>>,
}

impl Story {
    /// It serves.
    pub fn serving(flags: &str) -> Self {
        let args = ["slackwater", "--ws-ping-interval", "0"].into_iter().chain(flags.split_whitespace());
        let config = Config::read(args.map(Into::into)).unwrap();
        let address = Address::Ip("127.0.0.1:0".parse().unwrap());
        let terms = terms(&config, Service::Notifications, &address, None, None);
        let (link, now) = (FarEnd::open(), Now::read());
        let drain = Drain::new(30 * SECOND, 5 * SECOND);
        let turn = Turn::new(terms, Some(Wire(link.clone())), drain, now);
        let mut story = Self { turn, now, link, peers: vec![] };
        story.hear(&[begin(), ToWorker::CaughtUp, ToWorker::Serve]);
        story.said();
        story
    }

    /// Takes turns as long as there is work; the effects but for those of a drain.
    fn run(&mut self, mut ready: Vec<Ready>) -> Vec<Effect> {
        let mut effects = vec![];
        loop {
            let look = Look { began: self.now.instant, events: ready.len(), most: usize::MAX };
            self.turn.on_look(look, self.peers.len());
            self.turn.handle(std::mem::take(&mut ready), [], self.now);
            while let Some(effect) = self.turn.poll() {
                if effect == Effect::Resume {
                    self.turn.resume();
                }
                effects.push(effect);
            }
            if self.turn.next_timeout() != Some(Duration::ZERO) {
                return effects;
            }
        }
    }

    pub fn hear(&mut self, words: &[ToWorker<'_>]) -> Vec<Effect> {
        let mut octets = BytesMut::new();
        words.iter().for_each(|word| encode(word, &mut octets));
        self.link.borrow_mut().said.extend(&octets);
        self.run(vec![Ready::Supervisor])
    }

    /// What the supervisor was told, by name.
    pub fn said(&self) -> Vec<String> {
        let octets = std::mem::take(&mut self.link.borrow_mut().taken);
        let mut input = &octets[..];
        let all = std::iter::from_fn(|| next::<ToSupervisor>(&mut input).unwrap());
        let name = |said: ToSupervisor| format!("{said:?}").split([' ', '(']).next().unwrap().to_owned();
        all.map(name).filter(|name| !["Clients", "Metrics"].contains(&name.as_str())).collect()
    }

    /// What it has told the supervisor last of what it has counted; says nothing else.
    pub fn counted(&self) -> Option<Box<Metrics>> {
        let octets = std::mem::take(&mut self.link.borrow_mut().taken);
        let mut input = &octets[..];
        let all = std::iter::from_fn(|| next::<ToSupervisor>(&mut input).unwrap());
        let metrics = all.filter_map(|said| match said {
            ToSupervisor::Metrics(metrics) => Some(metrics),
            _ => None,
        });
        metrics.last()
    }

    pub fn connect(&mut self, request: &str) -> usize {
        let end = FarEnd::open();
        self.peers.push(end.clone());
        self.turn.admit(Door::Public, |_| Ok(Wire(end))).unwrap();
        self.say(self.peers.len() - 1, request);
        self.peers.len() - 1
    }

    fn say(&mut self, key: usize, said: &str) {
        self.peers[key].borrow_mut().said.extend(said.as_bytes());
        self.run(vec![Ready::Peer { key, readiness: Readiness::Bytes, has_room: false }]);
    }

    /// How many answers somebody has been given.
    fn answers(&self, key: usize) -> usize {
        String::from_utf8_lossy(&self.peers[key].borrow().taken).matches("HTTP/1.1 ").count()
    }

    fn after(&mut self, duration: Duration) {
        self.now.instant += duration;
        self.run(vec![]);
    }
}

#[test]
fn a_held_worker_hears_only_who_is_in_the_midst_of_a_request_and_says_when_nobody_is() {
    let mut story = Story::serving("");
    let (idle, busy) = (story.connect(HEALTHZ), story.connect(HALF));
    assert_eq!(story.answers(idle), 1);
    story.hear(&[ToWorker::WindUp]);
    assert_eq!(story.said(), [""; 0]);
    story.hear(&[ToWorker::Hold]);
    assert!(!story.turn.may_accept());
    story.say(idle, HEALTHZ);
    story.say(busy, "cd");
    assert_eq!((story.answers(idle), story.answers(busy)), (1, 0));
    assert_eq!(story.said(), ["Publish"]);
    story.hear(&[ToWorker::Refused]);
    assert_eq!((story.answers(idle), story.answers(busy), story.said()), (1, 1, vec!["Held".to_owned()]));
    assert_eq!(story.turn.next_timeout(), None, "it spins");
    assert_eq!(story.hear(&[ToWorker::Resume]), [Effect::Resume]);
    assert!(story.turn.may_accept());
    assert_eq!((story.answers(idle), story.said()), (2, vec![]));
}

#[test]
fn a_request_is_read_to_its_end_though_more_of_it_has_come_than_one_turn_reads() {
    let mut story = Story::serving("");
    let (busy, other) = (story.connect(""), story.connect(""));
    let body = "x".repeat(250_000);
    let head = format!(
        "POST /publish?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let many = HEALTHZ.repeat(5_000);
    for (key, said) in [(busy, head + &body), (other, many)] {
        story.peers[key].borrow_mut().said.extend(said.as_bytes());
    }
    let mut octets = BytesMut::new();
    encode(&ToWorker::Hold, &mut octets);
    story.link.borrow_mut().said.extend(&octets);
    let ready = |key| Ready::Peer { key, readiness: Readiness::Bytes, has_room: false };
    story.run(vec![ready(busy), ready(other), Ready::Supervisor]);
    let answers = story.answers(other);
    assert!((1..5_000).contains(&answers), "only who is in the midst of a request is read on: {answers}");
    assert_eq!(story.said(), ["Publish"]);
    story.hear(&[ToWorker::Refused]);
    assert_eq!((story.answers(busy), story.said()), (1, vec!["Held".to_owned()]));
    story.hear(&[ToWorker::Resume]);
    assert_eq!(story.answers(other), 5_000);
}

#[test]
fn one_that_was_stopped_meanwhile_and_hears_at_once_that_it_is_to_move_and_to_go_on_sends_nothing() {
    for word in [MOVE, ToWorker::Park { format: 1 }] {
        let mut story = Story::serving("");
        story.hear(&[ToWorker::Hold]);
        assert_eq!(story.hear(&[word, ToWorker::Resume]), [Effect::Resume]);
        assert!(story.turn.may_accept());
        // That is the next one's who takes over.
        story.hear(&[ToWorker::WindUp, ToWorker::Hold]);
        let effects = story.hear(&[MOVE, ToWorker::Resume, ToWorker::WindUp, MOVE]);
        assert_eq!(effects, [Effect::Resume, Effect::Move { by: i64::MAX, format: 1 }]);
    }
}

#[test]
fn it_is_told_to_park_as_it_is_told_to_move() {
    let mut story = Story::serving("");
    story.connect(HEALTHZ);
    story.hear(&[ToWorker::WindUp, ToWorker::Hold]);
    assert_eq!(story.hear(&[ToWorker::Park { format: 1 }]), [Effect::ParkPart { format: 1 }]);
    assert!(story.turn.is_held());
}

#[test]
fn it_winds_up_once_no_request_is_half_read_and_serves_on_until_it_is_held() {
    let mut story = Story::serving("");
    let (other, busy) = (story.connect(""), story.connect(HALF));
    story.hear(&[ToWorker::WindUp]);
    story.say(other, HEALTHZ);
    assert_eq!((story.answers(other), story.said()), (1, vec![]));
    story.say(busy, "cd");
    assert_eq!(story.said(), ["Publish", "WoundUp"]);
    story.say(other, HEALTHZ);
    assert_eq!(story.answers(other), 2);
}

#[test]
fn nobody_s_time_is_over_while_it_is_held_and_what_was_said_by_then_counts() {
    let mut story = Story::serving("--timeout-keep-alive 5");
    let (silent, heard) = (story.connect(HEALTHZ), story.connect(HEALTHZ));
    story.hear(&[ToWorker::WindUp, ToWorker::Hold]);
    story.say(heard, HEALTHZ);
    story.after(20 * SECOND);
    assert!([silent, heard].iter().all(|key| !story.peers[*key].borrow().has_ended));
    story.hear(&[ToWorker::Resume]);
    story.after(SECOND);
    let has_ended = [silent, heard].map(|key| story.peers[key].borrow().has_ended);
    assert_eq!((has_ended, story.answers(heard)), ([true, false], 2));
}

#[test]
fn what_has_come_back_from_one_that_has_ended_is_parted_with_once_all_else_is_another_s() {
    let mut story = Story::serving("");
    story.connect(&handshake("/ws"));
    story.hear(&[ToWorker::Hold, MOVE]);
    story.turn.say_moved(1);
    story.turn.resume();
    assert_eq!(story.hear(&[ToWorker::Commit]), [Effect::Commit]);
    story.turn.part_with(&[], Drain::new(30 * SECOND, 5 * SECOND));
    let effects = story.hear(&[ToWorker::Commit]);
    assert!(story.turn.is_leaving() && !effects.contains(&Effect::Commit), "once is enough: {effects:?}");
}

#[test]
fn without_a_supervisor_a_held_worker_leaves_and_one_that_has_moved_touches_nobody() {
    for has_moved in [false, true] {
        let mut story = Story::serving("");
        let client = story.connect(&handshake("/ws"));
        let told = story.peers[client].borrow().taken.len();
        story.hear(&[ToWorker::Hold]);
        assert_eq!(story.hear(&[MOVE]), [Effect::Move { by: i64::MAX, format: 1 }]);
        if has_moved {
            story.turn.say_moved(1);
            story.run(vec![]);
            assert_eq!(story.said(), ["Held", "Moved"]);
        }
        story.link.borrow_mut().is_closed = true;
        let effects = story.run(vec![Ready::Supervisor]);
        assert_eq!(effects.contains(&Effect::Vanish), has_moved, "{effects:?}");
        assert_eq!((effects.contains(&Effect::Resume), story.turn.is_leaving()), (!has_moved, !has_moved));
        let is_untouched = story.peers[client].borrow().taken.len() == told;
        assert_eq!(is_untouched, has_moved, "the other is asked to reconnect");
    }
}

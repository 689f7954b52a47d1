//! One who publishes on any machine, with and without keys, and asks again elsewhere where a key makes that harmless.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::draw::SECOND;
use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::Line;

const TOPICS: [&str; 6] = ["notifications", "orders/1", "orders/2", "orders/eu/7", "news", "elsewhere"];

/// An answer comes within that, whatever happens to the engine: two connections may have to be given up first.
const ANSWER_LIMIT: Duration = Duration::from_secs(12);

/// What has come of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Published(Vec<Id>),
    /// It was said that nothing was.
    Refused,
    /// It was said that nobody knows, or that no replica has it.
    Unknown,
    /// The machine has died.
    Cut,
}

#[derive(Debug)]
pub struct Request {
    /// Topic and token of each publication.
    pub drafts: Vec<(String, u64)>,
    pub has_key: bool,
    bytes: Vec<u8>,
    pub outcomes: Vec<(Duration, Outcome)>,
}

#[derive(Debug)]
pub struct Author {
    random: Random,
    pub requests: Vec<Request>,
    /// The request that is under way, where, and since when.
    visit: Option<(usize, Rc<RefCell<Line>>, Duration)>,
    again: Option<usize>,
    pub next_act: Duration,
    pause: usize,
    next_token: u64,
    pub has_finished: bool,
    /// Uses keys.
    pub key_percent: usize,
}

impl Author {
    /// So many milliseconds pass between two requests, at most.
    pub fn new(random: Random, number: u64, pause: usize) -> Self {
        Self {
            random,
            requests: Vec::new(),
            visit: None,
            again: None,
            next_act: Duration::ZERO,
            pause,
            next_token: number * 1_000_000,
            has_finished: false,
            key_percent: 50,
        }
    }

    /// Publishes once more.
    pub fn say_last(&mut self, now: Duration) {
        let request = self.draw_next();
        self.requests.push(request);
        (self.again, self.next_act) = (Some(self.requests.len() - 1), now);
    }

    pub fn wants_to_come(&self, now: Duration) -> bool {
        self.visit.is_none() && self.next_act <= now && !(self.has_finished && self.again.is_none())
    }

    pub fn is_done(&self) -> bool {
        self.has_finished && self.visit.is_none() && self.again.is_none()
    }

    /// All that it was told is published.
    pub fn published(&self) -> impl Iterator<Item = Id> {
        let outcomes = self.requests.iter().flat_map(|request| &request.outcomes);
        outcomes
            .flat_map(|(_, outcome)| if let Outcome::Published(ids) = outcome { &ids[..] } else { &[] })
            .copied()
    }

    pub fn next_time(&self) -> Duration {
        if self.is_done() || self.visit.is_some() { Duration::MAX } else { self.next_act }
    }

    /// Comes with a request: the line to connect.
    pub fn come(&mut self, now: Duration) -> Rc<RefCell<Line>> {
        let nth = self.again.take().unwrap_or_else(|| {
            let request = self.draw_next();
            self.requests.push(request);
            self.requests.len() - 1
        });
        let line = Rc::new(RefCell::new(Line::new(self.random.fork(), 70_000)));
        line.borrow_mut().send(&self.requests[nth].bytes);
        self.visit = Some((nth, line.clone(), now));
        line
    }

    fn draw_next(&mut self) -> Request {
        let random = &mut self.random;
        let count = random.pick(&[1, 1, 1, 2, 5]);
        let mut drafts = Vec::new();
        for _ in 0..count {
            self.next_token += 1;
            drafts.push((random.pick(&TOPICS).to_owned(), self.next_token));
        }
        let has_key = random.chance(self.key_percent);
        // A key of the whole request, or one of each object.
        let has_ids = has_key && random.chance(40);
        let pad = "x".repeat(random.pick(&[0, 10, 300]));
        let object = |(topic, token): &(String, u64)| {
            let mut object = json!({ "topic": topic, "data": { "n": token, "pad": pad } });
            if has_ids {
                object["id"] = Value::from(format!("object-{token}"));
            }
            object
        };
        let body = match &drafts[..] {
            [one] => object(one).to_string(),
            several => Value::from_iter(several.iter().map(object)).to_string(),
        };
        let field = if has_key && !has_ids {
            format!("Idempotency-Key: request-{}\r\n", drafts[0].1)
        } else {
            String::new()
        };
        let head = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let bytes = format!("{head}{field}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
        Request { drafts, has_key, bytes, outcomes: Vec::new() }
    }

    /// Takes in the answer. It comes in time, unless the machine `is_stopped`.
    pub fn on_turn(&mut self, now: Duration) {
        let Some((nth, line, since)) = &self.visit else { return };
        let mut borrowed = line.borrow_mut();
        borrowed.take(usize::MAX);
        let has_failed = borrowed.failure.is_some();
        let outcome = match &borrowed.ear.heard[..] {
            [] if has_failed => Outcome::Cut,
            [] => {
                assert!(
                    now - *since < ANSWER_LIMIT,
                    "since {since:?} no answer to {:?}",
                    self.requests[*nth].drafts
                );
                return;
            }
            [(_, Heard::Response { status, body, .. })] => read(*status, body),
            other => panic!("an author heard {other:?}"),
        };
        borrowed.end();
        drop(borrowed);
        let nth = *nth;
        self.visit = None;
        let request = &mut self.requests[nth];
        // Anew in any case, where that is harmless: the answer may have been lost on the way.
        let is_lost = self.random.chance(10);
        let is_unsure = is_lost || !matches!(outcome, Outcome::Published(_));
        request.outcomes.push((now, outcome));
        let asks_again = request.has_key && is_unsure && request.outcomes.len() < 20;
        self.again = asks_again.then_some(nth);
        self.next_act = now + self.random.millis(1..self.pause);
        if asks_again && self.random.chance(20) {
            self.next_act += SECOND;
        }
    }
}

fn read(status: u16, body: &[u8]) -> Outcome {
    let json: Value = serde_json::from_slice(body).expect("an answer is JSON");
    if status == 503 {
        let text = json.to_string();
        return match (text.contains("nothing was published"), text.contains("not known")) {
            (true, false) => Outcome::Refused,
            (false, true) => Outcome::Unknown,
            _ if text.contains("no replica") => Outcome::Unknown,
            _ => panic!("{text}"),
        };
    }
    assert_eq!(status, 200, "{json}");
    let ids = match (&json["id"], &json["ids"]) {
        (Value::String(_), Value::Null) => vec![json["id"].clone()],
        (_, Value::Array(ids)) => ids.clone(),
        _ => panic!("no ids: {json}"),
    };
    let ids = ids.iter().map(|id| Id::read(id.as_str().expect("an id is text")).expect("an id"));
    Outcome::Published(ids.collect())
}

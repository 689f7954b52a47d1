//! One who publishes over HTTP: keeps its connection, asks ahead, speaks in every form that is understood, is cut off
//! before the answer, and asks again where a key makes that harmless.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::socket::Line;
use crate::truth::Truth;
use crate::verdict::Tally;

pub const TOPICS: [&str; 7] =
    ["notifications", "orders/1", "orders/2", "orders/eu/7", "orders/eu/8", "news", "elsewhere"];

/// One request, however often it was sent.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
    /// Topic and token of each publication, in order.
    drafts: Vec<(String, u64)>,
    has_key: bool,
    /// The status that it deserves, where nothing may be published.
    refused: Option<u16>,
    answer: Option<Vec<Id>>,
    /// The server of each attempt.
    attempts: Vec<usize>,
}

#[derive(Debug)]
struct Visit {
    line: Rc<RefCell<Line>>,
    /// Requests that are not answered yet, oldest first.
    outstanding: VecDeque<usize>,
    /// The rest of what is being sent, and when it goes.
    rest: Option<(Duration, Vec<u8>)>,
    reacted: usize,
    /// It will be cut off before it reads another answer.
    is_doomed: bool,
    server: usize,
}

#[derive(Debug)]
pub struct Publisher {
    random: Random,
    requests: Vec<Request>,
    again: VecDeque<usize>,
    visit: Option<Visit>,
    pub next_act: Duration,
    pause_millis: usize,
    largest: usize,
    next_token: u64,
    /// Asks for nothing new.
    pub has_finished: bool,
}

impl Publisher {
    pub fn new(mut random: Random, number: u64, largest: usize) -> Self {
        Self {
            requests: Vec::new(),
            again: VecDeque::new(),
            visit: None,
            next_act: random.millis(0..500),
            pause_millis: if largest < 1000 { random.pick(&[50, 300]) } else { random.pick(&[200, 1000]) },
            largest,
            next_token: number * 1_000_000,
            has_finished: false,
            random,
        }
    }

    pub fn next_time(&self) -> Duration {
        let rest = self.visit.as_ref().and_then(|visit| visit.rest.as_ref()).map(|(at, _)| *at);
        self.next_act.min(rest.unwrap_or(Duration::MAX))
    }

    /// Does what is due at this server; the line to connect, if it needs one.
    pub fn act(&mut self, server: usize, now: Duration) -> Option<Rc<RefCell<Line>>> {
        if let Some(visit) = &mut self.visit
            && let Some((_, rest)) = visit.rest.take_if(|(at, _)| *at <= now)
        {
            visit.line.borrow_mut().send(&rest);
        }
        if self.next_act > now {
            return None;
        }
        self.next_act = now + self.random.millis(1..self.pause_millis);
        if self.has_finished && self.again.is_empty() {
            self.next_act = Duration::MAX;
            if let Some(visit) = self.visit.as_ref().filter(|visit| visit.outstanding.is_empty()) {
                visit.line.borrow_mut().end();
            }
            return None;
        }
        if self.visit.as_ref().is_some_and(|visit| visit.rest.is_some() || visit.outstanding.len() > 20) {
            return None;
        }
        let newcomer = self.visit.is_none().then(|| {
            let capacity = self.random.pick(&[100, 1000, 70_000]);
            let line = Rc::new(RefCell::new(Line::new(self.random.fork(), capacity)));
            self.visit = Some(Visit {
                line: line.clone(),
                outstanding: VecDeque::new(),
                rest: None,
                reacted: 0,
                is_doomed: false,
                server,
            });
            line
        });
        self.ask(now);
        newcomer
    }

    fn ask(&mut self, now: Duration) {
        let mut bytes = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 1, 2, 5]) {
            let nth = self.again.pop_front().unwrap_or_else(|| {
                let request = self.draw();
                self.requests.push(request);
                self.requests.len() - 1
            });
            let visit = self.visit.as_mut().expect("connected");
            self.requests[nth].attempts.push(visit.server);
            visit.outstanding.push_back(nth);
            bytes.extend(&self.requests[nth].bytes);
            if self.has_finished && self.again.is_empty() {
                break;
            }
        }
        let visit = self.visit.as_mut().expect("connected");
        if self.random.chance(25) {
            let rest = bytes.split_off(self.random.below(bytes.len()));
            visit.rest = Some((now + self.random.millis(0..30), rest));
        }
        visit.is_doomed |= !self.has_finished && self.random.chance(10);
        visit.line.borrow_mut().send(&bytes);
    }

    /// Takes the answers in, or is cut off before it can.
    pub fn on_turn(&mut self, now: Duration) {
        let Some(visit) = &mut self.visit else { return };
        let mut line = visit.line.borrow_mut();
        if visit.is_doomed && visit.rest.is_none() {
            line.fail(ErrorKind::ConnectionReset);
        } else {
            line.take(usize::MAX);
        }
        let read_bytes = line.read_bytes;
        while let Some((_, heard)) = line.ear.heard.get(visit.reacted).filter(|(end, _)| *end <= read_bytes) {
            visit.reacted += 1;
            let Heard::Response { status, body, .. } = heard else { panic!("a publisher heard {heard:?}") };
            let Some(nth) = visit.outstanding.pop_front() else {
                assert_eq!(*status, 408, "an answer to nothing");
                continue;
            };
            let request = &mut self.requests[nth];
            match (status, request.refused) {
                (200, None) => request.take_answer(body),
                (503, _) => self.again.push_back(nth),
                // It was cut off by its own hesitation.
                (408, _) => {}
                (status, refused) => assert_eq!(Some(*status), refused, "{}", String::from_utf8_lossy(body)),
            }
        }
        let is_over = line.failure.is_some() || line.outbound_ended || line.dropped;
        drop(line);
        if is_over {
            let visit = self.visit.take().expect("just seen");
            visit.line.borrow_mut().end();
            self.again.extend(visit.outstanding.into_iter().filter(|nth| self.requests[*nth].has_key));
            self.next_act = self.next_act.min(now + Duration::from_millis(50));
        }
    }

    pub fn is_done(&self) -> bool {
        self.has_finished && self.again.is_empty() && self.visit.is_none()
    }

    fn draw(&mut self) -> Request {
        let form = self.random.below(12);
        let count = if matches!(form, 4..9) { self.random.within(1..8) } else { 1 };
        let mut drafts: Vec<(String, u64)> = Vec::new();
        for _ in 0..count {
            self.next_token += 1;
            drafts.push((self.random.pick(&TOPICS).to_owned(), self.next_token));
        }
        let (mut query, mut content_type) = (String::new(), "application/json");
        let mut object_key = false;
        let pad = |random: &mut Random| {
            let most = if random.chance(25) { self.largest } else { 100 };
            "x".repeat(random.below(most))
        };
        let object = |random: &mut Random, (topic, token): &(String, u64)| json!({ "topic": topic, "data": { "n": token, "pad": pad(random) } });
        let random = &mut self.random;
        let body = match form {
            0 => {
                object_key = random.chance(30);
                let mut object = object(random, &drafts[0]);
                if object_key {
                    object["id"] = Value::from(format!("key-{}", drafts[0].1));
                }
                object.to_string()
            }
            1..4 | 9.. => {
                (query, content_type) = (format!("?topic={}", drafts[0].0), "text/plain");
                format!("{} {}", drafts[0].1, pad(random))
            }
            4..6 => {
                content_type = "application/x-ndjson";
                let lines: Vec<String> = drafts.iter().map(|d| object(random, d).to_string()).collect();
                lines.join("\n")
            }
            6 => Value::from_iter(drafts.iter().map(|draft| object(random, draft))).to_string(),
            7 => {
                let (token, mut topics) = (drafts[0].1, TOPICS.to_vec());
                topics.truncate(random.within(1..TOPICS.len()));
                drafts = topics.iter().map(|topic| ((*topic).to_owned(), token)).collect();
                json!({ "topics": topics, "data": { "n": token, "pad": pad(random) } }).to_string()
            }
            8 => {
                // The last line is wrong: nothing of it may be published.
                content_type = "application/x-ndjson";
                let wrong = random.pick(&["{\"data\":", "{\"topic\":\"no topic\",\"data\":1}"]);
                drafts.iter().map(|d| object(random, d).to_string() + "\n").collect::<String>() + wrong
            }
        };
        let refused = (form == 8).then(|| if body.ends_with(':') { 400 } else { 422 });
        let header_key = random.chance(50);
        let key =
            if header_key { format!("Idempotency-Key: key-{}\r\n", drafts[0].1) } else { String::new() };
        let (framing, body) = frame_body(random, &body);
        let head = format!(
            "POST /publish{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n{key}{framing}\r\n"
        );
        let bytes = [head.as_bytes(), &body].concat();
        let has_key = header_key || object_key;
        Request { bytes, drafts, has_key, refused, answer: None, attempts: Vec::new() }
    }

    /// Judges what has become of its requests: all of each or nothing, once, at the positions that were answered.
    pub fn judge(&self, truth: &Truth, tally: &mut Tally) {
        let mut found: BTreeMap<(u64, &str), Vec<(Id, usize)>> = BTreeMap::new();
        for (id, publication) in truth.all() {
            if let Some(token) = publication.token {
                found.entry((token, &publication.topic)).or_default().push((id, publication.server));
            }
        }
        let mut newest_in_order = None;
        for request in &self.requests {
            let places: Vec<&[(Id, usize)]> = request
                .drafts
                .iter()
                .map(|(topic, token)| found.get(&(*token, topic.as_str())).map_or(&[][..], Vec::as_slice))
                .collect();
            let times = places[0].len();
            // A key is known to one server only: another publishes again.
            let servers = places[0].iter().map(|(_, server)| *server);
            let mut servers: Vec<usize> = servers.collect();
            servers.dedup();
            assert_eq!(servers.len(), times, "published twice: {request:?}");
            assert!(times <= 1 || request.has_key && request.attempts.len() >= times, "{request:?}");
            assert!(times == 0 || request.refused.is_none(), "what was refused was published: {request:?}");
            assert!(places.iter().all(|place| place.len() == times), "all or nothing: {request:?}");
            for time in 0..times {
                let ids: Vec<Id> = places.iter().map(|place| place[time].0).collect();
                assert!(
                    ids.is_sorted_by(|a, b| a.epoch == b.epoch && a.position + 1 == b.position),
                    "{ids:?}"
                );
            }
            if let Some(answer) = &request.answer {
                let last_time: Vec<Id> = places.iter().filter_map(|p| p.last()).map(|(id, _)| *id).collect();
                assert_eq!(*answer, last_time, "{request:?}");
                tally.retries += usize::from(request.attempts.len() > 1 && times == 1);
                if request.attempts.len() == 1 {
                    assert!(newest_in_order < answer.first().map(|id| (request.attempts[0], *id)));
                    newest_in_order = answer.last().map(|id| (request.attempts[0], *id));
                }
            }
            tally.refused_requests += usize::from(request.refused.is_some());
        }
    }
}

impl Request {
    fn take_answer(&mut self, body: &[u8]) {
        let json: Value = serde_json::from_slice(body).expect("the answer is JSON");
        let ids = match (&json["id"], &json["ids"]) {
            (Value::String(id), Value::Null) => vec![id.clone()],
            (Value::Null, Value::Array(ids)) => {
                ids.iter().map(|id| id.as_str().expect("an id is text").to_owned()).collect()
            }
            _ => panic!("no ids: {json}"),
        };
        self.answer = Some(ids.iter().map(|id| Id::read(id).expect("an id")).collect());
    }
}

/// The body as it is sent, by its length or in chunks.
fn frame_body(random: &mut Random, body: &str) -> (String, Vec<u8>) {
    if random.chance(60) {
        return (format!("Content-Length: {}\r\n", body.len()), body.into());
    }
    let (mut rest, mut chunks) = (body.as_bytes(), Vec::new());
    while !rest.is_empty() {
        let (chunk, others) = rest.split_at(random.within(1..rest.len().min(5000) + 1));
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend([chunk, b"\r\n"].concat());
        rest = others;
    }
    chunks.extend(b"0\r\n\r\n");
    ("Transfer-Encoding: chunked\r\n".to_owned(), chunks)
}

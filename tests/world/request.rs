//! What publishers ask: requests in every form that is understood, and some that deserve another answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ear::Id;
use crate::random::Random;

const TOPICS: [&str; 7] =
    ["notifications", "orders/1", "orders/2", "orders/eu/7", "orders/eu/8", "news", "elsewhere"];

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Awaited,
    /// The connection was cut: nobody knows.
    Cut,
    /// 503, or the connection was closed behind an earlier answer: it was not published.
    Refused,
    Published(Vec<Id>),
    /// As it deserved, and nothing published.
    Answered,
}

/// One request, however often it was sent.
#[derive(Debug)]
pub struct Request {
    pub bytes: Vec<u8>,
    /// Topic and token of each publication, in order; none where nothing is to be published.
    pub drafts: Vec<(String, u64)>,
    pub has_key: bool,
    /// The status that it deserves.
    status: u16,
    /// Asks for the connection to be closed behind the answer.
    pub closes: bool,
    /// Under which reign, and what came of it.
    pub attempts: Vec<(usize, Outcome)>,
}

impl Request {
    pub fn draw(random: &mut Random, next_token: &mut u64, largest: usize) -> Self {
        let form = random.below(15);
        let count = if matches!(form, 4..9) { random.within(1..8) } else { 1 };
        let mut drafts: Vec<(String, u64)> = Vec::new();
        for _ in 0..count {
            *next_token += 1;
            drafts.push((random.pick(&TOPICS).to_owned(), *next_token));
        }
        let first = drafts[0].1;
        let pad = pad(random, largest);
        let object =
            |(topic, token): &(String, u64)| json!({ "topic": topic, "data": { "n": token, "pad": pad } });
        let lines = || drafts.iter().map(|draft| object(draft).to_string() + "\n").collect::<String>();
        let (mut path, mut content_type, mut status) = ("/publish".to_owned(), "application/json", 200);
        let (mut has_key, closes, key) = (random.chance(50), random.chance(4), format!("key-{first}"));
        let mut fields = String::new();
        if has_key {
            fields += &format!("Idempotency-Key: {key}\r\n");
        }
        if closes {
            fields += "Connection: close\r\n";
        }
        let body = match form {
            0..4 => {
                (path, content_type) = (format!("/publish?topic={}", drafts[0].0), "text/plain");
                format!("{first} {pad}")
            }
            4 | 5 => {
                content_type = "application/x-ndjson";
                lines()
            }
            6 => spaced(random, &Value::from_iter(drafts.iter().map(object)).to_string()),
            7 => {
                let topics = &TOPICS[..count];
                drafts = topics.iter().map(|topic| ((*topic).to_owned(), first)).collect();
                spaced(random, &json!({ "topics": topics, "data": { "n": first, "pad": pad } }).to_string())
            }
            8 => {
                // The last line is wrong: nothing of it may be published.
                content_type = "application/x-ndjson";
                let (wrong, deserved) =
                    random.pick(&[("{\"data\":", 400), ("{\"topic\":\"no topic\",\"data\":1}", 422)]);
                status = deserved;
                lines() + wrong
            }
            9 => {
                let mut object = object(&drafts[0]);
                if random.chance(30) {
                    (object["id"], has_key) = (Value::from(key), true);
                }
                spaced(random, &object.to_string())
            }
            10 => {
                status = 422;
                json!({ "topic": "no topic", "data": first }).to_string()
            }
            11 => {
                (path, status) = ("/nowhere".to_owned(), 404);
                String::new()
            }
            _ => {
                path = "/healthz".to_owned();
                String::new()
            }
        };
        let method = if body.is_empty() { "GET" } else { "POST" };
        if body.is_empty() || status != 200 {
            drafts.clear();
        }
        let (framing, body) = frame_body(random, &body);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n{fields}{framing}\r\n"
        );
        let bytes = [head.as_bytes(), &body].concat();
        Self { bytes, drafts, has_key, status, closes, attempts: Vec::new() }
    }

    /// Whoever it was sent to last has handed it over, unanswered.
    pub fn follow(&mut self, reign: usize) {
        self.attempts.last_mut().expect("it was sent").0 = reign;
    }

    /// What has come of the last attempt.
    pub fn settle(&mut self, outcome: Outcome) {
        self.attempts.last_mut().expect("it was sent").1 = outcome;
    }

    pub fn outcome_of(&self, status: u16, body: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(body);
        if status == 503 && text.contains("not known") {
            return Outcome::Cut;
        }
        // The second is for its own hesitation.
        if matches!(status, 503 | 408) {
            return Outcome::Refused;
        }
        assert_eq!(status, self.status, "{text} was answered to {self:?}");
        if self.drafts.is_empty() {
            assert!(!text.contains(r#""id"#), "{text} was answered to {self:?}");
            return Outcome::Answered;
        }
        let json: Value = serde_json::from_slice(body).expect("the answer is JSON");
        let ids = match (&json["id"], &json["ids"]) {
            (Value::String(_), Value::Null) => vec![json["id"].clone()],
            (Value::Null, Value::Array(ids)) => ids.clone(),
            _ => panic!("no ids: {json} was answered to {self:?}"),
        };
        let read = |id: &Value| Id::read(id.as_str().expect("an id is text")).expect("an id");
        Outcome::Published(ids.iter().map(read).collect())
    }

    /// Where each of its publications is found under this line of reigns.
    pub fn found_in(&self, line: usize, found: &BTreeMap<(u64, &str), Vec<(Id, usize)>>) -> Vec<Vec<Id>> {
        let places = self.drafts.iter().map(|(topic, token)| found.get(&(*token, topic.as_str())));
        let in_this = |place: Option<&Vec<(Id, usize)>>| {
            place.into_iter().flatten().filter(|(_, of)| *of == line).map(|(id, _)| *id).collect()
        };
        places.map(in_this).collect()
    }
}

/// What a publication is long by: nothing much, or around a length that matters, or as much as there may be; and what
/// compresses well, or as words do, or hardly.
fn pad(random: &mut Random, largest: usize) -> String {
    // A message has some 130 bytes without it.
    let around = |random: &mut Random, bytes: usize| bytes - 150 + random.below(40);
    let length = match random.below(20) {
        0..11 => random.below(80),
        11..14 => around(random, 256),
        14 | 15 => {
            let bits = random.within(9..13);
            around(random, 1 << bits).min(largest.max(2048))
        }
        _ => random.below(largest),
    };
    let words = ["order", "shipped", " ", "7", ":", "[]", "\"", "ü", "\u{1f30a}", "true"];
    let (mut text, form) = (String::new(), random.below(4));
    while text.len() < length {
        match form {
            0 => text.push('x'),
            // Characters beyond ASCII, each of them rare.
            1 => text.extend(char::from_u32(0x80 + u32::try_from(random.below(0x780)).expect("few"))),
            _ => text.push_str(random.pick(&words)),
        }
    }
    text
}

/// The same JSON with whitespace in its data, which reaches every client as it is.
fn spaced(random: &mut Random, json: &str) -> String {
    let space = random.pick(&["", "", "\n", "\r", "\r\n", "\n\r\n \r\r"]);
    json.replace(r#"{"n":"#, &format!(r#"{{{space}"n":"#))
}

/// The body as it is sent, by its length or in chunks.
fn frame_body(random: &mut Random, body: &str) -> (String, Vec<u8>) {
    if body.is_empty() || random.chance(60) {
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

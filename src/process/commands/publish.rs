//! `slackwater publish`: hands a server what is to be published, and prints the ids. What is tried again bears the same key, so that it
//! is published once.

use std::io::{self, BufRead, Read};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::far_end::{Failure, FarEnd, Line, PATIENCE};
use super::{print, tell};
use crate::config::MOST_PUBLISH_SIZE;
use crate::config::command::publish::PublishRequest;
use crate::policy::idempotency::MAX_KEY_BYTES;
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::wire::messages::DEFAULT_TOPIC;
use crate::wire::quoted::quoted;

/// The pause before it is tried again; each failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What an attempt is given though there is less time left: the last one, so that it is not in vain.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(250);

/// Publishes. Exit codes: 0 published, 1 refused, 2 for what cannot be asked for, 3 when the server cannot be reached.
pub fn run(mut request: PublishRequest) -> ExitCode {
    let (what, kind) = match (request.text.take(), request.json.take()) {
        (Some(text), _) => (text, "text/plain; charset=utf-8"),
        (None, Some(json)) => (json, "application/json"),
        (None, None) => unreachable!("the command line has been checked for it"),
    };
    let published = Publisher::new(request, kind).and_then(|mut publisher| match what.as_str() {
        "-" => publisher.publish_lines(),
        text => publisher.publish(text.as_bytes(), None),
    });
    published.map_or_else(Failure::end, |()| ExitCode::SUCCESS)
}

struct Publisher {
    far_end: FarEnd,
    line: Option<Line>,
    target: String,
    content_type: &'static str,
    key: String,
    timeout: Duration,
}

impl Publisher {
    fn new(request: PublishRequest, content_type: &'static str) -> Result<Self, Failure> {
        let PublishRequest { topic, id, timeout, reach, .. } = request;
        // Named in any case, so that the body is the data. Not in the path: a proxy may let through but one.
        let topic = topic.as_deref().unwrap_or(DEFAULT_TOPIC);
        TopicName::parse(topic)
            .map_err(|why| Failure::Usage(format!("{} is no topic: {why}, as orders/7", quoted(topic))))?;
        let topic = utf8_percent_encode(topic, NON_ALPHANUMERIC);
        let target = format!("/publish?topic={topic}");
        // Some room is left for the number of a line.
        if id.as_ref().is_some_and(|id| id.len() > MAX_KEY_BYTES - 21) {
            return Err(Failure::Usage(format!("--id has {} bytes at most", MAX_KEY_BYTES - 21)));
        }
        let key = id.map_or_else(drawn_key, Ok)?;
        Ok(Self { far_end: FarEnd::new(reach)?, line: None, target, content_type, key, timeout })
    }

    /// Publishes each line as it comes, but for empty ones.
    fn publish_lines(&mut self) -> Result<(), Failure> {
        let (mut input, mut number) = (io::stdin().lock(), 0);
        loop {
            let mut line = vec![];
            // One more than may be published, besides its end.
            let count = input.by_ref().take(MOST_PUBLISH_SIZE + 2).read_until(b'\n', &mut line);
            if count.map_err(|why| Failure::Refused(format!("cannot read standard input: {why}")))? == 0 {
                return Ok(());
            }
            number += 1;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.len() as u64 > MOST_PUBLISH_SIZE {
                return Err(Failure::Refused(format!(
                    "line {number} has more than the {MOST_PUBLISH_SIZE} bytes that a server may take: is it text at all?"
                )));
            }
            if !text.is_empty() {
                self.publish(text, Some(number))
                    .map_err(|failure| failure.reworded(|why| format!("line {number}: {why}")))?;
            }
        }
    }

    /// Publishes and prints the id. Tries again while that may help and there is time; each attempt ends with that, too.
    fn publish(&mut self, body: &[u8], number: Option<u64>) -> Result<(), Failure> {
        let (began, mut pause, mut is_said) = (Now::read().instant, FIRST_PAUSE, false);
        let key = number.map_or_else(|| self.key.clone(), |number| format!("{}-{number}", self.key));
        loop {
            let was_kept = self.line.is_some();
            let (failure, wait) = match self.try_once(body, &key, self.until(began)) {
                Ok(answer) => return show(&answer),
                // A connection that was kept may have been closed meanwhile.
                Err(Failure::Unreachable(_)) if was_kept => continue,
                Err(Failure::Unreachable(why)) => (Failure::Unreachable(why), pause),
                Err(Failure::Busy(why, seconds)) => {
                    (Failure::Busy(why, seconds), Duration::from_secs(seconds).max(pause))
                }
                Err(other) => return Err(other),
            };
            let left = self.timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(failure);
            }
            if let (Failure::Unreachable(why) | Failure::Busy(why, _), false) = (&failure, is_said) {
                tell(format_args!("{why}; trying again for {:.0} s", left.as_secs_f64()));
                is_said = true;
            }
            thread::sleep(wait.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_once(&mut self, body: &[u8], key: &str, until: Instant) -> Result<Vec<u8>, Failure> {
        let head = format!(
            "{}Content-Type: {}\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
            self.far_end.head("POST", &self.target)?,
            self.content_type,
            body.len()
        );
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.far_end.dial(until)?,
        };
        line.wait_until(until);
        let mut answer = self.far_end.ask(&mut line, &head, body)?;
        let said = self.far_end.body(&mut line, &mut answer)?;
        if answer.is_kept() {
            self.line = Some(line);
        }
        match answer.status {
            200 => Ok(said),
            _ => Err(self.far_end.refusal(&answer, &said)),
        }
    }

    /// Until when an attempt that begins now may last, where the first has begun then.
    fn until(&self, began: Instant) -> Instant {
        let now = Now::read().instant;
        let left = match self.timeout {
            Duration::ZERO => PATIENCE,
            timeout => timeout.saturating_sub(now - began),
        };
        now + left.clamp(SHORTEST_ATTEMPT, PATIENCE)
    }
}

/// Prints the id, or all of them.
fn show(answer: &[u8]) -> Result<(), Failure> {
    let said: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let list = said.get("ids").and_then(serde_json::Value::as_array).cloned();
    let ids = list.unwrap_or_else(|| said.get("id").cloned().into_iter().collect());
    let lines: String = ids.iter().filter_map(|id| id.as_str()).map(|id| format!("{id}\n")).collect();
    if lines.is_empty() {
        return Err(Failure::Refused(
            "the server answers without an id: is this a Slackwater server?".to_owned(),
        ));
    }
    match print(&lines) {
        // Nobody wants to know the ids; what else there is to publish is to be published all the same.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => {
            printed.map_err(|why| Failure::Refused(format!("published, and cannot print the id: {why}")))
        }
    }
}

/// A key that nobody else has.
fn drawn_key() -> Result<String, Failure> {
    super::drawn()
        .map(|number| format!("slackwater-{number:016x}"))
        .map_err(|why| Failure::Refused(format!("no randomness: {why}")))
}

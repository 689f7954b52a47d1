//! The stories, by what they are about, and what they have in common: what is asked, and what a line was told.

mod addresses;
mod ageing;
mod bursts;
mod compression;
mod crews;
mod crowds;
mod departures;
mod drawn;
mod engines;
mod engines_drawn;
mod expiring;
mod fan_out;
mod handovers;
mod holding;
mod leaving;
mod limits;
mod links;
mod machines;
mod messages;
mod replay;
#[cfg(feature = "tls")]
mod secured;
mod streams;
mod tokens;
mod turns;

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use slackwater::policy::roster::WorkerId;

use crate::ear::{Heard, Id};
use crate::pipe::Side;
use crate::socket::Line;
use crate::speech::handshake;
use crate::world::World;

/// Publishes so many bytes.
fn post(topic: &str, token: u64, bytes: usize) -> String {
    let body = format!("{token} {}", "x".repeat(bytes));
    let length = body.len();
    format!("POST /publish?topic={topic} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The same to `news`.
fn news(token: u64, bytes: usize) -> String {
    post("news", token, bytes)
}

/// Listens to the news behind this position.
fn resume_behind(position: u64) -> String {
    handshake(&format!("topic=news&last_event_id=0000beef-{position}"))
}

/// Asks for an event stream of the news, as one that has heard this last.
fn stream(last: Option<Id>) -> String {
    let field = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    format!("GET /events?topic=news HTTP/1.1\r\nHost: x\r\n{field}\r\n")
}

/// Nothing of what the supervisor says reaches this worker for so long.
fn hold(world: &mut World, id: WorkerId, duration: Duration) {
    let until = world.now + duration;
    world.worker(id).link().hold_toward(Side::Worker, until);
}

/// Nothing of what this worker says reaches the supervisor for so long.
fn hold_up(world: &mut World, id: WorkerId, duration: Duration) {
    let until = world.now + duration;
    world.worker(id).link().hold_toward(Side::Supervisor, until);
}

fn publish(world: &mut World, worker: WorkerId, tokens: RangeInclusive<u64>, bytes: usize) {
    let requests: String = tokens.map(|token| news(token, bytes)).collect();
    world.connect_to(worker, 1 << 20, &requests);
}

/// What a line has been told: the status of each response with the beginning of its body.
fn answers(line: &RefCell<Line>) -> Vec<String> {
    let answer = |(_, heard): &(usize, Heard)| match heard {
        Heard::Response { status, body, .. } => {
            let text = String::from_utf8_lossy(body);
            format!("{status} {}", text.trim_matches(['{', '"']).split(['"', ',']).next().unwrap_or(""))
        }
        other => format!("{other:?}"),
    };
    line.borrow().ear.heard.iter().map(answer).collect()
}

/// Whether a line was resumed, and the positions that it has been told of, whether read or not.
fn heard(line: &RefCell<Line>) -> (Option<bool>, Vec<u64>) {
    let (mut resumed, mut positions) = (None, Vec::new());
    for (_, heard) in &line.borrow().ear.heard {
        match heard {
            Heard::Welcome { resumed: is_resumed, .. } => resumed = Some(*is_resumed),
            Heard::Publication(id, _) => positions.push(id.position),
            _ => {}
        }
    }
    (resumed, positions)
}

fn positions(line: &RefCell<Line>) -> Vec<u64> {
    heard(line).1
}

/// How many such things a line has been told.
fn count(line: &RefCell<Line>, what: impl Fn(&Heard) -> bool) -> usize {
    line.borrow().ear.heard.iter().filter(|(_, heard)| what(heard)).count()
}

fn last_heard(line: &RefCell<Line>) -> Option<Heard> {
    line.borrow().ear.heard.last().map(|(_, heard)| heard.clone())
}

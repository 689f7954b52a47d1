//! What really was published, in the one true order, as a witness of everything has heard it; and what of it a history
//! of certain limits must still have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use slackwater::message::Message;
use slackwater::policy::history::{self, HistoryLimits};
use slackwater::policy::topic::TopicName;

use crate::compression::{Window, deflated_bytes};
use crate::draw::HOUR;
use crate::ear::Id;

/// Times come through a snapshot in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(3);

#[derive(Debug)]
pub struct Publication {
    pub topic: String,
    /// The whole message.
    pub payload: Vec<u8>,
    /// What it costs a history.
    held_bytes: usize,
    /// Whether it is shorter for whoever inflates it.
    pub deflates: bool,
    /// What its publisher knows it by; none for the periodic notification.
    pub token: Option<u64>,
    pub at: Duration,
    /// Under which reign it was published.
    pub reign: usize,
}

#[derive(Debug)]
pub struct Truth {
    /// For each epoch the publications from position 1 on.
    orders: BTreeMap<u32, Vec<Publication>>,
    pub history: HistoryLimits,
    /// Whether it may be compressed for somebody.
    compresses: bool,
}

impl Publication {
    /// Whether whoever has agreed on this hears it compressed.
    pub fn is_deflated_for(&self, window: Option<Window>) -> bool {
        self.deflates && window.is_some_and(|window| window.takes(self.payload.len()))
    }
}

impl Truth {
    pub fn new(history: HistoryLimits, compresses: bool) -> Self {
        Self { orders: BTreeMap::new(), history, compresses }
    }

    /// Takes what a witness or a scribe has heard: the next position, or one that is known, and then the same again. So many
    /// clients there were.
    pub fn hear(&mut self, id: Id, payload: Vec<u8>, at: Duration, reign: usize, clients: usize) {
        if self.get(id).is_none() {
            let json: Value = serde_json::from_slice(&payload).expect("a message is JSON");
            let told = json["active_connections"].as_u64();
            assert!(told.is_none_or(|told| told == clients as u64), "{told:?} clients, not {clients}");
        }
        self.hear_of(id, payload, at, reign);
    }

    /// The same, where nobody knows how many clients there were.
    pub fn hear_of(&mut self, id: Id, payload: Vec<u8>, at: Duration, reign: usize) {
        if let Some(before) = self.get(id) {
            assert!(before.payload == payload, "{id} is another than it was");
            return;
        }
        let order = self.orders.entry(id.epoch).or_default();
        assert_eq!(id.position, order.len() as u64 + 1, "positions rise by one");
        let json: Value = serde_json::from_slice(&payload).expect("a message is JSON");
        let token = match &json["data"] {
            Value::Object(data) => data["n"].as_u64(),
            Value::String(text) => text.split(' ').next().and_then(|n| n.parse().ok()),
            _ => None,
        };
        assert!(token.is_some() || json["message"].is_string(), "something that nobody published");
        let topic = json["topic"].as_str().expect("a publication has a topic").to_owned();
        let kept = history::Publication {
            topic: TopicName::parse(&topic).expect("a publication's topic is one"),
            message: Message::new(&payload, format_args!("{id}")),
            at: Instant::now(),
        };
        let deflates = self.compresses && deflated_bytes(&payload).is_some();
        order.push(Publication { topic, payload, held_bytes: kept.held_bytes(), deflates, token, at, reign });
    }

    pub fn order(&self, epoch: u32) -> &[Publication] {
        self.orders.get(&epoch).map_or(&[], Vec::as_slice)
    }

    pub fn newest(&self, epoch: u32) -> u64 {
        self.order(epoch).len() as u64
    }

    pub fn get(&self, id: Id) -> Option<&Publication> {
        self.order(id.epoch).get(usize::try_from(id.position.checked_sub(1)?).ok()?)
    }

    /// Everything with its id.
    pub fn all(&self) -> impl Iterator<Item = (Id, &Publication)> {
        self.orders.iter().flat_map(|(epoch, order)| {
            order
                .iter()
                .zip(1..)
                .map(move |(publication, position)| (Id { epoch: *epoch, position }, publication))
        })
    }

    /// Whether history is small enough to matter.
    pub fn forgets(&self) -> bool {
        self.history.publications < 100_000 || self.history.bytes < 1 << 30 || self.history.age < HOUR
    }

    /// Whether a client that has heard all up to here must be resumed, when `newest` is the newest at that time;
    /// `None` where a millisecond decides.
    pub fn reaches(&self, after: Id, newest: Id, now: Duration) -> Option<bool> {
        if after.epoch != newest.epoch || after.position > newest.position {
            return Some(false);
        }
        let missed = after.position..newest.position;
        let missed = &self.order(after.epoch)
            [usize::try_from(missed.start).expect("few")..usize::try_from(missed.end).expect("few")];
        let bytes: usize = missed.iter().map(|publication| publication.held_bytes).sum();
        if missed.len() > self.history.publications || bytes > self.history.bytes {
            return Some(false);
        }
        let Some(oldest) = missed.first() else { return Some(true) };
        let expiry = oldest.at.saturating_add(self.history.age);
        (now.abs_diff(expiry) > ROUNDING).then_some(now < expiry)
    }
}

/// Whether a filter listens to a topic, told without the server's own words.
pub fn matches(filter: &str, topic: &str) -> bool {
    filter == topic || filter.strip_suffix('*').is_some_and(|prefix| topic.starts_with(prefix))
}

//! One who wants to hear certain topics and lives over many connections: it comes, hears, is cut off or goes, and comes
//! back with the last id that it has heard. It judges nothing: its records are there for the verdict.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::compression::Offer;
use crate::ear::Id;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{self, handshake};
use crate::verdict::{Command, Record};
use crate::visit::{Act, Reading, Visit, draw_plan};
use crate::worker::{Place, Worker};
use crate::world::World;

pub const FILTERS: [&str; 8] =
    ["notifications", "orders/1", "orders/2", "orders/*", "orders/eu/*", "orders/eu/7", "news", "*"];

/// What a subscriber is told of the process that it comes to.
#[derive(Debug, Clone, Copy)]
pub struct Welcomer {
    pub place: Place,
    /// After how long it lets go of those who take nothing.
    pub write_limit: Duration,
    /// What may wait for each.
    pub outbox_bytes: usize,
    /// Whether it agrees on compression.
    pub compresses: bool,
}

/// By which way a subscriber hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    WebSocket,
    /// As an `EventSource` does, which comes back when it was told to; or as somebody else does, in its own time.
    EventStream {
        is_patient: bool,
    },
}

#[derive(Debug)]
pub struct Subscriber {
    random: Random,
    filters: Vec<String>,
    /// The last id that it has heard.
    last: Option<Id>,
    pub visit: Option<Visit>,
    pub comes_at: Duration,
    pub hears: Hears,
    /// Goes on for ever, reads at once, and does nothing that ends a connection.
    pub is_steady: bool,
    pub records: Vec<Record>,
}

impl Subscriber {
    pub fn new(mut random: Random, comes_at: Duration) -> Self {
        let count = random.pick(&[1, 1, 2, 3, 5]);
        let filters = (0..count).map(|_| random.pick(&FILTERS).to_owned()).collect();
        let hears = match random.below(10) {
            0 | 1 => Hears::EventStream { is_patient: true },
            2 => Hears::EventStream { is_patient: false },
            _ => Hears::WebSocket,
        };
        let records = Vec::new();
        Self { random, filters, last: None, visit: None, comes_at, hears, is_steady: false, records }
    }

    /// When it will do something next by itself.
    pub fn next_time(&self) -> Duration {
        let Some(visit) = &self.visit else { return self.comes_at };
        let next_act = visit.plan.front().map(|(at, _)| *at);
        next_act.into_iter().chain(visit.next_read).min().unwrap_or(Duration::MAX)
    }

    /// Comes, if it is time; the line to connect.
    pub fn come(&mut self, welcomer: Welcomer, now: Duration) -> Option<Rc<RefCell<Line>>> {
        if self.visit.is_some() || self.comes_at > now {
            return None;
        }
        let random = &mut self.random;
        let capacity =
            if self.is_steady { 1 << 20 } else { random.pick(&[1000, 1000, 5000, 70_000, 1 << 20, 1 << 20]) };
        let reading = match random.below(4) {
            0 if !self.is_steady => {
                let most = random.pick(&[300, 20_000]);
                Reading::Trickle(random.within(50..most), random.millis(5..100))
            }
            _ => Reading::Steady,
        };
        let asked = match random.below(30) {
            _ if self.is_steady => self.last.map(|id| id.to_string()),
            0 => None,
            1 => Some(random.pick(&["nonsense", "-", "0000beef-999999999", "00000000-0"]).to_owned()),
            _ => self.last.map(|id| id.to_string()),
        };
        let mut filters: Vec<String> = Vec::new();
        for filter in &self.filters {
            if !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
        let is_stream = self.hears != Hears::WebSocket;
        let offer = if is_stream { Offer::default() } else { Offer::draw(random) };
        let request = match self.hears {
            Hears::WebSocket => offer.added_to(&request(random, &self.filters, asked.as_deref())),
            Hears::EventStream { .. } => request_stream(random, &self.filters, asked.as_deref()),
        };
        if filters.is_empty() {
            filters.push("notifications".to_owned());
            self.filters = filters.clone();
        }
        let line = Rc::new(RefCell::new(Line::new(random.fork(), capacity)));
        let window = offer.agreed(welcomer.compresses);
        line.borrow_mut().secure_by_lot(random);
        line.borrow_mut().ear.window = window;
        line.borrow_mut().ear.is_old = request.contains(" HTTP/1.0\r\n");
        line.borrow_mut().send(request.as_bytes());
        let record = Record {
            place: welcomer.place,
            asked,
            filters,
            window,
            is_stream,
            at: now,
            outbox_bytes: welcomer.outbox_bytes,
            was_slow: reading != Reading::Steady || capacity < 1 << 20,
            ..Record::default()
        };
        let mut plan = if self.is_steady { VecDeque::new() } else { draw_plan(random, welcomer, now) };
        // There is nothing that a stream could be told.
        plan.retain(|(_, act)| !is_stream || !matches!(act, Act::Ask { .. } | Act::Close));
        self.visit = Some(Visit {
            line: line.clone(),
            record,
            plan,
            reading,
            next_read: matches!(reading, Reading::Trickle(..)).then_some(now),
            reacted: 0,
            answered: 0,
            retry: None,
            is_over: false,
        });
        Some(line)
    }

    /// Does what is due. `newest` is what the server has published so far.
    pub fn act(&mut self, newest: u64, now: Duration) {
        let Some(visit) = &mut self.visit else { return };
        while visit.plan.front().is_some_and(|(at, _)| *at <= now) {
            let (_, act) = visit.plan.pop_front().expect("just seen");
            let mut line = visit.line.borrow_mut();
            match act {
                Act::Ask { filter, subscribes } => {
                    let act = if subscribes { "subscribe" } else { "unsubscribe" };
                    let text = format!(r#"{{"type":"{act}","topic":"{filter}"}}"#);
                    let window = line.ear.window.filter(|_| self.random.chance(50));
                    let is_fragmented = self.random.chance(30);
                    let said = speech::message(&mut self.random, window, is_fragmented, text.as_bytes());
                    line.send(&said.bytes);
                    self.filters.retain(|other| *other != filter);
                    self.filters.extend(subscribes.then(|| filter.clone()));
                    visit.record.commands.push(Command {
                        filter,
                        subscribes,
                        earliest: newest,
                        latest: None,
                    });
                }
                Act::Reset => {
                    line.fail(ErrorKind::ConnectionReset);
                    visit.is_over = true;
                }
                Act::End => {
                    line.end();
                    visit.is_over = true;
                }
                Act::Close if visit.record.is_stream => {
                    line.end();
                    visit.is_over = true;
                }
                Act::Close => {
                    visit.record.has_closed = true;
                    let close = speech::close(&mut self.random, Some(1000));
                    line.send(&close);
                }
                Act::Stall => {
                    visit.record.was_slow = true;
                    (visit.reading, visit.next_read) = (Reading::Stalled, None);
                }
                Act::Wake => (visit.reading, visit.next_read) = (Reading::Steady, None),
            }
        }
        if let (Reading::Trickle(bytes, every), Some(at)) = (visit.reading, visit.next_read)
            && at <= now
        {
            visit.line.borrow_mut().take(bytes);
            visit.next_read = Some(now + every);
        }
    }

    /// Reads what is there, unless it is slow, and reacts to what it has read.
    pub fn on_turn(&mut self, newest: u64, now: Duration) {
        let Some(visit) = &mut self.visit else { return };
        if visit.reading == Reading::Steady {
            visit.line.borrow_mut().take(usize::MAX);
        }
        while !visit.is_over && visit.react(&mut self.random, &mut self.last) {}
        // What is compressed may have been read, and is heard once the answers to what came before it have been taken.
        let may_wait = visit.record.window.is_some() && visit.record.was_slow;
        // Behind a handshake it is heard once that is answered.
        let is_welcomed = !visit.record.entries.is_empty();
        let has_read_all = visit.line.borrow().unread_by_server() == 0 && is_welcomed && !may_wait;
        for command in visit.record.commands.iter_mut().filter(|c| has_read_all && c.latest.is_none()) {
            command.latest = Some(newest);
        }
        // What has been answered was read, though more may have come behind it.
        let answered = visit.record.commands.iter_mut().take(visit.answered);
        answered.for_each(|command| command.latest = command.latest.or(Some(newest)));
        let line = visit.line.borrow();
        let has_ended = line.outbound_ended || line.dropped;
        let is_over = visit.is_over || has_ended && line.unread_by_client() == 0;
        visit.record.was_ended = !visit.is_over && has_ended && line.failure.is_none();
        visit.record.was_cut = line.is_orphaned;
        drop(line);
        if is_over {
            let visit = self.visit.take().expect("just seen");
            visit.line.borrow_mut().end();
            let retry = visit.retry.filter(|_| self.hears == Hears::EventStream { is_patient: true });
            self.records.push(visit.record);
            let pause = match retry {
                Some(retry) if self.comes_at < Duration::MAX => retry,
                _ if self.is_steady => Duration::from_millis(1),
                _ => self.pause(),
            };
            self.comes_at = now.saturating_add(pause);
        }
    }

    /// From here on it is well-behaved, and stays.
    pub fn settle_down(&mut self, now: Duration) {
        self.is_steady = true;
        self.comes_at = self.comes_at.min(now);
        if let Some(visit) = &mut self.visit {
            visit.plan.clear();
            (visit.reading, visit.next_read) = (Reading::Steady, None);
        }
    }

    /// Says goodbye for good.
    pub fn leave(&mut self, upto: u64, now: Duration) {
        let visit = self.visit.as_mut().expect("it is connected");
        visit.record.upto = Some(upto);
        visit.plan.push_back((now, Act::Close));
        (self.is_steady, self.comes_at) = (false, Duration::MAX);
    }

    /// Whether it has heard the welcome and read all there is.
    pub fn is_settled(&self) -> bool {
        let has_all = |line: &Line| line.unread_by_client() == 0 && !line.dropped;
        self.visit
            .as_ref()
            .is_some_and(|visit| !visit.record.entries.is_empty() && has_all(&visit.line.borrow()))
    }

    fn pause(&mut self) -> Duration {
        if self.comes_at == Duration::MAX {
            return Duration::MAX;
        }
        match self.random.below(10) {
            0..3 => Duration::ZERO,
            3..8 => self.random.millis(0..800),
            _ => self.random.millis(1000..4000),
        }
    }
}

impl World {
    /// Those go on where they were handed over from whose process has died while that still had their connections.
    pub fn follow_back(&mut self) {
        for nth in 0..self.subscribers.len() {
            if let Some(place) = self.place_back_of(nth)
                && let Some(visit) = &mut self.subscribers[nth].visit
            {
                visit.record.place = place;
            }
        }
    }

    fn place_back_of(&self, subscriber: usize) -> Option<Place> {
        let visit = self.subscribers[subscriber].visit.as_ref()?;
        if visit.line.borrow().dropped || self.workers().any(|worker| worker.place == visit.record.place) {
            return None;
        }
        let has = |worker: &&Worker| worker.known_lines().any(|line| Rc::ptr_eq(line, &visit.line));
        // Not to one that has taken it up, and is not to serve before all has been handed over.
        let mut serving = self.reigns.iter().flat_map(|reign| &reign.workers).chain(&self.orphans);
        serving.find(has).map(|worker| worker.place)
    }

    /// The newest position at the process to which a subscriber is connected: the one that it has handed on, and the one that it
    /// knows of, which it may hand on later. Of one that has ended nobody knows.
    pub fn newest_for(&self, subscriber: usize) -> [u64; 2] {
        let Some(visit) = &self.subscribers[subscriber].visit else { return [0; 2] };
        let place = visit.record.place;
        match self.workers().find(|worker| worker.place == place) {
            Some(worker) => [worker.newest, worker.newest_known()],
            None => [self.truth.newest(place.epoch); 2],
        }
    }
}

fn request(random: &mut Random, filters: &[String], asked: Option<&str>) -> String {
    let mut query: Vec<String> =
        filters.iter().map(|filter| format!("topic={}", filter.replace('/', "%2F"))).collect();
    let in_field = random.chance(30);
    match asked {
        Some(id) if in_field => {
            let fields = format!("Host: x\r\nLast-Event-ID: {id}");
            return handshake(&query.join("&")).replacen("Host: x", &fields, 1);
        }
        Some(id) => query.insert(random.below(query.len() + 1), format!("last_event_id={id}")),
        None => {}
    }
    handshake(&query.join("&"))
}

/// The same for a stream, whose URL may still have the id of the first time.
fn request_stream(random: &mut Random, filters: &[String], asked: Option<&str>) -> String {
    let mut query: Vec<String> =
        filters.iter().map(|filter| format!("topic={}", filter.replace('/', "%2F"))).collect();
    let mut field = String::new();
    match asked {
        Some(id) if random.chance(20) => query.insert(0, format!("last_event_id={id}")),
        Some(id) => {
            field = format!("Last-Event-ID: {id}\r\n");
            if random.chance(20) {
                query.push("last_event_id=0000beef-0".to_owned());
            }
        }
        None => {}
    }
    let version = if random.chance(10) { "1.0" } else { "1.1" };
    let query = query.join("&");
    format!("GET /events?{query} HTTP/{version}\r\nHost: x\r\nAccept: text/event-stream\r\n{field}\r\n")
}

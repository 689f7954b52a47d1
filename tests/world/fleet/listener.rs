//! One who listens on several machines, one after the other, by a WebSocket or an event stream, and comes back with the last id
//! that it has heard. It judges nothing: what it was told on each connection is there for the verdict.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::ear::{Heard, Id, Notice};
use crate::random::Random;
use crate::socket::Line;
use crate::speech::handshake;
use crate::subscriber::FILTERS;

/// One thing that it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It goes on behind what it asked for.
    Resumed,
    /// It goes on behind this.
    From(Id),
    Publication(Id),
    /// Something may have been missed, up to here where that is known.
    Gap(Option<Id>),
    /// All up to here has been heard.
    Mark(Id),
}

/// One connection.
#[derive(Debug)]
pub struct Hearing {
    pub asked: Option<Id>,
    pub filters: Vec<String>,
    /// When it came, and when it was told something first.
    pub times: (Duration, Option<Duration>),
    pub said: Vec<Said>,
    /// It is over.
    pub is_past: bool,
}

#[derive(Debug)]
struct Visit {
    line: Rc<RefCell<Line>>,
    reacted: usize,
    leaves_at: Duration,
}

#[derive(Debug)]
pub struct Listener {
    random: Random,
    filters: Vec<String>,
    is_stream: bool,
    /// How long it stays at most; for ever without.
    pub stays: Option<Duration>,
    pub comes_at: Duration,
    last: Option<Id>,
    visit: Option<Visit>,
    pub hearings: Vec<Hearing>,
}

impl Listener {
    pub fn new(mut random: Random, stays: Option<Duration>, comes_at: Duration) -> Self {
        let mut filters: Vec<String> = Vec::new();
        for _ in 0..random.pick(&[1, 1, 2, 3]) {
            let filter = random.pick(&FILTERS).to_owned();
            filters.extend((!filters.contains(&filter)).then_some(filter));
        }
        let is_stream = random.chance(30);
        Self { random, filters, is_stream, stays, comes_at, last: None, visit: None, hearings: Vec::new() }
    }

    /// One that hears everything, on one connection as long as that lasts.
    pub fn of_all(random: Random) -> Self {
        let filters = vec!["*".to_owned()];
        Self { filters, is_stream: false, ..Self::new(random, None, Duration::ZERO) }
    }

    pub fn is_connected(&self) -> bool {
        self.visit.is_some()
    }

    /// Whether it is connected, and was told behind what it listens.
    pub fn is_welcome(&self) -> bool {
        self.is_connected() && self.hearings.last().is_some_and(|hearing| !hearing.said.is_empty())
    }

    pub fn next_time(&self) -> Duration {
        self.visit.as_ref().map_or(self.comes_at, |visit| visit.leaves_at)
    }

    pub fn wants_to_come(&self, now: Duration) -> bool {
        self.visit.is_none() && self.comes_at <= now
    }

    /// Comes: the line to connect.
    pub fn come(&mut self, now: Duration) -> Rc<RefCell<Line>> {
        let random = &mut self.random;
        let capacity = if self.stays.is_some() { random.pick(&[2000, 70_000, 1 << 20]) } else { 1 << 20 };
        let mut query: Vec<String> =
            self.filters.iter().map(|filter| format!("topic={}", filter.replace('/', "%2F"))).collect();
        query.extend(self.last.map(|id| format!("last_event_id={id}")));
        let query = query.join("&");
        let request = if self.is_stream {
            format!("GET /events?{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        } else {
            handshake(&query)
        };
        let line = Rc::new(RefCell::new(Line::new(random.fork(), capacity)));
        line.borrow_mut().send(request.as_bytes());
        let (asked, filters) = (self.last, self.filters.clone());
        let times = (now, None);
        self.hearings.push(Hearing { asked, filters, times, said: Vec::new(), is_past: false });
        let longest = self.stays.map(|stays| usize::try_from(stays.as_millis()).expect("short"));
        let leaves_at = longest.map_or(Duration::MAX, |longest| now + random.millis(0..longest));
        self.visit = Some(Visit { line: line.clone(), reacted: 0, leaves_at });
        line
    }

    /// Hears what there is, and goes if it is time.
    pub fn on_turn(&mut self, now: Duration) {
        let Some(visit) = &mut self.visit else { return };
        let hearing = self.hearings.last_mut().expect("it has come");
        let mut line = visit.line.borrow_mut();
        if line.failure.is_none() {
            line.take(usize::MAX);
        }
        let mut is_over = false;
        while let Some((_, heard)) =
            line.ear.heard.get(visit.reacted).filter(|(end, _)| *end <= line.read_bytes)
        {
            visit.reacted += 1;
            let said = match heard {
                Heard::Welcome { resumed: true, .. } => Said::Resumed,
                Heard::Welcome { last, .. } => Said::From(*last),
                Heard::Primed { id: Some(_), .. } if hearing.asked.is_some() => Said::Resumed,
                Heard::Primed { id: Some(id), .. } => Said::From(*id),
                Heard::Publication(id, _) => Said::Publication(*id),
                // That is how a stream says that it goes on from here.
                Heard::Gap(Some(id)) if self.is_stream && hearing.said.is_empty() => Said::From(*id),
                Heard::Gap(id) => Said::Gap(*id),
                Heard::Heartbeat(Some(id)) => Said::Mark(*id),
                Heard::Reconnect(Notice { last: Some(id), .. }) => Said::Mark(*id),
                Heard::Close(_) | Heard::Parting { .. } | Heard::Response { .. } => {
                    is_over = true;
                    break;
                }
                Heard::Switched
                | Heard::Streaming
                | Heard::Primed { .. }
                | Heard::Heartbeat(None)
                | Heard::Reconnect(_)
                | Heard::Complete => continue,
                other => panic!("a listener heard {other:?}"),
            };
            match said {
                Said::From(id) | Said::Publication(id) | Said::Gap(Some(id)) | Said::Mark(id) => {
                    self.last = Some(id);
                }
                Said::Resumed | Said::Gap(None) => {}
            }
            hearing.times.1.get_or_insert(now);
            hearing.said.push(said);
        }
        let leaves = visit.leaves_at <= now;
        is_over |= leaves || line.outbound_ended || line.dropped || line.failure.is_some();
        if is_over {
            if leaves && self.random.chance(50) {
                line.fail(ErrorKind::ConnectionReset);
            }
            line.end();
            drop(line);
            (self.visit, hearing.is_past) = (None, true);
            let pause = if self.stays.is_some() { self.random.pick(&[1, 300, 2000]) } else { 2 };
            self.comes_at = now + self.random.millis(0..pause);
        }
    }

    /// It goes now, and comes again at once.
    pub fn come_again(&mut self, now: Duration) {
        self.visit.iter_mut().for_each(|visit| visit.leaves_at = now);
    }

    /// From here on it stays.
    pub fn settle_down(&mut self) {
        self.stays = None;
        self.visit.iter_mut().for_each(|visit| visit.leaves_at = Duration::MAX);
    }
}

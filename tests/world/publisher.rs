//! One who publishes to any of the processes that serve: asks ahead, mixes in what is answered otherwise, ends its side early, is
//! cut off before the answer, and asks again where a key or a refusal makes that harmless.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::ear::{Heard, Id};
use crate::random::Random;
use crate::request::{Outcome, Request};
use crate::socket::Line;
use crate::truth::Truth;

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
    /// It has ended its side, or asked for the end.
    says_no_more: bool,
    reign: usize,
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

/// What has been judged, to be sure that something was.
#[derive(Debug, Default)]
pub struct Published {
    pub answered: usize,
    pub refused: usize,
    pub wrong: usize,
    /// Cut off, and published all the same.
    pub cut_published: usize,
    /// Cut off, and not published.
    pub cut_lost: usize,
    pub retried: usize,
}

impl Publisher {
    /// So many milliseconds pass between two acts, at most.
    pub fn new(mut random: Random, number: u64, largest: usize, pause_millis: usize) -> Self {
        Self {
            requests: Vec::new(),
            again: VecDeque::new(),
            visit: None,
            next_act: random.millis(0..pause_millis),
            pause_millis,
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

    pub fn wants_to_connect(&self, now: Duration) -> bool {
        let has_something = !self.has_finished || !self.again.is_empty();
        self.visit.is_none() && self.next_act <= now && has_something
    }

    /// Does what is due; the line to connect, if it needs one. `reign` is the one that serves.
    pub fn act(&mut self, reign: usize, now: Duration) -> Option<Rc<RefCell<Line>>> {
        if let Some(visit) = &mut self.visit
            && let Some((_, rest)) = visit.rest.take_if(|(at, _)| *at <= now)
        {
            visit.line.borrow_mut().send(&rest);
            if visit.says_no_more {
                visit.line.borrow_mut().end();
            }
        }
        if self.next_act > now {
            return None;
        }
        self.next_act = now + self.random.millis(1..self.pause_millis);
        if self.has_finished && self.again.is_empty() {
            self.next_act = Duration::MAX;
            if let Some(visit) = self.visit.as_ref().filter(|visit| visit.rest.is_none()) {
                visit.line.borrow_mut().end();
            }
            return None;
        }
        let is_busy =
            |visit: &Visit| visit.rest.is_some() || visit.outstanding.len() > 20 || visit.says_no_more;
        if self.visit.as_ref().is_some_and(is_busy) {
            return None;
        }
        let newcomer = self.visit.is_none().then(|| {
            let capacity = self.random.pick(&[100, 1000, 70_000]);
            let line = Rc::new(RefCell::new(Line::new(self.random.fork(), capacity)));
            line.borrow_mut().secure_by_lot(&self.random);
            self.visit = Some(Visit {
                line: line.clone(),
                outstanding: VecDeque::new(),
                rest: None,
                reacted: 0,
                is_doomed: false,
                says_no_more: false,
                reign,
            });
            line
        });
        self.ask(now);
        newcomer
    }

    fn ask(&mut self, now: Duration) {
        let mut bytes = Vec::new();
        let visit = self.visit.as_mut().expect("connected");
        for _ in 0..self.random.pick(&[1, 1, 2, 5, 9]) {
            let nth = match self.again.pop_front() {
                Some(nth) => nth,
                None if self.has_finished => break,
                None => {
                    let request = Request::draw(&mut self.random, &mut self.next_token, self.largest);
                    self.requests.push(request);
                    self.requests.len() - 1
                }
            };
            let request = &mut self.requests[nth];
            request.attempts.push((visit.reign, Outcome::Awaited));
            visit.outstanding.push_back(nth);
            bytes.extend(&request.bytes);
            visit.says_no_more |= request.closes;
        }
        let half_closes = self.random.chance(8);
        visit.says_no_more |= half_closes;
        if self.random.chance(25) {
            let rest = bytes.split_off(self.random.below(bytes.len()));
            visit.rest = Some((now + self.random.millis(0..30), rest));
        }
        visit.is_doomed |= !self.has_finished && self.random.chance(10);
        visit.line.borrow_mut().send(&bytes);
        if half_closes && visit.rest.is_none() {
            visit.line.borrow_mut().end();
        }
    }

    /// Takes the answers in, or is cut off before it can.
    pub fn on_turn(&mut self, now: Duration) {
        let Some(visit) = &mut self.visit else { return };
        let mut line = visit.line.borrow_mut();
        if visit.is_doomed && visit.rest.is_none() && self.random.chance(20) {
            line.fail(ErrorKind::ConnectionReset);
        } else if line.failure.is_none() {
            line.take(usize::MAX);
        }
        let read_bytes = line.read_bytes;
        while let Some((_, heard)) = line.ear.heard.get(visit.reacted).filter(|(end, _)| *end <= read_bytes) {
            visit.reacted += 1;
            let Heard::Response { status, body, closes } = heard else {
                panic!("a publisher heard {heard:?}")
            };
            let Some(nth) = visit.outstanding.pop_front() else {
                assert_eq!(*status, 408, "an answer to nothing");
                continue;
            };
            let request = &mut self.requests[nth];
            let outcome = request.outcome_of(*status, body);
            if outcome == Outcome::Refused || outcome == Outcome::Cut && request.has_key {
                self.again.push_back(nth);
            }
            request.settle(outcome);
            if *closes {
                // What was asked behind it is not for this connection.
                for nth in std::mem::take(&mut visit.outstanding) {
                    self.requests[nth].settle(Outcome::Refused);
                    self.again.push_back(nth);
                }
            }
        }
        let is_over = line.failure.is_some() || line.outbound_ended || line.dropped;
        drop(line);
        if is_over {
            let visit = self.visit.take().expect("just seen");
            visit.line.borrow_mut().end();
            let is_clean = visit.line.borrow().outbound_ended && visit.line.borrow().failure.is_none();
            // A server that ends its side for being idle or leaving has taken nothing of what came meanwhile.
            let outcome = if is_clean { Outcome::Refused } else { Outcome::Cut };
            for nth in visit.outstanding {
                let request = &mut self.requests[nth];
                request.settle(outcome.clone());
                if request.has_key || is_clean {
                    self.again.push_back(nth);
                }
            }
            self.next_act = self.next_act.min(now + Duration::from_millis(50));
        }
    }

    /// Its connection is another reign's from here on, if it is one of those, and so is what it has asked there.
    pub fn follow(&mut self, reign: usize, is_moved: impl Fn(&Rc<RefCell<Line>>) -> bool) {
        if let Some(visit) = self.visit.as_mut().filter(|visit| is_moved(&visit.line)) {
            visit.reign = reign;
            visit.outstanding.iter().for_each(|nth| self.requests[*nth].follow(reign));
        }
    }

    pub fn is_done(&self) -> bool {
        self.has_finished && self.again.is_empty() && self.visit.is_none()
    }

    /// Judges what has become of its requests: all of each or nothing, at the positions that were answered, and once under
    /// each line of reigns, which one that `crashed` ends.
    pub fn judge(&self, truth: &Truth, crashed: &BTreeMap<usize, Duration>, published: &mut Published) {
        let line = |reign: usize| crashed.range(..reign).count();
        let mut found: BTreeMap<(u64, &str), Vec<(Id, usize)>> = BTreeMap::new();
        for (id, publication) in truth.all() {
            if let Some(token) = publication.token {
                found.entry((token, &publication.topic)).or_default().push((id, line(publication.reign)));
            }
        }
        let mut newest_in_order = None;
        for request in &self.requests {
            for (reign, outcome) in &request.attempts {
                published.answered += usize::from(matches!(outcome, Outcome::Published(_)));
                published.refused += usize::from(*outcome == Outcome::Refused);
                published.wrong += usize::from(*outcome == Outcome::Answered);
                assert_ne!(*outcome, Outcome::Awaited, "{request:?}");
                let here = line(*reign);
                let ids: Vec<Vec<Id>> = request.found_in(here, &found);
                assert!(
                    ids.iter().all(|ids| ids.len() == ids.first().map_or(0, |_| 1)),
                    "published twice: {request:?} {ids:?}"
                );
                let ids: Vec<Id> = ids.into_iter().flatten().collect();
                assert!(
                    ids.is_empty() || ids.len() == request.drafts.len(),
                    "all or nothing: {request:?} {ids:?}"
                );
                let follows = |a: &Id, b: &Id| a.epoch == b.epoch && a.position + 1 == b.position;
                assert!(ids.is_sorted_by(follows), "in a row: {request:?} {ids:?}");
                let attempts = || request.attempts.iter().filter(|(other, _)| line(*other) == here);
                let in_this = || attempts().map(|(_, outcome)| outcome);
                if let Outcome::Published(answer) = outcome {
                    assert_eq!(*answer, ids, "{request:?}");
                    published.retried += usize::from(in_this().count() > 1);
                    if request.attempts.len() == 1 {
                        let first = answer.first().map(|id| (*reign, *id));
                        assert!(newest_in_order < first, "answers in another order: {request:?}");
                        newest_in_order = answer.last().map(|id| (*reign, *id));
                    }
                }
                let must_not = in_this().all(|outcome| matches!(outcome, Outcome::Refused));
                assert!(ids.is_empty() || !must_not, "refused and published: {request:?} {ids:?}");
                if in_this().all(|outcome| *outcome == Outcome::Cut) && !request.drafts.is_empty() {
                    published.cut_lost += usize::from(ids.is_empty());
                    published.cut_published += usize::from(!ids.is_empty());
                }
            }
        }
    }
}

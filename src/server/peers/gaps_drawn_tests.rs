//! Whatever a line goes through, and whoever is brought something meanwhile, at whatever pace: each hears one order, nothing twice,
//! and misses nothing that it was not told of.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::Value;
use support::handshake;

use crate::policy::line::{Continuation, Continuity};
use crate::policy::sequencer::PublicationId;
use crate::server::peers::house::House;

/// More than are visited in one turn, with those who are looked at.
const CROWD: usize = 140;

/// So few are enough for what waits to come from history.
const FLAGS: &str = "--outbox-limit 65536";

#[derive(Debug, Clone)]
enum Event {
    /// So many, of so many bytes.
    Publish(usize, usize),
    /// Another epoch begins behind one that is so many back.
    Cut(usize),
    /// It begins behind what is not known.
    Restart(u64),
    Connect,
    /// As somebody who has heard what one of those who are looked at has heard.
    Resume(prop::sample::Index),
    /// One of them takes so much and then no more.
    Take(prop::sample::Index, usize),
    Step,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..6usize, prop::sample::select(&[10, 10, 9_000][..])).prop_map(|(count, bytes)| Event::Publish(count, bytes)),
        3 => (0..8usize).prop_map(Event::Cut),
        1 => (0..9u64).prop_map(Event::Restart),
        2 => Just(Event::Connect),
        3 => any::<prop::sample::Index>().prop_map(Event::Resume),
        3 => (any::<prop::sample::Index>(), prop::sample::select(&[0, 500, 20_000, 80_000][..]))
            .prop_map(|(who, bytes)| Event::Take(who, bytes)),
        6 => Just(Event::Step),
    ]
}

/// All that was published, and what has become of it.
#[derive(Default)]
struct Truth {
    ids: Vec<String>,
    places: HashMap<String, usize>,
    /// By which gap each was lost.
    lost_by: Vec<Option<usize>>,
    /// How many had been published at each gap.
    gaps: Vec<usize>,
    /// Nothing before is known any more.
    forgotten: usize,
}

/// One who is looked at.
struct Ear {
    key: usize,
    /// What it hears follows so many,
    start: usize,
    /// and so many gaps.
    gaps: usize,
}

struct Story {
    house: House,
    truth: Truth,
    ears: Vec<Ear>,
    epoch: u32,
}

impl Story {
    fn new() -> Self {
        let mut house = House::with(FLAGS);
        let crowd: Vec<usize> = (0..CROWD).map(|_| house.admit(handshake("/ws"))).collect();
        house.step(&crowd);
        house.turn();
        Self { house, truth: Truth::default(), ears: vec![], epoch: 0xbeef }
    }

    fn play(&mut self, event: &Event) {
        match event {
            Event::Publish(count, bytes) => (0..*count).for_each(|_| self.publish(*bytes)),
            Event::Cut(back) => {
                let place = (self.truth.forgotten..self.truth.ids.len()).rev();
                let place = place.filter(|place| self.truth.lost_by[*place].is_none()).nth(*back);
                let Some(place) = place else { return };
                let after = self.truth.ids[place].parse().unwrap();
                if self.go_on(|epoch| Continuation::Epoch { epoch, after, is_lossy: false }).is_gap() {
                    let gap = Some(self.truth.gaps.len() - 1);
                    self.truth.lost_by[place + 1..].iter_mut().for_each(|lost_by| *lost_by = lost_by.or(gap));
                }
            }
            Event::Restart(first) => {
                self.go_on(|epoch| Continuation::Restart(PublicationId::new(epoch, *first)));
                self.truth.forgotten = self.truth.ids.len();
            }
            Event::Connect => self.connect("/ws", self.truth.ids.len()),
            Event::Resume(whose) if !self.ears.is_empty() => self.resume(whose.index(self.ears.len())),
            Event::Take(who, bytes) if !self.ears.is_empty() => {
                self.house.take(who.get(&self.ears).key, *bytes);
            }
            Event::Step => self.house.step(&[]),
            Event::Resume(_) | Event::Take(..) => {}
        }
    }

    /// Comes back as somebody who has heard the same, with the last id of that.
    fn resume(&mut self, whose: usize) {
        let whose = &self.ears[whose];
        let messages = self.house.messages(whose.key);
        let last = messages.last().unwrap();
        let id = ["id", "last_event_id"].into_iter().find_map(|name| last[name].as_str());
        let (Some(id), told) = (id, self.told(whose)) else { return };
        let (start, is_known) = match told.last() {
            // It was welcomed only.
            None => return,
            Some(Some(place)) => {
                let is_known = self.truth.lost_by[*place].is_none() && *place >= self.truth.forgotten;
                (place + 1, Some(is_known))
            }
            Some(None) => {
                let gap = whose.gaps + told.iter().filter(|told| told.is_none()).count() - 1;
                let start = self.truth.gaps[gap];
                for place in whose.start.max(self.truth.forgotten)..start {
                    let is_heard = self.truth.lost_by[place].is_some() || told.contains(&Some(place));
                    assert!(is_heard, "{id} comes ahead of {place}, which it is to follow: {told:?}");
                }
                (start, None)
            }
        };
        self.connect(&format!("/ws?last_event_id={id}"), start);
        let ear = self.ears.last_mut().unwrap();
        let is_resumed = self.house.messages(ear.key)[0]["resumed"] == true;
        if !is_resumed {
            ear.start = self.truth.ids.len();
        }
        assert!(is_known.is_none_or(|is_known| is_known == is_resumed), "it comes back with {id}");
    }

    fn publish(&mut self, bytes: usize) {
        let line = self.house.peers.line();
        let id = line.epochs().id(line.newest() + 1).unwrap().to_string();
        self.truth.places.insert(id.clone(), self.truth.ids.len());
        self.truth.ids.push(id);
        self.truth.lost_by.push(None);
        self.house.publish_to("notifications", &"x".repeat(bytes));
    }

    fn go_on(&mut self, continuation: impl FnOnce(u32) -> Continuation) -> Continuity {
        self.epoch += 1;
        let now = self.house.now();
        let continuity = self.house.peers.go_on_with(continuation(self.epoch), now);
        self.truth.gaps.extend(continuity.is_gap().then_some(self.truth.ids.len()));
        continuity
    }

    /// It takes little but its welcome.
    fn connect(&mut self, path: &str, start: usize) {
        let key = self.house.admit(handshake(path));
        self.house.ends[key].borrow_mut().room = 1000;
        self.house.step(&[key]);
        while self.house.ends[key].borrow().taken.is_empty() {
            self.house.step(&[]);
        }
        self.ears.push(Ear { key, start, gaps: self.truth.gaps.len() });
    }

    /// The places of what it was told, and nothing for each gap.
    fn told(&self, ear: &Ear) -> Vec<Option<usize>> {
        let place = |message: Value| match message["type"].as_str() {
            Some("notification") => Some(self.truth.places[message["id"].as_str().unwrap()]),
            Some("gap") => None,
            _ => panic!("it was told {message}"),
        };
        self.house.messages(ear.key).into_iter().skip(1).map(place).collect()
    }

    fn judge(&self, ear: &Ear) {
        let told = self.told(ear);
        let heard: Vec<usize> = told.iter().copied().flatten().collect();
        assert!(heard.is_sorted_by(|one, next| one < next), "twice, or in another order: {told:?}");
        assert!(heard.first().is_none_or(|first| *first >= ear.start), "too early: {told:?}");
        let mut gap = ear.gaps;
        for told in &told {
            match told {
                None => gap += 1,
                Some(place) => {
                    let next = self.truth.gaps.get(gap).copied().unwrap_or(usize::MAX);
                    assert!(*place < next, "{place} comes ahead of the news that there is a gap before it");
                    let lost_by = self.truth.lost_by[*place];
                    assert!(lost_by.is_none_or(|lost_by| lost_by >= gap), "{place} was lost by then");
                }
            }
        }
        assert_eq!(gap, self.truth.gaps.len(), "it is told once of each gap: {told:?}");
        for place in ear.start.max(self.truth.forgotten)..self.truth.ids.len() {
            let is_kept = self.truth.lost_by[place].is_none();
            assert!(!is_kept || heard.contains(&place), "{place} is missing: {told:?}");
        }
        // Without a gap on the way it has heard all.
        let last_gap = self.truth.gaps[ear.gaps..].first().copied().unwrap_or(self.truth.ids.len());
        let is_heard = |place: &usize| heard.contains(place);
        let until = heard.iter().rposition(|place| *place < last_gap).map_or(ear.start, |nth| heard[nth]);
        let missed: Vec<_> = (ear.start..until).filter(|place| !is_heard(place)).collect();
        let is_excused = |place: &usize| self.truth.lost_by[*place].is_some_and(|gap| gap < ear.gaps);
        assert!(missed.iter().all(is_excused), "missed {missed:?} on the way: {told:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nobody_hears_anything_twice_or_misses_it_untold(events in prop::collection::vec(event(), 10..60)) {
        let mut story = Story::new();
        events.iter().for_each(|event| story.play(event));
        for ear in &story.ears {
            story.house.take(ear.key, usize::MAX);
        }
        story.house.turn();
        story.ears.iter().for_each(|ear| story.judge(ear));
    }
}

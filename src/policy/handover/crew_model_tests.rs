//! A supervisor with two workers that hands over, and everything that can happen to it, in every order: what each worker and the
//! successor say, be it their turn or not, who ends, and time that passes whenever it likes. There are so few states that all of
//! them are seen.

use std::collections::HashSet;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);
const WORKERS: [WorkerId; 2] = [1, 2];
const OFFER: CrewStep = CrewStep::Offer { format: 1 };
const GIVEN_UP: CrewStep = CrewStep::GiveUp(Why::Garbled);

/// The moments that can be now: each wait can be over by one of them, and the next one, too, and at last the deadline.
const MOMENTS: [Duration; 5] =
    [Duration::ZERO, HOLDING, WINDING_UP, WINDING_UP.saturating_add(HOLDING), TIMEOUT];

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Heard(Heard),
    Said(WorkerId, Said),
    Gone(WorkerId),
    ToldToLeave,
    TimePasses,
    /// The supervisor does what is next; what it is to send can be sent, or not.
    GoesOn {
        is_sent: bool,
    },
}

fn all_events() -> Vec<Event> {
    let heard = [
        Heard::Hello { oldest: 1, newest: 1, most_descriptors: 10 },
        Heard::Ready,
        Heard::Taken(1),
        Heard::Prepared,
        Heard::Failed("no".to_owned()),
        Heard::Ended,
        Heard::Garbled,
    ];
    let says = |worker| {
        let moved = Said::Moved { moved: 1, stayed: 0 };
        let said = [Said::WoundUp, Said::Held, moved, Said::NotMoved("no".to_owned())];
        said.map(|said| Event::Said(worker, said)).into_iter().chain([Event::Gone(worker)])
    };
    let goes_on = [true, false].map(|is_sent| Event::GoesOn { is_sent });
    (heard.map(Event::Heard).into_iter())
        .chain(WORKERS.into_iter().flat_map(says))
        .chain([Event::ToldToLeave, Event::TimePasses])
        .chain(goes_on)
        .collect()
}

/// What has come to pass, as whoever looks on knows it.
#[derive(Debug, Clone, Default)]
struct Seen {
    steps: Vec<CrewStep>,
    /// When they were told to wind up, and to hold.
    winds_up_since: Option<Duration>,
    holds_since: Option<Duration>,
    has_wound_up: [bool; 2],
    is_held: [bool; 2],
    has_moved: [bool; 2],
    is_greeted: bool,
    is_ready: bool,
    is_prepared: bool,
    /// Nothing can come of it any more.
    is_spoilt: bool,
}

impl Seen {
    fn has(&self, step: &CrewStep) -> bool {
        self.steps.contains(step)
    }

    fn is_over(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, CrewStep::Commit | CrewStep::GiveUp(_)))
    }

    fn take_in(&mut self, event: &Event) {
        let nth = |worker: &WorkerId| usize::from(*worker == WORKERS[1]);
        let is_in_turn = match event {
            _ if self.is_over() => return,
            Event::TimePasses | Event::GoesOn { .. } => return,
            Event::Heard(Heard::Hello { .. }) => !std::mem::replace(&mut self.is_greeted, true),
            Event::Heard(Heard::Ready) => self.has(&OFFER) && !std::mem::replace(&mut self.is_ready, true),
            Event::Heard(Heard::Prepared) => {
                self.has(&CrewStep::Move) && !std::mem::replace(&mut self.is_prepared, true)
            }
            Event::Said(worker, Said::Moved { .. }) => {
                self.has(&CrewStep::Move) && !std::mem::replace(&mut self.has_moved[nth(worker)], true)
            }
            // Those may be on their way when it is no longer waited for them.
            Event::Said(worker, Said::WoundUp) => {
                self.has_wound_up[nth(worker)] |= self.has(&CrewStep::WindUp);
                true
            }
            Event::Said(worker, Said::Held) => {
                self.is_held[nth(worker)] |= self.has(&CrewStep::Hold);
                true
            }
            Event::Heard(_) | Event::Said(_, Said::NotMoved(_)) | Event::Gone(_) | Event::ToldToLeave => {
                false
            }
        };
        self.is_spoilt |= !is_in_turn;
    }

    /// Whether this may be next.
    fn allows(&self, step: &CrewStep, now: Duration) -> bool {
        let has_lasted = |since: Option<Duration>, wait| since.is_some_and(|since| now >= since + wait);
        let is_too_late = now >= TIMEOUT;
        let may_go_on = !self.is_spoilt && !is_too_late;
        match step {
            CrewStep::Offer { .. } => may_go_on && self.is_greeted,
            CrewStep::WindUp => may_go_on && self.is_ready,
            CrewStep::Hold => {
                may_go_on && (self.has_wound_up == [true; 2] || has_lasted(self.winds_up_since, WINDING_UP))
            }
            CrewStep::Move => {
                may_go_on && (self.is_held == [true; 2] || has_lasted(self.holds_since, HOLDING))
            }
            CrewStep::Commit => may_go_on && self.has_moved == [true; 2] && self.is_prepared,
            CrewStep::GiveUp(_) => self.is_spoilt || is_too_late,
        }
    }
}

#[derive(Debug, Clone)]
struct Story {
    start: Instant,
    moment: usize,
    crew: CrewPredecessor,
    seen: Seen,
}

impl Story {
    fn begin() -> Self {
        let start = Instant::now();
        let own = Predecessor::new([1, 1], 1, start + TIMEOUT);
        Self { start, moment: 0, crew: CrewPredecessor::new(own, WORKERS), seen: Seen::default() }
    }

    fn now(&self) -> Duration {
        MOMENTS[self.moment]
    }

    /// What comes of this; `None` if it cannot happen.
    fn after(&self, event: &Event) -> Option<Self> {
        let mut next = self.clone();
        next.seen.take_in(event);
        let now = self.start + self.now();
        match event {
            Event::Heard(heard) => next.crew.on_heard(heard.clone(), now),
            Event::Said(worker, said) => next.crew.on_said(*worker, said.clone()),
            Event::Gone(worker) => next.crew.on_gone(*worker),
            Event::ToldToLeave => next.crew.on_leaving(),
            Event::TimePasses if self.moment + 1 < MOMENTS.len() => next.moment += 1,
            Event::TimePasses => return None,
            Event::GoesOn { is_sent } => next.go_on(*is_sent)?,
        }
        Some(next)
    }

    fn go_on(&mut self, is_sent: bool) -> Option<()> {
        let step = self.crew.poll(self.start + self.now())?;
        assert!(!self.seen.is_over(), "{step:?} after the end: {self:#?}");
        assert!(!self.seen.has(&step), "{step:?} once more: {self:#?}");
        assert!(self.seen.allows(&step, self.now()), "{step:?} now: {self:#?}");
        match &step {
            CrewStep::Offer { .. } | CrewStep::Move if !is_sent => {
                self.seen.is_spoilt = true;
                self.crew.on_failed("cannot send".to_owned());
            }
            _ if !is_sent => return None,
            CrewStep::WindUp => self.seen.winds_up_since = Some(self.now()),
            CrewStep::Hold => self.seen.holds_since = Some(self.now()),
            CrewStep::Move => self.crew.moving(),
            CrewStep::Offer { .. } | CrewStep::Commit | CrewStep::GiveUp(_) => {}
        }
        match step {
            // Whatever was before does not matter any more.
            CrewStep::Commit => self.seen = Seen { steps: vec![step], ..Seen::default() },
            CrewStep::GiveUp(_) => self.seen = Seen { steps: vec![GIVEN_UP], ..Seen::default() },
            _ => self.seen.steps.push(step),
        }
        Some(())
    }

    /// All that it does now.
    fn steps(&self) -> Vec<CrewStep> {
        let mut story = self.clone();
        while story.go_on(true).is_some() {}
        story.seen.steps
    }

    fn check(&self) {
        let steps = self.steps();
        let is_over = steps.iter().any(|step| matches!(step, CrewStep::Commit | CrewStep::GiveUp(_)));
        let must_be_over = self.now() >= TIMEOUT || self.seen.is_spoilt;
        assert!(is_over || !must_be_over, "it goes on for ever: {self:#?}");
        if self.seen.is_over() {
            return;
        }
        let is_held = self.seen.has(&CrewStep::Hold);
        assert_eq!(self.crew.is_held(), is_held, "workers are to blame for their silence, or not: {self:#?}");
        if steps != self.seen.steps {
            return;
        }
        // It says itself when it is to be woken.
        let wakes_at = self.crew.next_deadline();
        assert!(wakes_at <= self.start + TIMEOUT, "{self:#?}");
        for moment in self.moment..MOMENTS.len() {
            let later = Self { moment, ..self.clone() };
            let is_awake = later.steps() != steps;
            assert_eq!(
                is_awake,
                later.start + later.now() >= wakes_at,
                "it sleeps too long, or spins: {later:#?}"
            );
        }
    }
}

/// Every story that there is: how many have ended with a commitment, and how many without.
fn tell_all() -> [usize; 2] {
    let (events, mut seen, mut ends) = (all_events(), HashSet::new(), [0, 0]);
    let mut open = vec![Story::begin()];
    while let Some(story) = open.pop() {
        story.check();
        match story.seen.steps.last() {
            Some(CrewStep::Commit) => ends[0] += 1,
            Some(CrewStep::GiveUp(_)) => ends[1] += 1,
            _ => {}
        }
        let next = events.iter().filter_map(|event| story.after(event));
        open.extend(next.filter(|next| seen.insert(format!("{next:?}"))));
    }
    ends
}

#[test]
fn whatever_happens_in_whatever_order_all_workers_are_the_successor_s_or_none_is() {
    let [committed, given_up] = tell_all();
    assert!(committed > 10 && given_up > 100, "{committed} {given_up}");
}

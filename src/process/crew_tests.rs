//! A crew in virtual time: its workers are the ends of links, and do what they are told.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::policy::roster::Doing;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::link::{ToSupervisor, next};
use crate::wire::metrics::Handover;

const SECOND: Duration = Duration::from_secs(1);

const TERMS: CrewTerms = CrewTerms {
    workers: 2,
    epoch: 7,
    history: HistoryLimits { publications: 10, bytes: 1 << 20, age: SECOND },
    times: Times {
        healthcheck: Duration::from_secs(5),
        drain_delay: Duration::from_secs(10),
        grace: Duration::from_secs(1800),
        report_interval: Duration::from_secs(5),
    },
    notify_interval: None,
};

struct Story {
    crew: Crew<Wire>,
    now: Now,
    /// The worker of each number.
    ends: Vec<Rc<RefCell<FarEnd>>>,
}

impl Story {
    /// All workers serve.
    fn serving() -> Self {
        let now = Now::read();
        let mut story = Self { crew: Crew::new(TERMS, now), now, ends: vec![] };
        story.turn(&[]);
        story.ends.iter().for_each(|end| end.borrow_mut().say(&ToSupervisor::Ready));
        story.turn(&[]);
        assert!(story.crew.is_complete());
        (0..2).for_each(|worker| _ = story.told(worker));
        story
    }

    fn turn(&mut self, signals: &[Signal]) -> Vec<Step> {
        let ready = (0..).take(self.ends.len()).collect();
        self.handle(Arrived { ready, signals: signals.to_vec(), ended: vec![], engine: vec![] })
    }

    /// What the caller is to do, apart from what is done here.
    fn handle(&mut self, arrived: Arrived) -> Vec<Step> {
        self.crew.handle(arrived, self.now);
        let mut steps = vec![];
        while let Some(step) = self.crew.poll() {
            match step {
                Step::Start { worker, .. } => {
                    self.ends.push(FarEnd::open());
                    self.crew.admit(worker, worker + 1, 0, Wire(self.ends[worker as usize].clone()));
                }
                Step::Look { worker } => {
                    let doing = Doing::Runnable;
                    self.crew.on_seen(worker, Some(Sight { doing, worked: Duration::ZERO, stirred: 0 }));
                }
                Step::Beat => {}
                step => steps.push(step),
            }
        }
        self.crew.settle();
        steps
    }

    /// What a worker was told, apart from beats.
    fn told(&self, worker: usize) -> Vec<String> {
        let octets = std::mem::take(&mut self.ends[worker].borrow_mut().taken);
        let mut input = &octets[..];
        let messages = std::iter::from_fn(|| next::<ToWorker<'_>>(&mut input).unwrap());
        messages.filter(|message| *message != ToWorker::Beat).map(|message| format!("{message:?}")).collect()
    }
}

#[test]
fn a_crew_serves_on_for_its_delay_and_then_waits_for_thirty_minutes_and_for_its_last_worker() {
    let mut story = Story::serving();
    let begun = story.now.instant;
    let (mut lines, mut reports, mut signals) = (vec![], 0, vec![Signal::Leave("SIGTERM")]);
    while story.now.instant < begun + 1900 * SECOND {
        for step in story.turn(&std::mem::take(&mut signals)) {
            let seconds = (story.now.instant - begun).as_secs();
            match step {
                Step::Drain(drain::Step::Close) => {
                    story.ends.iter().for_each(|end| end.borrow_mut().say(&ToSupervisor::Closed));
                    story.crew.snapshot();
                }
                Step::Drain(drain::Step::Waiting { remaining, .. }) => {
                    reports += 1;
                    assert_eq!(Some(remaining), story.crew.remaining());
                }
                step => lines.push(format!("{seconds} {step}")),
            }
        }
        let timeout = story.crew.next_timeout().expect("there are always beats");
        assert!(!timeout.is_zero(), "it spins");
        let is_woken = story.ends.iter().any(|end| !end.borrow().said.is_empty());
        story.now.instant += if is_woken { Duration::ZERO } else { timeout };
    }
    let announced = story.crew.relay.overview(story.now.instant).drain.expect("it leaves");
    assert_eq!(announced.deadline_unix_ms - announced.since_unix_ms, 1_810_000);
    assert_eq!(announced.origin, "SIGTERM");
    assert_eq!(lines, ["0 Shutdown signal received", "10 Graceful shutdown initiated"]);
    assert_eq!((reports, story.told(1)), (378, vec!["Close".to_owned(), "Leave".to_owned()]));
    let ended = vec![(0, Exit::Code(0)), (1, Exit::Code(1))];
    let steps = story.handle(Arrived { ended, ..Arrived::default() });
    assert_eq!(steps, [Step::Drain(drain::Step::Complete(drain::Outcome::Forced))]);
}

#[test]
fn a_worker_that_was_sent_the_same_signal_is_not_told_to_leave_alone() {
    let mut story = Story::serving();
    story.ends[0].borrow_mut().say(&ToSupervisor::Signalled);
    assert_eq!(story.turn(&[Signal::Leave("SIGTERM")]), [Step::Drain(drain::Step::SignalReceived)]);
    story.ends[0].borrow_mut().say(&ToSupervisor::Signalled);
    assert_eq!(story.turn(&[]), []);
    assert_eq!(story.told(0), [""; 0]);
}

#[test]
fn a_link_without_memory_is_tried_again_though_no_event_announces_any() {
    let mut story = Story::serving();
    story.ends[0].borrow_mut().is_short = true;
    story.ends[0].borrow_mut().say(&ToSupervisor::Sync);
    story.turn(&[]);
    let timeout = story.crew.next_timeout().unwrap();
    assert!(!timeout.is_zero() && timeout < SECOND / 2, "{timeout:?}");
    story.ends[0].borrow_mut().is_short = false;
    story.now.instant += timeout;
    story.handle(Arrived::default());
    assert_eq!(story.told(0), ["Synced"]);
}

#[test]
fn what_a_worker_has_said_before_its_end_is_heard_in_the_turn_in_which_it_has_ended() {
    let mut story = Story::serving();
    story.ends[0].borrow_mut().say(&ToSupervisor::Drain("somebody".to_owned()));
    let exit = Exit::Code(0);
    let steps = story.handle(Arrived { ended: vec![(0, exit)], ..Arrived::default() });
    let ended = Step::Ended { slot: 0, exit, back_off: Duration::ZERO };
    assert_eq!(steps, [Step::Drain(drain::Step::SignalReceived), ended]);
}

#[test]
fn a_successor_publishes_nothing_before_all_is_its_own() {
    let now = Now::read();
    let terms = CrewTerms { notify_interval: Some(SECOND), ..TERMS };
    let mut story = Story { crew: Crew::new(terms, now), now, ends: vec![] };
    story.crew.await_predecessor();
    story.turn(&[]);
    story.now.instant += 2 * SECOND;
    story.turn(&[]);
    assert_eq!(story.crew.relay.overview(story.now.instant).publications, 0);
    assert!(story.crew.next_timeout().is_none_or(|timeout| !timeout.is_zero()), "it spins");
    story.crew.succeed(None, Handover::default());
    story.turn(&[]);
    assert_eq!(story.crew.relay.overview(story.now.instant).publications, 1);
}

#[test]
fn a_worker_that_has_ended_before_it_could_serve_is_started_again_once_all_is_the_successor_s() {
    let now = Now::read();
    let mut story = Story { crew: Crew::new(CrewTerms { workers: 1, ..TERMS }, now), now, ends: vec![] };
    story.crew.await_predecessor();
    story.turn(&[]);
    story.crew.handle(Arrived { ended: vec![(0, Exit::Signal(9))], ..Arrived::default() }, now);
    story.crew.succeed(None, Handover::default());
    let ended = Step::Ended { slot: 0, exit: Exit::Signal(9), back_off: Duration::ZERO };
    assert_eq!((story.turn(&[]), story.ends.len()), (vec![ended], 2));
}

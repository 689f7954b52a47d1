//! A roster in virtual time: a story of what becomes of workers, and what is done about it.

use std::collections::BTreeMap;

use super::*;
use crate::policy::drain;

pub(super) const HEALTHCHECK: Duration = Duration::from_secs(5);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const TIMES: Times = Times {
    healthcheck: HEALTHCHECK,
    drain_delay: Duration::ZERO,
    grace: Duration::from_secs(1800),
    report_interval: HEALTHCHECK,
};

pub(super) struct Story {
    pub roster: Roster,
    pub now: Instant,
    begun: Instant,
    /// Those who do not answer, what is seen of their processes, and which part of a processor they have.
    pub silent: BTreeMap<WorkerId, (Option<Doing>, f64)>,
}

impl Story {
    /// So many workers, all of them serving.
    pub fn serving(count: u32) -> Self {
        Self::serving_at(count, TIMES)
    }

    pub fn serving_at(count: u32, times: Times) -> Self {
        let mut story = Self::starting_at(count, times);
        (0..count).for_each(|worker| story.roster.on_ready(worker, story.now));
        assert_eq!(story.steps(), [Step::Assembled]);
        story
    }

    pub fn starting(count: u32) -> Self {
        Self::starting_at(count, TIMES)
    }

    fn starting_at(count: u32, times: Times) -> Self {
        let now = Instant::now();
        let roster = Roster::new(count as usize, times, now);
        let mut story = Self { roster, now, begun: now, silent: BTreeMap::new() };
        let started: Vec<Step> =
            (0..count).map(|worker| Step::Start { worker, slot: worker as usize }).collect();
        assert_eq!(story.steps(), started);
        story
    }

    /// What is done now, apart from beats, looks and orders to close, which are answered, and reports.
    pub fn steps(&mut self) -> Vec<Step> {
        let mut steps = vec![];
        while let Some(step) = self.roster.poll(self.now) {
            match step {
                Step::Beat => self.live().into_iter().for_each(|id| self.roster.on_heard(id)),
                Step::Drain(drain::Step::Waiting { .. }) => {}
                Step::Drain(drain::Step::Close) => {
                    let served = |id: &WorkerId| self.roster.worker(*id).is_some_and(Worker::has_served);
                    let closing: Vec<WorkerId> = self.live().into_iter().filter(served).collect();
                    closing.into_iter().for_each(|id| self.roster.on_closed(id));
                }
                Step::Look { worker } => {
                    let (doing, share) = self.silent.get(&worker).copied().unwrap_or((None, 0.0));
                    let worked = (self.now - self.begun).mul_f64(share);
                    let sight = doing.map(|doing| Sight { doing, worked, stirred: 0 });
                    self.roster.on_seen(worker, sight, self.now);
                }
                step => steps.push(step),
            }
        }
        steps
    }

    /// Those who do what they are told.
    fn live(&self) -> Vec<WorkerId> {
        let ids = self.roster.workers.iter().map(|worker| worker.id);
        ids.filter(|id| !self.silent.contains_key(id)).collect()
    }

    /// What is done until this much later, by whoever sleeps until the deadlines.
    pub fn pass(&mut self, duration: Duration) -> Vec<Step> {
        let (end, mut steps) = (self.now + duration, vec![]);
        while let Some(deadline) = self.roster.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            steps.extend(self.steps());
        }
        self.now = end;
        steps
    }

    /// How long it takes until something is done, and what.
    pub fn until_done(&mut self) -> (Duration, Vec<Step>) {
        let begun = self.now;
        loop {
            self.now = self.now.max(self.roster.deadline().expect("there are always beats"));
            let steps = self.steps();
            if !steps.is_empty() || self.now > begun + 10 * HOUR {
                return (self.now - begun, steps);
            }
        }
    }

    /// A worker answers no more, and this is seen of it.
    pub fn silence(&mut self, worker: WorkerId, doing: Option<Doing>, share: f64) {
        self.silent.insert(worker, (doing, share));
    }

    pub fn exit(&mut self, worker: WorkerId, exit: Exit) -> Vec<Step> {
        self.roster.on_exit(worker, exit, self.now);
        self.steps()
    }
}

pub(super) fn ended(slot: SlotId, exit: Exit, back_off_ms: u64) -> Step {
    Step::Ended { slot, exit, back_off: Duration::from_millis(back_off_ms) }
}

pub(super) const KILLED: Exit = Exit::Signal(9);

#[test]
fn a_worker_that_dies_is_replaced_at_once() {
    let mut story = Story::serving(2);
    let expected = [ended(1, KILLED, 0), Step::Start { worker: 2, slot: 1 }];
    assert_eq!(story.exit(1, KILLED), expected);
    assert_eq!(expected[0].to_string(), "Worker 2 was killed by signal 9: starting another now");
}

#[test]
fn whatever_keeps_breaking_is_started_less_and_less_often_up_to_30_seconds_and_never_given_up() {
    // As long as others serve, and when nobody does; ready or not before it breaks.
    for (count, exit, is_ready) in
        [(2, Exit::Code(1), false), (1, Exit::NotStarted, false), (1, KILLED, true), (2, Exit::Code(0), true)]
    {
        let mut story = Story::serving(count);
        let mut pauses = vec![];
        for worker in count - 1..count + 100 {
            let steps = story.exit(worker, exit);
            let Step::Ended { back_off, .. } = steps[0] else { panic!("{steps:?}") };
            pauses.push(back_off.as_millis());
            let started = steps.len() > 1 || !story.pass(back_off).is_empty();
            assert!(started);
            if is_ready {
                story.roster.on_ready(worker + 1, story.now);
                assert_eq!(story.pass(HEALTHY - SECOND), []);
            }
        }
        assert_eq!(pauses[..9], [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
        assert!(pauses[9..].iter().all(|pause| *pause == 30_000));
    }
}

#[test]
fn a_worker_that_has_served_for_long_is_replaced_at_once_however_often() {
    let mut story = Story::serving(1);
    for worker in 0..20 {
        assert_eq!(story.pass(HEALTHY + SECOND), []);
        let next = worker + 1;
        assert_eq!(story.exit(worker, KILLED), [ended(0, KILLED, 0), Step::Start { worker: next, slot: 0 }]);
        story.roster.on_ready(next, story.now);
    }
}

#[test]
fn workers_that_cannot_start_at_all_end_the_server_once_none_is_left() {
    let mut story = Story::starting(2);
    assert_eq!(story.exit(1, Exit::Code(3)), [], "the other may be about to serve");
    let steps = story.exit(0, Exit::Code(3));
    assert_eq!(steps, [Step::GiveUp { slot: 0, exit: Exit::Code(3) }]);
    assert_eq!(
        steps[0].to_string(),
        "cannot start workers: worker 1 ended with exit code 3 before it served"
    );
}

#[test]
fn one_that_did_not_start_is_tried_again_once_another_serves() {
    let mut story = Story::starting(2);
    assert_eq!(story.exit(1, Exit::NotStarted), []);
    story.roster.on_ready(0, story.now);
    assert_eq!(story.steps(), [ended(1, Exit::NotStarted, 0), Step::Start { worker: 2, slot: 1 }]);
}

#[test]
fn whoever_leaves_is_left_alone_when_a_new_program_breaks() {
    let mut story = Story::serving(1);
    story.roster.on_signalled(0, story.now);
    let down = Step::StepDown { worker: 0, slot: 0, is_last: false };
    assert_eq!(story.steps(), [down, Step::Start { worker: 1, slot: 0 }]);
    story.roster.on_ready(1, story.now);
    for worker in 1..20 {
        let mut steps = story.exit(worker, Exit::Code(7));
        steps.extend(story.pass(LONGEST_BACK_OFF));
        assert!(matches!(steps[..], [Step::Ended { .. }, Step::Start { .. }]), "{steps:?}");
        story.roster.on_ready(worker + 1, story.now);
    }
    assert!(story.roster.worker(0).is_some());
}

#[test]
fn a_worker_told_to_leave_by_a_signal_has_a_successor_at_once() {
    let mut story = Story::serving(2);
    story.roster.on_signalled(0, story.now);
    let down = Step::StepDown { worker: 0, slot: 0, is_last: false };
    assert_eq!(story.steps(), [down, Step::Start { worker: 2, slot: 0 }]);
    assert_eq!(story.exit(0, Exit::Code(0)), []);
}

#[test]
fn one_that_is_told_so_before_it_serves_is_ended_and_followed_by_another() {
    let mut story = Story::serving(1);
    story.exit(0, KILLED);
    story.roster.on_signalled(1, story.now);
    assert_eq!(story.steps(), [Step::Withdraw { worker: 1, slot: 0 }, Step::Start { worker: 2, slot: 0 }]);
    assert_eq!(story.exit(1, KILLED), []);
}

#[test]
fn workers_are_added_and_taken_away_but_never_the_last() {
    let mut story = Story::serving(1);
    story.roster.shrink(story.now);
    assert_eq!(story.steps(), []);
    story.roster.grow(story.now);
    assert_eq!(story.steps(), [Step::Start { worker: 1, slot: 1 }]);
    story.roster.on_ready(1, story.now);
    story.roster.shrink(story.now);
    let down = Step::StepDown { worker: 1, slot: 1, is_last: true };
    assert_eq!(story.steps(), [Step::CloseSlot { slot: 1 }, down]);
    assert_eq!(story.exit(1, Exit::Code(0)), []);
    assert!(story.roster.is_complete());
}

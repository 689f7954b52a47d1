//! A roster in virtual time: a story of what becomes of workers, and what is done about it.

use super::*;

const HEALTHCHECK: Duration = Duration::from_secs(5);

struct Story {
    roster: Roster,
    now: Instant,
}

impl Story {
    /// So many workers, all of them serving.
    fn serving(count: u32) -> Self {
        let mut story = Self::starting(count);
        (0..count).for_each(|worker| story.roster.on_ready(worker, story.now));
        assert!(story.roster.is_complete());
        story
    }

    fn starting(count: u32) -> Self {
        let now = Instant::now();
        let mut story = Self { roster: Roster::new(count as usize, HEALTHCHECK, now), now };
        let started: Vec<Step> =
            (0..count).map(|worker| Step::Start { worker, slot: worker as usize }).collect();
        assert_eq!(story.steps(), started);
        story
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.roster.poll(self.now)).collect()
    }

    /// What is done until this much later, beats apart, by whoever sleeps until the deadlines.
    fn pass(&mut self, duration: Duration) -> Vec<Step> {
        let (end, mut steps) = (self.now + duration, vec![]);
        while let Some(deadline) = self.roster.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            steps.extend(self.steps());
        }
        self.now = end;
        steps.retain(|step| *step != Step::Beat);
        steps
    }

    fn exit(&mut self, worker: WorkerId, exit: Exit) -> Vec<Step> {
        self.roster.on_exit(worker, exit, self.now);
        self.steps()
    }
}

fn ended(slot: SlotId, exit: Exit, back_off_ms: u64) -> Step {
    Step::Ended { slot, exit, back_off: Duration::from_millis(back_off_ms) }
}

const KILLED: Exit = Exit::Signal(9);

#[test]
fn a_worker_that_dies_is_replaced_at_once() {
    let mut story = Story::serving(2);
    let expected = [ended(1, KILLED, 0), Step::Start { worker: 2, slot: 1 }];
    assert_eq!(story.exit(1, KILLED), expected);
    assert_eq!(expected[0].to_string(), "Worker 2 was killed by signal 9: starting another now");
}

#[test]
fn one_that_keeps_dying_is_started_less_and_less_often_up_to_30_seconds() {
    let mut story = Story::serving(2);
    let mut pauses = vec![];
    for worker in 1..12 {
        let steps = story.exit(worker, Exit::Code(1));
        let Step::Ended { back_off, .. } = steps[0] else { panic!("{steps:?}") };
        pauses.push(back_off.as_millis());
        story.roster.on_heard(0);
        let mut started = steps.len() > 1;
        while !started {
            story.roster.on_heard(0);
            started = story.pass(Duration::from_millis(250)).iter().any(|s| matches!(s, Step::Start { .. }));
        }
    }
    assert_eq!(pauses, [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn a_worker_that_has_served_for_long_is_replaced_at_once_however_often() {
    let mut story = Story::serving(1);
    for worker in 0..20 {
        for _ in 0..11 {
            story.roster.on_heard(worker);
            assert_eq!(story.pass(Duration::from_secs(1)), []);
        }
        let next = worker + 1;
        assert_eq!(story.exit(worker, KILLED), [ended(0, KILLED, 0), Step::Start { worker: next, slot: 0 }]);
        story.roster.on_ready(next, story.now);
    }
}

#[test]
fn workers_that_cannot_start_at_all_end_the_server() {
    let mut story = Story::starting(2);
    let steps = story.exit(1, Exit::Code(3));
    assert_eq!(steps, [Step::GiveUp { slot: 1, exit: Exit::Code(3) }]);
    assert_eq!(
        steps[0].to_string(),
        "cannot start workers: worker 2 ended with exit code 3 before it served"
    );
}

#[test]
fn a_server_that_has_served_gives_up_only_after_several_attempts_with_nobody_left() {
    let mut story = Story::serving(1);
    let mut attempts = 0;
    let mut steps = story.exit(0, KILLED);
    while !steps.iter().any(|step| matches!(step, Step::GiveUp { .. })) {
        let started = steps.iter().find_map(|step| match step {
            Step::Start { worker, .. } => Some(*worker),
            _ => None,
        });
        steps = match started {
            Some(worker) => {
                attempts += 1;
                story.exit(worker, Exit::NotStarted)
            }
            None => story.pass(Duration::from_millis(250)),
        };
    }
    assert_eq!(attempts, STARTS_AT_MOST);
}

#[test]
fn a_silent_worker_is_killed_after_the_healthcheck_and_one_that_answers_is_not() {
    let mut story = Story::serving(2);
    let begun = story.now;
    let kill = Step::Kill { worker: 1, slot: 1, why: Failing::ToAnswer };
    loop {
        story.roster.on_heard(0);
        let steps = story.pass(Duration::from_millis(100));
        if !steps.is_empty() {
            assert_eq!(steps, [kill]);
            break;
        }
    }
    let waited = story.now - begun;
    assert!((HEALTHCHECK..HEALTHCHECK + Duration::from_millis(1200)).contains(&waited), "{waited:?}");
    assert_eq!(kill.to_string(), "Worker 2 does not answer: killing it");
}

#[test]
fn what_the_supervisor_has_slept_through_is_nobodys_silence() {
    let mut story = Story::serving(1);
    story.now += Duration::from_secs(3600);
    assert_eq!(story.steps(), [Step::Beat]);
}

#[test]
fn a_worker_that_does_not_start_in_time_is_killed() {
    let mut story = Story::starting(1);
    let kill = Step::Kill { worker: 0, slot: 0, why: Failing::ToStart };
    assert_eq!(story.pass(STARTUP + Duration::from_secs(1)), [kill]);
    assert_eq!(story.exit(0, KILLED), [Step::GiveUp { slot: 0, exit: KILLED }]);
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
fn a_reload_replaces_one_after_the_other_each_once_its_successor_serves() {
    let mut story = Story::serving(2);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Start { worker: 2, slot: 0 }]);
    story.roster.on_ready(2, story.now);
    let down = |worker, slot| Step::StepDown { worker, slot, is_last: false };
    assert_eq!(story.steps(), [down(0, 0), Step::Start { worker: 3, slot: 1 }]);
    story.roster.on_ready(3, story.now);
    assert_eq!(story.steps(), [down(1, 1), Step::Reloaded]);
    assert!(story.roster.is_complete());
}

#[test]
fn a_reload_asked_for_during_another_follows_it() {
    let mut story = Story::serving(1);
    story.roster.reload(story.now);
    story.roster.reload(story.now);
    story.roster.reload(story.now);
    let start = |worker| Step::Start { worker, slot: 0 };
    let down = |worker| Step::StepDown { worker, slot: 0, is_last: false };
    assert_eq!(story.steps(), [start(1)]);
    story.roster.on_ready(1, story.now);
    assert_eq!(story.steps(), [down(0), start(2)]);
    story.roster.on_ready(2, story.now);
    assert_eq!(story.steps(), [down(1), Step::Reloaded]);
}

#[test]
fn a_program_that_cannot_start_leaves_the_old_workers_as_they_are() {
    let mut story = Story::serving(2);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Start { worker: 2, slot: 0 }]);
    let failed = Step::ReloadFailed { slot: 0, exit: Exit::Code(2) };
    assert_eq!(story.exit(2, Exit::Code(2)), [failed]);
    assert!(story.roster.is_complete());
    assert!(failed.to_string().contains("the old workers stay"));
}

#[test]
fn workers_are_added_and_taken_away_but_never_the_last() {
    let mut story = Story::serving(1);
    story.roster.shrink();
    assert_eq!(story.steps(), []);
    story.roster.grow(story.now);
    assert_eq!(story.steps(), [Step::Start { worker: 1, slot: 1 }]);
    story.roster.on_ready(1, story.now);
    story.roster.shrink();
    assert_eq!(story.steps(), [Step::StepDown { worker: 1, slot: 1, is_last: true }]);
    assert_eq!(story.exit(1, Exit::Code(0)), []);
    assert!(story.roster.is_complete());
}

#[test]
fn the_server_ends_when_the_last_worker_has_ended() {
    let mut story = Story::serving(2);
    story.roster.leave();
    assert_eq!(story.steps(), [Step::LeaveAll]);
    assert_eq!(story.exit(1, Exit::Code(0)), []);
    story.roster.on_signalled(0, story.now);
    assert_eq!(story.exit(0, Exit::Code(0)), [Step::Complete(Outcome::Drained)]);
    assert_eq!(story.steps(), []);
}

#[test]
fn one_forced_worker_makes_the_end_a_forced_one() {
    for (exit, outcome) in [(Exit::Code(1), Outcome::Forced), (KILLED, Outcome::Forced)] {
        let mut story = Story::serving(2);
        story.roster.leave();
        story.exit(0, exit);
        assert_eq!(story.exit(1, Exit::Code(0)), [Step::Complete(outcome)]);
    }
}

#[test]
fn a_second_signal_insists() {
    let mut story = Story::serving(1);
    story.roster.leave();
    story.roster.leave();
    assert_eq!(story.steps(), [Step::LeaveAll, Step::InsistAll]);
    assert_eq!(story.exit(0, Exit::Code(1)), [Step::Complete(Outcome::Forced)]);
}

#[test]
fn a_worker_that_freezes_while_all_leave_is_killed_too() {
    let mut story = Story::serving(1);
    story.roster.leave();
    story.steps();
    let steps = story.pass(HEALTHCHECK * 2);
    assert_eq!(steps, [Step::Kill { worker: 0, slot: 0, why: Failing::ToAnswer }]);
}

//! How reloads go, and how they go wrong.

use std::time::Duration;

use super::super::tests::{HEALTHCHECK, KILLED, Story, ended};
use super::super::{Doing, Exit, Failing, LONGEST_BACK_OFF, SlotId, Step, Symptom, WorkerId};

fn start(worker: WorkerId, slot: SlotId) -> Step {
    Step::Start { worker, slot }
}

fn down(worker: WorkerId, slot: SlotId) -> Step {
    Step::StepDown { worker, slot, is_last: false }
}

#[test]
fn a_reload_replaces_one_after_the_other_each_once_its_successor_serves() {
    let mut story = Story::serving(2);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Reloading, start(2, 0)]);
    story.roster.on_ready(2, story.now);
    assert_eq!(story.steps(), [down(0, 0), start(3, 1)]);
    story.roster.on_ready(3, story.now);
    assert_eq!(story.steps(), [down(1, 1), Step::Reloaded]);
    assert!(story.roster.is_complete());
}

#[test]
fn a_reload_asked_for_during_another_replaces_it_and_whoever_has_not_served_yet() {
    let mut story = Story::serving(2);
    story.roster.reload(story.now);
    story.steps();
    story.roster.on_ready(2, story.now);
    assert_eq!(story.steps(), [down(0, 0), start(3, 1)]);
    // The new program hangs, now.
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Withdraw { worker: 3, slot: 1 }, Step::Reloading, start(4, 0)]);
    assert_eq!(story.exit(3, KILLED), []);
    story.roster.on_ready(4, story.now);
    assert_eq!(story.steps(), [down(2, 0), start(5, 1)]);
    story.roster.on_ready(5, story.now);
    assert_eq!(story.steps(), [down(1, 1), Step::Reloaded]);
}

#[test]
fn a_reload_waits_until_all_workers_have_served_for_the_first_time() {
    let mut story = Story::starting(2);
    story.roster.on_ready(0, story.now);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), []);
    story.roster.on_ready(1, story.now);
    assert_eq!(story.steps(), [Step::Assembled, Step::Reloading, start(2, 0)]);
    let failed = Step::ReloadFailed { slot: 0, exit: Exit::Code(1), has_served: false };
    assert_eq!(story.exit(2, Exit::Code(1)), [failed]);
    assert!(story.roster.is_complete(), "the old workers stay");
}

#[test]
fn a_reload_waits_for_workers_that_start_anyway() {
    let mut story = Story::serving(3);
    assert_eq!(story.exit(1, KILLED), [ended(1, KILLED, 0), start(3, 1)]);
    story.roster.reload(story.now);
    // One that was started by the program of before, and one by the program of now.
    assert_eq!(story.exit(2, KILLED), [ended(2, KILLED, 0), Step::Reloading, start(4, 0), start(5, 2)]);
    story.roster.on_ready(4, story.now);
    assert_eq!(story.steps(), [down(0, 0)]);
    story.roster.on_ready(5, story.now);
    assert_eq!(story.steps(), []);
    story.roster.on_ready(3, story.now);
    assert_eq!(story.steps(), [start(6, 1)]);
    story.roster.on_ready(6, story.now);
    assert_eq!(story.steps(), [down(3, 1), Step::Reloaded]);
}

#[test]
fn an_attempt_that_is_told_to_leave_is_followed_by_another() {
    let mut story = Story::serving(1);
    story.roster.reload(story.now);
    story.steps();
    story.roster.on_signalled(1, story.now);
    assert_eq!(story.steps(), [Step::Withdraw { worker: 1, slot: 0 }, start(2, 0)]);
    story.roster.on_ready(2, story.now);
    assert_eq!(story.steps(), [down(0, 0), Step::Reloaded]);
}

#[test]
fn a_new_program_need_not_wait_for_what_the_last_one_has_failed_in() {
    let mut story = Story::serving(1);
    for worker in 0..10 {
        story.exit(worker, Exit::NotStarted);
        story.pass(if worker < 9 { LONGEST_BACK_OFF } else { Duration::ZERO });
    }
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Reloading, start(10, 0)]);
    story.roster.on_ready(10, story.now);
    assert_eq!(story.steps(), [Step::Reloaded]);
}

#[test]
fn a_program_that_cannot_start_leaves_the_old_workers_as_they_are() {
    let mut story = Story::serving(2);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Reloading, start(2, 0)]);
    let failed = Step::ReloadFailed { slot: 0, exit: Exit::Code(2), has_served: false };
    assert_eq!(story.exit(2, Exit::Code(2)), [failed]);
    assert!(story.roster.is_complete());
    assert!(failed.to_string().contains("the old workers stay"));
}

#[test]
fn a_reload_that_stops_for_a_program_that_hangs_does_not_blame_a_signal() {
    let mut story = Story::serving(1);
    story.roster.reload(story.now);
    story.steps();
    story.silence(1, Some(Doing::Sleeping), 0.0);
    let why = Failing::ToStart(Symptom::Sleeping);
    assert_eq!(story.pass(3 * HEALTHCHECK), [Step::Kill { worker: 1, slot: 0, why }]);
    let failed = Step::ReloadFailed { slot: 0, exit: Exit::Killed(why), has_served: false };
    assert_eq!(story.exit(1, KILLED), [failed]);
    assert_eq!(
        failed.to_string(),
        "Reload stopped, the old workers stay: a new worker 1 did not start in time and was killed before it served"
    );
}

#[test]
fn a_reload_stops_when_a_new_worker_breaks_soon() {
    let mut story = Story::serving(3);
    story.roster.reload(story.now);
    assert_eq!(story.steps(), [Step::Reloading, start(3, 0)]);
    story.roster.on_ready(3, story.now);
    assert_eq!(story.steps(), [down(0, 0), start(4, 1)]);
    let stopped = Step::ReloadFailed { slot: 0, exit: Exit::Code(7), has_served: true };
    let withdrawn = Step::Withdraw { worker: 4, slot: 1 };
    let expected = [withdrawn, stopped, ended(0, Exit::Code(7), 0), start(5, 0)];
    assert_eq!(story.exit(3, Exit::Code(7)), expected);
    assert_eq!(
        stopped.to_string(),
        "Reload stopped, the old workers that still serve stay: the new worker 1 ended with exit code 7 soon after its start"
    );
    // It said so before it was killed.
    story.roster.on_ready(4, story.now);
    assert_eq!((story.steps(), story.exit(4, KILLED)), (vec![], vec![]));
    story.roster.on_ready(5, story.now);
    assert!(story.roster.is_complete());
}

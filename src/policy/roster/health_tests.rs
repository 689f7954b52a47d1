//! Whom silence costs the life: the frozen, not the starved or the busy.

use std::time::Duration;

use super::super::tests::{HEALTHCHECK, HOUR, KILLED, SECOND, Story, ended};
use super::super::{Doing, Exit, Failing, Step, Symptom};
use super::STARTUP;

fn kill(worker: u32, why: Failing) -> Step {
    Step::Kill { worker, slot: worker as usize, why }
}

#[test]
fn a_frozen_worker_is_killed_after_the_healthcheck_and_one_that_answers_is_not() {
    for (doing, symptom, said) in [
        (Doing::Stopped, Symptom::Stopped, "and is stopped"),
        (Doing::Sleeping, Symptom::Sleeping, "and sleeps, without using any CPU time"),
    ] {
        let mut story = Story::serving(2);
        story.silence(1, Some(doing), 0.0);
        let (after, steps) = story.until_done();
        assert_eq!(steps, [kill(1, Failing::ToAnswer(symptom))]);
        assert!((HEALTHCHECK..HEALTHCHECK + 2 * SECOND).contains(&after), "{after:?}");
        assert_eq!(steps[0].to_string(), format!("Worker 2 does not answer {said}: killing it"));
    }
}

#[test]
fn who_waits_for_a_processor_is_not_killed_however_long() {
    let mut story = Story::serving(2);
    story.silence(0, Some(Doing::Runnable), 0.0);
    story.silence(1, Some(Doing::Runnable), 0.001);
    assert_eq!(story.pass(HOUR), []);
}

#[test]
fn who_works_is_killed_only_when_it_has_worked_for_a_minute_without_an_answer() {
    for (doing, share) in [(Doing::Runnable, 1.0), (Doing::Runnable, 0.1), (Doing::Blocked, 0.5)] {
        let mut story = Story::serving(1);
        story.silence(0, Some(doing), share);
        let (after, steps) = story.until_done();
        assert_eq!(steps, [kill(0, Failing::ToAnswer(Symptom::Busy))]);
        let worked = after.mul_f64(share);
        assert!((60 * SECOND..63 * SECOND).contains(&worked), "{worked:?} {share}");
        assert_eq!(
            steps[0].to_string(),
            "Worker 1 does not answer though it has used 60 s of CPU time meanwhile: killing it"
        );
    }
}

#[test]
fn who_waits_for_a_disk_or_cannot_be_seen_has_a_minute() {
    for (doing, symptom) in [(Some(Doing::Blocked), Symptom::Blocked), (None, Symptom::Unseen)] {
        let mut story = Story::serving(1);
        story.silence(0, doing, 0.0);
        let (after, steps) = story.until_done();
        assert_eq!(steps, [kill(0, Failing::ToAnswer(symptom))]);
        assert!((60 * SECOND..63 * SECOND).contains(&after), "{after:?}");
    }
    let mut story = Story::serving(1);
    // It works, now and then.
    story.silence(0, Some(Doing::Blocked), 0.001);
    assert_eq!(story.pass(HOUR), []);
}

#[test]
fn who_wakes_only_to_sleep_on_has_a_minute() {
    let mut story = Story::serving(1);
    story.silence(0, Some(Doing::Sleeping), 0.01);
    let (after, steps) = story.until_done();
    assert_eq!(steps, [kill(0, Failing::ToAnswer(Symptom::Deaf))]);
    assert!((60 * SECOND..63 * SECOND).contains(&after), "{after:?}");
}

#[test]
fn one_who_answers_in_the_end_begins_anew() {
    let mut story = Story::serving(1);
    for _ in 0..10 {
        story.silence(0, Some(Doing::Sleeping), 0.0);
        assert_eq!(story.pass(HEALTHCHECK - SECOND / 2), []);
        story.silent.clear();
        assert_eq!(story.pass(2 * SECOND), []);
    }
}

#[test]
fn what_arrives_behind_the_last_look_still_counts() {
    let mut story = Story::serving(1);
    story.silence(0, Some(Doing::Stopped), 0.0);
    story.pass(HEALTHCHECK + SECOND);
    assert!(story.roster.worker(0).unwrap().silence.verdict().is_some());
    // The supervisor itself is stopped here, and reads before it judges.
    story.now += HOUR;
    story.roster.on_heard(0);
    assert_eq!(story.steps(), []);
}

#[test]
fn what_the_supervisor_has_slept_through_is_nobodys_silence() {
    let mut story = Story::serving(1);
    story.silence(0, Some(Doing::Stopped), 0.0);
    for _ in 0..4 {
        story.now += HOUR;
        assert_eq!(story.steps(), []);
    }
    let mut story = Story::starting(1);
    story.silence(0, Some(Doing::Stopped), 0.0);
    story.now += HOUR;
    assert_eq!(story.steps(), []);
}

#[test]
fn who_starts_and_does_nothing_is_killed_and_who_waits_for_the_machine_is_not() {
    let mut story = Story::starting(1);
    story.silence(0, Some(Doing::Sleeping), 0.0);
    let (after, steps) = story.until_done();
    assert_eq!(steps, [kill(0, Failing::ToStart(Symptom::Sleeping))]);
    assert!((STARTUP..STARTUP + 2 * SECOND).contains(&after), "{after:?}");
    let gave_up = Step::GiveUp { slot: 0, exit: Exit::Killed(Failing::ToStart(Symptom::Sleeping)) };
    assert_eq!(story.exit(0, KILLED), [gave_up]);
    assert_eq!(
        gave_up.to_string(),
        "cannot start workers: worker 1 did not start in time and was killed before it served"
    );

    let mut story = Story::starting(56);
    (0..56).for_each(|worker| story.silence(worker, Some(Doing::Runnable), 2.0 / 56.0));
    assert_eq!(story.pass(600 * SECOND), []);
    // One that answers is told the history, which may take long.
    story.silent.clear();
    assert_eq!(story.pass(HOUR), []);
}

#[test]
fn who_takes_nothing_is_killed_if_it_is_frozen_and_leaves_with_its_clients_if_it_is_not() {
    for doing in [Doing::Stopped, Doing::Sleeping] {
        let mut story = Story::serving(2);
        story.silence(1, Some(doing), 0.0);
        story.roster.on_stuck(1);
        story.roster.on_stuck(1);
        assert_eq!(story.steps(), [kill(1, Failing::ToKeepUp)]);
    }
    for doing in [Some(Doing::Runnable), Some(Doing::Blocked), None] {
        let mut story = Story::serving(2);
        story.silence(1, doing, 0.0);
        story.roster.on_stuck(1);
        let start = Step::Start { worker: 2, slot: 1 };
        assert_eq!(story.steps(), [Step::Cut { worker: 1, slot: 1 }, ended(1, Exit::LinkLost, 0), start]);
        assert_eq!(story.pass(600 * SECOND), []);
    }
}

#[test]
fn who_loses_its_link_is_replaced_at_once_and_leaves_by_itself() {
    let mut story = Story::serving(2);
    story.roster.on_lost(1, story.now);
    assert_eq!(story.steps(), []);
    story.silence(1, Some(Doing::Sleeping), 0.0);
    let lost = ended(1, Exit::LinkLost, 0);
    assert_eq!(story.pass(SECOND), [lost, Step::Start { worker: 2, slot: 1 }]);
    assert_eq!(
        lost.to_string(),
        "Worker 2 has lost its link to the supervisor and leaves: starting another now"
    );
    assert_eq!(story.pass(600 * SECOND), [], "its clients are its own affair");
    assert_eq!(story.exit(1, Exit::Code(0)), []);
}

#[test]
fn who_loses_its_link_because_it_ends_is_told_of_once() {
    let mut story = Story::serving(2);
    story.roster.on_lost(1, story.now);
    story.pass(Duration::from_millis(500));
    assert_eq!(story.exit(1, KILLED), [ended(1, KILLED, 0), Step::Start { worker: 2, slot: 1 }]);
    assert_eq!(story.pass(HOUR), []);
}

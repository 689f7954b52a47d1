//! Orders to leave: who gives them, when they come, and what they do.

use std::time::Duration;

use super::super::tests::{HOUR, KILLED, SECOND, Story, TIMES};
use super::super::{Doing, Exit, Failing, SPREAD, Step, Symptom, Times};
use crate::policy::drain::{self, Outcome};

const SIGNAL: Step = Step::Drain(drain::Step::SignalReceived);
const ARMED: Step = Step::Drain(drain::Step::Armed);
const LEAVE: Step = Step::Drain(drain::Step::Initiated);
const INSIST: Step = Step::Drain(drain::Step::Insisted { connections: None });

fn still_listening(workers: usize) -> Step {
    Step::Drain(drain::Step::StillListening { workers })
}

fn complete(outcome: Outcome) -> Step {
    Step::Drain(drain::Step::Complete(outcome))
}

#[test]
fn the_server_ends_when_the_last_worker_has_ended() {
    let mut story = Story::serving(2);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL, LEAVE]);
    assert_eq!(story.exit(1, Exit::Code(0)), []);
    story.roster.on_signalled(0, story.now);
    assert_eq!(story.exit(0, Exit::Code(0)), [complete(Outcome::Drained)]);
    assert_eq!(story.steps(), []);
}

#[test]
fn one_forced_worker_makes_the_end_a_forced_one() {
    for (exit, outcome) in [(Exit::Code(1), Outcome::Forced), (KILLED, Outcome::Forced)] {
        let mut story = Story::serving(2);
        story.roster.signal(story.now);
        story.steps();
        story.exit(0, exit);
        assert_eq!(story.exit(1, Exit::Code(0)), [complete(outcome)]);
    }
}

#[test]
fn a_second_signal_insists_and_more_change_nothing() {
    let mut story = Story::serving(1);
    for _ in 0..4 {
        story.roster.signal(story.now);
    }
    assert_eq!(story.steps(), [SIGNAL, LEAVE, INSIST]);
    assert_eq!(story.exit(0, Exit::Code(1)), [complete(Outcome::Forced)]);
}

#[test]
fn an_operator_begins_a_leaving_and_only_signals_hasten_it() {
    let mut story = Story::serving(1);
    story.roster.ask_to_leave(story.now);
    assert_eq!(story.steps(), [SIGNAL, LEAVE]);
    story.roster.ask_to_leave(story.now);
    assert_eq!(story.steps(), []);
    story.roster.signal(story.now);
    // The same signal reached the worker, too.
    story.roster.on_signalled(0, story.now);
    assert_eq!(story.steps(), [ARMED]);
    story.roster.ask_to_leave(story.now);
    assert_eq!(story.steps(), []);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [INSIST]);
}

#[test]
fn an_operator_does_not_end_the_grace_period_that_a_signal_has_begun() {
    let mut story = Story::serving(1);
    story.roster.signal(story.now);
    story.roster.ask_to_leave(story.now);
    assert_eq!(story.steps(), [SIGNAL, LEAVE]);
    assert_eq!(story.exit(0, Exit::Code(0)), [complete(Outcome::Drained)]);
}

#[test]
fn a_second_signal_to_a_worker_that_leaves_alone_ends_its_grace_period() {
    let mut story = Story::serving(1);
    story.roster.on_signalled(0, story.now);
    story.steps();
    story.roster.on_ready(1, story.now);
    story.roster.on_signalled(0, story.now);
    assert_eq!(story.pass(SPREAD), [Step::Insist { worker: 0 }]);
}

#[test]
fn a_signal_that_was_meant_for_all_insists_nowhere_whoever_hears_of_it_first() {
    let mut story = Story::serving(2);
    (0..2).for_each(|worker| story.roster.on_signalled(worker, story.now));
    story.steps();
    (2..4).for_each(|worker| story.roster.on_ready(worker, story.now));
    story.roster.on_signalled(0, story.now);
    story.steps();
    story.now += SPREAD;
    story.roster.signal(story.now);
    story.roster.on_signalled(1, story.now);
    let steps = story.pass(SPREAD);
    assert!(!steps.iter().any(|step| matches!(step, Step::Insist { .. })), "{steps:?}");
}

#[test]
fn the_first_signal_to_a_worker_that_steps_down_already_changes_nothing() {
    let mut story = Story::serving(2);
    story.roster.shrink(story.now);
    story.steps();
    story.roster.on_signalled(1, story.now);
    assert_eq!(story.pass(SPREAD), []);
}

#[test]
fn until_the_delay_is_over_all_goes_on_whoever_was_sent_the_signal() {
    let times = Times { drain_delay: 5 * SECOND, ..TIMES };
    let mut story = Story::serving_at(2, times);
    story.roster.ask_to_leave(story.now);
    assert_eq!(story.steps(), [SIGNAL]);
    story.roster.signal(story.now);
    story.roster.on_signalled(0, story.now);
    assert_eq!(story.steps(), [ARMED]);
    assert_eq!(story.pass(4 * SECOND), []);
    assert!(matches!(story.exit(1, KILLED)[..], [Step::Ended { .. }, Step::Start { worker: 2, slot: 1 }]));
    story.roster.on_ready(2, story.now);
    assert_eq!(story.pass(SECOND), [LEAVE]);
}

#[test]
fn a_signal_is_told_of_ahead_of_a_worker_that_ends_in_the_same_turn() {
    let mut story = Story::serving_at(1, Times { drain_delay: HOUR, ..TIMES });
    story.roster.signal(story.now);
    let steps = story.exit(0, KILLED);
    assert!(matches!(steps[..], [SIGNAL, Step::Ended { .. }, Step::Start { .. }]), "{steps:?}");
}

#[test]
fn a_signal_that_insists_ends_the_delay_too() {
    let times = Times { drain_delay: HOUR, ..TIMES };
    let mut story = Story::serving_at(1, times);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL]);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [LEAVE, INSIST]);
}

#[test]
fn a_frozen_worker_is_killed_when_its_time_to_leave_is_over_and_not_before() {
    for is_last in [false, true] {
        let mut story = Story::serving(2);
        if is_last {
            story.roster.signal(story.now);
        } else {
            story.roster.on_signalled(0, story.now);
        }
        story.steps();
        story.roster.on_ready(2, story.now);
        story.silence(0, Some(Doing::Stopped), 0.0);
        let (after, steps) = story.until_done();
        let kill = Step::Kill { worker: 0, slot: 0, why: Failing::ToLeave(Symptom::Stopped) };
        assert_eq!(steps, [kill]);
        assert!((TIMES.grace..TIMES.grace + SECOND).contains(&after), "{after:?}");
        assert_eq!(
            kill.to_string(),
            "Worker 1 has not left in time, does not answer and is stopped: killing it"
        );
    }
}

#[test]
fn a_second_signal_ends_the_time_of_a_frozen_worker() {
    let mut story = Story::serving(1);
    story.silence(0, Some(Doing::Sleeping), 0.0);
    story.roster.signal(story.now);
    story.steps();
    assert_eq!(story.pass(60 * SECOND), [still_listening(1), LEAVE]);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [INSIST]);
    let kill = Step::Kill { worker: 0, slot: 0, why: Failing::ToLeave(Symptom::Sleeping) };
    assert_eq!(story.pass(Duration::from_millis(150)), [kill]);
    assert_eq!(story.exit(0, KILLED), [complete(Outcome::Forced)]);
}

#[test]
fn who_says_farewell_on_a_busy_machine_is_not_killed() {
    let mut story = Story::serving(2);
    story.silence(0, Some(Doing::Runnable), 0.0);
    story.silence(1, Some(Doing::Runnable), 0.02);
    story.roster.signal(story.now);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL]);
    let still = still_listening(2);
    assert_eq!(story.pass(300 * SECOND), [still, LEAVE, INSIST]);
}

#[test]
fn a_leaving_worker_that_takes_nothing_is_told_no_more_and_not_killed() {
    let mut story = Story::serving(2);
    story.roster.on_signalled(0, story.now);
    story.steps();
    story.silence(0, Some(Doing::Stopped), 0.0);
    story.roster.on_stuck(0);
    assert_eq!(story.steps(), [Step::Cut { worker: 0, slot: 0 }]);
}

#[test]
fn a_worker_that_has_not_served_is_ended_at_once_and_counts_as_no_forced_one() {
    let mut story = Story::serving(1);
    story.roster.grow(story.now);
    story.silence(1, Some(Doing::Sleeping), 0.0);
    assert_eq!(story.steps(), [Step::Start { worker: 1, slot: 1 }]);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL, Step::Withdraw { worker: 1, slot: 1 }]);
    assert_eq!(story.exit(1, KILLED), [LEAVE]);
    assert_eq!(story.exit(0, Exit::Code(0)), [complete(Outcome::Drained)]);
}

#[test]
fn a_worker_that_is_not_needed_before_it_has_served_is_ended_at_once() {
    let mut story = Story::serving(1);
    story.roster.grow(story.now);
    story.steps();
    story.roster.shrink(story.now);
    let withdrawn = Step::Withdraw { worker: 1, slot: 1 };
    assert_eq!(story.steps(), [Step::CloseSlot { slot: 1 }, withdrawn]);
    assert_eq!(withdrawn.to_string(), "Worker 2 has not served yet: ending it");
    // It said so before it was killed.
    story.roster.on_ready(1, story.now);
    assert_eq!(story.exit(1, KILLED), []);
}

#[test]
fn nobody_is_told_to_leave_before_all_have_closed_their_listeners() {
    let mut story = Story::serving(3);
    (0..3).for_each(|worker| story.silence(worker, Some(Doing::Runnable), 0.0));
    // One that leaves alone has closed its own already, or tells.
    story.roster.on_signalled(2, story.now);
    story.steps();
    story.roster.on_ready(3, story.now);
    story.roster.on_closed(2);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL]);
    story.roster.on_closed(0);
    assert_eq!(story.steps(), []);
    assert_eq!(story.exit(1, KILLED), [LEAVE]);
    assert_eq!(LEAVE.to_string(), "Graceful shutdown initiated");
}

#[test]
fn whoever_does_not_close_its_listener_is_waited_for_a_second_and_no_longer() {
    let mut story = Story::serving(2);
    story.silence(1, Some(Doing::Stopped), 0.0);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL]);
    let still = still_listening(1);
    assert_eq!(story.until_done(), (SECOND, vec![still, LEAVE]));
    assert_eq!(
        still.to_string(),
        "Not closed within 1 s: the listeners of 1 workers; a successor may find the port in use"
    );
}

#[test]
fn a_worker_that_was_to_be_started_after_a_pause_is_not_once_all_leave() {
    let mut story = Story::serving(2);
    story.exit(0, KILLED);
    story.exit(2, KILLED);
    story.roster.signal(story.now);
    assert_eq!(story.steps(), [SIGNAL, LEAVE]);
    assert_eq!(story.pass(SECOND), []);
    assert_eq!(story.exit(1, Exit::Code(0)), [complete(Outcome::Drained)]);
}

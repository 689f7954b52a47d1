//! What a drain says and does, second by second.

use proptest::prelude::*;

use super::*;

/// A drain with a clock of its own, in seconds, and the lines it has given.
struct Story {
    drain: Drain,
    start: Instant,
    seconds: f64,
}

fn alone(connections: usize) -> Situation {
    Situation { connections, ..Situation::default() }
}

impl Story {
    fn with_grace(seconds: f64) -> Self {
        let drain = Drain::new(Duration::from_secs_f64(seconds), Duration::from_secs(5));
        Self { drain, start: Instant::now(), seconds: 0.0 }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.seconds)
    }

    fn signal(&mut self) {
        self.drain.signal(self.now());
    }

    fn lines(&mut self, connections: usize) -> Vec<String> {
        std::iter::from_fn(|| self.drain.poll(self.now(), alone(connections)))
            .map(|s| s.to_string())
            .collect()
    }

    fn lines_at(&mut self, seconds: f64, connections: usize) -> Vec<String> {
        self.seconds = seconds;
        self.lines(connections)
    }
}

#[test]
fn an_empty_server_leaves_at_once() {
    let mut story = Story::with_grace(1800.0);
    assert_eq!(story.lines(0), [""; 0]);
    story.signal();
    assert_eq!(
        story.lines(0),
        [
            "Shutdown signal received",
            "Graceful shutdown initiated",
            "All WebSocket connections closed. Proceeding with shutdown.",
            "Server shutdown complete"
        ]
    );
    assert_eq!(story.lines(0), [""; 0]);
}

#[test]
fn a_thirty_minute_drain_reports_every_five_seconds_and_ends_to_the_second() {
    let mut story = Story::with_grace(1800.0);
    story.signal();
    let mut lines = story.lines(2);
    while story.seconds < 1800.0 {
        let before = story.seconds;
        let deadline = story.drain.deadline().expect("a drain always has a next deadline");
        story.seconds = (deadline - story.start).as_secs_f64();
        assert!(story.seconds - before <= 5.0, "reports come every five seconds");
        lines.extend(story.lines(2));
    }
    assert_eq!(lines.len(), 2 + 360 + 1);
    assert_eq!(lines[2], "Waiting for 2 connections to close. Time remaining: 1800s");
    assert_eq!(lines[3], "Waiting for 2 connections to close. Time remaining: 1795s");
    assert_eq!(lines[361], "Waiting for 2 connections to close. Time remaining: 5s");
    assert_eq!(
        lines[362],
        "Shutdown timeout (30 minutes) reached. Forcing shutdown with 2 active connections."
    );
    assert_eq!(story.lines_at(1800.999, 2), [""; 0]);
    assert_eq!(story.lines_at(1801.0, 2), ["Server shutdown complete"]);
}

#[test]
fn the_last_client_ends_it_between_two_reports() {
    let mut story = Story::with_grace(1800.0);
    story.signal();
    story.lines(1);
    assert_eq!(
        story.lines_at(2.3, 0),
        ["All WebSocket connections closed. Proceeding with shutdown.", "Server shutdown complete"]
    );
}

#[test]
fn a_late_check_keeps_the_cadence_and_never_says_zero_too_early() {
    let mut story = Story::with_grace(12.0);
    story.signal();
    story.lines(1);
    assert_eq!(story.lines_at(5.0004, 1), ["Waiting for 1 connections to close. Time remaining: 7s"]);
    assert_eq!(story.lines_at(9.9, 1), [""; 0]);
    assert_eq!(story.lines_at(11.9, 1), ["Waiting for 1 connections to close. Time remaining: 1s"]);
    assert_eq!(
        story.lines_at(12.0, 1),
        ["Shutdown timeout (12 seconds) reached. Forcing shutdown with 1 active connections."]
    );
}

#[test]
fn a_second_signal_ends_the_grace_period() {
    let mut story = Story::with_grace(1800.0);
    story.signal();
    story.lines(3);
    story.signal();
    assert_eq!(
        story.lines_at(1.0, 3),
        ["Second shutdown signal received. Forcing shutdown with 3 active connections."]
    );
    assert_eq!(story.drain.deadline(), Some(story.start + Duration::from_secs(2)));
    story.signal();
    assert_eq!(story.drain.poll(story.now(), alone(1)), None);
    assert_eq!(story.drain.poll(story.now(), alone(0)), Some(Step::Complete(Outcome::Forced)));
}

#[test]
fn two_signals_in_one_turn_still_tell_the_whole_story() {
    let mut story = Story::with_grace(1800.0);
    story.signal();
    story.signal();
    assert_eq!(
        story.lines(1),
        [
            "Shutdown signal received",
            "Graceful shutdown initiated",
            "Second shutdown signal received. Forcing shutdown with 1 active connections."
        ]
    );
}

#[test]
fn no_grace_period_forces_at_once() {
    let mut story = Story::with_grace(0.0);
    story.signal();
    assert_eq!(
        story.lines(1)[2],
        "Shutdown timeout (0 seconds) reached. Forcing shutdown with 1 active connections."
    );
}

#[test]
fn an_operator_begins_a_leaving_that_the_first_signal_does_not_hasten_and_the_second_ends() {
    let mut story = Story::with_grace(1800.0);
    story.drain.ask(story.now());
    assert_eq!(story.lines(1)[0], "Shutdown signal received");
    story.drain.ask(story.now());
    assert_eq!(story.lines(1), [""; 0]);
    story.signal();
    assert_eq!(story.lines(1), ["Shutdown signal received while leaving: another one ends it at once"]);
    story.drain.ask(story.now());
    assert_eq!(story.lines(1), [""; 0]);
    story.signal();
    assert_eq!(
        story.lines(1),
        ["Second shutdown signal received. Forcing shutdown with 1 active connections."]
    );
}

#[test]
fn who_asks_after_a_signal_changes_nothing_and_the_second_signal_insists() {
    let mut story = Story::with_grace(1800.0);
    story.signal();
    story.lines(1);
    story.drain.ask(story.now());
    assert_eq!(story.lines(1), [""; 0]);
    story.signal();
    assert_eq!(
        story.lines(1),
        ["Second shutdown signal received. Forcing shutdown with 1 active connections."]
    );
}

#[test]
fn the_first_signal_after_an_operator_does_not_shorten_the_delay() {
    let mut story = Story::with_grace(1800.0);
    story.drain = story.drain.delayed(Duration::from_secs(5));
    story.drain.ask(story.now());
    story.signal();
    assert_eq!(story.lines_at(4.9, 1).len(), 2, "both are said, and nothing begins");
    assert_eq!(story.drain.deadline(), Some(story.start + Duration::from_secs(5)));
    assert_eq!(story.lines_at(5.0, 1)[0], "Graceful shutdown initiated");
    assert_eq!(story.drain.limit(), Some(story.start + Duration::from_secs(1805)));
}

#[test]
fn a_newcomer_who_was_owed_an_answer_and_becomes_a_client_is_waited_for_asleep() {
    let mut story = Story::with_grace(1800.0);
    let silent = Situation { owes_answers: true, ..alone(0) };
    story.signal();
    while story.drain.poll(story.now(), silent).is_some() {}
    assert_eq!(story.drain.deadline(), Some(story.start + FAREWELL));
    assert_eq!(story.lines_at(0.5, 1), ["Waiting for 1 connections to close. Time remaining: 1800s"]);
    assert_eq!(story.drain.deadline(), Some(story.start + Duration::from_secs(5)));
    assert_eq!(story.lines_at(2.0, 1), [""; 0]);
    assert_eq!(story.lines_at(3.0, 0).last().unwrap(), "Server shutdown complete");
}

#[test]
fn the_farewell_lasts_while_bytes_are_taken_but_not_for_ever() {
    let mut story = Story::with_grace(0.0);
    let mut taken = Situation { bytes_taken: 100, ..alone(1) };
    story.signal();
    while story.drain.poll(story.now(), taken).is_some() {}
    for _ in 0..10 {
        story.seconds += 0.9;
        taken.bytes_taken += 1;
        assert_eq!(story.drain.poll(story.now(), taken), None);
    }
    assert_eq!(story.drain.deadline(), Some(story.start + LONGEST_FAREWELL));
    story.seconds = 10.0;
    taken.bytes_taken += 1;
    assert_eq!(story.drain.poll(story.now(), taken), Some(Step::Complete(Outcome::Forced)));
}

#[test]
fn the_farewell_ends_a_second_after_the_last_byte() {
    let mut story = Story::with_grace(0.0);
    story.signal();
    story.lines(1);
    story.seconds = 0.7;
    let taken = Situation { bytes_taken: 1, ..alone(1) };
    assert_eq!(story.drain.poll(story.now(), taken), None);
    story.seconds = 1.699;
    assert_eq!(story.drain.poll(story.now(), taken), None);
    story.seconds = 1.7;
    assert_eq!(story.drain.poll(story.now(), taken), Some(Step::Complete(Outcome::Forced)));
}

#[test]
fn whoever_is_seen_to_take_what_the_system_holds_has_two_seconds_more_at_the_end_but_not_for_ever() {
    for owes_answers in [false, true] {
        let grace = if owes_answers { 1800.0 } else { 0.0 };
        let situation = Situation { owes_answers, ..alone(usize::from(!owes_answers)) };
        let mut story = Story::with_grace(grace);
        story.signal();
        while story.drain.poll(story.now(), situation).is_some() {}
        for seconds in [1.0, 3.0, 5.0, 7.0, 9.0] {
            story.seconds = seconds;
            assert!(story.drain.is_about_to_end(story.now()));
            story.drain.on_taken(story.now());
            assert_eq!(story.drain.poll(story.now(), situation), None);
            assert!(!story.drain.is_about_to_end(story.now()));
        }
        story.seconds = 10.0;
        story.drain.on_taken(story.now());
        assert!(story.drain.poll(story.now(), situation).is_some(), "it ends whatever is taken");
    }
}

/// The steps that a supervisor's drain gives now, with so many workers left, and so many of them listening.
fn supervised(story: &mut Story, left: usize, listening: usize) -> Vec<Step> {
    let workers = Some(Workers { left, listening, were_forced: false });
    let situation = Situation { workers, ..Situation::default() };
    std::iter::from_fn(|| story.drain.poll(story.now(), situation)).collect()
}

#[test]
fn a_supervisor_waits_for_its_workers_behind_a_delay_for_thirty_minutes_and_longer() {
    let mut story = Story::with_grace(1800.0);
    story.drain = story.drain.delayed(Duration::from_secs(10));
    story.signal();
    assert_eq!(supervised(&mut story, 2, 2), [Step::SignalReceived]);
    assert_eq!(story.drain.limit(), Some(story.start + Duration::from_secs(1810)));
    story.seconds = 10.0;
    assert_eq!(supervised(&mut story, 2, 2), [Step::Close]);
    assert!(supervised(&mut story, 2, 1).is_empty());
    assert_eq!(story.drain.limit(), None);
    story.seconds = 10.5;
    let waiting = |seconds| Step::Waiting { connections: 0, remaining: Duration::from_secs(seconds) };
    assert_eq!(supervised(&mut story, 2, 0), [Step::Initiated, waiting(1800)]);
    for nth in 1..=400 {
        assert_eq!(
            story.drain.deadline(),
            Some(story.start + Duration::from_secs_f64(10.5 + 5.0 * nth as f64))
        );
        story.seconds = 10.5 + 5.0 * nth as f64;
        // A worker that says its farewell is not cut.
        assert_eq!(supervised(&mut story, 1, 0), [waiting(1800_u64.saturating_sub(5 * nth))]);
    }
    assert_eq!(supervised(&mut story, 0, 0), [Step::Complete(Outcome::Drained)]);
    assert_eq!((supervised(&mut story, 0, 0), story.drain.deadline()), (vec![], None));
}

#[test]
fn a_supervisor_that_is_told_twice_to_leave_tells_its_workers_once_their_listeners_are_closed() {
    let mut story = Story::with_grace(1800.0);
    story.drain = story.drain.delayed(Duration::from_secs(10));
    (0..3).for_each(|_| story.signal());
    assert_eq!(supervised(&mut story, 1, 1), [Step::SignalReceived, Step::Close]);
    story.seconds = 1.0;
    let said = supervised(&mut story, 1, 1);
    let insisted = Step::Insisted { connections: None };
    assert_eq!(said[..3], [Step::StillListening { workers: 1 }, Step::Initiated, insisted]);
    assert_eq!(insisted.to_string(), "Second shutdown signal received. Forcing shutdown.");
    assert_eq!([said[0], said[1], said[2]].map(|step| step.is_warning()), [true, false, false]);
    story.signal();
    assert_eq!(supervised(&mut story, 0, 0), [Step::Complete(Outcome::Forced)]);
}

/// What may happen to a drain between two looks at it.
#[derive(Debug, Clone, Copy)]
enum Event {
    Signal,
    Ask,
    Insist,
    Connections(usize),
    OwesAnswers(bool),
    Taken,
    Passes(u64),
    /// Until it wants to be asked again.
    Sleeps,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        // Few of these, so that the rest has time to happen.
        2 => Just(Event::Signal),
        2 => Just(Event::Ask),
        1 => Just(Event::Insist),
        10 => (0..3_usize).prop_map(Event::Connections),
        10 => prop::bool::weighted(0.8).prop_map(Event::OwesAnswers),
        5 => Just(Event::Taken),
        5 => (0..3000_u64).prop_map(Event::Passes),
        5 => Just(Event::Sleeps),
    ];
    prop::collection::vec(event, 0..40)
}

proptest! {
    #[test]
    fn it_never_wants_to_be_asked_again_at_once_and_always_ends(
        events in events(), grace in 0..20_000_u64, delay in 0..4000_u64, supervises: bool,
    ) {
        let mut drain = Drain::new(Duration::from_millis(grace), Duration::from_millis(700))
            .delayed(Duration::from_millis(delay));
        let mut now = Instant::now();
        let mut situation = Situation { bytes_taken: 7, ..alone(1) };
        let mut ends = None;
        let is_endless = std::iter::once(Event::Ask).chain(std::iter::repeat(Event::Sleeps));
        // A supervisor waits for its workers, however long that takes them.
        let all_end = supervises.then_some(Event::Connections(0));
        for event in events.into_iter().chain(all_end).chain(is_endless.take(100)) {
            match event {
                Event::Signal => drain.signal(now),
                Event::Ask => drain.ask(now),
                Event::Insist => drain.insist(now),
                Event::Connections(connections) => situation.connections = connections,
                Event::OwesAnswers(owes) => situation.owes_answers = owes,
                Event::Taken => situation.bytes_taken += 1,
                Event::Passes(milliseconds) => now += Duration::from_millis(milliseconds),
                Event::Sleeps => now = drain.deadline().unwrap_or(now),
            }
            let (left, listening) = (situation.connections, usize::from(situation.owes_answers));
            situation.workers = supervises.then_some(Workers { left, listening, were_forced: false });
            while let Some(step) = drain.poll(now, situation) {
                if let Step::Complete(outcome) = step {
                    prop_assert!(ends.replace(outcome).is_none(), "it ends twice");
                }
            }
            prop_assert!(drain.deadline().is_none_or(|at| at > now), "{drain:?} spins");
            prop_assert_eq!(
                drain.deadline().is_some(), drain.is_leaving() && ends.is_none(), "{:?} sleeps for ever", drain
            );
        }
        prop_assert!(ends.is_some(), "{drain:?} never ends");
    }
}

//! The dance, step by step and in virtual time, and everything that may come in between.

use super::successor::*;
use super::*;

const PATIENCE: Duration = Duration::from_secs(5);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// One that writes the formats 3 and 4 and has 500 connections.
fn predecessor(start: Instant) -> Predecessor {
    Predecessor::new([3, 4], 520, start + PATIENCE)
}

fn hello(oldest: u32, newest: u32, most_descriptors: u64) -> Heard {
    Heard::Hello { oldest, newest, most_descriptors }
}

/// What it does next while nobody is in the midst of a request.
fn poll(predecessor: &mut Predecessor, now: Instant) -> Option<Step> {
    predecessor.poll(now, || false)
}

/// What it does once it has heard this.
fn hear(predecessor: &mut Predecessor, heard: Heard, now: Instant) -> Option<Step> {
    predecessor.on_heard(heard, now);
    poll(predecessor, now)
}

/// How far a hand-over of 500 connections goes: what is heard, in its order, and what is done then.
fn story() -> Vec<(Heard, Step)> {
    vec![
        (hello(1, 9, 520), Step::Offer { format: 4 }),
        (Heard::Ready, Step::Cut),
        (Heard::Taken(200), Step::Batch(200)),
        (Heard::Taken(400), Step::Batch(100)),
        (Heard::Taken(500), Step::Commit),
    ]
}

/// One that has come so far: so many messages were heard, and all was done that follows.
fn after(messages: usize, start: Instant) -> Predecessor {
    let mut predecessor = predecessor(start);
    for (nth, (heard, step)) in story().into_iter().take(messages).enumerate() {
        if nth + 1 == story().len() {
            assert_eq!(hear(&mut predecessor, heard, start), None, "it has still to be prepared");
            return predecessor;
        }
        assert_eq!(hear(&mut predecessor, heard, start), Some(step.clone()));
        if step == Step::Cut {
            predecessor.moving(500);
            assert_eq!(poll(&mut predecessor, start), Some(Step::Batch(200)));
        }
        assert_eq!(poll(&mut predecessor, start), None);
    }
    predecessor
}

#[test]
fn what_is_left_for_a_later_start_waits_for_nobody_who_would_take_it() {
    let now = Instant::now();
    let mut leaving = Predecessor::for_a_later_start(now, now + PATIENCE);
    assert_eq!(poll(&mut leaving, now), Some(Step::Cut));
    leaving.moving(0);
    assert_eq!(poll(&mut leaving, now), None);
    assert_eq!(hear(&mut leaving, Heard::Prepared, now), Some(Step::Commit));
    let mut late = Predecessor::for_a_later_start(now, now + PATIENCE);
    assert_eq!(poll(&mut late, now + PATIENCE), Some(Step::GiveUp(Why::Silent(Stage::Ready(now)))));
}

#[test]
fn all_is_handed_over_in_batches_each_of_which_has_arrived_before_the_next() {
    let now = Instant::now();
    let mut predecessor = after(5, now);
    assert!(predecessor.is_cut());
    assert_eq!(hear(&mut predecessor, Heard::Prepared, now), Some(Step::Commit));
    assert_eq!((predecessor.stage(), predecessor.is_cut()), (Stage::Committed, false));
    for heard in [Heard::Ended, Heard::Prepared, Heard::Garbled, Heard::Failed("x".to_owned())] {
        assert_eq!(hear(&mut predecessor, heard, now + 2 * PATIENCE), None, "once is enough");
    }
}

#[test]
fn a_server_without_connections_is_handed_over_too() {
    let now = Instant::now();
    let mut predecessor = after(1, now);
    assert_eq!(hear(&mut predecessor, Heard::Ready, now), Some(Step::Cut));
    predecessor.moving(0);
    assert_eq!(poll(&mut predecessor, now), None);
    assert_eq!(hear(&mut predecessor, Heard::Prepared, now), Some(Step::Commit));
}

#[test]
fn whatever_is_missing_at_the_deadline_the_predecessor_goes_on_and_says_what_it_was() {
    let start = Instant::now();
    let missing = [
        "said what it is",
        "made itself ready",
        "taken everything",
        "taken everything",
        "taken everything",
        "taken everything",
    ];
    for (messages, missing) in missing.into_iter().enumerate() {
        let mut predecessor = after(messages, start);
        assert_eq!(predecessor.next_deadline(), start + PATIENCE);
        assert_eq!(poll(&mut predecessor, start + PATIENCE - NANOSECOND), None);
        let Some(Step::GiveUp(why)) = poll(&mut predecessor, start + PATIENCE) else { panic!("it waits") };
        assert_eq!(why.to_string(), format!("the successor has not {missing} in time (--handover-timeout)"));
        assert_eq!((predecessor.stage(), poll(&mut predecessor, start + PATIENCE)), (Stage::GivenUp, None));
    }
}

#[test]
fn what_comes_at_the_deadline_comes_too_late() {
    let start = Instant::now();
    let mut predecessor = after(5, start);
    let step = hear(&mut predecessor, Heard::Prepared, start + PATIENCE);
    assert!(matches!(step, Some(Step::GiveUp(Why::Silent(Stage::Prepared)))), "{step:?}");
}

#[test]
fn whenever_the_successor_ends_or_fails_the_predecessor_goes_on_at_once() {
    let now = Instant::now();
    for messages in 0..=5 {
        let stage = after(messages, now).stage();
        let failed = Why::Failed("no room".to_owned());
        for (heard, why) in [
            (Heard::Ended, Why::Ended(stage)),
            (Heard::Failed("no room".to_owned()), failed),
            (Heard::Garbled, Why::Garbled),
        ] {
            let mut predecessor = after(messages, now);
            assert_eq!(hear(&mut predecessor, heard, now), Some(Step::GiveUp(why)));
            assert_eq!(hear(&mut predecessor, Heard::Prepared, now), None);
        }
        let mut predecessor = after(messages, now);
        predecessor.on_failed("no memory".to_owned());
        predecessor.on_failed("and worse".to_owned());
        let why = Why::Own("no memory".to_owned());
        assert_eq!(poll(&mut predecessor, now), Some(Step::GiveUp(why)), "the first reason counts");
    }
}

#[test]
fn what_is_said_out_of_turn_twice_or_of_another_number_ends_it() {
    let now = Instant::now();
    let mut all: Vec<Heard> = story().into_iter().map(|(heard, _)| heard).chain([Heard::Prepared]).collect();
    all.extend([0, 199, 201, 501, u64::MAX].map(Heard::Taken));
    for messages in 0..=5 {
        let expected = &all[messages];
        for heard in all.iter().filter(|heard| *heard != expected) {
            let mut predecessor = after(messages, now);
            let step = hear(&mut predecessor, heard.clone(), now);
            assert_eq!(step, Some(Step::GiveUp(Why::Garbled)), "{heard:?} behind {messages} messages");
        }
    }
}

#[test]
fn the_newest_format_is_spoken_that_both_understand() {
    let now = Instant::now();
    for (oldest, newest, format) in [(1, 3, 3), (4, 9, 4), (3, 4, 4), (1, u32::MAX, 4)] {
        let step = hear(&mut predecessor(now), hello(oldest, newest, 520), now);
        assert_eq!(step, Some(Step::Offer { format }));
    }
    for (oldest, newest) in [(1, 2), (5, 9), (9, 1), (4, 3)] {
        let step = hear(&mut predecessor(now), hello(oldest, newest, 520), now);
        assert_eq!(step, Some(Step::GiveUp(Why::Format { oldest, newest })));
    }
}

#[test]
fn a_successor_that_may_open_too_few_files_is_told_how_many_are_needed() {
    let now = Instant::now();
    let step = hear(&mut predecessor(now), hello(3, 4, 519), now);
    assert_eq!(step, Some(Step::GiveUp(Why::Descriptors { most: 519, needed: 520 })));
}

#[test]
fn requests_under_way_have_a_second_and_no_longer() {
    let start = Instant::now();
    let mut predecessor = after(1, start);
    let ready = start + Duration::from_millis(100);
    predecessor.on_heard(Heard::Ready, ready);
    assert_eq!(predecessor.poll(ready, || true), None);
    assert_eq!(predecessor.next_deadline(), ready + WINDING_UP);
    assert_eq!(predecessor.clone().poll(ready + WINDING_UP / 2, || false), Some(Step::Cut));
    assert_eq!(predecessor.poll(ready + WINDING_UP - NANOSECOND, || true), None);
    assert_eq!(predecessor.poll(ready + WINDING_UP, || true), Some(Step::Cut));
    // Not beyond the deadline of all.
    let mut predecessor = after(1, start);
    predecessor.on_heard(Heard::Ready, start + PATIENCE - WINDING_UP / 2);
    assert_eq!(predecessor.next_deadline(), start + PATIENCE);
}

#[test]
fn a_successor_takes_up_what_has_come_whole_and_serves_at_the_word() {
    let mut successor = Successor::Greeting;
    assert_eq!(successor.poll(), None);
    assert_eq!(successor.on_told(Told::Sockets), Ok(Task::Prepare));
    assert_eq!(successor.on_told(Told::Image { connections: 250 }), Ok(Task::Read));
    assert_eq!(successor.poll(), None);
    assert_eq!(successor.on_told(Told::Batch(200)), Ok(Task::Acknowledge(200)));
    assert_eq!(successor.on_told(Told::Batch(50)), Ok(Task::Acknowledge(250)));
    assert_eq!((successor.poll(), successor.poll()), (Some(Task::TakeUp), None));
    assert_eq!(successor.on_told(Told::Commit), Ok(Task::Serve));
    assert_eq!(successor, Successor::Serving);
}

#[test]
fn a_successor_ends_at_whatever_else_it_is_told() {
    let all = 10;
    let states = [
        Successor::Greeting,
        Successor::Ready,
        Successor::Taking { taken: all - 1, all },
        Successor::Prepared,
        Successor::Serving,
    ];
    for (nth, state) in states.into_iter().enumerate() {
        let expected = [Told::Sockets, Told::Image { connections: 7 }, Told::Batch(1), Told::Commit];
        for (other, told) in expected.into_iter().enumerate().filter(|(other, _)| *other != nth) {
            let outcome = state.clone().on_told(told.clone());
            assert_eq!(outcome, Err(NoSuccession::Garbled), "{told:?} in {state:?} {other}");
        }
        for batch in [0, 2, usize::MAX] {
            assert_eq!(state.clone().on_told(Told::Batch(batch)), Err(NoSuccession::Garbled));
        }
        for (told, why) in [
            (Told::Refused("no".to_owned()), NoSuccession::Refused("no".to_owned())),
            (Told::Abort(Some("late".to_owned())), NoSuccession::Aborted(Some("late".to_owned()))),
            (Told::Ended, NoSuccession::Ended),
            (Told::Garbled, NoSuccession::Garbled),
        ] {
            assert_eq!(state.clone().on_told(told), Err(why));
        }
    }
}

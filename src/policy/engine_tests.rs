//! The life with an engine, in virtual time.

use super::*;
use crate::policy::engine::dice::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::policy::engine::marks::PATIENCE;
use crate::policy::line::Continuation;

const PAGE: usize = 128;

fn id(epoch: u32, position: u64) -> PublicationId {
    PublicationId::new(epoch, position)
}

fn steps(course: &mut Course, now: Instant) -> Vec<Step> {
    std::iter::from_fn(|| course.poll(now)).collect()
}

fn master(version: &str) -> Greeting {
    Greeting { product: "redis".into(), version: version.into(), is_master: true }
}

/// Begins an attempt, which comes as far as reading the stream.
fn begin(course: &mut Course, begun: Begun, now: Instant) -> Vec<Step> {
    steps(course, now);
    course.on_greeting(master("7.0.15"), now);
    steps(course, now);
    course.on_begun(begun);
    steps(course, now)
}

/// One that follows an empty stream of epoch 7.
fn following() -> (Course, Instant) {
    let now = Instant::now();
    let mut course = Course::new(0, PAGE, 1, now);
    begin(&mut course, Begun { epoch: 7, newest: id(7, 0) }, now);
    course.on_page(false, now);
    steps(&mut course, now);
    (course, now)
}

/// How long it waits before the next attempt.
fn pause(course: &Course, now: Instant) -> Duration {
    course.deadline().unwrap() - now
}

#[test]
fn it_is_up_once_it_has_begun_an_epoch_and_read_all_there_is() {
    let now = Instant::now();
    let mut course = Course::new(0, PAGE, 1, now);
    let writer = |ask| Step::Ask(Line::Writer, ask);
    let connect = Step::Connect(Line::Writer, Target::Configured);
    assert_eq!(steps(&mut course, now), [connect, writer(Ask::Greet)]);
    course.on_greeting(master("7.0.15"), now);
    assert!(
        matches!(steps(&mut course, now)[..], [Step::Ask(Line::Writer, Ask::Begin { known, .. })] if known == id(0, 0))
    );
    course.on_begun(Begun { epoch: 7, newest: id(7, 1) });
    let reader = |ask| Step::Ask(Line::Reader, ask);
    assert_eq!(
        steps(&mut course, now)[1..],
        [reader(Ask::Greet), reader(Ask::Page { from: None, most: PAGE })]
    );
    assert_eq!((course.epoch(), course.has_read_all()), (None, false));
    let restart = Continuation::Restart(id(7, 0));
    assert_eq!(course.take(id(7, 1), Kind::Publication), Ok(Taken::Changed(restart)));
    course.on_page(false, now);
    let follow = reader(Ask::Follow { after: id(7, 1), most: PAGE });
    assert_eq!(steps(&mut course, now), [Step::Up, follow, writer(Ask::Beat { known: id(7, 1) })]);
    assert_eq!((course.epoch(), course.has_read_all()), (Some(7), true));
}

#[test]
fn a_full_page_is_followed_by_another_which_begins_with_what_was_heard_last() {
    let now = Instant::now();
    let mut course = Course::new(0, PAGE, 1, now);
    begin(&mut course, Begun { epoch: 7, newest: id(7, 2) }, now);
    course.take(id(7, 1), Kind::Publication).unwrap();
    course.on_page(true, now);
    let page = Ask::Page { from: Some(id(7, 1)), most: PAGE };
    assert_eq!(steps(&mut course, now), [Step::Ask(Line::Reader, page)]);
    assert_eq!(course.take(id(7, 1), Kind::Publication), Ok(Taken::Known));
    assert_eq!(course.take(id(7, 2), Kind::Publication), Ok(Taken::Next));
}

#[test]
fn the_first_attempts_follow_soon_and_later_ones_within_seconds_but_not_on_all_machines_at_once() {
    let pauses = |seed| {
        let mut now = Instant::now();
        let mut course = Course::new(0, PAGE, seed, now);
        let mut pauses = vec![];
        for _ in 0..12 {
            steps(&mut course, now);
            course.on_fault(Fault::Closed, now);
            pauses.push(pause(&course, now));
            now += pause(&course, now);
        }
        pauses
    };
    let (one, other) = (pauses(1), pauses(2));
    assert!(one[0] >= FIRST_PAUSE / 2 && one[0] <= FIRST_PAUSE * 3 / 2, "{one:?}");
    assert!(one[11] >= LONGEST_PAUSE / 2 && one[11] <= LONGEST_PAUSE * 3 / 2, "{one:?}");
    assert!(one.iter().zip(&other).all(|(one, other)| one != other));
}

#[test]
fn a_fault_gives_up_both_connections_and_only_the_first_is_news() {
    let (mut course, now) = following();
    course.on_fault(Fault::Closed, now);
    let down = |is_again| Step::Down { fault: Fault::Closed, is_again };
    assert_eq!(steps(&mut course, now), [Step::HangUp, down(false)]);
    assert_eq!(course.epoch(), None);
    course.on_fault(Fault::Closed, now);
    assert_eq!(steps(&mut course, now), []);
    let later = now + 2 * FIRST_PAUSE;
    steps(&mut course, later);
    course.on_fault(Fault::Closed, later);
    assert_eq!(steps(&mut course, later), [Step::HangUp, down(true)]);
}

#[test]
fn whoever_waits_to_have_heard_all_waits_on_while_the_engine_is_away_but_not_for_ever() {
    let (mut course, now) = following();
    let ask = Step::Ask(Line::Writer, Ask::Tail);
    course.sync(1, now);
    assert_eq!(steps(&mut course, now), std::slice::from_ref(&ask));
    course.on_tail(id(7, 1), now);
    assert_eq!(steps(&mut course, now), [Step::Synced(vec![])]);
    course.on_fault(Fault::Closed, now);
    course.sync(2, now + PATIENCE / 2);
    let synced = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Synced(_)));
    assert!(!synced(&steps(&mut course, now)));
    assert!(course.deadline() <= Some(now + PATIENCE));
    assert!(steps(&mut course, now + PATIENCE).contains(&Step::Synced(vec![1])));
    let later = now + PATIENCE;
    course.on_greeting(master("7.0.0"), later);
    course.on_begun(Begun { epoch: 7, newest: id(7, 1) });
    course.take(id(7, 1), Kind::Publication).unwrap();
    course.on_page(false, later);
    assert!(steps(&mut course, later).contains(&ask));
    course.on_tail(id(7, 1), later);
    assert_eq!(steps(&mut course, later), [Step::Synced(vec![2])]);
}

#[test]
fn a_mark_is_passed_when_what_the_engine_had_by_then_has_been_heard() {
    let (mut course, now) = following();
    course.sync(1, now);
    steps(&mut course, now);
    course.on_tail(id(7, 1), now);
    steps(&mut course, now);
    course.take(id(7, 1), Kind::Publication).unwrap();
    course.on_page(false, now);
    assert!(steps(&mut course, now).contains(&Step::Synced(vec![1])));
}

#[test]
fn an_old_engine_and_a_replica_are_not_kept_company_with() {
    for (greeting, fault) in [
        (master("6.2.14"), Fault::TooOld { product: "redis".into(), version: "6.2.14".into() }),
        (master("nonsense"), Fault::TooOld { product: "redis".into(), version: "nonsense".into() }),
        (Greeting { is_master: false, ..master("7.0.0") }, Fault::Replica),
    ] {
        let now = Instant::now();
        let mut course = Course::new(0, PAGE, 1, now);
        steps(&mut course, now);
        course.on_greeting(greeting, now);
        assert_eq!(steps(&mut course, now), [Step::HangUp, Step::Down { fault, is_again: false }]);
    }
}

#[test]
fn sentinels_are_asked_one_after_the_other_until_one_knows_the_master() {
    let mut now = Instant::now();
    let mut course = Course::new(2, PAGE, 1, now);
    for sentinel in [0, 1, 0] {
        let connect = Step::Connect(Line::Locator, Target::Sentinel(sentinel));
        assert_eq!(steps(&mut course, now), [connect, Step::Ask(Line::Locator, Ask::Master)]);
        if sentinel == 0 && !course.has_failed() {
            course.on_master(None, now);
        } else {
            course.on_fault(Fault::Closed, now);
        }
        steps(&mut course, now);
        now += pause(&course, now);
    }
    steps(&mut course, now);
    course.on_master(Some(("10.0.0.7".into(), 6380)), now);
    let connect = Step::Connect(Line::Writer, Target::Named("10.0.0.7".into(), 6380));
    assert_eq!(steps(&mut course, now)[0], connect);
}

/// As a sentinel names it.
fn address(host: &str) -> Option<(String, u16)> {
    Some((host.into(), 6379))
}

#[test]
fn a_sentinel_is_asked_every_second_and_another_master_is_gone_to_at_once() {
    let mut now = Instant::now();
    let mut course = Course::new(2, PAGE, 1, now);
    steps(&mut course, now);
    course.on_master(address("one"), now);
    begin(&mut course, Begun { epoch: 7, newest: id(7, 0) }, now);
    course.on_page(false, now);
    steps(&mut course, now);
    let ask = Step::Ask(Line::Locator, Ask::Master);
    now += WATCH_INTERVAL;
    assert_eq!(steps(&mut course, now), std::slice::from_ref(&ask));
    course.on_master(address("one"), now);
    assert_eq!(steps(&mut course, now), []);
    course.on_locator_fault(Fault::Closed, now);
    assert_eq!(steps(&mut course, now), [Step::Part(Line::Locator)]);
    now += WATCH_INTERVAL;
    assert_eq!(steps(&mut course, now), [Step::Connect(Line::Locator, Target::Sentinel(1)), ask]);
    course.on_master(address("other"), now);
    let fault = Fault::Replaced("other".into(), 6379);
    assert_eq!(steps(&mut course, now)[1], Step::Down { fault, is_again: false });
    assert_eq!(course.state, State::Locating);
}

#[test]
fn another_node_of_a_cluster_is_followed_to_at_once_and_once() {
    let (mut course, now) = following();
    course.on_fault(Fault::Moved("10.0.0.8".into(), 7001), now);
    let connect = |target| Step::Connect(Line::Writer, target);
    assert!(steps(&mut course, now).contains(&connect(Target::Named("10.0.0.8".into(), 7001))));
    course.on_fault(Fault::Closed, now);
    assert!(steps(&mut course, now + LONGEST_PAUSE).contains(&connect(Target::Configured)));
}

#[test]
fn a_beat_tells_when_the_stream_is_gone_or_was_set_back_or_another_epoch_has_begun() {
    let beaten = |epoch, newest| Some(Beaten { epoch, newest });
    for (beaten, fault) in [
        (None, Some(Fault::Gone)),
        (beaten(8, Some(id(8, 0))), Some(Fault::Superseded)),
        (beaten(7, Some(id(7, 3))), Some(Fault::SetBack(id(7, 4)))),
        (beaten(7, Some(id(7, 4))), None),
        (beaten(7, None), None),
    ] {
        let (mut course, now) = following();
        steps(&mut course, now);
        course.on_beat(beaten, id(7, 4), now);
        let down = fault.map(|fault| Step::Down { fault, is_again: false });
        assert_eq!(steps(&mut course, now).into_iter().nth(1), down);
    }
}

#[test]
fn attempts_become_fewer_also_where_each_of_them_goes_well_at_first() {
    let (mut course, mut now) = following();
    let mut pauses = vec![];
    for up_for in [Duration::ZERO; 8].into_iter().chain([BEAT_INTERVAL, Duration::ZERO]) {
        let beaten = Beaten { epoch: 7, newest: Some(id(7, 0)) };
        course.on_beat(Some(beaten), id(7, 0), now + up_for);
        now += up_for;
        course.on_fault(Fault::Refused("NOPERM".into()), now);
        pauses.push(pause(&course, now));
        now += LONGEST_PAUSE * 2;
        begin(&mut course, Begun { epoch: 7, newest: id(7, 0) }, now);
        course.on_page(false, now);
        steps(&mut course, now);
    }
    assert!(
        pauses[0] < FIRST_PAUSE * 2 && pauses[7] > LONGEST_PAUSE / 2 && pauses[8] < FIRST_PAUSE * 2,
        "{pauses:?}"
    );
}

#[test]
fn it_lags_while_something_was_positioned_that_has_not_been_heard_and_while_it_is_down() {
    let (mut course, now) = following();
    let second = Duration::from_secs(1);
    assert_eq!(course.lag(now + second), Duration::ZERO);
    course.on_positioned(id(7, 1), now);
    course.on_positioned(id(7, 2), now + second);
    assert_eq!((course.lag(now + 2 * second), course.backlog()), (2 * second, 2));
    course.take(id(7, 1), Kind::Publication).unwrap();
    assert_eq!(course.backlog(), 1);
    course.take(id(7, 2), Kind::Publication).unwrap();
    assert_eq!(course.lag(now + 2 * second), Duration::ZERO);
    course.on_fault(Fault::Closed, now + 2 * second);
    assert_eq!(course.lag(now + 5 * second), 3 * second);
}

#[test]
fn what_was_positioned_is_asked_for_though_it_was_never_heard() {
    let (mut course, mut now) = following();
    course.on_positioned(id(7, 3), now);
    course.on_fault(Fault::Closed, now);
    assert_eq!(course.backlog(), 0);
    now += 2 * FIRST_PAUSE;
    steps(&mut course, now);
    course.on_greeting(master("7.0.15"), now);
    let asked = steps(&mut course, now);
    assert!(matches!(asked[..], [Step::Ask(_, Ask::Begin { known, .. })] if known == id(7, 3)), "{asked:?}");
}

#[test]
fn where_the_stream_was_set_back_that_is_said_when_another_epoch_is_to_begin_and_until_one_has() {
    let (mut course, mut now) = following();
    course.on_positioned(id(7, 3), now);
    course.on_fault(Fault::SetBack(id(7, 3)), now);
    let mut said = vec![];
    for is_cut in [true, false, true] {
        now += LONGEST_PAUSE * 2;
        steps(&mut course, now);
        course.on_greeting(master("7.0.15"), now);
        said.extend(steps(&mut course, now).into_iter().filter_map(|step| match step {
            Step::Ask(_, Ask::Begin { known, is_set_back, .. }) => Some((known, is_set_back)),
            _ => None,
        }));
        if !is_cut {
            course.on_begun(Begun { epoch: 9, newest: id(9, 0) });
        }
        course.on_fault(Fault::Closed, now);
    }
    assert_eq!(said, [(id(7, 3), true), (id(7, 3), true), (id(7, 3), false)]);
}

#[test]
fn a_beat_tells_what_others_have_published_that_was_not_heard_yet() {
    let (mut course, now) = following();
    course.on_beat(Some(Beaten { epoch: 7, newest: Some(id(7, 2)) }), id(7, 0), now);
    let second = Duration::from_secs(1);
    assert_eq!((course.lag(now + second), course.backlog()), (second, 2));
}

#[test]
fn a_successor_reads_on_where_its_predecessor_has_stopped() {
    let now = Instant::now();
    let mut course = Course::new(0, PAGE, 1, now);
    course.go_on_behind(id(7, 5));
    assert!(course.has_read_all());
    let asked = begin(&mut course, Begun { epoch: 7, newest: id(7, 9) }, now);
    let page = Ask::Page { from: Some(id(7, 5)), most: PAGE };
    assert_eq!(asked.last(), Some(&Step::Ask(Line::Reader, page)));
    assert_eq!(course.take(id(7, 5), Kind::Publication), Ok(Taken::Known));
    assert_eq!(course.take(id(7, 6), Kind::Publication), Ok(Taken::Next));
}

#[test]
fn an_engine_that_parts_in_the_midst_of_much_is_asked_for_less_until_that_goes_well() {
    let now = Instant::now();
    let mut course = Course::new(0, PAGE, 1, now);
    let mut asked = vec![];
    for is_cut in [true, true, false] {
        let later = now + 60 * LONGEST_PAUSE;
        let steps = begin(&mut course, Begun { epoch: 7, newest: id(7, 1) }, later);
        asked.extend(steps.into_iter().filter_map(|step| match step {
            Step::Ask(Line::Reader, Ask::Page { most, .. }) => Some(most),
            _ => None,
        }));
        if is_cut {
            course.on_fault(Fault::Closed, now);
        }
    }
    assert_eq!(asked, [PAGE, PAGE / 8, 2]);
    course.take(id(7, 1), Kind::Publication).unwrap();
    course.on_page(true, now);
    let page = Ask::Page { from: Some(id(7, 1)), most: 4 };
    assert_eq!(steps(&mut course, now), [Step::Ask(Line::Reader, page)]);
}

//! Moments and closings over virtual time, of a server that leaves and of connections that grow old.

use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn notices_for(clients: usize, close_after: Option<Duration>) -> (ReconnectNotices, Instant) {
    let (now, clients) = (Instant::now(), (0..clients).collect::<Vec<_>>());
    let terms = ReconnectTerms { spread: MINUTE, close_after, max_age: None };
    (ReconnectNotices::new(terms, &clients, now, now + 30 * MINUTE, 7), now)
}

fn send_all(notices: &mut ReconnectNotices, now: Instant) -> Vec<ReconnectNotice> {
    std::iter::from_fn(|| notices.next_notice(now)).collect()
}

#[test]
fn moments_are_spread_evenly_with_jitter() {
    let (mut notices, now) = notices_for(600, None);
    let sent = send_all(&mut notices, now);
    let mut jitter = 0;
    for (rank, notice) in sent.iter().enumerate() {
        let share = Duration::from_millis(100);
        let start = share * u32::try_from(rank).unwrap();
        assert!(notice.client == rank && (start..=start + share).contains(&notice.after), "{notice:?}");
        jitter += u32::from(notice.after - start > share / 2);
    }
    assert!((200..400).contains(&jitter), "{jitter} of 600 in the later half of their share");
}

#[test]
fn nobody_is_asked_to_reconnect_after_the_deadline() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let terms = ReconnectTerms { spread: MINUTE, close_after: None, max_age: None };
    let mut notices = ReconnectNotices::new(terms, &[0, 1, 2], now, now + second, 7);
    notices.join(3, now);
    assert!(send_all(&mut notices, now).iter().all(|notice| notice.after <= second));
}

#[test]
fn whoever_is_told_late_reconnects_at_the_same_moment() {
    let (mut notices, now) = notices_for(2, None);
    let later = now + Duration::from_secs(40);
    let sent = send_all(&mut notices, later);
    assert_eq!(sent[0].after, Duration::ZERO);
    assert!(sent[1].after <= MINUTE - Duration::from_secs(40));
    assert_eq!(sent[0].deadline, Some(30 * MINUTE - Duration::from_secs(40)));
}

#[test]
fn without_a_spread_all_reconnect_at_once() {
    let now = Instant::now();
    let terms = ReconnectTerms { spread: Duration::ZERO, close_after: None, max_age: None };
    let mut notices = ReconnectNotices::new(terms, &[3, 4], now, now + MINUTE, 7);
    assert!(send_all(&mut notices, now).iter().all(|notice| notice.after == Duration::ZERO));
}

#[test]
fn whoever_stays_is_closed_as_long_after_its_moment_as_is_said_one_by_one() {
    let (mut notices, now) = notices_for(60, Some(MINUTE));
    send_all(&mut notices, now);
    let (mut closed, mut at) = (vec![], now);
    while let Some(next) = notices.next_deadline() {
        assert!(next >= at && notices.next_closing(at).is_none_or(|_| false));
        at = next;
        closed.extend(notices.next_closing(at));
        assert!(notices.next_closing(at).is_none(), "never two at a time");
    }
    assert_eq!(closed, (0..60).collect::<Vec<_>>());
    assert!(at <= now + 2 * MINUTE);
}

#[test]
fn whoever_comes_late_gets_a_moment_that_is_still_to_come() {
    let (mut notices, now) = notices_for(1, None);
    let later = now + 10 * MINUTE;
    notices.join(9, later);
    assert!(notices.next_deadline() <= Some(now));
    assert_eq!(
        send_all(&mut notices, later)[1],
        ReconnectNotice { client: 9, after: Duration::ZERO, deadline: Some(20 * MINUTE) }
    );
}

#[test]
fn whoever_comes_late_is_closed_as_long_after_its_moment_as_all_others() {
    let (mut notices, now) = notices_for(0, Some(MINUTE));
    let later = now + 10 * MINUTE;
    notices.join(9, later);
    send_all(&mut notices, later);
    assert_eq!(notices.next_deadline(), Some(later + MINUTE));
}

#[test]
fn nothing_happens_at_the_moment_of_a_client_that_has_departed_to_whoever_has_its_name_now() {
    let (mut notices, now) = notices_for(1, Some(MINUTE));
    send_all(&mut notices, now);
    notices.forget(0);
    let later = now + 2 * MINUTE;
    notices.join(0, later);
    assert_eq!(notices.next_closing(later), None);
    assert_eq!(send_all(&mut notices, later).len(), 1);
    assert_eq!(notices.next_deadline(), Some(later + MINUTE));
}

const HOUR: Duration = Duration::from_secs(3600);

fn ageing(max_age: Duration, close_after: Option<Duration>) -> ReconnectNotices {
    let terms = ReconnectTerms { spread: MINUTE, close_after, max_age: Some(max_age) };
    ReconnectNotices::by_age(terms, 7).expect("connections grow old")
}

#[test]
fn connections_may_be_of_any_age_unless_one_is_set() {
    let terms = ReconnectTerms { spread: MINUTE, close_after: Some(MINUTE), max_age: None };
    assert!(ReconnectNotices::by_age(terms, 7).is_none());
}

#[test]
fn each_moment_is_within_a_tenth_of_the_age_and_they_fill_that_time() {
    let (mut notices, now) = (ageing(HOUR, None), Instant::now());
    (0..1000).for_each(|client| notices.join(client, now));
    let (mut told, mut minutes) = (BTreeSet::new(), BTreeSet::new());
    while let Some(at) = notices.next_deadline() {
        assert_eq!(notices.next_notice(at - Duration::from_nanos(1)), None, "nobody is told early");
        let notice = notices.next_notice(at).expect("it is time");
        assert_eq!((notice.after, notice.deadline), (AHEAD, None));
        let age = at + notice.after - now;
        assert!((HOUR * 9 / 10..=HOUR * 11 / 10).contains(&age), "{age:?}");
        assert!(told.insert(notice.client), "{notice:?} is told twice");
        minutes.insert(age.as_secs() / 60);
    }
    assert_eq!((told.len(), minutes.len()), (1000, 12), "{minutes:?}");
}

#[test]
fn a_notice_comes_no_earlier_than_a_tenth_of_a_short_age_before_its_moment() {
    let (mut notices, now) = (ageing(Duration::from_secs(1), None), Instant::now());
    notices.join(0, now);
    let at = notices.next_deadline().expect("it grows old");
    assert!(at >= now + Duration::from_millis(800));
    assert_eq!(notices.next_notice(at).expect("it is time").after, Duration::from_millis(100));
}

#[test]
fn an_old_client_is_told_when_it_is_closed_and_closed_then() {
    let (mut notices, now) = (ageing(HOUR, Some(MINUTE)), Instant::now());
    notices.join(5, now);
    let told_at = notices.next_deadline().expect("it grows old");
    let notice = notices.next_notice(told_at).expect("it is time");
    assert_eq!(notice, ReconnectNotice { client: 5, after: AHEAD, deadline: Some(AHEAD + MINUTE) });
    let end = told_at + AHEAD + MINUTE;
    assert_eq!(notices.next_deadline(), Some(end));
    assert_eq!(notices.next_closing(end - Duration::from_nanos(1)), None);
    assert_eq!((notices.next_closing(end), notices.next_deadline()), (Some(5), None));
}

#[test]
fn an_old_client_that_is_told_late_has_as_long_to_move_as_all_others() {
    let (mut notices, now) = (ageing(HOUR, Some(MINUTE)), Instant::now());
    notices.join(5, now);
    let told_at = notices.next_deadline().expect("it grows old");
    let late = told_at + 10 * MINUTE;
    let notice = notices.next_notice(late).expect("it is time");
    assert_eq!((notice.after, notice.deadline), (Duration::ZERO, Some(MINUTE)));
    assert_eq!(notices.next_deadline(), Some(late + MINUTE));
}

#[test]
fn a_client_that_departs_is_neither_told_nor_closed_and_whoever_has_its_name_next_has_its_own_age() {
    let (mut notices, now) = (ageing(HOUR, Some(MINUTE)), Instant::now());
    notices.join(5, now);
    notices.forget(5);
    assert_eq!(notices.next_deadline(), None);
    notices.join(5, now);
    let told_at = notices.next_deadline().expect("it grows old");
    notices.next_notice(told_at);
    notices.forget(5);
    notices.join(5, told_at);
    assert_eq!(notices.next_closing(told_at + AHEAD + MINUTE), None);
    assert!(notices.next_deadline() >= Some(told_at + HOUR * 9 / 10 - AHEAD));
}

#[test]
fn servers_of_different_seeds_draw_different_moments() {
    let now = Instant::now();
    let terms = ReconnectTerms { spread: MINUTE, close_after: None, max_age: Some(HOUR) };
    let first = [1 << 32, 2 << 32].map(|seed| {
        let mut notices = ReconnectNotices::by_age(terms, seed).expect("connections grow old");
        notices.join(0, now);
        notices.next_deadline()
    });
    assert_ne!(first[0], first[1]);
}

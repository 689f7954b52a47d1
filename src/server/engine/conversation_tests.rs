//! Answers that come in pieces, or not at all: a peer that sends something all the time is given up all the same.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::server::far_end::{FarEnd, Wire};

const LIMIT: Duration = Duration::from_secs(5);

/// A conversation in which one answer is expected, and its other end.
fn asked(now: Instant) -> (Conversation<Wire, ()>, Rc<RefCell<FarEnd>>) {
    let (mut conversation, end) = (Conversation::new(LIMIT, now), FarEnd::open());
    conversation.connect(Wire(end.clone()));
    conversation.write(now, |to| to.extend_from_slice(b"PING\r\n"));
    conversation.expect(());
    (conversation, end)
}

/// How long a peer is listened to that says this once a second, and how many answers there were.
fn borne(first: &str, each_second: &str) -> (Duration, usize) {
    let start = Instant::now();
    let (mut conversation, end) = asked(start);
    end.borrow_mut().said.extend(first.as_bytes());
    let (mut replies, mut now) = (vec![], start);
    while now < start + 20 * LIMIT && conversation.deadline().is_none_or(|deadline| now < deadline) {
        conversation.on_ready();
        conversation.take(&mut [0; 64 * 1024], now, &mut replies).expect("no fault");
        now += Duration::from_secs(1);
        end.borrow_mut().said.extend(each_second.as_bytes());
    }
    (now - start, replies.len())
}

#[test]
fn whoever_trickles_is_given_up_as_if_it_was_silent() {
    let few = "x".repeat(1000);
    for (first, each_second) in [
        ("", ""),
        ("+PO", ""),
        ("$100000\r\n", "x"),
        ("$1000000\r\n", &few),
        ("*900000\r\n", ":1\r\n"),
        ("", ">2\r\n+invalidate\r\n_\r\n"),
        ("", &format!(">1\r\n${}\r\n{}\r\n", 100_000, "x".repeat(100_000))),
        (">900000\r\n", &"+invalidate this and that\r\n".repeat(10_000)),
        ("|1\r\n+a\r\n", "+"),
    ] {
        assert_eq!(borne(first, each_second), (LIMIT, 0), "{first:?} {:.20?}", each_second);
    }
}

#[test]
fn a_large_answer_may_take_its_time_while_much_of_it_comes() {
    let (time, replies) = borne("$100000000\r\n", &"x".repeat(20_000));
    assert!(time > 9 * LIMIT && replies == 0, "{time:?}");
}

#[test]
fn each_answer_gives_the_next_one_the_whole_limit() {
    let now = Instant::now();
    let (mut conversation, end) = asked(now);
    conversation.expect(());
    let later = now + LIMIT / 2;
    end.borrow_mut().said.extend(b"+PONG\r\n>1\r\n+x\r\n+PO");
    conversation.take(&mut [0; 1024], later, &mut vec![]).unwrap();
    assert_eq!((conversation.deadline(), conversation.asked()), (Some(later + LIMIT), Some(now)));
    end.borrow_mut().said.extend(b"NG\r\n");
    conversation.on_ready();
    conversation.take(&mut [0; 1024], later, &mut vec![]).unwrap();
    assert_eq!((conversation.deadline(), conversation.asked()), (None, None));
}

#[test]
fn a_reset_ahead_of_every_answer_may_be_that_of_a_server_of_tls() {
    for (said, is_hinted) in [("", true), ("+PO", false)] {
        let (mut conversation, end) = asked(Instant::now());
        end.borrow_mut().said.extend(said.as_bytes());
        end.borrow_mut().is_reset = true;
        let fault = conversation.take(&mut [0; 1024], Instant::now(), &mut vec![]).unwrap_err();
        assert_eq!(
            fault
                .to_string()
                .ends_with("if TLS is spoken there, give rediss:// (rediss+sentinel:// with sentinels)"),
            is_hinted,
            "{fault}"
        );
    }
}

#[test]
fn what_is_said_while_it_is_held_stays_here_until_it_goes_on() {
    let now = Instant::now();
    let (mut conversation, end) = asked(now);
    conversation.hold();
    conversation.write(now, |to| to.extend_from_slice(b"LATER\r\n"));
    conversation.flush(now).unwrap();
    assert_eq!(end.borrow().taken, b"PING\r\n");
    assert!(!conversation.wants_flush() && conversation.queued_bytes() == 7);
    conversation.go_on();
    assert!(conversation.wants_flush());
    conversation.flush(now).unwrap();
    assert_eq!(end.borrow().taken, b"PING\r\nLATER\r\n");
}

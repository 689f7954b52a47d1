//! What one turn of the server does at most.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::http::routes::Door;
use slackwater::policy::drain::Drain;
use slackwater::server::clock::Now;
use slackwater::server::turn::Turn;

use crate::draw::patient_terms;
use crate::publish;
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::speech::handshake;

fn server(now: Now) -> Turn<VirtualSocket> {
    let mut server = Turn::new(patient_terms(), None, Drain::new(Duration::ZERO, Duration::ZERO), now);
    server.handle([], [], now);
    server
}

fn has_work(server: &Turn<VirtualSocket>) -> bool {
    server.next_timeout() == Some(Duration::ZERO)
}

#[test]
fn what_is_published_in_one_turn_is_bounded_and_each_publisher_has_its_turn() {
    const REQUESTS: u64 = 8;
    let mut random = Random::new(2500);
    let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
    let mut server = server(now);
    // Each is short, and makes a megabyte of publications that nobody listens to.
    let target = "news&topic=news".to_owned() + &"&topic=news".repeat(248);
    let mut connect = |tokens: Range<u64>| {
        let line = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
        tokens.for_each(|token| line.borrow_mut().send(publish(&target, token, 4000).as_bytes()));
        server.admit(Door::Public, |_| Ok(VirtualSocket(line.clone()))).unwrap();
        line
    };
    let many = connect(0..REQUESTS);
    let others: Vec<_> = (REQUESTS..16).map(|token| connect(token..token + 1)).collect();
    let answers = |line: &RefCell<Line>| {
        line.borrow_mut().take(usize::MAX);
        line.borrow().ear.heard.len()
    };
    let (mut answered, mut turns) = (0, 0);
    loop {
        assert_eq!(server.poll(), None);
        let now_answered = answers(&many) + others.iter().map(|line| answers(line)).sum::<usize>();
        assert!(now_answered - answered <= 5, "{} in one turn", now_answered - answered);
        (answered, turns) = (now_answered, turns + 1);
        if turns == 2 {
            assert!(
                answers(&many) < 8 && others.iter().any(|line| answers(line) == 1),
                "only one had its turn"
            );
        }
        if !has_work(&server) {
            break;
        }
        server.handle([], [], now);
    }
    assert_eq!(answered, 16);
}

#[test]
fn what_is_handed_to_listeners_in_one_turn_is_bounded_however_much_each_has_to_hear() {
    let mut random = Random::new(2600);
    let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
    let mut server = server(now);
    let mut connect = |server: &mut Turn<VirtualSocket>, request: &str| {
        let line = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
        line.borrow_mut().ear.is_deaf = true;
        line.borrow_mut().send(request.as_bytes());
        server.admit(Door::Public, |_| Ok(VirtualSocket(line.clone()))).unwrap();
        line
    };
    let listeners: Vec<_> = (0..16).map(|_| connect(&mut server, &handshake("topic=news"))).collect();
    let target = "news&topic=news".to_owned() + &"&topic=news".repeat(248);
    connect(&mut server, &publish(&target, 1, 4000));
    let unread = || listeners.iter().map(|line| line.borrow().unread_by_client()).sum::<usize>();
    let mut heard = 0;
    while has_work(&server) {
        assert_eq!(server.poll(), None);
        assert!(unread() - heard < 6 << 20, "{} bytes in one turn", unread() - heard);
        heard = unread();
        server.handle([], [], now);
    }
    assert!(heard > 16 * 250 * 4000);
}

#[test]
fn requests_that_have_come_together_are_answered_in_one_turn_whatever_is_among_them() {
    let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
    let (mut server, line) = (server(now), Rc::new(RefCell::new(Line::new(Random::new(2700), 1 << 40))));
    for token in 0..50 {
        line.borrow_mut().send(publish("news", token, 10).as_bytes());
        line.borrow_mut().send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    server.admit(Door::Public, |_| Ok(VirtualSocket(line.clone()))).unwrap();
    assert_eq!(server.poll(), None);
    line.borrow_mut().take(usize::MAX);
    assert_eq!(line.borrow().ear.heard.len(), 100);
}

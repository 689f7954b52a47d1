//! What one turn of the server does at most.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use jiff::Timestamp;
use slackwater::server::clock::Now;
use slackwater::server::peers::Peers;

use crate::draw::patient_terms;
use crate::publish;
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};

#[test]
fn what_is_published_in_one_turn_is_bounded_and_each_publisher_has_its_turn() {
    const REQUESTS: u64 = 8;
    let mut random = Random::new(2500);
    let mut peers = Peers::new(patient_terms(), None);
    let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
    // Each is short, and makes a megabyte of publications that nobody listens to.
    let target = "news&topic=news".to_owned() + &"&topic=news".repeat(248);
    let mut connect = |tokens: Range<u64>| {
        let line = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
        tokens.for_each(|token| line.borrow_mut().send(publish(&target, token, 4000).as_bytes()));
        peers.admit(now, |_| Ok(VirtualSocket(line.clone()))).unwrap();
        line
    };
    let many = connect(0..REQUESTS);
    let others: Vec<_> = (REQUESTS..16).map(|token| connect(token..token + 1)).collect();
    let answers = |line: &RefCell<Line>| {
        line.borrow_mut().take(usize::MAX);
        line.borrow().ear.heard.len()
    };
    peers.read_newcomers(now);
    let (mut answered, mut turns) = (0, 0);
    loop {
        peers.settle(now);
        let now_answered = answers(&many) + others.iter().map(|line| answers(line)).sum::<usize>();
        assert!(now_answered - answered <= 5, "{} in one turn", now_answered - answered);
        (answered, turns) = (now_answered, turns + 1);
        if turns == 2 {
            assert!(
                answers(&many) < 8 && others.iter().any(|line| answers(line) == 1),
                "only one had its turn"
            );
        }
        if !peers.has_work() {
            break;
        }
        peers.read_unread(now);
    }
    assert_eq!(answered, 16);
}

//! Properties: what either side sends the other hears, all of it and nothing else, however both streams are cut, and whatever else
//! happens in between.

use std::io::IoSlice;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::judge::{Pair, SIDES, Side, VERSIONS, configs, configs_with, suites};
use super::suite::Version;
use super::{CLIENT_HELD_BYTES, SERVER_HELD_BYTES, Sent, State, TlsError};

/// What may happen once the two have agreed on keys.
#[derive(Debug, Clone)]
enum Act {
    SessionSends(Vec<usize>),
    JudgeSends(usize),
    JudgeChangesKeys,
    SessionChangesKeys,
    SessionMoves,
    SessionIsTold(usize),
    JudgeIsTold(usize),
    SessionCloses,
    JudgeCloses,
}

fn length() -> impl Strategy<Value = usize> {
    let record = 16 * 1024;
    prop_oneof![
        4 => select(vec![0, 1, record - 1, record, record + 1]),
        8 => 0_usize..300,
        1 => Just(100 * 1024),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => vec(length(), 1..4).prop_map(Act::SessionSends),
        6 => length().prop_map(Act::JudgeSends),
        2 => Just(Act::JudgeChangesKeys),
        1 => Just(Act::SessionChangesKeys),
        3 => Just(Act::SessionMoves),
        6 => (0_usize..40_000).prop_map(Act::SessionIsTold),
        6 => (0_usize..40_000).prop_map(Act::JudgeIsTold),
        1 => Just(Act::SessionCloses),
        1 => Just(Act::JudgeCloses),
    ]
}

/// In how large pieces the streams come, in turn.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), Just(vec![1]), vec(1_usize..40, 1..5), vec(1_usize..20_000, 1..5)]
}

/// What a side sends: no two stretches of it are alike.
#[derive(Default)]
struct Speech(Vec<u8>);

impl Speech {
    fn next(&mut self, length: usize) -> Vec<u8> {
        let from = self.0.len() as u64;
        let more = (from..).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2]).take(length);
        let more: Vec<u8> = more.collect();
        self.0.extend(&more);
        more
    }
}

fn check(side: Side, mut pair: Pair, acts: Vec<Act>, sizes: &[usize]) {
    let most_bytes = if side == Side::Server { SERVER_HELD_BYTES } else { CLIENT_HELD_BYTES };
    let (mut session_said, mut judge_said) = (Speech::default(), Speech::default());
    let (mut session_closed, mut judge_closed) = (false, false);
    pair.settle(sizes);
    assert_eq!(pair.session.state(), State::Open);
    assert_eq!(pair.session.alpn(), Some(&b"http/1.1"[..]));
    for act in acts {
        match act {
            Act::SessionSends(lengths) if !session_closed => {
                let pieces: Vec<Vec<u8>> = lengths.iter().map(|length| session_said.next(*length)).collect();
                let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                assert_eq!(pair.session.send(&slices, &mut pair.to_judge), Ok(Sent::Whole));
            }
            Act::SessionSends(_) => assert_eq!(pair.send(b"more"), Err(TlsError::Closed)),
            Act::JudgeSends(length) if !judge_closed => pair.judge.sends(&judge_said.next(length)),
            // Only TLS 1.3 can.
            Act::JudgeChangesKeys if !judge_closed => drop(pair.judge.0.refresh_traffic_keys()),
            Act::JudgeSends(_) | Act::JudgeChangesKeys => {}
            // As if it had been asked.
            Act::SessionChangesKeys => {
                if let super::Side::Open(records) = &mut pair.session.side {
                    records.owes_update = records.suite.version == Version::Tls13;
                }
            }
            Act::SessionMoves => pair.move_session(),
            Act::SessionIsTold(bytes) => drop(pair.tell_session(bytes).unwrap()),
            Act::JudgeIsTold(bytes) => pair.tell_judge(bytes).unwrap(),
            Act::SessionCloses => {
                pair.close();
                session_closed = true;
            }
            Act::JudgeCloses => {
                pair.judge.0.send_close_notify();
                judge_closed = true;
            }
        }
        assert!(pair.session.held_bytes() <= most_bytes);
    }
    pair.settle(sizes);
    assert!(pair.session_heard == judge_said.0, "the session hears what was said");
    assert!(pair.judge_heard == session_said.0, "the judge hears what was said");
    assert_eq!(pair.session.held_bytes(), 0);
    assert_eq!(pair.session.receive_end().is_ok(), judge_closed);
    assert_eq!(pair.session.state(), if judge_closed { State::PeerClosed } else { State::Open });
    assert_eq!(pair.judge.is_told_of_the_end(), session_closed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_is_heard_however_it_is_cut(
        suite in select(suites()),
        side in select(&SIDES[..]),
        acts in vec(act(), 0..16),
        sizes in sizes(),
    ) {
        check(side, Pair::new(side, &configs_with(suite)), acts, &sizes);
    }

    #[test]
    fn what_is_sent_is_heard_in_a_session_that_is_resumed(
        version in select(&VERSIONS[..]),
        side in select(&SIDES[..]),
        acts in vec(act(), 0..8),
        sizes in sizes(),
    ) {
        let configs = configs(version);
        Pair::open(side, &configs);
        let mut pair = Pair::new(side, &configs);
        pair.settle(&sizes);
        assert_eq!(pair.judge.kind(), Some(rustls::HandshakeKind::Resumed));
        check(side, pair, acts, &sizes);
    }
}

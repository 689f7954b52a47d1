//! What a worker hears of its supervisor's, in virtual time.

use std::io::Write;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;

use super::*;
use crate::policy::epochs::Epochs;
use crate::policy::idempotency::Scope;
use crate::policy::sequencer::PublicationId;
use crate::server::socket::Stream;
use crate::wire::link::encode;
use crate::wire::publish::{Drafts, Submission};

#[test]
fn one_that_is_behind_says_once_a_second_that_its_loop_turns() {
    let (socket, _other) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
        .expect("there are descriptors");
    let (mut upstream, now) = (Upstream::new(Stream::from(socket)), Now::read().instant);
    let beats_at = [0, 10, 999, 1000, 1500, 2000].map(|ms| {
        upstream.on_ready();
        upstream.take_in(true, &mut [], now + Duration::from_millis(ms));
        upstream.link.queued_bytes() / 5
    });
    assert_eq!(beats_at, [1, 1, 1, 2, 2, 3]);
}

/// What there is to hear when the supervisor has said this.
fn heard(said: &[ToWorker<'_>]) -> Vec<Heard> {
    let (socket, mut other) = UnixStream::pair().expect("there are descriptors");
    socket.set_nonblocking(true).expect("it is a socket");
    let mut octets = BytesMut::new();
    said.iter().for_each(|message| encode(message, &mut octets));
    other.write_all(&octets).expect("there is room");
    let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
    upstream.on_ready();
    upstream.take_in(false, &mut [0; 1000], now.instant);
    std::iter::from_fn(|| upstream.poll(now)).collect()
}

#[test]
fn how_everything_stands_is_answered_to_whoever_has_asked_that_ahead_of_what_waits_for_an_engine() {
    let (socket, mut other) = UnixStream::pair().expect("there are descriptors");
    socket.set_nonblocking(true).expect("it is a socket");
    let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
    upstream.ask(Ticket(1), Question::Sync);
    upstream.ask(Ticket(2), Question::Overview(Wish::Counted, Box::default()));
    let mut octets = BytesMut::new();
    for answer in [ToWorker::Overview(Box::default()), ToWorker::Synced] {
        encode(&answer, &mut octets);
    }
    other.write_all(&octets).expect("there is room");
    upstream.on_ready();
    upstream.take_in(false, &mut [0; 1000], now.instant);
    let heard: Vec<_> = std::iter::from_fn(|| upstream.poll(now)).collect();
    let [Heard::Answer(first, Answer::Overview(_)), Heard::Answer(second, Answer::Synced)] = heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!((first, second), (Ticket(2), Ticket(1)));
}

#[test]
fn a_publisher_is_not_answered_behind_who_waits_until_all_is_heard_and_whoever_follows_it_is_answered_behind_it()
 {
    let (socket, mut other) = UnixStream::pair().expect("there are descriptors");
    socket.set_nonblocking(true).expect("it is a socket");
    let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
    upstream.ask(Ticket(0), Question::Pass);
    upstream.ask(Ticket(1), Question::Sync);
    upstream.ask(
        Ticket(2),
        Question::Publish(Submission {
            key: None,
            scope: Scope::OPERATORS,
            drafts: Drafts { list: vec![], is_batch: true },
        }),
    );
    upstream.ask(Ticket(3), Question::Pass);
    let tickets = |upstream: &mut Upstream<Stream>| -> Vec<usize> {
        let heard = std::iter::from_fn(|| upstream.poll(now));
        let ticket = |heard| if let Heard::Answer(Ticket(ticket), _) = heard { Some(ticket) } else { None };
        heard.filter_map(ticket).collect()
    };
    assert_eq!(tickets(&mut upstream), [0]);
    for (answer, expected) in [(ToWorker::Refused, &[2, 3][..]), (ToWorker::Synced, &[1])] {
        let mut octets = BytesMut::new();
        encode(&answer, &mut octets);
        other.write_all(&octets).expect("there is room");
        upstream.on_ready();
        upstream.take_in(false, &mut [0; 1000], now.instant);
        assert_eq!(tickets(&mut upstream), expected);
    }
}

#[test]
fn of_what_was_given_to_a_supervisor_that_ends_nobody_knows_whether_it_is_published_and_of_what_follows_it_is_not()
 {
    let (socket, other) = UnixStream::pair().expect("there are descriptors");
    socket.set_nonblocking(true).expect("it is a socket");
    let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
    let question = || {
        let drafts = Drafts { list: vec![], is_batch: true };
        Question::Publish(Submission { key: None, scope: Scope::OPERATORS, drafts })
    };
    upstream.ask(Ticket(1), question());
    drop(other);
    upstream.on_ready();
    upstream.take_in(false, &mut [0; 1000], now.instant);
    let answers = |upstream: &mut Upstream<Stream>| -> Vec<Answer> {
        let heard = std::iter::from_fn(|| upstream.poll(now));
        heard
            .filter_map(|heard| if let Heard::Answer(_, answer) = heard { Some(answer) } else { None })
            .collect()
    };
    assert!(matches!(answers(&mut upstream)[..], [Answer::Published(Err(Unpublished::Orphaned))]));
    upstream.ask(Ticket(2), question());
    assert!(matches!(answers(&mut upstream)[..], [Answer::Refused]));
}

#[test]
fn a_line_begins_again_and_goes_on_in_another_epoch_but_not_beyond_all_positions() {
    let begin = |newest| Continuation::Begin { epochs: Epochs::of(1), newest };
    let epoch = Continuation::Epoch { epoch: 2, after: PublicationId::new(1, 7), is_lossy: false };
    let said = [begin(0), begin(7), epoch].map(ToWorker::Line);
    let lines = heard(&said).into_iter().map(|heard| match heard {
        Heard::Line(continuation) => ToWorker::Line(continuation),
        other => panic!("{other:?}"),
    });
    assert_eq!(lines.collect::<Vec<_>>(), said);
    let late = heard(&[ToWorker::Line(begin(0)), ToWorker::CaughtUp, ToWorker::Line(begin(0))]);
    assert!(matches!(late[..], [Heard::Line(_), Heard::Line(_)]), "{late:?}");
    let unknown = Epochs::new(PublicationId::new(1, 0), 5);
    for impossible in [
        begin(u64::MAX),
        Continuation::Begin { epochs: unknown, newest: 4 },
        Continuation::Restart(PublicationId::new(1, u64::MAX)),
    ] {
        let heard = heard(&[ToWorker::Line(impossible)]);
        assert!(matches!(heard[..], [Heard::Instruction(Instruction::Leave)]), "{heard:?}");
    }
}

#[test]
fn the_newest_id_is_not_known_from_a_history_of_no_epoch_until_all_of_another_one_has_come() {
    let begin = |epoch| ToWorker::Line(Continuation::Begin { epochs: Epochs::of(epoch), newest: 0 });
    let mut newest = Newest::Known;
    let known = [begin(0), ToWorker::CaughtUp, begin(7), ToWorker::CaughtUp, begin(7)].map(|message| {
        newest = newest.behind(&message);
        newest == Newest::Known
    });
    assert_eq!(known, [false, false, false, true, true]);
}

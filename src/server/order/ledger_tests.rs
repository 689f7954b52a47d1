//! Retries, conflicts, and what a successor goes on with.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::epochs::Epochs;
use crate::policy::idempotency::{Key, REMEMBERED};
use crate::policy::line::Continuation;
use crate::policy::sequencer::PublicationId;
use crate::wire::publish;

const LIMITS: HistoryLimits =
    HistoryLimits { publications: 100_000, bytes: 100_000_000, age: Duration::from_secs(600) };

/// An order with what it has published, and the time.
struct Desk {
    order: Ledger,
    line: Line,
    now: Now,
}

impl Desk {
    fn new() -> Self {
        Self { order: Ledger::new(7, 0), line: Line::empty(7, LIMITS), now: Now::read() }
    }

    /// Submits a JSON body as the operators: the positions that are answered, or why nothing is published.
    fn submit(&mut self, key: &str, body: &str) -> Result<Vec<Position>, String> {
        self.submit_as(Scope::OPERATORS, key, body)
    }

    fn submit_as(&mut self, scope: Scope, key: &str, body: &str) -> Result<Vec<Position>, String> {
        let drafts = publish::read(Some("application/json"), &[], body.as_bytes(), 1 << 20).unwrap();
        let key = (!key.is_empty()).then(|| drafts.key(key.as_bytes(), scope));
        let publish = |publication| self.line.history_mut().push(publication);
        let outcome = self.order.submit(Submission { key, scope, drafts }, self.now, publish);
        assert_eq!(self.order.newest(), self.line.newest(), "all that is positioned is published");
        outcome
            .map(|published| published.ids().map(|id| id.position()).collect())
            .map_err(|why| why.to_string())
    }

    fn wait(&mut self, time: Duration) {
        self.now = Now { instant: self.now + time, wall: self.now.wall + time };
    }

    /// Another process goes on, so much later, with what this one has written.
    fn hand_over(self, after: Duration) -> Self {
        let octets = self.order.snapshot(&self.line, self.now).encode();
        let now = Now { instant: self.now + Duration::from_secs(1_000), wall: self.now.wall + after };
        let (order, line) = Ledger::restore(Snapshot::decode(&octets).unwrap(), LIMITS, now);
        Self { order, line, now }
    }
}

#[test]
fn a_retry_of_a_request_gets_the_first_answer_and_another_request_is_a_conflict() {
    let mut desk = Desk::new();
    let first = r#"[{"topic":"a","data":1},{"topic":"b","data":2}]"#;
    assert_eq!(desk.submit("k", first), Ok(vec![1, 2]));
    assert_eq!(desk.submit("k", first), Ok(vec![1, 2]));
    let conflict = Err("this Idempotency-Key was used with another request".to_owned());
    for other in [
        r#"[{"topic":"a","data":1},{"topic":"b","data":3}]"#,
        r#"[{"topic":"a","data":1},{"topic":"c","data":2}]"#,
        r#"[{"topic":"a","data":1}]"#,
        r#"[{"topic":"a","data":1},{"topic":"b","data":2},{"topic":"b","data":2}]"#,
        r#"[{"topic":"a","data":1,"id":"x"},{"topic":"b","data":2}]"#,
    ] {
        assert_eq!(desk.submit("k", other), conflict, "{other}");
    }
    assert_eq!(desk.submit("l", first), Ok(vec![3, 4]));
    assert_eq!(desk.submit("o", r#"{"data":1}"#), Ok(vec![5]));
    assert_eq!(desk.submit("o", r#"[{"data":1}]"#), conflict, "its answer is of another shape");
}

/// What a publication goes by: the key of its request, or the id of its object on a topic.
#[derive(Debug, Clone, PartialEq)]
enum Name {
    Request(String),
    Object(String, String),
}

/// What may be in a topic, an id and a subject alike, so that the end of one could be taken for the beginning of another.
fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        "[a/]{1,3}".prop_map(Name::Request),
        ("[a/]{1,2}", "[a/]{1,2}").prop_map(|(topic, id)| Name::Object(topic, id)),
    ]
}

/// The operators, or whose token is of a subject or of none.
fn publisher() -> impl Strategy<Value = Option<Option<String>>> {
    proptest::option::of(proptest::option::of("[a/]{0,2}"))
}

proptest! {
    #[test]
    fn a_key_is_one_publishers_own_whatever_others_call_theirs(
        first in (publisher(), name()),
        second in (publisher(), name()),
    ) {
        let mut desk = Desk::new();
        let mut submit = |(publisher, name): &(Option<Option<String>>, Name), data: u8| {
            let scope = publisher.as_ref().map_or(Scope::OPERATORS, |subject| Scope::of_subject(subject.as_deref()));
            match name {
                Name::Request(key) => desk.submit_as(scope, key, &format!(r#"{{"data":{data}}}"#)),
                Name::Object(topic, id) => {
                    desk.submit_as(scope, "", &format!(r#"{{"topic":"{topic}","id":"{id}","data":{data}}}"#))
                }
            }
        };
        let is_retry = first == second;
        prop_assert_eq!(submit(&first, 1), Ok(vec![1]));
        prop_assert_eq!(submit(&second, 2).is_err(), is_retry);
        prop_assert_eq!(submit(&first, 1), Ok(vec![1]));
        prop_assert_eq!(submit(&second, if is_retry { 1 } else { 2 }), Ok(vec![if is_retry { 1 } else { 2 }]));
    }
}

#[test]
fn a_conflict_shows_nothing_of_whose_the_key_is() {
    let (mut desk, ada) = (Desk::new(), Scope::of_subject(Some("sekrit")));
    desk.submit_as(ada, "k", r#"{"id":"x","data":1}"#).unwrap();
    for (key, body) in [("k", r#"{"data":2}"#), ("", r#"{"id":"x","data":2}"#)] {
        assert_eq!(desk.submit_as(ada, key, body), {
            let mut desk = Desk::new();
            desk.submit("k", r#"{"id":"x","data":1}"#).unwrap();
            desk.submit(key, body)
        });
    }
}

#[test]
fn the_keys_of_a_predecessor_that_knew_of_no_scopes_are_the_operators() {
    let mut desk = Desk::new();
    let payload = Fingerprint::of([&b"1"[..]]);
    let key = Key { name: Fingerprint::of([&b"a"[..], b"x"]), payload };
    desk.submit("", r#"{"data":0}"#).unwrap();
    desk.order.idempotency.remember(&key, Answer::one(1), desk.now.instant);
    let mut desk = desk.hand_over(Duration::ZERO);
    let body = r#"{"topic":"a","id":"x","data":1}"#;
    assert_eq!(desk.submit("", body), Ok(vec![1]));
    assert_eq!(desk.submit_as(Scope::of_subject(None), "", body), Ok(vec![2]));
}

#[test]
fn one_id_on_two_topics_is_two_keys() {
    let mut desk = Desk::new();
    assert_eq!(desk.submit("", r#"{"topic":"a","id":"x","data":1}"#), Ok(vec![1]));
    assert_eq!(desk.submit("", r#"{"topic":"b","id":"x","data":1}"#), Ok(vec![2]));
    assert_eq!(desk.submit("", r#"{"topics":["b","c","a"],"id":"x","data":1}"#), Ok(vec![2, 3, 1]));
    assert_eq!(desk.submit("", r#"{"topic":"c","id":"x","data":1}"#), Ok(vec![3]));
    // A request's key is another again.
    assert_eq!(desk.submit("x", r#"{"topic":"a","data":1}"#), Ok(vec![4]));
}

#[test]
fn a_conflict_anywhere_in_a_batch_publishes_nothing_of_it() {
    let mut desk = Desk::new();
    assert_eq!(desk.submit("", r#"{"topic":"a","id":"x","data":1}"#), Ok(vec![1]));
    let conflict = Err(r#"the id "x" was used with other data on topic a"#.to_owned());
    for batch in [
        r#"[{"topic":"z","data":0},{"topic":"a","id":"x","data":2}]"#,
        r#"[{"topic":"a","id":"x","data":1},{"topics":["z","a"],"id":"x","data":2}]"#,
        r#"[{"topic":"z","id":"new","data":0},{"topic":"a","id":"x","data":"1"}]"#,
    ] {
        assert_eq!(desk.submit("k", batch), conflict, "{batch}");
    }
    let within = r#"[{"topic":"z","id":"new","data":0},{"topic":"z","id":"new","data":1}]"#;
    assert_eq!(
        desk.submit("k", within),
        Err(r#"the id "new" was used with other data on topic z"#.to_owned())
    );
    // None of these has used up a key either.
    assert_eq!(desk.submit("k", r#"{"topic":"z","id":"new","data":2}"#), Ok(vec![2]));
}

#[test]
fn the_same_object_twice_in_a_batch_is_one_publication() {
    let mut desk = Desk::new();
    let twice =
        r#"[{"id":"x","data":1},{"data":1},{"id":"x","data":1},{"topics":["a","a"],"id":"x","data":1}]"#;
    assert_eq!(desk.submit("", twice), Ok(vec![1, 2, 1, 3, 3]));
    assert_eq!(
        desk.submit("", r#"{"topics":["b","b"],"data":1}"#),
        Ok(vec![4, 5]),
        "without an id it is two"
    );
}

#[test]
fn a_key_can_be_used_for_something_else_once_it_is_forgotten() {
    let mut desk = Desk::new();
    assert_eq!(desk.submit("k", r#"{"id":"x","data":1}"#), Ok(vec![1]));
    desk.wait(REMEMBERED);
    assert_eq!(desk.submit("k", r#"{"id":"x","data":2}"#), Ok(vec![2]));
}

#[test]
fn a_successor_gives_the_first_answer_for_as_long_as_it_would_have_been_given() {
    let mut desk = Desk::new();
    let first = r#"[{"topic":"a","id":"x","data":1},{"topic":"b","data":2}]"#;
    assert_eq!(desk.submit("k", first), Ok(vec![1, 2]));
    desk.wait(Duration::from_secs(100));
    let mut desk = desk.hand_over(Duration::from_secs(100)).hand_over(Duration::from_secs(99));
    assert_eq!(desk.submit("k", first), Ok(vec![1, 2]));
    assert_eq!(desk.submit("", r#"{"topics":["a","c"],"id":"x","data":1}"#), Ok(vec![1, 3]));
    assert!(desk.submit("k", r#"{"data":3}"#).is_err());
    desk.wait(Duration::from_secs(1));
    assert_eq!(desk.submit("k", first), Ok(vec![4, 5]), "after five minutes");
}

#[test]
fn a_successor_knows_the_same_epochs_and_goes_on_in_the_last_one() {
    for begins in [1, 70] {
        let mut desk = Desk::new();
        assert_eq!(desk.submit("", r#"[{"data":1},{"data":2}]"#), Ok(vec![1, 2]));
        for epoch in 8..8 + begins {
            let after = desk.line.newest_id();
            // Of the first one the end is lost.
            let after = if epoch == 8 { PublicationId::new(7, 1) } else { after };
            desk.line.go_on(Continuation::Epoch { epoch, after, is_lossy: false });
            desk.order = Ledger::new(epoch, 0);
            let (topic, data) =
                (TopicName::parse("a").unwrap(), RawValue::from_string("3".to_owned()).unwrap());
            desk.line.history_mut().push(desk.order.position(&topic, &data, desk.now));
        }
        let (epochs, newest) = (desk.line.epochs().clone(), desk.line.newest());
        let mut next = desk.hand_over(Duration::ZERO);
        assert_eq!((next.line.epochs(), next.line.newest()), (&epochs, newest));
        assert_eq!(*next.line.history().positions().start(), epochs.known_after() + 1);
        let publication = next.order.notify(0, next.now);
        let id = format!("{:08x}-2", 7 + begins);
        assert!(String::from_utf8_lossy(publication.message.json()).contains(&id), "{publication:?}");
    }
}

#[test]
fn times_that_no_clock_has_shown_do_no_harm() {
    for at_unix_ms in [i64::MIN, i64::MIN + 1, 0, i64::MAX] {
        let mut desk = Desk::new();
        assert_eq!(desk.submit("k", r#"{"data":1}"#), Ok(vec![1]));
        let mut snapshot = desk.order.snapshot(&desk.line, desk.now);
        snapshot.publications[0].at_unix_ms = at_unix_ms;
        snapshot.answers[0].at_unix_ms = at_unix_ms;
        let (order, line) = Ledger::restore(snapshot, LIMITS, desk.now);
        let mut desk = Desk { order, line, now: desk.now };
        let is_ahead = at_unix_ms == i64::MAX;
        assert_eq!(
            desk.line.history().positions().count(),
            usize::from(is_ahead),
            "what is too old is forgotten"
        );
        assert_eq!(desk.submit("k", r#"{"data":1}"#), Ok(vec![if is_ahead { 1 } else { 2 }]));
        desk.order.snapshot(&desk.line, desk.now).encode();
    }
}

#[test]
fn thousands_of_keyed_batches_take_up_little_of_a_state_file() {
    let mut desk = Desk::new();
    let body = format!("[{}]", [r#"{"data":1}"#; 1_000].join(","));
    for key in 0..20 {
        assert_eq!(desk.submit(&key.to_string(), &body).unwrap().len(), 1_000);
    }
    let empty = Line::new(Epochs::of(7), History::new(LIMITS, desk.order.newest()));
    assert!(desk.order.snapshot(&empty, desk.now).encode().len() < 20 * 64 + 64);
}

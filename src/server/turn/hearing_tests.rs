//! A worker in virtual time that hears from its supervisor how the line goes on.

use support::handshake;

use crate::message::Message;
use crate::policy::epochs::Epochs;
use crate::policy::line::Continuation;
use crate::policy::sequencer::PublicationId;
use crate::server::turn::holding::tests::Story;
use crate::wire::link::{Relayed, ToWorker};

fn id(epoch: u32, position: u64) -> PublicationId {
    PublicationId::new(epoch, position)
}

fn publication(id: PublicationId) -> Message {
    let json = format!(r#"{{"type":"notification","id":"{id}","topic":"notifications","data":1}}"#);
    Message::new(json.as_bytes(), id)
}

fn relayed(message: &Message) -> ToWorker<'_> {
    ToWorker::Publication(Relayed { at_unix_ms: i64::MAX, topic: "notifications", message: message.octets() })
}

fn epoch(after: PublicationId) -> ToWorker<'static> {
    ToWorker::Line(Continuation::Epoch { epoch: 9, after, is_lossy: false })
}

/// Where in what somebody has been told these are.
fn places<const N: usize>(story: &Story, who: usize, texts: [&str; N]) -> [Option<usize>; N] {
    let taken = story.peers[who].borrow().taken.clone();
    let told = String::from_utf8_lossy(&taken).into_owned();
    texts.map(|text| told.find(text))
}

#[test]
fn its_clients_are_told_of_a_gap_where_it_is_and_its_supervisor_counts_it() {
    let mut story = Story::serving("");
    let client = story.connect(&handshake("/ws"));
    let [one, two, new] = [id(7, 1), id(7, 2), id(9, 1)].map(publication);
    story.hear(&[relayed(&one), relayed(&two), epoch(id(7, 1)), relayed(&new), ToWorker::Beat]);
    let [first, lost, gap, next] =
        places(&story, client, ["00000007-1", "00000007-2", r#""type":"gap""#, "00000009-1"]);
    assert_eq!(lost, None, "it had not been handed to anybody");
    assert!(first.is_some() && first < gap && gap < next, "{first:?} {gap:?} {next:?}");
    let counted = story.counted();
    assert_eq!(counted.map(|metrics| metrics.gaps), Some(0));
}

#[test]
fn whoever_has_heard_of_an_epoch_elsewhere_waits_until_it_begins_here() {
    let mut story = Story::serving("");
    let [one, new] = [id(7, 1), id(9, 1)].map(publication);
    story.hear(&[relayed(&one)]);
    story.said();
    let who = story.connect(&handshake("/ws?last_event_id=00000009-0"));
    assert_eq!((story.said(), places(&story, who, ["HTTP/1.1"])), (vec!["Sync".to_owned()], [None]));
    story.hear(&[epoch(id(7, 1)), relayed(&new), ToWorker::Synced]);
    let [resumed, missed] = places(&story, who, [r#""resumed":true"#, "00000009-1"]);
    assert!(resumed.is_some() && missed.is_some());
    let lost = story.connect(&handshake("/ws?last_event_id=00000008-1"));
    assert_eq!(story.said(), [""; 0], "what is lost nobody asks for");
    assert!(places(&story, lost, [r#""resumed":false"#])[0].is_some());
}

#[test]
fn nobody_listens_before_it_is_known_behind_what_and_all_may_as_soon_as_it_is() {
    let mut story = Story::serving("");
    let begin = |epoch| ToWorker::Line(Continuation::Begin { epochs: Epochs::of(epoch), newest: 0 });
    story.hear(&[begin(0), ToWorker::CaughtUp]);
    story.said();
    let refused = ["/ws", "/ws?last_event_id=00000007-1"].map(|wish| story.connect(&handshake(wish)));
    let stream = story.connect("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let one = publication(id(7, 1));
    story.hear(&[begin(7), relayed(&one)]);
    let early = story.connect(&handshake("/ws"));
    for who in [refused[0], refused[1], early] {
        let told = places(&story, who, ["HTTP/1.1 503 ", "Retry-After", "HTTP/1.1 101 "]);
        assert!(matches!(told, [Some(_), Some(_), None]), "{told:?}");
    }
    assert!(matches!(places(&story, stream, ["HTTP/1.1 200 ", "retry:", "\nid:"]), [Some(_), Some(_), None]));
    story.hear(&[ToWorker::Beat]);
    let counted = story.counted().expect("it counts");
    let starting = counted.rejected.iter().find(|rejected| rejected.reason == "starting");
    assert_eq!(starting.map(|rejected| rejected.count), Some(3));
    story.hear(&[ToWorker::CaughtUp]);
    assert_eq!(story.said(), [""; 0], "it serves already");
    let who = story.connect(&handshake("/ws?last_event_id=00000007-1"));
    assert!(places(&story, who, [r#""resumed":true"#])[0].is_some());
}

#[test]
fn who_waits_for_what_it_has_heard_elsewhere_is_turned_away_by_one_that_leaves() {
    let mut story = Story::serving("");
    let who = story.connect(&handshake("/ws?last_event_id=00000009-0"));
    assert_eq!(places(&story, who, ["HTTP/1.1"]), [None]);
    story.hear(&[ToWorker::Close]);
    assert!(places(&story, who, ["HTTP/1.1 503 "])[0].is_some());
    let told = story.peers[who].borrow().taken.len();
    story.hear(&[ToWorker::Synced]);
    assert_eq!(story.peers[who].borrow().taken.len(), told);
}

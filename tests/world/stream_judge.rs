//! What the streams of a crowd may be told: that they live, when nothing else has told them so, and in the end when to come
//! back. Their browsers give up on any answer but 200.

use std::time::Duration;

use slackwater::server::terms::Terms;

use crate::client::Client;
use crate::ear::Heard;
use crate::judge::{Scene, Told};
use crate::speech::STREAM;

/// As the server's own.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// How much later than planned a turn may come.
const SLACK: Duration = Duration::from_millis(50);

/// Whether a client is to come back after this time, for no other reason than that its stream has ended.
fn is_usual(retry: Duration) -> bool {
    (Duration::from_secs(1)..Duration::from_secs(3)).contains(&retry)
}

/// How often streams were told what, to be sure that they were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OfStreams {
    pub heartbeats: usize,
    /// To come back, at the moment of each or at the end of all.
    pub partings: usize,
    /// To come back later, as others are refused.
    pub postponed: usize,
}

/// Judges what only a stream is told.
pub fn judge_stream(
    told: &mut Told,
    client: &Client,
    heard: &Heard,
    scene: Scene<'_>,
    of_streams: &mut OfStreams,
) {
    let Scene { worker, terms, now, .. } = scene;
    let has_all = client.deeds.was_slow || told.position >= Some(worker.published());
    match heard {
        Heard::Streaming => {
            let expected = client.deeds.asked.statuses.get(told.answers);
            assert_eq!(expected, Some(&STREAM), "{client:?}");
            told.answers += 1;
        }
        Heard::Primed { retry, id } => {
            let is_late = !worker.accepts || terms.concurrency.is_some();
            assert!(is_late || is_usual(*retry) && id.is_some(), "after {retry:?}: {client:?}");
            assert!(id.is_none_or(|id| id.epoch == worker.place.epoch) && told.position.is_none());
            of_streams.postponed += usize::from(is_late && client.line.borrow().outbound_ended);
            (told.position, told.welcomed_at) = (id.map(|id| id.position), now);
        }
        Heard::Heartbeat(id) => {
            assert!(id.is_none_or(|id| Some(id.position) == told.position), "not {id:?}: {client:?}");
            assert!(now + SLACK >= told.said_at + HEARTBEAT, "it knew that it lives: {client:?}");
            of_streams.heartbeats += 1;
        }
        Heard::Parting { retry, notice, id } => {
            of_streams.partings += 1;
            assert!(is_usual(*retry), "after {retry:?}: {client:?}");
            assert!(has_all, "not told everything first: {client:?}");
            assert!(id.is_none_or(|id| Some(id.position) == told.position), "not {id:?}: {client:?}");
            let Some(notice) = notice else {
                return assert!(worker.farewell_at.is_some(), "it need not go: {client:?}");
            };
            assert_eq!(notice.deadline, Some(Duration::ZERO));
            let [earliest, latest] = match notice.reason.as_str() {
                "connection_age" => ages(client, told, terms),
                _ => {
                    let (begun, limit) = worker.leaving.expect("only a server that leaves restarts");
                    let spread = terms.reconnect.expect("it may be said").spread;
                    [begun, limit.min(begun + spread).max(told.welcomed_at)]
                }
            };
            // Whoever is still taking what came before is told behind that.
            let is_in_time = now <= latest + SLACK || client.deeds.was_slow;
            assert!(now + SLACK >= earliest && is_in_time, "{earliest:?} to {latest:?}, now {now:?}");
        }
        Heard::Complete => {}
        other => panic!("no stream is told {other:?}: {client:?}"),
    }
}

/// Between which two times a connection is old enough.
fn ages(client: &Client, told: &Told, terms: &Terms) -> [Duration; 2] {
    let age = terms.reconnect.and_then(|terms| terms.max_age).expect("it may be said");
    [client.connected_at + age * 9 / 10, told.welcomed_at + age * 11 / 10]
}

/// The server has let go of a stream that has neither vanished nor failed.
pub fn on_stream_closed(told: &Told, client: &Client, scene: Scene<'_>) {
    let (line, deeds) = (client.line.borrow(), &client.deeds);
    let is_let_in = scene.worker.accepts && scene.terms.concurrency.is_none();
    // As good as refused, and told when to come back.
    let was_postponed = !told.has_heard && !is_let_in;
    let ended = line.ear.has_parted() || line.inbound_ended || deeds.was_slow || was_postponed;
    // Behind responses as large as the limit even little is too much.
    assert!(ended || deeds.asked.statuses.len() > 1, "ended without a word: {client:?}");
    let is_cut = line.ear.has_parted() && !line.ear.is_complete();
    assert!(
        !is_cut || line.aborted || deeds.was_slow,
        "its last words are not said to be the last: {client:?}"
    );
    assert!(line.ear.is_whole() || line.blocked || line.aborted || deeds.was_slow, "cut: {client:?}");
}

/// When the last word of a stream that is here is due at the latest, if it is, and what it would be late with.
pub fn latest_words(told: &Told, client: &Client, scene: Scene<'_>) -> Vec<(Duration, &'static str)> {
    let Scene { worker, terms, .. } = scene;
    let mut latest = vec![(told.said_at + HEARTBEAT, "it does not know that it lives")];
    let Some(reconnect) = terms.reconnect else { return latest };
    if let Some((begun, limit)) = worker.leaving {
        let moment = limit.min(begun + reconnect.spread).max(told.welcomed_at);
        latest.push((moment, "its moment is over"));
    } else if reconnect.max_age.is_some() {
        latest.push((ages(client, told, terms)[1], "it is too old"));
    }
    latest
}

//! What each client may be told at every turn, must have been told whenever the server is at rest, and in the end.
//! It compares what clients have done with what the server has written; it never looks inside the server.

use std::time::Duration;

use serde_json::Value;
use slackwater::policy::drain::{LONGEST_FAREWELL, Outcome};
use slackwater::server::terms::Terms;

use crate::client::Client;
use crate::crowd::Codes;
use crate::ear::{Heard, Id};
use crate::limits::Watch;
use crate::notices::{close_after, read_notice, read_notice_of_age};
use crate::speech::{Reply, STREAM};
use crate::stream_judge::{OfStreams, judge_stream, on_stream_closed};
use crate::truth::Truth;
use crate::worker::Worker;

/// The codes that only the server chooses.
const SERVER_CODES: [u16; 7] = [1002, 1003, 1007, 1009, 1012, 4001, 4003];

/// What has been written to one client.
#[derive(Debug, Default)]
pub struct Told {
    pub answers: usize,
    pub replies: usize,
    /// Pings answered, skipped ones among them.
    pongs: usize,
    pub position: Option<u64>,
    pub pings: usize,
    /// When it was seen to be welcomed.
    pub welcomed_at: Duration,
    /// When it was told something last.
    pub said_at: Duration,
    /// It was told something behind its welcome.
    pub has_heard: bool,
    /// When it is to move, as it was told last.
    pub moment: Option<Duration>,
    pub is_told_of_age: bool,
    is_told_of_leaving: bool,
}

/// What the judge remembers of one client.
#[derive(Debug, Default)]
struct File {
    /// How much of what was written is judged.
    judged: usize,
    told: Told,
    watch: Watch,
    is_closed: bool,
}

/// What is judged by: a process at a time, and what is known of it without looking inside.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub worker: &'a Worker,
    pub terms: &'a Terms,
    pub truth: &'a Truth,
    pub now: Duration,
}

/// Follows the clients of every process. These hear of nothing but the periodic notification.
#[derive(Debug, Default)]
pub struct Judge {
    files: Vec<File>,
    pub codes: Codes,
    /// What streams were told.
    pub of_streams: OfStreams,
}

impl Judge {
    /// Whatever has been written is in order.
    pub fn on_turn(&mut self, clients: &[Client], scene: Scene<'_>) {
        self.files.resize_with(clients.len(), File::default);
        for (nth, client) in scene.guests(clients) {
            let line = client.line.borrow();
            while let Some((_, heard)) = line.ear.heard.get(self.files[nth].judged) {
                self.files[nth].judged += 1;
                self.judge(nth, client, heard, scene);
            }
            if line.dropped && !std::mem::replace(&mut self.files[nth].is_closed, true) {
                drop(line);
                on_closed(&self.files[nth].told, client, scene);
            }
        }
    }

    fn judge(&mut self, nth: usize, client: &Client, heard: &Heard, scene: Scene<'_>) {
        let Scene { worker, terms, truth, now } = scene;
        let (told, asked) = (&mut self.files[nth].told, &client.deeds.asked);
        let babbled = client.deeds.has_babbled;
        told.has_heard |= told.position.is_some() && *heard != Heard::Complete;
        match heard {
            Heard::Streaming
            | Heard::Primed { .. }
            | Heard::Heartbeat(_)
            | Heard::Parting { .. }
            | Heard::Complete => {
                judge_stream(told, client, heard, scene, &mut self.of_streams);
            }
            Heard::Response { status, closes, .. } => {
                let expected = asked.statuses.get(told.answers) == Some(status);
                let is_half = client.deeds.is_halfway || asked.statuses.is_empty();
                let too_late = is_half && *closes && matches!(status, 400 | 408 | 505);
                let may_be_refused = asked.statuses.get(told.answers) != Some(&STREAM);
                let refused =
                    *status == 503 && may_be_refused && (!worker.accepts || terms.concurrency.is_some());
                assert!(expected || too_late || refused || babbled, "answer {status}: {client:?}");
                told.answers += 1;
            }
            Heard::Switched => {
                assert_eq!(asked.statuses.get(told.answers), Some(&101), "{client:?}");
                told.answers += 1;
            }
            Heard::Welcome { last, .. } => {
                assert_eq!((told.position, last.epoch), (None, worker.place.epoch), "{client:?}");
                (told.position, told.welcomed_at) = (Some(last.position), now);
            }
            Heard::Publication(id, payload) => {
                let before = told.position.expect("the welcome comes first");
                let next = Id { epoch: worker.place.epoch, position: before + 1 };
                assert_eq!(*id, next, "hole or repetition: {client:?}");
                match &worker.periodic {
                    Some(periodic) => {
                        let nth = usize::try_from(before).expect("small");
                        let audience =
                            *periodic.audiences.get(nth).expect("only what was published is heard");
                        assert_eq!(read_notification(payload), Some((next.position, audience as u64)));
                    }
                    None => assert!(truth.get(next).is_some_and(|one| one.payload == *payload)),
                }
                told.position = Some(next.position);
            }
            Heard::Reconnect(notice) if notice.reason == "connection_age" => {
                let life = (client.connected_at, told.welcomed_at);
                has_heard_up_to(notice.last, told, client, scene);
                told.moment = Some(read_notice_of_age(notice, life, terms));
                let is_news = !told.is_told_of_leaving && !std::mem::replace(&mut told.is_told_of_age, true);
                assert!(is_news, "told twice: {client:?}");
            }
            Heard::Reconnect(notice) => {
                has_heard_up_to(notice.last, told, client, scene);
                told.moment = Some(read_notice(notice, worker.leaving, terms));
                let is_news = !std::mem::replace(&mut told.is_told_of_leaving, true);
                assert!(is_news, "told twice: {client:?}");
            }
            Heard::Echo(..) | Heard::Error if babbled => {}
            Heard::Echo(text, last) => {
                has_heard_up_to(*last, told, client, scene);
                let reply = Some(Reply::Echo(text.clone()));
                assert_eq!(asked.replies.get(told.replies), reply.as_ref(), "{client:?}");
                told.replies += 1;
            }
            Heard::Error => {
                assert_eq!(asked.replies.get(told.replies), Some(&Reply::Error), "{client:?}");
                told.replies += 1;
            }
            Heard::Pong(payload) => {
                let ahead = asked.pings[told.pongs..].iter().position(|ping| ping == payload);
                assert!(ahead.is_some() || babbled, "a pong to no ping: {client:?}");
                told.pongs += ahead.map_or(0, |ahead| ahead + 1);
            }
            Heard::Ping => {
                assert!(terms.limits.ping_interval.is_some());
                told.pings += 1;
            }
            Heard::Close(code) => {
                // The connection of a client that is still catching up may have been given its time, too.
                let catches_up = told.is_told_of_age && client.deeds.was_slow;
                let has_all = catches_up || told.position >= Some(worker.published());
                assert!(*code != Some(1012) || has_all, "not told everything first: {client:?}");
                if *code == Some(1012) && worker.farewell_at.is_none() {
                    let moment = told.moment.expect("it is told before");
                    let close_after = close_after(terms).expect("whoever stays may stay");
                    assert!(now >= moment + close_after, "{client:?}");
                }
                *self.codes.entry(*code).or_default() += 1;
            }
            other => panic!("nobody asked for {other:?}: {client:?}"),
        }
        told.said_at = now;
        let is_first =
            matches!(heard, Heard::Response { .. } | Heard::Switched | Heard::Streaming | Heard::Close(_));
        let is_first = is_first || matches!(heard, Heard::Primed { .. } | Heard::Complete);
        assert!(is_first || told.position.is_some(), "before the welcome: {heard:?}: {client:?}");
    }

    /// The server would sleep now: nothing may be left undone that no event will announce.
    pub fn at_rest(&mut self, clients: &[Client], scene: Scene<'_>) {
        let Scene { worker, now, .. } = scene;
        let (mut surely, mut perhaps, mut open) = (0, 0, 0);
        for (nth, client) in scene.guests(clients) {
            let line = client.line.borrow();
            if line.dropped {
                continue;
            }
            open += 1;
            let has_agreed = line.outbound_ended
                && client.deeds.closed_with.is_some()
                && line.ear.close.is_some_and(|code| code.is_none_or(|code| !SERVER_CODES.contains(&code)));
            let will_be_client = client.deeds.asked.statuses.contains(&101) || client.character.is_stream;
            let hidden_switch = line.blocked && will_be_client;
            // It may have been told to come back later, and never was a client.
            let is_unknown = line.ear.stream.is_some() && line.outbound_ended && !line.ear.has_parted();
            if line.inbound_ended {
                // It has departed once that was heard; it may be kept in sight for what it has not taken.
                perhaps += usize::from(line.blocked && (line.ear.is_client() || hidden_switch));
            } else if is_unknown {
                perhaps += 1;
            } else if line.ear.is_switched() && !has_agreed || line.ear.stream.is_some() && !line.blocked {
                surely += 1;
            } else if hidden_switch && !line.ear.is_switched() {
                perhaps += 1;
            }
            if !line.blocked {
                assert_eq!(line.unread_by_server(), 0, "bytes are left unread: {client:?}");
            }
            assert!(line.failure.is_none(), "a dead socket is kept: {client:?}");
            if !line.blocked && !line.outbound_ended && !line.ear.has_parted() {
                all_is_said(&self.files[nth].told, client, scene);
            }
            drop(line);
            let File { told, watch, .. } = &mut self.files[nth];
            watch.at_rest(client, told, scene);
        }
        // Others are connected, too: a witness.
        perhaps += worker.open_lines() - open;
        let count = worker.server.clients();
        assert!((surely..=surely + perhaps).contains(&count), "{count} clients, not {surely}+{perhaps}");
        // A worker waits for what its supervisor says.
        let is_insisted = worker.signalled > 1 && worker.link.is_none();
        assert!(!is_insisted || worker.farewell_at.is_some(), "told twice to leave, it still waits");
        if let Some(at) = worker.farewell_at {
            assert!(now < at + LONGEST_FAREWELL + Duration::from_millis(50), "the farewell never ends");
        }
    }

    /// The process has left, and will write nothing more.
    pub fn on_end(&self, clients: &[Client], scene: Scene<'_>) {
        let Scene { worker, now, .. } = scene;
        match (worker.outcome, worker.farewell_at) {
            (Some(Outcome::Drained), None) => {}
            (Some(Outcome::Forced), Some(at)) => {
                assert!(now <= at + LONGEST_FAREWELL + Duration::from_millis(50));
            }
            other => panic!("{other:?}"),
        }
        for (_, client) in scene.guests(clients).filter(|_| worker.outcome == Some(Outcome::Forced)) {
            let line = client.line.borrow();
            let is_well = !client.deeds.was_slow && !client.deeds.has_vanished && line.failure.is_none();
            if line.ear.is_switched() && is_well {
                assert!(line.ear.close.is_some(), "left without a close frame: {client:?}");
            }
            if line.ear.stream.is_some() && is_well {
                assert!(line.outbound_ended, "left without the end: {client:?}");
            }
        }
    }
}

impl Scene<'_> {
    /// Those who are connected to this process, or were.
    fn guests<'a>(&self, clients: &'a [Client]) -> impl Iterator<Item = (usize, &'a Client)> + use<'a> {
        let place = self.worker.place;
        clients.iter().enumerate().filter(move |(_, client)| client.place == place)
    }
}

/// It was told that it has heard all up to this id, if to any: which it has, and nothing else.
fn has_heard_up_to(last: Option<Id>, told: &Told, client: &Client, scene: Scene<'_>) {
    let epoch = scene.worker.place.epoch;
    let is_so = last.is_none_or(|id| id.epoch == epoch && Some(id.position) == told.position);
    assert!(is_so, "not up to {last:?}: {client:?}");
}

/// The server has let go of it: that must be what it deserves.
fn on_closed(told: &Told, client: &Client, scene: Scene<'_>) {
    let (line, deeds) = (client.line.borrow(), &client.deeds);
    if deeds.has_vanished || deeds.has_babbled || line.failure.is_some() {
        return;
    }
    if line.ear.stream.is_some() {
        drop(line);
        return on_stream_closed(told, client, scene);
    }
    let was_asked = client.deeds.asked.statuses.contains(&101);
    if !line.ear.is_switched() {
        let answered = line.ear.heard.len() == deeds.asked.statuses.len();
        let ended = line.outbound_ended || line.blocked || answered;
        assert!(ended, "cut without a word: {client:?}");
        return;
    }
    assert!(was_asked);
    let is_fair = client.character.is_polite && !deeds.was_slow && !deeds.is_halfway;
    assert!(!is_fair || !line.aborted, "it takes all and ends its side, and is reset: {client:?}");
    let is_deaf = line.unread_by_client() > 0 && !line.inbound_ended;
    assert!(!is_deaf || line.aborted, "the kernel keeps what it does not take: {client:?}");
    match line.ear.close {
        None => assert!(line.blocked, "ended without a close frame: {client:?}"),
        Some(code) => {
            assert!(line.ear.is_whole());
            assert!(deserves(told, client, code, scene), "closed with {code:?}: {client:?}");
            let is_done = deeds.closed_with == Some(code) || deeds.violated.is_some_and(|v| code == Some(v));
            let has_all = told.replies == deeds.asked.replies.len();
            assert!(!is_done || has_all, "what it asked before it closed is unanswered: {client:?}");
            let agreed = deeds.closed_with == Some(code) && !deeds.was_slow;
            assert!(!agreed || !line.dropped_over_unread, "reset over its close: {client:?}");
        }
    }
}

fn deserves(told: &Told, client: &Client, code: Option<u16>, scene: Scene<'_>) -> bool {
    let (deeds, limits) = (&client.deeds, &scene.terms.limits);
    let waits_for_pongs = limits.ping_interval.is_some() && limits.ping_timeout.is_some();
    // Behind responses as large as the limit even the welcome is too much.
    let many_responses = deeds.asked.statuses.len() > 1;
    match code {
        Some(1012) => scene.worker.leaving.is_some() || told.is_told_of_age,
        Some(4001) => deeds.was_slow || many_responses,
        Some(4003) => waits_for_pongs && (deeds.was_slow || !client.character.answers_pings),
        Some(code @ (1002 | 1003 | 1007 | 1009)) => deeds.violated == Some(code),
        code => deeds.closed_with == Some(code),
    }
}

/// It could take more, so it has got everything.
fn all_is_said(told: &Told, client: &Client, scene: Scene<'_>) {
    let (asked, line) = (&client.deeds.asked, client.line.borrow());
    if client.deeds.has_babbled || client.deeds.is_halfway {
        return;
    }
    assert_eq!(told.answers, asked.statuses.len(), "unanswered: {client:?}");
    assert_eq!(told.replies, asked.replies.len(), "unanswered: {client:?}");
    assert_eq!(told.pongs, asked.pings.len(), "the last ping is unanswered: {client:?}");
    if line.ear.is_client() {
        let has_all = told.position >= Some(scene.worker.published());
        assert!(has_all, "it has not heard everything: {client:?}");
        let is_guided = scene.worker.leaving.is_some() && scene.terms.reconnect.is_some();
        let is_guided = is_guided && line.ear.is_switched();
        assert!(told.is_told_of_leaving || !is_guided, "it is not told to move: {client:?}");
    }
    assert!(line.ear.is_whole(), "half of something is written: {client:?}");
}

/// The number of a periodic notification, and how many clients it says there are.
fn read_notification(payload: &[u8]) -> Option<(u64, u64)> {
    let json: Value = serde_json::from_slice(payload).ok()?;
    let number = json["message"].as_str()?.strip_prefix("Periodic notification #")?.parse().ok()?;
    Some((number, json["active_connections"].as_u64()?))
}

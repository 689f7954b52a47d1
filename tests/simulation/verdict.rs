//! What must hold for every client at every turn, whenever the server is at rest, and in the end.
//! It compares what clients have done with what the server has written; it never looks inside the server.

use std::collections::BTreeMap;
use std::time::Duration;

use slackwater::policy::drain::{LONGEST_FAREWELL, Outcome, Step, TAKING};
use slackwater::server::terms::Terms;

use crate::client::Client;
use crate::ear::Heard;
use crate::guided;
use crate::speech::Reply;

/// As the server's own: how long it waits for a peer that has been told of the end.
const LINGER: Duration = Duration::from_secs(1);

/// As the server's own: who has taken something within this time is not too slow for what waits.
const LATELY: Duration = Duration::from_secs(1);

/// The codes that only the server chooses.
const SERVER_CODES: [u16; 7] = [1002, 1003, 1007, 1009, 1012, 4001, 4003];

/// What the judge remembers of one client.
#[derive(Debug, Default)]
struct File {
    /// How much of what was written is judged.
    judged: usize,
    answers: usize,
    replies: usize,
    /// Pings answered, skipped ones among them.
    pongs: usize,
    position: Option<u64>,
    pings: usize,
    /// How many pings there were when it was last pinged, and when that was.
    pinged: Option<(usize, Duration)>,
    /// When it was first seen to be a WebSocket, and how many notifications there had been.
    switched: Option<(Duration, usize)>,
    ended_at: Option<Duration>,
    /// Since when it has been blocked, and at which byte.
    blocked: Option<(Duration, usize)>,
    last_blocked: Duration,
    /// How much had been written when some last was, and when that was.
    taken: (usize, Duration),
    /// How much the client had read when it last read, and when that was.
    read: (usize, Duration),
    /// When it had ended its side, and was still kept in sight.
    finished_at: Option<Duration>,
    over_limit_since: Option<Duration>,
    /// There may have been too much for it while it was taking: then the rest waits in history until it has taken all.
    may_lag: bool,
    is_closed: bool,
    /// When it was told to move.
    moment: Option<Duration>,
}

/// Follows one server from its first turn to its end.
#[derive(Debug)]
pub struct Judge {
    terms: Terms,
    files: Vec<File>,
    /// How many clients there were at each publication.
    pub audiences: Vec<usize>,
    /// Since when the server leaves, and when its patience is over.
    pub leaving: Option<(Duration, Duration)>,
    farewell_at: Option<Duration>,
    /// How often each close code was written.
    pub codes: BTreeMap<Option<u16>, usize>,
}

impl Judge {
    pub fn new(terms: Terms) -> Self {
        let (files, audiences, codes) = Default::default();
        Self { terms, files, audiences, leaving: None, farewell_at: None, codes }
    }

    pub fn on_step(&mut self, step: Step, patience: Duration, now: Duration) {
        match step {
            Step::Initiated => self.leaving = Some((now, now + patience)),
            Step::TimedOut { .. } | Step::Insisted { .. } => self.farewell_at = Some(now),
            _ => {}
        }
    }

    /// Whatever has been written is in order.
    pub fn on_turn(&mut self, clients: &[Client], now: Duration) {
        self.files.resize_with(clients.len(), File::default);
        for (nth, client) in clients.iter().enumerate() {
            let line = client.line.borrow();
            while let Some((_, heard)) = line.ear.heard.get(self.files[nth].judged) {
                self.files[nth].judged += 1;
                self.judge(nth, client, heard, now);
            }
            if line.dropped && !std::mem::replace(&mut self.files[nth].is_closed, true) {
                drop(line);
                self.on_closed(&self.files[nth], client);
            }
        }
    }

    fn judge(&mut self, nth: usize, client: &Client, heard: &Heard, now: Duration) {
        let (file, asked) = (&mut self.files[nth], &client.deeds.asked);
        let babbled = client.deeds.has_babbled;
        match heard {
            Heard::Response { status, closes } => {
                let expected = asked.statuses.get(file.answers) == Some(status);
                let is_half = client.deeds.is_halfway || asked.statuses.is_empty();
                let too_late = is_half && *closes && matches!(status, 400 | 408 | 505);
                let refused = *status == 503 && (self.leaving.is_some() || self.terms.concurrency.is_some());
                assert!(expected || too_late || refused || babbled, "answer {status}: {client:?}");
                file.answers += 1;
            }
            Heard::Switched => {
                assert_eq!(asked.statuses.get(file.answers), Some(&101), "{client:?}");
                file.answers += 1;
            }
            Heard::Welcome(position) => {
                assert_eq!(file.position, None, "welcomed twice: {client:?}");
                file.position = Some(*position);
            }
            Heard::Notification { position, number, active_connections } => {
                let before = file.position.expect("the welcome comes first");
                assert_eq!((*position, *number), (before + 1, before + 1), "hole or repetition: {client:?}");
                let nth = usize::try_from(*number).expect("small") - 1;
                let audience = self.audiences.get(nth).expect("only what was published is heard");
                assert_eq!(*active_connections, *audience as u64);
                file.position = Some(*position);
            }
            Heard::Reconnect { said_at, after, deadline } => {
                let moment = guided::read_notice((*said_at, *after, *deadline), self.leaving, &self.terms);
                assert_eq!(file.moment, None, "told twice: {client:?}");
                file.moment = Some(moment);
            }
            Heard::Echo(_) | Heard::Error if babbled => {}
            Heard::Echo(text) => {
                let reply = Some(Reply::Echo(text.clone()));
                assert_eq!(asked.replies.get(file.replies), reply.as_ref(), "{client:?}");
                file.replies += 1;
            }
            Heard::Error => {
                assert_eq!(asked.replies.get(file.replies), Some(&Reply::Error), "{client:?}");
                file.replies += 1;
            }
            Heard::Pong(payload) => {
                let ahead = asked.pings[file.pongs..].iter().position(|ping| ping == payload);
                assert!(ahead.is_some() || babbled, "a pong to no ping: {client:?}");
                file.pongs += ahead.map_or(0, |ahead| ahead + 1);
            }
            Heard::Ping => {
                assert!(self.terms.limits.ping_interval.is_some());
                file.pings += 1;
            }
            Heard::Close(code) => {
                let all = Some(self.audiences.len() as u64);
                assert!(*code != Some(1012) || file.position == all, "not told everything first: {client:?}");
                if *code == Some(1012) && self.farewell_at.is_none() {
                    let moment = file.moment.expect("it is told before");
                    let close_after = guided::close_after(&self.terms).expect("whoever stays may stay");
                    assert!(now >= moment + close_after, "{client:?}");
                }
                *self.codes.entry(*code).or_default() += 1;
            }
            Heard::Garbled(what) => panic!("garbled: {what}: {client:?}"),
        }
        let is_first = matches!(heard, Heard::Response { .. } | Heard::Switched | Heard::Close(_));
        assert!(is_first || file.position.is_some(), "before the welcome: {heard:?}: {client:?}");
    }

    /// The server has let go of it: that must be what it deserves.
    fn on_closed(&self, file: &File, client: &Client) {
        let (line, deeds) = (client.line.borrow(), &client.deeds);
        if deeds.has_vanished || deeds.has_babbled || line.failure.is_some() {
            return;
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
                assert!(self.deserves(client, code), "closed with {code:?}: {client:?}");
                let is_done =
                    deeds.closed_with == Some(code) || deeds.violated.is_some_and(|v| code == Some(v));
                let has_all = file.replies == deeds.asked.replies.len();
                assert!(!is_done || has_all, "what it asked before it closed is unanswered: {client:?}");
                let agreed = deeds.closed_with == Some(code) && !deeds.was_slow;
                assert!(!agreed || !line.dropped_over_unread, "reset over its close: {client:?}");
            }
        }
    }

    fn deserves(&self, client: &Client, code: Option<u16>) -> bool {
        let (deeds, limits) = (&client.deeds, &self.terms.limits);
        let waits_for_pongs = limits.ping_interval.is_some() && limits.ping_timeout.is_some();
        // Behind responses as large as the limit even the welcome is too much.
        let many_responses = deeds.asked.statuses.len() > 1;
        match code {
            Some(1012) => self.leaving.is_some(),
            Some(4001) => deeds.was_slow || many_responses,
            Some(4003) => waits_for_pongs && (deeds.was_slow || !client.character.answers_pings),
            Some(code @ (1002 | 1003 | 1007 | 1009)) => deeds.violated == Some(code),
            code => deeds.closed_with == Some(code),
        }
    }

    /// The server would sleep now: nothing may be left undone that no event will announce.
    pub fn at_rest(&mut self, clients: &[Client], count: usize, now: Duration) {
        let (mut surely, mut perhaps) = (0, 0);
        for (nth, client) in clients.iter().enumerate() {
            let line = client.line.borrow();
            if line.dropped {
                continue;
            }
            let has_agreed = line.outbound_ended
                && client.deeds.closed_with.is_some()
                && line.ear.close.is_some_and(|code| code.is_none_or(|code| !SERVER_CODES.contains(&code)));
            let hidden_switch = line.blocked && client.deeds.asked.statuses.contains(&101);
            if line.inbound_ended {
                // It has departed once that was heard; it may be kept in sight for what it has not taken.
                perhaps += usize::from(line.blocked && (line.ear.is_switched() || hidden_switch));
            } else if line.ear.is_switched() && !has_agreed {
                surely += 1;
            } else if hidden_switch && !line.ear.is_switched() {
                perhaps += 1;
            }
            if !line.blocked {
                assert_eq!(line.unread_by_server(), 0, "bytes are left unread: {client:?}");
            }
            assert!(line.failure.is_none(), "a dead socket is kept: {client:?}");
            if !line.blocked && !line.outbound_ended && line.ear.close.is_none() {
                self.all_is_said(&self.files[nth], client);
            }
            drop(line);
            self.keeps_its_limits(nth, client, now);
        }
        assert!((surely..=surely + perhaps).contains(&count), "{count} clients, not {surely}+{perhaps}");
        if let Some(at) = self.farewell_at {
            assert!(now < at + LONGEST_FAREWELL + Duration::from_millis(50), "the farewell never ends");
        }
    }

    /// It could take more, so it has got everything.
    fn all_is_said(&self, file: &File, client: &Client) {
        let (asked, line) = (&client.deeds.asked, client.line.borrow());
        if client.deeds.has_babbled || client.deeds.is_halfway {
            return;
        }
        assert_eq!(file.answers, asked.statuses.len(), "unanswered: {client:?}");
        assert_eq!(file.replies, asked.replies.len(), "unanswered: {client:?}");
        assert_eq!(file.pongs, asked.pings.len(), "the last ping is unanswered: {client:?}");
        if line.ear.is_switched() {
            let all = Some(self.audiences.len() as u64);
            assert_eq!(file.position, all, "it has not heard everything: {client:?}");
            let is_guided = self.leaving.is_some() && self.terms.reconnect.is_some();
            assert!(file.moment.is_some() || !is_guided, "it is not told to move: {client:?}");
        }
        assert!(line.ear.is_whole(), "half of something is written: {client:?}");
    }

    /// Whoever does nothing is cut in time.
    fn keeps_its_limits(&mut self, nth: usize, client: &Client, now: Duration) {
        let (file, line, limits) = (&mut self.files[nth], client.line.borrow(), &self.terms.limits);
        let sweeps = [limits.handshake, limits.write, Duration::from_secs(10)].into_iter();
        let sweeps = sweeps.chain(limits.ping_interval).chain(limits.ping_timeout).min().expect("some") / 10;
        let is_prompt = client.character.is_polite && !client.deeds.was_slow;
        let grace = if is_prompt { Duration::ZERO } else { LINGER } + sweeps + Duration::from_millis(50);
        let within = |since: Duration, limit: Duration, what: &str| {
            assert!(now <= since + limit + grace, "{what} since {since:?}, now {now:?}: {client:?}");
        };
        let written = line.read_bytes + line.unread_by_client();
        if file.taken.0 != written {
            file.taken = (written, now);
        }
        if file.read.0 != line.read_bytes {
            file.read = (line.read_bytes, now);
        }
        // To read is to be there, though the socket may have no room yet: a look at it shows that, and gives it the same
        // time again.
        let unless_read = |since: Duration, more: Duration| {
            if file.read.1 > since { (file.read.1, more) } else { (since, Duration::ZERO) }
        };
        if line.inbound_ended && !line.blocked {
            let (since, more) = unless_read(*file.finished_at.get_or_insert(now), TAKING);
            // What it had not read then is looked after once a second.
            within(since, more + LINGER, "its end went unheard");
        }
        if line.blocked {
            file.last_blocked = now;
            let (since, at) = file.blocked.filter(|(_, at)| *at == written).unwrap_or((now, written));
            file.blocked = Some((since, at));
            let (since, more) = unless_read(since, limits.write);
            within(since, limits.write + more, "it takes nothing");
        } else {
            file.blocked = None;
        }
        let answered = file.answers > 0;
        if line.outbound_ended {
            let (since, more) = unless_read(*file.ended_at.get_or_insert(now), TAKING);
            let in_sight = if line.inbound_ended { LINGER } else { Duration::ZERO };
            // A response may be taken slowly.
            let is_response = !line.ear.is_switched() && line.unread_by_client() > 0;
            let response = if is_response { limits.write } else { Duration::ZERO };
            within(since, more + in_sight + response, "it lingers");
        } else if line.ear.is_switched() {
            if let (Some(moment), Some(close_after), false) =
                (file.moment, guided::close_after(&self.terms), line.blocked)
            {
                within(moment, close_after, "its time to move is over");
            }
            let (since, joined) = *file.switched.get_or_insert((now, self.audiences.len()));
            if let (Some(interval), Some(timeout), false) =
                (limits.ping_interval, limits.ping_timeout, client.character.answers_pings)
            {
                // To take what did not fit is to be there, and who was slow has longer for what the ping is behind of.
                let (is_slow, (_, taken)) = (client.deeds.was_slow, file.taken);
                let is_tight = is_slow || client.character.capacity < 1500;
                let longer =
                    if is_slow { 12 * file.last_blocked.saturating_sub(since) } else { Duration::ZERO };
                let since = since.max(client.deeds.last_sent).max(if is_tight { taken } else { since });
                // What it had not read when it was pinged is ahead of the ping.
                let ahead = if is_tight { timeout } else { Duration::ZERO };
                within(since, interval + timeout + ahead + longer, "it is silent");
            }
            if let Some(interval) = limits.ping_interval
                && !line.blocked
                && (is_prompt && client.character.answers_pings || limits.ping_timeout.is_none())
            {
                let pinged = file.pinged.filter(|(pings, _)| *pings == file.pings);
                let (_, since) = *file.pinged.insert(pinged.unwrap_or((file.pings, now)));
                within(since, interval, "it is not pinged");
            }
            let heard = file.position.map_or(joined, |position| usize::try_from(position).expect("small"));
            let missed = self.audiences.len() - heard;
            let owed = client.deeds.asked.replies[file.replies..].iter().map(|reply| match reply {
                Reply::Echo(text) => text.len() + 70,
                Reply::Error => 70,
            });
            let owed = owed.sum::<usize>();
            let is_taking = file.blocked.is_none_or(|(since, _)| now < since + LATELY);
            let is_behind = line.blocked || missed > 0;
            // At most, with the 101, the welcome, and the places in the queue.
            let may_be_over = 210 * missed + owed + 1500 > limits.outbox_bytes;
            file.may_lag = is_behind && (file.may_lag || is_taking && may_be_over);
            let is_over = line.blocked
                && !file.may_lag
                && 130 * missed.saturating_sub(1) + owed > limits.outbox_bytes + 500;
            file.over_limit_since = file.over_limit_since.filter(|_| is_over).or(is_over.then_some(now));
            if let Some(since) = file.over_limit_since {
                within(since, Duration::ZERO, "too much waits for it");
            }
        } else if !line.blocked && !client.deeds.has_babbled {
            match (answered, client.deeds.is_halfway) {
                (false, _) => within(client.connected_at, limits.handshake, "it asks nothing"),
                (true, true) => {
                    let since = client.deeds.last_sent.max(file.last_blocked);
                    within(since, limits.handshake, "half a request is here");
                }
                (true, false) => {
                    // Unless the rest of an unwanted body came after its answer: such a one idles to the end.
                    let had_body = client.deeds.asked.statuses.last() == Some(&405);
                    assert!(
                        self.leaving.is_none() || had_body,
                        "a leaving server keeps an idle one: {client:?}"
                    );
                    let since = client.deeds.last_sent.max(file.last_blocked);
                    within(since, limits.keep_alive.max(LINGER), "it idles");
                }
            }
        }
    }

    /// The end of the world.
    pub fn on_end(&mut self, clients: &[Client], outcome: Option<Outcome>, now: Duration) {
        self.on_turn(clients, now);
        match (outcome, self.farewell_at) {
            (None, None) | (Some(Outcome::Drained), None) => {}
            (Some(Outcome::Forced), Some(at)) => {
                assert!(now <= at + LONGEST_FAREWELL + Duration::from_millis(50));
            }
            other => panic!("{other:?}"),
        }
        for client in clients.iter().filter(|_| outcome == Some(Outcome::Forced)) {
            let line = client.line.borrow();
            let is_well = !client.deeds.was_slow && !client.deeds.has_vanished && line.failure.is_none();
            if line.ear.is_switched() && is_well {
                assert!(line.ear.close.is_some(), "left without a close frame: {client:?}");
            }
        }
    }
}

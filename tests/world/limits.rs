//! Which limits a server at rest has kept: whoever does nothing has been cut in time.

use std::time::Duration;

use slackwater::policy::drain::TAKING;
use slackwater::server::limits::Limits;

use crate::client::Client;
use crate::judge::{Scene, Told};
use crate::notices::close_after;
use crate::speech::Reply;
use crate::stream_judge::latest_words;

/// As the server's own: how long it waits for a peer that has been told of the end.
const LINGER: Duration = Duration::from_secs(1);

/// As the server's own: who has taken something within this time is not too slow for what waits.
const LATELY: Duration = Duration::from_secs(1);

/// What has been seen of one client whenever the server was at rest, and when.
#[derive(Debug, Default)]
pub struct Watch {
    /// How many pings there were when it was last pinged, and when that was.
    pinged: Option<(usize, Duration)>,
    /// When it was first seen to be a WebSocket, and how many notifications there had been.
    switched: Option<(Duration, u64)>,
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
}

/// What may still be going on now.
#[derive(Clone, Copy)]
struct Deadline<'a> {
    client: &'a Client,
    grace: Duration,
    now: Duration,
}

impl Deadline<'_> {
    fn within(&self, since: Duration, limit: Duration, what: &str) {
        let Self { client, grace, now } = *self;
        assert!(now <= since + limit + grace, "{what} since {since:?}, now {now:?}: {client:?}");
    }
}

impl Watch {
    pub fn at_rest(&mut self, client: &Client, told: &Told, scene: Scene<'_>) {
        let Scene { worker, terms, now, .. } = scene;
        let (line, limits) = (client.line.borrow(), &terms.limits);
        let sweeps = [limits.handshake, limits.write, Duration::from_secs(10)].into_iter();
        let sweeps = sweeps.chain(limits.ping_interval).chain(limits.ping_timeout).min().expect("some") / 10;
        let is_prompt = client.character.is_polite && !client.deeds.was_slow;
        let grace = if is_prompt { Duration::ZERO } else { LINGER } + sweeps + Duration::from_millis(50);
        let deadline = Deadline { client, grace, now };
        let written = line.read_bytes + line.unread_by_client();
        if self.taken.0 != written {
            self.taken = (written, now);
        }
        if self.read.0 != line.read_bytes {
            self.read = (line.read_bytes, now);
        }
        if line.inbound_ended && !line.blocked {
            let since = *self.finished_at.get_or_insert(now);
            let (since, more) = self.unless_read(since, TAKING);
            // What it had not read then is looked after once a second.
            deadline.within(since, more + LINGER, "its end went unheard");
        }
        if line.blocked {
            self.last_blocked = now;
            let (since, at) = self.blocked.filter(|(_, at)| *at == written).unwrap_or((now, written));
            self.blocked = Some((since, at));
            let (since, more) = self.unless_read(since, limits.write);
            deadline.within(since, limits.write + more, "it takes nothing");
        } else {
            self.blocked = None;
        }
        if line.outbound_ended {
            let since = *self.ended_at.get_or_insert(now);
            // It may have read the end itself in this very moment.
            let has_just_read = self.read.1 == since;
            let (since, more) = if has_just_read { (since, TAKING) } else { self.unless_read(since, TAKING) };
            let in_sight = if line.inbound_ended { LINGER } else { Duration::ZERO };
            // A response may be taken slowly.
            let is_response = !line.ear.is_switched() && line.unread_by_client() > 0;
            let response = if is_response { limits.write } else { Duration::ZERO };
            deadline.within(since, more + in_sight + response, "it lingers");
        } else if line.ear.stream.is_some() {
            if !line.blocked {
                for (latest, what) in latest_words(told, client, scene) {
                    deadline.within(latest, Duration::ZERO, what);
                }
            }
            let published = worker.published();
            let (_, joined) = *self.switched.get_or_insert((now, published));
            let missed = published.saturating_sub(told.position.unwrap_or(joined));
            self.has_not_too_much(usize::try_from(missed).expect("few"), told, limits, deadline);
        } else if line.ear.is_switched() {
            if let (Some(moment), Some(close_after), false) = (told.moment, close_after(terms), line.blocked)
            {
                deadline.within(moment, close_after, "its time to move is over");
            }
            let max_age = terms.reconnect.and_then(|terms| terms.max_age);
            let is_told = told.is_told_of_age || worker.leaving.is_some() || line.blocked;
            if let (Some(max_age), Some((since, _)), false) = (max_age, self.switched, is_told) {
                deadline.within(since, max_age * 11 / 10, "it is not told that its connection is old");
            }
            let published = worker.published();
            let (since, joined) = *self.switched.get_or_insert((now, published));
            self.is_pinged(since, told, limits, deadline);
            let missed = published.saturating_sub(told.position.unwrap_or(joined));
            self.has_not_too_much(usize::try_from(missed).expect("few"), told, limits, deadline);
        } else if !line.blocked && !client.deeds.has_babbled {
            self.asks_in_time(told, limits, worker.leaving.is_some(), deadline);
        }
    }

    /// To read is to be there, though the socket may have no room yet: a look at it shows that, and gives it the same
    /// time again.
    fn unless_read(&self, since: Duration, more: Duration) -> (Duration, Duration) {
        if self.read.1 > since { (self.read.1, more) } else { (since, Duration::ZERO) }
    }

    /// It has been a WebSocket for so long, is asked whether it is there, and answers.
    fn is_pinged(&mut self, since: Duration, told: &Told, limits: &Limits, deadline: Deadline<'_>) {
        let Deadline { client, now, .. } = deadline;
        let (deeds, character) = (&client.deeds, &client.character);
        let Some(interval) = limits.ping_interval else { return };
        if let (Some(timeout), false) = (limits.ping_timeout, character.answers_pings) {
            // To take what did not fit is to be there, and who was slow has longer for what the ping is behind of.
            let (is_slow, (_, taken)) = (deeds.was_slow, self.taken);
            let is_tight = is_slow || character.capacity < 1500;
            let longer = if is_slow { 12 * self.last_blocked.saturating_sub(since) } else { Duration::ZERO };
            let since = since.max(deeds.last_sent).max(if is_tight { taken } else { since });
            // What it had not read when it was pinged is ahead of the ping.
            let ahead = if is_tight { timeout } else { Duration::ZERO };
            deadline.within(since, interval + timeout + ahead + longer, "it is silent");
        }
        let is_prompt = character.is_polite && !deeds.was_slow;
        let is_blocked = client.line.borrow().blocked;
        if !is_blocked && (is_prompt && character.answers_pings || limits.ping_timeout.is_none()) {
            let pinged = self.pinged.filter(|(pings, _)| *pings == told.pings);
            let (_, since) = *self.pinged.insert(pinged.unwrap_or((told.pings, now)));
            deadline.within(since, interval, "it is not pinged");
        }
    }

    /// What waits for it is no more than may wait, since it has missed so many notifications.
    fn has_not_too_much(&mut self, missed: usize, told: &Told, limits: &Limits, deadline: Deadline<'_>) {
        let Deadline { client, now, .. } = deadline;
        let is_blocked = client.line.borrow().blocked;
        let owed = client.deeds.asked.replies[told.replies..].iter().map(|reply| match reply {
            Reply::Echo(text) => text.len() + 70,
            Reply::Error => 70,
        });
        let owed = owed.sum::<usize>();
        // What is unread is unheard, and what is behind something compressed may be.
        let is_heard = client.character.window.is_none() && client.line.borrow().unread_by_server() == 0;
        let surely_owed = if is_heard { owed } else { 0 };
        let is_taking = self.blocked.is_none_or(|(since, _)| now < since + LATELY);
        let is_behind = is_blocked || missed > 0;
        // At most, with the 101, the welcome, and the places in the queue.
        let most_bytes = if client.character.is_stream { 400 } else { 210 };
        let may_be_over = most_bytes * missed + owed + 1500 > limits.outbox_bytes;
        self.may_lag = is_behind && (self.may_lag || is_taking && may_be_over);
        let is_over = is_blocked
            && !self.may_lag
            && 130 * missed.saturating_sub(1) + surely_owed > limits.outbox_bytes + 500;
        self.over_limit_since = self.over_limit_since.filter(|_| is_over).or(is_over.then_some(now));
        if let Some(since) = self.over_limit_since {
            deadline.within(since, Duration::ZERO, "too much waits for it");
        }
    }

    /// It speaks HTTP: it asks something, says it whole, and does not keep the connection for nothing.
    fn asks_in_time(&self, told: &Told, limits: &Limits, is_leaving: bool, deadline: Deadline<'_>) {
        let client = deadline.client;
        let since = client.deeds.last_sent.max(self.last_blocked);
        match (told.answers > 0, client.deeds.is_halfway) {
            (false, _) => deadline.within(client.connected_at, limits.handshake, "it asks nothing"),
            (true, true) => deadline.within(since, limits.handshake, "half a request is here"),
            (true, false) => {
                // Unless the rest of an unwanted body came after its answer: such a one idles to the end.
                let had_body = client.deeds.asked.statuses.last() == Some(&405);
                assert!(!is_leaving || had_body, "a leaving server keeps an idle one: {client:?}");
                deadline.within(since, limits.keep_alive.max(LINGER), "it idles");
            }
        }
    }
}

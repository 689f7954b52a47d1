//! How publications reach their listeners: at once, in slices, or by replay to those who were away. The hub and the
//! history are advanced together here, and nowhere else; the order of the publications is another's.

use super::conversation::subscriber_key;
use super::{Mood, Ordering, Peers};
use crate::policy::history::Publication;
use crate::policy::hub::{Hub, TooMany};
use crate::policy::idempotency::MAX_KEY_BYTES;
use crate::policy::replay::{Forgotten, Replay};
use crate::policy::sequencer::{Position, PublicationId};
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::connection::{Reading, Speaks};
use crate::server::limits::Limits;
use crate::server::order::Order;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::publish::{self, Submission};
use crate::wire::published;
use crate::wire::request::Request;
use crate::wire::response::{Exchange, Response};
use crate::wire::snapshot::Snapshot;

/// Listeners visited by a fan-out in one turn. One delivery costs 7–10 µs, so that a handshake arriving in the
/// middle of a fan-out to very many waits about a millisecond for its turn.
const FANOUT_SLICE: usize = 128;

/// What a fan-out hands to listeners in one turn, each message with what it costs to hand it on: of many messages, or
/// large ones, a slice of fewer listeners.
const FANOUT_BYTES: usize = 4 * 1024 * 1024;

/// What handing on a message costs beside its octets, in octets.
const MESSAGE_BYTES: usize = 256;

/// News that wait for their listeners, or are published in one turn, before publishers have to wait, too.
const NEWS_BYTES: usize = 4 * 1024 * 1024;

/// Connections whose replay goes on by a piece in one turn.
const REPLAYS_PER_TURN: usize = 16;

/// What of a replay waits in an outbox at most, beside the last frame: the rest waits in the shared history.
const REPLAY_BYTES: usize = 64 * 1024;

/// So little that it is not taken for the peer's slowness, and that the peer is read from meanwhile.
fn replay_bytes(limits: &Limits) -> usize {
    REPLAY_BYTES.min(limits.outbox_bytes / 16)
}

impl<S: Socket> Peers<S> {
    /// Publishes the periodic notification to all who listen to the default topic.
    pub fn publish_periodic(&mut self, now: Now) {
        if let Ordering::Own(order) = &mut self.ordering {
            let publication = order.notify(self.clients, now);
            self.hear_of(publication, now);
        }
    }

    /// Publishes what a request's body holds, all of it or nothing, and answers; with a supervisor, once that has.
    pub(super) fn publish_request(
        &mut self,
        key: usize,
        request: Box<Request>,
        exchange: Exchange,
        now: Now,
    ) {
        self.connections[key].publishes = true;
        if self.is_congested() {
            // Until now nothing was known of it that would have kept it from being read.
            return self.connections[key].put_back(request);
        }
        let submission = match read_submission(&request, self.terms.max_publish_bytes) {
            Ok(submission) => submission,
            Err(_) if self.connections[key].awaited > 0 => return self.sync_first(key, request),
            Err(refusal) => return self.respond(key, refusal, exchange, now),
        };
        match &mut self.ordering {
            Ordering::Own(order) => {
                let mut publications = vec![];
                let published = order.submit(submission, now, |publication| publications.push(publication));
                publications.into_iter().for_each(|publication| self.hear_of(publication, now));
                self.respond(key, published::response(&published), exchange, now);
            }
            Ordering::Upstream(_) => self.submit_upstream(key, submission, exchange),
        }
    }

    /// Takes the next publication in the one order: for those who listen, and for those who come back.
    pub(super) fn hear_of(&mut self, publication: Publication, now: Now) {
        self.turn_bytes += publication.held_bytes();
        self.hub.publish(&publication.topic, &publication.frame);
        self.history.push_beyond(publication);
        if self.hub.has_pending() {
            self.fanout_since.get_or_insert(now.instant);
        }
        let next_expiry = self.history.next_expiry();
        self.look_by(next_expiry);
    }

    pub(super) fn subscribe(&mut self, key: usize, filter: &Filter, now: Now) -> Result<(), TooMany> {
        // What was published before it asked is not for this filter.
        self.hand_news(key, now);
        let is_new = self.hub.subscribe(subscriber_key(key), filter)?;
        if let Some(replay) = self.connections[key].replay.as_mut().filter(|_| is_new) {
            replay.subscribe(filter.clone(), self.hub.newest());
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, key: usize, filter: &Filter, now: Now) {
        self.hand_news(key, now);
        self.hub.unsubscribe(subscriber_key(key), filter);
        if let Some(replay) = &mut self.connections[key].replay {
            replay.unsubscribe(filter);
        }
    }

    /// The position behind which a client can be brought all that it missed; `None` when that would leave a hole.
    pub(super) fn resume_position(&mut self, last_event_id: &str, now: Now) -> Option<Position> {
        self.history.expire(now.instant);
        let id: PublicationId = last_event_id.parse().ok()?;
        id.position_in(self.ordering.epoch()).filter(|position| self.history.can_bring(*position))
    }

    pub(super) fn begin_replay(&mut self, key: usize, after: Position, now: Now) {
        if after < self.hub.newest() {
            self.shrink_later(now);
            let filters = self.hub.filters(subscriber_key(key)).cloned().collect();
            self.connections[key].replay = Some(Box::new(Replay::new(after, filters, &mut self.history)));
            self.replays += 1;
            self.list_replay(key);
        }
    }

    /// Whether a publisher has to wait: for the next turn, until the news have reached their listeners, or until the
    /// supervisor has taken what it was sent.
    pub(super) fn is_congested(&self) -> bool {
        self.turn_bytes > NEWS_BYTES
            || self.has_too_many_news()
            || matches!(&self.ordering, Ordering::Upstream(upstream) if upstream.is_congested())
    }

    pub(super) fn has_too_many_news(&self) -> bool {
        self.hub.pending_bytes() > NEWS_BYTES
    }

    /// Carries the fan-out on by a slice, and the replays by a piece each.
    pub(super) fn spread_news(&mut self, now: Now) {
        self.turn_bytes = 0;
        let (mut visits, mut bytes) = (0, 0);
        while visits < FANOUT_SLICE && bytes < FANOUT_BYTES {
            let Some(subscriber) = self.hub.next_subscriber() else { break };
            bytes += self.deliver(subscriber as usize, now);
            visits += 1;
        }
        for _ in 0..self.replaying.len().min(REPLAYS_PER_TURN) {
            let key = self.replaying.pop_front().expect("counted");
            self.carry_on_replay(key, now);
        }
        if self.replays == 0 && !self.hub.has_pending() {
            self.history.forget_surplus();
        }
        if !self.is_congested() {
            // Who was the first this time is the last next time, or it could take all the room there is, turn after turn.
            let first = usize::from(!self.congested.is_empty());
            self.congested.rotate_left(first);
            for key in std::mem::take(&mut self.congested) {
                if let Some(connection) =
                    self.connections.get_mut(key).filter(|c| c.reading == Reading::Congested)
                {
                    connection.reading = Reading::Listed;
                    self.unread.push(key);
                }
            }
        }
    }

    /// Lists a connection for the next piece of its replay, if it has one and there is room for it.
    pub(super) fn list_replay(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let has_room = connection.room(replay_bytes(&self.terms.limits)) > 0;
        if let Some(replay) = connection.replay.as_mut().filter(|replay| has_room && !replay.is_listed) {
            replay.is_listed = true;
            self.replaying.push_back(key);
        }
    }

    /// Hands a listener all that it has not heard yet, in one write; says what that costs.
    fn deliver(&mut self, key: usize, now: Now) -> usize {
        let bytes = self.hand_news(key, now);
        if bytes > 0 && self.connections[key].wants_settling() {
            self.flush(key, now);
        }
        bytes
    }

    /// Queues what a listener has not heard yet; says what that costs. What there is no room for comes from history, at the
    /// listener's own pace, if it takes what waits; otherwise it is too slow.
    pub(super) fn hand_news(&mut self, key: usize, now: Now) -> usize {
        let Some(connection) = self.connections.get_mut(key) else { return 0 };
        if connection.speaks() != Speaks::WebSocket || connection.replay.is_some() {
            return 0;
        }
        let news = self.hub.pending_for(subscriber_key(key));
        let mut bytes = 0;
        for (position, frame) in news {
            bytes += frame.len() + MESSAGE_BYTES;
            if connection.send_news(frame, &self.terms.limits).is_err() {
                if connection.is_taking(now) && self.history.reaches(position - 1) {
                    self.begin_replay(key, position - 1, now);
                } else {
                    connection.end(Ending::TooSlow, now);
                }
                break;
            }
        }
        bytes
    }

    fn carry_on_replay(&mut self, key: usize, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let replay_bytes = replay_bytes(&self.terms.limits);
        let room = connection.room(replay_bytes);
        let Some(replay) = &mut connection.replay else { return };
        replay.is_listed = false;
        if room == 0 {
            // It is listed again once the socket has taken some.
            return;
        }
        match replay.next_piece(&mut self.history, room) {
            Ok(piece) => {
                let has_all = replay.reached() == self.hub.newest();
                connection.send_piece(piece);
                // Until what waits of it is taken, there might be no room for what is live: it comes from history, too.
                if has_all && connection.room(replay_bytes) > 0 {
                    connection.replay = None;
                    self.replays -= 1;
                    self.hub.set_heard(subscriber_key(key), self.hub.newest());
                }
            }
            // What was promised cannot be kept; told so, the client resumes, and is answered `resumed: false`.
            Err(Forgotten) => connection.end(Ending::TooSlow, now),
        }
        self.flush(key, now);
    }

    /// What a successor needs to go on in the same epoch; a worker's is the supervisor's to write.
    pub fn snapshot(&mut self, now: Now) -> Option<Snapshot> {
        debug_assert!(self.mood != Mood::Serving, "what is published later would be missing");
        self.history.expire(now.instant);
        match &self.ordering {
            Ordering::Own(order) => Some(order.snapshot(&self.history, now)),
            Ordering::Upstream(_) => None,
        }
    }

    /// Goes on where a predecessor stopped. Nobody must have connected or published yet.
    pub fn restore(&mut self, snapshot: Snapshot, now: Now) {
        let (order, history) = Order::restore(snapshot, self.terms.history, now);
        self.hub = Hub::new(order.newest());
        (self.ordering, self.history) = (Ordering::Own(order), history);
        let next_expiry = self.history.next_expiry();
        self.look_by(next_expiry);
    }
}

fn read_submission(request: &Request, most_bytes: usize) -> Result<Submission, Response> {
    let key = request.fields.idempotency_key.as_deref();
    if key.is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        return Err(Response::error(400, "Idempotency-Key has 1 to 255 bytes"));
    }
    let query = form_urlencoded::parse(request.query.as_bytes());
    let topics: Vec<String> =
        query.filter(|(name, _)| name == "topic").map(|(_, topic)| topic.into_owned()).collect();
    match publish::read(request.fields.content_type.as_deref(), &topics, &request.body, most_bytes) {
        Ok(drafts) => Ok(Submission { key: key.map(|key| drafts.key(key)), drafts }),
        Err(why) => Err(Response::error(why.status(), &why.to_string())),
    }
}

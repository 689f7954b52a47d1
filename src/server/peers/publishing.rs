//! How publications get their position and reach their listeners: at once, in slices, or by replay to those who were
//! away. The sequencer, the hub and the history are advanced together here, and nowhere else.

use std::time::Duration;

use super::conversation::listener_key;
use super::{Mood, Peers};
use crate::frame::Frame;
use crate::policy::history::{History, Publication};
use crate::policy::hub::{Hub, TooMany};
use crate::policy::idempotency::MAX_KEY_BYTES;
use crate::policy::replay::{Forgotten, Replay};
use crate::policy::sequencer::{Position, PublicationId, Sequencer};
use crate::policy::topic::{Filter, TopicName};
use crate::server::clock::Now;
use crate::server::connection::{Reading, Speaks};
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::http::Request;
use crate::wire::messages::{DEFAULT_TOPIC, ServerMessage};
use crate::wire::publish::{self, Draft, PublishError};
use crate::wire::response::Response;
use crate::wire::snapshot::{Kept, Snapshot};

/// Listeners visited by a fan-out in one turn. One delivery costs 7–10 µs, so that a handshake arriving in the
/// middle of a fan-out to very many waits about a millisecond for its turn.
const FANOUT_SLICE: usize = 128;

/// News that wait for their listeners before publishers have to wait, too.
const NEWS_BYTES: usize = 4 * 1024 * 1024;

/// Connections whose replay goes on by a piece in one turn.
const REPLAYS_PER_TURN: usize = 16;

/// What of a replay waits in an outbox at most, beside the last frame: the rest waits in the shared history.
const REPLAY_BYTES: usize = 64 * 1024;

/// The ids that a publication got, for whoever asks again.
#[derive(Debug, Clone)]
pub(super) struct Published {
    ids: Vec<PublicationId>,
    is_batch: bool,
}

impl Published {
    fn response(&self) -> Response {
        let ids: Vec<String> = self.ids.iter().map(PublicationId::to_string).collect();
        let body = match self.ids.as_slice() {
            [id] if !self.is_batch => serde_json::json!({ "id": id.to_string() }),
            _ => serde_json::json!({ "ids": ids }),
        };
        Response::new(200, "application/json", body.to_string())
    }
}

/// So little that it is not taken for the peer's slowness, and that the peer is read from meanwhile.
fn replay_bytes(limits: &Limits) -> usize {
    REPLAY_BYTES.min(limits.outbox_bytes / 16)
}

impl<S: Socket> Peers<S> {
    /// Publishes the periodic notification to all who listen to the default topic.
    pub fn publish_periodic(&mut self, now: Now) {
        self.notifications_so_far += 1;
        let message = format!("Periodic notification #{}", self.notifications_so_far);
        let active_connections = self.clients;
        let topic = TopicName::parse(DEFAULT_TOPIC).expect("the default is a topic");
        self.publish(&topic, now, |id| {
            let (topic, message, timestamp) = (DEFAULT_TOPIC, &*message, now.wall);
            ServerMessage::Notification { id, topic, message, timestamp, active_connections }.to_frame()
        });
    }

    /// Publishes what a request's body holds, all of it or nothing, and answers.
    pub(super) fn publish_request(&mut self, request: &Request, now: Now) -> Response {
        let header_key = match request.fields.idempotency_key.as_deref() {
            Some(key) if key.is_empty() || key.len() > MAX_KEY_BYTES => {
                return Response::error(400, "Idempotency-Key has 1 to 255 bytes");
            }
            key => key.map(|key| format!("request {key}")),
        };
        if let Some(first) = header_key.as_ref().and_then(|key| self.idempotency.recall(key, now.instant)) {
            return first.response();
        }
        match self.publish_body(request, now) {
            Ok(published) => {
                let response = published.response();
                if let Some(key) = header_key {
                    self.idempotency.remember(key, published, now.instant);
                }
                response
            }
            Err(why) => Response::error(why.status(), &why.to_string()),
        }
    }

    fn publish_body(&mut self, request: &Request, now: Now) -> Result<Published, PublishError> {
        let query = form_urlencoded::parse(request.query.as_bytes());
        let topics: Vec<String> =
            query.filter(|(name, _)| name == "topic").map(|(_, topic)| topic.into_owned()).collect();
        let drafts = publish::read(request.fields.content_type.as_deref(), &topics, &request.body)?;
        let ids = drafts.list.iter().flat_map(|draft| self.publish_draft(draft, now)).collect();
        Ok(Published { ids, is_batch: drafts.is_batch })
    }

    fn publish_draft(&mut self, draft: &Draft, now: Now) -> Vec<PublicationId> {
        let key = draft.key.as_ref().map(|key| format!("object {key}"));
        if let Some(first) = key.as_ref().and_then(|key| self.idempotency.recall(key, now.instant)) {
            return first.ids.clone();
        }
        let publish_to = |topic: &TopicName| {
            self.publish(topic, now, |id| {
                let (topic, data, timestamp) = (topic.as_str(), &*draft.data, now.wall);
                ServerMessage::Data { id, topic, data, timestamp }.to_frame()
            })
        };
        let ids: Vec<PublicationId> = draft.topics.iter().map(publish_to).collect();
        if let Some(key) = key {
            self.idempotency.remember(key, Published { ids: ids.clone(), is_batch: false }, now.instant);
        }
        ids
    }

    /// Gives a publication its position, and encodes it once for all who will hear it.
    fn publish(
        &mut self,
        topic: &TopicName,
        now: Now,
        encode: impl FnOnce(PublicationId) -> Frame,
    ) -> PublicationId {
        let id = self.sequencer.advance();
        let frame = encode(id);
        self.hub.publish(topic, &frame);
        self.history.push(Publication { topic: topic.clone(), frame, at: now.instant });
        let next_expiry = self.history.next_expiry();
        self.look_by(next_expiry);
        id
    }

    pub(super) fn subscribe(&mut self, key: usize, filter: &Filter, now: Now) -> Result<(), TooMany> {
        // What was published before it asked is not for this filter.
        self.hand_news(key, now);
        let connection = &mut self.connections[key];
        let is_new = self.hub.subscribe(listener_key(key), &mut connection.listener, filter)?;
        if let Some(replay) = connection.replay.as_mut().filter(|_| is_new) {
            replay.subscribe(filter.clone(), self.hub.newest());
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, key: usize, filter: &Filter, now: Now) {
        self.hand_news(key, now);
        let connection = &mut self.connections[key];
        self.hub.unsubscribe(listener_key(key), &mut connection.listener, filter);
        if let Some(replay) = &mut connection.replay {
            replay.unsubscribe(filter);
        }
    }

    /// The position behind which a client can be brought all that it missed; `None` when that would leave a hole.
    pub(super) fn resume_position(&mut self, last_event_id: &str, now: Now) -> Option<Position> {
        self.history.expire(now.instant);
        let id: PublicationId = last_event_id.parse().ok()?;
        id.position_in(self.sequencer.epoch()).filter(|position| self.history.reaches(*position))
    }

    pub(super) fn begin_replay(&mut self, key: usize, after: Position) {
        if after < self.hub.newest() {
            let connection = &mut self.connections[key];
            let filters = self.hub.filters(&connection.listener).cloned().collect();
            connection.replay = Some(Box::new(Replay::new(after, filters)));
            self.list_replay(key);
        }
    }

    /// Whether a publisher has to wait until the news have reached their listeners.
    pub(super) fn is_congested(&self) -> bool {
        self.hub.news_bytes() > NEWS_BYTES
    }

    /// Carries the fan-out on by a slice, and the replays by a piece each.
    pub(super) fn spread_news(&mut self, now: Now) {
        for _ in 0..FANOUT_SLICE {
            let Some(listener) = self.hub.next_listener() else { break };
            self.deliver(listener as usize, now);
        }
        for _ in 0..self.replaying.len().min(REPLAYS_PER_TURN) {
            let key = self.replaying.pop_front().expect("counted");
            self.carry_on_replay(key, now);
        }
        if !self.is_congested() {
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

    /// Hands a listener all that it has not heard yet, in one write.
    fn deliver(&mut self, key: usize, now: Now) {
        if self.hand_news(key, now) && self.connections[key].wants_settling() {
            self.flush(key, now);
        }
    }

    /// Queues what a listener has not heard yet; whether there was anything.
    pub(super) fn hand_news(&mut self, key: usize, now: Now) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        if connection.speaks() != Speaks::WebSocket || connection.replay.is_some() {
            return false;
        }
        let news = self.hub.news_for(&mut connection.listener);
        let has_news = !news.is_empty();
        for frame in news {
            connection.send_news(frame, now, &self.terms.limits);
        }
        has_news
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
        match replay.next_piece(&self.history, room) {
            Ok(piece) => {
                let has_all = replay.reached() == self.hub.newest();
                connection.send_piece(piece);
                // Until what waits of it is taken, there might be no room for what is live: it comes from history, too.
                if has_all && connection.room(replay_bytes) > 0 {
                    connection.replay = None;
                    connection.listener.set_heard(self.hub.newest());
                }
            }
            // What was promised cannot be kept; told so, the client resumes, and is answered `resumed: false`.
            Err(Forgotten) => connection.end(Ending::TooSlow, now),
        }
        self.flush(key, now);
    }

    /// What a successor needs to go on in the same epoch.
    pub fn snapshot(&mut self, now: Now) -> Snapshot {
        debug_assert!(self.mood != Mood::Serving, "what is published later would be missing");
        self.history.expire(now.instant);
        let kept = self.history.after(*self.history.positions().start() - 1).map(|(_, publication)| {
            let age = now.instant.saturating_duration_since(publication.at).as_millis();
            let at_unix_ms = now.wall.as_millisecond() - i64::try_from(age).unwrap_or(i64::MAX);
            Kept { topic: publication.topic.clone(), frame: publication.frame.clone(), at_unix_ms }
        });
        let publications = kept.collect();
        Snapshot { epoch: self.sequencer.epoch(), newest: self.sequencer.newest().position(), publications }
    }

    /// Goes on where a predecessor stopped. Nobody must have connected or published yet.
    pub fn restore(&mut self, snapshot: Snapshot, now: Now) {
        let before = snapshot.newest - snapshot.publications.len() as u64;
        self.sequencer = Sequencer::new(snapshot.epoch, snapshot.newest);
        self.hub = Hub::new(snapshot.newest);
        self.history = History::new(self.terms.history, before);
        for Kept { topic, frame, at_unix_ms } in snapshot.publications {
            let age = u64::try_from(now.wall.as_millisecond() - at_unix_ms).unwrap_or(0);
            // A clock that began later than the publication: as old as can be said.
            let at = now.instant.checked_sub(Duration::from_millis(age)).unwrap_or(now.instant);
            self.history.push(Publication { topic, frame, at });
        }
        self.history.expire(now.instant);
        let next_expiry = self.history.next_expiry();
        self.look_by(next_expiry);
    }
}

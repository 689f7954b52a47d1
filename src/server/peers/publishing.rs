//! How publications reach their subscribers: at once, in slices, or by replay to those who were away.

use super::Peers;
use crate::http::auth::forbidden;
use crate::policy::feed::Feed;
use crate::policy::history::{HistoryLimits, Publication};
use crate::policy::hub::TooMany;
use crate::policy::idempotency::{MAX_KEY_BYTES, Scope};
use crate::policy::line::Line;
use crate::policy::replay::Forgotten;
use crate::policy::rights::Publisher;
use crate::policy::sequencer::{Position, PublicationId};
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::connection::Reading;
use crate::server::limits::Limits;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::publish::{self, Asked, Submission};
use crate::wire::request::Request;
use crate::wire::response::{Exchange, Response};

/// Subscribers visited by a fan-out in one turn. One delivery costs 7–10 µs, so that a handshake arriving in the
/// middle of a fan-out to very many waits about a millisecond for its turn.
const FANOUT_SLICE: usize = 128;

/// What a fan-out hands to subscribers in one turn, each message with what it costs to hand it on: with many messages,
/// or large ones, fewer subscribers are visited.
const FANOUT_BYTES: usize = 4 * 1024 * 1024;

/// What handing on a message costs beside its octets, in octets.
const MESSAGE_BYTES: usize = 256;

/// What compressing an octet costs, in octets.
const COMPRESSING: usize = 8;

/// What is compressed for one subscriber before others have their turn, and for all replays in one turn.
const COMPRESSED_BYTES: usize = 256 * 1024;

/// What may be pending for its subscribers, or be published in one turn, before publishers have to wait, too.
const PENDING_BYTES: usize = 4 * 1024 * 1024;

/// What of a replay waits in an outbox at most, beside the last frame: the rest waits in the shared history.
const REPLAY_BYTES: usize = 64 * 1024;

/// So little that it is not taken for the peer's slowness, and that the peer is read from meanwhile.
fn replay_bytes(limits: &Limits) -> usize {
    REPLAY_BYTES.min(limits.outbox_bytes / 16)
}

impl<S: Socket> Peers<S> {
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
        let publisher = request.granted.as_deref().and_then(|granted| granted.as_ref().ok());
        let scope = publisher.map_or(Scope::OPERATORS, |publisher| publisher.scope);
        let submission = read_submission(&request, scope, self.terms.max_publish_bytes);
        let submission = match submission.and_then(|submission| check_rights(submission, publisher)) {
            Ok(submission) => submission,
            Err(_) if self.connections[key].awaited.any() => return self.answer_later(key, request),
            Err(refusal) => return self.respond(key, refusal, exchange, now),
        };
        self.submit(key, submission, exchange);
    }

    /// Takes the next publication in the one order: for those who are here, and for those who come back.
    pub fn publish(&mut self, publication: Publication, now: Now) {
        self.turn_bytes += publication.held_bytes();
        self.counts.on_heard();
        self.feed.publish(publication);
        if self.feed.is_pending() {
            self.counts.on_pending(now);
        }
        self.upkeep.look_by(self.feed.next_expiry());
    }

    pub(super) fn subscribe(&mut self, key: usize, filter: &Filter, now: Now) -> Result<(), TooMany> {
        // What was published before it asked is not for this filter.
        self.hand_pending(key, now);
        self.feed.subscribe(key, filter, self.connections[key].replay.as_deref_mut())
    }

    pub(super) fn unsubscribe(&mut self, key: usize, filter: &Filter, now: Now) {
        self.hand_pending(key, now);
        self.feed.unsubscribe(key, filter);
        if let Some(replay) = &mut self.connections[key].replay {
            replay.unsubscribe(filter);
        }
    }

    /// Up to which id a client has heard all that it listens to once what is queued for it has reached it; `None` while more is
    /// still to come, or while it is not known here which id is the newest.
    pub(super) fn heard_by(&self, key: usize) -> Option<PublicationId> {
        let replay = self.connections[key].replay.as_deref();
        self.feed.heard_by(key, replay).filter(|_| self.knows_newest)
    }

    /// Begins to bring a client all behind a position, unless it has heard all.
    pub(super) fn begin_replay(&mut self, key: usize, after: Position, now: Now) {
        if let Some(replay) = self.feed.replay(key, after) {
            self.upkeep.shrink_later(now.instant);
            self.connections[key].replay = Some(Box::new(replay));
            self.list_replay(key);
        }
    }

    /// Whether a publisher has to wait: for the next turn, until what was published has reached its subscribers, or until
    /// what was asked is taken.
    pub(super) fn is_congested(&self) -> bool {
        self.turn_bytes + self.waiting.bytes() > PENDING_BYTES
            || self.is_behind()
            || self.waiting.is_too_much()
    }

    /// Whether so much has still to reach its subscribers that nothing more should be taken in.
    pub fn is_behind(&self) -> bool {
        self.feed.pending_bytes() > PENDING_BYTES
    }

    /// Carries the fan-out on by a slice, and the replays by a piece each.
    pub(super) fn fan_out(&mut self, now: Now) {
        self.turn_bytes = 0;
        let (mut visits, mut bytes) = (0, 0);
        while visits < FANOUT_SLICE && bytes < FANOUT_BYTES {
            let Some(subscriber) = self.feed.next_subscriber() else { break };
            bytes += self.deliver(subscriber, now);
            visits += 1;
        }
        self.carry_on_replays(now);
        self.feed.forget_surplus();
        if !self.is_congested() {
            for key in self.agenda.take_congested() {
                if let Some(connection) =
                    self.connections.get_mut(key).filter(|c| c.reading == Reading::Congested)
                {
                    connection.reading = Reading::Listed;
                    self.agenda.list_unread(key);
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
            self.agenda.list_replaying(key);
        }
    }

    /// Hands a subscriber all that it has not heard yet, in one write; says what that costs.
    fn deliver(&mut self, key: usize, now: Now) -> usize {
        let bytes = self.hand_pending(key, now);
        if bytes > 0 && self.connections[key].wants_settling() {
            self.flush(key, now);
        }
        bytes
    }

    /// Queues what a subscriber has not heard yet; says what that costs. What there is no room for comes from history, at
    /// the subscriber's own pace, if it takes what waits; otherwise it is too slow. Once much had to be compressed for it, the rest
    /// comes from history, too.
    pub(super) fn hand_pending(&mut self, key: usize, now: Now) -> usize {
        let Some(connection) = self.connections.get_mut(key) else { return 0 };
        if !connection.speaks().is_client() || connection.replay.is_some() {
            return 0;
        }
        let (mut bytes, compressed_before) = (0, self.compressor.taken_bytes());
        for (position, message) in self.feed.pending_for(key) {
            bytes += message.json().len() + MESSAGE_BYTES;
            if connection.send_pending(&message, &mut self.compressor, &self.terms.limits).is_err() {
                if connection.is_taking(now) && self.feed.history().reaches(position - 1) {
                    self.begin_replay(key, position - 1, now);
                } else {
                    connection.end(Ending::TooSlow, now);
                }
                break;
            }
            self.counts.on_delivered(1);
            let compressed = self.compressor.taken_since(compressed_before);
            if compressed >= COMPRESSED_BYTES && self.feed.history().reaches(position) {
                self.begin_replay(key, position, now);
                break;
            }
        }
        bytes + self.compressor.taken_since(compressed_before) * COMPRESSING
    }

    fn carry_on_replays(&mut self, now: Now) {
        let compressed_before = self.compressor.taken_bytes();
        for _ in 0..self.agenda.count_replaying() {
            let Some(key) = self.agenda.next_replaying() else { break };
            self.carry_on_replay(key, now);
            if self.compressor.taken_since(compressed_before) >= COMPRESSED_BYTES {
                break;
            }
        }
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
        match self.feed.next_piece(replay, room) {
            Ok(piece) => {
                let has_all = self.feed.is_complete(replay);
                self.counts.on_delivered(piece.len());
                for message in piece {
                    connection.send_missed(&message, &mut self.compressor);
                }
                // Until what is queued of it is taken, there might be no room for what is live: that comes from history, too.
                if has_all && connection.room(replay_bytes) > 0 {
                    connection.replay.take().into_iter().for_each(|replay| self.feed.join(key, *replay));
                    connection.finish_if_answered(now);
                }
            }
            // What was promised cannot be kept; told so, the client resumes, and is answered `resumed: false`.
            Err(Forgotten) => connection.end(Ending::TooSlow, now),
        }
        self.flush(key, now);
    }

    /// Goes on with what was published lately. Nobody must have connected yet.
    pub fn restore(&mut self, line: Line) {
        self.feed = Feed::new(line);
        self.upkeep.look_by(self.feed.next_expiry());
    }

    /// What of it is kept at most.
    pub fn history_limits(&self) -> HistoryLimits {
        self.terms.history
    }

    /// What was published lately, and its ids.
    pub fn line(&self) -> &Line {
        self.feed.line()
    }

    /// Forgets what has become too old.
    pub fn forget_old(&mut self, now: Now) {
        self.feed.expire(now.instant);
    }
}

/// All of it or nothing: one topic that is not granted is enough to refuse it.
fn check_rights(submission: Submission, publisher: Option<&Publisher>) -> Result<Submission, Response> {
    let Some(Publisher { rights, .. }) = publisher else { return Ok(submission) };
    let mut topics = submission.drafts.list.iter().flat_map(|draft| &draft.topics);
    match topics.find(|topic| !rights.may_publish(topic)) {
        None => Ok(submission),
        Some(topic) => {
            Err(forbidden(&format!("the token does not grant to publish to {:?}", topic.as_str())))
        }
    }
}

fn read_submission(request: &Request, scope: Scope, most_bytes: usize) -> Result<Submission, Response> {
    let key = request.fields.idempotency_key.as_deref();
    if let Some(key) = key.filter(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        let why = format!(
            "Idempotency-Key has 1 to {MAX_KEY_BYTES} bytes, as order-7-paid; this one has {}",
            key.len()
        );
        return Err(Response::error(400, &why));
    }
    let content_type = request.fields.content_type.as_deref();
    let asked =
        Asked { path: &request.path, query: request.query_bytes(), content_type, body: &request.body };
    let drafts = publish::named_topics(asked)
        .and_then(|topics| publish::read(content_type, &topics, &request.body, most_bytes))
        .map_err(|why| Response::error(why.status(), &why.to_string()))?;
    Ok(Submission { key: key.map(|key| drafts.key(key, scope)), scope, drafts })
}

#[cfg(test)]
#[path = "publishing_tests.rs"]
mod tests;

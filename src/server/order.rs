//! The one who gives publications their ids: the server itself, or the supervisor for all of its workers. Checks
//! nothing and sends nothing: each publication is handed on encoded, in the order in which all will hear it.

use crate::policy::history::{History, HistoryLimits, Publication};
use crate::policy::idempotency::Idempotency;
use crate::policy::sequencer::{Position, PublicationId, Sequencer};
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::wire::messages::{DEFAULT_TOPIC, ServerMessage};
use crate::wire::publish::{Draft, Published, Submission};
use crate::wire::snapshot::{Kept, Snapshot};

/// The order of all publications, and what was answered to whom published them.
#[derive(Debug)]
pub struct Order {
    sequencer: Sequencer,
    /// The position before the first that this process has given.
    begun: Position,
    idempotency: Idempotency<Published>,
    notifications_so_far: u64,
}

impl Order {
    /// Goes on behind a position of an epoch.
    pub fn new(epoch: u32, newest: Position) -> Self {
        Self {
            sequencer: Sequencer::new(epoch, newest),
            begun: newest,
            idempotency: Idempotency::default(),
            notifications_so_far: 0,
        }
    }

    /// The epoch of all ids from here.
    pub fn epoch(&self) -> u32 {
        self.sequencer.epoch()
    }

    /// The newest position so far.
    pub fn newest(&self) -> Position {
        self.sequencer.newest().position()
    }

    /// How many publications this process has positioned.
    pub fn published(&self) -> u64 {
        self.newest() - self.begun
    }

    /// Positions all of a submission, unless it is a retry: `publish` is handed each publication.
    pub fn submit(
        &mut self,
        submission: Submission,
        now: Now,
        mut publish: impl FnMut(Publication),
    ) -> Published {
        let Submission { key, drafts } = submission;
        // Whole requests and single objects have keys of their own.
        let key = key.map(|key| format!("request {key}"));
        if let Some(first) = key.as_ref().and_then(|key| self.idempotency.recall(key, now.instant)) {
            return first.clone();
        }
        let ids = drafts.list.into_iter().flat_map(|draft| self.position(draft, now, &mut publish)).collect();
        let published = Published { ids, is_batch: drafts.is_batch };
        if let Some(key) = key {
            self.idempotency.remember(key, published.clone(), now.instant);
        }
        published
    }

    /// The periodic notification to all who listen to the default topic.
    pub fn notify(&mut self, active_connections: usize, now: Now) -> Publication {
        self.notifications_so_far += 1;
        let message = format!("Periodic notification #{}", self.notifications_so_far);
        let (id, topic, timestamp) = (self.sequencer.advance(), DEFAULT_TOPIC, now.wall);
        let message =
            ServerMessage::Notification { id, topic, message: &message, timestamp, active_connections };
        let topic = TopicName::parse(DEFAULT_TOPIC).expect("the default is a topic");
        Publication { topic, frame: message.to_frame(), at: now.instant }
    }

    fn position(
        &mut self,
        draft: Draft,
        now: Now,
        publish: &mut impl FnMut(Publication),
    ) -> Vec<PublicationId> {
        let Draft { topics, data, key } = draft;
        let key = key.map(|key| format!("object {key}"));
        if let Some(first) = key.as_ref().and_then(|key| self.idempotency.recall(key, now.instant)) {
            return first.ids.clone();
        }
        let position = |topic: TopicName| {
            let id = self.sequencer.advance();
            let message = ServerMessage::Data { id, topic: topic.as_str(), data: &data, timestamp: now.wall };
            let frame = message.to_frame();
            publish(Publication { topic, frame, at: now.instant });
            id
        };
        let ids: Vec<PublicationId> = topics.into_iter().map(position).collect();
        if let Some(key) = key {
            self.idempotency.remember(key, Published { ids: ids.clone(), is_batch: false }, now.instant);
        }
        ids
    }

    /// What a successor needs to go on in the same epoch. All that was positioned must be in the history.
    pub fn snapshot(&self, history: &History, now: Now) -> Snapshot {
        let kept = history.after(*history.positions().start() - 1).map(|(_, publication)| Kept {
            topic: publication.topic.clone(),
            frame: publication.frame.clone(),
            at_unix_ms: now.unix_ms_of(publication.at),
        });
        Snapshot { epoch: self.epoch(), newest: self.newest(), publications: kept.collect() }
    }

    /// Goes on where a predecessor stopped.
    pub fn restore(snapshot: Snapshot, limits: HistoryLimits, now: Now) -> (Self, History) {
        let before = snapshot.newest - snapshot.publications.len() as u64;
        let order = Self::new(snapshot.epoch, snapshot.newest);
        let mut history = History::new(limits, before);
        for Kept { topic, frame, at_unix_ms } in snapshot.publications {
            history.push(Publication { topic, frame, at: now.instant_of(at_unix_ms) });
        }
        history.expire(now.instant);
        (order, history)
    }
}

//! What gives publications their ids: in the server itself, or in the supervisor for all of its workers. Checks
//! nothing and sends nothing: each publication is handed on encoded, in the order in which all will hear it.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::policy::fingerprint::Fingerprint;
use crate::policy::history::{History, HistoryLimits, Publication};
use crate::policy::idempotency::{Answer, Idempotency, OtherPayload, Scope};
use crate::policy::line::Line;
use crate::policy::positions::Positions;
use crate::policy::sequencer::{Position, Sequencer};
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::wire::messages;
use crate::wire::publish::{Draft, Submission};
use crate::wire::published::{Published, Unpublished};
use crate::wire::snapshot::{Given, Kept, Snapshot};

/// The order of all publications, and what their publishers were answered.
#[derive(Debug)]
pub struct Ledger {
    sequencer: Sequencer,
    /// The position before the first that this process has given.
    begun: Position,
    idempotency: Idempotency,
    notifications_so_far: u64,
}

/// What is known of an object's key while its request is positioned.
#[derive(Debug, Clone, Copy)]
struct Known {
    payload: Fingerprint,
    /// Where it was published first, if it was.
    position: Option<Position>,
}

impl Ledger {
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

    /// Periodic notifications so far, and the position before the first that was given since this server began to count.
    pub fn counted(&self) -> (u64, Position) {
        (self.notifications_so_far, self.begun)
    }

    /// Goes on counting from there.
    pub fn go_on_counting(&mut self, notifications: u64, begun: Position) {
        let newest = self.newest();
        (self.notifications_so_far, self.begun) = (notifications.min(newest), begun.min(newest));
    }

    /// Positions all of a submission, unless it is a retry: `publish` is handed each publication.
    ///
    /// # Errors
    /// When a key was used for something else; then nothing is positioned.
    pub fn submit(
        &mut self,
        submission: Submission,
        now: Now,
        mut publish: impl FnMut(Publication),
    ) -> Result<Published, Unpublished> {
        let Submission { key, scope, drafts } = submission;
        let epoch = self.epoch();
        if let Some(key) = &key {
            let first = self
                .idempotency
                .recall(key, now.instant)
                .map_err(|OtherPayload| Unpublished::OtherRequest)?;
            if let Some(first) = first {
                return Ok(Published::of(epoch, first));
            }
        }
        let mut known = self.recall_objects(&drafts.list, scope, now)?;
        let mut positions = Positions::default();
        for draft in &drafts.list {
            for topic in &draft.topics {
                let key = draft.key.as_ref().map(|object| object.on(topic, scope));
                if let Some(first) = key.and_then(|key| known[&key.name].position) {
                    positions.push(first);
                    continue;
                }
                publish(self.position(topic, &draft.data, now));
                let position = self.newest();
                positions.push(position);
                if let Some(key) = key {
                    known.insert(key.name, Known { payload: key.payload, position: Some(position) });
                    self.idempotency.remember(&key, Answer::one(position), now.instant);
                }
            }
        }
        let answer = Answer { positions, is_batch: drafts.is_batch };
        let published = Published::of(epoch, &answer);
        if let Some(key) = &key {
            self.idempotency.remember(key, answer, now.instant);
        }
        Ok(published)
    }

    /// What is known of each object's key, before anything is positioned: what follows may push old answers out.
    fn recall_objects(
        &mut self,
        drafts: &[Draft],
        scope: Scope,
        now: Now,
    ) -> Result<HashMap<Fingerprint, Known>, Unpublished> {
        let mut all: HashMap<Fingerprint, Known> = HashMap::new();
        let keyed = drafts.iter().filter_map(|draft| Some((draft.key.as_ref()?, &draft.topics)));
        for (object, topic) in
            keyed.flat_map(|(object, topics)| topics.iter().map(move |topic| (object, topic)))
        {
            let key = object.on(topic, scope);
            let conflict = || Unpublished::OtherData { id: object.id.clone(), topic: topic.clone() };
            let twin = all.get(&key.name);
            if twin.is_some_and(|twin| twin.payload != key.payload) {
                return Err(conflict());
            }
            if twin.is_none() {
                let first = self.idempotency.recall(&key, now.instant).map_err(|OtherPayload| conflict())?;
                let position = first.and_then(|answer| answer.positions.iter().next());
                all.insert(key.name, Known { payload: key.payload, position });
            }
        }
        Ok(all)
    }

    /// The periodic notification to all who listen to the default topic.
    pub fn notify(&mut self, active_connections: usize, now: Now) -> Publication {
        self.notifications_so_far += 1;
        let (id, number) = (self.sequencer.advance(), self.notifications_so_far);
        let (topic, message) = messages::periodic(id, number, active_connections, now.wall);
        Publication { topic, message, at: now.instant }
    }

    fn position(&mut self, topic: &TopicName, data: &RawValue, now: Now) -> Publication {
        let id = self.sequencer.advance();
        let message = messages::data(id, topic, data, now.wall);
        Publication { topic: topic.clone(), message, at: now.instant }
    }

    /// What a successor needs to go on in the same epoch. All that was positioned must be in the history.
    pub fn snapshot(&self, line: &Line, now: Now) -> Snapshot {
        let given = self.idempotency.remembered(now.instant).map(|(at, key, answer)| Given {
            key,
            answer: answer.clone(),
            at_unix_ms: now.unix_ms_of(at),
        });
        Snapshot { answers: given.collect(), ..legacy(line, now) }
    }

    /// Goes on where a predecessor stopped.
    pub fn restore(snapshot: Snapshot, limits: HistoryLimits, now: Now) -> (Self, Line) {
        let newest = snapshot.newest_id();
        let mut ledger = Self::new(newest.epoch(), newest.position());
        for Given { key, answer, at_unix_ms } in &snapshot.answers {
            ledger.idempotency.remember(key, answer.clone(), now.instant_of(*at_unix_ms));
        }
        (ledger, line_of(snapshot, limits, now))
    }
}

/// What a successor needs of a line to go on with it, where nobody has to be answered again.
pub fn legacy(line: &Line, now: Now) -> Snapshot {
    let history = line.history();
    // What is kept of epochs that are not known any more has no ids.
    let begin = (*history.positions().start() - 1).max(line.epochs().known_after());
    let kept = history.after(begin).map(|(_, publication)| Kept {
        topic: publication.topic.clone(),
        message: publication.message.clone(),
        at_unix_ms: now.unix_ms_of(publication.at),
    });
    Snapshot {
        epochs: line.epochs().clone(),
        newest: line.newest(),
        publications: kept.collect(),
        answers: vec![],
    }
}

/// The line as a predecessor has left it.
pub fn line_of(snapshot: Snapshot, limits: HistoryLimits, now: Now) -> Line {
    let mut history = History::new(limits, snapshot.newest - snapshot.publications.len() as u64);
    for Kept { topic, message, at_unix_ms } in snapshot.publications {
        // Somebody may be in the midst of being brought more than is kept for others.
        history.push_beyond(Publication { topic, message, at: now.instant_of(at_unix_ms) });
    }
    history.expire(now.instant);
    Line::new(snapshot.epochs, history)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

//! Knows which ids the positions of this server have. Inside, positions go on growing by one whatever happens; the ids that
//! clients see carry an epoch, and whoever keeps the order may begin another one: behind the newest publication, or behind an
//! earlier one, if it has lost what followed. Knows no publication and no subscriber.

use serde::{Deserialize, Serialize};

use crate::policy::sequencer::{MAX_POSITION, Position, PublicationId};

/// Epochs that are remembered. Ids of older ones cannot be told from those of a lost history.
const MOST_RUNS: usize = 64;

/// The epochs of the publications so far, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Run>", into = "Vec<Run>")]
pub struct Epochs {
    /// Oldest first, and never none.
    runs: Vec<Run>,
}

/// Publications of one epoch that follow each other, up to where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The id ahead of the first of them,
    pub id: PublicationId,
    /// and its position here.
    pub position: Position,
}

/// Where an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this position: whoever has heard it last has heard all up to here, and nothing else.
    At(Position),
    /// Further on than anything that is known here: it may still come.
    Ahead,
    /// Nowhere: it is not known what precedes it, or it was lost.
    Lost,
}

/// Epochs that cannot follow each other so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no epochs follow each other so")]
pub struct NoEpochs;

impl Epochs {
    /// One epoch, of which nothing is known but that all that follows this id follows this position.
    pub fn new(id: PublicationId, position: Position) -> Self {
        Self { runs: vec![Run { id, position }] }
    }

    /// An epoch whose positions are those of its ids.
    pub fn of(epoch: u32) -> Self {
        Self::new(PublicationId::new(epoch, 0), 0)
    }

    /// The present epoch.
    pub fn epoch(&self) -> u32 {
        self.newest_run().id.epoch()
    }

    /// The one epoch there is, if its ids have the positions that they have here.
    pub fn plain(&self) -> Option<u32> {
        match self.runs[..] {
            [Run { id, position }] if id.position() == position => Some(id.epoch()),
            _ => None,
        }
    }

    /// Each epoch, oldest first.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The position behind which all ids are known.
    pub fn known_after(&self) -> Position {
        self.runs[0].position
    }

    /// The id of the publication at a position; `None` where that is not known any more, or the position is ahead of the
    /// first one.
    pub fn id(&self, position: Position) -> Option<PublicationId> {
        self.runs.iter().rev().find(|run| run.position < position).map(|run| run.id_at(position))
    }

    /// What names all up to a position, for whoever is to go on behind it. Where an epoch has just begun, it is the id ahead of
    /// the first one of this epoch: a server that knows it knows what follows.
    pub fn up_to(&self, position: Position) -> Option<PublicationId> {
        self.runs.iter().rev().find(|run| run.position <= position).map(|run| run.id_at(position))
    }

    /// Where an id is, while this is the newest position.
    pub fn place(&self, id: PublicationId, newest: Position) -> Place {
        let Some(found) = self.runs.iter().rposition(|run| run.id.epoch() == id.epoch()) else {
            return if id.epoch() > self.epoch() { Place::Ahead } else { Place::Lost };
        };
        let run = &self.runs[found];
        let Some(distance) = id.position().checked_sub(run.id.position()) else { return Place::Lost };
        let next = self.runs.get(found + 1).map(|next| next.position);
        match run.position.checked_add(distance).filter(|position| *position <= next.unwrap_or(newest)) {
            Some(position) => Place::At(position),
            None if next.is_none() => Place::Ahead,
            None => Place::Lost,
        }
    }

    /// Another epoch begins behind an id of an earlier one, while this is the newest position. Gives back the position of that id:
    /// what follows it here is lost. If it is not known here, or no later epoch begins, nothing is changed.
    pub fn begin(&mut self, epoch: u32, after: PublicationId, newest: Position) -> Option<Position> {
        let Place::At(position) = self.place(after, newest) else { return None };
        if epoch <= self.epoch() {
            return None;
        }
        self.runs.retain(|run| run.position <= position);
        if self.runs.len() == MOST_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(Run { id: PublicationId::new(epoch, 0), position });
        Some(position)
    }

    fn newest_run(&self) -> &Run {
        self.runs.last().expect("there is never none")
    }
}

impl Run {
    /// The id of a position that is not ahead of it.
    fn id_at(&self, position: Position) -> PublicationId {
        PublicationId::new(self.id.epoch(), self.id.position() + (position - self.position))
    }
}

/// Reads what another process has written.
impl TryFrom<Vec<Run>> for Epochs {
    type Error = NoEpochs;

    fn try_from(runs: Vec<Run>) -> Result<Self, NoEpochs> {
        let is_possible = |run: &Run| run.id.position().max(run.position) <= MAX_POSITION;
        let follow =
            |(one, next): (&Run, &Run)| one.id.epoch() < next.id.epoch() && one.position <= next.position;
        let are_epochs = (1..=MOST_RUNS).contains(&runs.len())
            && runs.iter().all(is_possible)
            && runs.iter().zip(runs.iter().skip(1)).all(follow);
        are_epochs.then_some(Self { runs }).ok_or(NoEpochs)
    }
}

impl From<Epochs> for Vec<Run> {
    fn from(epochs: Epochs) -> Self {
        epochs.runs
    }
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;

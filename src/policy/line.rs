//! The publications in the one order, as far as they are known, with the ids of their positions. Reads no clock and knows no
//! subscriber.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::policy::epochs::{Epochs, Place};
use crate::policy::history::{History, HistoryLimits};
use crate::policy::sequencer::{MAX_POSITION, Position, PublicationId};

/// What is kept of it.
#[derive(Debug)]
pub struct Line {
    epochs: Epochs,
    history: History,
}

/// How a line goes on where that is not with the next publication, as whoever keeps the order says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Continuation {
    /// With another epoch, behind an earlier publication. What followed that is lost, if anything did.
    Epoch {
        /// Of all ids from here.
        epoch: u32,
        /// Of an earlier epoch.
        after: PublicationId,
        /// Something that followed this is lost, whether it was heard here or not.
        #[serde(default)]
        is_lossy: bool,
    },
    /// With what follows this id. Nothing of what was heard so far is known to precede that.
    Restart(PublicationId),
    /// As it does in another process: with what follows this position there, and has these ids.
    Begin {
        /// The ids.
        epochs: Epochs,
        /// The position.
        newest: Position,
    },
}

impl Continuation {
    /// Whether there can be such positions: another process may say anything.
    pub fn is_possible(&self) -> bool {
        match self {
            Self::Epoch { .. } => true,
            Self::Restart(id) => id.position() <= MAX_POSITION,
            Self::Begin { epochs, newest } => (epochs.known_after()..=MAX_POSITION).contains(newest),
        }
    }
}

/// What that means for those who have heard what there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing: it goes on behind the newest publication.
    Kept,
    /// It goes on behind this position: what followed that is lost, and so may be what nobody here has heard.
    Rewound(Position),
    /// It begins anew at this position: anything may have been missed.
    Restarted(Position),
    /// It begins at this position. Nothing was published before.
    Begun(Position),
}

impl Continuity {
    /// Whether whoever listens may have missed something.
    pub fn is_gap(self) -> bool {
        matches!(self, Self::Rewound(_) | Self::Restarted(_))
    }
}

impl Line {
    /// The publications of a history, which have these ids.
    pub fn new(epochs: Epochs, history: History) -> Self {
        Self { epochs, history }
    }

    /// One that begins in this epoch.
    pub fn empty(epoch: u32, limits: HistoryLimits) -> Self {
        Self::new(Epochs::of(epoch), History::new(limits, 0))
    }

    /// The ids.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The publications.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The same, to be carried on.
    pub fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// The position of the newest publication.
    pub fn newest(&self) -> Position {
        *self.history.positions().end()
    }

    /// What names all so far.
    pub fn newest_id(&self) -> PublicationId {
        self.epochs.up_to(self.newest()).expect("the newest position is of the newest epoch")
    }

    /// Where an id is.
    pub fn place(&self, id: PublicationId) -> Place {
        self.epochs.place(id, self.newest())
    }

    /// The position behind which whoever has heard this last can be brought all that it missed; `None` when that would
    /// leave a hole.
    pub fn resume(&mut self, last: PublicationId, now: Instant) -> Option<Position> {
        self.history.expire(now);
        match self.place(last) {
            Place::At(position) => Some(position).filter(|position| self.history.can_bring(*position)),
            Place::Ahead | Place::Lost => None,
        }
    }

    /// Goes on as whoever keeps the order says.
    pub fn go_on(&mut self, continuation: Continuation) -> Continuity {
        match continuation {
            Continuation::Epoch { epoch, after, is_lossy } => {
                match self.epochs.begin(epoch, after, self.newest()) {
                    Some(position) if position == self.newest() && !is_lossy => Continuity::Kept,
                    Some(position) => {
                        self.history.rewind(position);
                        Continuity::Rewound(position)
                    }
                    None => self.go_on(Continuation::Restart(PublicationId::new(epoch, 0))),
                }
            }
            Continuation::Restart(id) => self.begin(Epochs::new(id, self.newest()), self.newest()),
            Continuation::Begin { epochs, newest } => self.begin(epochs, newest),
        }
    }

    fn begin(&mut self, epochs: Epochs, newest: Position) -> Continuity {
        let is_first = self.newest() == 0;
        self.epochs = epochs;
        self.history.restart(newest);
        if is_first { Continuity::Begun(newest) } else { Continuity::Restarted(newest) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::Message;
    use crate::policy::history::Publication;
    use crate::policy::topic::TopicName;

    const LIMITS: HistoryLimits =
        HistoryLimits { publications: 100, bytes: 1 << 20, age: Duration::from_secs(60) };

    fn id(epoch: u32, position: Position) -> PublicationId {
        PublicationId::new(epoch, position)
    }

    fn epoch(epoch: u32, after: PublicationId) -> Continuation {
        Continuation::Epoch { epoch, after, is_lossy: false }
    }

    /// With so many more publications.
    fn publish(mut line: Line, count: usize) -> Line {
        for _ in 0..count {
            let (topic, message) = (TopicName::parse("a").unwrap(), Message::new(b"x", 1));
            line.history_mut().push(Publication { topic, message, at: Instant::now() });
        }
        line
    }

    #[test]
    fn whoever_has_heard_what_an_epoch_follows_resumes_in_it_and_whoever_has_heard_more_does_not() {
        let mut line = publish(Line::empty(1, LIMITS), 5);
        assert_eq!(line.go_on(epoch(2, id(1, 3))), Continuity::Rewound(3));
        let mut line = publish(line, 1);
        assert_eq!((line.newest(), line.newest_id()), (4, id(2, 1)));
        let resumes = [id(1, 2), id(1, 3), id(1, 4), id(2, 0), id(2, 1), id(2, 2)]
            .map(|last| line.resume(last, Instant::now()));
        assert_eq!(resumes, [Some(2), Some(3), None, Some(3), Some(4), None]);
    }

    #[test]
    fn where_something_is_lost_that_nobody_here_has_heard_all_may_have_missed_it_and_resume_as_before() {
        let mut line = publish(Line::empty(1, LIMITS), 3);
        let lossy = Continuation::Epoch { epoch: 2, after: id(1, 3), is_lossy: true };
        assert_eq!(line.go_on(lossy), Continuity::Rewound(3));
        let resumes = [id(1, 2), id(1, 3), id(2, 0), id(1, 4)].map(|last| line.resume(last, Instant::now()));
        assert_eq!(resumes, [Some(2), Some(3), Some(3), None]);
    }

    #[test]
    fn where_nothing_was_published_yet_nothing_can_have_been_missed() {
        let mut line = Line::empty(1, LIMITS);
        let continuity = line.go_on(Continuation::Restart(id(9, 7)));
        assert_eq!((continuity, line.newest_id()), (Continuity::Begun(0), id(9, 7)));
        let mut line = publish(line, 1);
        assert_eq!((line.resume(id(9, 7), Instant::now()), line.newest_id()), (Some(0), id(9, 8)));
    }

    #[test]
    fn an_epoch_that_follows_the_newest_publication_costs_nothing_and_any_other_begins_the_line_anew() {
        let mut line = publish(Line::empty(1, LIMITS), 5);
        assert_eq!((line.go_on(epoch(2, id(1, 5))), line.newest_id()), (Continuity::Kept, id(2, 0)));
        assert_eq!(line.go_on(epoch(3, id(2, 1))), Continuity::Restarted(5));
        let mut line = publish(line, 1);
        assert_eq!(
            (line.newest(), line.newest_id(), line.resume(id(2, 0), Instant::now())),
            (6, id(3, 1), None)
        );
        assert_eq!(line.resume(id(3, 0), Instant::now()), Some(5));
    }
}

//! How far a machine has read the stream of its engine, and what the next entry is to it: the next publication, the beginning
//! of another epoch, or a hole. Knows no history: what an epoch's cut means here is for `policy::epochs`.

use thiserror::Error;

use crate::policy::line::Continuation;
use crate::policy::sequencer::PublicationId;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A publication: its position is 1 or more.
    Publication,
    /// An epoch begins: its position is 0.
    Begin {
        /// The last id that precedes it; `None` if nothing that was published before does.
        after: Option<PublicationId>,
        /// Something is lost that followed this: a machine had heard it, or was told that it is published.
        is_lossy: bool,
    },
    /// Nobody knows what: something was to be heard here, and is not.
    Alien,
}

/// What an entry is to a machine that has heard what was before.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was heard already, and is there still.
    Known,
    /// The next one.
    Next,
    /// The line goes on in another way, and with this entry if it is a publication.
    Changed(Continuation),
}

/// An entry that cannot come here: the engine gave an older one behind a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it gives {id} behind {newest}")]
pub struct Disorder {
    id: PublicationId,
    newest: PublicationId,
}

/// How far the stream was read.
#[derive(Debug, Default)]
pub struct Cursor {
    newest: Option<PublicationId>,
    /// What was heard last is to come again first, or else something is missing.
    expects_own: bool,
}

impl Cursor {
    /// Goes on behind this id, which a predecessor has heard.
    pub fn behind(newest: PublicationId) -> Self {
        Self { newest: Some(newest), expects_own: false }
    }

    /// The newest id that was heard; `None` before the first.
    pub fn newest(&self) -> Option<PublicationId> {
        self.newest
    }

    /// The stream is read again from what was heard last, that included.
    pub fn reopen(&mut self) {
        self.expects_own = self.newest.is_some();
    }

    /// All that was there has been read. Where nothing was ever heard, the first to be heard follows this id.
    pub fn on_end(&mut self, newest: PublicationId) -> Option<Continuation> {
        self.expects_own = false;
        if self.newest.is_some() {
            return None;
        }
        self.newest = Some(newest);
        Some(Continuation::Restart(newest))
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// `Disorder` when it is not newer than what was heard.
    pub fn take(&mut self, id: PublicationId, kind: Kind) -> Result<Taken, Disorder> {
        let is_first = std::mem::take(&mut self.expects_own);
        let follows = match self.newest {
            Some(newest) if is_first && id == newest => return Ok(Taken::Known),
            Some(newest) if id <= newest => return Err(Disorder { id, newest }),
            Some(newest) => !is_first && id == PublicationId::new(newest.epoch(), newest.position() + 1),
            None => false,
        };
        let is_known = self.newest.replace(id).is_some();
        Ok(match kind {
            Kind::Publication if follows => Taken::Next,
            Kind::Begin { after: Some(after), is_lossy } if is_known => {
                Taken::Changed(Continuation::Epoch { epoch: id.epoch(), after, is_lossy })
            }
            Kind::Alien => Taken::Changed(Continuation::Restart(id)),
            Kind::Publication | Kind::Begin { .. } => {
                let before = PublicationId::new(id.epoch(), id.position().saturating_sub(1));
                Taken::Changed(Continuation::Restart(before))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sequencer::Position;

    fn id(epoch: u32, position: Position) -> PublicationId {
        PublicationId::new(epoch, position)
    }

    fn publication(cursor: &mut Cursor, epoch: u32, position: Position) -> Result<Taken, Disorder> {
        cursor.take(id(epoch, position), Kind::Publication)
    }

    fn begin(after: Option<PublicationId>) -> Kind {
        Kind::Begin { after, is_lossy: false }
    }

    fn restart(epoch: u32, newest: Position) -> Result<Taken, Disorder> {
        Ok(Taken::Changed(Continuation::Restart(id(epoch, newest))))
    }

    #[test]
    fn the_first_entry_is_begun_at_and_the_following_ones_are_next() {
        let mut cursor = Cursor::default();
        assert_eq!(publication(&mut cursor, 7, 41), restart(7, 40));
        assert_eq!(publication(&mut cursor, 7, 42), Ok(Taken::Next));
        let mut cursor = Cursor::default();
        assert_eq!(cursor.take(id(7, 0), begin(Some(id(6, 9)))), restart(7, 0));
        assert_eq!(publication(&mut cursor, 7, 1), Ok(Taken::Next));
    }

    #[test]
    fn where_nothing_is_the_first_follows_what_the_engine_has_given_last() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.on_end(id(7, 3)), Some(Continuation::Restart(id(7, 3))));
        assert_eq!(publication(&mut cursor, 7, 4), Ok(Taken::Next));
        assert_eq!(cursor.on_end(id(7, 9)), None);
    }

    #[test]
    fn a_hole_is_noticed_within_an_epoch_and_where_its_beginning_is_gone() {
        let mut cursor = Cursor::behind(id(7, 3));
        assert_eq!(publication(&mut cursor, 7, 5), restart(7, 4));
        assert_eq!(publication(&mut cursor, 8, 1), restart(8, 0));
        assert_eq!(publication(&mut cursor, 8, 2), Ok(Taken::Next));
    }

    #[test]
    fn another_epoch_names_what_it_follows_if_it_follows_anything() {
        let mut cursor = Cursor::behind(id(7, 3));
        let change = Continuation::Epoch { epoch: 9, after: id(7, 2), is_lossy: false };
        assert_eq!(cursor.take(id(9, 0), begin(Some(id(7, 2)))), Ok(Taken::Changed(change)));
        assert_eq!(publication(&mut cursor, 9, 1), Ok(Taken::Next));
        assert_eq!(cursor.take(id(10, 0), begin(None)), restart(10, 0));
    }

    #[test]
    fn after_an_interruption_what_was_heard_last_must_come_first() {
        for (first, expected) in [(id(7, 3), Ok(Taken::Known)), (id(7, 4), restart(7, 3))] {
            let mut cursor = Cursor::behind(id(7, 3));
            cursor.reopen();
            assert_eq!(cursor.take(first, Kind::Publication), expected);
            assert_eq!(publication(&mut cursor, 7, first.position() + 1), Ok(Taken::Next));
        }
        let mut cursor = Cursor::behind(id(7, 3));
        cursor.reopen();
        assert_eq!(cursor.on_end(id(7, 3)), None);
        assert_eq!(publication(&mut cursor, 7, 4), Ok(Taken::Next));
    }

    #[test]
    fn what_nobody_can_read_is_a_hole() {
        let mut cursor = Cursor::behind(id(7, 3));
        assert_eq!(cursor.take(id(7, 4), Kind::Alien), restart(7, 4));
        assert_eq!(publication(&mut cursor, 7, 5), Ok(Taken::Next));
    }

    #[test]
    fn an_older_entry_behind_a_newer_one_is_refused() {
        let mut cursor = Cursor::behind(id(7, 3));
        assert!(publication(&mut cursor, 7, 3).is_err() && publication(&mut cursor, 6, 9).is_err());
        assert_eq!(publication(&mut cursor, 7, 4), Ok(Taken::Next));
    }
}

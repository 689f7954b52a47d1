//! What is published, for those who are here and for those who were away: the hub and the line, which advance together.
//! Reads no clock and sees no socket.

use std::time::Instant;

use crate::message::Message;
use crate::policy::epochs::Place;
use crate::policy::history::{History, Publication};
use crate::policy::hub::{Hub, SubscriberKey, TooMany};
use crate::policy::line::{Continuation, Continuity, Line};
use crate::policy::replay::{Forgotten, Replay};
use crate::policy::sequencer::{Position, PublicationId};
use crate::policy::topic::Filter;

/// One order of publications, as far as it is known here.
#[derive(Debug)]
pub struct Feed {
    line: Line,
    hub: Hub,
    /// How many are still being brought what they missed: until then history keeps it beyond its number.
    replays: usize,
}

impl Feed {
    /// Goes on behind the newest of these. Nobody listens yet.
    pub fn new(line: Line) -> Self {
        Self { hub: Hub::new(line.newest()), line, replays: 0 }
    }

    /// What was published lately, and its ids.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// What names all so far.
    pub fn newest(&self) -> PublicationId {
        self.line.newest_id()
    }

    /// What names all up to a position that somebody has heard.
    pub fn id_up_to(&self, position: Position) -> Option<PublicationId> {
        self.line.epochs().up_to(position)
    }

    /// What was published lately.
    pub fn history(&self) -> &History {
        self.line.history()
    }

    /// Goes on as whoever keeps the order says. Replays that are under way have to be told.
    pub fn go_on(&mut self, continuation: Continuation) -> Continuity {
        let continuity = self.line.go_on(continuation);
        match continuity {
            Continuity::Kept => {}
            Continuity::Rewound(position) => self.hub.rewind(position),
            Continuity::Restarted(position) | Continuity::Begun(position) => self.hub.restart(position),
        }
        continuity
    }

    /// Takes the next publication in the one order: for those who are here, and for those who come back.
    pub fn publish(&mut self, publication: Publication) {
        self.hub.publish(&publication.topic, &publication.message);
        self.line.history_mut().push_beyond(publication);
    }

    /// Adds a filter for what follows; also to the replay of one that is being brought what it missed.
    ///
    /// # Errors
    /// `TooMany` when there is no room for it.
    pub fn subscribe(
        &mut self,
        key: usize,
        filter: &Filter,
        replay: Option<&mut Replay>,
    ) -> Result<(), TooMany> {
        let is_new = self.hub.subscribe(number(key), filter)?;
        if let Some(replay) = replay.filter(|_| is_new) {
            replay.subscribe(filter.clone(), self.hub.newest());
        }
        Ok(())
    }

    /// Takes a filter away.
    pub fn unsubscribe(&mut self, key: usize, filter: &Filter) {
        self.hub.unsubscribe(number(key), filter);
    }

    /// The filters of a subscriber.
    pub fn filters(&self, key: usize) -> impl Iterator<Item = &Filter> {
        self.hub.filters(number(key))
    }

    /// What is listened to, and by how many.
    pub fn audiences(&self) -> impl ExactSizeIterator<Item = (&Filter, usize)> {
        self.hub.audiences()
    }

    /// A subscriber has gone.
    pub fn forget(&mut self, key: usize) {
        self.hub.forget(number(key));
    }

    /// The next subscriber to visit with what is pending for it. Call until `None`; then all have heard all.
    pub fn next_subscriber(&mut self) -> Option<usize> {
        self.hub.next_subscriber().map(|key| key as usize)
    }

    /// What a subscriber has not heard yet, oldest first; from here on it counts as having heard it.
    pub fn pending_for(&mut self, key: usize) -> Vec<(Position, Message)> {
        self.hub.pending_for(number(key))
    }

    /// What names all that a subscriber has been handed, if nothing is pending for it: be it by `pending_for`, or by the replay
    /// that it is being brought. On a quiet topic that is newer than the last that it has heard.
    pub fn heard_by(&self, key: usize, replay: Option<&Replay>) -> Option<PublicationId> {
        let has_all = match replay {
            Some(replay) => self.is_complete(replay),
            None => !self.hub.has_pending_for(number(key)),
        };
        has_all.then(|| self.newest())
    }

    /// Whether somebody may still have to be visited.
    pub fn is_pending(&self) -> bool {
        self.hub.has_pending()
    }

    /// Bytes of memory that are pending for some subscriber.
    pub fn pending_bytes(&self) -> usize {
        self.hub.pending_bytes()
    }

    /// The position behind which whoever has heard this last can be brought all that it missed; `None` when that would
    /// leave a hole.
    pub fn resume(&mut self, last: PublicationId, now: Instant) -> Option<Position> {
        self.line.resume(last, now)
    }

    /// Whether this id may have been heard elsewhere and be still on its way here.
    pub fn is_ahead(&self, id: PublicationId) -> bool {
        self.line.place(id) == Place::Ahead
    }

    /// Begins to bring a subscriber all behind a position, unless it has heard all or something of that is forgotten.
    pub fn replay(&mut self, key: usize, after: Position) -> Option<Replay> {
        if after >= self.hub.newest() || !self.history().reaches(after) {
            return None;
        }
        self.replays += 1;
        let filters = self.hub.filters(number(key)).map(|filter| (filter.clone(), after)).collect();
        Some(Replay::new(after, filters, self.line.history_mut()))
    }

    /// Goes on with a replay that was begun elsewhere; `None` when something of it is forgotten here.
    pub fn replay_on(&mut self, reached: Position, filters: Vec<(Filter, Position)>) -> Option<Replay> {
        let can = self.history().reaches(reached);
        self.replays += usize::from(can);
        can.then(|| Replay::new(reached, filters, self.line.history_mut()))
    }

    /// The next piece of a replay, about so many bytes of JSON.
    ///
    /// # Errors
    /// `Forgotten` when there is a gap.
    pub fn next_piece(&mut self, replay: &mut Replay, bytes: usize) -> Result<Vec<Message>, Forgotten> {
        replay.next_piece(self.line.history_mut(), bytes)
    }

    /// Whether a replay has brought all there is so far.
    pub fn is_complete(&self, replay: &Replay) -> bool {
        replay.reached() == self.hub.newest()
    }

    /// A replay is complete: its subscriber hears what follows as all others do.
    pub fn join(&mut self, key: usize, _replay: Replay) {
        self.replays -= 1;
        self.hub.set_heard(number(key), self.hub.newest());
    }

    /// A replay has ended before it was complete.
    pub fn abandon(&mut self, _replay: Replay) {
        self.replays -= 1;
    }

    /// Forgets what has become too old; whether there was anything.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.line.history_mut().expire(now)
    }

    /// When the oldest becomes too old.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.history().next_expiry()
    }

    /// Forgets what there are too many of, unless somebody is still being brought them.
    pub fn forget_surplus(&mut self) {
        if self.replays == 0 && !self.hub.has_pending() {
            self.line.history_mut().forget_surplus();
        }
    }

    /// Nobody is coming back at the moment: drops what makes that cheap. It is made again for the next one.
    pub fn rest(&mut self) {
        self.line.history_mut().drop_index();
    }

    /// Gives back the memory that a departed crowd needed.
    pub fn shrink(&mut self) {
        self.hub.shrink();
        self.line.history_mut().shrink();
    }
}

/// The hub's name for a subscriber.
fn number(key: usize) -> SubscriberKey {
    SubscriberKey::try_from(key).expect("a process has fewer descriptors than this")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::history::HistoryLimits;
    use crate::policy::topic::TopicName;

    /// Is to keep two publications; its only subscriber has not been visited yet with so many.
    fn feed(publications: usize) -> Feed {
        let limits = HistoryLimits { publications: 2, bytes: 1_000_000, age: Duration::MAX };
        let mut feed = Feed::new(Line::empty(7, limits));
        feed.subscribe(0, &Filter::parse("a").unwrap(), None).unwrap();
        for _ in 0..publications {
            let (topic, message) = (TopicName::parse("a").unwrap(), Message::new(b"x", 1));
            feed.publish(Publication { topic, message, at: Instant::now() });
        }
        feed
    }

    /// How many are kept, if it may forget the rest.
    fn kept(feed: &mut Feed) -> usize {
        feed.forget_surplus();
        feed.history().positions().count()
    }

    #[test]
    fn more_is_kept_while_somebody_has_still_to_be_visited_or_brought_it_and_no_longer() {
        let mut feed = feed(5);
        assert_eq!(kept(&mut feed), 5);
        let replays = [0, 3].map(|after| feed.replay(0, after).unwrap());
        while let Some(key) = feed.next_subscriber() {
            feed.pending_for(key);
        }
        let [one, other] = replays;
        feed.abandon(one);
        assert_eq!(kept(&mut feed), 5);
        feed.join(0, other);
        assert_eq!(kept(&mut feed), 2);
    }
}

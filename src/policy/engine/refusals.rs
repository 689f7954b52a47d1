//! What an engine refuses that is there all the same, since its memory or its disk is full, say: since when that is news, and when it
//! is over. Reads no clock and logs nothing.
//!
//! A beat is what shows that it is over, as one follows the other whatever else happens: so it is over at most once in a while, and
//! never while publications are still refused.

use std::time::Instant;

use crate::policy::mentions::{Mention, Mentions};

/// Errors that are about all that is written, whatever it is: the disk cannot be written, the memory is full, replicas are missing.
const ALL_WRITES: [&str; 3] = ["MISCONF", "OOM", "NOREPLICAS"];

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// What somebody has published.
    Publication,
    /// To note that this machine is there.
    Beat,
    /// The periodic notification.
    Notification,
}

/// What is refused in this generation.
#[derive(Debug, Default)]
pub struct Refusals {
    publication: Option<Refused>,
    /// For this reason.
    beat: Option<String>,
    mentions: Mentions,
}

/// A publication was, last for this reason.
#[derive(Debug)]
struct Refused {
    why: String,
    /// Since the last beat that was taken.
    is_recent: bool,
    /// Another was taken later.
    is_past: bool,
}

/// Whether an error is about all that is written.
pub fn is_of_all_writes(why: &str) -> bool {
    why.split_whitespace().next().is_some_and(|code| ALL_WRITES.contains(&code))
}

impl Refusals {
    /// Something was refused, for this reason. Whether that is news.
    pub fn on_refused(&mut self, write: Write, why: &str, now: Instant) -> bool {
        match write {
            Write::Publication => {
                let why = why.to_owned();
                self.publication = Some(Refused { why, is_recent: true, is_past: false });
            }
            Write::Beat => self.beat = Some(why.to_owned()),
            // It may be another machine's turn next time, and nobody else would be refused.
            Write::Notification => {}
        }
        let line = if is_of_all_writes(why) { why.to_owned() } else { format!("{write:?} {why}") };
        matches!(self.mentions.mention(line, now), Mention::New(_))
    }

    /// A publication was taken.
    pub fn on_published(&mut self) {
        self.publication.iter_mut().for_each(|refused| refused.is_past = true);
    }

    /// A beat was taken. Whether nothing is refused any longer that was until now.
    pub fn on_beat(&mut self) -> bool {
        let was_refused = self.why().is_some();
        self.beat = None;
        self.publication.take_if(|refused| {
            let was_recent = std::mem::replace(&mut refused.is_recent, false);
            !was_recent && (refused.is_past || is_of_all_writes(&refused.why))
        });
        let is_over = was_refused && self.why().is_none();
        if is_over {
            self.mentions = Mentions::default();
        }
        is_over
    }

    /// Why publications are refused, or would be, if so.
    pub fn why(&self) -> Option<&str> {
        let publication = self.publication.as_ref().map(|refused| refused.why.as_str());
        // What only beats are refused for keeps nobody from publishing.
        publication.or(self.beat.as_deref().filter(|why| is_of_all_writes(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    const DENIED: &str = "NOPERM this user may not";

    #[test]
    fn what_is_about_all_writes_is_news_once_and_over_with_a_beat() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let mut refused = |write| refusals.on_refused(write, FULL, now);
        assert_eq!(
            [Write::Beat, Write::Notification, Write::Publication].map(&mut refused),
            [true, false, false]
        );
        assert_eq!(refusals.why(), Some(FULL));
        assert_eq!((refusals.on_beat(), refusals.on_beat(), refusals.why()), (false, true, None));
        assert!(!refusals.on_beat() && refusals.on_refused(Write::Publication, FULL, now));
    }

    #[test]
    fn where_publications_are_taken_and_refused_by_turns_it_is_not_over() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let mut news = 0;
        for _ in 0..100 {
            news += usize::from(refusals.on_refused(Write::Publication, FULL, now));
            refusals.on_published();
            assert!(!refusals.on_beat() && refusals.why().is_some());
        }
        assert_eq!((news, refusals.on_beat()), (1, true));
    }

    #[test]
    fn publications_that_a_user_may_not_make_are_refused_until_one_is_taken_whatever_becomes_of_beats() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.on_refused(Write::Publication, DENIED, now);
        assert!((0..5).all(|_| !refusals.on_beat()) && refusals.why() == Some(DENIED));
        refusals.on_published();
        assert!(refusals.on_beat() && refusals.why().is_none());
    }

    #[test]
    fn a_beat_that_is_refused_is_one_and_the_notification_alone_is_only_news() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert!(refusals.on_refused(Write::Notification, DENIED, now) && refusals.why().is_none());
        assert!(!refusals.on_beat());
        assert!(refusals.on_refused(Write::Beat, DENIED, now) && refusals.why().is_none());
        assert!(refusals.on_refused(Write::Beat, FULL, now) && refusals.why() == Some(FULL));
        assert!(!refusals.on_refused(Write::Beat, FULL, now) && refusals.on_beat());
    }
}

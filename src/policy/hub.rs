//! Decides who hears what next. It hands publications on in *passes*: one pass goes over all listeners once, in
//! slices, so that a fan-out to very many never keeps a handshake waiting. Never sees a socket.
//!
//! Each listener carries one number, the position up to which it has heard. A visit hands it everything beyond,
//! so that "once and in order" is one comparison, and what is published during a pass leaves in the same write.

use std::collections::VecDeque;
use std::ops::Range;

use crate::frame::Frame;
use crate::policy::sequencer::Position;

/// Publications that some listener may not have heard yet, and the pass that brings them.
#[derive(Debug, Default)]
pub struct Hub {
    /// Frames at the positions `newest - news.len() + 1 ..= newest`.
    news: VecDeque<Frame>,
    newest: Position,
    pass: Option<Pass>,
}

/// One walk over the listeners' keys.
#[derive(Debug)]
struct Pass {
    next_key: usize,
    /// What every listener will have heard when this pass ends.
    upto: Position,
}

impl Hub {
    /// The position up to which a listener who joins now counts as having heard.
    pub fn newest(&self) -> Position {
        self.newest
    }

    /// Takes a publication, to be heard by all who listen now.
    pub fn publish(&mut self, frame: Frame) {
        self.news.push_back(frame);
        self.newest += 1;
        self.pass.get_or_insert(Pass { next_key: 0, upto: self.newest });
    }

    /// Whether some listener may still have to be visited.
    pub fn has_news(&self) -> bool {
        self.pass.is_some()
    }

    /// The next listeners to visit, at most `budget` of the keys `0..keys`; `None` once all have heard all.
    /// The caller hands each of them what `since` says and notes that it has heard up to `newest`.
    pub fn next_slice(&mut self, budget: usize, keys: usize) -> Option<Range<usize>> {
        let pass = self.pass.as_mut()?;
        if pass.next_key < keys {
            let slice = pass.next_key..keys.min(pass.next_key + budget);
            pass.next_key = slice.end;
            return Some(slice);
        }
        let upto = pass.upto;
        self.finish_pass(upto);
        // What was published meanwhile has reached those visited late, not those visited early: once more.
        self.pass = (upto < self.newest).then_some(Pass { next_key: 0, upto: self.newest });
        if self.has_news() { self.next_slice(budget, keys) } else { None }
    }

    /// The frames that a listener has not heard yet, oldest first.
    pub fn since(&self, heard: Position) -> impl Iterator<Item = &Frame> {
        let missed = usize::try_from(self.newest - heard).expect("news fit in memory");
        debug_assert!(missed <= self.news.len(), "a pass ended before this listener was visited");
        self.news.range(self.news.len().saturating_sub(missed)..)
    }

    fn finish_pass(&mut self, upto: Position) {
        let later = usize::try_from(self.newest - upto).expect("news fit in memory");
        self.news.drain(..self.news.len() - later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Listeners by key, each with the position it has heard and the payloads that reached it.
    struct Listeners(Vec<(Position, Vec<String>)>);

    impl Listeners {
        fn visit_slice(&mut self, hub: &mut Hub, budget: usize) -> bool {
            let Some(slice) = hub.next_slice(budget, self.0.len()) else { return false };
            for (heard, texts) in &mut self.0[slice] {
                texts.extend(
                    hub.since(*heard)
                        .map(|f| String::from_utf8(f.clone().into_bytes()[2..].to_vec()).unwrap()),
                );
                *heard = hub.newest();
            }
            true
        }
    }

    #[test]
    fn every_listener_hears_every_publication_once_in_order_however_they_interleave() {
        let mut hub = Hub::default();
        let mut listeners = Listeners(vec![(0, vec![]); 7]);
        let mut published = 0;
        for _ in 0..5 {
            for _ in 0..3 {
                published += 1;
                hub.publish(Frame::text(published.to_string()));
                listeners.visit_slice(&mut hub, 2);
            }
            while listeners.visit_slice(&mut hub, 2) {}
        }
        let all: Vec<String> = (1..=published).map(|n: u32| n.to_string()).collect();
        assert!(listeners.0.iter().all(|(_, texts)| *texts == all), "{:?}", listeners.0);
    }

    #[test]
    fn who_joins_late_hears_only_what_follows() {
        let mut hub = Hub::default();
        hub.publish(Frame::text("before"));
        let mut listeners = Listeners(vec![(hub.newest(), vec![])]);
        hub.publish(Frame::text("after"));
        while listeners.visit_slice(&mut hub, 1) {}
        assert_eq!(listeners.0[0].1, ["after"]);
    }

    #[test]
    fn what_all_have_heard_is_forgotten() {
        let mut hub = Hub::default();
        hub.publish(Frame::text("x"));
        assert!(hub.has_news());
        assert_eq!(hub.next_slice(10, 0), None);
        assert!(!hub.has_news());
        assert_eq!((hub.news.len(), hub.newest()), (0, 1));
    }
}

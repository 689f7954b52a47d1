//! How many entries of the stream are asked for at once. An engine parts with whoever is owed too much (client-output-buffer-limit),
//! and says not why: so less is asked for after each end, and for a while not more than it has borne.

use std::time::{Duration, Instant};

/// The least: what was heard last comes again at the head of a page, and something else is to come, too.
const LEAST: usize = 2;

/// How long nothing is asked for that was too much.
const CAUTION: Duration = Duration::from_secs(60);

/// The size of the next page, in entries.
#[derive(Debug)]
pub struct PageSize {
    most: usize,
    /// Up to here it grows with each page.
    ceiling: usize,
    next: usize,
    /// When the ceiling was set or raised.
    since: Option<Instant>,
}

impl PageSize {
    /// So many at most.
    pub fn new(most: usize) -> Self {
        let most = most.max(LEAST);
        Self { most, ceiling: most, next: most, since: None }
    }

    /// How many entries the next page may have.
    pub fn next(&self) -> usize {
        self.next
    }

    /// One has come.
    pub fn on_page(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now >= since + CAUTION) {
            self.ceiling = (self.ceiling * 2).min(self.most);
            self.since = Some(now);
        }
        self.next = (self.next * 2).min(self.ceiling);
    }

    /// The connection has come to its end while one was waited for.
    pub fn on_end(&mut self, now: Instant) {
        self.ceiling = (self.next / 2).max(LEAST);
        self.next = (self.next / 8).max(LEAST);
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_after(size: &mut PageSize, pages: usize, now: Instant) -> usize {
        (0..pages).for_each(|_| size.on_page(now));
        size.next()
    }

    #[test]
    fn after_an_end_it_begins_small_and_grows_to_half_of_what_was_too_much() {
        let now = Instant::now();
        let mut size = PageSize::new(128);
        size.on_end(now);
        assert_eq!(size.next(), 16);
        assert_eq!(size_after(&mut size, 1, now), 32);
        assert_eq!(size_after(&mut size, 10, now), 64);
    }

    #[test]
    fn it_comes_to_rest_where_the_engine_bears_it() {
        let now = Instant::now();
        let mut size = PageSize::new(128);
        let mut ends = 0;
        for _ in 0..1000 {
            if size.next() > 3 {
                size.on_end(now);
                ends += 1;
            } else {
                size.on_page(now);
            }
        }
        assert_eq!((ends, size.next()), (3, LEAST));
    }

    #[test]
    fn more_is_tried_again_once_a_minute() {
        let begin = Instant::now();
        let mut size = PageSize::new(128);
        size.on_end(begin);
        assert_eq!(size_after(&mut size, 10, begin + CAUTION - Duration::from_millis(1)), 64);
        assert_eq!(size_after(&mut size, 10, begin + CAUTION), 128);
    }
}

//! When things happened, and how many of them at most within a time.

use jiff::Timestamp;

/// Moments in milliseconds since 1970.
#[derive(Debug, Default, Clone)]
pub struct Moments(Vec<i64>);

impl Moments {
    pub fn note(&mut self, at_unix_ms: i64) {
        self.0.push(at_unix_ms);
    }

    pub fn extend(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn first(&self) -> i64 {
        self.0.iter().copied().min().expect("something has happened")
    }

    pub fn last(&self) -> i64 {
        self.0.iter().copied().max().expect("something has happened")
    }

    /// The most of them within any so many milliseconds.
    pub fn most_within(&self, window_ms: i64) -> usize {
        let mut moments = self.0.clone();
        moments.sort_unstable();
        let within = |(first, at): (usize, &i64)| moments[first..].partition_point(|m| *m < at + window_ms);
        moments.iter().enumerate().map(within).max().unwrap_or_default()
    }

    /// Fails the test if there are ever more than 1.5 times as many as there would be if these were spread evenly.
    pub fn assert_even(&self, what: &str, window_ms: i64, clients: usize, spread_ms: i64) {
        let even = clients as f64 * window_ms as f64 / spread_ms as f64;
        let most = self.most_within(window_ms);
        println!("{what}: at most {most} within {window_ms} ms, {even} are even: {:.2}", most as f64 / even);
        assert!(most as f64 <= 1.5 * even, "{what}: {most} within {window_ms} ms, where {even} are even");
    }
}

pub fn now_unix_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// What a timestamp of the server says.
pub fn unix_ms(timestamp: &str) -> i64 {
    timestamp.parse::<Timestamp>().expect("RFC 3339").as_millisecond()
}

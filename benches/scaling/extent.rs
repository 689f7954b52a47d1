//! How much is measured: sizes, rounds and times.

use std::time::Duration;

/// Descriptors that a process needs beside those of its clients: visitors and probes that come and go, and its own.
const SPARE_DESCRIPTORS: u64 = 400;

/// What the figures to reach are about.
pub const MEMORY_CLIENTS: usize = 10_000;
pub const HANDSHAKE_CLIENTS: usize = 15_000;
pub const BATCH_CLIENTS: usize = 1_000;

/// With fewer clients the publisher's request weighs on each delivery: they have a line of their own.
pub const MANY_CLIENTS: usize = 1_000;

/// Publications of one turn, where they are measured against one write each.
pub const BATCH: u64 = 100;

/// How much.
#[derive(Debug, Clone)]
pub struct Extent {
    pub sizes: Vec<usize>,
    /// Sizes that the limit on descriptors does not allow.
    pub left_out: Vec<usize>,
    pub descriptors: u64,
    /// Rounds of each fan-out, server and floor in turn.
    pub rounds: usize,
    /// Deliveries of one round, or one publication if that makes more.
    pub deliveries: usize,
    /// Steps in which the clients connect, server and floor in turn.
    pub steps: usize,
    /// Connections that are made and closed.
    pub visits: usize,
    pub idle: Duration,
    /// With pings at their default period.
    pub pinged: Duration,
    pub is_quick: bool,
}

impl Extent {
    pub fn full() -> Self {
        Self {
            sizes: vec![100, 1_000, 5_000, 10_000, 15_000],
            left_out: Vec::new(),
            descriptors: 0,
            rounds: 5,
            deliveries: 15_000,
            steps: 10,
            visits: 2_000,
            idle: Duration::from_secs(2),
            pinged: Duration::from_secs(5),
            is_quick: false,
        }
    }

    pub fn quick() -> Self {
        Self {
            sizes: vec![100, 1_000],
            rounds: 3,
            deliveries: 5_000,
            steps: 4,
            visits: 500,
            idle: Duration::from_millis(500),
            pinged: Duration::from_secs(1),
            is_quick: true,
            ..Self::full()
        }
    }

    /// As much of it as the limit on descriptors allows, which is raised as far as it can be.
    pub fn within_limits(mut self) -> Self {
        let wanted = self.sizes.last().map_or(0, |most| *most as u64) + SPARE_DESCRIPTORS;
        self.descriptors = rlimit::increase_nofile_limit(wanted).expect("the limit can be asked for");
        let needed = BATCH_CLIENTS as u64 + SPARE_DESCRIPTORS;
        assert!(
            self.descriptors >= needed,
            "{needed} open files are needed, and the limit is {}: ulimit -n {needed}",
            self.descriptors
        );
        (self.sizes, self.left_out) = self.sizes.iter().partition(|clients| self.allows(**clients));
        self
    }

    /// To hear the same in each encoding. A single client shows what does not depend on their number.
    pub fn for_encodings(self) -> Self {
        if self.is_quick {
            return Self { sizes: vec![1, 100, 1_000], rounds: 3, ..self };
        }
        Self { sizes: vec![1, 100, 1_000, 10_000], rounds: 9, ..self }
    }

    /// To compare builds, of which differences of a few percent are to be seen.
    pub fn for_builds(self) -> Self {
        if self.is_quick {
            return Self { sizes: vec![1_000], ..self };
        }
        Self { sizes: vec![1_000, 10_000], rounds: 15, steps: 20, ..self }
    }

    /// To compare TLS with none, and proxies with both.
    pub fn for_tls(self) -> Self {
        if self.is_quick {
            return Self { sizes: vec![1_000], ..self };
        }
        Self { sizes: vec![1_000, 10_000, 15_000], ..self }
    }

    /// With several workers the same is measured less often.
    pub fn for_workers(&self) -> Self {
        Self { rounds: 3, steps: 4, idle: self.idle / 2, ..self.clone() }
    }

    /// Whether a process may have so many connections.
    pub fn allows(&self, connections: usize) -> bool {
        connections as u64 + SPARE_DESCRIPTORS <= self.descriptors
    }

    /// Publications of one round to so many clients.
    pub fn publications(&self, clients: usize) -> u64 {
        self.deliveries.div_ceil(clients) as u64
    }
}

//! What there is to say about the server and its numbers, for those who watch it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Peers;
use crate::server::clock::Now;
use crate::server::footprint;
use crate::server::socket::Socket;
use crate::wire::metrics::{LOG_LINES_LOST, Metrics};
use crate::wire::overview::Draining;

/// A turn that took as long may have been as long as a limit: those that it set are counted from its end.
const LONG_TURN: Duration = Duration::from_millis(100);

impl<S: Socket> Peers<S> {
    /// The server is leaving, until then at the latest.
    pub fn announce_drain(&mut self, now: Now, deadline: Instant) {
        self.reports.clear();
        self.draining = Some(Draining {
            since_unix_ms: now.wall.as_millisecond(),
            deadline_unix_ms: now.unix_ms_until(deadline),
            clients_then: self.clients as u64,
        });
    }

    /// Whether an operator has asked the server to leave since the last call.
    pub fn take_drain_request(&mut self) -> bool {
        std::mem::take(&mut self.is_asked_to_leave)
    }

    /// The process has started.
    pub fn on_start(&mut self, now: Now) {
        self.metrics.process.start_seconds = now.wall.as_duration().as_secs_f64();
    }

    /// All who are connected, clients or not.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Bytes that sockets have taken since the start.
    pub fn bytes_taken(&self) -> u64 {
        self.metrics.bytes_sent
    }

    /// The turn has ended at this time.
    pub fn on_turn_end(&mut self, now: Now, end: Instant) {
        let took = end.saturating_duration_since(now.instant);
        self.metrics.turns.observe(took);
        if took >= LONG_TURN {
            self.forgive(now, took);
        }
        if !self.feed.is_pending()
            && let Some(since) = self.fanout_since.take()
        {
            self.metrics.fanout.observe(end.saturating_duration_since(since));
        }
    }

    /// The numbers as they are now.
    pub fn metrics(&mut self) -> Metrics {
        self.metrics.connections = self.clients as u64;
        self.metrics.connections_total = self.clients_so_far;
        self.metrics.outbox_bytes = self.connections.iter().map(|(_, peer)| peer.queued().0 as u64).sum();
        self.metrics.log_lines_lost = LOG_LINES_LOST.load(Relaxed);
        footprint::update(&mut self.metrics.process);
        self.metrics.clone()
    }
}

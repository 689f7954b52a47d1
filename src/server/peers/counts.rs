//! The numbers of this process, for those who watch it: counted where things happen, and asked for now and then.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::policy::lately::Lately;
use crate::server::clock::Now;
use crate::server::socket::Agreed;
use crate::wire::deflate::Compressed;
use crate::wire::ending::Ending;
use crate::wire::metrics::{Handover, LOG_LINES_LOST, Metrics, Rates};

/// What was counted so far.
#[derive(Debug)]
pub(super) struct Counts {
    metrics: Metrics,
    /// Publications that were heard since it began to serve.
    heard: u64,
    lately: Lately<4>,
    /// When it began to serve, in milliseconds since 1970.
    since_unix_ms: i64,
    /// Upgraded and not yet departed.
    clients: usize,
    /// Those of them that hear an event stream.
    streams: usize,
    /// What was counted before this process.
    past: Option<Box<Metrics>>,
    /// Since when there are publications that some subscriber has not been visited with.
    fanout_since: Option<Instant>,
}

impl Counts {
    /// Nothing yet, in a process that starts now.
    pub(super) fn new(now: Now) -> Self {
        let mut metrics = Metrics::default();
        metrics.process.start_seconds = now.wall.as_duration().as_secs_f64();
        Self {
            metrics,
            heard: 0,
            lately: Lately::new(now.instant),
            since_unix_ms: now.wall.as_millisecond(),
            clients: 0,
            streams: 0,
            past: None,
            fanout_since: None,
        }
    }

    /// It serves from now on: what it has heard before was published before.
    pub(super) fn on_serving(&mut self, now: Now) {
        (self.heard, self.lately) = (0, Lately::new(now.instant));
        self.since_unix_ms = now.wall.as_millisecond();
    }

    /// When it began to serve, in milliseconds since 1970.
    pub(super) fn since_unix_ms(&self) -> i64 {
        self.since_unix_ms
    }

    /// A turn begins.
    pub(super) fn on_turn(&mut self, now: Now) {
        let (heard, metrics) = (self.heard, &self.metrics);
        self.lately.on_turn(now.instant, || happened(heard, metrics));
    }

    /// Something was published.
    pub(super) fn on_heard(&mut self) {
        self.heard += 1;
    }

    /// Publications were handed to a client.
    pub(super) fn on_delivered(&mut self, count: usize) {
        self.metrics.deliveries += count as u64;
    }

    /// A client was asked to connect anew.
    pub(super) fn on_notice(&mut self) {
        self.metrics.notices += 1;
    }

    /// Clients that are here.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Clients that have ever been here.
    pub(super) fn clients_so_far(&self) -> u64 {
        self.metrics.connections_total
    }

    /// Bytes that sockets have taken.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.metrics.bytes_sent
    }

    /// Somebody has become a client.
    pub(super) fn on_joined(&mut self, is_stream: bool) {
        self.clients += 1;
        self.streams += usize::from(is_stream);
        self.metrics.connections_total += 1;
    }

    /// Goes on with what another process has counted.
    pub(super) fn go_on(&mut self, counted: Metrics) {
        self.past = Some(Box::new(counted));
    }

    /// Of all clients so many are left, and so many of them are streams.
    pub(super) fn part_with(&mut self, clients: usize, streams: usize) {
        (self.clients, self.streams) = (clients, streams);
    }

    /// Something may have been missed by all who listen.
    pub(super) fn on_gap(&mut self) {
        self.metrics.gaps += 1;
    }

    /// The connections to the engine were made anew.
    pub(super) fn on_reconnected(&mut self) {
        self.metrics.engine_reconnects += 1;
    }

    /// A hand-over has come to an end.
    pub(super) fn on_handed_over(&mut self, handover: Handover) {
        self.metrics.handovers.count(handover);
    }

    /// A client has come that was one elsewhere.
    pub(super) fn on_moved_in(&mut self, is_stream: bool) {
        self.clients += 1;
        self.streams += usize::from(is_stream);
    }

    /// A client's messages may be compressed.
    pub(super) fn on_compression_agreed(&mut self) {
        self.metrics.connections_compressed += 1;
    }

    /// A client has departed. A stream has no close codes.
    pub(super) fn on_departed(&mut self, ending: Ending, is_stream: bool) {
        self.clients -= 1;
        self.streams -= usize::from(is_stream);
        let code = if is_stream { 0 } else { ending.counted_code() };
        self.metrics.count_disconnect(ending.label(), code);
    }

    /// A client that wanted to resume is brought what it missed, or cannot be.
    pub(super) fn on_resumption(&mut self, is_possible: bool) {
        self.metrics.resumed += u64::from(is_possible);
        self.metrics.not_resumed += u64::from(!is_possible);
    }

    /// A handshake was refused, or a request was never complete.
    pub(super) fn on_rejected(&mut self, reason: &'static str) {
        self.metrics.count_rejected(reason);
    }

    /// A handshake of TLS has ended so, or in vain.
    pub(super) fn on_handshake(&mut self, agreed: Option<Agreed>) {
        let (version, result) = match agreed {
            Some(Agreed { version, is_resumed: true }) => (version, "resumed"),
            Some(Agreed { version, is_resumed: false }) => (version, "full"),
            None => ("", "failed"),
        };
        self.metrics.count_tls_handshake(version, result);
    }

    /// The certificate that is shown ends then.
    pub(super) fn show_certificate(&mut self, until: Option<Timestamp>) {
        self.metrics.certificate_until = until.map(Timestamp::as_second);
    }

    /// A request was refused; or, for a WebSocket, a handshake.
    pub(super) fn on_refused(&mut self, path: &'static str, reason: &'static str) {
        match path {
            "/ws" => self.metrics.count_rejected(reason),
            _ => self.metrics.count_request_refused(path, reason),
        }
    }

    /// A client was told that what it asked for is not done.
    pub(super) fn on_command_refused(&mut self, command: &'static str, code: &'static str) {
        self.metrics.count_command_refused(command, code);
    }

    /// A socket has taken some of what waited, in bytes and messages.
    pub(super) fn on_sent(&mut self, before: (usize, usize), after: (usize, usize), is_client: bool) {
        self.metrics.count_sent(before, after, is_client);
    }

    /// Something was published that subscribers have still to be visited with.
    pub(super) fn on_pending(&mut self, now: Now) {
        self.fanout_since.get_or_insert(now.instant);
    }

    /// A turn took so long until this end; whether anything is still pending.
    pub(super) fn on_turn_end(&mut self, took: Duration, end: Instant, is_pending: bool) {
        self.metrics.turns.observe(took);
        if let Some(since) = self.fanout_since.take_if(|_| !is_pending) {
            self.metrics.fanout.observe(end.saturating_duration_since(since));
        }
    }

    /// The numbers as they are now, while so many bytes wait for peers and so much has been compressed.
    pub(super) fn read(&mut self, outbox_bytes: usize, compressed: Compressed, now: Now) -> Metrics {
        let happened = happened(self.heard, &self.metrics);
        let [publications, deliveries, connects, disconnects] = self.lately.per_second(now.instant, happened);
        self.metrics.rates = Rates { publications, deliveries, connects, disconnects };
        self.metrics.messages_compressed = compressed.messages;
        self.metrics.compression_input_bytes = compressed.bytes_before;
        self.metrics.compression_output_bytes = compressed.bytes_after;
        self.metrics.connections = self.clients as u64;
        self.metrics.event_streams = self.streams as u64;
        self.metrics.outbox_bytes = outbox_bytes as u64;
        self.metrics.log_lines_lost = LOG_LINES_LOST.load(Relaxed);
        let mut metrics = self.metrics.clone();
        self.past.iter().for_each(|past| metrics.add_totals(past));
        metrics
    }
}

/// What is told by how often it happens in a second, so far.
fn happened(heard: u64, metrics: &Metrics) -> [u64; 4] {
    [heard, metrics.deliveries, metrics.connections_total, metrics.departed()]
}

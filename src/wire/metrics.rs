//! What one process has counted, as plain numbers: counted where things happen, added up over processes, and shown in
//! `exposition`.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Lines that standard error did not take. The log belongs to the whole process, and so does this count.
pub static LOG_LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// Upper bounds of the histograms' buckets, in seconds.
pub const BOUNDS: [f64; 13] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// The numbers of one process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Clients connected now.
    pub connections: u64,
    /// Those of them that hear an event stream.
    pub event_streams: u64,
    /// Clients that have ever connected.
    pub connections_total: u64,
    /// Those of them whose messages may be compressed.
    pub connections_compressed: u64,
    /// Clients that have departed, by reason and close code.
    pub disconnects: Vec<Disconnects>,
    /// Frames to WebSockets that sockets have taken, from the welcome to the close; of event streams what corresponds to these.
    pub messages_sent: u64,
    /// Bytes that sockets have taken.
    pub bytes_sent: u64,
    /// Messages that were compressed, each once, whoever has heard it.
    pub messages_compressed: u64,
    /// Their bytes before that.
    pub compression_input_bytes: u64,
    /// Their bytes after that.
    pub compression_output_bytes: u64,
    /// Publications that were handed to clients, one for each client.
    #[serde(default)]
    pub deliveries: u64,
    /// Clients that were asked to connect anew.
    #[serde(default)]
    pub notices: u64,
    /// Clients that came back and were brought everything they had missed.
    pub resumed: u64,
    /// Clients that came back and may have missed something.
    pub not_resumed: u64,
    /// How often all who listened may have missed something, since whoever keeps the order has lost it. Of the whole server.
    #[serde(default)]
    pub gaps: u64,
    /// How often the connections to the engine were made anew. Of the whole server.
    #[serde(default)]
    pub engine_reconnects: u64,
    /// Requests for a WebSocket that were refused, and those that were never complete, by reason.
    pub rejected: Vec<Rejected>,
    /// Requests to publish, for an event stream or for operators that were refused, by path and reason.
    pub requests_refused: Vec<Occurrences>,
    /// What clients have asked for in vain, by command and code.
    pub commands_refused: Vec<Occurrences>,
    /// Handshakes of TLS that have ended, by version and by how.
    #[serde(default)]
    pub tls_handshakes: Vec<Occurrences>,
    /// When the certificate that is shown ends, in seconds since 1970.
    #[serde(default)]
    pub certificate_until: Option<i64>,
    /// Bytes that wait for clients now.
    pub outbox_bytes: u64,
    /// The time from a publication until the last subscriber of its fan-out is served.
    pub fanout: Histogram,
    /// The time from the end of one sleep of the loop to the start of the next.
    pub turns: Histogram,
    /// How often what happens in a second lately.
    #[serde(default)]
    pub rates: Rates,
    /// Hand-overs that have come to an end.
    #[serde(default)]
    pub handovers: Handovers,
    /// Lines that the log has lost.
    pub log_lines_lost: u64,
    /// What the system says about the process.
    pub process: Process,
}

/// How often things have happened in a second, as the mean of the last ten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Publications were heard; each process hears all.
    pub publications: f64,
    /// Publications were handed to clients, one for each client.
    pub deliveries: f64,
    /// Clients have connected.
    pub connects: f64,
    /// Clients have departed.
    pub disconnects: f64,
}

/// How handing over to other processes went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handovers {
    /// How often everything was handed over.
    pub completed: u64,
    /// How often a process has gone on itself.
    pub failed: u64,
    /// Connections that were moved,
    pub moved: u64,
    /// and that could not be.
    pub stayed: u64,
    /// The last one, however it went.
    pub last: Option<Handover>,
}

/// How one of them went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handover {
    /// Whether everything was handed over.
    pub is_completed: bool,
    /// When it was over, in milliseconds since 1970.
    pub ended_unix_ms: i64,
    /// How long nobody was heard, in seconds.
    pub silent_seconds: f64,
    /// Connections that were moved,
    pub moved: u64,
    /// and that could not be.
    pub stayed: u64,
}

/// Departures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnects {
    /// The ending's label.
    pub reason: Cow<'static, str>,
    /// The close code; 0 without one.
    pub code: u16,
    /// How many.
    pub count: u64,
}

/// Refusals of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The status that was answered, in words.
    pub reason: Cow<'static, str>,
    /// How many.
    pub count: u64,
}

/// How often something has happened that is told apart by two words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrences {
    /// The first: a path, a command, a version.
    pub what: Cow<'static, str>,
    /// The second: why something was refused, or how it has ended.
    pub why: Cow<'static, str>,
    /// How many.
    pub count: u64,
}

/// How often something took how long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// How often it took up to each of `BOUNDS`, and how often longer than the last.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All durations together, in seconds.
    pub sum: f64,
}

/// What the system says about a process (proc(5)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// CPU time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Open descriptors; `None` where the system cannot tell without listing them.
    pub open_fds: Option<u64>,
    /// The limit on open descriptors.
    pub max_fds: u64,
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
}

impl Histogram {
    /// Counts one more.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, other)| add(count, other));
        self.sum += other.sum;
    }
}

impl Handovers {
    /// One more has come to an end.
    pub fn count(&mut self, last: Handover) {
        add(if last.is_completed { &mut self.completed } else { &mut self.failed }, 1);
        add(&mut self.moved, last.moved);
        add(&mut self.stayed, last.stayed);
        self.last = Some(last);
    }

    fn add(&mut self, other: &Self) {
        add(&mut self.completed, other.completed);
        add(&mut self.failed, other.failed);
        add(&mut self.moved, other.moved);
        add(&mut self.stayed, other.stayed);
        let ended = |one: &Self| one.last.as_ref().map(|last| last.ended_unix_ms);
        if ended(self) < ended(other) {
            self.last.clone_from(&other.last);
        }
    }
}

impl Rates {
    fn add(&mut self, other: &Self) {
        self.publications = self.publications.max(other.publications);
        self.deliveries += other.deliveries;
        self.connects += other.connects;
        self.disconnects += other.disconnects;
    }
}

impl Metrics {
    /// Clients that have departed.
    pub fn departed(&self) -> u64 {
        self.disconnects.iter().map(|kind| kind.count).fold(0, u64::saturating_add)
    }

    /// A socket has taken some of what waited, in bytes and messages. Its owner may not be a client yet.
    pub fn count_sent(&mut self, before: (usize, usize), after: (usize, usize), is_client: bool) {
        self.bytes_sent += before.0.saturating_sub(after.0) as u64;
        if is_client {
            self.messages_sent += before.1.saturating_sub(after.1) as u64;
        }
    }

    /// A client has departed.
    pub fn count_disconnect(&mut self, reason: &'static str, code: u16) {
        self.add_disconnects(&Disconnects { reason: reason.into(), code, count: 1 });
    }

    /// A handshake was refused, or a request was never complete.
    pub fn count_rejected(&mut self, reason: &'static str) {
        self.add_rejected(&Rejected { reason: reason.into(), count: 1 });
    }

    /// A request to publish, for an event stream or for operators was refused.
    pub fn count_request_refused(&mut self, path: &'static str, reason: &'static str) {
        let refused = Occurrences { what: path.into(), why: reason.into(), count: 1 };
        add_occurrences(&mut self.requests_refused, &refused);
    }

    /// A client was told that what it asked for is not done.
    pub fn count_command_refused(&mut self, command: &'static str, code: &'static str) {
        let refused = Occurrences { what: command.into(), why: code.into(), count: 1 };
        add_occurrences(&mut self.commands_refused, &refused);
    }

    /// A handshake of TLS has ended.
    pub fn count_tls_handshake(&mut self, version: &'static str, result: &'static str) {
        let ended = Occurrences { what: version.into(), why: result.into(), count: 1 };
        add_occurrences(&mut self.tls_handshakes, &ended);
    }

    /// Adds what another process has counted, including what is true only now, such as its clients.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.connections, other.connections);
        add(&mut self.event_streams, other.event_streams);
        add(&mut self.outbox_bytes, other.outbox_bytes);
        self.rates.add(&other.rates);
        self.add_totals(other);
    }

    /// Adds what a process has counted that has ended.
    pub fn add_totals(&mut self, other: &Self) {
        add(&mut self.connections_total, other.connections_total);
        add(&mut self.connections_compressed, other.connections_compressed);
        other.disconnects.iter().for_each(|disconnects| self.add_disconnects(disconnects));
        add(&mut self.messages_sent, other.messages_sent);
        add(&mut self.bytes_sent, other.bytes_sent);
        add(&mut self.messages_compressed, other.messages_compressed);
        add(&mut self.compression_input_bytes, other.compression_input_bytes);
        add(&mut self.compression_output_bytes, other.compression_output_bytes);
        add(&mut self.deliveries, other.deliveries);
        add(&mut self.notices, other.notices);
        add(&mut self.resumed, other.resumed);
        add(&mut self.not_resumed, other.not_resumed);
        add(&mut self.gaps, other.gaps);
        add(&mut self.engine_reconnects, other.engine_reconnects);
        other.rejected.iter().for_each(|rejected| self.add_rejected(rejected));
        other
            .requests_refused
            .iter()
            .for_each(|refused| add_occurrences(&mut self.requests_refused, refused));
        other
            .commands_refused
            .iter()
            .for_each(|refused| add_occurrences(&mut self.commands_refused, refused));
        other.tls_handshakes.iter().for_each(|ended| add_occurrences(&mut self.tls_handshakes, ended));
        self.fanout.add(&other.fanout);
        self.turns.add(&other.turns);
        self.handovers.add(&other.handovers);
        add(&mut self.log_lines_lost, other.log_lines_lost);
    }

    fn add_disconnects(&mut self, other: &Disconnects) {
        let alike = |known: &&mut Disconnects| (&known.reason, known.code) == (&other.reason, other.code);
        match self.disconnects.iter_mut().find(alike) {
            Some(known) => add(&mut known.count, other.count),
            None => self.disconnects.push(other.clone()),
        }
    }

    fn add_rejected(&mut self, other: &Rejected) {
        match self.rejected.iter_mut().find(|known| known.reason == other.reason) {
            Some(known) => add(&mut known.count, other.count),
            None => self.rejected.push(other.clone()),
        }
    }
}

fn add_occurrences(known: &mut Vec<Occurrences>, other: &Occurrences) {
    match known.iter_mut().find(|known| (&known.what, &known.why) == (&other.what, &other.why)) {
        Some(known) => add(&mut known.count, other.count),
        None => known.push(other.clone()),
    }
}

/// What another process tells may be anything.
fn add(total: &mut u64, more: u64) {
    *total = total.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_exactly_as_long_as_a_bound_counts_below_it() {
        let mut histogram = Histogram::default();
        for micros in [1, 50, 51, 1_000_000, 2_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        assert_eq!((histogram.counts[0], histogram.counts[1]), (2, 1));
        assert_eq!((histogram.counts[12], histogram.counts[13]), (1, 1));
        assert!((histogram.sum - 3.000_102).abs() < 1e-9);
    }

    #[test]
    fn of_all_hand_overs_the_last_one_is_told_of_whichever_process_has_counted_it() {
        let failed = Handover { ended_unix_ms: 2, silent_seconds: 0.1, ..Handover::default() };
        let completed =
            Handover { is_completed: true, moved: 5, stayed: 1, ended_unix_ms: 1, ..failed.clone() };
        let (mut one, mut other) = (Handovers::default(), Handovers::default());
        one.count(completed);
        other.count(failed.clone());
        for (first, second) in [(&one, &other), (&other, &one)] {
            let mut sum = first.clone();
            sum.add(second);
            let last = Some(failed.clone());
            assert_eq!(sum, Handovers { completed: 1, failed: 1, moved: 5, stayed: 1, last });
        }
    }

    #[test]
    fn what_processes_count_adds_up_and_one_that_has_ended_has_no_connections() {
        let mut one = Metrics { connections: 3, connections_total: 5, ..Metrics::default() };
        one.count_disconnect("gone", 0);
        one.count_disconnect("peer_closed", 1000);
        one.count_request_refused("/drain", "forbidden");
        one.count_command_refused("publish", "forbidden");
        one.count_command_refused("publish", "too_large");
        let mut sum = one.clone();
        sum.add(&one);
        sum.add_totals(&one);
        assert_eq!((sum.connections, sum.connections_total), (6, 15));
        let counts: Vec<u64> = sum.disconnects.iter().map(|disconnects| disconnects.count).collect();
        assert_eq!(counts, [3, 3]);
        let refused = sum.requests_refused.iter().chain(&sum.commands_refused);
        let refused: Vec<_> = refused.map(|refused| (&*refused.what, &*refused.why, refused.count)).collect();
        assert_eq!(
            refused,
            [("/drain", "forbidden", 3), ("publish", "forbidden", 3), ("publish", "too_large", 3)]
        );
    }
}

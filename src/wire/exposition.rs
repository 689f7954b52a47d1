//! The numbers as Prometheus reads them, in either of its formats: named, described and typed here, and encoded by the
//! `prometheus-client` crate, which writes each name as its format has it (a counter's with `_total`).
//! Invariant: no gauge has the name that a counter has without its `_total`. In OpenMetrics they would be one family.

use std::fmt::Error;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::wire::accept::MetricsFormat;
use crate::wire::metrics::{BOUNDS, Handovers, Histogram, Metrics, Occurrences, Process};
use crate::wire::overview::{EngineState, EngineStatus, Overview};

/// The text for one scrape.
pub fn text(format: MetricsFormat, overview: &Overview, now: Timestamp) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { overview: overview.clone(), now }));
    let mut encoded = String::with_capacity(16 * 1024);
    let written = match format {
        MetricsFormat::Prometheus => prometheus_text::encode(&mut encoded, &registry),
        MetricsFormat::OpenMetrics => text::encode(&mut encoded, &registry),
    };
    written.expect("a String takes all of it");
    encoded
}

#[derive(Debug)]
struct Scrape {
    overview: Overview,
    now: Timestamp,
}

type Encoded = Result<(), Error>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let to = &mut encoder;
        let overview = &self.overview;
        let sum = overview.sum();
        build_info(to)?;
        self.each(to, "connections_active", "Clients connected now", |m| m.connections as f64)?;
        let help = "Clients connected now that hear an event stream";
        self.each(to, "event_streams", help, |m| m.event_streams as f64)?;
        counter(to, "connections", "Clients that have connected", sum.connections_total)?;
        let help = "Clients that have connected and whose messages may be compressed";
        counter(to, "connections_compressed", help, sum.connections_compressed)?;
        disconnects(to, &sum)?;
        counter(to, "publications", "Publications that were given an id", overview.publications)?;
        counter(to, "messages_sent", "Messages to clients that sockets have taken", sum.messages_sent)?;
        counter(to, "bytes_sent", "Bytes that sockets have taken", sum.bytes_sent)?;
        let help = "Messages that were compressed, each once in a process, whoever has heard it";
        counter(to, "messages_compressed", help, sum.messages_compressed)?;
        let help = "Bytes of the messages that were compressed";
        counter(to, "compression_input_bytes", help, sum.compression_input_bytes)?;
        let help = "Bytes that they were compressed to";
        counter(to, "compression_output_bytes", help, sum.compression_output_bytes)?;
        resumes(to, &sum)?;
        let help = "Times that all clients were told that they may have missed something";
        counter(to, "gaps", help, sum.gaps)?;
        if let Some(status) = &overview.engine {
            engine(to, status, sum.engine_reconnects)?;
        }
        let help = "Handshakes of TLS that have ended, by version and by how";
        occurrences(to, "tls_handshakes", help, ["version", "result"], &sum.tls_handshakes)?;
        let name = "slackwater_tls_certificate_expiry_timestamp_seconds";
        let help = "When the certificate that is shown ends, as a Unix time";
        self.family(to, name, help, MetricType::Gauge, |m| m.certificate_until.map(|at| at as f64))?;
        rejected(to, &sum)?;
        let help =
            "Requests to publish, for an event stream or for operators that were refused, by path and by why";
        occurrences(to, "requests_rejected", help, ["path", "reason"], &sum.requests_refused)?;
        let help = "Commands of clients that were refused, by command and by the code that was answered";
        occurrences(to, "commands_rejected", help, ["command", "code"], &sum.commands_refused)?;
        self.each(to, "outbox_bytes", "Bytes that wait for clients now", |m| m.outbox_bytes as f64)?;
        let help = "Time from a publication to the last listener of its fan-out";
        histogram(to, "fanout_seconds", help, &sum.fanout)?;
        let help = "Time from the end of the loop's sleep to its next";
        histogram(to, "loop_turn_seconds", help, &sum.turns)?;
        handovers(to, &sum.handovers)?;
        counter(to, "log_lines_lost", "Lines that standard error did not take", sum.log_lines_lost)?;
        self.drain(to)?;
        self.processes(to)
    }
}

impl Scrape {
    /// A gauge of each process, with the worker's number where there are several.
    fn each(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Metrics) -> f64,
    ) -> Encoded {
        let name = format!("slackwater_{name}");
        self.family(to, &name, help, MetricType::Gauge, |metrics| Some(value(metrics)))
    }

    fn family(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        value: impl Fn(&Metrics) -> Option<f64>,
    ) -> Encoded {
        if self.overview.workers.iter().all(|worker| value(&worker.metrics).is_none()) {
            return Ok(());
        }
        let mut metric = to.encode_descriptor(name, help, None, kind)?;
        for worker in &self.overview.workers {
            let Some(value) = value(&worker.metrics) else { continue };
            let labels: Vec<(&str, String)> = worker
                .number
                .map(|number| vec![("worker", number.to_string()), ("pid", worker.pid.to_string())])
                .unwrap_or_default();
            let mut metric = metric.encode_family(&labels)?;
            match kind {
                MetricType::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
                _ => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn drain(&self, to: &mut DescriptorEncoder<'_>) -> Encoded {
        let overview = &self.overview;
        let drain = overview.drain.as_ref();
        let remaining = if drain.is_some() { overview.connections() as f64 } else { 0.0 };
        let seconds = drain.map_or(0, |drain| drain.deadline_unix_ms - self.now.as_millisecond()).max(0);
        gauge(to, "draining", "1 while the server leaves", f64::from(u8::from(drain.is_some())))?;
        gauge(to, "drain_remaining", "Clients that have not left yet", remaining)?;
        let rate = overview.departures_per_second(self.now);
        gauge(to, "drain_departures_per_second", "Clients that have left each second of the drain", rate)?;
        let help = "Time until whoever is left is closed";
        gauge(to, "drain_deadline_seconds", help, seconds as f64 / 1000.0)
    }

    fn processes(&self, to: &mut DescriptorEncoder<'_>) -> Encoded {
        type Of = fn(&Process) -> Option<f64>;
        let gauges: [(&str, &str, Of); 5] = [
            ("process_resident_memory_bytes", "Resident memory", |p| told(p.resident_bytes as f64)),
            ("process_virtual_memory_bytes", "Virtual memory", |p| told(p.virtual_bytes as f64)),
            ("process_open_fds", "Open file descriptors", |p| p.open_fds.map(|fds| fds as f64)),
            ("process_max_fds", "The limit on open file descriptors", |p| told(p.max_fds as f64)),
            ("process_start_time_seconds", "Start of the process since 1970", |p| told(p.start_seconds)),
        ];
        for (name, help, of) in gauges {
            self.family(to, name, help, MetricType::Gauge, |metrics| of(&metrics.process))?;
        }
        let help = "User and system CPU time";
        let cpu = |metrics: &Metrics| Some(metrics.process.cpu_seconds);
        self.family(to, "process_cpu_seconds", help, MetricType::Counter, cpu)
    }
}

/// No process has nothing of this: the system has not said.
fn told(value: f64) -> Option<f64> {
    Some(value).filter(|value| *value > 0.0)
}

fn build_info(to: &mut DescriptorEncoder<'_>) -> Encoded {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    to.encode_descriptor("slackwater_build", "1, of this version", None, MetricType::Info)?
        .encode_info(&labels)
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Encoded {
    to.encode_descriptor(&format!("slackwater_{name}"), help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Encoded {
    let name = format!("slackwater_{name}");
    to.encode_descriptor(&name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn counters<L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, u64)>,
) -> Encoded {
    let name = format!("slackwater_{name}");
    let mut metric = to.encode_descriptor(&name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
    }
    Ok(())
}

fn disconnects(to: &mut DescriptorEncoder<'_>, sum: &Metrics) -> Encoded {
    let values = sum
        .disconnects
        .iter()
        .map(|kind| ([("reason", kind.reason.to_string()), ("code", kind.code.to_string())], kind.count));
    counters(to, "disconnects", "Clients that have departed, by why and by close code", values)
}

fn resumes(to: &mut DescriptorEncoder<'_>, sum: &Metrics) -> Encoded {
    let values = [([("result", "resumed")], sum.resumed), ([("result", "gap")], sum.not_resumed)];
    let help = "Clients that came back with their last id, by whether all that they missed could be brought";
    counters(to, "resumes", help, values.into_iter())
}

fn handovers(to: &mut DescriptorEncoder<'_>, handovers: &Handovers) -> Encoded {
    let values =
        [([("result", "completed")], handovers.completed), ([("result", "failed")], handovers.failed)];
    let help = "Hand-overs to another process, by whether that one went on or this one had to";
    counters(to, "handovers", help, values.into_iter())?;
    let values = [([("result", "moved")], handovers.moved), ([("result", "stayed")], handovers.stayed)];
    let help = "Connections at hand-overs that were completed, by whether they could be moved";
    counters(to, "handover_connections", help, values.into_iter())?;
    let seconds = handovers.last.as_ref().map_or(0.0, |last| last.silent_seconds);
    gauge(to, "handover_seconds", "Time in which nobody was heard during the last hand-over", seconds)
}

fn engine(to: &mut DescriptorEncoder<'_>, status: &EngineStatus, reconnects: u64) -> Encoded {
    let is_up = matches!(status.state, EngineState::Up { .. });
    gauge(
        to,
        "engine_up",
        "1 while the engine can be heard and takes what is published",
        f64::from(u8::from(is_up)),
    )?;
    let help = "Time since everything was heard that may have been published";
    gauge(to, "engine_lag_seconds", help, status.lag_seconds)?;
    let help = "Times that the connections to the engine were lost and made anew";
    counter(to, "engine_reconnects", help, reconnects)
}

fn rejected(to: &mut DescriptorEncoder<'_>, sum: &Metrics) -> Encoded {
    let values = sum.rejected.iter().map(|kind| ([("reason", kind.reason.to_string())], kind.count));
    counters(to, "handshakes_rejected", "Requests for a WebSocket that were refused, by why", values)
}

fn occurrences(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: [&'static str; 2],
    kinds: &[Occurrences],
) -> Encoded {
    let [what, why] = labels;
    let values =
        kinds.iter().map(|kind| ([(what, kind.what.to_string()), (why, kind.why.to_string())], kind.count));
    counters(to, name, help, values)
}

fn histogram(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, histogram: &Histogram) -> Encoded {
    let name = format!("slackwater_{name}");
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
    to.encode_descriptor(&name, help, None, MetricType::Histogram)?.encode_histogram::<NoLabelSet>(
        histogram.sum,
        histogram.counts.iter().copied().fold(0, u64::saturating_add),
        &buckets,
        None,
    )
}

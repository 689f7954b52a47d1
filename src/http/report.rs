//! What is told about the whole server: to load balancers whether it is ready, to people how far its leaving has got, and
//! to Prometheus all its numbers.

use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use crate::wire::accept::MetricsFormat;
use crate::wire::connections::{ConnectionStatus, Page};
use crate::wire::exposition;
use crate::wire::metrics::{Metrics, Rates};
use crate::wire::overview::{EngineState, EngineStatus, HistoryStatus, Overview, Wish};
use crate::wire::response::Response;
use crate::wire::topics::Topics;

/// Topics that the status names, those with the most subscribers.
const MOST_HEARD: usize = 20;

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// `/readyz`
    Readiness,
    /// `/status`
    Status,
    /// `/metrics`
    Metrics,
    /// `/metrics`, for whoever asks for OpenMetrics.
    OpenMetrics,
    /// `/status?connections`
    Connections(Page),
}

impl Report {
    /// That of this path, which is one of them; with a page of the clients, if one is asked for.
    pub fn at(path: &str, page: Option<Page>, format: MetricsFormat) -> Self {
        match (path, page) {
            ("/readyz", _) => Self::Readiness,
            ("/metrics", _) if format == MetricsFormat::OpenMetrics => Self::OpenMetrics,
            ("/metrics", _) => Self::Metrics,
            (_, None) => Self::Status,
            (_, Some(page)) => Self::Connections(page),
        }
    }

    /// What of each process is to be told in it, beside what was counted.
    pub fn wish(self) -> Wish {
        match self {
            Self::Readiness | Self::Metrics | Self::OpenMetrics => Wish::Counted,
            Self::Status => Wish::Topics,
            Self::Connections(page) => Wish::Connections(page),
        }
    }

    /// The answer to a request for it.
    pub fn response(self, overview: &Overview, now: Timestamp) -> Response {
        match self {
            Self::Readiness => readiness(overview),
            Self::Status => Response::new(200, "application/json", status(overview, now).to_string()),
            Self::Metrics => metrics(MetricsFormat::Prometheus, overview, now),
            Self::OpenMetrics => metrics(MetricsFormat::OpenMetrics, overview, now),
            Self::Connections(page) => {
                Response::new(200, "application/json", connections(overview, page).to_string())
            }
        }
    }
}

fn metrics(format: MetricsFormat, overview: &Overview, now: Timestamp) -> Response {
    let text = exposition::text(format, overview, now);
    Response::new(200, format.content_type(), text).with("Vary", "Accept")
}

fn readiness(overview: &Overview) -> Response {
    let engine = overview.engine.as_ref();
    // One that is down is no reason to send clients elsewhere: it is the same engine there.
    let word = engine.map_or_else(String::new, |it| format!(r#","engine":"{}""#, it.state.word()));
    let Some(drain) = &overview.drain else {
        // Whoever comes back would be told that nothing is known of what it has missed.
        let (code, status) = match engine {
            Some(engine) if !engine.has_been_read => (503, "starting"),
            _ => (200, "ready"),
        };
        return Response::new(code, "application/json", format!(r#"{{"status":"{status}"{word}}}"#));
    };
    let (connections, deadline) = (overview.connections(), rfc3339(drain.deadline_unix_ms));
    let body =
        format!(r#"{{"status":"draining","connections":{connections},"deadline":"{deadline}"{word}}}"#);
    Response::new(503, "application/json", body)
}

fn status(overview: &Overview, now: Timestamp) -> Value {
    let mut status = Map::new();
    let word = if overview.drain.is_some() { "draining" } else { "serving" };
    status.insert("status".to_owned(), word.into());
    status.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    if let Some(since) = overview.since_unix_ms {
        let uptime_ms = now.as_millisecond().saturating_sub(since).max(0);
        status.insert("since".to_owned(), rfc3339(since).into());
        status.insert("uptime_seconds".to_owned(), (uptime_ms as f64 / 1000.0).into());
    }
    status.insert("connections".to_owned(), overview.connections().into());
    status.insert("event_streams".to_owned(), overview.event_streams().into());
    status.insert("publications".to_owned(), overview.publications.into());
    let sum = overview.sum();
    status.insert("outbox_bytes".to_owned(), sum.outbox_bytes.into());
    status.insert("rates".to_owned(), rates(&sum.rates));
    status.insert("totals".to_owned(), totals(&sum, overview.publications));
    status.insert("topics".to_owned(), topics(overview));
    status.insert("history".to_owned(), history(&overview.history));
    if let Some(status_of_engine) = &overview.engine {
        status.insert("engine".to_owned(), engine(status_of_engine, sum.engine_reconnects));
    }
    if let Some(drain) = &overview.drain {
        let drain = json!({
            "origin": drain.origin,
            "since": rfc3339(drain.since_unix_ms),
            "deadline": rfc3339(drain.deadline_unix_ms),
            "connections_then": drain.clients_then,
            "remaining": overview.connections(),
            "departures_per_second": overview.departures_per_second(now),
        });
        status.insert("drain".to_owned(), drain);
    }
    if let Some(last) = overview.last_handover() {
        let handover = json!({
            "result": if last.is_completed { "completed" } else { "failed" },
            "ended": rfc3339(last.ended_unix_ms),
            "seconds": last.silent_seconds,
            "moved": last.moved,
            "stayed": last.stayed,
        });
        status.insert("handover".to_owned(), handover);
    }
    let workers = overview.workers.iter().map(|worker| {
        json!({
            "number": worker.number.unwrap_or(1),
            "pid": worker.pid,
            "connections": worker.metrics.connections,
            "event_streams": worker.metrics.event_streams,
            "outbox_bytes": worker.metrics.outbox_bytes,
        })
    });
    status.insert("workers".to_owned(), workers.collect());
    status.into()
}

fn rates(rates: &Rates) -> Value {
    json!({
        "publications_per_second": to_thousandths(rates.publications),
        "deliveries_per_second": to_thousandths(rates.deliveries),
        "connects_per_second": to_thousandths(rates.connects),
        "disconnects_per_second": to_thousandths(rates.disconnects),
    })
}

fn totals(sum: &Metrics, publications: u64) -> Value {
    json!({
        "publications": publications,
        "deliveries": sum.deliveries,
        "connects": sum.connections_total,
        "disconnects": sum.departed(),
        "resumes": sum.resumed,
        "gaps": sum.gaps,
        "notices": sum.notices,
    })
}

fn topics(overview: &Overview) -> Value {
    let told = overview.workers.iter().filter_map(|worker| worker.details.as_ref());
    let topics = Topics::of_all(told.map(|details| &details.topics));
    let most_heard = topics.most_heard.iter().take(MOST_HEARD);
    let most_heard: Vec<Value> =
        most_heard.map(|(topic, count)| json!({"topic": topic, "subscribers": count})).collect();
    json!({"count": topics.count, "most_heard": most_heard})
}

/// A page of the clients of all processes, and those processes that have not told in time.
fn connections(overview: &Overview, page: Page) -> Value {
    let (mut all, mut is_truncated, mut missing) = (vec![], false, vec![]);
    for worker in &overview.workers {
        let number = worker.number.unwrap_or(1);
        match &worker.details {
            Some(details) => {
                is_truncated |= details.connections.is_truncated;
                all.extend(details.connections.list.iter().map(|client| (number, client)));
            }
            None => missing.push(number),
        }
    }
    let (list, has_more) = page.cut(all, |(_, client)| client.id);
    let list: Vec<Value> = list.into_iter().map(|(worker, client)| connection(worker, client)).collect();
    json!({
        "connections": overview.connections(),
        "list": list,
        "truncated": is_truncated || has_more,
        "missing_workers": missing,
    })
}

fn connection(worker: u32, client: &ConnectionStatus) -> Value {
    json!({
        "id": client.id.to_string(),
        "address": client.forwarded.as_ref().unwrap_or(&client.peer),
        "proxy": client.forwarded.as_ref().map(|_| &client.peer),
        "kind": client.kind,
        "since": rfc3339(client.since_unix_ms),
        "topics": client.topics,
        "outbox_bytes": client.outbox_bytes,
        "sub": client.subject,
        "tls": client.tls,
        "worker": worker,
    })
}

fn history(history: &HistoryStatus) -> Value {
    json!({
        "events": history.publications,
        "events_limit": history.publications_limit,
        "bytes": history.bytes,
        "bytes_limit": history.bytes_limit,
        "oldest": history.oldest_unix_ms.map(rfc3339),
    })
}

fn to_thousandths(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

fn engine(status: &EngineStatus, reconnects: u64) -> Value {
    let mut engine = Map::new();
    engine.insert("status".to_owned(), status.state.word().into());
    engine.insert("address".to_owned(), status.address.as_str().into());
    if let Some((product, version)) = &status.software {
        engine.insert("product".to_owned(), product.as_str().into());
        engine.insert("version".to_owned(), version.as_str().into());
    }
    let (epoch, why) = match &status.state {
        EngineState::Up { epoch } => (Some(epoch), None),
        EngineState::Refuses { epoch, why } => (Some(epoch), Some(Some(why.as_str()))),
        EngineState::Down { why } => (None, Some(why.as_deref())),
    };
    // As ids begin.
    engine.extend(epoch.map(|epoch| ("epoch".to_owned(), format!("{epoch:08x}").into())));
    engine.extend(why.map(|why| ("error".to_owned(), why.into())));
    engine.insert("lag_seconds".to_owned(), status.lag_seconds.into());
    engine.insert("reconnects".to_owned(), reconnects.into());
    engine.into()
}

fn rfc3339(unix_ms: i64) -> String {
    let timestamp = Timestamp::UNIX_EPOCH.saturating_add(unix_ms.milliseconds());
    timestamp.map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;

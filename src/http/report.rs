//! What is told about the whole server: to load balancers whether it is ready, to people how far its leaving has got, and
//! to Prometheus all its numbers.

use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use crate::wire::exposition;
use crate::wire::overview::{EngineState, EngineStatus, Overview};
use crate::wire::response::Response;

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// `/readyz`
    Readiness,
    /// `/status`
    Status,
    /// `/metrics`
    Metrics,
}

impl Report {
    /// The answer to a request for it.
    pub fn response(self, overview: &Overview, now: Timestamp) -> Response {
        match self {
            Self::Readiness => readiness(overview),
            Self::Status => Response::new(200, "application/json", status(overview, now).to_string()),
            Self::Metrics => {
                let text = exposition::text(overview, now);
                Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text)
            }
        }
    }
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
    status.insert("connections".to_owned(), overview.connections().into());
    status.insert("event_streams".to_owned(), overview.event_streams().into());
    status.insert("publications".to_owned(), overview.publications.into());
    if let Some(status_of_engine) = &overview.engine {
        let reconnects = overview.sum().engine_reconnects;
        status.insert("engine".to_owned(), engine(status_of_engine, reconnects));
    }
    if let Some(drain) = &overview.drain {
        let drain = json!({
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

//! What is said about the whole server, to load balancers and to people: whether it is ready, and how far it has left.

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::wire::exposition;
use crate::wire::metrics::Metrics;
use crate::wire::response::Response;

/// All there is to say, with the numbers of all processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Set while it leaves.
    pub drain: Option<Draining>,
    /// Publications so far.
    pub publications: u64,
    /// The processes that serve or still have clients.
    pub workers: Vec<Worker>,
    /// What processes have counted that have ended.
    pub past: Metrics,
}

/// How far a server has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// When it began, in milliseconds since 1970.
    pub since_unix_ms: i64,
    /// When the last client will have been closed, in milliseconds since 1970.
    pub deadline_unix_ms: i64,
    /// The clients that there were then.
    pub clients_then: u64,
}

/// One process that serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Which of several, from 1; `None` when there is no other.
    pub number: Option<u32>,
    /// Of the process.
    pub pid: u32,
    /// What it has counted.
    pub metrics: Metrics,
}

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

impl Overview {
    /// The answer to whoever asks.
    pub fn response(&self, report: Report, now: Timestamp) -> Response {
        match report {
            Report::Readiness => self.readiness(),
            Report::Status => Response::new(200, "application/json", self.status(now).to_string()),
            Report::Metrics => {
                let text = exposition::text(self, now);
                Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text)
            }
        }
    }

    /// Clients of all processes.
    pub fn connections(&self) -> u64 {
        self.workers.iter().map(|worker| worker.metrics.connections).sum()
    }

    /// Clients that depart each second, since the drain began.
    pub fn departures_per_second(&self, now: Timestamp) -> f64 {
        let Some(drain) = &self.drain else { return 0.0 };
        let departed = drain.clients_then.saturating_sub(self.connections());
        let elapsed = (now.as_millisecond() - drain.since_unix_ms) as f64 / 1000.0;
        if elapsed > 0.0 { departed as f64 / elapsed } else { 0.0 }
    }

    fn readiness(&self) -> Response {
        let Some(drain) = &self.drain else {
            return Response::new(200, "application/json", r#"{"status":"ready"}"#);
        };
        let (connections, deadline) = (self.connections(), rfc3339(drain.deadline_unix_ms));
        let body = format!(r#"{{"status":"draining","connections":{connections},"deadline":"{deadline}"}}"#);
        Response::new(503, "application/json", body)
    }

    fn status(&self, now: Timestamp) -> Value {
        let mut status = Map::new();
        let word = if self.drain.is_some() { "draining" } else { "serving" };
        status.insert("status".to_owned(), word.into());
        status.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        status.insert("connections".to_owned(), self.connections().into());
        status.insert("publications".to_owned(), self.publications.into());
        if let Some(drain) = &self.drain {
            let drain = json!({
                "since": rfc3339(drain.since_unix_ms),
                "deadline": rfc3339(drain.deadline_unix_ms),
                "connections_then": drain.clients_then,
                "remaining": self.connections(),
                "departures_per_second": self.departures_per_second(now),
            });
            status.insert("drain".to_owned(), drain);
        }
        let workers = self.workers.iter().map(|worker| {
            json!({
                "number": worker.number.unwrap_or(1),
                "pid": worker.pid,
                "connections": worker.metrics.connections,
                "outbox_bytes": worker.metrics.outbox_bytes,
            })
        });
        status.insert("workers".to_owned(), workers.collect());
        status.into()
    }
}

fn rfc3339(unix_ms: i64) -> String {
    let timestamp = Timestamp::UNIX_EPOCH.saturating_add(unix_ms.milliseconds());
    timestamp.map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.3}"))
}

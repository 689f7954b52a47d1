//! What operators are told, as tables.

use std::collections::BTreeSet;

use super::*;
use crate::wire::connection_id::ConnectionId;
use crate::wire::connections::{ConnectionStatus, Connections};
use crate::wire::metrics::{Metrics, Rates};
use crate::wire::overview::{Details, Draining, WorkerStatus};
use crate::wire::response::Exchange;

fn told(report: Report, overview: &Overview) -> (u16, String) {
    let now = Timestamp::UNIX_EPOCH;
    let (head, body) = report.response(overview, now).encode(&Exchange::last(now, None));
    let code = str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

fn engine(state: EngineState, has_been_read: bool) -> Option<EngineStatus> {
    let software = Some(("valkey".to_owned(), "9.1.2".to_owned()));
    let address = "redis://***@10.0.0.5:6379".to_owned();
    Some(EngineStatus { address, software, state, has_been_read, lag_seconds: 1.5 })
}

const UP: EngineState = EngineState::Up { epoch: 0x2a };

fn down() -> EngineState {
    EngineState::Down { why: Some("it has not answered for 5 s".to_owned()) }
}

fn refusing() -> EngineState {
    EngineState::Refuses { epoch: 0x2a, why: "OOM it is full".to_owned() }
}

#[test]
fn it_is_ready_without_its_engine_but_not_before_it_has_read_once_what_that_holds() {
    let drain = Some(Draining { deadline_unix_ms: 1000, ..Draining::default() });
    let draining = r#"{"status":"draining","connections":0,"deadline":"1970-01-01T00:00:01.000Z""#;
    for (drain, engine, code, body) in [
        (None, None, 200, r#"{"status":"ready"}"#.to_owned()),
        (None, engine(UP, true), 200, r#"{"status":"ready","engine":"up"}"#.to_owned()),
        (None, engine(down(), true), 200, r#"{"status":"ready","engine":"down"}"#.to_owned()),
        (None, engine(refusing(), true), 200, r#"{"status":"ready","engine":"refuses"}"#.to_owned()),
        (None, engine(down(), false), 503, r#"{"status":"starting","engine":"down"}"#.to_owned()),
        (drain.clone(), None, 503, format!("{draining}}}")),
        (drain, engine(down(), false), 503, format!(r#"{draining},"engine":"down"}}"#)),
    ] {
        let overview = Overview { drain: drain.clone(), engine, ..Overview::default() };
        assert_eq!(told(Report::Readiness, &overview), (code, body));
    }
}

#[test]
fn the_status_says_where_the_engine_is_and_what_is_wrong_with_it() {
    let past = Metrics { engine_reconnects: 3, ..Metrics::default() };
    for (state, rest) in [
        (UP, r#""epoch":"0000002a","lag_seconds":1.5,"reconnects":3}"#),
        (down(), r#""error":"it has not answered for 5 s","lag_seconds":1.5,"reconnects":3}"#),
        (refusing(), r#""epoch":"0000002a","error":"OOM it is full","lag_seconds":1.5,"reconnects":3}"#),
        (EngineState::Down { why: None }, r#""error":null,"lag_seconds":1.5,"reconnects":3}"#),
    ] {
        let word = state.word();
        let overview = Overview { engine: engine(state, true), past: past.clone(), ..Overview::default() };
        let status: Value = serde_json::from_str(&told(Report::Status, &overview).1).unwrap();
        let expected = format!(
            r#"{{"status":"{word}","address":"redis://***@10.0.0.5:6379","product":"valkey","version":"9.1.2",{rest}"#
        );
        assert_eq!(status["engine"], serde_json::from_str::<Value>(&expected).unwrap());
    }
    let status = told(Report::Status, &Overview::default()).1;
    assert!(!status.contains("engine"), "{status}");
}

#[test]
fn the_engine_is_measured_only_where_there_is_one() {
    let past = Metrics { engine_reconnects: 3, ..Metrics::default() };
    let of_engine = |engine| {
        let text = told(Report::Metrics, &Overview { engine, past: past.clone(), ..Overview::default() }).1;
        let lines = text.lines().filter(|line| line.starts_with("slackwater_engine"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_engine(None), [""; 0]);
    for (state, up) in [(UP, "1.0"), (down(), "0.0"), (refusing(), "0.0")] {
        let [is_up, lag, reconnects] = &of_engine(engine(state, true))[..] else { panic!("other families") };
        assert_eq!(is_up, &format!("slackwater_engine_up {up}"));
        assert_eq!(
            (&**lag, &**reconnects),
            ("slackwater_engine_lag_seconds 1.5", "slackwater_engine_reconnects_total 3")
        );
    }
}

#[test]
fn the_status_adds_up_what_the_workers_have_told() {
    let worker = |count: u64| {
        let rates = Rates { publications: 2.0, deliveries: 0.123_4, connects: 1.5, disconnects: 0.0 };
        let mut metrics =
            Metrics { deliveries: count, outbox_bytes: 10, notices: 1, rates, ..Metrics::default() };
        metrics.count_disconnect("peer_closed", 1000);
        let topics = Topics { count: 1, most_heard: vec![("orders".to_owned(), count)] };
        WorkerStatus {
            metrics,
            details: Some(Details { topics, ..Details::default() }),
            ..WorkerStatus::default()
        }
    };
    let silent = WorkerStatus::default();
    let workers = vec![worker(3), worker(4), silent];
    let overview = Overview { publications: 9, workers, since_unix_ms: Some(-61_500), ..Overview::default() };
    let status: Value = serde_json::from_str(&told(Report::Status, &overview).1).unwrap();
    assert_eq!(
        (&status["since"], &status["uptime_seconds"]),
        (&json!("1969-12-31T23:58:58.500Z"), &json!(61.5))
    );
    assert_eq!(status["outbox_bytes"], 20);
    let rates = json!({
        "publications_per_second": 2.0, "deliveries_per_second": 0.247, "connects_per_second": 3.0,
        "disconnects_per_second": 0.0,
    });
    assert_eq!(status["rates"], rates);
    let totals = json!({
        "publications": 9, "deliveries": 7, "connects": 0, "disconnects": 2, "resumes": 0, "gaps": 0, "notices": 2,
    });
    assert_eq!(status["totals"], totals);
    assert_eq!(status["topics"], json!({"count": 1, "most_heard": [{"topic": "orders", "subscribers": 7}]}));
    let history =
        HistoryStatus { publications: 2, bytes: 30, oldest_unix_ms: Some(0), ..HistoryStatus::default() };
    let status: Value =
        serde_json::from_str(&told(Report::Status, &Overview { history, ..Overview::default() }).1).unwrap();
    let history = json!({
        "events": 2, "events_limit": 0, "bytes": 30, "bytes_limit": 0, "oldest": "1970-01-01T00:00:00.000Z",
    });
    assert_eq!(status["history"], history);
}

/// The families and types that are described, and everything that is said of the format.
fn described(report: Report, overview: &Overview) -> (Vec<(String, String)>, String) {
    let now = Timestamp::UNIX_EPOCH;
    let (head, body) = report.response(overview, now).encode(&Exchange::last(now, None));
    let [head, body] = [head, body].map(|octets| String::from_utf8(octets.to_vec()).unwrap());
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    assert_eq!(body.ends_with("# EOF\n"), report == Report::OpenMetrics);
    (families, head)
}

#[test]
fn metrics_come_in_two_formats_that_name_the_same_families_and_each_once() {
    let workers = vec![WorkerStatus { number: Some(1), ..WorkerStatus::default() }];
    let drain = Some(Draining { deadline_unix_ms: 1000, ..Draining::default() });
    let overview = Overview { workers, drain, engine: engine(UP, true), ..Overview::default() };
    let (prometheus, head) = described(Report::Metrics, &overview);
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nVary: Accept\r\n"));
    let (open_metrics, head) = described(Report::OpenMetrics, &overview);
    let expected =
        "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nVary: Accept\r\n";
    assert!(head.contains(expected), "{head}");
    let in_prometheus = |(name, kind): &(String, String)| match kind.as_str() {
        "counter" => (format!("{name}_total"), kind.clone()),
        "info" => (format!("{name}_info"), "gauge".to_owned()),
        _ => (name.clone(), kind.clone()),
    };
    assert_eq!(open_metrics.iter().map(in_prometheus).collect::<Vec<_>>(), prometheus);
    let names: BTreeSet<&str> = open_metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), open_metrics.len(), "{open_metrics:?}");
}

#[test]
fn a_page_of_the_clients_is_that_of_all_workers_which_have_told_theirs() {
    let client = |number, forwarded: Option<&str>| ConnectionStatus {
        id: ConnectionId { epoch: 1, number },
        peer: "127.0.0.1:4711".to_owned(),
        forwarded: forwarded.map(str::to_owned),
        kind: "WebSocket".to_owned(),
        subject: Some("ada".to_owned()),
        ..ConnectionStatus::default()
    };
    let worker = |number, list: Option<Vec<ConnectionStatus>>| {
        let connections = |list| Connections { list, is_truncated: false };
        let details = list.map(|list| Details { connections: connections(list), ..Details::default() });
        WorkerStatus { number: Some(number), details, ..WorkerStatus::default() }
    };
    let first = vec![client(1, None), client(3, None)];
    let workers =
        vec![worker(1, Some(first)), worker(2, Some(vec![client(2, Some("203.0.113.5"))])), worker(3, None)];
    let page = Page { limit: 2, after: None };
    let said = told(Report::Connections(page), &Overview { workers, ..Overview::default() }).1;
    let said: Value = serde_json::from_str(&said).unwrap();
    let ids: Vec<&Value> = said["list"].as_array().unwrap().iter().map(|client| &client["id"]).collect();
    assert_eq!(ids, ["00000001-1", "00000001-2"]);
    assert_eq!((&said["truncated"], &said["missing_workers"]), (&true.into(), &json!([3])));
    let proxied = json!({
        "id": "00000001-2", "address": "203.0.113.5", "proxy": "127.0.0.1:4711", "kind": "WebSocket",
        "since": "1970-01-01T00:00:00.000Z", "topics": 0, "outbox_bytes": 0, "sub": "ada", "tls": null, "worker": 2,
    });
    assert_eq!(said["list"][1], proxied);
}

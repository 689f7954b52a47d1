//! The event-stream format (WHATWG HTML, "Server-sent events"): what a stream is told beside publications, and the head of
//! its response. How a publication becomes an event, its message says.
//!
//! A browser takes over an `id:` line at the empty line behind it, also where there is no data and so no event ("dispatch the
//! event", steps 1 and 2); a `retry:` line at once, and for as long as the page keeps its `EventSource`. A block whose empty line
//! never comes is dropped. On any status but 200 a browser gives up for ever.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::messages::ServerMessage;
use crate::wire::response::Response;

/// What goes on a stream: a publication, or a block of lines that is none. It is two pieces, as a publication is, so that
/// counting the pieces counts these. Nothing may come between the two.
pub type Block = [Bytes; 2];

/// The response of a stream that begins with this, or of one that is nothing else. To a client of HTTP/1.0 it has neither a
/// length nor chunks, and ends with the connection (RFC 9112 §6.3, the last item): that a cut looks like such an end does no harm,
/// as a client resumes after either.
pub fn response(opening: impl Into<Bytes>) -> Response {
    Response::unmeasured("text/event-stream; charset=utf-8", opening)
        .with("Cache-Control", "no-store")
        // nginx would wait until it has more of it.
        .with("X-Accel-Buffering", "no")
        .with("X-Content-Type-Options", "nosniff")
}

/// How every stream begins, so that proxies have something to pass on. With an id a client that has heard nothing yet can
/// resume, too. It is to come back after this time once the stream ends: which replaces what a leaving server has said.
pub fn opening(reconnection: Duration, id: Option<impl Display>) -> String {
    format!(":\nretry: {}\n{}\n", reconnection.as_millis(), id_line(id))
}

/// Says that the connection lives, and up to which id the client has heard all, where that is known: on a quiet topic its
/// last id would become so old that nobody remembers what followed.
pub fn heartbeat(heard: Option<impl Display>) -> Block {
    let rest = match heard {
        None => Bytes::from_static(b"\n\n"),
        Some(_) => format!("\n{}\n", id_line(heard)).into(),
    };
    [Bytes::from_static(b":"), rest]
}

/// Publications may have been missed; up to this id, where that is known, which a client takes over together with that news.
pub fn gap(gap: &ServerMessage<'_>, heard: Option<impl Display>) -> Block {
    let lines = format!("data: {}\n{}\n", gap.to_json(), id_line(heard));
    [Bytes::from_static(b"event: gap\n"), lines.into()]
}

/// The last words to a client that is to come back after this time, and has heard all up to this id.
pub fn retry(reconnection: Duration, heard: Option<impl Display>) -> Block {
    let rest = format!("{}\n{}\n", reconnection.as_millis(), id_line(heard));
    [Bytes::from_static(b"retry: "), rest.into()]
}

/// The same with the notice that a WebSocket is sent, for clients that want to know why.
pub fn reconnect(notice: &ServerMessage<'_>, reconnection: Duration, heard: Option<impl Display>) -> Block {
    let (wait, notice) = (reconnection.as_millis(), notice.to_json());
    let lines = format!("retry: {wait}\ndata: {notice}\n{}\n", id_line(heard));
    [Bytes::from_static(b"event: reconnect\n"), lines.into()]
}

fn id_line(id: Option<impl Display>) -> String {
    id.map_or_else(String::new, |id| format!("id: {id}\n"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use support::events::{Event, Reader};

    use super::*;
    use crate::wire::response::Exchange;

    const WAIT: Duration = Duration::from_millis(2345);
    const UNKNOWN: Option<&str> = None;

    /// The octets, and what a browser makes of them behind an event `7-1`: its events, its last id and its time to wait.
    fn read(block: &Block) -> (String, Vec<Event>, String, Option<u64>) {
        let text = String::from_utf8(block.concat()).unwrap();
        let mut reader = Reader::default();
        reader.read("data: x\nid: 7-1\n\n");
        let events = reader.read(&text);
        assert!(reader.is_between_blocks(), "{text}");
        (text, events, reader.last_event_id.clone(), reader.retry)
    }

    fn event(name: &str, data: &str, id: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned(), last_event_id: id.to_owned() }
    }

    #[test]
    fn a_stream_begins_with_a_time_to_wait_and_an_id_and_no_event() {
        let text = opening(WAIT, Some("7-2"));
        assert_eq!(text, ":\nretry: 2345\nid: 7-2\n\n");
        let mut reader = Reader::default();
        assert_eq!(reader.read(&text), []);
        assert_eq!((reader.last_event_id.as_str(), reader.retry), ("7-2", Some(2345)));
        assert_eq!(opening(WAIT, UNKNOWN), ":\nretry: 2345\n\n");
    }

    #[test]
    fn without_an_id_a_heartbeat_and_a_time_to_wait_are_no_events_and_leave_it_as_it_is() {
        assert_eq!(read(&heartbeat(UNKNOWN)), (":\n\n".to_owned(), vec![], "7-1".to_owned(), None));
        let text = "retry: 2345\n\n".to_owned();
        assert_eq!(read(&retry(WAIT, UNKNOWN)), (text, vec![], "7-1".to_owned(), Some(2345)));
    }

    #[test]
    fn with_an_id_they_are_still_no_events_and_move_it() {
        let text = ":\nid: 7-2\n\n".to_owned();
        assert_eq!(read(&heartbeat(Some("7-2"))), (text, vec![], "7-2".to_owned(), None));
        let text = "retry: 2345\nid: 7-2\n\n".to_owned();
        assert_eq!(read(&retry(WAIT, Some("7-2"))), (text, vec![], "7-2".to_owned(), Some(2345)));
    }

    #[test]
    fn a_gap_and_a_notice_are_events_of_their_own_names() {
        let timestamp = Timestamp::UNIX_EPOCH;
        let data = r#"{"type":"gap","timestamp":"1970-01-01T00:00:00.000Z"}"#;
        let text = format!("event: gap\ndata: {data}\nid: 7-2\n\n");
        let message = ServerMessage::Gap { timestamp, last_event_id: None };
        let told = read(&gap(&message, Some("7-2")));
        assert_eq!(told, (text, vec![event("gap", data, "7-2")], "7-2".to_owned(), None));
        let text = format!("event: gap\ndata: {data}\n\n");
        let told = read(&gap(&message, UNKNOWN));
        assert_eq!(told, (text, vec![event("gap", data, "7-1")], "7-1".to_owned(), None));

        let notice = ServerMessage::Reconnect {
            reason: "server_restart",
            after_ms: 2345,
            deadline_ms: Some(0),
            timestamp,
            last_event_id: None,
        };
        let data = r#"{"type":"reconnect","reason":"server_restart","after_ms":2345,"deadline_ms":0,"timestamp":"1970-01-01T00:00:00.000Z"}"#;
        for (heard, line, id) in [(None, "", "7-1"), (Some("7-2"), "id: 7-2\n", "7-2")] {
            let text = format!("event: reconnect\nretry: 2345\ndata: {data}\n{line}\n");
            let told = read(&reconnect(&notice, WAIT, heard));
            assert_eq!(told, (text, vec![event("reconnect", data, id)], id.to_owned(), Some(2345)));
        }
    }

    #[test]
    fn the_response_has_no_length_and_is_neither_kept_nor_collected_on_the_way() {
        let exchange = Exchange {
            now: Timestamp::UNIX_EPOCH,
            head_only: false,
            keep_alive: false,
            takes_chunks: false,
            shared_with: Some("https://a.example".into()),
            counted_as: None,
        };
        let head = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
            Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n\
            X-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n\
            Access-Control-Expose-Headers: Retry-After\r\nConnection: close\r\n\r\n";
        assert_eq!(response("x").encode(&exchange), (head.into(), "x".into()));
        let exchange = Exchange { takes_chunks: true, ..exchange };
        let head = head.replace("Connection", "Transfer-Encoding: chunked\r\nConnection");
        assert_eq!(response("x").encode_beginning(&exchange), (head.clone().into(), "1\r\nx\r\n".into()));
        assert_eq!(response("x").encode(&exchange), (head.clone().into(), "1\r\nx\r\n0\r\n\r\n".into()));
        let head_only = Exchange { head_only: true, ..exchange };
        assert_eq!(response("x").encode(&head_only), (head.into(), "".into()));
    }
}

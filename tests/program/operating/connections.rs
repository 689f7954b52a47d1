//! Who is connected, and who has come and gone: in the status and in the log.

use serde_json::Value;
use support::client::Client;
use support::peer::Peer;

use super::office::Office;
use crate::process::Process;

fn ids(page: &Value) -> Vec<String> {
    let list = page["list"].as_array().unwrap().iter();
    list.map(|client| client["id"].as_str().unwrap().to_owned()).collect()
}

fn id_of(client: &Client) -> String {
    client.welcome["connection_id"].as_str().unwrap().to_owned()
}

#[test]
fn operators_are_shown_all_clients_of_all_workers_a_page_at_a_time() {
    for flags in ["", "--workers 2"] {
        let office = Office::open(flags);
        let clients: Vec<Client> = (0..5).map(|_| office.server.client_at("/ws?topic=a&topic=b")).collect();
        let mut expected: Vec<String> = clients.iter().map(id_of).collect();
        let listed = |query: &str| office.admin.get(&format!("/status?{query}")).json();
        let page = listed("connections");
        let mut all = ids(&page);
        expected.sort();
        all.sort();
        assert_eq!((&all, &page["truncated"], &page["connections"]), (&expected, &false.into(), &5.into()));
        let [first, ..] = &page["list"].as_array().unwrap()[..] else { panic!("{page}") };
        assert_eq!((&first["kind"], &first["topics"]), (&"WebSocket".into(), &2.into()));
        assert!(
            first["address"].as_str().unwrap().starts_with("127.0.0.1:") && first["proxy"].is_null(),
            "{page}"
        );

        let mut paged = vec![];
        loop {
            let after = paged.last().map(|id| format!("&after={id}")).unwrap_or_default();
            let page = listed(&format!("connections=2{after}"));
            paged.extend(ids(&page));
            if page["truncated"] == false {
                break;
            }
        }
        paged.sort();
        assert_eq!(paged, expected);
        assert_eq!(office.admin.get("/status?connections=1001").status, 400);
    }
}

#[test]
fn only_operators_are_shown_who_is_connected() {
    let server = Process::start("--host 0.0.0.0 --publish-token sesame");
    assert_eq!(server.door().get("/status").status, 200);
    assert_eq!(server.door().get("/status?connections").status, 401);
    let bearer = "Authorization: Bearer sesame\r\n";
    assert_eq!(server.door().ask("GET /status?connections", bearer).status, 200);
}

#[test]
fn the_log_says_of_each_client_who_it_is_and_how_it_has_gone() {
    let server = Process::start("--log-level debug --proxy-headers --forwarded-allow-ips 127.0.0.1");
    let client = server.client();
    let id = id_of(&client);
    server.next_line(&format!("[DEBUG] Connection {id}: WebSocket from 127.0.0.1:"));
    client.leave();
    let gone = server.next_line(&format!("[DEBUG] Connection {id}: from 127.0.0.1:"));
    assert!(gone.contains(", closed by the client, without a code, after "), "{gone}");
    let request = "GET /events HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n";
    let mut stream = Peer::connect(server.address());
    stream.send(request);
    server.next_line(": event stream from 203.0.113.5, by way of 127.0.0.1:");
    drop(stream);
    // Its system says so by an end or by a reset, after which nobody could be asked where it came from.
    let gone = server.next_line(", after ");
    assert!(gone.contains(": from 203.0.113.5, by way of 127.0.0.1:"), "{gone}");
}

#[test]
fn what_is_logged_as_json_is_an_object_in_each_line_to_the_very_last() {
    for flags in ["", "--workers 2"] {
        let server = Process::start(&format!("{flags} --log-format json --log-level debug"));
        let client = server.client();
        let id = id_of(&client);
        server.line("WebSocket from");
        client.leave();
        server.line("closed by the client");
        server.signal("TERM");
        let (code, lines) = server.end();
        assert_eq!(code, Some(0));
        let said: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(said.iter().all(|line| line["timestamp"].is_string() && line["pid"].is_u64()), "{lines:?}");
        assert_eq!(said.last().unwrap()["message"], "Server shutdown complete");
        let of_it: Vec<&Value> = said.iter().filter(|line| line["connection"] == *id).collect();
        let [came, gone] = of_it[..] else { panic!("{of_it:?}") };
        assert_eq!((&came["kind"], &came["level"]), (&"WebSocket".into(), &"DEBUG".into()));
        assert_eq!((&gone["reason"], &gone["code"]), (&"peer_closed".into(), &0.into()));
        assert!(gone["seconds"].is_u64() && gone["address"] == came["address"], "{gone}");
        assert_eq!(came["worker"].is_u64(), !flags.is_empty());
    }
}

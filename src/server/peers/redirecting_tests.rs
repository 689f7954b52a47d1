//! The door from where everybody is redirected to HTTPS: nobody is served there, and what bounds the clients bounds those who come.

use super::super::house::{House, SECOND};
use crate::http::door::Door;

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: a.example:80\r\n\r\n";
const REDIRECTED: &str = "HTTP/1.1 301 Moved Permanently\r\n";

fn admit(house: &mut House, said: impl AsRef<[u8]>) -> usize {
    admit_from(house, None, said)
}

fn admit_from(house: &mut House, address: Option<&str>, said: impl AsRef<[u8]>) -> usize {
    let who = house.admit_from(Door::Redirect, address.map(|address| address.parse().unwrap()), said);
    house.say(who, "");
    who
}

#[test]
fn one_connection_is_redirected_again_and_again_and_ends_when_it_idles() {
    let mut house = House::with("--timeout-keep-alive 5");
    let who = admit(&mut house, GET.repeat(3));
    let told = house.text(who);
    assert_eq!(told.matches(REDIRECTED).count(), 3, "{told}");
    assert_eq!(told.matches("\r\nLocation: https://a.example:0/a?b\r\n").count(), 3, "{told}");
    house.run_for(4 * SECOND);
    assert!(!house.has_ended(who));
    house.run_for(2 * SECOND);
    assert!(house.has_ended(who));
}

#[test]
fn a_body_too_long_to_be_skipped_ends_the_connection_behind_the_answer() {
    let mut house = House::with("");
    let head = "POST /publish HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5000000\r\n\r\n";
    let who = admit(&mut house, format!("{head}{GET}"));
    let told = house.text(who);
    assert!(told.starts_with("HTTP/1.1 308 ") && told.contains("\r\nConnection: close\r\n"), "{told}");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let mut house = House::with("--handshake-timeout 10");
    let who = admit(&mut house, &GET[..9]);
    house.run_for(11 * SECOND);
    assert!(house.text(who).starts_with("HTTP/1.1 408 ") && house.has_ended(who));
}

#[test]
fn nobody_becomes_a_client_publishes_or_makes_the_server_leave() {
    let mut house = House::with("");
    let upgrade = support::handshake("/ws");
    let resuming = support::handshake("/ws?last_event_id=0000beef-9");
    let events = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
    };
    for (said, expected) in [
        (upgrade, "HTTP/1.1 301 "),
        (resuming, "HTTP/1.1 301 "),
        (events, "HTTP/1.1 301 "),
        (post("/publish"), "HTTP/1.1 308 "),
        (post("/drain"), "HTTP/1.1 308 "),
    ] {
        let who = admit(&mut house, &said);
        let told = house.text(who);
        assert!(told.starts_with(expected) && told.matches("HTTP/1.1 ").count() == 1, "{said}: {told}");
    }
    assert_eq!(house.peers.clients(), 0);
    assert_eq!(house.peers.take_drain_request(), None);
}

#[test]
fn an_address_may_take_no_more_there_than_elsewhere() {
    let mut house = House::with("--limit-per-ip 1");
    let [first, second, other] =
        ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|address| admit_from(&mut house, Some(address), GET));
    assert!(house.text(first).starts_with(REDIRECTED));
    let told = house.text(second);
    assert!(told.starts_with("HTTP/1.1 429 ") && told.contains("\r\nRetry-After: "), "{told}");
    assert!(house.has_ended(second));
    assert!(house.text(other).starts_with(REDIRECTED));
}

#[test]
fn a_crowd_is_told_so() {
    let mut house = House::with("--limit-concurrency 1");
    let first = admit(&mut house, GET);
    let second = admit(&mut house, GET);
    assert!(house.text(first).starts_with(REDIRECTED));
    assert!(house.text(second).starts_with("HTTP/1.1 503 ") && house.has_ended(second));
}

#[test]
fn who_has_to_say_whom_it_connects_has_to_there_too() {
    let mut house = House::with("--proxy-protocol");
    let announced = format!("PROXY TCP4 192.0.2.1 192.0.2.9 5000 80\r\n{GET}");
    let [said, unsaid] = [&*announced, GET].map(|said| admit_from(&mut house, Some("127.0.0.1"), said));
    assert!(house.text(said).starts_with(REDIRECTED));
    assert!(house.text(unsaid).is_empty() && house.has_ended(unsaid));
}

#[test]
fn a_leaving_server_still_redirects_and_keeps_no_connection() {
    let mut house = House::with("");
    let who = admit(&mut house, "");
    house.leave();
    house.say(who, GET);
    let told = house.text(who);
    assert!(told.starts_with(REDIRECTED) && told.contains("\r\nConnection: close\r\n"), "{told}");
}

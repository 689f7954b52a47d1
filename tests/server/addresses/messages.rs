//! What one client may say in a second; when it is heard is shown with virtual time.

use support::client::Client;

use super::*;

/// A client that has said more than its burst, of which the rest is heard much later.
fn held_back(server: &Running) -> Client {
    let mut client = server.client();
    (0..12).for_each(|nr| client.say(&format!("nr {nr}")));
    for nr in 0..10 {
        assert_eq!(client.hear()["message"], format!("Server received: nr {nr}"));
    }
    client
}

#[test]
fn a_client_that_says_too_much_is_held_back_and_hears_on_as_all_others_do() {
    let server = Running::with(
        "--limit-messages 0.1 --notify-interval 0.05 --ws-ping-interval 0.1 --ws-ping-timeout 0.2",
    );
    let quiet = Running::with("--limit-messages 0.1");
    let mut client = held_back(&quiet);
    let mut other = quiet.client();
    other.echo("others are heard");
    // Longer than it may be silent, and yet it is not taken for that.
    let mut loud = server.client();
    (0..50).for_each(|nr| loud.say(&format!("nr {nr}")));
    let (mut echoes, mut notifications) = (0, 0);
    while notifications < 30 {
        match loud.hear()["type"].as_str() {
            Some("echo") => echoes += 1,
            Some("notification") => notifications += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(echoes, 10);
    quiet.signal();
    quiet.signal();
    assert_eq!(client.close_code(), Some(1012));
}

#[test]
fn at_a_rate_that_is_high_all_is_heard_in_its_order() {
    let server = Running::with("--limit-messages 1000");
    let mut client = server.client();
    (0..1500).for_each(|nr| client.say(&format!("nr {nr}")));
    for nr in 0..1500 {
        assert_eq!(client.hear()["message"], format!("Server received: nr {nr}"));
    }
    client.echo("and on");
}

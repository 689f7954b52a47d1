//! The limit on open files, which may be another at the next start.

use support::client::Client;
use support::publisher::Publisher;

use super::failing::only;
use super::manager::Manager;
use super::server::Service;

#[test]
fn a_limit_on_open_files_that_is_too_low_is_seen_before_anything_is_cut_short() {
    let mut service = Service::start("");
    let address = service.address();
    let mut clients: Vec<Client> = (0..100).map(|_| service.client()).collect();
    let first = Publisher::connect(address).publish("x");
    service.park();
    for flags in ["", "--workers 2"] {
        service.flags = flags.to_owned();
        let lines = service.fail_by("ulimit -n 60; exec \"$0\" \"$@\"");
        let why =
            only(&lines, "[ERROR] cannot take up what was parked: the limit on open files is 60, and 1");
        assert!(why.ends_with(" are needed: raise it (LimitNOFILE=)"), "{why}");
        only(&lines, "[WARNING] What process ");
    }
    // Not even what was listened on can be looked at.
    let lines = service.fail_by("ulimit -n 12; exec \"$0\" \"$@\"");
    only(&lines, "[ERROR] ");
    service.go_on();
    let newcomer = Client::resume(service.address(), &first);
    assert_eq!(newcomer.welcome["resumed"], true);
    for client in &mut clients {
        assert_eq!(client.hear_data(), "x");
        client.echo("y");
    }
}

#[test]
fn what_was_held_under_a_limit_on_open_files_is_taken_up_under_the_same_limit() {
    for (limit, count, flags) in [(64, 36, ""), (64, 36, "--workers 2")] {
        let limited = format!(r#"ulimit -n {limit}; exec "$0" "$@""#);
        let mut service = Service::idle(Manager::new(1), flags);
        service.go_on_by(&limited, &[]);
        let mut clients: Vec<Client> = (0..count).map(|_| service.client()).collect();
        for _ in 0..2 {
            service.park();
            service.go_on_by(&limited, &[]);
            service.process().line(&format!("] Took up {count} connections"));
        }
        clients.iter_mut().for_each(|client| client.echo("x"));
    }
}

#[test]
fn who_was_parked_counts_once_against_the_limit_on_open_files() {
    let limited = r#"ulimit -n 100; exec "$0" "$@""#;
    let mut service = Service::idle(Manager::new(1), "");
    service.go_on_by(limited, &[]);
    let mut clients: Vec<Client> = (0..40).map(|_| service.client()).collect();
    service.park();
    service.go_on_by(limited, &[]);
    clients.extend((0..10).map(|_| service.client()));
    clients.iter_mut().for_each(|client| client.echo("x"));
}

//! A start that cannot go on with what was parked says why, closes it, and serves as ever.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::Stdio;

use slackwater::server::handover::memory;
use slackwater::wire::handover::message::encode;
use slackwater::wire::handover::parked::Parked;
use support::HEALTHZ;
use support::client::Client;
use support::peer::Peer;
use support::publisher::Publisher;

use super::manager::{Manager, PARKED};
use super::server::Service;
use super::stand_in::{StandIn, file_of, image_of};
use crate::process::Process;

/// How the line begins that says why.
const WHY: &str = "[WARNING] The connections that were parked are closed: ";

/// The same, of those in one channel.
const WHY_SOME: &str = "[WARNING] Some of the connections that were parked are closed: ";

/// What follows where it is not whole.
const DAMAGED: &str = "what was parked is damaged, or not whole";

/// Why something is closed, and how it was left.
type Case = (&'static str, &'static dyn Fn(&StandIn));

/// The next start serves, and has closed the connection: the line that says why.
fn refusal(parked: StandIn) -> String {
    let (mut service, mut peer) = parked.begin("");
    assert_eq!(peer.rest(), b"");
    service.client().leave();
    assert_eq!(service.manager.kept(), [""; 0]);
    let reason =
        |line: &String| [WHY, WHY_SOME].iter().find_map(|why| line.strip_prefix(why)).map(str::to_owned);
    let why = service.process().until("why", |lines| lines.iter().find_map(reason));
    assert_eq!(service.process().lines().iter().filter_map(reason).count(), 1);
    // The next has everything that there is.
    let mut client = service.client();
    service.restart();
    client.echo("x");
    why
}

#[test]
fn what_is_whole_is_gone_on_with() {
    let parked = StandIn::new();
    let address = parked.public.local_addr().unwrap();
    parked.say_all_else();
    parked.say_image(&image_of(1), 1);
    parked.say_batch(1);
    let (service, mut peer) = parked.begin(&format!("--port {}", address.port()));
    service.process().line("] Took up 1 connections that process 77 had parked: nobody was heard for ");
    peer.send(HEALTHZ);
    assert_eq!(peer.response().status, 200);
    assert_eq!(service.address(), address);
}

#[test]
fn what_is_damaged_or_not_whole_is_closed() {
    let cases: [Case; 12] = [
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&file_of(b"nonsense"), 1);
            parked.say_batch(1);
        }),
        ("it is of format 1000, and this program reads 1 to 1", &|parked| {
            parked.say_server(1000);
            parked.say_rest();
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        // Written to this day by whoever has died meanwhile.
        (DAMAGED, &|parked| {
            let draft = memory::Draft::new().unwrap();
            parked.say_all_else();
            parked.say_image(&draft, 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            let draft = memory::Draft::new().unwrap();
            parked.say_server(1);
            parked.say(&Parked::Image, &[draft.as_fd()]);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say(&Parked::Image, &[image_of(0).as_fd()]);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_rest();
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(2), 2);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(0), 0);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(2);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say_rest();
            parked.say(&Parked::Parts { count: 2 }, &[parked.kept_part.as_fd()]);
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
    ];
    for (nth, (why, leave)) in cases.into_iter().enumerate() {
        let parked = StandIn::new();
        leave(&parked);
        assert_eq!(refusal(parked), why, "{nth}");
    }
}

#[test]
fn it_is_said_how_many_of_those_who_were_parked_are_missing() {
    let cases: [&dyn Fn(&StandIn); 3] = [
        &|parked| {
            parked.say_server(1);
            parked.say_rest();
        },
        &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(0), 0);
        },
        &|parked| parked.say_all_else(),
    ];
    for leave in cases {
        for flags in ["", "--workers 2"] {
            let parked = StandIn::new();
            leave(&parked);
            let (service, mut peer) = parked.begin(flags);
            assert_eq!(peer.rest(), b"");
            let line =
                "[WARNING] 1 of the connections that were parked are closed: they could not be taken up";
            service.process().line(line);
            service.process().line("] Took up 0 connections that process 77 had parked");
            let moved = "slackwater_handover_connections_total{result=\"moved\"}";
            assert_eq!(service.process().door().metrics().of(moved), 0.0);
        }
    }
}

#[test]
fn what_another_program_says_is_none_of_it() {
    let parked = StandIn::new();
    parked.channel.send(&"nonsense", &[parked.accepted.as_fd()]).unwrap();
    assert_ne!(encode(&"nonsense"), encode(&Parked::Image));
    assert_eq!(refusal(parked), DAMAGED);
}

#[test]
fn a_store_with_nothing_in_it_says_so() {
    let (service, _) = StandIn::new().begin("");
    assert_eq!(service.manager.kept(), [""; 0]);
    let nothing = "Nothing is in what was parked";
    service.process().line(nothing);
    let lines = service.process().lines();
    assert_eq!(lines.iter().filter(|line| line.contains(nothing)).count(), 1, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with(WHY)), "{lines:#?}");
}

#[test]
fn what_has_another_name_is_none_of_it() {
    let manager = Manager::new(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    manager.put("another", listener.into());
    let service = Service::under(manager, "");
    assert_eq!(service.address(), address, "it is a socket to listen on, as ever");
}

#[test]
fn a_start_that_fails_leaves_what_was_parked_to_the_next() {
    let mut service = Service::start("");
    let mut client = service.client();
    service.park();
    let mut command = service.manager.command("--state-file /none/state", &[]);
    let (code, lines) = Process::spawn_only(command.stdin(Stdio::null())).end();
    assert_eq!(code, Some(3), "{lines:?}");
    service.go_on();
    client.echo("x");
}

#[test]
fn a_start_that_cannot_listen_leaves_what_was_parked_to_the_next() {
    let mut service = Service::start("");
    let (address, mut client) = (service.address(), service.client());
    service.park();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flags in [&format!("--port {port}"), "--uds /none/socket", "--host no.such.host.invalid"] {
        let lines = service.fail(flags);
        assert_eq!(
            lines.iter().filter(|line| line.contains(" has parked stays with ")).count(),
            1,
            "{lines:#?}"
        );
    }
    let mut waiting = Peer::connect(address);
    waiting.send(HEALTHZ);
    service.go_on();
    assert_eq!(service.address(), address);
    assert_eq!(waiting.response().status, 200);
    client.echo("x");
}

#[test]
fn a_start_without_the_state_file_takes_away_what_was_left_in_it() {
    for flags in ["", "--workers 2"] {
        let manager = Manager::new(1);
        let state = manager.folder().join("state");
        let mut service = Service::under(manager, &format!("{flags} --state-file {}", state.display()));
        let mut client = service.client();
        service.park();
        assert!(state.exists());
        service.flags = flags.to_owned();
        service.go_on();
        service.process().line("] Took up 1 connections");
        client.echo("x");
        assert!(!state.exists(), "by it a later start would give ids once more");
    }
}

#[test]
fn what_was_handed_to_another_process_is_said_to_be_lost() {
    let mut service = Service::start("");
    service.park();
    service.go_on_by(r#""$0" "$@"; exit"#, &[]);
    let line = service.process().line("[WARNING] What was parked was handed to process ");
    let why =
        " and not to this one, and is not taken up: a script that starts the server is to do so by exec";
    assert!(line.ends_with(why), "{line}");
    assert!(!service.process().lines().iter().any(|line| line.contains("closed")));
    assert_eq!(service.manager.kept(), [PARKED]);
}

#[test]
fn what_is_no_socket_is_closed() {
    let manager = Manager::new(1);
    manager.put(PARKED, std::fs::File::open("/dev/null").unwrap().into());
    let mut service = Service::under(manager, "");
    service.process().line(WHY);
    let mut client = service.client();
    assert_eq!(service.manager.kept(), [""; 0]);
    service.restart();
    client.echo("there is room for others");
}

#[test]
fn where_what_was_parked_is_lost_the_history_is_in_the_state_file() {
    let manager = Manager::new(1);
    let state = manager.folder().join("state");
    let flags = format!("--state-file {}", state.display());
    let mut service = Service::idle(manager, &flags);
    service.go_on();
    let address = service.address();
    let mut client = service.client();
    let mut publisher = Publisher::connect(address);
    let first = publisher.publish("first");
    publisher.publish("second");
    service.restart();
    assert!(!state.exists(), "it would be old at once");
    assert!(publisher.publish("third").ends_with("-3"));
    for text in ["first", "second", "third"] {
        assert_eq!(client.hear_data(), text);
    }
    service.park();
    assert!(state.exists());
    drop(service.manager.take_all());
    assert!(client.try_hear().is_err(), "the service manager has closed it");
    service.go_on();
    let mut back = Client::resume(service.address(), &first);
    assert_eq!(back.welcome["resumed"], true);
    assert_eq!((back.hear_data(), back.hear_data()), ("second".into(), "third".into()));
}

#[test]
fn who_has_no_time_left_is_closed_with_its_code_and_everybody_else_goes_on() {
    let mut service = Service::start("--timeout-keep-alive 0.3");
    let address = service.address();
    let mut client = service.client();
    let mut kept = Peer::connect(address);
    kept.send(HEALTHZ);
    assert_eq!(kept.response().status, 200);
    service.park();
    let began = std::time::Instant::now();
    while began.elapsed().as_millis() < 400 {
        std::thread::yield_now();
    }
    service.go_on();
    assert_eq!(kept.rest(), b"");
    client.echo("x");
}

//! A server of one process: what it prints, what it obeys, how it ends.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use support::peer::Peer;

use crate::process::{BINARY, Process, output, run, signal, text_of};

fn run_with(flags: &str) -> (Option<i32>, String) {
    run(Command::new(BINARY).args(flags.split_whitespace()))
}

#[test]
fn leaving_is_told_to_the_letter() {
    let server = Process::start("--drain-check-interval 3600");
    let clients = [server.client(), server.client(), server.client()];
    server.next_line("Total connections: 3");
    server.signal("TERM");
    server.next_line("Waiting for 3 connections to close. Time remaining: 1800s");
    for (client, left) in clients.into_iter().zip([2, 1, 0]) {
        client.leave();
        assert_eq!(server.next_line(""), format!("[INFO] Client disconnected. Total connections: {left}"));
    }
    let rest = [
        "[INFO] All WebSocket connections closed. Proceeding with shutdown.",
        "[INFO] Server shutdown complete",
    ];
    assert_eq!(server.end(), (Some(0), rest.map(str::to_owned).into()));
}

#[test]
fn a_drain_begins_with_three_lines_and_reports_while_it_waits() {
    let server = Process::start("--timeout-graceful-shutdown 100 --drain-check-interval 0.05");
    let client = server.client();
    server.next_line("Total connections: 1");
    server.signal("INT");
    for expected in [
        "[INFO] Shutdown signal received",
        "[INFO] Graceful shutdown initiated",
        "[INFO] Waiting for 1 connections to close. Time remaining: 100s",
        "[INFO] Waiting for 1 connections to close. Time remaining: 100s",
    ] {
        assert_eq!(server.next_line(""), expected);
    }
    client.leave();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn an_empty_server_ends_at_once_though_others_hold_http_connections() {
    let server = Process::start("");
    assert_eq!(server.preamble(), [""; 0], "where it is is the first thing it says");
    let mut half = Peer::connect(server.address());
    half.send("GET / HT");
    let _silent = TcpStream::connect(server.address()).unwrap();
    assert_eq!(server.door().get("/healthz").status, 200);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn the_process_ends_in_the_turn_in_which_the_last_client_leaves() {
    let mut milliseconds: Vec<u128> = (0..5)
        .map(|_| {
            let server = Process::start("");
            let client = server.client();
            server.signal("TERM");
            server.next_line("Waiting for 1");
            client.leave();
            let left = Instant::now();
            assert_eq!(server.end().0, Some(0));
            left.elapsed().as_millis()
        })
        .collect();
    milliseconds.sort_unstable();
    println!(
        "from the last client's leaving to the exit, in ms: {milliseconds:?}, median {}",
        milliseconds[2]
    );
}

#[test]
fn a_second_signal_closes_everyone_with_1012() {
    let server = Process::start("");
    let mut clients = [server.client(), server.client()];
    server.signal("TERM");
    server.next_line("Waiting for 2");
    server.signal("INT");
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1012));
    }
    let (code, lines) = server.end();
    assert_eq!(code, Some(1));
    assert_eq!(
        lines,
        [
            "[WARNING] Second shutdown signal received. Forcing shutdown with 2 active connections.",
            "[INFO] Server shutdown complete"
        ]
    );
}

#[test]
fn the_limit_closes_everyone_with_1012_and_does_not_wait_long_for_the_deaf() {
    let server = Process::start("--timeout-graceful-shutdown 0.2");
    let mut listening = server.client();
    let deaf = server.client();
    server.signal("TERM");
    server.next_line("Waiting for 2");
    assert_eq!(listening.close_code(), Some(1012));
    let (code, lines) = server.end();
    assert_eq!(code, Some(1));
    assert_eq!(
        lines,
        [
            "[WARNING] Shutdown timeout (0.2 seconds) reached. Forcing shutdown with 2 active connections.",
            "[INFO] Server shutdown complete"
        ]
    );
    drop(deaf);
}

#[test]
fn a_successor_serves_on_the_same_port_while_the_old_one_drains() {
    let old = Process::start("");
    let mut old_client = old.client();
    old.signal("TERM");
    old.next_line("Waiting for 1");
    let new = Process::start(&format!("--port {}", old.address().port()));
    let mut new_client = new.client();
    new_client.echo("new");
    old_client.echo("old");
    old_client.leave();
    assert_eq!(old.end().0, Some(0));
    new_client.echo("still");
}

#[test]
fn a_port_in_use_is_said_in_one_line_with_the_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, stderr) = run_with(&format!("--port {port}"));
    assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
    let expected = format!("[ERROR] cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(text_of(&stderr).starts_with(&expected) && stderr.contains("--port"), "{stderr}");
}

#[test]
fn an_address_of_another_machine_and_a_name_of_none_are_refused() {
    for (flags, expected) in [
        ("--host 192.0.2.1 --port 0", "give an address of this machine with --host"),
        ("--host no.such.name.invalid", "cannot find --host no.such.name.invalid"),
    ] {
        let (code, stderr) = run_with(flags);
        assert!(code == Some(3) && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_descriptor_that_was_not_handed_over_is_refused_though_the_log_has_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" --fd 3 3<&-", BINARY]).stderr(fs::File::create(&log).unwrap());
    assert_eq!(command.status().unwrap().code(), Some(3));
    let line = fs::read_to_string(&log).unwrap();
    assert!(line.contains("cannot listen on --fd 3") && line.contains("hand over one"), "{line}");
}

#[test]
fn bad_usage_is_refused_with_the_flag_the_value_and_the_mend() {
    for (flags, expected) in [
        ("--port 99999", "invalid value '99999' for '--port <PORT>': give a whole number from 0 to 65535"),
        ("--reload", "'--reload' is not possible: the program is compiled"),
        ("--no-such-flag", "unexpected argument '--no-such-flag'"),
        ("main:app", "an application, as 'main:app', is not possible: there is no Python application"),
    ] {
        let (code, stderr) = run_with(flags);
        assert!(code == Some(2) && stderr.contains(expected), "{flags}: {stderr}");
    }
}

#[test]
fn help_and_version_are_printed_and_are_no_failure() {
    let run = |flag| output(Command::new(BINARY).arg(flag));
    let version = run("--version");
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(version.stdout, format!("slackwater {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let help = run("--help");
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(text.contains("--timeout-graceful-shutdown") && text.contains("SLACKWATER_PORT"), "{text}");
}

#[test]
fn the_environment_is_read_and_the_flag_wins() {
    let server = Process::spawn(
        Command::new(BINARY)
            .args(["--port", "0"])
            .env("SLACKWATER_PORT", "1")
            .env("SLACKWATER_LOG_LEVEL", "info"),
    );
    assert_eq!(server.door().get("/healthz").status, 200);
    let (code, stderr) = run(Command::new(BINARY).env("WEB_CONCURRENCY", "lots"));
    assert!(code == Some(2) && stderr.contains("invalid value 'lots' for 'WEB_CONCURRENCY'"), "{stderr}");
}

#[test]
fn a_variable_for_a_flag_without_a_value_holds_a_truth_value_or_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let start = |value: &str, more: &[&str]| {
        let mut command = Command::new(BINARY);
        run(command.args(["--port", &port]).args(more).env("SLACKWATER_NO_DRAIN_NOTICE", value))
    };
    for value in ["maybe", "", " 1", "2", "truee"] {
        let (code, error) = start(value, &[]);
        let why =
            format!("invalid value '{value}' for 'SLACKWATER_NO_DRAIN_NOTICE': give 1, true, yes or on");
        assert!(code == Some(2) && error.contains(&why), "{value:?}: {error}");
    }
    // The port is taken: what is understood ends with that.
    for (value, leaves_time) in
        [("1", false), ("Yes", false), ("t", false), ("0", true), ("OFF", true), ("n", true)]
    {
        assert_eq!(start(value, &[]).0, Some(3), "{value:?}");
        let (code, error) = start(value, &["--drain-close-after", "5"]);
        assert_eq!(code, Some(if leaves_time { 3 } else { 2 }), "{value:?}: {error}");
    }
}

#[test]
fn the_level_comes_from_the_flag_or_from_rust_log() {
    let leave_quietly = |command: &mut Command| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        run(command.args(["--port", &port])).1
    };
    // The port is taken, so that one error is all there is to say.
    assert_eq!(leave_quietly(Command::new(BINARY).env("RUST_LOG", "off")), "");
    assert!(
        leave_quietly(Command::new(BINARY).env("RUST_LOG", "off").args(["--log-level", "error"]))
            .contains("[ERROR]")
    );
    assert!(leave_quietly(Command::new(BINARY).args(["--log-level", "debug"])).contains("[DEBUG]"));
}

#[test]
fn a_hand_over_that_is_asked_of_a_worker_does_no_harm() {
    let server = Process::start("--workers 2");
    let mut client = server.client();
    let line = server.next_line("Client connected");
    let worker = line.split(['(', ')']).nth(1).expect("the line names the process");
    signal(worker.parse().unwrap(), "HUP");
    client.echo("x");
}

#[test]
fn a_full_log_loses_lines_and_says_how_many_but_never_stops_the_server() {
    let (mut server, log) = Process::spawn_unread(&mut Command::new(BINARY));
    // A pipe holds 64 KiB, and each client logs over 100 bytes that nobody reads.
    for _ in 0..800 {
        server.client().leave();
    }
    assert_eq!(server.door().get("/healthz").status, 200);
    server.read(log);
    server.next_line("Client connected");
    server.client().leave();
    assert!(server.next_line("log lines lost").starts_with("[WARNING] "));
    server.signal("TERM");
    let (code, lines) = server.end();
    assert_eq!(code, Some(0));
    assert!(!lines.iter().any(|line| line.contains("lost")), "it is said once: {lines:?}");
}

#[test]
fn a_log_that_nobody_can_read_any_more_never_stops_the_server() {
    let (server, log) = Process::spawn_unread(&mut Command::new(BINARY));
    drop(log);
    let mut client = server.client();
    client.echo("x");
    server.signal("TERM");
    client.leave();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_is_said_once() {
    let script = format!("ulimit -n 40; exec {BINARY} --handshake-timeout 1");
    let server = Process::spawn(Command::new("sh").args(["-c", &script]));
    let silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.next_line("[ERROR] Accepting connections paused: Too many open files");
    // Until the first of them are cut the timer tries again in vain.
    let before = cpu_ticks(server.pid());
    assert_eq!(server.next_line(""), "[INFO] Accepting connections again");
    assert!(cpu_ticks(server.pid()) - before < 50, "it spins while it is paused");
    drop(silent);
    server.client().leave();
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// User and system time in hundredths of a second: proc(5).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_refused_newcomer_finds_the_port_closed_during_a_drain() {
    let server = Process::start("");
    let client = server.client();
    server.signal("TERM");
    server.next_line("Waiting for 1");
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    client.leave();
    assert_eq!(server.end().0, Some(0));
}

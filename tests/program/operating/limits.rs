//! What is left to operators, and of the server, when it meets the limits that the system sets: on descriptors and on the
//! size of files.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;

use support::PATIENCE;
use support::client::Client;

use crate::door::Door;
use crate::process::{BINARY, Process, address_in, signal, text_of, wait};

/// The program, started under a limit of the shell's.
fn under(limit: &str, flags: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit}; exec {BINARY} --port 0 {flags}")]);
    command
}

#[test]
fn operators_get_in_and_the_state_is_left_behind_though_clients_have_used_all_descriptors() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (door, state) = (folder.path().join("admin"), folder.path().join("state"));
        let flags =
            format!("--admin {} --state-file {} --workers {workers}", door.display(), state.display());
        let server = Process::spawn(&mut under("-n 64", &flags));
        let _crowd: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for _ in 0..workers {
            server.next_line("Accepting connections paused: Too many open files");
        }
        let admin = Door::Unix(door);
        assert_eq!(admin.publish("x").status, 200);
        for path in ["/healthz", "/readyz", "/status", "/metrics"] {
            assert_eq!(admin.get(path).status, 200);
        }
        server.signal("TERM");
        let (code, lines) = server.end();
        assert_eq!(code, Some(0));
        assert!(!lines.iter().any(|line| line.contains("lost")), "{lines:?}");
        assert!(state.exists());
    }
}

#[test]
fn the_state_is_left_behind_though_operators_have_used_all_descriptors() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (door, state) = (folder.path().join("admin"), folder.path().join("state"));
        let flags = format!("--admin {} --state-file {}", door.display(), state.display());
        let flags = format!("{flags} --workers {workers} --handshake-timeout 60");
        let server = Process::spawn(&mut under("-n 64", &flags));
        let _crowd: Vec<UnixStream> = (0..150).map(|_| UnixStream::connect(&door).unwrap()).collect();
        for _ in 0..workers {
            server.next_line("Accepting connections paused: Too many open files");
        }
        server.signal("TERM");
        let (code, lines) = server.end();
        assert_eq!(code, Some(0));
        assert!(!lines.iter().any(|line| line.contains("lost")), "{lines:?}");
        assert!(state.exists());
    }
}

#[test]
fn clients_that_had_to_wait_are_accepted_as_others_leave() {
    let server = Process::spawn(&mut under("-n 40", "--handshake-timeout 60"));
    let mut crowd: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.next_line("[ERROR] Accepting connections paused: Too many open files");
    // Some of those who wait ask for nothing, and the server looks no further until they have gone.
    crowd.clear();
    assert_eq!(server.next_line(""), "[INFO] Accepting connections again");
    server.client().leave();
}

#[test]
fn a_state_that_is_larger_than_files_may_be_is_said_to_be_lost_and_kills_nobody() {
    for flags in ["", "--workers 2"] {
        let folder = tempfile::tempdir().unwrap();
        let (door, state) = (folder.path().join("admin"), folder.path().join("state"));
        let flags = format!("--admin {} --state-file {} {flags}", door.display(), state.display());
        let server = Process::spawn(&mut under("-f 2", &flags));
        assert_eq!(Door::Unix(door).publish(&"x".repeat(5000)).status, 200);
        server.signal("TERM");
        server.next_line("The history is lost to a successor");
        assert_eq!(server.end().0, Some(0));
        assert!(!state.exists());
    }
}

#[test]
fn a_log_that_is_larger_than_files_may_be_loses_lines_and_stops_nobody() {
    for flags in ["", "--workers 2"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut server = under("-f 2", flags).stderr(File::create(&path).unwrap()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let log = || fs::read_to_string(&path).unwrap();
        let serving = || log().lines().find(|line| line.contains("ws://")).map(address_in);
        let address = loop {
            match serving() {
                Some(address) => break address,
                None => assert!(Instant::now() < deadline, "{}", log()),
            }
        };
        for _ in 0..40 {
            Client::join(address, "/ws").leave();
        }
        assert_eq!(Door::Ip(address).get("/healthz").status, 200);
        signal(server.id(), "TERM");
        assert_eq!(wait(&mut server), Some(0), "{}", log());
    }
}

#[test]
fn a_signal_is_obeyed_from_the_moment_in_which_somebody_can_connect() {
    // Bash connects and kills without starting anything. Before the program's own first steps a signal is the system's.
    let script = r#"
        "$0" --host 127.0.0.1 --port "$1" --workers "$2" & server=$!
        for ((tries = 0; tries < $3; tries++)); do
            if true 3<>"/dev/tcp/127.0.0.1/$1"; then connected=1; break; fi
        done 2>/dev/null
        kill -TERM $server
        wait $server
        echo "$? ${connected-0}"
    "#;
    for workers in ["1", "2"] {
        for most_tries in (0..1000).step_by(40).chain([10_000_000; 10]) {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let arguments = [script, BINARY, &port.to_string(), workers, &most_tries.to_string()];
            let output = Command::new("bash").arg("-c").args(arguments).output().unwrap();
            let (said, log) =
                (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            match said.trim() {
                "143 0" => assert_eq!(log, ""),
                "0 0" | "0 1" => {
                    let lines: Vec<&str> = log.lines().map(text_of).collect();
                    assert!(lines.contains(&"[INFO] Shutdown signal received"), "{log}");
                    assert_eq!(lines.last(), Some(&"[INFO] Server shutdown complete"), "{log}");
                }
                other => panic!("{other} after {most_tries} tries: {log}"),
            }
        }
    }
}

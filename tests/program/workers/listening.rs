//! What is listened on: a path, a descriptor, a port that others want, too.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use support::PATIENCE;
use support::client::Client;

use super::crew::{Crew, stop};
use crate::door::Door;
use crate::process::{BINARY, Process, signal};

fn on_path(path: &Path, workers: usize) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["--workers", &workers.to_string(), "--timeout-worker-healthcheck", "60", "--uds"])
        .arg(path);
    command
}

fn connect(path: &Path) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::over(stream, "ws://localhost/ws").unwrap()
}

/// The one line of a program that ends with 3.
fn refusal(command: &mut Command) -> String {
    let (code, lines) = Process::spawn_only(command).end();
    assert_eq!((code, lines.len()), (Some(3), 1), "{lines:#?}");
    lines[0].clone()
}

#[test]
fn a_path_is_served_and_its_file_goes_with_the_server() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let crew = Crew::spawn(&mut on_path(&path, workers));
        let with = if workers == 1 { "" } else { " with 2 workers" };
        let expected = format!("[INFO] Serving on unix:{}{with} (Ctrl-C to leave)", path.display());
        assert_eq!(crew.line("Serving "), expected);
        let mut client = connect(&path);
        client.echo("x");
        crew.signal("TERM");
        crew.line("Waiting for 1 connections to close.");
        assert!(!path.exists(), "nobody is to wait where nobody accepts");
        client.echo("x");
        client.leave();
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn every_worker_serves_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let crew = Crew::spawn(&mut on_path(&path, 2));
    let (one, two) = (crew.process(1, 1), crew.process(2, 1));
    for (stopped, serving) in [(one, two), (two, one)] {
        stop(stopped);
        let mut client = connect(&path);
        client.echo("x");
        crew.line(&format!("({serving}): Client connected. Total connections: 1"));
        client.leave();
        signal(stopped, "CONT");
    }
    // What one of them leaves behind is not taken away with it.
    signal(one, "KILL");
    crew.process(1, 2);
    assert!(path.exists());
    connect(&path).leave();
}

#[test]
fn a_file_that_a_killed_server_has_left_is_replaced() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let killed = Crew::spawn(&mut on_path(&path, workers));
        killed.signal("KILL");
        killed.until_silent();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        let crew = Crew::spawn(&mut on_path(&path, workers));
        connect(&path).leave();
        crew.signal("TERM");
        assert_eq!(crew.end().0, Some(0));
        assert!(!path.exists());
    }
}

#[test]
fn a_path_in_use_is_refused_in_one_line_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let crew = Crew::spawn(&mut on_path(&path, 2));
    for workers in [1, 2] {
        let line = refusal(&mut on_path(&path, workers));
        let expected = format!("[ERROR] cannot listen on unix:{}: Address already in use", path.display());
        assert!(line.starts_with(&expected) && line.contains("--uds"), "{line}");
    }
    connect(&path).leave();
    drop(crew);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let line = refusal(&mut on_path(&path, 2));
    assert!(line.contains("Address already in use"), "{line}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

fn on_descriptor(workers: usize, stdin: impl Into<Stdio>) -> Command {
    let script = format!("exec {BINARY} --workers {workers} --fd 3 3<&0");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(stdin);
    command
}

/// The program, where this name has these addresses; `None` where the system lets nobody say so.
fn with_name(hosts: &Path, name: &str, addresses: &[&str]) -> Option<Command> {
    fs::write(hosts, addresses.iter().map(|address| format!("{address} {name}\n")).collect::<String>())
        .unwrap();
    let run = |program: &[&str]| {
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).arg(hosts).args(program);
        command
    };
    let is_possible = run(&["true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    is_possible.then(|| run(&[BINARY, "--host", name]))
}

#[test]
fn a_name_is_served_at_all_of_its_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = ["127.0.0.2", "127.0.0.3"];
    for workers in ["1", "3"] {
        let Some(mut program) = with_name(&folder.path().join("hosts"), "somewhere", &addresses) else {
            eprintln!("not tested: names cannot be given to addresses here");
            return;
        };
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        program.args(["--port", "0", "--workers", workers, "--admin", &format!("somewhere:{admin}")]);
        let server = Process::spawn(&mut program);
        for address in addresses {
            for _ in 0..8 {
                let client =
                    Client::join(format!("{address}:{}", server.address().port()).parse().unwrap(), "/ws");
                assert_eq!(client.stream().peer_addr().unwrap().ip().to_string(), address);
                client.leave();
            }
            let admin = Door::Ip(format!("{address}:{admin}").parse().unwrap());
            assert_eq!(admin.get("/readyz").status, 200);
        }
        let server_port = server.address().port();
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0));
        for address in addresses {
            TcpStream::connect((address, server_port)).unwrap_err();
        }
    }
}

#[test]
fn a_descriptor_that_listens_is_served() {
    for workers in [1, 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Those who came before it are not lost.
        let early = TcpStream::connect(address).unwrap();
        let crew = Crew::spawn_only(&mut on_descriptor(workers, OwnedFd::from(listener)));
        assert_eq!(crew.address(), address);
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = Client::over(early, &format!("ws://{address}/ws")).unwrap();
        crew.client().echo("x");
        client.leave();
        crew.signal("TERM");
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    for workers in [1, 2] {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for stdin in [Stdio::null(), OwnedFd::from(datagrams).into(), OwnedFd::from(connected).into()] {
            let line = refusal(&mut on_descriptor(workers, stdin));
            assert!(line.starts_with("[ERROR] cannot listen on --fd 3: "), "{line}");
            assert!(line.ends_with("; hand over one listening stream socket"), "{line}");
        }
        let mut closed = Command::new(BINARY);
        let line = refusal(closed.args(["--fd", "777", "--workers", &workers.to_string()]));
        assert!(line.starts_with("[ERROR] cannot listen on --fd 777: Bad file descriptor"), "{line}");
    }
}

#[test]
fn a_port_of_several_workers_is_in_use_for_every_other_server() {
    let crew = Crew::start("--workers 2");
    let port = crew.address().port().to_string();
    for workers in ["1", "2"] {
        let mut other = Command::new(BINARY);
        let line = refusal(other.args(["--port", &port, "--workers", workers]));
        let expected = format!("[ERROR] cannot listen on 127.0.0.1:{port}: Address already in use");
        assert!(line.starts_with(&expected) && line.contains("--port"), "{line}");
    }
    crew.client().echo("x");
}

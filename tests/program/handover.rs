//! One process leaves and the next goes on: what the state file carries over, and what becomes of one that is of no use.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::driver::{BINARY, Client, Process, text_of};

/// A folder with the place for a state file.
struct Place {
    folder: TempDir,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        Self { folder, state }
    }

    fn start_on(&self, port: u16) -> Process {
        self.start_with(port, "")
    }

    fn start_with(&self, port: u16, flags: &str) -> Process {
        let state = self.state.display();
        let quiet = "--notify-interval 0 --no-drain-notice";
        Process::start(&format!("--port {port} {quiet} --state-file {state} {flags}"))
    }
}

/// Publishes to the default topic: the status, and the id if there is one.
fn publish(address: SocketAddr, text: &str) -> (u16, String) {
    post(address, "", text)
}

fn post(address: SocketAddr, fields: &str, text: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = text.len();
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    write!(stream, "{head}\r\n{fields}Content-Length: {length}\r\n\r\n{text}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body: Value = serde_json::from_str(answer.rsplit("\r\n").next().unwrap()).unwrap();
    (answer[9..12].parse().unwrap(), body["id"].as_str().unwrap_or_default().to_owned())
}

/// Comes back after an id: whether it is resumed, and the client.
fn resume(address: SocketAddr, id: &str) -> (bool, Client) {
    let mut client = Client::connect_at(address, &format!("/ws?last_event_id={id}"));
    let welcome: Value = serde_json::from_str(&client.hear()).unwrap();
    (welcome["resumed"].as_bool().unwrap(), client)
}

fn data(client: &mut Client) -> String {
    let message: Value = serde_json::from_str(&client.hear()).unwrap();
    message["data"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

fn warnings(lines: &[String]) -> usize {
    lines.iter().filter(|line| text_of(line).starts_with("[WARNING] ")).count()
}

#[test]
fn clients_resume_across_a_redeploy_with_nothing_missed() {
    let place = Place::new();
    let old = place.start_on(0);
    let (_, first) = publish(old.address, "one");
    publish(old.address, "two");
    let mut loyal = old.client();
    old.signal("TERM");
    old.line("Waiting for 1");
    assert!(place.state.exists(), "it is written before the port is free");

    let new = place.start_on(old.address.port());
    assert!(!place.state.exists(), "it is used once");
    assert_eq!((new.preamble.len(), warnings(&new.preamble)), (1, 0), "{:?}", new.preamble);
    let (_, third) = publish(new.address, "three");
    assert_eq!(
        third.split_once('-').unwrap(),
        (first.split_once('-').unwrap().0, "3"),
        "the same epoch goes on"
    );
    let (is_resumed, mut client) = resume(new.address, &first);
    assert!(is_resumed);
    assert_eq!([data(&mut client), data(&mut client)], ["two", "three"]);
    assert!(loyal.echo("still here").contains("Server received"));
    loyal.leave();
    assert_eq!(old.end().0, Some(0));
}

#[test]
fn a_first_start_warns_of_nothing_and_a_state_of_no_use_means_a_new_epoch_and_one_warning() {
    let place = Place::new();
    let first = place.start_on(0);
    assert_eq!((first.preamble.len(), warnings(&first.preamble)), (1, 0), "{:?}", first.preamble);
    let (_, id) = publish(first.address, "one");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));

    let mut octets = fs::read(&place.state).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    fs::write(&place.state, &octets).unwrap();
    let damaged = place.start_on(0);
    assert_eq!(warnings(&damaged.preamble), 1, "{:?}", damaged.preamble);
    assert!(damaged.preamble[0].contains("it is damaged"));
    assert_eq!(fs::read(&place.state).unwrap(), octets, "it is left for somebody to look at");
    assert!(!resume(damaged.address, &id).0);
    assert_eq!(publish(damaged.address, "two").0, 200);
}

#[test]
fn a_crash_is_never_taken_for_a_redeploy() {
    let place = Place::new();
    let first = place.start_on(0);
    let (_, id) = publish(first.address, "one");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    let second = place.start_on(0);
    publish(second.address, "two, which no file knows of");
    second.signal("KILL");
    assert_eq!(second.end().0, None);
    let third = place.start_on(0);
    assert!(!resume(third.address, &id).0);
}

#[test]
fn a_retry_at_the_successor_gets_the_first_answer() {
    for flags in ["", "--workers 2"] {
        let place = Place::new();
        let old = place.start_with(0, flags);
        let first = post(old.address, "Idempotency-Key: k\r\n", "one");
        assert_eq!(first.0, 200);
        old.signal("TERM");
        assert_eq!(old.end().0, Some(0));
        let new = place.start_with(0, flags);
        assert_eq!(post(new.address, "Idempotency-Key: k\r\n", "one"), first);
        assert_eq!(post(new.address, "Idempotency-Key: k\r\n", "another").0, 422);
    }
}

#[test]
fn a_link_to_the_state_stays_and_the_history_goes_on_behind_it() {
    let place = Place::new();
    let real = place.folder.path().join("real");
    symlink(&real, &place.state).unwrap();
    let mut first_id = String::new();
    for round in 1..=3 {
        let server = place.start_on(0);
        let (_, id) = publish(server.address, "x");
        if round == 1 {
            first_id.clone_from(&id);
        }
        assert!(id.ends_with(&format!("-{round}")), "no id is given twice: {id}");
        assert!(resume(server.address, &first_id).0);
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0));
        assert!(fs::symlink_metadata(&real).unwrap().is_file());
        assert_eq!(fs::read_link(&place.state).unwrap(), real);
    }
}

#[test]
fn where_the_state_cannot_be_kept_nothing_starts() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    fs::write(at("config.json"), "{}").unwrap();
    fs::create_dir(at("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    let paths = [at("config.json"), at("folder"), at("fifo"), at("none/state"), "/dev/null".into()];
    for (path, flags) in paths.iter().flat_map(|path| [(path, "--workers=1"), (path, "--workers=2")]) {
        let command = &mut Command::new(BINARY);
        let output = command.args(["--port", "0", flags, "--state-file"]).arg(path).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), log.lines().count()), (Some(3), 1), "{log}");
        let start = format!("[ERROR] cannot keep the state in --state-file {}: ", path.display());
        assert!(text_of(&log).starts_with(&start) && log.contains("; give a path "), "{log}");
    }
    assert_eq!(fs::read(at("config.json")).unwrap(), b"{}");
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_state_that_cannot_be_written_any_more_is_said_and_does_not_hold_the_exit() {
    for flags in ["", "--workers 2"] {
        let place = Place::new();
        let server = place.start_with(0, flags);
        fs::write(&place.state, "somebody's").unwrap();
        server.signal("TERM");
        let (code, lines) = server.end();
        assert_eq!(code, Some(0));
        let error = format!(
            "[ERROR] The history is lost to a successor: cannot write {}: it is not a state file of this program",
            place.state.display()
        );
        assert!(lines.iter().any(|line| line.ends_with(&error)), "{lines:?}");
        assert_eq!(fs::read(&place.state).unwrap(), b"somebody's");
    }
}

//! One process leaves and the next goes on: what the state file carries over, and what becomes of one that is of no use.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use support::client::Client;
use support::events::Listener;
use support::publisher::Publisher;
use tempfile::TempDir;

use crate::process::{BINARY, Process, run, text_of};

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
        Process::start(&format!("--port {port} --state-file {} {flags}", self.state.display()))
    }
}

fn publish(server: &Process, text: &str) -> String {
    Publisher::connect(server.address()).publish(text)
}

/// Publishes with a key: the status, and what is answered.
fn publish_once(server: &Process, text: &str) -> (u16, Vec<u8>) {
    let mut publisher = Publisher::connect(server.address());
    let answer = publisher.post("/publish", "Idempotency-Key: k\r\n", text);
    (answer.status, answer.body)
}

fn is_resumed(server: &Process, id: &str) -> bool {
    Client::resume(server.address(), id).welcome["resumed"] == true
}

fn warnings(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.starts_with("[WARNING] ")).count()
}

#[test]
fn clients_resume_across_a_redeploy_with_nothing_missed() {
    let place = Place::new();
    let old = place.start_on(0);
    let first = publish(&old, "one");
    publish(&old, "two");
    let mut loyal = old.client();
    old.signal("TERM");
    old.next_line("Waiting for 1");
    assert!(place.state.exists(), "it is written before the port is free");

    let new = place.start_on(old.address().port());
    assert!(!place.state.exists(), "it is used once");
    assert_eq!((new.preamble().len(), warnings(&new.preamble())), (1, 0), "{:?}", new.preamble());
    let third = publish(&new, "three");
    assert_eq!(
        third.split_once('-').unwrap(),
        (first.split_once('-').unwrap().0, "3"),
        "the same epoch goes on"
    );
    let mut client = Client::resume(new.address(), &first);
    assert_eq!(client.welcome["resumed"], true);
    assert_eq!([client.hear_data(), client.hear_data()], ["two", "three"]);
    loyal.echo("still here");
    loyal.leave();
    assert_eq!(old.end().0, Some(0));
}

#[test]
fn a_stream_of_a_quiet_topic_resumes_after_a_redeploy_though_history_does_not_reach_back_to_its_beginning() {
    let place = Place::new();
    let flags = "--history-size 10 --drain-spread 0";
    let old = place.start_with(0, flags);
    let mut stream = Listener::join(old.address(), "/events?topic=quiet");
    let began = stream.reader.last_event_id.clone();
    let mut publisher = Publisher::connect(old.address());
    for n in 0..20 {
        publisher.publish_to("busy", n);
    }
    drop(publisher);
    old.signal("TERM");
    assert_eq!(stream.rest().iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["reconnect"]);
    let last = stream.reader.last_event_id.clone();
    let port = old.address().port();
    drop(stream);
    assert_eq!(old.end().0, Some(0));

    let new = place.start_with(port, flags);
    let back = |id| {
        let field = format!("Last-Event-ID: {id}\r\n");
        Listener::connect_with(new.address(), "/events?topic=quiet", &field)
    };
    let (mut resumed, mut behind) = (back(&last), back(&began));
    Publisher::connect(new.address()).publish_to("quiet", "at last");
    assert_eq!(resumed.hear_data(), "at last");
    assert_eq!(behind.hear().name, "gap", "history has forgotten what followed the first id");
}

#[test]
fn a_first_start_warns_of_nothing_and_a_state_of_no_use_means_a_new_epoch_and_one_warning() {
    let place = Place::new();
    let first = place.start_on(0);
    assert_eq!((first.preamble().len(), warnings(&first.preamble())), (1, 0), "{:?}", first.preamble());
    let id = publish(&first, "one");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));

    let mut octets = fs::read(&place.state).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    fs::write(&place.state, &octets).unwrap();
    let damaged = place.start_on(0);
    assert_eq!(warnings(&damaged.preamble()), 1, "{:?}", damaged.preamble());
    assert!(damaged.preamble()[0].contains("it is damaged"));
    assert_eq!(fs::read(&place.state).unwrap(), octets, "it is left for somebody to look at");
    assert!(!is_resumed(&damaged, &id));
    publish(&damaged, "two");
}

#[test]
fn a_crash_is_never_taken_for_a_redeploy() {
    let place = Place::new();
    let first = place.start_on(0);
    let id = publish(&first, "one");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    let second = place.start_on(0);
    publish(&second, "two, which no file knows of");
    second.signal("KILL");
    assert_eq!(second.end().0, None);
    let third = place.start_on(0);
    assert!(!is_resumed(&third, &id));
}

#[test]
fn a_retry_at_the_successor_gets_the_first_answer() {
    for flags in ["", "--workers 2"] {
        let place = Place::new();
        let old = place.start_with(0, flags);
        let first = publish_once(&old, "one");
        assert_eq!(first.0, 200);
        old.signal("TERM");
        assert_eq!(old.end().0, Some(0));
        let new = place.start_with(0, flags);
        assert_eq!(publish_once(&new, "one"), first);
        assert_eq!(publish_once(&new, "another").0, 422);
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
        let id = publish(&server, "x");
        if round == 1 {
            first_id.clone_from(&id);
        }
        assert!(id.ends_with(&format!("-{round}")), "no id is given twice: {id}");
        assert!(is_resumed(&server, &first_id));
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
        let (code, log) = run(Command::new(BINARY).args(["--port", "0", flags, "--state-file"]).arg(path));
        assert_eq!((code, log.lines().count()), (Some(3), 1), "{log}");
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

//! `--handover PATH`: a second start takes over from the first, whatever its other flags are.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use slackwater::wire::handover::message::ToSuccessor;
use support::HEALTHZ;
use support::peer::Peer;
use support::publisher::Publisher;
use tempfile::TempDir;

use super::rollback::StandIn;
use super::server::FAILED;
use crate::door::Door;
use crate::process::{BINARY, Process, run};

/// A folder for everything, and a path in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flags(&self, flags: &str) -> Vec<String> {
        let flags = format!("--handover FOLDER/handover {flags}");
        let flags = flags.replace("FOLDER", self.0.path().to_str().unwrap());
        flags.split_whitespace().map(str::to_owned).collect()
    }

    fn start(&self, flags: &str) -> Process {
        Process::spawn(Command::new(BINARY).args(self.flags(flags)))
    }
}

#[test]
fn a_second_start_takes_over_with_its_own_flags() {
    let place = Place::new();
    let first = place.start("--port 0");
    let mut client = first.client();
    let (old, new, admin) =
        (first.door(), place.0.path().join("new"), Door::Unix(place.0.path().join("admin")));
    Publisher::connect(first.address()).publish("one");
    assert_eq!(client.hear_data(), "one");

    let second = place.start("--uds FOLDER/new --admin FOLDER/admin --log-level debug");
    assert_eq!(first.end().0, Some(0));
    old.closes();
    assert_eq!(Door::Unix(new.clone()).get("/healthz").status, 200);
    assert_eq!(admin.publish("two").status, 200);
    assert_eq!(client.hear_data(), "two");
    client.echo("x");

    let third = place.start("--host 127.0.0.1 --port 0 --admin FOLDER/admin");
    assert_eq!(second.end().0, Some(0));
    assert!(!new.exists(), "nobody listens there any more");
    assert_eq!(admin.publish("three").status, 200);
    assert_eq!(client.hear_data(), "three");
    third.client().leave();

    let fourth = place.start("--port 0 --ws-max-size 100");
    assert_eq!(third.end().0, Some(0));
    assert!(!place.0.path().join("admin").exists());
    client.say(&"x".repeat(101));
    assert_eq!(client.close_code(), Some(1009), "what holds now is the last one's");
    fourth.signal("TERM");
    assert_eq!(fourth.end().0, Some(0));
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn where_nobody_serves_it_starts_as_usual_also_over_what_a_killed_one_has_left() {
    let place = Place::new();
    let first = place.start("--port 0");
    first.signal("KILL");
    assert_eq!(first.end().0, None);
    assert!(place.0.path().join("handover").exists());
    let second = place.start("--port 0");
    assert!(!second.lines().iter().any(|line| line.contains("Took over")));
    let mut client = second.client();
    let third = place.start("--port 0");
    third.line("] Took over 1 connections from process ");
    client.echo("x");
}

/// Whoever starts there may name it otherwise, and have files of such names itself.
#[test]
fn a_second_start_in_another_folder_touches_no_file_of_its_own_folder() {
    for (flags, doors) in [
        ("--uds ../public", &["public"][..]),
        ("--port 0", &[]),
        ("--workers 2 --uds ../public", &["public"]),
    ] {
        let place = Place::new();
        let folder = place.0.path();
        fs::create_dir(folder.join("elsewhere")).unwrap();
        let own = ["public", "admin", "handover"].map(|name| folder.join("elsewhere").join(name));
        own.iter().for_each(|file| fs::write(file, "somebody's").unwrap());
        let start = |folder: &Path, flags: &str| {
            Process::spawn(Command::new(BINARY).args(flags.split_whitespace()).current_dir(folder))
        };
        let first = start(folder, "--uds public --admin ./admin --handover handover");
        let second = start(&folder.join("elsewhere"), &format!("--handover ../handover {flags}"));
        assert_eq!(first.end().0, Some(0));
        for name in ["public", "admin"] {
            assert_eq!(folder.join(name).exists(), doors.contains(&name), "{flags}: {name}");
        }
        for name in doors {
            assert_eq!(Door::Unix(folder.join(name)).get("/healthz").status, 200, "{flags}");
        }
        second.signal("TERM");
        assert_eq!(second.end().0, Some(0));
        assert!(own.iter().all(|file| fs::read(file).unwrap() == b"somebody's"), "{flags}");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "{flags}: nothing is left behind");
    }
}

#[test]
fn a_file_that_was_taken_away_is_made_anew_and_one_that_was_put_in_its_place_is_let_be() {
    for workers in ["1", "2"] {
        let place = Place::new();
        let at = |name: &str| place.0.path().join(name);
        let first = place.start(&format!("--uds FOLDER/public --workers {workers}"));
        fs::remove_file(at("handover")).unwrap();
        fs::remove_file(at("public")).unwrap();
        let other = UnixListener::bind(at("public")).unwrap();
        first.signal("HUP");
        first.line("] Took over 0 connections from process ");
        first.count("Serving ", 2);
        let second = place.start(&format!("--uds FOLDER/public --workers {workers}"));
        second.line("] Took over 0 connections from process ");
        second.signal("TERM");
        assert_eq!(second.end().0, Some(0));
        assert!(at("public").exists() && !at("handover").exists(), "{workers} workers");
        drop(other);
    }
}

#[test]
fn a_path_that_cannot_be_had_is_said_and_nothing_starts() {
    let place = Place::new();
    let at = |name: &str| place.0.path().join(name);
    fs::write(at("file"), "somebody's").unwrap();
    let _other = UnixListener::bind(at("stream")).unwrap();
    for path in [at("file"), at("stream"), at("none/handover"), at(&"long".repeat(30)), place.0.path().into()]
    {
        let (code, log) = run(Command::new(BINARY).args(["--port", "0", "--handover"]).arg(&path));
        assert_eq!((code, log.lines().count()), (Some(3), 1), "{log}");
        let start = format!("[ERROR] cannot use --handover {}: ", path.display());
        assert!(log.contains(&start) && log.trim_end().ends_with("in a folder of this user's own"), "{log}");
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"somebody's");
    assert!(at("stream").exists());
}

#[test]
fn only_one_takes_over_at_a_time() {
    let place = Place::new();
    let server = place.start("--port 0");
    let mut client = server.client();
    let mut one = StandIn::connect(&place.0.path().join("handover"));
    one.greet();
    let (code, log) = run(Command::new(BINARY).args(place.flags("--port 0")));
    assert_eq!((code, log.lines().count()), (Some(3), 1), "{log}");
    assert!(log.contains("the other process says: another process is about to take over"), "{log}");
    server.signal("HUP");
    server.line("[WARNING] Not handing over: another process is about to take over");
    client.echo("x");
    one.get_ready();
    assert!(matches!(one.take_batches(), ToSuccessor::Commit(_)));
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn another_users_process_is_refused() {
    let place = Place::new();
    let can =
        Command::new("setpriv").args(["--reuid", "65534", "--clear-groups", BINARY, "--version"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: this user may not become another");
    }
    let server = place.start("--port 0");
    let mut client = server.client();
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--clear-groups", BINARY]).args(place.flags("--port 0"));
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o777)).unwrap();
    let (code, log) = run(&mut other);
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("Permission denied"), "{log}");
    // Whoever may write to the socket is not therefore its user.
    fs::set_permissions(place.0.path().join("handover"), Permissions::from_mode(0o666)).unwrap();
    let (code, log) = run(&mut other);
    assert_eq!(code, Some(3), "{log}");
    assert!(
        log.contains("another user's process listens there") || log.contains("only its own user's"),
        "{log}"
    );
    client.echo("x");
    let lines = server.lines();
    assert!(!lines.iter().any(|line| line.contains(FAILED)), "{lines:?}");
}

/// Publishes "late", of which half is read.
pub fn half_publisher(server: &Process) -> Peer {
    let mut publisher = Peer::connect(server.address());
    publisher.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    assert_eq!(publisher.head().status, 100);
    publisher.send("la");
    publisher
}

#[test]
fn a_request_that_comes_whole_within_a_second_is_finished_by_the_old_process_and_goes_on_with_the_new_one() {
    for workers in ["", "--workers 2"] {
        let place = Place::new();
        let first = place.start(&format!("--port 0 {workers}"));
        let (mut client, mut publisher) = (first.client(), half_publisher(&first));
        let mut second = Command::new(BINARY);
        let second = Process::spawn_only(second.args(place.flags(&format!("--port 0 {workers}"))));
        first.line("] Handing over to process ");
        publisher.send("te");
        assert_eq!(publisher.response().status, 200);
        second.line("] Took over 2 connections from process ");
        assert_eq!(first.end().0, Some(0));
        assert_eq!(client.hear_data(), "late");
        publisher.send(HEALTHZ);
        assert_eq!(publisher.response().status, 200);
    }
}

#[test]
fn a_request_that_takes_longer_ends_unanswered_with_the_old_process_and_nothing_comes_of_it() {
    for workers in ["", "--workers 2"] {
        let place = Place::new();
        let first = place.start(&format!("--port 0 {workers}"));
        let (mut client, mut publisher) = (first.client(), half_publisher(&first));
        let second = place.start(&format!("--port 0 {workers}"));
        first.line("; 1 could not be moved");
        assert_eq!(publisher.rest(), b"");
        assert_eq!(first.end().0, Some(0));
        client.echo("x");
        second.client().leave();
    }
}

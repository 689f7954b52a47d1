//! `publish` and `listen`: what goes in at the one end comes out at the other, once and in order, whatever the servers between them
//! do meanwhile.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use support::PATIENCE;

use crate::process::{BINARY, Process, output, signal};

/// A `listen` that runs.
struct Listening {
    child: Child,
    printed: Receiver<String>,
    said: Receiver<String>,
}

impl Listening {
    /// Starts it, and waits until it is welcome.
    fn start(flags: &str) -> Self {
        let listening = Self::spawn(Command::new(BINARY).arg("listen").args(flags.split_whitespace()));
        listening.says("Listening to ");
        listening
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = lines(child.stdout.take().unwrap());
        let said = lines(child.stderr.take().unwrap());
        Self { child, printed, said }
    }

    fn next(&self) -> String {
        self.printed.recv_timeout(PATIENCE).expect("a line is printed")
    }

    /// Waits until it says this, and no longer than everything else here.
    fn says(&self, part: &str) -> String {
        loop {
            let line =
                self.said.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("{part:?} is not said: {why}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The exit code, and what it has printed further.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let mut rest = vec![];
        while let Ok(line) = self.printed.recv_timeout(PATIENCE) {
            rest.push(line);
        }
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The exit code and what is printed on both ends.
fn publish(args: &[&str]) -> (Option<i32>, String, String) {
    let output = output(Command::new(BINARY).arg("publish").args(args).stdin(Stdio::null()));
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Publishes a text to the default topic.
fn publish_at(url: &str, text: &str) -> String {
    let (code, id, said) = publish(&["--url", url, text]);
    assert_eq!(code, Some(0), "{said}");
    id
}

fn url(server: &Process) -> String {
    format!("http://{}", server.address())
}

fn secret_file(folder: &Path, content: &str) -> String {
    let path = folder.join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_published_at_one_end_comes_out_at_the_other() {
    let server = Process::start("");
    let url = url(&server);
    let listening = Listening::start(&format!("--url {url} -t orders/* --count 5"));
    let (code, id, _) = publish(&["--url", &url, "-t", "orders/7", "hello"]);
    assert!(code == Some(0) && id.trim_end().ends_with("-1"), "{id}");
    assert_eq!(publish(&["--url", &url, "-t", "orders/8", "--json", r#"{"state": "paid"}"#]).0, Some(0));
    assert_eq!(publish(&["--url", &url, "elsewhere"]).0, Some(0));
    let mut by_lines = Command::new(BINARY);
    by_lines.args(["publish", "--url", &url, "-t", "orders/9", "--id", "k", "-"]);
    for _ in 0..2 {
        let mut child = by_lines.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"one\n\r\ntwo\r\n{three").unwrap();
        let ids = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(ids.lines().count(), 3, "{ids}");
    }
    let printed: Vec<String> = (0..5).map(|_| listening.next()).collect();
    assert_eq!(
        printed,
        ["hello", r#"{"state": "paid"}"#, "one", "two", "{three"],
        "and by the same keys but once"
    );
    assert_eq!(listening.end(), (Some(0), vec![]));
}

#[test]
fn whole_messages_are_lines_of_json_and_what_was_missed_comes_first() {
    let server = Process::start("");
    let url = url(&server);
    let first = publish_at(&url, "one");
    publish_at(&url, "two");
    let listening = Listening::start(&format!("--url {url} --json --last-event-id {}", first.trim_end()));
    let message: serde_json::Value = serde_json::from_str(&listening.next()).unwrap();
    assert_eq!((&message["type"], &message["data"]), (&"notification".into(), &"two".into()));
    signal(listening.child.id(), "INT");
    assert_eq!(listening.end(), (Some(0), vec![]));
}

#[test]
fn a_restart_in_the_middle_loses_nothing_and_brings_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let start = |port: u16| Process::start(&format!("--port {port} --state-file {}", state.display()));
    let old = start(0);
    let (url, port) = (url(&old), old.address().port());
    let listening = Listening::start(&format!("--url {url}"));
    publish_at(&url, "one");
    assert_eq!(listening.next(), "one");
    old.signal("TERM");
    old.next_line("Waiting for 1");
    old.signal("TERM");
    assert_eq!(old.end().0, Some(1));
    listening.says("trying again in");
    let publishing = thread::spawn(move || {
        publish(&["--url", &format!("http://127.0.0.1:{port}"), "--timeout", "60", "two"])
    });
    let new = start(port);
    let (code, _, said) = publishing.join().unwrap();
    assert_eq!(code, Some(0), "{said}");
    publish_at(&url, "three");
    assert_eq!([listening.next(), listening.next()], ["two", "three"]);
    signal(listening.child.id(), "TERM");
    assert_eq!(listening.end(), (Some(0), vec![]));
    drop(new);
}

#[test]
fn who_is_asked_to_reconnect_moves_and_nothing_is_missed() {
    let server = Process::start("--drain-spread 0 --max-connection-age 1");
    let url = url(&server);
    let listening = Listening::start(&format!("--url {url}"));
    publish_at(&url, "one");
    listening.says("Moved to another connection");
    publish_at(&url, "two");
    assert_eq!([listening.next(), listening.next()], ["one", "two"]);
    signal(listening.child.id(), "INT");
    assert_eq!(listening.end(), (Some(0), vec![]));
}

#[test]
fn a_hand_over_is_not_noticed_at_either_end() {
    let server = Process::start("");
    let url = url(&server);
    let listening = Listening::start(&format!("--url {url} --count 2"));
    publish_at(&url, "one");
    server.signal("HUP");
    server.line("] Handed over ");
    publish_at(&url, "two");
    assert_eq!([listening.next(), listening.next()], ["one", "two"]);
    assert_eq!(listening.said.try_iter().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(listening.end().0, Some(0));
}

#[test]
fn a_signal_ends_it_at_once_where_nobody_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let listening = Listening::spawn(Command::new(BINARY).args(["listen", "--url", &url]));
    let (mut socket, _) = silent.accept().unwrap();
    socket.read_exact(&mut [0; 100]).unwrap();
    signal(listening.child.id(), "INT");
    // Once the time to answer is over it would have been 3.
    assert_eq!(listening.end(), (Some(0), vec![]));
}

#[test]
fn when_nobody_reads_the_ids_all_is_published_all_the_same() {
    let server = Process::start("");
    let listening = Listening::start(&format!("--url {} --topic lines --count 3", url(&server)));
    let mut by_lines = Command::new(BINARY);
    by_lines.args(["publish", "--url", &url(&server), "--topic", "lines", "-"]);
    let mut child = by_lines.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"one\ntwo\nthree\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(listening.end(), (Some(0), ["one", "two", "three"].map(str::to_owned).to_vec()));
}

#[test]
fn a_line_without_an_end_is_given_up_at_what_no_server_takes() {
    let server = Process::start("--max-publish-size 64MiB");
    let mut by_lines = Command::new("sh");
    by_lines.args([
        "-c",
        "{ echo one; cat /dev/zero; } | \"$0\" publish --url \"$1\" -",
        BINARY,
        &url(&server),
    ]);
    let output = output(&mut by_lines);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line 2 has more than the 67108864 bytes that a server may take"), "{said}");
    assert_eq!((output.status.code(), output.stdout.split(|octet| *octet == b'\n').count()), (Some(1), 2));
}

#[test]
fn when_nobody_reads_any_longer_it_ends_without_a_word() {
    let server = Process::start("");
    let url = url(&server);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("\"$0\" listen --url {url} | head -1"), BINARY]);
    let mut listening = Listening::spawn(&mut shell);
    listening.says("Listening to ");
    publish_at(&url, "one");
    assert_eq!(listening.next(), "one");
    assert_eq!(listening.child.wait().unwrap().code(), Some(0));
    assert_eq!(listening.said.iter().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_token_is_shown_from_its_file_and_a_wrong_one_is_called_wrong_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start("--publish-token sesame --auth-secret 0123456789abcdef0123456789abcdef");
    let url = url(&server);
    let file = secret_file(folder.path(), "sesame\n");
    assert_eq!(publish(&["--url", &url, "--token-file", &file, "hello"]).0, Some(0));
    let (code, _, said) = publish(&["--url", &url, "hello"]);
    assert!(code == Some(1) && said.contains("401: a token is needed"), "{said}");
    let file = secret_file(folder.path(), "sekrit");
    let wrong = ["--url", &url, "--token-file", &file];
    let (code, printed, said) = publish(&[&wrong[..], &["hello"]].concat());
    assert!(code == Some(1) && printed.is_empty() && said.contains("401: the token is wrong"), "{said}");
    assert!(!said.contains("sekrit"), "{said}");
    let output = output(Command::new(BINARY).arg("listen").args(wrong));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("401: the token is no JWT"), "{said}");
    assert!(!said.contains("sekrit"), "{said}");
}

#[test]
fn what_is_refused_what_cannot_be_asked_for_and_whom_nobody_reaches_have_codes_of_their_own() {
    let server = Process::start("");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let url = url(&server);
    for (args, code, why) in [
        (
            &["--url", &url, "--json", "{a}"][..],
            1,
            "400: line 1, octet 2: names and strings stand in quotation marks",
        ),
        (&["--url", &url, "-t", "or ders", "x"], 2, "\"or ders\" is no topic"),
        (&["--url", &url], 2, "there is nothing to publish"),
        (&["--url", "ftp://x", "x"], 2, "give http://HOST:PORT"),
        (&["--url", "http://ada:sek rit@x", "x"], 2, "invalid value for '--url"),
        (&["--url", "http://ada:sekrit@x", "x"], 2, "it names a user: give a token instead"),
        (&["--url", &url, "--token", "sek rit", "x"], 2, "invalid value for '--token <TOKEN>'"),
        (&["--url", &nowhere, "--timeout", "0", "x"], 3, "cannot reach http://127.0.0.1:"),
        (
            &["--url", "https://localhost:1", "--ca-file", "/nonexistent", "x"],
            1,
            "cannot read --ca-file /nonexistent",
        ),
    ] {
        let (got, printed, said) = publish(args);
        assert!(got == Some(code) && printed.is_empty() && said.contains(why), "{args:?}: {got:?} {said}");
        assert!(!said.contains("sek rit") && !said.contains("sekrit"), "{said}");
    }
    for (args, code) in [(["--url", &nowhere], 3), (["--topic", "a*"], 2), (["--count", "0"], 2)] {
        let output = output(Command::new(BINARY).arg("listen").args(args));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}

#[test]
fn both_reach_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _server = Process::start(&format!("--uds {} --publish-token sesame", socket.display()));
    both_work(&["--uds", socket.to_str().unwrap(), "--token", "sesame"]);
}

#[cfg(feature = "tls")]
#[test]
fn both_speak_tls_with_a_server_that_they_trust_and_with_none_else() {
    use crate::visitor::{flags, issue_for};

    let folder = tempfile::tempdir().unwrap();
    issue_for(folder.path(), "localhost");
    let server = Process::start(&flags(folder.path()));
    let url = format!("https://localhost:{}", server.address().port());
    let certificate = folder.path().join("cert.pem");
    both_work(&["--url", &url, "--ca-file", certificate.to_str().unwrap()]);
    let stranger = tempfile::tempdir().unwrap();
    issue_for(stranger.path(), "localhost");
    for (file, why) in [
        (stranger.path().join("cert.pem"), "no TLS with localhost"),
        ("/none".into(), "cannot read --ca-file /none"),
    ] {
        let (code, _, said) = publish(&["--url", &url, "--ca-file", file.to_str().unwrap(), "x"]);
        assert!(code == Some(1) && said.contains(why), "{said}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_in_the_program_whoever_asks_for_it_is_told_so() {
    let (code, _, said) = publish(&["--url", "https://localhost", "x"]);
    assert!(code == Some(2) && said.contains("built without TLS"), "{said}");
}

fn both_work(reach: &[&str]) {
    let listening = Listening::spawn(Command::new(BINARY).arg("listen").args(reach).args(["--count", "1"]));
    listening.says("Listening to notifications at ");
    let (code, _, said) = publish(&[reach, &["hello"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((listening.next(), listening.end().0), ("hello".to_owned(), Some(0)));
}

//! The configuration file of the real binary, beside variables and flags: which of them counts, what is said of a wrong one, and that
//! all processes of a server have the same.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::handing_over::server::Server;
use crate::operating::redirecting::Certified;
use crate::process::{BINARY, Process, output, signal};
use crate::workers::crew::Crew;

fn file(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), text).unwrap();
    folder
}

/// The exit code of `check` in this folder, and all that it says.
fn check(folder: &Path, flags: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.arg("check").args(flags.split_whitespace()).envs(variables.iter().copied()).current_dir(folder);
    let output = output(&mut command);
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8(octets).unwrap()).concat();
    (output.status.code(), text)
}

#[test]
fn a_flag_counts_before_a_variable_and_that_before_the_file() {
    let folder = file("port = 0\nhost = \"127.0.0.2\"\n");
    let named = ("SLACKWATER_CONFIG", "f.toml");
    let host = ("SLACKWATER_HOST", "127.0.0.3");
    for (flags, variables, address) in [
        ("--config f.toml", &[][..], "127.0.0.2"),
        ("", &[named], "127.0.0.2"),
        ("--config f.toml", &[host], "127.0.0.3"),
        ("--host 127.0.0.4", &[named, host], "127.0.0.4"),
    ] {
        let (code, said) = check(folder.path(), flags, variables);
        assert!(
            code == Some(0) && said.contains(&format!("Would serve the page on http://{address}:")),
            "{said}"
        );
        assert!(said.contains("2 flags are set by the configuration file f.toml"), "{said}");
    }
    let (_, said) = check(folder.path(), "--config f.toml", &[host]);
    assert!(said.contains("SLACKWATER_HOST counts before f.toml line 2 (host)"), "{said}");
}

#[test]
fn an_error_names_the_variable_or_the_line_that_it_comes_from() {
    let text = "port = 70000\n";
    let kubernetes = ("SLACKWATER_PORT", "tcp://10.0.0.1:80");
    for (text, flags, variables, expected) in [
        (
            "",
            "",
            &[kubernetes][..],
            "SLACKWATER_PORT=tcp://10.0.0.1:80 is what Kubernetes sets for a Service of this name, and no port: set enableServiceLinks: false",
        ),
        (
            "",
            "",
            &[("SLACKWATER_PORT", "x")],
            "invalid value 'x' for 'SLACKWATER_PORT': give a whole number from 0 to 65535",
        ),
        (
            "",
            "",
            &[("SLACKWATER_DRAIN_SPREAD", "5 parsecs")],
            "for 'SLACKWATER_DRAIN_SPREAD': give seconds from 0 to 86400, or a duration such as 30s or 5m",
        ),
        (
            "",
            "",
            &[("SLACKWATER_PARK", "maybe")],
            "invalid value 'maybe' for 'SLACKWATER_PARK': give 1, true, yes or on",
        ),
        (
            "",
            "",
            &[("SLACKWATER_ENGINE_NAME", "x")],
            "'SLACKWATER_ENGINE_NAME' means nothing without an engine",
        ),
        (
            "",
            "",
            &[("SLACKWATER_UDS", "x"), ("SLACKWATER_PORT", "1")],
            "the variables SLACKWATER_PORT and SLACKWATER_UDS cannot be used together: unset one",
        ),
        ("", "--uds x --port 1", &[], "'--uds <PATH>' cannot be used with '--port <PORT>'"),
        (
            text,
            "--config f.toml",
            &[],
            "invalid value '70000' for 'f.toml line 1 (port)': give a whole number",
        ),
        ("\nprot = 1", "--config f.toml", &[], "f.toml line 2: unknown key prot: did you mean port?"),
        ("", "--config none.toml", &[], "cannot read --config none.toml: No such file"),
        (
            "",
            "",
            &[("SLACKWATER_CONFIG", "none.toml")],
            "cannot read SLACKWATER_CONFIG none.toml: No such file",
        ),
        (
            "",
            "",
            &[("SLACKWATER_CONFIG", "")],
            "a value is required for 'SLACKWATER_CONFIG' but none was supplied",
        ),
        ("", "--config .", &[], "cannot read --config .: it is a folder"),
        ("", "--config /dev/null", &[], "cannot read --config /dev/null: it is not a regular file"),
        ("publish-token = sekrit", "--config f.toml", &[], "f.toml line 1: this is no TOML"),
    ] {
        let (code, said) = check(file(text).path(), flags, variables);
        assert!(code == Some(2) && said.contains(expected) && !said.contains("sekrit"), "{flags}: {said}");
    }
    let long = format!("# {}", "x".repeat(70_000));
    let (code, said) = check(file(&long).path(), "--config f.toml", &[]);
    assert!(code == Some(2) && said.contains("it holds more than 65536 bytes"), "{said}");
}

#[test]
fn a_secret_that_others_may_read_and_a_file_that_sets_nothing_are_warned_of() {
    let folder = file("port = 0\npublish-token = \"sekrit\"\n");
    let path = folder.path().join("f.toml");
    for (mode, warning) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let (code, said) = check(folder.path(), "--config f.toml", &[]);
        assert_eq!(
            said.contains("Everyone on this machine may read the secrets in f.toml"),
            warning,
            "{said}"
        );
        assert!(code == Some(0) && !said.contains("sekrit") && !said.contains("in the arguments"), "{said}");
    }
    let (_, said) = check(file("# nothing").path(), "--config f.toml --port 0", &[]);
    assert!(said.contains("warning: The configuration file f.toml sets nothing"), "{said}");
}

#[test]
fn a_worker_is_configured_by_what_its_supervisor_has_read_and_a_successor_reads_anew() {
    let text = |size: usize, more: &str| {
        format!("workers = 2\npublish-token = \"sekrit\"\nmax-publish-size = \"{size}B\"\n{more}")
    };
    let folder = file(&text(10, ""));
    let path = folder.path().join("f.toml");
    let crew = Crew::start(&format!("--config {}", path.display()));
    let publish = |octets: usize| {
        let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer sekrit\r\nContent-Type: text/plain";
        let request = format!("{head}\r\nContent-Length: {octets}\r\n\r\n{}", "x".repeat(octets));
        crew.door().send(&request).status
    };
    fs::write(&path, text(20, "prot = 1")).unwrap();
    for number in [1, 2] {
        signal(crew.process(number, 1), "KILL");
        crew.process(number, 2);
    }
    assert_eq!([10, 11].map(publish), [200, 413]);
    crew.signal("HUP");
    crew.line("unknown key prot");
    assert_eq!([10, 11].map(publish), [200, 413]);
}

#[test]
fn a_process_that_takes_over_reads_the_file_as_it_is_then() {
    let folder = file("notify-interval = 0\nlimit-concurrency = 7");
    let path = folder.path().join("f.toml");
    let server = Process::start(&format!("--config {} --log-level info", path.display()));
    fs::write(&path, "notify-interval = 0\nlimit-concurrency = 7\nlog-level = \"info\"").unwrap();
    server.signal("HUP");
    server.line("2 flags are set by the configuration file");
    server.line("3 flags are set by the configuration file");
}

#[test]
fn where_a_server_listens_stays_at_a_reload_and_each_key_that_does_not_count_is_named_once() {
    for workers in [1, 2] {
        let text = |port: u16| format!("workers = {workers}\nadmin = \"127.0.0.1:{port}\"\n");
        let folder = file(&text(0));
        let path = folder.path().join("f.toml");
        let server = Server::start(&format!("--config {}", path.display()));
        let warnings =
            |lines: &[String]| lines.iter().filter(|line| line.contains("until a restart")).count();
        for (port, warned) in [(1, 1), (1, 2), (0, 2)] {
            fs::write(&path, text(port)).unwrap();
            server.hand_over();
            assert_eq!(warnings(&server.lines()), warned);
        }
        server.line("f.toml line 2 (admin) has changed from 127.0.0.1:0 to 127.0.0.1:1, which does not");
    }
}

#[test]
fn a_reload_neither_opens_nor_closes_the_door_for_operators() {
    for (workers, has_door) in [(1, false), (1, true), (2, false), (2, true)] {
        let text = |has_door: bool| {
            let door = if has_door { "admin = \"127.0.0.1:0\"\n" } else { "" };
            format!("port = 0\nworkers = {workers}\n{door}")
        };
        let folder = file(&text(has_door));
        let path = folder.path().join("f.toml");
        let server = Server::start(&format!("--config {}", path.display()));
        fs::write(&path, text(!has_door)).unwrap();
        for warned in 1..3 {
            server.hand_over();
            server.count("which does not count until a restart", warned);
            assert_eq!(server.door().get("/status").status, if has_door { 404 } else { 200 });
        }
        let doors = server.lines().iter().filter(|line| line.contains("Operators are answered on")).count();
        assert_eq!(doors, if has_door { 3 } else { 0 }, "{workers} {has_door}");
    }
}

#[test]
fn a_reload_that_would_answer_operators_in_plain_where_they_spoke_tls_is_refused() {
    let certified = Certified::new();
    for workers in [1, 2] {
        let certificate = certified.path().display();
        let rest = format!("port = 0\nworkers = {workers}\nssl-certfile = \"{certificate}\"\n");
        let door = "admin = \"127.0.0.1:0\"\nadmin-ssl = true\n";
        let folder = file(&format!("{rest}{door}"));
        let path = folder.path().join("f.toml");
        let server = Server::start(&format!("--config {}", path.display()));
        fs::write(&path, rest).unwrap();
        server.signal("HUP");
        server.line("in plain from now on");
        server.line("Hand-over failed");
        assert!(server.line("Operators are answered on").contains("https://"));
        // Both changes may be asked for, one after the other.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{}", door.replace("true", "false"))).unwrap();
        server.hand_over();
        server.line("Operators are answered on http://");
    }
}

#[test]
fn why_a_reload_fails_is_a_line_of_the_log() {
    for (format, workers) in [("text", 1), ("json", 1), ("json", 2)] {
        let text = format!("port = 0\nlog-format = \"{format}\"\nworkers = {workers}\n");
        let folder = file(&text);
        let path = folder.path().join("f.toml");
        let server = Process::spawn_only(Command::new(BINARY).arg("--config").arg(&path));
        server.line("Serving ");
        // Nor is the format what this says.
        fs::write(&path, text.replace("json", "text") + "prot = 1\n").unwrap();
        server.signal("HUP");
        let line = server.line("unknown key prot");
        server.line("Hand-over failed");
        match format {
            "text" => assert!(line.starts_with("[ERROR] ") && line.ends_with("did you mean port?"), "{line}"),
            _ => server.lines().iter().for_each(|line| {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
                assert!(line["message"].is_string());
            }),
        }
    }
}

#[test]
fn a_server_that_logs_json_is_refused_in_json() {
    let folder = file("log-format = \"json\"\nprot = 1\n");
    for (flags, message) in [
        (
            "--log-format json --port x",
            "invalid value 'x' for '--port <PORT>': give a whole number from 0 to 65535",
        ),
        ("--config f.toml", "f.toml line 2: unknown key prot: did you mean port?"),
        ("serve --config f.toml", "f.toml line 2: unknown key prot: did you mean port?"),
    ] {
        let mut command = Command::new(BINARY);
        let output = output(command.args(flags.split_whitespace()).current_dir(folder.path()));
        let said: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!((&said["level"], &said["message"]), (&"ERROR".into(), &message.into()));
        assert_eq!(output.status.code(), Some(2));
    }
    let (code, said) = check(folder.path(), "--config f.toml", &[]);
    assert!(code == Some(2) && said.starts_with("error: f.toml line 2"), "{said}");
}

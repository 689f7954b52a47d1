//! What is found out about a value only when a server starts by it is said of the place where the value was given: an argument, a
//! variable, or a line of the configuration file, by `slackwater check` as by the server.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::process::{BINARY, output};

/// Where a value may be given.
#[derive(Debug, Clone, Copy)]
enum Place {
    Argument,
    Variable,
    File,
}

impl Place {
    /// As it is named: by itself, and behind "with" or "in".
    fn names(self, key: &str) -> (String, String) {
        let name = match self {
            Self::Argument => format!("--{key}"),
            Self::Variable => variable(key),
            Self::File => return (format!("f.toml line 2 ({key})"), format!("in f.toml line 2 ({key})")),
        };
        (name.clone(), format!("with {name}"))
    }
}

fn variable(key: &str) -> String {
    format!("SLACKWATER_{}", key.replace('-', "_").to_uppercase())
}

/// What the program says in this folder, with this value given in this place.
fn said(folder: &Path, check: bool, beside: &str, (key, value): (&str, &str), place: Place) -> String {
    let mut command = Command::new(BINARY);
    command.args(check.then_some("check")).args(beside.split_whitespace()).current_dir(folder);
    match place {
        Place::Argument => _ = command.args([&format!("--{key}"), value]),
        Place::Variable => _ = command.env(variable(key), value),
        Place::File => {
            fs::write(folder.join("f.toml"), format!("# As it was.\n{key} = \"{value}\"\n")).unwrap();
            command.args(["--config", "f.toml"]);
        }
    }
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(if check { 2 } else { 3 }), "{key} {place:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_keeps_a_server_from_starting_is_said_of_where_it_was_given() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long"), "x".repeat(5000)).unwrap();
    fs::write(folder.path().join("short"), "short").unwrap();
    let there = format!("127.0.0.1:{port}");
    for (beside, key, value, expected) in [
        ("--port 0", "host", "no.such.name.invalid", "cannot find {} no.such.name.invalid: "),
        ("--port 0", "host", "203.0.113.1", "; give an address of this machine {with}, such as"),
        ("", "port", &port.to_string(), "or choose another port {with}"),
        ("", "uds", "none/s", "choose another path {with}, in a folder"),
        ("", "fd", "77", "cannot listen on {} 77: Bad file descriptor"),
        ("--port 0", "admin", &there, "cannot listen on {} 127.0.0.1:"),
        ("--port 0", "publish-token-file", "none", "cannot read the file given {with}: No such file"),
        ("--port 0", "publish-token-file", "long", "cannot read {} long: it holds more than 4096 bytes"),
        ("--port 0", "auth-secret-file", "short", "cannot read {} short: give at least 32 bytes"),
        ("--port 0", "auth-key-file", "short", "cannot read the keys in {} short: "),
        ("--port 0", "ssl-certfile", "none", "cannot use {} none: No such file"),
        (
            "--port 0 --ssl-certfile none",
            "ssl-ticket-keyfile",
            "short",
            "cannot use {} short: it holds 5 bytes",
        ),
        (
            "--port 0 --engine redis://127.0.0.1:1",
            "engine-password-file",
            "none",
            "given {with}: No such file",
        ),
        (
            "--port 0 --engine rediss://127.0.0.1:1",
            "engine-cacert",
            "none",
            "cannot use {} none: No such file",
        ),
        ("--port 0", "state-file", "none/s", "cannot keep the state in {} none/s: "),
        ("--port 0", "handover", "none/s", "cannot use {} none/s: "),
    ] {
        for place in [Place::Argument, Place::Variable, Place::File] {
            let (name, behind) = place.names(key);
            let expected = expected.replace("{}", &name).replace("{with}", &behind);
            // Whether a port is free is for the server alone to find out.
            for check in [false, true].into_iter().take(if ["port", "admin"].contains(&key) { 1 } else { 2 })
            {
                let said = said(folder.path(), check, beside, (key, value), place);
                assert!(said.contains(&expected), "{expected}\n{said}");
            }
        }
    }
}

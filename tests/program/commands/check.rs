//! `check`: configurations, and every line that is said of each. It starts nothing and changes nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{BINARY, Process, output, run};

const SECRET: &str = "0123456789abcdef0123456789sekrit";

/// What is said of every server that is as careful as can be.
const CAREFUL: &str =
    "--auth-secret-file SECRET --publish-token-file TOKEN --timeout-graceful-shutdown 20 --drain-spread 10";

/// A folder with a secret and a token in it, which only their owner may read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("secret", SECRET), ("token", "sekrit"), ("broken", "sekrit")] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// The exit code and what is printed on both ends. The names of files in the folder stand in capitals, and what depends on the
/// limit on open files is left out.
fn check(folder: &Path, flags: &str) -> (Option<i32>, Vec<String>, Vec<String>) {
    let place = |name: &str| folder.join(name.to_lowercase()).to_str().unwrap().to_owned();
    let names = ["SECRET", "TOKEN", "BROKEN", "STATE", "NONE"];
    let args =
        flags.split_whitespace().map(|arg| if names.contains(&arg) { place(arg) } else { arg.to_owned() });
    let output = output(Command::new(BINARY).arg("check").args(args));
    let lines = |octets: Vec<u8>| {
        let mut text = String::from_utf8(octets).unwrap();
        assert!(!text.contains("sekrit"), "{text}");
        names.iter().for_each(|name| text = text.replace(&place(name), name));
        let lines = text.lines().filter(|line| !line.contains("by its limit on open files"));
        lines.map(str::to_owned).collect()
    };
    (output.status.code(), lines(output.stdout), lines(output.stderr))
}

#[test]
fn what_a_server_would_do_is_said_and_then_what_is_dangerous_about_it() {
    let folder = folder();
    let page = "Would serve the page on http://127.0.0.1:8000 and the WebSocket on ws://127.0.0.1:8000/ws";
    let nobody = "Nobody may hear anything without a token";
    let secret = "Tokens are verified by HS256";
    let short = "note: After SIGTERM the server takes up to 30 s to end: Docker kills it after 10 s unless --stop-timeout is 30; \
                 systemd is told by the server. For less, set --timeout-graceful-shutdown";
    let here = "Everyone on this machine may publish, read /metrics and make the server leave, and so may everyone behind a proxy \
                on it that adds no X-Forwarded-For: to ask for a token, set --publish-token-file";
    let hears = "Everyone on this machine may hear every topic, and so may everyone behind a proxy on it";
    let long = "note: After SIGTERM the server takes up to 1810 s to end: Kubernetes kills it after 30 s unless \
                terminationGracePeriodSeconds is 1810, Docker after 10 s unless --stop-timeout is; systemd is told by the server. \
                For less, set --timeout-graceful-shutdown";
    let public = "Would serve the page on http://0.0.0.0:8000 and the WebSocket on ws://0.0.0.0:8000/ws with 2 workers";
    let operators = "Operators are answered on http://127.0.0.1:9000";
    let plain = "note: No TLS is spoken here: without --ssl-certfile, or a proxy in front that has TLS, whoever is on the way to 0.0.0.0:8000 can read \
                 tokens";
    let one = "note: One address may take all connections: to share them out, set --limit-per-ip, behind a proxy with --proxy-headers";
    let arguments = "warning: Everyone on this machine may read the secret in the arguments: use --auth-secret-file or \
                     SLACKWATER_AUTH_SECRET instead of --auth-secret";
    let proxies = "warning: --forwarded-allow-ips believes everybody: a client that can reach this port makes up its address";
    let everything = "warning: Without a token everyone may hear everything: instead of --anonymous-topic * name what everyone is \
                      to hear";
    let new = "Starting a new history: no server has left one in STATE";
    let alone = "note: Of several servers with the same --state-file the history of all but one is lost: give each a path of its own";
    let would = "The server would start";
    for (flags, expected) in [
        ("", vec![page, here, hears, long, would]),
        (CAREFUL, vec![page, nobody, secret, short, would]),
        (
            &format!("{CAREFUL} --host 0.0.0.0 --admin 127.0.0.1:9000 --workers 2 --state-file STATE"),
            vec![public, operators, nobody, secret, new, plain, one, short, alone, would],
        ),
        (
            &format!(
                "--auth-secret {SECRET} --anonymous-topic * --publish-token-file TOKEN --proxy-headers --forwarded-allow-ips * \
                 --timeout-graceful-shutdown 20 --drain-spread 10"
            ),
            vec![
                page,
                secret,
                short,
                arguments,
                proxies,
                everything,
                "The server would start, with 3 warnings",
            ],
        ),
    ] {
        assert_eq!(
            check(folder.path(), flags),
            (Some(0), expected.iter().map(|&line| line.to_owned()).collect(), vec![])
        );
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["broken", "secret", "token"]);
}

#[test]
fn all_that_would_keep_the_server_from_starting_is_said_at_once_and_is_exit_code_2() {
    let folder = folder();
    let flags = "--publish-token-file NONE --auth-secret-file BROKEN --state-file /proc/x --uds NONE/x --admin 192.0.2.1:9000";
    let (code, stdout, stderr) = check(folder.path(), flags);
    assert_eq!((code, &stdout[..]), (Some(2), &[][..]));
    let expected = [
        "error: cannot read the file given with --publish-token-file: No such file",
        "error: cannot read --auth-secret-file BROKEN: give at least 32 bytes of text",
        "error: cannot listen on unix:NONE/x: No such file",
        "error: cannot listen on --admin 192.0.2.1:9000: Cannot assign requested address",
        "error: cannot keep the state in --state-file /proc/x: its folder cannot be written to",
    ];
    let are_as_expected = stderr.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
    assert!(are_as_expected && stderr.len() == expected.len(), "{stderr:#?}");
    let key = format!("--auth-key-file {}/tests/keys/ec.pem", env!("CARGO_MANIFEST_DIR"));
    for (flags, why) in [
        (&*key, "it holds a private key"),
        ("--host no.such.name.invalid", "cannot find --host no.such.name.invalid"),
        ("--port 70000", "give a whole number from 0 to 65535"),
        ("--uds SECRET", "choose another path with --uds"),
        ("sekrit", "not shown as it may be a secret"),
    ] {
        let (code, _, stderr) = check(folder.path(), flags);
        assert!(code == Some(2) && stderr.join("\n").contains(why), "{flags}: {stderr:?}");
    }
}

#[test]
fn a_warning_is_exit_code_2_where_it_is_to_be_strict() {
    let folder = folder();
    let with_warning = format!("{CAREFUL} --ws-ping-interval 0");
    for (flags, expected) in [
        (CAREFUL.to_owned() + " --strict", 0),
        ("--strict".to_owned(), 0),
        (with_warning.clone(), 0),
        (with_warning + " --strict", 2),
        ("--proxy-headers --strict".to_owned(), 2),
        ("--proxy-headers --auth-secret-file SECRET --strict".to_owned(), 0),
    ] {
        let (code, stdout, _) = check(folder.path(), &flags);
        assert_eq!((code, stdout.is_empty()), (Some(expected), false), "{flags}");
    }
}

#[test]
fn a_server_that_runs_already_is_not_disturbed() {
    let folder = folder();
    let socket = folder.path().join("socket");
    let state = folder.path().join("state");
    let flags = format!("--state-file {}", state.display());
    let before = Process::start(&flags);
    assert_eq!(before.door().publish("a").status, 200);
    before.signal("TERM");
    assert_eq!(before.end().0, Some(0));
    let left = fs::read(&state).unwrap();
    let server = Process::start(&format!("--admin {}", socket.display()));
    let port = server.address().port();
    let admin = format!("--port {port} --admin {} {flags}", socket.display());
    let (code, stdout, _) = check(folder.path(), &admin);
    assert_eq!(code, Some(0));
    assert!(stdout.contains(&"Going on behind publication 1 of STATE".to_owned()), "{stdout:#?}");
    assert_eq!(fs::read(&state).unwrap(), left);
    server.client().leave();
    assert!(socket.exists());
}

#[test]
fn a_misspelt_variable_is_warned_of_by_a_server_that_starts_and_by_a_check() {
    let said = "The variable SLACKWATER_PROT in the environment means nothing; did you mean SLACKWATER_PORT?";
    for workers in ["1", "2"] {
        let mut command = Command::new(BINARY);
        let server = Process::spawn(command.args(["--workers", workers]).env("SLACKWATER_PROT", "sekrit"));
        assert_eq!(server.preamble(), [format!("[WARNING] {said}")]);
        server.client().leave();
    }
    let output = output(Command::new(BINARY).arg("check").env("SLACKWATER_PROT", "sekrit"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("\nwarning: {said}\n")) && !text.contains("sekrit"), "{text}");
    let mut token = Command::new(BINARY);
    token
        .args(["token", "--publish", "a"])
        .envs([("SLACKWATER_AUTH_SECRET", SECRET), ("SLACKWATER_PROT", "x")]);
    assert_eq!(run(&mut token), (Some(0), format!("warning: {said}\n")));
}

#[test]
fn a_report_that_nobody_takes_is_exit_code_3() {
    for (stdout, why) in [(">&-", "standard output is closed"), (">/dev/full", "No space left on device")] {
        let (code, stderr) =
            run(Command::new("sh").args(["-c", &format!("exec \"$0\" check {stdout}"), BINARY]));
        assert_eq!(code, Some(3));
        assert!(stderr.starts_with(&format!("error: cannot print the report: {why}")), "{stderr}");
    }
}

#[test]
fn a_token_that_is_the_secret_for_tokens_is_warned_of_by_a_server_that_starts_and_by_a_check() {
    let folder = folder();
    let said = "The token that publishers show is the secret by which tokens are verified: whoever has it can make tokens that grant \
                everything, to anybody. Take two that differ";
    let careful = "--timeout-graceful-shutdown 20 --drain-spread 10";
    for (flags, is_same) in [
        ("--publish-token-file SECRET --auth-secret-file SECRET", true),
        ("--publish-token-file TOKEN --auth-secret-file SECRET", false),
    ] {
        let (_, stdout, _) = check(folder.path(), &format!("{flags} {careful}"));
        assert_eq!(stdout.contains(&format!("warning: {said}")), is_same, "{stdout:#?}");
    }
    let path = folder.path().join("secret");
    let mut command = Command::new(BINARY);
    let command = command.arg("--publish-token-file").arg(&path).env("SLACKWATER_AUTH_SECRET", SECRET);
    assert_eq!(Process::spawn(command).preamble(), [format!("[WARNING] {said}")]);
}

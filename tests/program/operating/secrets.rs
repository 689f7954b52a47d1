//! What becomes of the token outside of requests: it is shown nowhere, and whoever keeps it badly is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{BINARY, Process, output, run};

const TOKEN: &str = "sesame:open";

/// What is printed by a server that does not start.
fn failed(command: &mut Command) -> (Option<i32>, String) {
    run(command.args(["--port", "0"]))
}

fn token_file(content: impl AsRef<[u8]>, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn start(workers: &str, token: &[&str]) -> Process {
    Process::spawn(Command::new(BINARY).args(["--workers", workers]).args(token))
}

fn publish(server: &Process, token: &str) -> u16 {
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    server.door().ask("POST /publish?topic=x", &fields).status
}

#[test]
fn a_token_that_is_refused_is_not_shown() {
    let refused: [&[&str]; 15] = [
        &["--publish-token", "sekrit sekrit"],
        &["--publish-token=sekrit,"],
        &["--publish-token", "-sekrit,"],
        &["--publish-token", "a", "sekrit"],
        &["--publish-token", "a", "sekrit:sekrit"],
        &["--publish-tokn=sekrit"],
        &["--publish-token:sekrit"],
        &["--publish-token_sekrit"],
        &["--publish-tokensekrit"],
        &["--publish-token.sekrit=sekrit"],
        &["SLACKWATER_PUBLISH_TOKEN=sekrit"],
        &["PUBLISH_TOKEN=sekrit"],
        &["sekrit:sekrit"],
        &["--", "sekrit"],
        &["--", "--sekrit=sekrit"],
    ];
    for args in refused {
        let (code, stderr) = failed(Command::new(BINARY).args(args));
        assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{args:?}: {stderr}");
        let says_why = stderr.contains("--publish-tok") || stderr.contains("as 'main:app'");
        assert!(says_why, "{args:?}: {stderr}");
    }
    let (code, stderr) = failed(Command::new(BINARY).env("SLACKWATER_PUBLISH_TOKEN", "sekrit\""));
    assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
    assert!(stderr.contains("SLACKWATER_PUBLISH_TOKEN") && stderr.contains("without spaces"), "{stderr}");
}

#[test]
fn a_flag_wins_over_the_variables_of_those_that_it_excludes() {
    let (_folder, path) = token_file(TOKEN, 0o600);
    let path = path.to_str().unwrap();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/jwks.json");
    let secret = "0123456789abcdef0123456789abcdef";
    for workers in ["1", "2"] {
        for (args, variables) in [
            (["--publish-token-file", path], vec![("SLACKWATER_PUBLISH_TOKEN", "another")]),
            (["--publish-token", TOKEN], vec![("SLACKWATER_PUBLISH_TOKEN_FILE", "/nowhere")]),
        ] {
            let mut command = Command::new(BINARY);
            let server = Process::spawn(command.args(["--workers", workers]).args(args).envs(variables));
            assert_eq!((publish(&server, TOKEN), publish(&server, "another")), (400, 401), "{args:?}");
        }
        for (args, variables) in [
            (
                ["--auth-secret", secret],
                [("SLACKWATER_AUTH_SECRET_FILE", "/x"), ("SLACKWATER_AUTH_KEY_FILE", "/x")],
            ),
            (
                ["--auth-key-file", keys],
                [("SLACKWATER_AUTH_SECRET_FILE", "/x"), ("SLACKWATER_AUTH_SECRET", secret)],
            ),
        ] {
            let mut command = Command::new(BINARY);
            let server = Process::spawn(command.args(["--workers", workers]).args(args).envs(variables));
            assert_eq!(server.door().get("/ws").status, 401, "{args:?}");
        }
    }
}

#[test]
fn variables_that_exclude_each_other_are_named() {
    let names = ["SLACKWATER_AUTH_SECRET", "SLACKWATER_AUTH_KEY_FILE"];
    let (code, stderr) = failed(Command::new(BINARY).envs(names.map(|name| (name, "sekrit"))));
    assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
    assert!(names.iter().all(|name| stderr.contains(name)) && stderr.contains("unset one"), "{stderr}");
    // Those of the command line are.
    let args = ["--auth-secret", "sekrit", "--auth-key-file", "x"];
    let (code, stderr) = failed(Command::new(BINARY).args(args).envs(names.map(|name| (name, "x"))));
    assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
    assert!(
        stderr.contains("'--auth-key-file <PATH>' cannot be used with")
            || stderr.contains("'--auth-secret <SECRET>' cannot"),
        "{stderr}"
    );
}

#[test]
fn what_is_in_no_way_a_file_with_a_token_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let long = b"sekrit".repeat(1000);
    let contents: [(&[u8], &str); 9] = [
        (b"", "give at least one"),
        (b" \n", "give at least one"),
        (b"sekrit sekrit", "without spaces"),
        (b"sekrit\xff", "utf-8"),
        (b"sekrit\nsekrit\n", "it holds more than one line"),
        (b"\xef\xbb\xbfsekrit", "it begins with a byte order mark"),
        (b"\xff\xfes\0", "it begins with a byte order mark"),
        (b"\xfe\xff\0s", "it begins with a byte order mark"),
        (&long, "it holds more than 4096 bytes"),
    ];
    let files = contents.map(|(content, why)| (token_file(content, 0o600), why));
    let others =
        [fifo, folder.path().to_owned(), "/dev/zero".into()].map(|path| (path, "not a regular file"));
    let others = others.iter().map(|(path, why)| (path, why));
    for (path, why) in files.iter().map(|((_, path), why)| (path, why)).chain(others) {
        let (code, stderr) = failed(Command::new(BINARY).arg("--publish-token-file").arg(path));
        assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
        assert!(stderr.contains(&*path.to_string_lossy()) && !stderr.contains("sekrit"), "{stderr}");
        assert!(stderr.contains(why), "{why}: {stderr}");
    }
}

#[test]
fn a_token_given_in_place_of_its_file_is_not_shown() {
    for given in ["sekrit", "/sekrit/sekrit", "/dev/null/sekrit", &"sekrit".repeat(100)] {
        let (code, stderr) = failed(Command::new(BINARY).args(["--publish-token-file", given]));
        assert_eq!(
            (code, stderr.lines().count(), stderr.contains("sekrit")),
            (Some(3), 1, false),
            "{stderr}"
        );
        assert!(stderr.contains("cannot read the file given with --publish-token-file: "), "{stderr}");
    }
}

#[test]
fn a_token_file_that_too_many_may_read_or_change_is_named_with_the_mend() {
    let group = "Everyone in its group may change the token";
    let everyone = "Everyone on this machine may read the token";
    for (mode, who) in [
        (0o600, None),
        (0o440, None),
        (0o640, None),
        (0o660, Some((group, "g-w"))),
        (0o620, Some((group, "g-w"))),
        (0o644, Some((everyone, "600"))),
        (0o602, Some(("Everyone on this machine may change the token", "600"))),
        (0o666, Some(("Everyone on this machine may read and change the token", "600"))),
    ] {
        let (_folder, path) = token_file("sesame:open\n", mode);
        let path = path.to_str().unwrap();
        for workers in ["1", "2"] {
            let server = start(workers, &["--publish-token-file", path]);
            let expected = who.map(|(who, mend)| {
                format!("[WARNING] {who} in {path} (mode {mode:04o}): chmod {mend} {path}")
            });
            assert_eq!(server.preamble(), expected.into_iter().collect::<Vec<_>>());
            assert_eq!((publish(&server, TOKEN), publish(&server, "sesame:opem")), (400, 401));
        }
    }
}

#[test]
fn a_token_in_the_arguments_is_warned_of_and_kept_out_of_those_of_workers() {
    for args in [&["--publish-token", TOKEN][..], &[&*format!("--publish-token={TOKEN}")]] {
        for workers in ["1", "2"] {
            let server = start(workers, args);
            let preamble = server.preamble();
            let [warning] = &preamble[..] else { panic!("{preamble:?}") };
            assert!(warning.starts_with("[WARNING] Everyone on this machine may read"), "{warning}");
            assert!(warning.contains("--publish-token-file") && !warning.contains(TOKEN), "{warning}");
            assert_eq!((publish(&server, TOKEN), publish(&server, "sesame:opem")), (400, 401));
            for worker in server.door().status()["workers"].as_array().unwrap() {
                let own = worker["pid"] == server.pid();
                let arguments =
                    fs::read(Path::new("/proc").join(worker["pid"].to_string()).join("cmdline")).unwrap();
                assert_eq!(String::from_utf8_lossy(&arguments).contains(TOKEN), own, "{worker}");
            }
        }
    }
}

#[test]
fn a_token_in_the_environment_is_nothing_to_warn_of() {
    let server = Process::spawn(Command::new(BINARY).env("SLACKWATER_PUBLISH_TOKEN", TOKEN));
    assert_eq!(server.preamble(), [""; 0]);
    assert_eq!(publish(&server, TOKEN), 400);
}

/// Standard output and error of a command that ends.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = output(command);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn an_engine_that_is_refused_is_not_shown() {
    for args in [
        &["--engine", "redis://:sekrit@h/x"][..],
        &["--engine=sekrit"],
        &["--engine", "-sekrit"],
        &["--engine", "redis://h:sekrit"],
        &["--engine", "redis://:sekrit/sekrit@h"],
        &["--engine", "redis://:a", "sekrit@h"],
        &["--engine:redis://:sekrit@h"],
        &["--engin=redis://:sekrit@h"],
        &["--engine", "rediss://:sekrit@h/x"],
        &["--engine", "redis://:sekrit@h", "--state-file", "/x"],
        &["--engine", "redis://:sekrit@h", "--engine-password-file", "/x"],
        &["--engine", "redis://:sekrit@h", "--engine-wait", "61s"],
    ] {
        for command in [&[][..], &["check"]] {
            let (code, text) = said(Command::new(BINARY).args(command).args(args));
            assert_eq!((code, text.contains("sekrit")), (Some(2), false), "{args:?}: {text}");
            assert!(text.contains("--engin"), "{args:?}: {text}");
        }
    }
    for url in ["rediss://:sekrit@h/x", "sekrit"] {
        let (code, text) = said(Command::new(BINARY).env("SLACKWATER_ENGINE", url));
        assert_eq!((code, text.contains("sekrit")), (Some(2), false), "{text}");
        assert!(text.contains("invalid value for 'SLACKWATER_ENGINE': "), "{text}");
    }
}

#[test]
fn an_engine_is_shown_without_its_user_and_its_password() {
    let url = "redis://u-sekrit:sekrit@192.0.2.1/3";
    for args in [vec!["check"], vec!["check", "--engine", url], vec!["--help"]] {
        let (_, text) = said(Command::new(BINARY).args(&args).env("SLACKWATER_ENGINE", url));
        assert!(!text.contains("sekrit"), "{args:?}: {text}");
        assert!(args == ["--help"] || text.contains("redis://192.0.2.1:6379/3"), "{args:?}: {text}");
        let is_warned =
            text.contains("Everyone on this machine may read the engine's password in the arguments");
        assert_eq!(is_warned, args.contains(&url), "{text}");
    }
}

#[test]
fn an_engines_password_in_a_file_is_read_and_its_readers_are_named() {
    let check = |path: &str| {
        said(Command::new(BINARY).args(["check", "--engine", "redis://u@h", "--engine-password-file", path]))
            .1
    };
    let (_folder, path) = token_file("a sekrit\n", 0o644);
    let path = path.to_str().unwrap();
    let text = check(path);
    let readers = format!("Everyone on this machine may read the engine's password in {path} (mode 0644)");
    assert!(text.contains(&readers) && !text.contains("sekrit") && !text.contains("cannot read"), "{text}");
    for (content, why) in
        [("", "give at least one character"), ("sekrit\nsekrit", "it holds more than one line")]
    {
        let (_folder, path) = token_file(content, 0o600);
        let text = check(path.to_str().unwrap());
        assert!(text.contains("cannot read --engine-password-file") && text.contains(why), "{text}");
        assert!(!text.contains("sekrit"), "{text}");
    }
}

#[test]
fn an_engine_and_a_state_file_are_one_too_many() {
    let url = "redis://:sekrit@h";
    // The flag does not set the other's variable aside.
    for (flag, variable, expected) in [
        (
            ["--state-file", "/x"],
            ("SLACKWATER_ENGINE", url),
            "'--state-file' cannot be used with 'SLACKWATER_ENGINE'",
        ),
        (
            ["--engine", url],
            ("SLACKWATER_STATE_FILE", "/x"),
            "'SLACKWATER_STATE_FILE' cannot be used with '--engine'",
        ),
    ] {
        let (code, stderr) = failed(Command::new(BINARY).args(flag).env(variable.0, variable.1));
        assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

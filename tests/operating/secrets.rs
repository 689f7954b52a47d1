//! What becomes of the token outside of requests: it is shown nowhere, and whoever keeps it badly is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::door::Door;
use crate::driver::{BINARY, Process, text_of};
use crate::office::QUIET;

const TOKEN: &str = "sesame:open";

/// What is printed by a server that does not start.
fn failed(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.args(["--port", "0"]).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn token_file(content: impl AsRef<[u8]>, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn start(workers: &str, token: &[&str]) -> Process {
    Process::spawn(Command::new(BINARY).args(QUIET.split(' ')).args(["--workers", workers]).args(token))
}

fn publish(server: &Process, token: &str) -> u16 {
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    Door::Ip(server.address).ask("POST /publish?topic=x", &fields).status
}

#[test]
fn a_token_that_is_refused_is_not_shown() {
    let refused: [&[&str]; 6] = [
        &["--publish-token", "sekrit sekrit"],
        &["--publish-token=sekrit,"],
        &["--publish-token", "-sekrit,"],
        &["--publish-token", "a", "sekrit"],
        &["--publish-token", "a", "sekrit:sekrit"],
        &["--publish-tokn=sekrit"],
    ];
    for args in refused {
        let (code, stderr) = failed(Command::new(BINARY).args(args));
        assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{args:?}: {stderr}");
        assert!(stderr.contains("--publish-tok"), "{args:?}: {stderr}");
    }
    let (code, stderr) = failed(Command::new(BINARY).env("SLACKWATER_PUBLISH_TOKEN", "sekrit\""));
    assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
    assert!(stderr.contains("SLACKWATER_PUBLISH_TOKEN") && stderr.contains("without spaces"), "{stderr}");
}

#[test]
fn what_is_in_no_way_a_file_with_a_token_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let contents: [&[u8]; 4] = [b"", b" \n", b"sekrit sekrit", b"sekrit\xff"];
    let mut files: Vec<_> = contents.iter().map(|content| token_file(content, 0o600)).collect();
    files.push(token_file("sekrit".repeat(1000), 0o600));
    let others = [fifo, folder.path().to_owned(), "/dev/zero".into(), folder.path().join("none")];
    for path in files.iter().map(|(_, path)| path).chain(&others) {
        let (code, stderr) = failed(Command::new(BINARY).arg("--publish-token-file").arg(path));
        assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
        assert!(stderr.contains(&*path.to_string_lossy()) && !stderr.contains("sekrit"), "{stderr}");
    }
}

#[test]
fn a_token_file_that_everyone_may_read_is_named_with_the_mend() {
    for (mode, is_open) in [(0o600, false), (0o440, false), (0o640, false), (0o644, true), (0o602, true)] {
        let (_folder, path) = token_file("sesame:open\n", mode);
        let path = path.to_str().unwrap();
        for workers in ["1", "2"] {
            let server = start(workers, &["--publish-token-file", path]);
            let warnings: Vec<&str> = server.preamble.iter().map(|line| text_of(line.trim_end())).collect();
            let expected = format!(
                "[WARNING] Everyone on this machine may read or change the token in {path} (mode {mode:04o}): chmod 600 {path}"
            );
            assert_eq!(warnings, if is_open { vec![&*expected] } else { vec![] });
            assert_eq!((publish(&server, TOKEN), publish(&server, "sesame:opem")), (400, 401));
        }
    }
}

#[test]
fn a_token_in_the_arguments_is_warned_of_and_kept_out_of_those_of_workers() {
    for args in [&["--publish-token", TOKEN][..], &[&*format!("--publish-token={TOKEN}")]] {
        for workers in ["1", "2"] {
            let server = start(workers, args);
            let [warning] = &server.preamble[..] else { panic!("{:?}", server.preamble) };
            assert!(text_of(warning).starts_with("[WARNING] Everyone on this machine may read"), "{warning}");
            assert!(warning.contains("--publish-token-file") && !warning.contains(TOKEN), "{warning}");
            assert_eq!((publish(&server, TOKEN), publish(&server, "sesame:opem")), (400, 401));
            for worker in Door::Ip(server.address).status()["workers"].as_array().unwrap() {
                let own = worker["pid"] == server.child.id();
                let arguments =
                    fs::read(Path::new("/proc").join(worker["pid"].to_string()).join("cmdline")).unwrap();
                assert_eq!(String::from_utf8_lossy(&arguments).contains(TOKEN), own, "{worker}");
            }
        }
    }
}

#[test]
fn a_token_in_the_environment_is_nothing_to_warn_of() {
    let mut command = Command::new(BINARY);
    let server = Process::spawn(command.args(QUIET.split(' ')).env("SLACKWATER_PUBLISH_TOKEN", TOKEN));
    assert!(server.preamble.is_empty(), "{:?}", server.preamble);
    assert_eq!(publish(&server, TOKEN), 400);
}

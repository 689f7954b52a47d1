//! Tokens with the real program: where the secret and the keys are kept, that they are shown nowhere, and that every worker
//! verifies by them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tempfile::TempDir;

use crate::process::{BINARY, Process, run};

const SECRET: &str = "0123456789abcdef0123456789sekrit";
const EC: &str = include_str!("../../keys/ec.pub.pem");
const ED: &str = include_str!("../../keys/ed.pub.pem");

fn file(content: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn signed(algorithm: Algorithm, key: &EncodingKey) -> String {
    encode(&Header::new(algorithm), &json!({"slackwater": {"publish": ["*"]}}), key).unwrap()
}

fn by_secret() -> String {
    signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn by_ec() -> String {
    signed(Algorithm::ES256, &EncodingKey::from_ec_pem(include_bytes!("../../keys/ec.pem")).unwrap())
}

fn by_ed() -> String {
    signed(Algorithm::EdDSA, &EncodingKey::from_ed_pem(include_bytes!("../../keys/ed.pem")).unwrap())
}

fn start(workers: &str, args: &[&str]) -> Process {
    Process::spawn(Command::new(BINARY).args(["--port", "0", "--workers", workers]).args(args))
}

/// 200 where the token counts.
fn publish(server: &Process, token: &str) -> u16 {
    let fields =
        format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n");
    // Nothing is published, which is found out once the token counts.
    match server.door().ask("POST /publish?topic=x", &fields).status {
        400 => 200,
        status => status,
    }
}

#[test]
fn a_secret_that_is_refused_is_not_shown() {
    let refused: [&[&str]; 6] = [
        &["--auth-secret", "sekrit"],
        &["--auth-secret=sekrit"],
        &["--auth-secret", "-sekrit"],
        &["--auth-secretsekrit"],
        &["--auth-secret", SECRET, "sekrit"],
        &["--auth-secre=sekrit"],
    ];
    for args in refused {
        let (code, stderr) = run(Command::new(BINARY).args(args));
        assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{args:?}: {stderr}");
    }
    let (code, stderr) = run(Command::new(BINARY).env("SLACKWATER_AUTH_SECRET", "sekrit"));
    assert_eq!((code, stderr.contains("sekrit")), (Some(2), false), "{stderr}");
    assert!(stderr.contains("'SLACKWATER_AUTH_SECRET': give at least 32 bytes"), "{stderr}");
    let (_folder, path) = file("sekrit\n", 0o600);
    let (code, stderr) = run(Command::new(BINARY).arg("--auth-secret-file").arg(&path));
    assert_eq!((code, stderr.contains("sekrit"), stderr.lines().count()), (Some(3), false, 1), "{stderr}");
    assert!(
        stderr.contains(&format!("--auth-secret-file {}: give at least 32 bytes", path.display())),
        "{stderr}"
    );
    let (code, stderr) = run(Command::new(BINARY).args(["--auth-secret-file", SECRET]));
    assert_eq!((code, stderr.contains("sekrit")), (Some(3), false), "{stderr}");
    for workers in ["1", "2"] {
        let (_folder, path) = file(include_str!("../../keys/ec.pem"), 0o600);
        let command = &mut Command::new(BINARY);
        let (code, stderr) =
            run(command.args(["--port", "0", "--workers", workers, "--auth-key-file"]).arg(path));
        assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
        assert!(stderr.contains("it holds a private key"), "{stderr}");
    }
}

#[test]
fn a_secret_in_the_arguments_is_warned_of_and_kept_out_of_those_of_workers() {
    for args in [&["--auth-secret", SECRET][..], &[&*format!("--auth-secret={SECRET}")]] {
        for workers in ["1", "2"] {
            let server = start(workers, args);
            let preamble = server.preamble();
            let [warning] = &preamble[..] else { panic!("{preamble:?}") };
            assert!(
                warning.starts_with("[WARNING] Everyone on this machine may read the secret"),
                "{warning}"
            );
            assert!(warning.contains("--auth-secret-file"), "{warning}");
            assert_eq!((publish(&server, &by_secret()), publish(&server, &by_ec())), (200, 401));
            for worker in server.door().status()["workers"].as_array().unwrap() {
                let own = worker["pid"] == server.pid();
                let arguments =
                    fs::read(Path::new("/proc").join(worker["pid"].to_string()).join("cmdline")).unwrap();
                assert_eq!(String::from_utf8_lossy(&arguments).contains("sekrit"), own, "{worker}");
            }
            assert!(server.lines().iter().all(|line| !line.contains("sekrit")), "{:?}", server.lines());
        }
    }
}

#[test]
fn whoever_may_read_a_secret_or_change_a_key_is_told_of() {
    for (flag, content, mode, who) in [
        ("--auth-secret-file", SECRET, 0o600, None),
        ("--auth-secret-file", SECRET, 0o644, Some("Everyone on this machine may read the secret")),
        ("--auth-secret-file", SECRET, 0o660, Some("Everyone in its group may change the secret")),
        ("--auth-key-file", EC, 0o644, None),
        ("--auth-key-file", EC, 0o666, Some("Everyone on this machine may change the keys")),
        ("--auth-key-file", EC, 0o664, Some("Everyone in its group may change the keys")),
    ] {
        let (_folder, path) = file(content, mode);
        let server = start("1", &[flag, path.to_str().unwrap()]);
        let preamble = server.preamble();
        assert_eq!(preamble.len(), usize::from(who.is_some()), "{preamble:?}");
        assert!(who.is_none_or(|who| preamble[0].contains(who)), "{preamble:?}");
    }
}

#[test]
fn of_a_set_of_keys_it_is_said_once_how_many_count() {
    let line = "[INFO] In --auth-key-file 3 of 5 keys count: the others verify no signatures here";
    let (_folder, path) = file(include_str!("../../keys/jwks.json"), 0o644);
    for workers in ["1", "2"] {
        assert_eq!(start(workers, &["--auth-key-file", path.to_str().unwrap()]).preamble(), [line]);
    }
}

#[test]
fn a_key_file_that_has_changed_is_read_again_by_every_worker_and_a_broken_one_changes_nothing() {
    let workers = 2;
    let (folder, path) = file(EC, 0o644);
    let server = start(&workers.to_string(), &["--auth-key-file", path.to_str().unwrap()]);
    assert_eq!((publish(&server, &by_ec()), publish(&server, &by_ed())), (200, 401));
    let replace = |content: &str| {
        let next = folder.path().join("next");
        fs::write(&next, content).unwrap();
        fs::rename(&next, &path).unwrap();
    };
    replace("nothing of this kind");
    server.count("Cannot read the keys", workers);
    assert_eq!(publish(&server, &by_ec()), 200);
    replace(ED);
    server.count("Read the keys", workers);
    // Whichever worker is asked.
    for _ in 0..10 {
        assert_eq!((publish(&server, &by_ec()), publish(&server, &by_ed())), (401, 200));
    }
}

#[test]
fn tokens_are_never_logged() {
    let server = start("1", &["--auth-secret", SECRET, "--log-level", "debug", "--anonymous-topic", "news"]);
    let rights = json!({"exp": 4e9, "slackwater": {"subscribe": ["*"], "publish": ["*"]}});
    let token = encode(&Header::default(), &rights, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    let mut client = server.client_at(&format!("/ws?token={token}"));
    client.say(&json!({"type": "refresh", "token": token}).to_string());
    assert_eq!(client.hear()["type"], "refreshed");
    client.say(&json!({"type": "refresh", "token": format!("{token}x")}).to_string());
    assert_eq!(client.hear()["code"], "bad_token");
    server.door().get(&format!("/ws?token={token}"));
    server.door().get(&format!("/publish?token={token}x"));
    client.leave();
    server.signal("TERM");
    let (code, lines) = server.end();
    assert_eq!(code, Some(0));
    let signature = token.rsplit('.').next().unwrap();
    assert!(lines.iter().all(|line| !line.contains(signature) && !line.contains("token=")), "{lines:#?}");
}

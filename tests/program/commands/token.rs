//! `token`: what it prints is accepted by a server with the same environment, and it prints nothing else.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{BINARY, Process, output, run};

const SECRET: &str = "0123456789abcdef0123456789sekrit";

fn keys(name: &str) -> String {
    format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The same for a server and for who makes tokens.
fn with_environment<'a>(
    command: &'a mut Command,
    environment: &[(&str, impl AsRef<Path>)],
) -> &'a mut Command {
    command.envs(environment.iter().map(|(name, value)| (name, value.as_ref())))
}

/// What is printed on standard output and on standard error, and the exit code.
fn printed(command: &mut Command) -> (Option<i32>, String, String) {
    let output = output(command);
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn token(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("token").args(args);
    command
}

#[test]
fn one_environment_serves_both_the_server_and_who_makes_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let private = folder.path().join("ec.pem");
    fs::copy(keys("ec.pem"), &private).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
    let (secret, private) = (secret.to_str().unwrap(), private.to_str().unwrap());
    let (public, jwks) = (keys("ec.pub.pem"), keys("jwks.json"));
    for (environment, args) in [
        (vec![("SLACKWATER_AUTH_SECRET", SECRET)], vec![]),
        (vec![("SLACKWATER_AUTH_SECRET_FILE", secret), ("SLACKWATER_AUTH_ISSUER", "we")], vec![]),
        (
            vec![("SLACKWATER_AUTH_KEY_FILE", &*public), ("SLACKWATER_AUTH_AUDIENCE", "us")],
            vec!["--signing-key-file", private],
        ),
        (vec![("SLACKWATER_AUTH_KEY_FILE", &*jwks)], vec!["--signing-key-file", private, "--key-id", "ec"]),
    ] {
        let server = Process::spawn(with_environment(&mut Command::new(BINARY), &environment));
        let mut command = token(&["--sub", "ada", "--subscribe", "a,b/*", "--publish=c", "--expires=90s"]);
        let (code, stdout, stderr) = printed(with_environment(command.args(args), &environment));
        assert_eq!((code, &*stderr), (Some(0), ""), "{environment:?}");
        let token = stdout.strip_suffix('\n').unwrap();
        assert!(!token.contains(char::is_whitespace), "{token}");
        let mut client = server.client_at(&format!("/ws?topic=a&topic=b/7&token={token}"));
        let publish = format!(
            "POST /publish?topic=c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
        assert_eq!(server.door().send(&publish).status, 200);
        client.say(r#"{"type":"subscribe","topic":"c"}"#);
        assert_eq!(client.hear()["code"], "forbidden");
    }
}

#[test]
fn what_a_server_would_refuse_is_not_made() {
    let (ec, jwks) = (keys("ec.pem"), keys("jwks.json"));
    let long = "x".repeat(9000);
    for (args, code, why) in [
        (
            vec!["--auth-secret", SECRET, "--subscribe", "a*"],
            2,
            "invalid value 'a*' for '--subscribe <TOPIC>': a topic is",
        ),
        (
            vec!["--auth-secret", SECRET, "--publish", "a, b*"],
            2,
            "invalid value 'b*' for '--publish <TOPIC>'",
        ),
        (
            vec!["--auth-secret", SECRET, "--sub", &long],
            2,
            "a server would refuse this: the token is longer than 8192 bytes",
        ),
        (
            vec!["--signing-key-file", &ec, "--auth-key-file", &jwks],
            2,
            "a server would refuse this: the token is signed by another algorithm",
        ),
        (vec!["--signing-key-file", &ec, "--auth-key-file", &jwks, "--key-id", "rsa"], 2, "with --key-id"),
        (vec!["--signing-key-file", &jwks], 3, "it holds no private key in PEM"),
        (
            vec!["--auth-secret-file", "/no/sekrit"],
            3,
            "cannot read the file given with --auth-secret-file: No such file",
        ),
        (
            vec!["--signing-key-file", "sekrit"],
            3,
            "cannot read the file given with --signing-key-file: No such file",
        ),
        (vec!["--auth-secret", SECRET, "sekrit"], 2, "not shown as it may be a secret"),
    ] {
        let (exit, stdout, stderr) = printed(&mut token(&args));
        assert_eq!((exit, &*stdout), (Some(code), ""), "{stderr}");
        assert!(stderr.contains(why) && !stderr.contains("sekrit"), "{why}: {stderr}");
    }
}

#[test]
fn what_its_owner_may_not_have_meant_is_said_beside_the_token() {
    let ec = keys("ec.pem");
    let readable = "warning: Everyone on this machine may read";
    for (args, expected) in [
        (vec!["--signing-key-file", &ec, "--subscribe", "a"], vec![readable]),
        (
            vec!["--auth-secret", SECRET, "--expires", "never"],
            vec![readable, "warning: This token never expires", "warning: This token grants nothing"],
        ),
    ] {
        let (code, stdout, stderr) = printed(&mut token(&args));
        assert_eq!(
            (code, stdout.lines().count(), stderr.contains("sekrit")),
            (Some(0), 1, false),
            "{stderr}"
        );
        let is_as_expected = stderr.lines().zip(&expected).all(|(line, expected)| line.starts_with(expected));
        assert!(is_as_expected && stderr.lines().count() == expected.len(), "{stderr}");
    }
}

#[test]
fn where_nobody_takes_the_token_it_fails_and_says_why() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    for (stdout, why) in
        [(Stdio::from(writer), "Broken pipe"), (Stdio::from(full), "No space left on device")]
    {
        let child = token(&["--subscribe", "a"])
            .env("SLACKWATER_AUTH_SECRET", SECRET)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.starts_with(&format!("error: cannot print the token: {why}")), "{stderr}");
    }
    let script = "exec \"$0\" token --subscribe a >&-";
    let (code, stderr) =
        run(Command::new("sh").args(["-c", script, BINARY]).env("SLACKWATER_AUTH_SECRET", SECRET));
    assert_eq!((code, &*stderr), (Some(3), "error: cannot print the token: standard output is closed\n"));
}

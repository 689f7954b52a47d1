//! `publish` and `listen` at somebody who is no Slackwater server, or is one that they cannot believe: what is said, and with which code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::process::{BINARY, output};

/// Who says this to everyone who has asked for something, and leaves.
fn says(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            if !matches!(socket.read(&mut [0; 4096]), Ok(1..)) {
                continue;
            }
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    port
}

/// The exit code and what is said.
fn said_by(name: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.arg(name).args(args);
    if name == "publish" {
        command.args(["--timeout", "0", "hello"]);
    }
    let output = output(&mut command);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn both_say(args: &[&str], code: i32, why: &str) {
    for name in ["publish", "listen"] {
        let (got, said) = said_by(name, args);
        assert!(got == Some(code) && said.contains(why), "{name} {args:?}: {got:?} {said}, and not {why}");
    }
}

#[test]
fn whoever_speaks_something_else_is_called_what_it_is_with_the_mend() {
    for (answer, code, why) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", 1, "does not speak HTTP: is a Slackwater server there?"),
        ("-ERR unknown command 'POST'\r\n", 1, "does not speak HTTP"),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", 1, "speaks TLS: give --url with https://"),
        ("", 3, "did not answer: the connection was closed"),
        ("HTTP/1.1 200 O", 3, "did not answer: the answer is no whole one"),
        ("HTTP/1.1 500 X\r\nContent-Length: x\r\n\r\n", 1, ""),
        (
            "HTTP/1.1 404 Not Found\r\n\r\n<html>",
            1,
            "404: nothing of Slackwater's is there: give --url with the path",
        ),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", 1, "401: it gives no reason: does a proxy in front of it"),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\nto an HTTPS port",
            1,
            "400: TLS is spoken there: give --url with https://",
        ),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", 1, "400: it gives no reason: is this a Slackwater server?"),
        ("HTTP/1.1 418 I'm a teapot\r\n\r\n{\"error\":\"no \\u001b[31m\"}", 1, "418: no  [31m"),
        (
            "HTTP/1.1 301 X\r\nLocation: https://b/c/publish?topic=notifications\r\n\r\n",
            1,
            "elsewhere: give its address with --url, https://b/c\n",
        ),
    ] {
        both_say(&["--url", &format!("http://127.0.0.1:{}", says(answer))], code, why);
    }
}

#[test]
fn nobody_is_waited_for_as_long_as_they_please() {
    let answer = "HTTP/1.1 503 X\r\nRetry-After: 18446744073709551615\r\n\r\n";
    let mut listening = Command::new(BINARY);
    listening.args(["listen", "--url", &format!("http://127.0.0.1:{}", says(answer))]);
    let mut listening = listening.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(listening.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    listening.kill().unwrap();
    listening.wait().unwrap();
    assert!(line.contains("answers 503") && line.contains("trying again in 3600.0 s"), "{line}");
}

#[test]
fn who_listens_wants_a_websocket_and_nothing_else() {
    const UPGRADE: &str = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "answers 200 in place of a WebSocket"),
        (
            "HTTP/1.1 426 X\r\n\r\n{\"error\":\"ask for an upgrade\"}",
            "426: ask for an upgrade; a proxy in between",
        ),
        (UPGRADE, "something else than the WebSocket that it was asked for"),
    ] {
        let (code, said) = said_by("listen", &["--url", &format!("http://127.0.0.1:{}", says(answer))]);
        assert!(code == Some(1) && said.contains(why), "{answer:?}: {code:?} {said}");
    }
    let (code, said) = said_by("publish", &["--url", &format!("http://127.0.0.1:{}", says(UPGRADE))]);
    assert!(code == Some(1) && said.contains("answers 101: it gives no reason"), "{said}");
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_that_does_not_do_is_told_apart_from_a_port_where_no_tls_is_spoken() {
    use crate::process::Process;
    use crate::visitor::{flags, issue_for};

    let [folder, stranger] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    issue_for(folder.path(), "other.example");
    issue_for(stranger.path(), "localhost");
    let server = Process::start(&flags(folder.path()));
    let files = [&folder, &stranger].map(|folder| folder.path().join("cert.pem").display().to_string());
    let [own, foreign] = files.each_ref().map(String::as_str);
    let [plain, closing] = [says("HTTP/1.1 400 Bad Request\r\n\r\n"), says("")];
    let unknown = format!(
        "nobody whom --ca-file {foreign} names: give --ca-file with the certificate of who has issued it"
    );
    for (port, file, code, why) in [
        (
            server.address().port(),
            own,
            1,
            "for another name (other.example): give --url with a name that it is for",
        ),
        (server.address().port(), foreign, 1, &*unknown),
        (plain, own, 1, "something that is not TLS: give http://"),
        (closing, own, 3, "closes the connection in the handshake: is TLS spoken there?"),
    ] {
        both_say(&["--url", &format!("https://localhost:{port}"), "--ca-file", file], code, why);
    }
    let plain = format!("http://127.0.0.1:{}", server.address().port());
    both_say(&["--url", &plain], 1, "400: ");
}

#[test]
fn a_count_and_a_time_that_are_none_are_refused_in_words() {
    for (args, why) in [
        (&["listen", "-n", "x"][..], "invalid value 'x' for '--count <N>': give a whole number from 1 to "),
        (&["listen", "-n", "0"], "invalid value '0' for '--count <N>': give a whole number from 1 to "),
        (&["listen", "-n", "-1"], "invalid value '-1' for '--count <N>': give a whole number from 1 to "),
        (&["publish", "--timeout", "x", "a"], "give seconds from 0 to 3600, or a duration such as 30s or 5m"),
        (&["publish", "--timeout", "-1", "a"], "give seconds from 0 to 3600"),
        (&["check", "--health", "http://u:sekrit@h/"], "for '--health [<URL>]', not shown as a password may"),
        (&["check", "--health=u:sekrit@h"], ": give http://HOST:PORT, https://HOST:PORT or unix:PATH"),
    ] {
        let output = output(Command::new(BINARY).args(args));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(why), "{args:?}: {said}");
        assert!(!said.contains("sekrit"), "{said}");
    }
}

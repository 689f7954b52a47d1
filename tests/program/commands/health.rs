//! `check --health`: who is well, who is not, and who does not answer in time. Nothing else is said, and it always ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::process::{BINARY, Process, output};
use crate::visitor;

/// The exit code and the line.
fn health(args: &[&str]) -> (Option<i32>, String) {
    let output = output(Command::new(BINARY).args(["check", "--health"]).args(args));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A server that says this to whoever asks, and leaves.
fn says(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut request, mut octet) = (vec![], [0]);
        while !request.ends_with(b"\r\n\r\n")
            && let Ok(1) = socket.read(&mut octet)
        {
            request.push(octet[0]);
        }
        let _ = socket.write_all(answer.as_bytes());
    });
    url
}

#[test]
fn a_server_that_serves_is_healthy_and_one_that_leaves_is_no_longer_ready() {
    let folder = tempfile::tempdir().unwrap();
    let admin = folder.path().join("admin");
    let server = Process::start(&format!("--admin {}", admin.display()));
    let client = server.client();
    let admin = format!("unix:{}", admin.display());
    for url in [format!("http://{}", server.address()), admin.clone(), format!("{admin}:/readyz")] {
        let (code, line) = health(&[&url]);
        assert!(
            code == Some(0) && line.ends_with(" answers 200\n") && line.starts_with("healthy: "),
            "{line}"
        );
    }
    server.signal("TERM");
    server.line("Shutdown signal received");
    assert_eq!(health(&[&admin]).0, Some(0));
    let (code, line) = health(&[&format!("{admin}:/readyz")]);
    assert!(
        code == Some(1) && line.starts_with("not healthy: unix:") && line.ends_with(" answers 503\n"),
        "{line}"
    );
    drop(client);
}

#[test]
fn without_a_url_the_server_of_the_same_configuration_is_asked_whatever_its_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    visitor::issue(folder.path());
    let server = Process::start(&visitor::flags(folder.path()));
    let port = server.address().port().to_string();
    let flags = visitor::flags(folder.path());
    let args: Vec<&str> =
        ["--host", "0.0.0.0", "--port", &port].into_iter().chain(flags.split(' ')).collect();
    assert_eq!(health(&args), (Some(0), format!("healthy: https://127.0.0.1:{port}/healthz answers 200\n")));
    assert_eq!(health(&[&format!("https://localhost:{port}/readyz")]).0, Some(0));
    let (code, line) = health(&[&format!("http://127.0.0.1:{port}")]);
    assert!(code == Some(1) && line.ends_with(" answers 400\n"), "{line}");
}

#[test]
fn with_a_url_no_variable_and_no_file_is_judged() {
    let url = says("HTTP/1.1 200 OK\r\n\r\n");
    let mut check = Command::new(BINARY);
    check.args(["check", "--health", &url]).env("SLACKWATER_PORT", "tcp://1.2.3.4:5");
    check.env("SLACKWATER_CONFIG", "/nope").env("SLACKWATER_ADMIN", "bad").env("WEB_CONCURRENCY", "many");
    let output = output(&mut check);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn whoever_listens_to_proxies_alone_is_asked_as_by_one() {
    let server = Process::start("--proxy-protocol");
    let port = server.address().port().to_string();
    assert_eq!(health(&["--port", &port, "--proxy-protocol"]).0, Some(0));
}

#[test]
fn whoever_answers_with_something_else_or_not_at_all_is_not_healthy() {
    // Bound, so that nobody else gets the port, and never listened on.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let refusing = format!("http://{}", bound.local_addr().unwrap().as_socket().unwrap());
    for (url, why) in [
        (says("HTTP/1.1 500 Oops\r\n\r\n"), " answers 500\n"),
        (says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), " answers 302\n"),
        (says("+PONG\r\n"), ": the answer is not HTTP: invalid HTTP version\n"),
        (says(""), ": the connection was closed\n"),
        ("unix:/no/such/socket".to_owned(), "No such file or directory (os error 2)\n"),
        (refusing, ": Connection refused (os error 111)\n"),
    ] {
        let (code, line) = health(&[&url]);
        assert!(code == Some(1) && line.starts_with("not healthy: ") && line.ends_with(why), "{url}: {line}");
    }
}

#[test]
fn whoever_does_not_answer_is_given_up_after_five_seconds() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    assert_eq!(health(&[&url]), (Some(1), format!("not healthy: {url}/healthz: no answer in 5 s\n")));
}

#[test]
fn a_configuration_that_does_not_tell_where_is_exit_code_2() {
    for args in [&["--port", "0"][..], &["localhost"], &["--strict"]] {
        assert_eq!(health(args), (Some(2), String::new()), "{args:?}");
    }
}

//! The port of plain HTTP: everybody is redirected to HTTPS there, but for the authority that asks whose the name is.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use support::peer::Response;
use tempfile::NamedTempFile;

use crate::door::Door;
use crate::process::{BINARY, Process, address_in, run, text_of};

/// What a server needs that redirects: a certificate with its key, in a file that goes with the test.
pub struct Certified {
    file: NamedTempFile,
}

impl Certified {
    pub fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        write!(file, "{}{}", certified.cert.pem(), certified.signing_key.serialize_pem()).unwrap();
        Self { file }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Flags of a server that redirects from this port.
    pub fn redirecting_from(&self, port: u16) -> String {
        format!("--ssl-certfile {} --http-redirect {port}", self.path().display())
    }

    /// The same from a free one.
    pub fn redirecting(&self) -> String {
        self.redirecting_from(0)
    }
}

/// Where a server redirects.
pub fn plain(server: &Process) -> Door {
    Door::Ip(address_in(&server.line("are redirected to HTTPS")))
}

fn told(answer: &Response) -> (u16, Option<&str>) {
    (answer.status, answer.field("location"))
}

#[test]
fn everything_is_redirected_to_where_https_is_served() {
    let certified = Certified::new();
    for workers in ["", "--workers 2"] {
        let server = Process::start(&format!("{} {workers}", certified.redirecting()));
        let (door, port) = (plain(&server), server.address().port());
        let to = |path: &str| format!("https://localhost:{port}{path}");
        for path in ["/", "/x?y=z", "/ws", "/healthz", "/status", "/.well-known/acme-challenge/x"] {
            assert_eq!(told(&door.get(path)), (301, Some(&*to(path))), "{path}");
            let head = door.ask(&format!("HEAD {path}"), "");
            assert_eq!((told(&head), &head.body[..]), ((301, Some(&*to(path))), &b""[..]), "{path}");
        }
        for what in ["POST /publish", "POST /drain", "DELETE /x"] {
            let (_, path) = what.split_once(' ').unwrap();
            assert_eq!(told(&door.ask(what, "")), (308, Some(&*to(path))), "{what}");
        }
        assert_eq!(told(&door.publish("x")), (308, Some(&*to("/publish"))));
        for request in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\r\n\r\n",
        ] {
            assert_eq!(told(&door.send(request)), (400, None), "{request:?}");
        }
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0), "nobody has made it leave before");
        assert!(!door.is_open());
    }
}

#[test]
fn a_challenge_that_an_acme_client_has_left_is_served_while_it_is_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(".well-known/acme-challenge");
    let certified = Certified::new();
    let flags = format!("{} --acme-webroot {}", certified.redirecting(), root.path().display());
    for workers in ["", "--workers 2"] {
        let server = Process::start(&format!("{flags} {workers}"));
        let (door, path) = (plain(&server), "/.well-known/acme-challenge/token-1");
        assert_eq!(door.get(path).status, 404);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("token-1"), "token-1.thumbprint").unwrap();
        let answer = door.get(path);
        assert_eq!((answer.status, answer.text()), (200, "token-1.thumbprint"));
        assert_eq!(
            (answer.field("content-type"), answer.field("content-length")),
            (Some("text/plain"), Some("18"))
        );
        let head = door.ask(&format!("HEAD {path}"), "");
        assert_eq!((head.status, &head.body[..], head.field("content-length")), (200, &b""[..], Some("18")));
        assert_eq!(door.ask(&format!("POST {path}"), "").status, 308);
        for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/../../secret", "/token-1"]
        {
            assert_eq!(door.get(other).status, 301, "{other}");
        }
        assert_eq!(door.get("/.well-known/acme-challenge/other").status, 404);
        fs::remove_dir_all(root.path().join(".well-known")).unwrap();
        assert_eq!(door.get(path).status, 404);
    }
}

#[test]
fn a_folder_that_is_not_there_is_warned_of_and_needed_by_nobody_yet() {
    let certified = Certified::new();
    let server = Process::start(&format!("{} --acme-webroot /nowhere/at/all", certified.redirecting()));
    let line = server.line("--acme-webroot");
    assert!(line.starts_with("[WARNING] --acme-webroot /nowhere/at/all is no folder"), "{line}");
    assert_eq!(plain(&server).get("/.well-known/acme-challenge/x").status, 404);
}

#[test]
fn a_port_that_is_taken_is_said_with_the_mend_and_the_flag() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let certified = Certified::new();
    for workers in ["1", "2"] {
        let flags = format!("--port 0 --workers {workers} {}", certified.redirecting_from(taken.port()));
        let (code, stderr) = run(Command::new(BINARY).args(flags.split(' ')));
        assert_eq!(code, Some(3), "{stderr}");
        let expected = format!(
            "[ERROR] cannot listen on --http-redirect {taken}: Address already in use (os error 98); choose another port"
        );
        let said: Vec<&str> = stderr.lines().map(text_of).collect();
        // The certificate has been told of before.
        assert_eq!(said.last(), Some(&&*expected), "{stderr}");
        assert_eq!(said.iter().filter(|line| !line.starts_with("[INFO] ")).count(), 1, "{stderr}");
    }
}

//! A server that speaks TLS: with which certificate, what is said of one that cannot be shown, and that clients resume wherever
//! they come back.

use std::fs;
use std::process::Command;

use crate::process::{BINARY, Process, run};
use crate::visitor::{Visitor, flags, issue};

#[test]
fn with_a_certificate_what_is_served_is_served_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let visitor = Visitor::trusting(issue(folder.path()));
    let server = Process::start(&flags(folder.path()));
    let line = server.line("Serving the page on https://");
    assert!(line.contains(&format!(" wss://{}/ws", server.address())), "{line}");
    assert!(visitor.visit(server.address(), "/healthz").1.starts_with("HTTP/1.1 200 "));
    let shown = format!("Clients are shown the certificate in {}", folder.path().join("cert.pem").display());
    assert!(server.preamble().iter().any(|line| line.contains(&shown)), "{:?}", server.preamble());
}

#[test]
fn a_certificate_that_cannot_be_shown_is_named_with_what_is_wrong_and_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let flags = flags(folder.path());
    let certificate = folder.path().join("cert.pem");
    let starts =
        |workers: &str| run(Command::new(BINARY).args(flags.split(' ')).args(["--workers", workers]));
    for workers in ["1", "2"] {
        let (code, said) = starts(workers);
        assert_eq!(code, Some(3));
        let why = format!("cannot use --ssl-certfile {}: No such file", certificate.display());
        assert!(said.contains(&why), "{said}");
    }
    issue(folder.path());
    fs::copy(folder.path().join("key.pem"), &certificate).unwrap();
    let check = run(Command::new(BINARY).arg("check").args(flags.split(' ')));
    assert!(check.0 == Some(2) && check.1.contains("there is no certificate in it"), "{}", check.1);
}

#[test]
fn the_password_of_a_key_is_in_no_arguments_of_workers_and_in_no_line() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let flags = format!("{} --workers 2 --ssl-keyfile-password sekrit", flags(folder.path()));
    let server = Process::start(&flags);
    server.line("is given in vain");
    for worker in crate::process::children(server.pid()) {
        let arguments = fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap();
        assert!(arguments.contains("--ssl-keyfile") && !arguments.contains("sekrit"), "{arguments}");
    }
    assert!(!server.lines().join("\n").contains("sekrit"));
}

#[test]
fn clients_resume_at_every_worker_and_at_a_successor() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let visitor = Visitor::trusting(issue(folder.path()));
        let server = Process::start(&format!("{} --workers {workers}", flags(folder.path())));
        assert!(!visitor.resumes(server.address()));
        assert!((0..16).all(|_| visitor.resumes(server.address())), "{workers}");
        server.signal("HUP");
        server.line("] Took over ");
        assert!((0..16).all(|_| visitor.resumes(server.address())), "{workers}");
    }
}

#[test]
fn clients_of_one_machine_resume_on_another_that_has_the_same_file_for_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let visitor = Visitor::trusting(issue(folder.path()));
    let tickets = folder.path().join("tickets");
    fs::write(&tickets, [7; 32]).unwrap();
    let flags = format!("{} --ssl-ticket-keyfile {}", flags(folder.path()), tickets.display());
    let [one, other] = [(); 2].map(|()| Process::start(&flags));
    assert!(!visitor.resumes(one.address()) && visitor.resumes(other.address()));
}

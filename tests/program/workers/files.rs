//! Workers that are started once their files cannot be used any more: they go on with what the others have read there.

use std::fs;

use rustls::HandshakeKind;

use super::crew::Crew;
use crate::process::signal;
use crate::visitor::{Visitor, flags, issue};

#[test]
fn a_worker_that_dies_is_replaced_whatever_has_become_of_the_files_since() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = issue(folder.path());
    let visitor = Visitor::trusting(certificate.clone());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("tickets"), [7; 32]).unwrap();
    fs::write(at("keys"), include_str!("../../keys/jwks.json")).unwrap();
    fs::write(at("token"), "sekrit").unwrap();
    let crew = Crew::start(&format!(
        "--workers 2 {} --ssl-ticket-keyfile {} --auth-key-file {} --publish-token-file {}",
        flags(folder.path()),
        at("tickets").display(),
        at("keys").display(),
        at("token").display()
    ));
    assert!(!visitor.resumes(crew.address()));
    fs::write(at("cert.pem"), "nothing of this kind").unwrap();
    ["tickets", "keys", "token"].iter().for_each(|name| fs::remove_file(at(name)).unwrap());
    for number in [1, 2] {
        signal(crew.process(number, 1), "KILL");
        crew.process(number, 2);
        assert!(visitor.resumes(crew.address()), "by a ticket from before");
    }
    let [shown, made, verified] = [
        format!("cannot use --ssl-certfile {}: it is not in PEM", at("cert.pem").display()),
        format!("cannot use --ssl-ticket-keyfile {}: No such file", at("tickets").display()),
        format!("Cannot read the keys in {} again: No such file", at("keys").display()),
    ];
    for fault in [&shown, &made, &verified] {
        crew.count(fault, 2);
    }
    // Nobody has met this one.
    let (kind, answer) = Visitor::trusting(certificate).visit(crew.address(), "/healthz");
    assert!(kind != HandshakeKind::Resumed && answer.starts_with("HTTP/1.1 200 "), "{kind:?} {answer}");
    assert!(!crew.lines().join("\n").contains("sekrit"));
}

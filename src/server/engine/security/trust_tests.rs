//! Facts about the files by which the engine is trusted: what is wrong with them, and when they are read.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::Config;

/// A folder with `ca.pem`, a certificate and its key.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ca.pem", "key.pem");
    folder
}

fn write(folder: &Path, certificate: &str, key: &str) {
    let certified = rcgen::generate_simple_self_signed(["engine.test".to_owned()]).unwrap();
    let der = [certified.cert.der().to_vec(), certified.signing_key.serialize_der()];
    for ((file, tag), der) in [(certificate, "CERTIFICATE"), (key, "PRIVATE KEY")].into_iter().zip(der) {
        fs::write(folder.join(file), ::pem::encode(&::pem::Pem::new(tag, der))).unwrap();
    }
}

/// With these flags, in which `@` is the folder.
fn open(folder: &Path, flags: &str) -> Result<Option<Trust>, String> {
    let flags = format!("slackwater --engine {}", flags.replace('@', &format!("{}/", folder.display())));
    let config = Config::read(flags.split_whitespace().map(Into::into)).expect("these are no contradictions");
    Trust::open(&config.engine).map_err(|why| why.to_string())
}

fn is_opened(folder: &Path, flags: &str) -> bool {
    open(folder, flags).unwrap_or_else(|why| panic!("{flags}: {why}")).is_some()
}

#[test]
fn without_tls_nothing_is_read() {
    assert!(!is_opened(folder().path(), "redis://h"));
}

#[test]
fn a_key_is_in_a_file_of_its_own_or_in_the_certificates() {
    let folder = folder();
    let at = folder.path();
    assert!(is_opened(at, "rediss://h --engine-cacert @ca.pem"));
    assert!(is_opened(at, "rediss://h --engine-cacert @ca.pem --engine-cert @ca.pem --engine-key @key.pem"));
    let both = ["key.pem", "ca.pem"].map(|file| fs::read_to_string(at.join(file)).unwrap());
    fs::write(at.join("both.pem"), both.concat()).unwrap();
    assert!(is_opened(at, "rediss+sentinel://h/n --engine-cacert @both.pem --engine-cert @both.pem"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_flag_its_path_and_the_mend() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("empty.pem"), " \n").unwrap();
    fs::write(at.join("der.pem"), [48, 130]).unwrap();
    fs::write(at.join("junk.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let encrypted = include_str!("../../../../tests/keys/ec.encrypted.pem");
    fs::write(at.join("locked.pem"), encrypted).unwrap();
    write(at, "other.pem", "other.key.pem");
    for (flags, file, why) in [
        ("", "--engine-cacert @none.pem", "No such file"),
        ("", "--engine-cacert @empty.pem", "it is empty"),
        ("", "--engine-cacert @der.pem", "it is not in PEM"),
        ("", "--engine-cacert @key.pem", "no certificate in it that can be used: give a file with those of"),
        ("", "--engine-cacert @junk.pem", "no certificate in it that can be used: give a file with those of"),
        (
            "--engine-cacert @ca.pem",
            "--engine-cert @ca.pem",
            "no private key in it: give a file with one as --engine-key",
        ),
        ("--engine-cacert @ca.pem", "--engine-cert @key.pem", "there is no certificate in it"),
        (
            "--engine-cacert @ca.pem --engine-cert @ca.pem",
            "--engine-key @other.key.pem",
            "does not belong to the certificate",
        ),
        (
            "--engine-cacert @ca.pem --engine-cert @ca.pem",
            "--engine-key @locked.pem",
            "is encrypted: decrypt a copy with",
        ),
    ] {
        let told = open(at, &format!("rediss://h {flags} {file}")).expect_err(file);
        let place = format!("cannot use {}: ", file.replace('@', &format!("{}/", at.display())));
        assert!(told.starts_with(&place) && told.contains(why), "{file}: {told}");
    }
}

#[test]
fn files_that_have_changed_hold_for_the_next_connection_unless_they_cannot_be_used() {
    let folder = folder();
    let at = folder.path();
    let mut trust =
        open(at, "rediss://h --engine-cacert @ca.pem --engine-cert @ca.pem --engine-key @key.pem")
            .unwrap()
            .unwrap();
    let mut is_read_again = || trust.look();
    assert!(!is_read_again());
    write(at, "ca.pem", "key.pem");
    assert!(is_read_again() && !is_read_again());
    write(at, "ca.pem", "elsewhere.pem");
    assert!(!is_read_again());
    write(at, "ca.pem", "key.pem");
    assert!(is_read_again());
}

#[test]
fn a_host_that_no_certificate_can_be_for_is_said_so() {
    let folder = folder();
    let mut trust = open(folder.path(), "rediss://h --engine-cacert @ca.pem").unwrap().unwrap();
    for host in ["h", "h.test.", "10.0.0.1", "fd00::1"] {
        assert!(trust.secure((), host).is_ok(), "{host}");
    }
    assert_eq!(trust.secure((), "").unwrap_err(), "no certificate can be for a host of the name ");
}

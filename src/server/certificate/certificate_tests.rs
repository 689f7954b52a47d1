//! Files of a certificate and its key as they are replaced, in a folder of the tests' own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use ::pem::{Pem, encode};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::server::ProducesTickets;
use tempfile::TempDir;

use super::*;

const EC: &str = include_str!("../../../tests/keys/ec.pem");
const ENCRYPTED: &str = include_str!("../../../tests/keys/ec.encrypted.pem");

/// A certificate and its key, in PEM.
fn issue(name: &str, key: &KeyPair) -> [String; 2] {
    issue_to(4000, name, key)
}

/// The same, valid until this year, which is its name.
fn issue_until(year: i32) -> [String; 2] {
    issue_to(year, &year.to_string(), &KeyPair::generate().unwrap())
}

fn issue_to(year: i32, name: &str, key: &KeyPair) -> [String; 2] {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(year, 1, 1));
    let certificate = params.self_signed(key).unwrap();
    let pem = |tag: &str, der: &[u8]| encode(&Pem::new(tag, der));
    [pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der())]
}

fn issued(name: &str) -> [String; 2] {
    issue(name, &KeyPair::generate().unwrap())
}

/// A certificate for the key of `EC`.
fn of_ec() -> String {
    let key = KeyPair::try_from(::pem::parse(EC).unwrap().contents()).unwrap();
    issue("ec.example", &key)[0].clone()
}

struct Folder(TempDir);

impl Folder {
    fn new(files: [(&str, &str); 2]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that is nobody's but its owner's.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.permit(name, 0o600);
    }

    fn permit(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn flags(&self) -> SslFlags {
        SslFlags {
            ssl_certfile: Some(self.path("cert.pem")),
            ssl_keyfile: Some(self.path("key.pem")),
            ..SslFlags::default()
        }
    }

    fn open(&self) -> Watched {
        let now = Now::read();
        Watched { file: CertificateFile::open(&self.flags(), now).unwrap().unwrap(), now }
    }

    fn why(&self) -> String {
        CertificateFile::open(&self.flags(), Now::read()).unwrap_err().to_string()
    }
}

/// A file with the time of the last look.
struct Watched {
    file: CertificateFile,
    now: Now,
}

impl Watched {
    fn look(&mut self) -> bool {
        self.now.instant = self.file.next_look();
        self.file.look(self.now).is_some()
    }

    fn shows(&self, name: &str) -> bool {
        self.file.description().contains(&format!("for {name},"))
    }
}

#[test]
fn a_certificate_is_shown_with_the_key_of_its_own_file_or_of_another() {
    let [certificate, key] = issued("a.example");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    assert!(folder.open().shows("a.example"));
    folder.write("cert.pem", &format!("{key}{certificate}"));
    let flags = SslFlags { ssl_keyfile: None, ..folder.flags() };
    let file = CertificateFile::open(&flags, Now::read()).unwrap().unwrap();
    assert_eq!(file.not_after().unwrap().to_string(), "4000-01-01T00:00:00Z");
    assert_eq!(file.warnings(file.not_after().unwrap()).len(), 1);
    assert!(CertificateFile::open(&SslFlags::default(), Now::read()).unwrap().is_none());
}

#[test]
fn a_pair_that_is_replaced_one_after_the_other_is_shown_once_both_are_there() {
    let ([one, one_key], [two, two_key]) = (issued("one"), issued("two"));
    let folder = Folder::new([("cert.pem", &one), ("key.pem", &one_key)]);
    let mut watched = folder.open();
    assert!(!watched.look());
    folder.write("cert.pem", &two);
    assert!(!watched.look() && !watched.look() && watched.shows("one"));
    folder.write("key.pem", &two_key);
    assert!(watched.look() && watched.shows("two"));
    folder.write("key.pem", &one_key);
    assert!(!watched.look() && watched.shows("two"));
    folder.write("cert.pem", &one);
    assert!(watched.look() && watched.shows("one") && !watched.look());
}

#[test]
fn whatever_becomes_of_the_files_what_was_read_before_stays_until_they_can_be_read_again() {
    let ([one, key], [two, two_key]) = (issued("one"), issued("two"));
    let folder = Folder::new([("cert.pem", &one), ("key.pem", &key)]);
    let mut watched = folder.open();
    for broken in [Some(""), Some(&one[..100]), None, Some("nothing of this kind")] {
        let path = folder.path("cert.pem");
        broken.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
        assert!(!watched.look() && !watched.look() && watched.shows("one"), "{broken:?}");
    }
    folder.write("cert.pem", &two);
    folder.write("key.pem", &two_key);
    assert!(watched.look() && watched.shows("two"));
}

#[test]
fn links_that_are_turned_to_other_files_are_seen() {
    let ([one, one_key], [two, two_key]) = (issued("one"), issued("two"));
    let folder = Folder(tempfile::tempdir().unwrap());
    // As a volume of Kubernetes: the names lead through one link, which is turned.
    let at = |name: &str| folder.path(name);
    for (version, [certificate, key]) in [("..1", [&one, &one_key]), ("..2", [&two, &two_key])] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("cert.pem"), certificate).unwrap();
        fs::write(at(version).join("key.pem"), key).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/cert.pem", at("cert.pem")).unwrap();
    symlink("..data/key.pem", at("key.pem")).unwrap();
    let mut watched = folder.open();
    assert!(watched.shows("one"));
    symlink("..2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    assert!(watched.look() && watched.shows("two"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_flag_its_path_and_the_mend() {
    let ([certificate, key], [other, _]) = (issued("one"), issued("two"));
    let ed448 = encode(&Pem::new("PRIVATE KEY", b"0\x05\x02\x01\x00\x30\x00".to_vec()));
    for (certificate, key, flag, expected) in [
        (&*certificate, "", "--ssl-keyfile", "it is empty"),
        ("", &*key, "--ssl-certfile", "it is empty"),
        (&key, &key, "--ssl-certfile", "there is no certificate in it"),
        (&certificate, &certificate, "--ssl-keyfile", "there is no private key in it"),
        (&other, &key, "--ssl-keyfile", "the private key does not belong to the certificate"),
        (
            &format!("{other}{certificate}"),
            &key,
            "--ssl-certfile",
            "belongs to certificate 2 of the 2 in it: put that first",
        ),
        (&certificate, ENCRYPTED, "--ssl-keyfile", "give the password in SLACKWATER_SSL_KEYFILE_PASSWORD"),
        (&certificate, &ed448, "--ssl-keyfile", "the private key is none of RSA with at least 2048 bits"),
        (&certificate.replace("MII", "MIA"), &key, "--ssl-certfile", "the certificate is none of X.509"),
    ] {
        let folder = Folder::new([("cert.pem", certificate), ("key.pem", key)]);
        let name = if flag == "--ssl-certfile" { "cert.pem" } else { "key.pem" };
        let why = folder.why();
        let place = format!("cannot use {flag} {}: ", folder.path(name).display());
        assert!(why.starts_with(&place) && why.contains(expected), "{why}");
    }
}

#[test]
fn a_file_that_is_not_there_or_none_is_said_so_and_nobody_waits_for_a_fifo() {
    let [certificate, key] = issued("one");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    let path = folder.path("key.pem");
    fs::remove_file(&path).unwrap();
    assert!(folder.why().contains("key.pem: No such file"), "{}", folder.why());
    fs::create_dir(&path).unwrap();
    assert!(folder.why().contains("not a regular file"), "{}", folder.why());
    fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert!(folder.why().contains("not a regular file"), "{}", folder.why());
    fs::remove_file(&path).unwrap();
    folder.write("key.pem", &" ".repeat(300 * 1024));
    assert!(folder.why().contains("more than 262144 bytes"), "{}", folder.why());
}

#[test]
fn a_file_that_may_no_longer_be_read_changes_nothing() {
    let [certificate, key] = issued("one");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    let mut watched = folder.open();
    folder.permit("key.pem", 0o000);
    // The superuser may read it all the same.
    assert!(!watched.look() && watched.shows("one"));
}

#[test]
fn whoever_else_can_read_the_key_or_change_a_file_is_warned_of_also_once_it_is_renewed() {
    let ([one, one_key], [two, two_key]) = (issued("one"), issued("two"));
    let folder = Folder::new([("cert.pem", &one), ("key.pem", &one_key)]);
    folder.permit("cert.pem", 0o644);
    let mut watched = folder.open();
    assert_eq!(watched.file.warnings(watched.now.wall), [""; 0]);
    folder.write("cert.pem", &two);
    folder.write("key.pem", &two_key);
    folder.permit("cert.pem", 0o646);
    folder.permit("key.pem", 0o644);
    assert!(watched.look());
    let [key, certificate] = &watched.file.warnings(watched.now.wall)[..] else { panic!("two are told") };
    assert!(key.contains("may read the private key in") && key.contains("0644"), "{key}");
    assert!(certificate.contains("may change the certificate in"), "{certificate}");
}

#[test]
fn whoever_else_may_read_the_key_is_known_though_it_is_the_same_key() {
    let [certificate, key] = issued("one");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    let mut watched = folder.open();
    folder.permit("key.pem", 0o644);
    assert!(!watched.look());
    let [told] = &watched.file.rights[..] else { panic!("one is told") };
    assert!(told.contains("may read the private key in"), "{told}");
}

#[test]
fn an_encrypted_key_has_to_have_its_password_and_another_has_none() {
    let folder = Folder::new([("cert.pem", &of_ec()), ("key.pem", ENCRYPTED)]);
    let password = |text: &str| Some(crate::config::secret::Secret::read_password(text).unwrap());
    let open = |text: &str| {
        let flags = SslFlags { ssl_keyfile_password: password(text), ..folder.flags() };
        CertificateFile::open(&flags, Now::read()).map(|file| file.unwrap())
    };
    assert_eq!(open("sesame").unwrap().warnings(Timestamp::now()), [""; 0]);
    let why = open("sekrit").unwrap_err().to_string();
    let place = "cannot be decrypted with the password of --ssl-keyfile-password";
    assert!(why.ends_with(place) && !why.contains("sekrit"), "{why}");
    folder.write("key.pem", EC);
    assert!(open("sesame").unwrap().warnings(Timestamp::now())[0].contains("given in vain"));
}

#[test]
fn a_file_for_tickets_has_at_least_as_many_bytes_as_a_key_and_may_be_replaced() {
    let [certificate, key] = issued("one");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    let tickets = folder.path("tickets");
    let flags = SslFlags { ssl_ticket_keyfile: Some(tickets.clone()), ..folder.flags() };
    let open = || CertificateFile::open(&flags, Now::read());
    for (bytes, is_taken) in [(0, false), (31, false), (32, true), (80, true), (1024, true), (1025, false)] {
        fs::write(&tickets, vec![7; bytes]).unwrap();
        assert_eq!(open().is_ok(), is_taken, "{bytes}");
    }
    let why = open().unwrap_err().to_string();
    assert!(why.contains("it holds 1025 bytes") && why.contains("openssl rand -out"), "{why}");
    fs::write(&tickets, [7; 80]).unwrap();
    let mut watched = Watched { file: open().unwrap().unwrap(), now: Now::read() };
    assert_eq!(watched.file.ticket_secret(), None);
    let ticket = watched.file.tickets.encrypt(b"session").unwrap();
    fs::write(&tickets, [7; 3]).unwrap();
    assert!(!watched.look());
    assert!(watched.file.tickets.decrypt(&ticket).is_some());
    for (secret, is_accepted) in [(8, true), (9, false)] {
        fs::write(&tickets, [secret; 80]).unwrap();
        assert!(watched.look() && watched.shows("one"));
        // Were it taken for another one, that before would be forgotten.
        fs::write(&tickets, [secret; 80]).unwrap();
        assert!(!watched.look());
        assert_eq!(watched.file.tickets.decrypt(&ticket).is_some(), is_accepted, "{secret}");
    }
}

#[test]
fn a_certificate_that_has_ended_is_shown_only_instead_of_one_that_has_ended_as_well() {
    let ([one, one_key], [two, two_key]) = (issue_until(3000), issue_until(2500));
    let folder = Folder::new([("cert.pem", &one), ("key.pem", &one_key)]);
    for (wall, is_taken) in [("2600-01-01T00:00:00Z", false), ("3600-01-01T00:00:00Z", true)] {
        folder.write("cert.pem", &one);
        folder.write("key.pem", &one_key);
        let mut watched = folder.open();
        watched.now.wall = wall.parse().unwrap();
        folder.write("cert.pem", &two);
        folder.write("key.pem", &two_key);
        assert_eq!((watched.look(), watched.shows("2500")), (is_taken, is_taken), "{wall}");
        assert!(!watched.look(), "it is told once");
    }
}

#[test]
fn what_tickets_are_made_by_is_drawn_or_handed_on() {
    let [certificate, key] = issued("one");
    let folder = Folder::new([("cert.pem", &certificate), ("key.pem", &key)]);
    let (one, other) = (folder.open().file, folder.open().file);
    assert_ne!(one.ticket_secret(), other.ticket_secret());
    let flags = SslFlags { ticket_secret: one.ticket_secret().cloned(), ..folder.flags() };
    let successor = CertificateFile::open(&flags, Now::read()).unwrap().unwrap();
    let ticket = one.tickets.encrypt(b"session").unwrap();
    assert_eq!(successor.tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(other.tickets.decrypt(&ticket), None);
}

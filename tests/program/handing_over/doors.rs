//! Wherever a server listens, its successor does: on the same sockets, of which files and ports stay.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::client::Client;
use support::peer::Peer;
use support::publisher::Publisher;

use super::server::Server;
use crate::door::Door;
use crate::operating::redirecting::{Certified, plain};
use crate::process::{BINARY, Process};
use crate::service_manager::Manager;

/// Starts in a folder, whose name stands for FOLDER in the flags.
fn start_in(folder: &Path, flags: &str) -> Server {
    let flags = flags.replace("FOLDER", folder.to_str().unwrap());
    let mut command = Command::new(BINARY);
    command.args(flags.split_whitespace()).current_dir(folder).env("TMPDIR", folder);
    Server::spawn(&mut command)
}

#[test]
fn every_door_stays_open_and_leaves_nothing_behind() {
    for (flags, doors) in [
        ("--uds FOLDER/public", &["public"][..]),
        ("--uds FOLDER/public --admin FOLDER/admin", &["public", "admin"]),
        ("--uds FOLDER/public --admin 127.0.0.1:0 --handover FOLDER/handover", &["public"]),
        ("--host localhost --admin FOLDER/admin --handover FOLDER/handover", &["admin"]),
        ("--uds public --handover handover", &["public"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = start_in(folder.path(), flags);
        let inode = |name: &&str| fs::metadata(folder.path().join(name)).unwrap().ino();
        let before: Vec<u64> = doors.iter().map(inode).collect();
        for _ in 0..2 {
            server.hand_over();
            for name in doors {
                assert_eq!(Door::Unix(folder.path().join(name)).get("/healthz").status, 200, "{flags}");
            }
            assert_eq!(doors.iter().map(inode).collect::<Vec<u64>>(), before, "{flags}");
        }
        let (code, lines) = server.leave();
        assert_eq!(code, Some(0), "{flags}: {lines:?}");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.is_empty(), "{flags}: {left:?}");
    }
}

#[test]
fn all_addresses_of_a_name_are_listened_on_by_the_successor() {
    let server = Server::start("--host localhost --admin localhost:0");
    let (before, admin) = (server.address(), server.line("perators"));
    for _ in 0..2 {
        server.hand_over();
        let addresses: Vec<String> =
            server.lines().into_iter().filter(|line| line.contains("Serving the page on")).collect();
        assert!(addresses.iter().all(|line| line.contains(&before.to_string())), "{addresses:?}");
        Client::join(before, "/ws").leave();
        let port =
            admin.rsplit(':').next().unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
        let door = Door::Ip(format!("127.0.0.1:{port}").parse().unwrap());
        assert!(!port.is_empty() && door.get("/readyz").status == 200, "{admin}");
    }
}

#[test]
fn who_comes_by_plain_http_is_redirected_by_the_successor_at_the_same_port() {
    let certified = Certified::new();
    for workers in ["", "--workers 2"] {
        let server = Server::start(&format!("{} {workers}", certified.redirecting()));
        let (door, port) = (plain(&server), server.address().port());
        let Door::Ip(address) = door else { panic!("it has a port") };
        let mut kept = Peer::connect(address);
        let ask = |peer: &mut Peer| {
            peer.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
            let answer = peer.response();
            assert_eq!(answer.status, 301);
            assert_eq!(answer.field("location"), Some(&*format!("https://a.example:{port}/x")));
        };
        ask(&mut kept);
        for count in 2..4 {
            server.hand_over();
            server.count(&format!("Requests to http://{address} are redirected to HTTPS"), count);
            ask(&mut kept);
            ask(&mut Peer::connect(address));
        }
        assert_eq!(server.leave().0, Some(0), "{workers}");
        assert!(!Door::Ip(address).is_open());
    }
}

#[test]
fn a_socket_that_was_handed_to_the_first_process_goes_on_to_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" --fd 3 3<&0 0</dev/null", BINARY]);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let by_number = Process::spawn_only(&mut command);
    let (manager, listener) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let other = listener.local_addr().unwrap();
    let by_manager = manager.activate(listener.into(), 1, "$$", "--port 1");
    for (process, address) in [(by_number, address), (by_manager, other)] {
        process.line("] Serving ");
        let server = Server::of(process);
        let mut client = Client::join(address, "/ws");
        for _ in 0..2 {
            server.hand_over();
            client.echo("x");
            Client::join(address, "/ws").leave();
        }
        client.leave();
        assert_eq!(server.leave().0, Some(0));
    }
}

#[test]
fn the_last_one_leaves_its_state_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--state-file FOLDER/state --handover FOLDER/handover";
    let server = start_in(folder.path(), flags);
    let first = Publisher::connect(server.address()).publish("one");
    server.hand_over();
    Publisher::connect(server.address()).publish("two");
    server.hand_over();
    assert!(!folder.path().join("state").exists(), "who goes on needs none");
    let (code, lines) = server.leave();
    assert_eq!((code, lines.iter().filter(|line| line.contains("Going on behind")).count()), (Some(0), 0));
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["state"]);
    let next = start_in(folder.path(), flags);
    let mut client = Client::resume(next.address(), &first);
    assert_eq!((client.welcome["resumed"].as_bool(), client.hear_data()), (Some(true), "two".into()));
}

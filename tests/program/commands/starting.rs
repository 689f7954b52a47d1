//! `check`, and a server of the same flags, limits and descriptors: they agree on whether it starts, and on where it listens.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use socket2::Socket;

use crate::process::{BINARY, Process, address_in, output};

/// A shell that becomes the program, with or without `check`.
fn program(before: &str, is_check: bool, flags: &str) -> Command {
    let check = if is_check { "check" } else { "" };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before} \"$0\" {check} {flags}"), BINARY]);
    shell
}

/// Whether the program would start, and all that is said of it.
fn check(command: &mut Command) -> (bool, String) {
    let output = output(command);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 2)), "{text}");
    (output.status.success(), text)
}

/// Whether the program starts.
fn starts(command: &mut Command) -> bool {
    Process::spawn_only(command.stdin(Stdio::null())).until("whether it starts", |lines| {
        let says = |part: &str| lines.iter().any(|line| line.contains(part));
        if says("Serving ") { Some(true) } else { says("cannot ").then_some(false) }
    })
}

/// What is said of why it would not start, where a server does not start either.
#[track_caller]
fn refused(before: &str, flags: &str) -> String {
    let (would_start, said) = check(&mut program(before, true, flags));
    assert!(!would_start, "{flags}: {said}");
    assert!(!starts(&mut program(before, false, flags)), "{flags}");
    said
}

/// The program, which is handed over this as descriptor 3.
fn activated(listener: &TcpListener, before: &str, is_check: bool, flags: &str) -> Command {
    let mut command = program(before, is_check, &format!("{flags} 3<&0 0</dev/null"));
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    command
}

#[test]
fn a_socket_that_is_handed_over_is_looked_at_and_left_as_it_is() {
    for (before, flags) in [
        ("LISTEN_PID=$$ LISTEN_FDS=1 exec", ""),
        ("exec", "--fd 3"),
        ("LISTEN_PID=$$ LISTEN_FDS=9 exec", "--uds x"),
    ] {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (would_start, said) = check(&mut activated(&listener, before, true, flags));
        assert!(would_start, "{flags}: {said}");
        let is_taken = !flags.contains("--uds");
        assert_eq!(said.contains(&format!("Would serve the page on http://{address} ")), is_taken, "{said}");
        assert_eq!(
            said.contains(&format!("warning: Everyone who can reach {address} may hear")),
            is_taken,
            "{said}"
        );
        assert!(!Socket::from(listener.try_clone().unwrap()).nonblocking().unwrap());
        let client = TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        if is_taken {
            let server = Process::spawn_only(&mut activated(&listener, before, false, flags));
            assert_eq!(address_in(&server.line("Serving ")), address);
        }
    }
}

#[test]
fn a_descriptor_that_cannot_be_listened_on_is_refused_as_a_server_refuses_it() {
    for (before, flags, why) in [
        ("exec", "--fd 77", "cannot listen on --fd 77: Bad file descriptor"),
        ("exec", "--fd 0 </dev/null", "cannot listen on --fd 0: Socket operation on non-socket"),
        (
            "LISTEN_PID=$$ LISTEN_FDS=2 exec",
            "3</dev/null 4</dev/null",
            "cannot listen on 2 sockets of the service manager",
        ),
        ("LISTEN_PID=$$ LISTEN_FDS=x exec", "", "cannot take the service manager's sockets"),
    ] {
        let said = refused(before, flags);
        assert!(said.starts_with(&format!("error: {why}")), "{said}");
    }
}

#[test]
fn a_configuration_that_contradicts_itself_would_not_start() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let (port, path) = (format!("--port {free}"), folder.path().display());
    let before = format!("cd {path}; exec");
    for flags in [
        format!("{port} --admin 127.0.0.1:{free}"),
        format!("{port} --admin localhost:{free}"),
        format!("{port} --host 0.0.0.0 --admin 127.0.0.1:{free} --workers 2"),
        format!("{port} --host :: --admin [::1]:{free}"),
        format!("{port} --host :: --admin 127.0.0.1:{free}"),
        "--uds x.sock --admin ./x.sock".to_owned(),
        format!("--uds x.sock --admin {path}/x.sock"),
    ] {
        let said = refused(&before, &flags);
        assert!(
            said.starts_with("error: cannot listen on --admin ") && said.contains("clients would be served"),
            "{said}"
        );
    }
    for flags in ["--uds h.sock --handover ./h.sock", "--admin ./h.sock --handover h.sock"] {
        let said = refused(&before, flags);
        assert!(said.starts_with("error: cannot listen at --handover, unix:"), "{said}");
    }
    for flags in [
        "--uds q.sock --state-file q.sock",
        "--admin ./q.sock --state-file q.sock",
        "--port 0 --handover ./q.sock --state-file q.sock",
    ] {
        let said = refused(&before, flags);
        assert!(
            said.starts_with("error: cannot keep the state in --state-file q.sock: the server would listen"),
            "{said}"
        );
    }
}

#[test]
fn where_no_successor_could_come_in_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "somebody's").unwrap();
    let before = format!("cd {}; exec", folder.path().display());
    for path in ["file", "none/handover", &"long".repeat(30)] {
        let said = refused(&before, &format!("--port 0 --handover {path}"));
        assert!(said.starts_with(&format!("error: cannot use --handover {path}: ")), "{said}");
    }
}

#[test]
fn a_port_that_this_user_may_not_have_is_found_out() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let before = if is_root {
        "exec setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service"
    } else {
        "exec"
    };
    let flags = "--port 1";
    let (would_start, said) = check(&mut program(before, true, flags));
    assert_eq!(would_start, starts(&mut program(before, false, flags)), "{said}");
    assert_eq!(!would_start, said.contains("127.0.0.1:1: Permission denied"), "{said}");
}

#[test]
fn a_limit_on_open_files_with_which_nothing_starts_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, limits) in [
        ("--port 0", 7..=14),
        ("--port 0 --admin 127.0.0.1:0", 8..=15),
        ("--port 0 --handover handover", 8..=15),
        ("--port 0 --workers 3", 20..=30),
    ] {
        let limit = |limit: &usize| format!("cd {}; ulimit -n {limit}; exec", folder.path().display());
        let would_start = |before: &usize| check(&mut program(&limit(before), true, flags)).0;
        let least = limits.clone().find(would_start).unwrap();
        assert!(least > *limits.start(), "{flags}");
        assert!(starts(&mut program(&limit(&least), false, flags)), "{flags} with {least}");
        assert!(refused(&limit(&(least - 1)), flags).contains("the limit on open files"), "{flags}");
    }
}

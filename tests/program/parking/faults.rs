//! A process that parks, or that takes up what was parked, is killed or refused something by the kernel at each step. Whoever cannot
//! live on is closed; nobody waits in vain, and the start after that serves as ever.

use std::fs;
use std::io::ErrorKind;
use std::time::Instant;

use slackwater::wire::link::VERSION;
use support::PATIENCE;
use support::client::Client;
use support::publisher::Publisher;
use tungstenite::Error;

use super::failing::WHY as NOT_PARKING;
use super::server::Service;
use crate::process::{BINARY, children};
use crate::strace::{self, Fault, Trace};
use crate::workers::program::Program;

const KILL: &str = "signal=KILL";
const NO_ROOM: &str = "error=ENOBUFS";

const CLIENTS: usize = 8;

/// Where it happens, with what flags, and more messages than there are of this process until everything is done.
const PARKING: [(&str, Place, usize); 3] =
    [("", Main, 14), ("--workers 2", Main, 16), ("--workers 2", Worker, 5)];

/// In which process of a server it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The one that is told to leave.
    Main,
    Worker,
}

use Place::{Main, Worker};

/// What has become of a server that was told to leave, and how many clients live on after it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It has parked them.
    Parked(usize),
    /// It drains, and serves them still.
    Drains(usize),
    /// It is gone.
    Killed(usize),
}

/// Whether it is served; else it is closed.
fn lives(client: &mut Client) -> bool {
    client.say("there?");
    loop {
        match client.try_hear() {
            Ok(heard) if heard.get("message").is_some_and(|said| *said == "Server received: there?") => {
                return true;
            }
            Ok(_) => {}
            Err(Error::Io(why)) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("it is neither served nor closed")
            }
            Err(_) => return false,
        }
    }
}

fn living(clients: &mut [Client]) -> usize {
    clients.iter_mut().map(lives).filter(|lives| *lives).count()
}

/// Whether a process has ended (proc_pid_stat(5)).
fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Waits until the log says one of these, or the process has ended, and all others are ended as the service manager does then: which
/// of them it says.
fn said<const N: usize>(service: &Service, parts: [&str; N]) -> [bool; N] {
    let process = service.process();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let has_ended = has_ended(process.pid());
        if has_ended {
            process.signal_group("KILL");
            process.until_silent();
        }
        let lines = process.lines();
        let said = parts.map(|part| lines.iter().any(|line| line.contains(part)));
        if has_ended || said.contains(&true) {
            return said;
        }
        assert!(Instant::now() < deadline, "nothing comes of it: {lines:#?}");
        std::thread::yield_now();
    }
}

/// The next start serves as ever.
fn assert_serves(service: &Service, first: &str) {
    let mut newcomer = service.client();
    let next = Publisher::connect(service.address()).publish("next");
    assert_ne!(first, next, "an id is given once");
    assert_eq!(newcomer.hear_data(), "next");
    assert_eq!(service.manager.kept(), [""; 0]);
}

/// What becomes of a server in which this happens while it parks.
fn park_with(flags: &str, place: Place, fault: Fault) -> Outcome {
    let mut service = Service::start(flags);
    let pid = service.process().pid();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| service.client()).collect();
    let first = Publisher::connect(service.address()).publish("first");
    let traced = if place == Main { pid } else { children(pid)[0] };
    let _trace = Trace::of(traced, fault);
    service.process().signal("TERM");
    let [is_parked, drains] = said(&service, ["] Parked ", NOT_PARKING]);
    if drains {
        assert_eq!(service.manager.kept(), [""; 0]);
        return Outcome::Drains(living(&mut clients));
    }
    if is_parked {
        service.end();
    } else {
        service.kill();
    }
    service.go_on();
    let living = living(&mut clients);
    assert_serves(&service, &first);
    if is_parked { Outcome::Parked(living) } else { Outcome::Killed(living) }
}

#[test]
fn all_live_on_or_all_are_closed_wherever_a_process_is_killed_that_parks() {
    if !strace::is_possible() {
        return;
    }
    for (flags, place, messages) in PARKING {
        let mut ends = [0; 3];
        for nth in 1..=messages {
            match park_with(flags, place, Fault::new("sendmsg", KILL, nth)) {
                Outcome::Parked(living) => {
                    ends[0] += 1;
                    // Those of a worker that is killed are gone with it.
                    assert!(living == CLIENTS || place == Worker, "{flags} {place:?} {nth}: {living}");
                    ends[1] += usize::from(living < CLIENTS);
                }
                Outcome::Drains(living) => panic!("{flags} {place:?} {nth}: {living}"),
                Outcome::Killed(living) => {
                    ends[2] += 1;
                    assert!(
                        place == Main && [0, CLIENTS].contains(&living),
                        "{flags} {place:?} {nth}: {living}"
                    );
                }
            }
        }
        assert!(ends[0] > 0 && ends[1] + ends[2] > 0, "{flags} {place:?}: {ends:?}");
    }
}

#[test]
fn who_cannot_be_parked_is_served_on_whatever_the_kernel_refuses() {
    if !strace::is_possible() {
        return;
    }
    for (flags, place, messages) in PARKING {
        let outcomes: Vec<Outcome> =
            (1..=messages).map(|nth| park_with(flags, place, Fault::new("sendmsg", NO_ROOM, nth))).collect();
        let [parked, drains] = [Outcome::Parked(CLIENTS), Outcome::Drains(CLIENTS)]
            .map(|kind| outcomes.iter().filter(|outcome| **outcome == kind).count());
        assert!(parked > 0 && drains > 1 && parked + drains == messages, "{flags} {place:?}: {outcomes:?}");
    }
    for flags in ["", "--workers 2"] {
        for (call, nth) in [("memfd_create", 1), ("socketpair", 1), ("socketpair", 2)] {
            let outcome = park_with(flags, Main, Fault::new(call, "error=EMFILE", nth));
            assert_eq!(outcome, Outcome::Drains(CLIENTS), "{flags} {call} {nth}");
        }
    }
}

/// How many live on after a start in which this happens while it takes up what was parked, and one more if that one ends by it.
fn take_up_with(flags: &str, place: Place, fault: Fault) -> usize {
    let mut service = Service::start(flags);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| service.client()).collect();
    let first = Publisher::connect(service.address()).publish("first");
    service.park();
    let (trace, program) = (Trace::new(), Program::new());
    let traced = trace.script(BINARY, fault);
    let script = match place {
        Main => traced,
        Worker => {
            // Once: it is started again.
            let once = service.manager.folder().join("once");
            program.replace(&format!(
                r#"case "$_SLACKWATER_WORKER" in "{VERSION} 1 "*) if mkdir {}; then {traced}; fi;; esac; exec {BINARY} "$@""#,
                once.display()
            ));
            let by = r#"exec bash -c 'exec -a "$0" "$@"'"#;
            format!(r#"{by} {} "$0" "$@""#, program.path().display())
        }
    };
    service.begin_by(&script, &[]);
    let [serves] = said(&service, ["Serving the page"]);
    if !serves {
        service.kill();
        service.go_on();
    }
    let living = living(&mut clients);
    assert_serves(&service, &first);
    living
}

#[test]
fn all_live_on_or_all_are_closed_wherever_a_process_is_killed_that_takes_up() {
    if !strace::is_possible() {
        return;
    }
    let starts = [
        ("", Main, "recvmsg", 10),
        ("--workers 2", Main, "recvmsg,sendmsg", 12),
        ("--workers 2", Worker, "recvmsg", 6),
    ];
    for (flags, place, calls, messages) in starts {
        let mut ends = [0; 2];
        for nth in 1..=messages {
            let living = take_up_with(flags, place, Fault::new(calls, KILL, nth));
            assert!([0, CLIENTS].contains(&living), "{flags} {place:?} {nth}: {living}");
            ends[usize::from(living == CLIENTS)] += 1;
        }
        // A worker that is started again takes up what was there for the one before it.
        let has_lost_all = ends[0] > 0;
        assert!(has_lost_all == (place == Main) && ends[1] > 1, "{flags} {place:?}: {ends:?}");
    }
}

#[test]
fn a_start_that_is_only_interrupted_takes_up_everybody() {
    if !strace::is_possible() {
        return;
    }
    for (flags, place) in [("", Main), ("--workers 2", Main), ("--workers 2", Worker)] {
        for nth in 1..=4 {
            let living = take_up_with(flags, place, Fault::new("recvmsg", "error=EINTR", nth));
            assert_eq!(living, CLIENTS, "{flags} {place:?} {nth}");
        }
    }
}

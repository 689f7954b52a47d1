//! A start that cannot go on with what was parked says why, closes it, and serves as ever.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

use slackwater::policy::epochs::Epochs;
use slackwater::server::handover::channel::Channel;
use slackwater::server::handover::memory;
use slackwater::wire::handover::FORMATS;
use slackwater::wire::handover::image::{Whole, Writer};
use slackwater::wire::handover::message::{Kind, Listening, Sockets, encode};
use slackwater::wire::handover::parked::{Left, Parked, Part};
use slackwater::wire::handover::record::{Http, Phase, Record};
use slackwater::wire::snapshot::Snapshot;
use support::HEALTHZ;
use support::client::Client;
use support::peer::Peer;
use support::publisher::Publisher;

use super::manager::{Manager, PARKED};
use super::server::Service;
use crate::process::Process;

/// How the line begins that says why.
const WHY: &str = "[WARNING] The connections that were parked are closed: ";

/// The same, of those in one channel.
const WHY_SOME: &str = "[WARNING] Some of the connections that were parked are closed: ";

/// What follows where it is not whole.
const DAMAGED: &str = "what was parked is damaged, or not whole";

/// What an earlier process has parked, as the test has it.
struct StandIn {
    channel: Channel,
    kept: Option<OwnedFd>,
    part: Channel,
    kept_part: OwnedFd,
    public: TcpListener,
    peer: Peer,
    accepted: TcpStream,
}

impl StandIn {
    fn new() -> Self {
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::connect(public.local_addr().unwrap());
        let accepted = public.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        let (channel, kept) = Channel::pair().unwrap();
        let (part, kept_part) = Channel::pair().unwrap();
        Self { channel, kept: Some(kept), part, kept_part, public, peer, accepted }
    }

    fn say(&self, message: &Parked, beside: &[BorrowedFd<'_>]) {
        self.channel.send(message, beside).unwrap();
    }

    fn say_server(&self, format: u32) {
        let listening =
            vec![Listening { kind: Kind::Public, is_shared: false, owns_file: false, slot: 0, path: None }];
        let version = "stand-in".to_owned();
        let server = Sockets { format, version, pid: 77, listening, workers: None, has_more: false };
        self.say(&Parked::Server(server), &[self.public.as_fd()]);
    }

    fn say_rest(&self) {
        self.say(&Parked::Image, &[rest().as_fd()]);
    }

    fn say_part(&self) {
        self.say(&Parked::Parts { count: 1 }, &[self.kept_part.as_fd()]);
    }

    fn say_image(&self, file: &OwnedFd, connections: u64) {
        self.part.send(&Part::Image { connections }, &[file.as_fd()]).unwrap();
    }

    fn say_batch(&self, connections: u32) {
        self.part.send(&Part::Batch { connections }, &[self.accepted.as_fd()]).unwrap();
    }

    /// All but the connections.
    fn say_all_else(&self) {
        self.say_server(1);
        self.say_rest();
        self.say_part();
    }

    /// Whatever becomes of it at the next start; its connection, if it lives.
    fn begin(self, flags: &str) -> (Service, Peer) {
        let Self { channel, kept, part, kept_part, public, peer, accepted } = self;
        let manager = Manager::new(1);
        manager.put(PARKED, kept.unwrap());
        drop((channel, part, kept_part, accepted, public));
        (Service::under(manager, flags), peer)
    }

    /// The next start serves, and has closed the connection: the line that says why.
    fn refused(self) -> String {
        let (mut service, mut peer) = self.begin("");
        assert_eq!(peer.rest(), b"");
        service.client().leave();
        assert_eq!(service.manager.kept(), [""; 0]);
        let lines = service.process().lines();
        let reason = |line| [WHY, WHY_SOME].iter().find_map(|why| str::strip_prefix(line, why));
        let mut reasons = lines.iter().filter_map(|line| reason(line));
        let why = reasons.next().unwrap_or_else(|| panic!("{lines:#?}")).to_owned();
        assert_eq!(reasons.next(), None);
        // The next has everything that there is.
        let mut client = service.client();
        service.restart();
        client.echo("x");
        why
    }
}

/// Why something is closed, and how it was left.
type Case = (&'static str, &'static dyn Fn(&StandIn));

/// How so many connections stand who have asked for nothing.
fn image_of(connections: usize) -> OwnedFd {
    let (file, ()) = memory::write(|file| {
        let mut image = Writer::new(file, *FORMATS.end())?;
        image.whole(&Whole::default())?;
        (0..connections).try_for_each(|_| image.connection(&Record::of(Phase::Http(Http::default()))))?;
        image.end().map(drop)
    })
    .unwrap();
    file
}

/// How everything else stands.
fn rest() -> OwnedFd {
    let snapshot = Snapshot { epochs: Epochs::of(7), newest: 0, publications: vec![], answers: vec![] };
    let (file, ()) = memory::write(|file| {
        let mut image = Writer::new(file, *FORMATS.end())?;
        image.whole(&Whole::default())?;
        image.history(&snapshot)?;
        image.left(&Left { connections: 1, ..Left::default() })?;
        image.end().map(drop)
    })
    .unwrap();
    file
}

fn file_of(octets: &[u8]) -> OwnedFd {
    memory::write(|file| file.write_all(octets)).unwrap().0
}

#[test]
fn what_is_whole_is_gone_on_with() {
    let parked = StandIn::new();
    let address = parked.public.local_addr().unwrap();
    parked.say_all_else();
    parked.say_image(&image_of(1), 1);
    parked.say_batch(1);
    let (service, mut peer) = parked.begin(&format!("--port {}", address.port()));
    service.process().line("] Took up 1 connections that process 77 had parked: nobody was heard for ");
    peer.send(HEALTHZ);
    assert_eq!(peer.response().status, 200);
    assert_eq!(service.address(), address);
}

#[test]
fn what_is_damaged_or_not_whole_is_closed() {
    let cases: [Case; 12] = [
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&file_of(b"nonsense"), 1);
            parked.say_batch(1);
        }),
        ("it is of format 1000, and this program reads 1 to 1", &|parked| {
            parked.say_server(1000);
            parked.say_rest();
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        // Written to this day by whoever has died meanwhile.
        (DAMAGED, &|parked| {
            let draft = memory::Draft::new().unwrap();
            parked.say_all_else();
            parked.part.send(&Part::Image { connections: 1 }, &[draft.as_fd()]).unwrap();
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            let draft = memory::Draft::new().unwrap();
            parked.say_server(1);
            parked.say(&Parked::Image, &[draft.as_fd()]);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say(&Parked::Image, &[image_of(0).as_fd()]);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_rest();
            parked.say_part();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(2), 2);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(0), 0);
            parked.say_batch(1);
        }),
        (DAMAGED, &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(1), 1);
            parked.say_batch(2);
        }),
        (DAMAGED, &|parked| {
            parked.say_server(1);
            parked.say_rest();
            parked.say(&Parked::Parts { count: 2 }, &[parked.kept_part.as_fd()]);
            parked.say_image(&image_of(1), 1);
            parked.say_batch(1);
        }),
    ];
    for (nth, (why, leave)) in cases.into_iter().enumerate() {
        let parked = StandIn::new();
        leave(&parked);
        assert_eq!(parked.refused(), why, "{nth}");
    }
}

#[test]
fn it_is_said_how_many_of_those_who_were_parked_are_missing() {
    let cases: [&dyn Fn(&StandIn); 3] = [
        &|parked| {
            parked.say_server(1);
            parked.say_rest();
        },
        &|parked| {
            parked.say_all_else();
            parked.say_image(&image_of(0), 0);
        },
        &|parked| parked.say_all_else(),
    ];
    for leave in cases {
        for flags in ["", "--workers 2"] {
            let parked = StandIn::new();
            leave(&parked);
            let (service, mut peer) = parked.begin(flags);
            assert_eq!(peer.rest(), b"");
            let line =
                "[WARNING] 1 of the connections that were parked are closed: they could not be taken up";
            service.process().line(line);
            service.process().line("] Took up 0 connections that process 77 had parked");
            let moved = "slackwater_handover_connections_total{result=\"moved\"}";
            assert_eq!(service.process().door().metrics().of(moved), 0.0);
        }
    }
}

#[test]
fn what_another_program_says_is_none_of_it() {
    let parked = StandIn::new();
    parked.channel.send(&"nonsense", &[parked.accepted.as_fd()]).unwrap();
    assert_ne!(encode(&"nonsense"), encode(&Parked::Image));
    assert_eq!(parked.refused(), DAMAGED);
}

#[test]
fn a_store_with_nothing_in_it_says_so() {
    let (service, _) = StandIn::new().begin("");
    assert_eq!(service.manager.kept(), [""; 0]);
    let lines = service.process().lines();
    assert_eq!(
        lines.iter().filter(|line| line.contains("Nothing is in what was parked")).count(),
        1,
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|line| line.starts_with(WHY)), "{lines:#?}");
}

#[test]
fn what_has_another_name_is_none_of_it() {
    let manager = Manager::new(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    manager.put("another", listener.into());
    let service = Service::under(manager, "");
    assert_eq!(service.address(), address, "it is a socket to listen on, as ever");
}

#[test]
fn a_start_that_fails_leaves_what_was_parked_to_the_next() {
    let mut service = Service::start("");
    let mut client = service.client();
    service.park();
    let mut command = service.manager.command("--state-file /none/state", &[]);
    let (code, lines) = Process::spawn_only(command.stdin(Stdio::null())).end();
    assert_eq!(code, Some(3), "{lines:?}");
    service.go_on();
    client.echo("x");
}

#[test]
fn a_start_that_cannot_listen_leaves_what_was_parked_to_the_next() {
    let mut service = Service::start("");
    let (address, mut client) = (service.address(), service.client());
    service.park();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flags in [&format!("--port {port}"), "--uds /none/socket", "--host no.such.host.invalid"] {
        let lines = service.fail(flags);
        assert_eq!(
            lines.iter().filter(|line| line.contains(" has parked stays with ")).count(),
            1,
            "{lines:#?}"
        );
    }
    let mut waiting = Peer::connect(address);
    waiting.send(HEALTHZ);
    service.go_on();
    assert_eq!(service.address(), address);
    assert_eq!(waiting.response().status, 200);
    client.echo("x");
}

#[test]
fn a_start_without_the_state_file_takes_away_what_was_left_in_it() {
    for flags in ["", "--workers 2"] {
        let manager = Manager::new(1);
        let state = manager.folder().join("state");
        let mut service = Service::under(manager, &format!("{flags} --state-file {}", state.display()));
        let mut client = service.client();
        service.park();
        assert!(state.exists());
        service.flags = flags.to_owned();
        service.go_on();
        service.process().line("] Took up 1 connections");
        client.echo("x");
        assert!(!state.exists(), "by it a later start would give ids once more");
    }
}

#[test]
fn what_was_handed_to_another_process_is_said_to_be_lost() {
    let mut service = Service::start("");
    service.park();
    service.go_on_by(r#""$0" "$@"; exit"#, &[]);
    let line = service.process().line("[WARNING] What was parked was handed to process ");
    let why =
        " and not to this one, and is not taken up: a script that starts the server is to do so by exec";
    assert!(line.ends_with(why), "{line}");
    assert!(!service.process().lines().iter().any(|line| line.contains("closed")));
    assert_eq!(service.manager.kept(), [PARKED]);
}

#[test]
fn what_is_no_socket_is_closed() {
    let manager = Manager::new(1);
    manager.put(PARKED, std::fs::File::open("/dev/null").unwrap().into());
    let mut service = Service::under(manager, "");
    service.process().line(WHY);
    let mut client = service.client();
    assert_eq!(service.manager.kept(), [""; 0]);
    service.restart();
    client.echo("there is room for others");
}

#[test]
fn where_what_was_parked_is_lost_the_history_is_in_the_state_file() {
    let manager = Manager::new(1);
    let state = manager.folder().join("state");
    let flags = format!("--state-file {}", state.display());
    let mut service = Service::idle(manager, &flags);
    service.go_on();
    let address = service.address();
    let mut client = service.client();
    let mut publisher = Publisher::connect(address);
    let first = publisher.publish("first");
    publisher.publish("second");
    service.restart();
    assert!(!state.exists(), "it would be old at once");
    assert!(publisher.publish("third").ends_with("-3"));
    for text in ["first", "second", "third"] {
        assert_eq!(client.hear_data(), text);
    }
    service.park();
    assert!(state.exists());
    drop(service.manager.take_all());
    assert!(client.try_hear().is_err(), "the service manager has closed it");
    service.go_on();
    let mut back = Client::resume(service.address(), &first);
    assert_eq!(back.welcome["resumed"], true);
    assert_eq!((back.hear_data(), back.hear_data()), ("second".into(), "third".into()));
}

#[test]
fn who_has_no_time_left_is_closed_with_its_code_and_everybody_else_goes_on() {
    let mut service = Service::start("--timeout-keep-alive 0.3");
    let address = service.address();
    let mut client = service.client();
    let mut kept = Peer::connect(address);
    kept.send(HEALTHZ);
    assert_eq!(kept.response().status, 200);
    service.park();
    let began = std::time::Instant::now();
    while began.elapsed().as_millis() < 400 {
        std::thread::yield_now();
    }
    service.go_on();
    assert_eq!(kept.rest(), b"");
    client.echo("x");
}

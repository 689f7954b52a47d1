//! The whole core: the server's own turn over sockets in memory, with a clock that is told. Whatever clients send and
//! whenever they stop, it comes to rest, leaves when it is told to, and begins nothing that it does not go on with.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slackwater::http::access::Access;
use slackwater::http::routes::Door;
use slackwater::policy::drain::{Drain, Step};
use slackwater::policy::heard::Look;
use slackwater::policy::history::HistoryLimits;
use slackwater::policy::reconnect_notices::ReconnectTerms;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::limits::Limits;
use slackwater::server::peers::Readiness;
use slackwater::server::terms::{Service, Terms};
use slackwater::server::turn::{Effect, Ready, Turn};

use slackwater::wire::snapshot::Snapshot;
use slackwater::wire::websocket::Rules;
use slackwater_fuzz::line::{Line, LineSocket};

/// So many are connected at once.
const MAX_CLIENTS: usize = 6;

/// So many acts are played.
const MAX_ACTS: usize = 100;

/// More turns without sleep than it ever needs.
const MAX_TURNS: usize = 2000;

/// How long leaving takes at most.
const LONGEST_LEAVING: Duration = Duration::from_secs(45);

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

// A list of acts, three octets each: what (as a digit), by which client, how much; then so many octets for what is sent.
fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    play(input, &mut world);
    world.lines.iter().flatten().for_each(|(line, _)| check_stream(&line.borrow()));
});

fn play(mut rest: &[u8], world: &mut World) {
    for _ in 0..MAX_ACTS {
        let Some((&[what, who, much], behind)) = rest.split_first_chunk() else {
            break;
        };
        rest = behind;
        let mut content = || rest.split_off(..usize::from(much).min(rest.len())).unwrap_or_default();
        let who = usize::from(who) % MAX_CLIENTS;
        match what % 8 {
            0 => world.connect(who, if much % 2 == 0 { Door::Public } else { Door::Admin }),
            1 => world.line(who, |line| line.send(content())),
            2 => world.line(who, |line| line.send(&text_frame(content()))),
            3 => world.line(who, |line| line.send(&publication(content()))),
            4 => world.line(who, |line| line.send(UPGRADE)),
            5 => world.line(who, |line| line.read((much < 255).then(|| usize::from(much) * 64))),
            6 if much % 2 == 0 => world.line(who, Line::end),
            6 => world.line(who, Line::fail),
            _ if who == 0 => world.turn(Some(Control::Leave)),
            _ => world.sleep(Duration::from_millis(40) * u32::from(much)),
        }
        world.come_to_rest();
        if world.has_ended {
            return;
        }
    }
    world.turn(Some(Control::Leave));
    world.come_to_rest();
    world.sleep(LONGEST_LEAVING);
    assert!(world.has_ended, "it does not leave");
}

struct World {
    server: Turn<LineSocket>,
    /// Each client's line and key.
    lines: [Option<(Rc<RefCell<Line>>, usize)>; MAX_CLIENTS],
    now: Now,
    accepts: bool,
    has_ended: bool,
}

impl World {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let drain = Drain::new(Duration::from_secs(30), Duration::from_secs(5));
        let mut server = Turn::new(terms(), None, drain, now);
        server.notify_every(Some(Duration::from_secs(3)));
        Self { server, lines: Default::default(), now, accepts: true, has_ended: false }
    }

    fn connect(&mut self, who: usize, door: Door) {
        if !self.accepts || self.lines[who].as_ref().is_some_and(|(line, _)| !line.borrow().is_dropped) {
            return;
        }
        if let Some((line, _)) = self.lines[who].take() {
            check_stream(&line.borrow());
        }
        let line = Rc::new(RefCell::new(Line::default()));
        let mut own_key = 0;
        let socket = |key| {
            own_key = key;
            Ok(LineSocket(line.clone()))
        };
        self.server.admit(door, socket).expect("nothing fails here");
        self.lines[who] = Some((line, own_key));
    }

    fn line(&mut self, who: usize, act: impl FnOnce(&mut Line)) {
        if let Some((line, _)) = &self.lines[who] {
            act(&mut line.borrow_mut());
        }
    }

    fn turn(&mut self, control: Option<Control>) {
        let lines = self.lines.iter().flatten();
        let ready = lines.filter(|(line, _)| std::mem::take(&mut line.borrow_mut().has_event));
        let ready =
            ready.map(|(_, key)| Ready::Peer { key: *key, readiness: Readiness::End, has_room: true });
        let ready: Vec<Ready> = ready.collect();
        self.server.on_look(Look { began: self.now.instant, events: ready.len(), most: 1024 }, MAX_CLIENTS);
        self.server.handle(ready, control, self.now);
        while let Some(effect) = self.server.poll() {
            match effect {
                Effect::StopAccepting { .. } => self.accepts = false,
                Effect::LeaveState => {
                    let state = self.server.snapshot().expect("it has no supervisor");
                    assert_eq!(Snapshot::decode(&state.encode()), Ok(state));
                }
                Effect::Step(Step::Complete(_)) => self.has_ended = true,
                _ => {}
            }
        }
        self.server.end(self.now.instant);
    }

    /// Takes turns until it would sleep, and no event would wake it.
    fn come_to_rest(&mut self) {
        for _ in 0..MAX_TURNS {
            if self.has_ended {
                return;
            }
            let has_event = self.lines.iter().flatten().any(|(line, _)| line.borrow().has_event);
            if !has_event && self.server.next_timeout() != Some(Duration::ZERO) {
                return;
            }
            self.turn(None);
        }
        panic!("it never comes to rest");
    }

    fn sleep(&mut self, mut time: Duration) {
        while !self.has_ended && !time.is_zero() {
            let step = self.server.next_timeout().unwrap_or(time).min(time);
            assert!(!step.is_zero(), "it is at rest");
            time -= step;
            self.now = Now { instant: self.now + step, wall: self.now.wall + step };
            self.turn(None);
            self.come_to_rest();
        }
    }
}

fn terms() -> Terms {
    let seconds = Duration::from_secs;
    let limits = Limits {
        handshake: seconds(5),
        keep_alive: seconds(3),
        ping_interval: Some(seconds(7)),
        ping_timeout: Some(seconds(4)),
        write: seconds(5),
        outbox_bytes: 4096,
        rules: Rules { max_message_bytes: 200, binary: false },
    };
    Terms {
        service: Service::Notifications,
        limits,
        concurrency: None,
        epoch: 0xbeef,
        history: HistoryLimits { publications: 20, bytes: 20_000, age: seconds(60) },
        reconnect: Some(ReconnectTerms { spread: seconds(10), close_after: Some(seconds(5)) }),
        access: Access::on_this_machine("x"),
        operators: Some(Access::on_this_machine("x")),
        max_publish_bytes: 10_000,
    }
}

/// One frame of at most 125 octets, masked with nothing.
fn text_frame(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(125)];
    let length = u8::try_from(text.len()).expect("at most 125");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text].concat()
}

fn publication(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// What a client has been sent is an answer in HTTP or, on a WebSocket, whole frames of JSON; the last may be cut when the
/// stream is not ended behind it.
fn check_stream(line: &Line) {
    let octets = &line.written[..];
    assert!(octets.is_empty() || octets.starts_with(b"HTTP/1.1 "));
    if !octets.starts_with(b"HTTP/1.1 101 ") {
        return;
    }
    let head = octets.windows(4).position(|end| end == b"\r\n\r\n").map_or(octets.len(), |end| end + 4);
    let (mut rest, mut has_closed) = (&octets[head..], false);
    while let Some((opcode, payload, behind)) = split_frame(rest) {
        assert!(!has_closed, "something follows a close");
        match opcode {
            0x81 => {
                let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
                assert!(message["type"].is_string());
            }
            0x88 => has_closed = true,
            0x89 | 0x8a => {}
            _ => panic!("no frame of ours: {opcode:#x}"),
        }
        rest = behind;
    }
    assert!(rest.is_empty() || !line.is_finished, "a frame is cut");
}

/// The first frame and what follows it, if all of it is there.
fn split_frame(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (opcode, length, rest) = match octets {
        [opcode, length @ 0..=125, rest @ ..] => (*opcode, usize::from(*length), rest),
        [opcode, 126, high, low, rest @ ..] => {
            (*opcode, usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [_, 127..=255, ..] => panic!("masked, or longer than anything here"),
        _ => return None,
    };
    let (payload, behind) = rest.split_at_checked(length)?;
    Some((opcode, payload, behind))
}

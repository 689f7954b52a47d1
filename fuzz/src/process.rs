//! One process that serves: the production turn over lines, each event as epoll(7) would announce it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::http::access::Access;
use slackwater::http::door::Door;
use slackwater::http::redirect::{HTTPS_PORT, Redirect};
use slackwater::policy::drain::{Drain, Step};
use slackwater::policy::heard::Look;
use slackwater::policy::history::HistoryLimits;
use slackwater::policy::reconnect_notices::ReconnectTerms;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::limits::Limits;
use slackwater::server::peers::Arrival;
use slackwater::server::terms::{Service, Terms};
use slackwater::server::turn::{Effect, Ready, Turn};
use slackwater::wire::handover::times::Moment;
use slackwater::wire::snapshot::Snapshot;
use slackwater::wire::websocket::Rules;

use crate::line::{Line, LineSocket};
use crate::witness::Witness;

/// The epoch of all that is published.
pub const EPOCH: u32 = 0xbeef;

/// What is kept of it.
pub const HISTORY: HistoryLimits =
    HistoryLimits { publications: 20, bytes: 20_000, age: Duration::from_secs(60) };

/// How long its clients have once it leaves.
pub const GRACE: Duration = Duration::from_secs(30);

/// How often it says what it waits for.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// One process.
pub struct Process {
    server: Turn<LineSocket>,
    /// To its supervisor, if it has one.
    pub link: Option<Rc<RefCell<Line>>>,
    /// Each peer's line and key.
    lines: Vec<(Rc<RefCell<Line>>, usize)>,
    newcomers: Vec<(Rc<RefCell<Line>>, Door)>,
    signals: Vec<Control>,
    /// Connections that are another's, if it is told so.
    moved: Vec<usize>,
    accepts: bool,
    accepts_operators: bool,
    /// Takes no turn.
    pub is_frozen: bool,
    pub has_ended: bool,
    /// Hears all that it hands on, if it is to have one.
    pub witness: Option<Witness>,
}

/// As other processes write it.
fn moment(now: Now) -> Moment {
    Moment { instant: now.instant, monotonic: 1_000_000_000_000 }
}

impl Process {
    /// One that is alone, and serves.
    pub fn alone(now: Now) -> Self {
        let mut process = Self::new(None, now);
        process.server.notify_every(Some(Duration::from_secs(3)));
        process.accepts = true;
        process
    }

    /// One that serves once its supervisor says so.
    pub fn worker(link: Rc<RefCell<Line>>, now: Now) -> Self {
        Self::new(Some(link), now)
    }

    fn new(link: Option<Rc<RefCell<Line>>>, now: Now) -> Self {
        let supervisor = link.clone().map(LineSocket);
        Self {
            server: Turn::new(terms(), supervisor, Drain::new(GRACE, REPORT_INTERVAL), now),
            link,
            lines: Vec::new(),
            newcomers: Vec::new(),
            signals: Vec::new(),
            moved: Vec::new(),
            accepts: false,
            accepts_operators: true,
            is_frozen: false,
            has_ended: false,
            witness: None,
        }
    }

    /// Goes on with what another one has handed over, with lines of its own; `None` when that is nothing to go on with.
    pub fn take_over(&mut self, image: &[u8], now: Now) -> Option<Vec<Rc<RefCell<Line>>>> {
        let lines = &mut self.lines;
        let register = |Arrival { key, .. }: Arrival| {
            let line = Rc::<RefCell<Line>>::default();
            lines.push((line.clone(), key));
            Ok(LineSocket(line))
        };
        self.server.take_over(image, now, moment(now), register).ok()?;
        Some(self.lines.iter().map(|(line, _)| line.clone()).collect())
    }

    /// What it hands over.
    pub fn pack(&mut self, now: Now) -> Vec<u8> {
        let mut image = vec![];
        self.server.pack(moment(now), 1, &mut image).expect("memory takes all of it");
        image
    }

    /// Somebody connects, if that door is open.
    pub fn connect(&mut self, line: &Rc<RefCell<Line>>, door: Door) -> bool {
        let is_open =
            !self.has_ended && if door == Door::Admin { self.accepts_operators } else { self.accepts };
        if is_open {
            self.newcomers.push((line.clone(), door));
        }
        is_open
    }

    /// It is sent a signal.
    pub fn signal(&mut self, signal: Control) {
        self.signals.push(signal);
    }

    /// Whether it has been told to leave.
    pub fn is_leaving(&self) -> bool {
        self.server.is_leaving()
    }

    /// Whether it would take a turn now.
    pub fn is_awake(&self, now: Instant) -> bool {
        let has_event = |line: &Rc<RefCell<Line>>| line.borrow().has_event && !line.borrow().is_dropped;
        self.is_running()
            && (!(self.newcomers.is_empty() && self.signals.is_empty())
                || self.lines.iter().map(|(line, _)| line).chain(&self.link).any(has_event)
                || self.next_time().is_some_and(|at| at <= now))
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        let timeout = self.server.next_timeout().filter(|_| self.is_running())?;
        Some(self.server.now() + timeout)
    }

    pub fn turn(&mut self, now: Now) {
        self.lines.retain(|(line, _)| !line.borrow().is_dropped);
        let peers = self.lines.iter().filter_map(|(line, key)| line.borrow_mut().take_ready(*key));
        let link = self.link.iter().filter(|link| std::mem::take(&mut link.borrow_mut().has_event));
        let ready: Vec<Ready> = peers.chain(link.map(|_| Ready::Supervisor)).collect();
        let look = Look { began: self.server.now().instant, events: ready.len(), most: 1024 };
        self.server.on_look(look, self.lines.len());
        self.server.handle(ready, std::mem::take(&mut self.signals), now);
        for (line, door) in std::mem::take(&mut self.newcomers) {
            self.admit(line, door);
        }
        while let Some(effect) = self.server.poll() {
            self.perform(effect);
        }
        self.server.end(now.instant);
        if let Some(witness) = &mut self.witness {
            witness.testify(self.server.is_leaving());
        }
    }

    fn admit(&mut self, line: Rc<RefCell<Line>>, door: Door) {
        let lines = &mut self.lines;
        let register = |key| {
            lines.retain(|(line, _)| !line.borrow().is_dropped);
            assert!(lines.iter().all(|(_, other)| *other != key), "a key has two owners");
            lines.push((line.clone(), key));
            Ok(LineSocket(line))
        };
        self.server.admit(door, register).expect("nothing fails here");
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Accept if self.server.is_leaving() => {}
            Effect::Accept => {
                self.accepts = true;
                if let Some(line) = self.witness.as_mut().and_then(Witness::connect) {
                    self.admit(line, Door::Public);
                }
            }
            Effect::StopAccepting { .. } => self.accepts = false,
            Effect::OpenAdmin => self.accepts_operators = true,
            Effect::RestAdmin | Effect::CloseAdmin => self.accepts_operators = false,
            Effect::LeaveState => match self.server.snapshot() {
                Some(state) => assert_eq!(Snapshot::decode(&state.encode()), Ok(state)),
                None => assert!(self.link.is_some(), "it has no supervisor"),
            },
            Effect::Step(Step::Complete(_)) => self.has_ended = true,
            Effect::HandOver | Effect::Park | Effect::Connect(_) => unreachable!("nobody asks for it"),
            Effect::Move { format, .. } => {
                match self.server.pack(moment(self.server.now()), format, &mut io::sink()) {
                    Ok(packed) => {
                        self.server.say_moved(packed.connections.len());
                        self.moved = packed.connections;
                    }
                    Err(why) => self.server.say_not_moved(why.to_string()),
                }
            }
            Effect::ParkPart { format } => {
                let at = moment(self.server.now());
                match self.server.pack_part(at, format, usize::MAX, &mut io::sink()) {
                    Ok(packed) => {
                        self.server.say_moved(packed.connections.len());
                        self.moved = packed.connections;
                    }
                    Err(why) => self.server.say_not_moved(why.to_string()),
                }
            }
            Effect::Commit => {
                let drain = Drain::new(GRACE, REPORT_INTERVAL);
                self.server.part_with(&std::mem::take(&mut self.moved), drain);
            }
            Effect::Resume => self.server.resume(),
            Effect::Vanish => self.has_ended = true,
            Effect::Step(_) | Effect::Trim => {}
        }
    }

    fn is_running(&self) -> bool {
        !self.is_frozen && !self.has_ended
    }

    /// The process is killed: whoever is connected is cut off.
    pub fn die(self) {
        self.lines.iter().for_each(|(line, _)| line.borrow_mut().fail());
        self.newcomers.iter().for_each(|(line, _)| line.borrow_mut().fail());
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
        addresses: None,
        messages: None,
        proxies: None,
        announcing_proxies: None,
        concurrency: None,
        epoch: EPOCH,
        history: HISTORY,
        reconnect: Some(ReconnectTerms { spread: seconds(10), close_after: Some(seconds(5)), max_age: None }),
        access: Access::on_this_machine("x"),
        operators: Some(Access::on_this_machine("x")),
        allowed_origins: vec![],
        redirect: Redirect { port: HTTPS_PORT, own_port: None, answers_challenges: false },
        webroot: None,
        auth: None,
        max_publish_bytes: 10_000,
        compresses: false,
        footprint: |_| {},
    }
}

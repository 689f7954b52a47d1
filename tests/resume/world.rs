//! Servers that follow one another, turn by turn, over virtual sockets and a virtual clock. A witness at each server hears everything at once and so knows the truth.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::http::routes::Door;
use slackwater::policy::drain::{Drain, Step};
use slackwater::policy::heard::Look;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::limits::Limits;
use slackwater::server::terms::Terms;
use slackwater::server::turn::{Effect, Turn};
use slackwater::wire::snapshot::Snapshot;

use crate::ear::Heard;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::speech::handshake;
use crate::spin::Spin;
use crate::subscriber::{Subscriber, Welcomer};
use crate::truth::Truth;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 20_000;

/// Longer than any story.
const HOUR: Duration = Duration::from_secs(3600);

/// One process.
pub struct Server {
    pub turn: Turn<VirtualSocket>,
    pub epoch: u32,
    /// The newest position of its own.
    pub newest: u64,
    number: usize,
    /// Who holds a key of the slab.
    lines: BTreeMap<usize, Rc<RefCell<Line>>>,
    witness: Rc<RefCell<Line>>,
    witnessed: usize,
    /// When it is told to leave a second time.
    insist_at: Option<Duration>,
    signals: Vec<Control>,
    newcomers: Vec<VirtualSocket>,
    /// What it leaves to its successor.
    legacy: Option<Snapshot>,
    has_said_farewell: bool,
    has_ended: bool,
    spin: Spin,
}

/// What happens to the server that serves.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// It leaves its state to a successor, and its clients have so long to follow.
    Redeployed(Duration),
    Crashed,
}

pub struct World {
    pub random: Random,
    pub terms: Terms,
    base: Instant,
    pub now: Duration,
    /// Those that are leaving, and the one that serves as the last.
    pub servers: Vec<Server>,
    servers_so_far: usize,
    pub subscribers: Vec<Subscriber>,
    pub publishers: Vec<Publisher>,
    pub truth: Truth,
    notify_interval: Option<Duration>,
    /// The next one last.
    pub fates: Vec<(Duration, Fate)>,
    busy_turns: usize,
    pub redeployments: usize,
    pub crashes: usize,
}

impl World {
    pub fn new(random: Random, terms: Terms) -> Self {
        let mut world = Self {
            random,
            base: Instant::now(),
            now: Duration::ZERO,
            servers: Vec::new(),
            servers_so_far: 0,
            subscribers: Vec::new(),
            publishers: Vec::new(),
            truth: Truth::new(terms.history),
            notify_interval: None,
            fates: Vec::new(),
            busy_turns: 0,
            redeployments: 0,
            crashes: 0,
            terms,
        };
        world.start(None);
        world
    }

    /// Lets the server that serves, and those that follow it, publish so often.
    pub fn notify_every(&mut self, interval: Option<Duration>) {
        self.notify_interval = interval;
        self.servers.last_mut().expect("one serves").turn.notify_every(interval);
    }

    /// Takes turns until then.
    pub fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.turn();
            self.sleep();
        }
    }

    /// Connects somebody who says this and has room for so much unread.
    pub fn connect(&mut self, capacity: usize, request: &str) -> Rc<RefCell<Line>> {
        let line = Rc::new(RefCell::new(Line::new(self.random.fork(), capacity)));
        line.borrow_mut().send(request.as_bytes());
        self.servers.last_mut().expect("one serves").admit(line.clone());
        line
    }

    fn clock(&self) -> Now {
        let wall = Timestamp::from_second(1_790_000_000).expect("in range") + self.now;
        Now { instant: self.base + self.now, wall }
    }

    /// One turn of each server, and what the others make of it.
    pub fn turn(&mut self) {
        let now = self.clock();
        self.fulfil_fates();
        self.let_act();
        for server in &mut self.servers {
            let had_said_farewell = server.has_said_farewell;
            server.take_turn(now, &mut self.random);
            server.testify(&mut self.truth, self.now);
            if server.has_said_farewell && !had_said_farewell {
                let visits = self.subscribers.iter_mut().filter_map(|subscriber| subscriber.visit.as_mut());
                for visit in visits.filter(|visit| visit.record.server == server.number) {
                    visit.record.farewell = Some(server.newest);
                }
            }
        }
        for subscriber in &mut self.subscribers {
            let newest =
                subscriber.visit.as_ref().map_or(0, |visit| newest(&self.servers, visit.record.server));
            subscriber.on_turn(newest, self.now);
        }
        for publisher in &mut self.publishers {
            publisher.on_turn(self.now);
        }
    }

    fn let_act(&mut self) {
        let serving = self.servers.last_mut().expect("one serves");
        let Limits { write: write_limit, outbox_bytes, .. } = self.terms.limits;
        let welcomer = Welcomer { server: serving.number, epoch: serving.epoch, write_limit, outbox_bytes };
        for subscriber in &mut self.subscribers {
            if let Some(line) = subscriber.come(welcomer, self.now) {
                serving.admit(line);
            }
        }
        for publisher in &mut self.publishers {
            if let Some(line) = publisher.act(serving.number, self.now) {
                serving.admit(line);
            }
        }
        for subscriber in &mut self.subscribers {
            let newest =
                subscriber.visit.as_ref().map_or(0, |visit| newest(&self.servers, visit.record.server));
            subscriber.act(newest, self.now);
        }
    }

    /// A turn takes its time.
    pub fn tick(&mut self) {
        self.now += Duration::from_micros(self.random.within(10..200) as u64);
    }

    /// Behind a turn it sleeps until the next moment at which something happens.
    fn sleep(&mut self) {
        self.tick();
        if !self.servers.iter().all(Server::is_at_rest) {
            self.busy_turns += 1;
            assert!(self.busy_turns < LIVELOCK_TURNS, "it never comes to rest");
            return;
        }
        self.busy_turns = 0;
        let wakes = self.servers.iter().filter_map(Server::next_time).map(|at| at - self.base);
        let insists = self.servers.iter().filter_map(|server| server.insist_at);
        let subscribers = self.subscribers.iter().map(Subscriber::next_time);
        let publishers = self.publishers.iter().map(Publisher::next_time);
        let fates = self.fates.last().map(|(at, _)| *at);
        let next = wakes.chain(insists).chain(subscribers).chain(publishers).chain(fates).min();
        // Nobody sleeps for ever: what is forgotten shows at the end.
        let most = self.now + Duration::from_secs(5);
        self.now = self.now.max(next.unwrap_or(most).min(most));
    }

    fn fulfil_fates(&mut self) {
        let now = self.clock();
        for server in &mut self.servers {
            if server.insist_at.take_if(|at| *at <= self.now).is_some() {
                server.signals.push(Control::Leave);
            }
        }
        self.servers.retain(|server| !server.has_ended);
        while let Some((_, fate)) = self.fates.pop_if(|(at, _)| *at <= self.now) {
            match fate {
                Fate::Crashed => {
                    self.crashes += 1;
                    self.servers.pop();
                    self.start(None);
                }
                Fate::Redeployed(patience) => {
                    self.redeployments += 1;
                    let server = self.servers.last_mut().expect("one serves");
                    server.signals.push(Control::Leave);
                    server.insist_at = Some(self.now + patience);
                    server.take_turn(now, &mut self.random);
                    server.testify(&mut self.truth, self.now);
                    let octets = server.legacy.take().expect("it has been told to leave").encode();
                    self.start(Some(Snapshot::decode(&octets).expect("it is whole")));
                }
            }
        }
    }

    /// Begins to serve, with a witness before anybody else.
    fn start(&mut self, snapshot: Option<Snapshot>) {
        let now = self.clock();
        let own_epoch = 0xbeef + u32::try_from(self.servers_so_far).expect("few");
        let epoch = snapshot.as_ref().map_or(own_epoch, |snapshot| snapshot.epoch);
        let terms = Terms { epoch: own_epoch, ..self.terms.clone() };
        let mut turn = Turn::new(terms, None, Drain::new(HOUR, HOUR), now);
        turn.notify_every(self.notify_interval);
        if let Some(snapshot) = snapshot {
            assert_eq!(snapshot.newest, self.truth.newest(epoch));
            turn.restore(snapshot);
        }
        let witness = Rc::new(RefCell::new(Line::new(self.random.fork(), 1 << 40)));
        witness.borrow_mut().send(handshake("topic=*").as_bytes());
        let mut server = Server {
            turn,
            epoch,
            newest: self.truth.newest(epoch),
            number: self.servers_so_far,
            lines: BTreeMap::new(),
            witness: witness.clone(),
            witnessed: 0,
            insist_at: None,
            signals: Vec::new(),
            newcomers: Vec::new(),
            legacy: None,
            has_said_farewell: false,
            has_ended: false,
            spin: Spin::default(),
        };
        server.admit(witness);
        server.take_turn(now, &mut self.random);
        self.servers_so_far += 1;
        self.servers.push(server);
    }
}

impl Server {
    /// Somebody connects, to be let in with the next turn.
    fn admit(&mut self, line: Rc<RefCell<Line>>) {
        self.newcomers.push(VirtualSocket(line));
    }

    fn let_in(&mut self, socket: VirtualSocket) {
        let lines = &mut self.lines;
        let register = |key| {
            if let Some(before) = lines.insert(key, socket.0.clone()) {
                assert!(before.borrow().dropped, "a key has two owners");
            }
            Ok(socket)
        };
        self.turn.admit(Door::Public, register).expect("nothing fails here");
    }

    /// Lets the witness go, and says whether nobody and nothing is left then.
    pub fn dismiss_witness(&mut self) {
        self.witness.borrow_mut().end();
    }

    pub fn is_deserted(&self) -> bool {
        self.lines.values().all(|line| line.borrow().dropped) && self.turn.clients() == 0
    }

    /// Whether it would sleep, and no event would wake it.
    pub fn is_at_rest(&self) -> bool {
        !self.has_work()
            && self.signals.is_empty()
            && self.newcomers.is_empty()
            && self.lines.values().all(|line| !line.borrow().edge)
    }

    /// Whether it would go on by itself at once.
    pub fn has_work(&self) -> bool {
        self.turn.next_timeout() == Some(Duration::ZERO)
    }

    fn next_time(&self) -> Option<Instant> {
        self.turn.next_timeout().map(|timeout| self.turn.now() + timeout)
    }

    fn take_turn(&mut self, now: Now, random: &mut Random) {
        let mut ready = Vec::new();
        for (key, line) in &self.lines {
            let mut line = line.borrow_mut();
            ready.extend(std::mem::take(&mut line.edge).then(|| line.ready(*key)));
        }
        random.shuffle(&mut ready);
        let look = Look { began: self.turn.now().instant, events: ready.len(), most: usize::MAX };
        self.turn.on_look(look, self.lines.len());
        self.turn.handle(ready, std::mem::take(&mut self.signals), now);
        for socket in std::mem::take(&mut self.newcomers) {
            self.let_in(socket);
        }
        while let Some(effect) = self.turn.poll() {
            match effect {
                Effect::LeaveState => self.legacy = self.turn.snapshot(),
                Effect::Step(Step::TimedOut { .. } | Step::Insisted { .. }) => self.has_said_farewell = true,
                Effect::Step(Step::Complete(_)) => self.has_ended = true,
                _ => {}
            }
        }
        let deeds = self.lines.values().map(|line| line.borrow().deeds).sum();
        self.spin.on_turn(deeds, self.has_work() && !self.has_ended);
    }

    /// Takes in what the witness has heard.
    fn testify(&mut self, truth: &mut Truth, now: Duration) {
        let mut line = self.witness.borrow_mut();
        line.take(usize::MAX);
        let mut pings = 0;
        for (_, heard) in &mut line.ear.heard[self.witnessed..] {
            self.witnessed += 1;
            match std::mem::replace(heard, Heard::Ping) {
                Heard::Switched => {}
                Heard::Ping => pings += 1,
                Heard::Welcome { last, .. } => {
                    assert_eq!((last.epoch, last.position), (self.epoch, self.newest));
                }
                Heard::Publication(id, payload) => {
                    assert!(self.legacy.is_none() && self.insist_at.is_none(), "published while leaving");
                    assert_eq!(id.epoch, self.epoch);
                    truth.add(id, payload, now, self.number);
                    self.newest = id.position;
                }
                Heard::Close(Some(1012)) => assert!(self.has_said_farewell),
                other => panic!("the witness heard {other:?}"),
            }
        }
        for _ in 0..pings {
            line.send(b"\x8a\x80mask");
        }
    }
}

fn newest(servers: &[Server], number: usize) -> u64 {
    servers.iter().find(|server| server.number == number).map_or(u64::MAX, |server| server.newest)
}

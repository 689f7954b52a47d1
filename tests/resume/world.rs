//! Servers that follow one another, without their poll: the same turn as `Server::run` over virtual sockets and a virtual
//! clock. A witness at each server hears everything at once and so knows the truth.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::server::clock::Now;
use slackwater::server::limits::Limits;
use slackwater::server::peers::Peers;
use slackwater::server::terms::Terms;
use slackwater::wire::snapshot::Snapshot;

use crate::ear::Heard;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::subscriber::{Subscriber, Welcomer};
use crate::truth::Truth;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 20_000;

/// How long a process waits behind its farewell.
const GRACE: Duration = Duration::from_secs(2);

/// One process.
pub struct Server {
    pub peers: Peers<VirtualSocket>,
    pub epoch: u32,
    /// The newest position of its own.
    pub newest: u64,
    number: usize,
    /// Who holds a key of the slab.
    lines: BTreeMap<usize, Rc<RefCell<Line>>>,
    witness: Rc<RefCell<Line>>,
    witnessed: usize,
    /// When it says farewell, and whether it has.
    farewell: Option<(Duration, bool)>,
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
    pub notify: Option<(Duration, Duration)>,
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
            notify: None,
            fates: Vec::new(),
            busy_turns: 0,
            redeployments: 0,
            crashes: 0,
            terms,
        };
        world.start(None);
        world
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
        let now = self.clock();
        self.servers.last_mut().expect("one serves").admit(line.clone(), now);
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
            let is_last = server.number + 1 == self.servers_so_far;
            server.receive(now, &mut self.random);
            if let Some((at, interval)) = self.notify.as_mut().filter(|(at, _)| is_last && *at <= self.now) {
                server.peers.publish_periodic(now);
                *at += *interval;
            }
            server.peers.settle(now);
            server.testify(&mut self.truth, self.now);
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
        let now = self.clock();
        let serving = self.servers.last_mut().expect("one serves");
        let Limits { write: write_limit, outbox_bytes, .. } = self.terms.limits;
        let welcomer = Welcomer { server: serving.number, epoch: serving.epoch, write_limit, outbox_bytes };
        for subscriber in &mut self.subscribers {
            if let Some(line) = subscriber.come(welcomer, self.now) {
                serving.admit(line, now);
            }
        }
        for publisher in &mut self.publishers {
            if let Some(line) = publisher.act(serving.number, self.now) {
                serving.admit(line, now);
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
        let servers = self.servers.iter();
        let sweeps = servers.filter_map(|server| server.peers.next_sweep()).map(|at| at - self.base);
        let farewells = self.servers.iter().filter_map(|server| server.farewell).map(|(at, _)| at);
        let subscribers = self.subscribers.iter().map(Subscriber::next_time);
        let publishers = self.publishers.iter().map(Publisher::next_time);
        let fates = self.fates.last().map(|(at, _)| *at).into_iter().chain(self.notify.map(|(at, _)| at));
        let next = sweeps.chain(farewells).chain(subscribers).chain(publishers).chain(fates).min();
        // Nobody sleeps for ever: what is forgotten shows at the end.
        let most = self.now + Duration::from_secs(5);
        self.now = self.now.max(next.unwrap_or(most).min(most));
    }

    fn fulfil_fates(&mut self) {
        let now = self.clock();
        for server in &mut self.servers {
            if let Some((at, said @ false)) = &mut server.farewell
                && *at <= self.now
            {
                (*at, *said) = (self.now + GRACE, true);
                server.peers.say_farewell(now);
                for visit in self.subscribers.iter_mut().filter_map(|subscriber| subscriber.visit.as_mut()) {
                    if visit.record.server == server.number {
                        visit.record.farewell = Some(server.newest);
                    }
                }
            }
        }
        let is_gone = |server: &Server| server.farewell.is_some_and(|(at, said)| said && at <= self.now);
        self.servers.retain(|server| !is_gone(server));
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
                    server.peers.leave(now, false);
                    let octets = server.peers.snapshot(now).expect("it is alone").encode();
                    server.farewell = Some((self.now + patience, false));
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
        let mut peers = Peers::new(Terms { epoch: own_epoch, ..self.terms.clone() }, None);
        if let Some(snapshot) = snapshot {
            assert_eq!(snapshot.newest, self.truth.newest(epoch));
            peers.restore(snapshot, now);
        }
        let witness = Rc::new(RefCell::new(Line::new(self.random.fork(), 1 << 40)));
        let handshake = "GET /ws?topic=* HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        witness.borrow_mut().send(handshake.as_bytes());
        let mut server = Server {
            peers,
            epoch,
            newest: self.truth.newest(epoch),
            number: self.servers_so_far,
            lines: BTreeMap::new(),
            witness: witness.clone(),
            witnessed: 0,
            farewell: None,
        };
        server.admit(witness, now);
        server.receive(now, &mut self.random);
        server.peers.settle(now);
        self.servers_so_far += 1;
        self.servers.push(server);
    }
}

impl Server {
    pub fn admit(&mut self, line: Rc<RefCell<Line>>, now: Now) {
        let socket = VirtualSocket(line.clone());
        let key = self.peers.admit(now, |_| Ok(socket)).expect("nothing fails here");
        if let Some(before) = self.lines.insert(key, line) {
            assert!(before.borrow().dropped, "a key has two owners");
        }
    }

    /// Lets the witness go, and says whether nobody and nothing is left then.
    pub fn dismiss_witness(&mut self) {
        self.witness.borrow_mut().end();
    }

    pub fn is_deserted(&self) -> bool {
        self.lines.values().all(|line| line.borrow().dropped) && self.peers.clients() == 0
    }

    /// Whether it would sleep, and no event would wake it.
    pub fn is_at_rest(&self) -> bool {
        !self.peers.has_work() && self.lines.values().all(|line| !line.borrow().edge)
    }

    fn receive(&mut self, now: Now, random: &mut Random) {
        let is_sweep_due = self.peers.next_sweep().is_some_and(|at| at <= now.instant);
        self.peers.read_unread(now);
        let mut ready: Vec<usize> = self.lines.keys().copied().collect();
        ready.retain(|key| std::mem::take(&mut self.lines[key].borrow_mut().edge));
        random.shuffle(&mut ready);
        for key in ready {
            self.peers.on_ready(key, now);
        }
        if is_sweep_due {
            self.peers.sweep(now, now.instant);
        }
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
                    assert!(self.farewell.is_none(), "published while leaving");
                    assert_eq!(id.epoch, self.epoch);
                    truth.add(id, payload, now, self.number);
                    self.newest = id.position;
                }
                Heard::Close(Some(1012)) => assert!(self.farewell.is_some_and(|(_, said)| said)),
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

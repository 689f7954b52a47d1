//! A server's turn over virtual sockets and a virtual clock, which jumps to the next moment at which anything can happen.
//! Nothing here sleeps, and the seed decides everything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::http::access::Access;
use slackwater::http::routes::Door;
use slackwater::policy::drain::{Drain, Outcome, Step};
use slackwater::policy::heard::Look;
use slackwater::policy::history::HistoryLimits;
use slackwater::policy::period::next_in_period;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::limits::Limits;
use slackwater::server::terms::{Service, Terms};
use slackwater::server::turn::{Effect, Turn};
use slackwater::wire::websocket::Rules;

use crate::client::{Character, Client};
use crate::random::Random;
use crate::socket::VirtualSocket;
use crate::spin::Spin;
use crate::verdict::Judge;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 20_000;

/// Long enough for every script and every limit.
const END_OF_TIME: Duration = Duration::from_secs(400);

/// On the wall's clock.
pub const BEGINNING: Timestamp = Timestamp::constant(1_790_000_000, 0);

/// A server and its clients.
pub struct World {
    pub random: Random,
    pub terms: Terms,
    pub server: Turn<VirtualSocket>,
    patience: Duration,
    /// The period of the notification, and when it is due.
    notify: Option<(Duration, Instant)>,
    base: Instant,
    pub now: Duration,
    pub clients: Vec<Client>,
    /// Who holds a key of the slab.
    keys: BTreeMap<usize, usize>,
    newcomers: Vec<(Duration, Character)>,
    /// When each signal to leave comes, the next one last.
    pub signals: Vec<Duration>,
    pub outcome: Option<Outcome>,
    busy_turns: usize,
    spin: Spin,
    pub judge: Judge,
    /// How often an event comes that announces nothing.
    pub spurious_percent: usize,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let terms = draw_terms(&mut random);
        let notify_interval = random.chance(85).then(|| random.millis(100..3000));
        let patience = random.millis(0..20_000);
        let base = Instant::now();
        let mut world = Self {
            server: begin(&terms, patience, clock(base)),
            patience,
            notify: None,
            base,
            now: Duration::ZERO,
            clients: Vec::new(),
            keys: BTreeMap::new(),
            newcomers: Vec::new(),
            signals: Vec::new(),
            outcome: None,
            busy_turns: 0,
            spin: Spin::default(),
            judge: Judge::new(terms.clone()),
            spurious_percent: 1,
            terms,
            random,
        };
        world.notify_every(notify_interval);
        world
    }

    pub fn notify_every(&mut self, interval: Option<Duration>) {
        self.notify = interval.map(|interval| (interval, self.server.now() + interval));
        self.server.notify_every(interval);
    }

    /// A server under other terms, with nobody connected yet.
    pub fn set_terms(&mut self, terms: Terms) {
        self.server = begin(&terms, self.patience, self.clock());
        self.notify_every(self.notify.map(|(interval, _)| interval));
        (self.terms, self.judge) = (terms.clone(), Judge::new(terms));
    }

    /// Lets a client connect at that time.
    pub fn invite(&mut self, at: Duration, character: Character) {
        self.newcomers.push((at, character));
    }

    /// Takes turns until the server has ended, or everybody has gone and nobody comes any more.
    pub fn run(&mut self) {
        self.newcomers.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        while self.outcome.is_none() && !self.is_deserted() {
            assert!(self.now < END_OF_TIME, "at {:?} there are still {:?}", self.now, self.remaining());
            self.turn();
            if self.outcome.is_none() {
                self.sleep();
            }
        }
        self.judge.on_end(&self.clients, self.outcome, self.now);
    }

    /// Takes turns until then; a turn that is due at that very time is left to others.
    pub fn run_until(&mut self, end: Duration) {
        self.newcomers.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        while self.now < end {
            self.turn();
            self.sleep();
        }
    }

    /// One turn of the loop, and what the clients make of it.
    pub fn turn(&mut self) {
        for client in &mut self.clients {
            client.act(self.now);
        }
        self.receive();
        self.count_audience();
        while let Some(effect) = self.server.poll() {
            if let Effect::Step(step) = effect {
                self.on_step(step);
            }
        }
        let deeds = self.clients.iter().map(|client| client.line.borrow().deeds).sum();
        let wants_another = self.server.next_timeout() == Some(Duration::ZERO);
        self.spin.on_turn(deeds, wants_another && self.outcome.is_none());
        for client in &mut self.clients {
            client.on_turn(self.now);
        }
        self.judge.on_turn(&self.clients, self.now);
        if self.outcome.is_none() && self.is_at_rest() {
            self.judge.at_rest(&self.clients, self.server.clients(), self.now);
        }
    }

    /// Lets the turn before have taken so long: whom it let in has come at its end.
    pub fn stretch_turn(&mut self, time: Duration) {
        self.server.end(self.server.now() + time);
        self.now += time;
        self.clients.iter_mut().for_each(|client| client.connected_at += time);
    }

    /// How many notifications there have been.
    pub fn published(&self) -> usize {
        self.judge.audiences.len()
    }

    /// The clients in the order in which they were accepted, by this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Client> {
        self.clients.iter().filter(move |client| client.character.name == name)
    }

    fn receive(&mut self) {
        let mut ready: Vec<usize> = self.keys.keys().copied().collect();
        ready.retain(|key| {
            let spurious = self.random.chance(self.spurious_percent);
            let mut line = self.clients[self.keys[key]].line.borrow_mut();
            std::mem::take(&mut line.edge) || spurious && !line.dropped
        });
        self.random.shuffle(&mut ready);
        let look = Look { began: self.server.now().instant, events: ready.len(), most: usize::MAX };
        self.server.on_look(look, self.keys.len());
        let ready: Vec<_> =
            ready.into_iter().map(|key| self.clients[self.keys[&key]].line.borrow().ready(key)).collect();
        let mut controls = vec![];
        while self.signals.last().is_some_and(|at| *at <= self.now) {
            self.signals.pop();
            controls.push(Control::Leave);
        }
        self.server.handle(ready, controls, self.clock());
        while self.newcomers.last().is_some_and(|(at, _)| *at <= self.now) {
            let (_, character) = self.newcomers.pop().expect("just seen");
            self.accept(character);
        }
    }

    fn accept(&mut self, character: Character) {
        if self.judge.leaving.is_some() {
            return;
        }
        let mut client = Client::new(self.random.fork(), character, self.now);
        client.act(self.now);
        let socket = VirtualSocket(client.line.clone());
        let (keys, clients) = (&mut self.keys, &mut self.clients);
        let register = |key| {
            if let Some(before) = keys.insert(key, clients.len()) {
                assert!(clients[before].line.borrow().dropped, "a key has two owners");
            }
            clients.push(client);
            Ok(socket)
        };
        self.server.admit(Door::Public, register).expect("nothing fails here");
    }

    /// Notes how many will be told of themselves by a notification that is due.
    fn count_audience(&mut self) {
        let now = self.server.now().instant;
        if let Some((interval, at)) = &mut self.notify
            && *at <= now
        {
            self.judge.audiences.push(self.server.clients());
            *at = next_in_period(*at, *interval, now);
        }
    }

    fn on_step(&mut self, step: Step) {
        self.judge.on_step(step, self.patience, self.now);
        match step {
            Step::Initiated => self.notify = None,
            Step::Complete(outcome) => self.outcome = Some(outcome),
            _ => {}
        }
    }

    /// Whether the server would sleep, and no event would wake it.
    fn is_at_rest(&self) -> bool {
        self.server.next_timeout() != Some(Duration::ZERO)
            && self.clients.iter().all(|client| !client.line.borrow().edge)
    }

    /// A turn takes its time; a sleep lasts until the next moment at which something happens.
    pub fn sleep(&mut self) {
        self.now += Duration::from_micros(self.random.within(10..200) as u64);
        if !self.is_at_rest() {
            self.busy_turns += 1;
            assert!(self.busy_turns < LIVELOCK_TURNS, "it never comes to rest");
            return;
        }
        self.busy_turns = 0;
        let wakes_at = self.server.next_timeout().map(|timeout| self.server.now() + timeout - self.base);
        let client_times = self.clients.iter().filter_map(Client::next_time);
        let newcomer = self.newcomers.last().map(|(at, _)| *at);
        let others = client_times.chain(newcomer).chain(self.signals.last().copied());
        let next = others.chain(wakes_at).min();
        self.now = self.now.max(next.unwrap_or(END_OF_TIME));
    }

    fn is_deserted(&self) -> bool {
        let all_gone = self.newcomers.is_empty() && self.clients.iter().all(|c| c.line.borrow().dropped);
        all_gone && self.signals.is_empty() && !self.server.is_leaving()
    }

    fn remaining(&self) -> Vec<&Client> {
        self.clients.iter().filter(|client| !client.line.borrow().dropped).collect()
    }

    fn clock(&self) -> Now {
        let Now { instant, wall } = clock(self.base);
        Now { instant: instant + self.now, wall: wall + self.now }
    }
}

/// The beginning of time.
fn clock(base: Instant) -> Now {
    Now { instant: base, wall: BEGINNING }
}

fn begin(terms: &Terms, patience: Duration, now: Now) -> Turn<VirtualSocket> {
    Turn::new(terms.clone(), None, Drain::new(patience, Duration::from_secs(5)), now)
}

fn draw_terms(random: &mut Random) -> Terms {
    let limits = Limits {
        handshake: random.millis(1000..5000),
        keep_alive: random.millis(500..5000),
        ping_interval: random.chance(80).then(|| random.millis(1000..8000)),
        ping_timeout: random.chance(80).then(|| random.millis(1500..6000)),
        write: random.millis(1000..6000),
        outbox_bytes: random.within(4096..20_000),
        rules: Rules { max_message_bytes: random.within(300..3000), binary: false },
    };
    let concurrency = random.chance(10).then(|| random.within(1..20));
    Terms {
        service: Service::Notifications,
        limits,
        concurrency,
        epoch: 0xbeef,
        history: HistoryLimits { publications: 1000, bytes: 1_000_000, age: Duration::from_secs(300) },
        reconnect: None,
        access: Access::on_this_machine("x"),
        operators: None,
        max_publish_bytes: 10_000,
    }
}

//! All there is in one run: who serves, who is above them, their clients, and the time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use slackwater::http::door::Door;
use slackwater::policy::roster::Exit;
use slackwater::process::crew::Signal;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;

use crate::client::Client;
use crate::headquarters::{Headquarters, Worker};
use crate::line::Line;
use crate::process::Process;
use crate::stream;
use crate::truth::Truth;
use crate::voice::Voice;

/// So many are connected at once.
pub const MAX_CLIENTS: usize = 6;

/// More turns without sleep than they ever need.
const MAX_TURNS: usize = 2000;

/// How long a process takes at most to leave.
const LONGEST_LEAVING: Duration = Duration::from_secs(45);

/// How long a supervisor takes at most to leave: it waits for workers that do not answer.
const LONGEST_REIGN: Duration = Duration::from_secs(120);

/// Who is above the processes.
pub enum Above {
    Nobody,
    Voice(Voice),
    Headquarters(Box<Headquarters>),
    /// It was killed.
    Gone,
}

/// Everything.
pub struct World {
    pub now: Now,
    pub above: Above,
    pub workers: Vec<Worker>,
    clients: [Option<Client>; MAX_CLIENTS],
    truth: Truth,
}

impl World {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let (workers, clients, truth) = (Vec::new(), Default::default(), Truth::default());
        Self { now, above: Above::Nobody, workers, clients, truth }
    }

    /// One process without a supervisor.
    pub fn alone() -> Self {
        let mut world = Self::new();
        world.workers.push(Worker { id: 0, process: Process::alone(world.now) });
        world
    }

    /// A worker whose supervisor says anything, and may let it serve first.
    pub fn guided(capacity: usize, serves: bool) -> Self {
        let (mut world, line) = (Self::new(), Line::link(capacity));
        line.borrow_mut().read(None);
        world.workers.push(Worker { id: 0, process: Process::worker(line.clone(), world.now) });
        let mut voice = Voice::new(line);
        if serves {
            voice.begin();
        }
        world.above = Above::Voice(voice);
        world
    }

    /// A supervisor with workers that serve.
    pub fn crewed(workers: usize, capacity: usize, has_witnesses: bool) -> Self {
        let mut world = Self::new();
        let headquarters = Headquarters::new(workers, capacity, has_witnesses, world.now);
        world.above = Above::Headquarters(Box::new(headquarters));
        world
    }

    /// Client `who` connects again, once it is gone: each at a process of its own, as far as there are enough.
    pub fn connect(&mut self, who: usize, door: Door) {
        let is_here = |client: &Client| !client.line.borrow().is_dropped;
        if self.workers.is_empty() || self.clients[who].as_ref().is_some_and(is_here) {
            return;
        }
        let (client, nth) = (Client::new(), who % self.workers.len());
        if self.workers[nth].process.connect(&client.line, door)
            && let Some(before) = self.clients[who].replace(client)
        {
            self.check(&before);
        }
    }

    pub fn client(&mut self, who: usize, act: impl FnOnce(&mut Client)) {
        if let Some(client) = &mut self.clients[who] {
            act(client);
        }
    }

    pub fn voice(&mut self, act: impl FnOnce(&mut Voice, Now)) {
        if let Above::Voice(voice) = &mut self.above {
            act(voice, self.now);
        }
    }

    pub fn worker(&mut self, nth: usize, act: impl FnOnce(&mut Process)) {
        let count = self.workers.len().max(1);
        if let Some(worker) = self.workers.get_mut(nth % count) {
            act(&mut worker.process);
        }
    }

    pub fn headquarters(&mut self, act: impl FnOnce(&mut Headquarters, &mut Vec<Worker>)) {
        if let Above::Headquarters(headquarters) = &mut self.above {
            act(headquarters, &mut self.workers);
        }
    }

    /// The supervisor is killed.
    pub fn behead(&mut self) {
        if let Above::Headquarters(_) = &self.above {
            self.above = Above::Gone;
        }
    }

    pub fn has_ended(&self) -> bool {
        let goes_on = matches!(&self.above, Above::Headquarters(headquarters) if !headquarters.has_ended);
        !goes_on && self.workers.is_empty()
    }

    /// All take turns until they would sleep, and no event would wake them. Whoever has asked is answered then.
    pub fn come_to_rest(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.turn() {
                return self.check_answers();
            }
        }
        panic!("it never comes to rest");
    }

    /// The time goes on.
    pub fn sleep(&mut self, mut time: Duration) {
        self.come_to_rest();
        while !self.has_ended() && !time.is_zero() {
            let workers = self.workers.iter().filter_map(|worker| worker.process.next_time());
            let above = match &self.above {
                Above::Headquarters(headquarters) => headquarters.next_time(),
                _ => None,
            };
            let next = workers.chain(above).min();
            let step = next.map_or(time, |at| at.saturating_duration_since(self.now.instant).min(time));
            assert!(!step.is_zero(), "it is at rest");
            time -= step;
            self.now = Now { instant: self.now + step, wall: self.now.wall + step };
            self.come_to_rest();
        }
    }

    /// All leave, each for its own reason.
    pub fn leave(&mut self) {
        if !self.is_awake() {
            self.check_witnesses();
        }
        let time = match &mut self.above {
            Above::Nobody => {
                self.worker(0, |process| process.signal(Control::Leave("SIGTERM")));
                LONGEST_LEAVING
            }
            Above::Voice(voice) => {
                if !(voice.is_sound && voice.has_dismissed) || voice.has_moved {
                    voice.lose(false);
                }
                LONGEST_LEAVING
            }
            Above::Headquarters(headquarters) => {
                headquarters.signal(Signal::Leave("SIGTERM"));
                LONGEST_REIGN
            }
            Above::Gone => LONGEST_LEAVING,
        };
        if !matches!(self.above, Above::Headquarters(_)) {
            self.workers.iter_mut().for_each(|worker| worker.process.is_frozen = false);
        }
        self.sleep(time);
        assert!(self.has_ended(), "it does not leave");
    }

    /// Checks what all clients have been sent.
    pub fn check_streams(&mut self) {
        std::mem::take(&mut self.clients).iter().flatten().for_each(|client| self.check(client));
    }

    fn is_awake(&self) -> bool {
        let now = self.now.instant;
        let is_above = matches!(&self.above, Above::Headquarters(headquarters) if headquarters.is_awake(now));
        is_above || self.workers.iter().any(|worker| worker.process.is_awake(now))
    }

    /// Whoever is awake takes a turn; whether anybody was.
    fn turn(&mut self) -> bool {
        let mut was_awake = false;
        for worker in self.workers.iter_mut().filter(|worker| worker.process.is_awake(self.now.instant)) {
            was_awake = true;
            worker.process.turn(self.now);
        }
        if self.is_lawful() {
            self.clients.iter_mut().flatten().for_each(|client| drop(client.listen()));
        }
        for worker in self.workers.extract_if(.., |worker| worker.process.has_ended) {
            was_awake = true;
            worker.process.witness.iter().for_each(|witness| witness.check(&mut self.truth));
            if let Above::Headquarters(headquarters) = &mut self.above {
                headquarters.on_exit(worker.id, Exit::Code(0));
            }
        }
        if let Above::Headquarters(headquarters) = &mut self.above
            && headquarters.is_awake(self.now.instant)
        {
            was_awake = true;
            headquarters.turn(&mut self.workers, self.now);
        }
        was_awake
    }

    /// Nobody waits for an answer, unless it is somebody else's to give.
    fn check_answers(&self) {
        let is_answered = match &self.above {
            Above::Voice(voice) => voice.is_lost && voice.is_sound,
            _ => true,
        };
        let is_answered = is_answered && self.workers.iter().all(|worker| !worker.process.is_frozen);
        let is_owed = |client: &Client| client.is_owed_an_answer();
        assert!(!is_answered || !self.clients.iter().flatten().any(is_owed), "an answer is missing");
    }

    /// All workers have handed on the same, if none of them is frozen.
    fn check_witnesses(&mut self) {
        let witnesses =
            || self.workers.iter().map(|worker| &worker.process).filter(|process| !process.is_leaving());
        if matches!(self.above, Above::Headquarters(_)) && witnesses().all(|process| !process.is_frozen) {
            let mut newest = witnesses().filter_map(|process| process.witness.as_ref()?.newest);
            let first = newest.next();
            assert!(newest.all(|other| Some(other) == first), "a worker has not heard all");
        }
    }

    fn check(&mut self, client: &Client) {
        match &self.above {
            // Its ids are whatever it says.
            Above::Voice(_) if self.is_lawful() => drop(stream::check(&client.line.borrow())),
            Above::Voice(_) => {}
            _ => client.check(&mut self.truth),
        }
    }

    /// Whether all that publications are made of has been frames of JSON: a worker hands on what it is told.
    fn is_lawful(&self) -> bool {
        !matches!(&self.above, Above::Voice(voice) if !voice.is_sound)
    }
}

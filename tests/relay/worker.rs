//! One worker process over virtual sockets, turn by turn. A witness at each worker hears all that it hands on, which must
//! be the truth and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::http::routes::Door;
use slackwater::policy::drain::{Drain, Step};
use slackwater::policy::heard::Look;
use slackwater::policy::roster::WorkerId;
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::terms::Terms;
use slackwater::server::turn::{Effect, Ready, Turn};

use crate::ear::{Heard, Id};
use crate::pipe::{Pipe, Side, Wire};
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::speech::handshake;
use crate::spin::Spin;
use crate::truth::Truth;

/// One process.
pub struct Worker {
    pub id: WorkerId,
    /// Its own among all workers of all supervisors.
    pub number: usize,
    pub epoch: u32,
    pub server: Turn<Wire>,
    pub pipe: Rc<RefCell<Pipe>>,
    newcomers: Vec<VirtualSocket>,
    /// Signals that have come since the last turn.
    signals: Vec<Control>,
    pub accepts: bool,
    pub has_said_farewell: bool,
    /// Takes no turn until then.
    pub frozen_until: Duration,
    /// Its drain is complete.
    pub has_ended: bool,
    /// Who holds a key of the slab.
    lines: BTreeMap<usize, Rc<RefCell<Line>>>,
    witness: Option<Rc<RefCell<Line>>>,
    witnessed: usize,
    /// The newest position that it has handed on.
    pub newest: u64,
    spin: Spin,
}

impl Worker {
    pub fn new(
        (id, number): (WorkerId, usize),
        pipe: Rc<RefCell<Pipe>>,
        epoch: u32,
        terms: &Terms,
        patience: Duration,
        now: Now,
    ) -> Self {
        let supervisor = Wire::Pipe(Pipe::end(&pipe, Side::Worker));
        let drain = Drain::new(patience, Duration::from_secs(3600));
        Self {
            id,
            number,
            epoch,
            server: Turn::new(terms.clone(), Some(supervisor), drain, now),
            pipe,
            newcomers: Vec::new(),
            signals: Vec::new(),
            accepts: false,
            has_said_farewell: false,
            frozen_until: Duration::ZERO,
            has_ended: false,
            lines: BTreeMap::new(),
            witness: None,
            witnessed: 0,
            newest: 0,
            spin: Spin::default(),
        }
    }

    /// Somebody connects, to be let in with the next turn.
    pub fn admit(&mut self, line: Rc<RefCell<Line>>) {
        self.newcomers.push(VirtualSocket(line));
    }

    fn let_in(&mut self, socket: VirtualSocket) {
        let lines = &mut self.lines;
        let register = |key| {
            if let Some(before) = lines.insert(key, socket.0.clone()) {
                assert!(before.borrow().dropped, "a key has two owners");
            }
            Ok(Wire::Client(socket))
        };
        self.server.admit(Door::Public, register).expect("nothing fails here");
    }

    /// It is sent a signal to leave.
    pub fn signal(&mut self) {
        self.signals.push(Control::Leave);
    }

    /// What would wake it now.
    pub fn is_awake(&self, now: Instant) -> bool {
        !(self.signals.is_empty() && self.newcomers.is_empty())
            || self.pipe.borrow().has_event(Side::Worker)
            || self.lines.values().any(|line| line.borrow().edge)
            || self.next_time().is_some_and(|at| at <= now)
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        self.server.next_timeout().map(|timeout| self.server.now() + timeout)
    }

    pub fn turn(&mut self, now: Now, random: &mut Random, truth: &Truth) {
        let mut ready: Vec<Ready> = Vec::new();
        for (key, line) in &self.lines {
            let mut line = line.borrow_mut();
            ready.extend(std::mem::take(&mut line.edge).then(|| line.ready(*key)));
        }
        if self.pipe.borrow_mut().take_event(Side::Worker) {
            ready.push(Ready::Supervisor);
        }
        random.shuffle(&mut ready);
        let look = Look { began: self.server.now().instant, events: ready.len(), most: usize::MAX };
        self.server.on_look(look, self.lines.len());
        self.server.handle(ready, std::mem::take(&mut self.signals), now);
        for socket in std::mem::take(&mut self.newcomers) {
            self.let_in(socket);
        }
        loop {
            // It is not who is waited for.
            if self.server.is_leaving() && self.server.clients() == 1 {
                self.dismiss_witness();
            }
            let Some(effect) = self.server.poll() else { break };
            self.perform(effect, random);
        }
        let of_lines = self.lines.values().map(|line| line.borrow().deeds).sum::<usize>();
        let deeds = of_lines + self.pipe.borrow().deeds(Side::Worker);
        self.spin.on_turn(deeds, self.server.next_timeout() == Some(Duration::ZERO));
        self.testify(truth);
    }

    fn perform(&mut self, effect: Effect, random: &mut Random) {
        match effect {
            Effect::Accept if self.server.is_leaving() => {}
            Effect::Accept => {
                self.accepts = true;
                let witness = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
                witness.borrow_mut().send(handshake("topic=*").as_bytes());
                self.let_in(VirtualSocket(witness.clone()));
                self.witness = Some(witness);
            }
            Effect::StopAccepting { .. } => self.accepts = false,
            Effect::Step(Step::TimedOut { .. } | Step::Insisted { .. }) => self.has_said_farewell = true,
            Effect::Step(Step::Complete(_)) => self.has_ended = true,
            Effect::Step(_) | Effect::LeaveState | Effect::CloseAdmin | Effect::Trim => {}
        }
    }

    /// Takes in what the witness has heard.
    fn testify(&mut self, truth: &Truth) {
        let Some(line) = &self.witness else { return };
        let mut line = line.borrow_mut();
        line.take(usize::MAX);
        let mut pings = 0;
        for (_, heard) in &mut line.ear.heard[self.witnessed..] {
            self.witnessed += 1;
            match std::mem::replace(heard, Heard::Ping) {
                // Told to serve and to leave in one turn, it lets nobody in.
                Heard::Response { status: 503, .. }
                | Heard::Switched
                | Heard::Reconnect { .. }
                | Heard::Close(_) => {}
                Heard::Ping => pings += 1,
                Heard::Welcome { last, .. } => {
                    assert!(last.epoch == self.epoch && last.position <= truth.newest(self.epoch));
                    self.newest = last.position;
                }
                Heard::Publication(id, payload) => {
                    let next = Id { epoch: self.epoch, position: self.newest + 1 };
                    assert_eq!(id, next, "a worker hands on what follows");
                    let published = truth.get(id).expect("it was published");
                    assert!(published.payload == payload, "{id} is another at this worker");
                    self.newest = id.position;
                }
                other => panic!("the witness heard {other:?}"),
            }
        }
        for _ in 0..pings {
            line.send(b"\x8a\x80mask");
        }
    }

    /// The witness's time is over.
    pub fn dismiss_witness(&self) {
        self.witness.iter().for_each(|witness| witness.borrow_mut().end());
    }

    /// Whether everybody has gone, and nothing is left of them.
    pub fn is_deserted(&self) -> bool {
        self.known_lines().all(|line| line.borrow().dropped) && self.server.clients() == 0
    }

    fn known_lines(&self) -> impl Iterator<Item = &Rc<RefCell<Line>>> {
        self.lines.values().chain(self.newcomers.iter().map(|socket| &socket.0))
    }

    /// The process is no more: whoever was connected is cut off.
    pub fn die(self) {
        for line in self.known_lines().filter(|line| !line.borrow().dropped) {
            line.borrow_mut().fail(std::io::ErrorKind::ConnectionReset);
        }
        drop((self.server, self.newcomers));
        self.pipe.borrow_mut().lose_what_was_sent(Side::Worker);
    }
}

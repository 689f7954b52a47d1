//! One worker process without its poll: the same turn as `Server::run`, over virtual sockets. A witness at each worker
//! hears all that it hands on, which must be the truth and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::drain::{Drain, Situation, Step};
use slackwater::policy::roster::WorkerId;
use slackwater::server::clock::Now;
use slackwater::server::peers::Peers;
use slackwater::server::peers::upstream::{Instruction, Upstream};
use slackwater::server::terms::Terms;

use crate::ear::{Heard, Id};
use crate::handshake;
use crate::pipe::{Pipe, Side, Wire};
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::truth::Truth;

/// One process.
pub struct Worker {
    pub id: WorkerId,
    /// Its own among all workers of all supervisors.
    pub number: usize,
    pub epoch: u32,
    pub peers: Peers<Wire>,
    pub pipe: Rc<RefCell<Pipe>>,
    pub drain: Drain,
    is_alone: bool,
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
}

impl Worker {
    pub fn new(
        (id, number): (WorkerId, usize),
        pipe: Rc<RefCell<Pipe>>,
        epoch: u32,
        terms: &Terms,
        patience: Duration,
    ) -> Self {
        let upstream = Upstream::new(Wire::Pipe(Pipe::end(&pipe, Side::Worker)));
        Self {
            id,
            number,
            epoch,
            peers: Peers::new(terms.clone(), Some(upstream)),
            pipe,
            drain: Drain::new(patience, Duration::from_secs(3600)),
            is_alone: false,
            accepts: false,
            has_said_farewell: false,
            frozen_until: Duration::ZERO,
            has_ended: false,
            lines: BTreeMap::new(),
            witness: None,
            witnessed: 0,
            newest: 0,
        }
    }

    pub fn admit(&mut self, line: Rc<RefCell<Line>>, now: Now) {
        let socket = Wire::Client(VirtualSocket(line.clone()));
        let key = self.peers.admit(now, |_| Ok(socket)).expect("nothing fails here");
        if let Some(before) = self.lines.insert(key, line) {
            assert!(before.borrow().dropped, "a key has two owners");
        }
    }

    /// It is sent a signal to leave.
    pub fn signal(&mut self, now: Instant) {
        if !self.peers.ask_how_to_leave() {
            self.drain.signal(now);
        }
    }

    /// What would wake it now.
    pub fn is_awake(&self, now: Instant) -> bool {
        self.peers.has_work()
            || self.pipe.borrow().has_event(Side::Worker)
            || self.lines.values().any(|line| line.borrow().edge)
            || self.next_time().is_some_and(|at| at <= now)
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        let peers = self.peers.next_sweep().into_iter().chain(self.peers.next_retry());
        peers.chain(self.drain.deadline()).min()
    }

    pub fn turn(&mut self, now: Now, random: &mut Random, truth: &Truth) {
        let is_sweep_due = self.peers.next_sweep().is_some_and(|at| at <= now.instant);
        self.peers.read_unread(now);
        let mut ready: Vec<usize> = self.lines.keys().copied().collect();
        ready.retain(|key| std::mem::take(&mut self.lines[key].borrow_mut().edge));
        random.shuffle(&mut ready);
        let supervisor_at = random.below(ready.len() + 1);
        for (nth, key) in ready.iter().enumerate() {
            if nth == supervisor_at {
                self.look_up();
            }
            self.peers.on_ready(*key, now);
        }
        self.look_up();
        for instruction in self.peers.hear_supervisor(now) {
            self.follow(instruction, now, random);
        }
        if is_sweep_due {
            self.peers.sweep(now, now.instant);
        }
        self.peers.settle(now);
        self.advance(now);
        assert!(self.drain.deadline().is_none_or(|at| at > now.instant), "it spins: {:?}", self.drain);
        self.testify(truth);
    }

    fn look_up(&mut self) {
        if self.pipe.borrow_mut().take_event(Side::Worker) {
            self.peers.on_supervisor_ready();
        }
    }

    fn follow(&mut self, instruction: Instruction, now: Now, random: &mut Random) {
        let is_leaving = self.drain.is_leaving();
        match instruction {
            Instruction::Serve if is_leaving => {}
            Instruction::Serve => {
                self.accepts = true;
                let witness = Rc::new(RefCell::new(Line::new(random.fork(), 1 << 40)));
                witness.borrow_mut().send(handshake("topic=*").as_bytes());
                self.admit(witness.clone(), now);
                self.peers.read_newcomers(now);
                self.witness = Some(witness);
            }
            Instruction::Close => {
                self.peers.leave(now, false);
                self.close();
            }
            Instruction::Leave if is_leaving => self.peers.leave(now, false),
            Instruction::StepDown { .. } if is_leaving => {}
            Instruction::Leave => self.drain.signal(now.instant),
            Instruction::StepDown { .. } => {
                self.is_alone = true;
                self.drain.signal(now.instant);
            }
            Instruction::Insist => self.drain.insist(now.instant),
        }
    }

    fn close(&mut self) {
        self.accepts = false;
        self.peers.tell_closed();
    }

    fn advance(&mut self, now: Now) {
        loop {
            let clients = self.peers.clients();
            if let (true, Some(witness)) = (clients == 1 && self.drain.is_leaving(), &self.witness) {
                // It is not who is waited for.
                witness.borrow_mut().end();
            }
            let owes_answers = clients == 0 && self.drain.is_leaving() && self.peers.owes_answers();
            let bytes_taken = self.peers.bytes_taken();
            let situation =
                Situation { connections: clients, owes_answers, bytes_taken, ..Situation::default() };
            let Some(step) = self.drain.poll(now.instant, situation) else { return };
            match step {
                Step::Initiated => {
                    self.peers.leave(now, self.is_alone);
                    self.close();
                }
                Step::TimedOut { .. } | Step::Insisted { .. } => {
                    self.has_said_farewell = true;
                    self.peers.say_farewell(now);
                }
                Step::Complete(_) => self.has_ended = true,
                _ => {}
            }
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
                Heard::Switched | Heard::Close(_) => {}
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
        self.lines.values().all(|line| line.borrow().dropped) && self.peers.clients() == 0
    }

    /// The process is no more: whoever was connected is cut off.
    pub fn die(self) {
        for line in self.lines.values().filter(|line| !line.borrow().dropped) {
            line.borrow_mut().fail(std::io::ErrorKind::ConnectionReset);
        }
        drop(self.peers);
        self.pipe.borrow_mut().lose_what_was_sent(Side::Worker);
    }
}

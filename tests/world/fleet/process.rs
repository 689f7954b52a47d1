//! One process of a machine: the production turn over virtual sockets, as a worker or as a whole machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::http::door::Door;
use slackwater::policy::drain::Drain;
use slackwater::policy::engine::step::Line as EngineLine;
use slackwater::policy::heard::Look;
use slackwater::policy::roster::WorkerId;
use slackwater::server::clock::Now;
use slackwater::server::engine::Wanted;
use slackwater::server::terms::Terms;
use slackwater::server::transport::Transport;
use slackwater::server::turn::{Effect, Ready, Turn};

use crate::draw::SECOND;
use crate::pipe::{Pipe, Side};
use crate::random::Random;
use crate::socket::{Line, VirtualSocket};
use crate::spin::Spin;
use crate::wire::Wire;

pub struct Process {
    pub id: WorkerId,
    pub turn: Turn<Wire>,
    /// To its supervisor.
    pub link: Option<Rc<RefCell<Pipe>>>,
    lines: BTreeMap<usize, Rc<RefCell<Line>>>,
    newcomers: Vec<VirtualSocket>,
    /// It serves, as far as it is up to its supervisor.
    accepts: bool,
    spin: Spin,
}

impl Process {
    pub fn new(id: WorkerId, link: Option<Rc<RefCell<Pipe>>>, terms: Terms, now: Now) -> Self {
        let supervisor = link.as_ref().map(|pipe| Wire::Pipe(Pipe::end(pipe, Side::Worker)));
        Self {
            id,
            turn: Turn::new(terms, supervisor, Drain::new(SECOND, 5 * SECOND), now),
            accepts: link.is_none(),
            link,
            lines: BTreeMap::new(),
            newcomers: Vec::new(),
            spin: Spin::default(),
        }
    }

    /// Whether whoever comes now is let in.
    pub fn serves(&self) -> bool {
        self.accepts && self.turn.may_accept()
    }

    pub fn admit(&mut self, line: Rc<RefCell<Line>>) {
        self.newcomers.push(VirtualSocket::new(line));
    }

    pub fn is_awake(&self, now: Instant) -> bool {
        !self.newcomers.is_empty() && self.serves()
            || self.link.as_ref().is_some_and(|link| link.borrow().has_event(Side::Worker))
            || self.lines.values().any(|line| line.borrow().edge)
            || self.next_time().is_some_and(|at| at <= now)
    }

    pub fn next_time(&self) -> Option<Instant> {
        self.turn.next_timeout().map(|timeout| self.turn.now() + timeout)
    }

    /// A turn. Connections that are wanted are made by `connect`; `deeds` is what it has done by those.
    pub fn take_turn(
        &mut self,
        engine: &[EngineLine],
        deeds: usize,
        now: Now,
        random: &mut Random,
        mut connect: impl FnMut(&Wanted) -> Result<Wire, String>,
    ) {
        let mut ready: Vec<Ready> = engine.iter().map(|line| Ready::Engine(*line)).collect();
        for (key, line) in &self.lines {
            let mut line = line.borrow_mut();
            ready.extend(std::mem::take(&mut line.edge).then(|| line.ready(*key)));
        }
        if self.link.as_ref().is_some_and(|link| link.borrow_mut().take_event(Side::Worker)) {
            ready.push(Ready::Supervisor);
        }
        random.shuffle(&mut ready);
        let look = Look { began: self.turn.now().instant, events: ready.len(), most: usize::MAX };
        self.turn.on_look(look, self.lines.len());
        self.turn.handle(ready, [], now);
        self.let_in();
        let mut is_connected = false;
        while let Some(effect) = self.turn.poll() {
            match effect {
                Effect::Connect(wanted) => {
                    self.turn.on_connected(&wanted, connect(&wanted));
                    is_connected = true;
                }
                Effect::Accept => {
                    self.accepts = true;
                    self.let_in();
                }
                Effect::Trim => {}
                other => panic!("nobody has asked for {other:?}"),
            }
        }
        let of_lines = self.lines.values().map(|line| line.borrow().deeds).sum::<usize>();
        let of_link = self.link.as_ref().map_or(0, |link| link.borrow().deeds(Side::Worker));
        let is_idle = self.turn.next_timeout() == Some(Duration::ZERO) && !is_connected;
        self.spin.on_turn(of_lines + of_link + deeds, is_idle);
    }

    fn let_in(&mut self) {
        if !self.serves() {
            return;
        }
        for socket in std::mem::take(&mut self.newcomers) {
            let lines = &mut self.lines;
            let register = |key| {
                lines.insert(key, socket.line().clone());
                Ok(Wire::Client(Transport::Plain(socket)))
            };
            self.turn.admit(Door::Public, register).expect("nothing fails here");
        }
    }

    /// It is killed: whoever was connected to it is cut off.
    pub fn die(self) {
        let waiting = self.newcomers.iter().map(VirtualSocket::line);
        for line in self.lines.values().chain(waiting).filter(|line| !line.borrow().dropped) {
            line.borrow_mut().fail(std::io::ErrorKind::ConnectionReset);
        }
    }
}

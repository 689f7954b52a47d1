//! One process that serves, turn by turn over virtual sockets: as a supervisor's worker, or by itself. A witness hears all
//! that it hands on: a worker's must be the truth and nothing else, and the only process's is where the truth comes from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::drain::{Drain, Outcome, Step};
use slackwater::policy::heard::Look;
use slackwater::policy::roster::{SlotId, WorkerId};
use slackwater::server::clock::Now;
use slackwater::server::control::Control;
use slackwater::server::turn::{Effect, Ready, Turn};
use slackwater::wire::snapshot::Snapshot;

use crate::arriving::Arriving;
use crate::channel::{GivingEnd, Passed};
use crate::draw::SECOND;
use crate::moving::Giving;
use crate::periodic::Periodic;
use crate::pipe::{Pipe, Side};
use crate::random::Random;
use crate::reign::Setup;
use crate::socket::{Line, VirtualSocket};
use crate::spin::Spin;
use crate::subscriber::Subscriber;
use crate::taking_alone::TakingAlone;
use crate::truth::Truth;
use crate::visit::Visit;
use crate::wire::Wire;
use crate::witness::Witness;

/// Which process it is, and of whom.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub id: WorkerId,
    pub reign: usize,
    pub epoch: u32,
}

/// One process.
pub struct Worker {
    pub place: Place,
    pub slot: SlotId,
    pub server: Turn<Wire>,
    /// To its supervisor.
    pub link: Option<Rc<RefCell<Pipe>>>,
    /// They wait at its door.
    pub newcomers: Vec<VirtualSocket>,
    /// How many it accepts in a turn; the others wait at its door.
    pub accepts_per_turn: usize,
    /// How many events a look brings at most.
    pub events_per_look: usize,
    /// Signals that have come since the last turn.
    signals: Vec<Control>,
    /// How many there have been in all.
    pub signalled: usize,
    pub accepts: bool,
    pub patience: Duration,
    /// Since when it leaves, and when its patience is over.
    pub leaving: Option<(Duration, Duration)>,
    pub farewell_at: Option<Duration>,
    /// Takes no turn until then.
    pub frozen_until: Duration,
    /// What it leaves to a successor.
    pub legacy: Option<Snapshot>,
    /// How its drain has ended.
    pub outcome: Option<Outcome>,
    /// Who holds a key of the slab.
    pub lines: BTreeMap<usize, Rc<RefCell<Line>>>,
    pub has_witness: bool,
    pub witnesses: Vec<Witness>,
    /// The newest position that it has handed on, as the witnesses know.
    pub newest: u64,
    /// By which it is to send its connections, once it is told to.
    pub passage: Option<GivingEnd>,
    /// What it hands over.
    pub giving: Giving,
    /// What it takes over, if it is one of a successor's.
    pub taking: Option<Arriving>,
    /// What it takes over, if it has no supervisor.
    pub alone: Option<Box<TakingAlone>>,
    /// How long a hand-over may take.
    pub handover_timeout: Duration,
    /// How many batches of connections it has sent.
    pub batches: usize,
    /// It has parted with what has moved before its supervisor has said so.
    pub parted_unasked: bool,
    /// It has ended, and has said nothing to anybody.
    pub has_vanished: bool,
    /// Something has come that is no event of a socket.
    pub is_woken: bool,
    /// How far it has come with it.
    pub passed: Vec<Passed>,
    /// When it took its last turn.
    pub at: Duration,
    /// What it publishes by itself, if it has no supervisor.
    pub periodic: Option<Periodic>,
    /// How often it is told of a readiness that is none.
    spurious_percent: usize,
    spin: Spin,
    turns: usize,
    /// Bytes that its history may have.
    pub history_bytes: usize,
}

impl Worker {
    pub fn new(place: Place, link: Option<Rc<RefCell<Pipe>>>, setup: &Setup, now: Now) -> Self {
        let supervisor = link.as_ref().map(|pipe| Wire::Pipe(Pipe::end(pipe, Side::Worker)));
        let delay = if link.is_some() { Duration::ZERO } else { setup.drain_delay };
        let drain = Drain::new(setup.patience, 5 * SECOND).delayed(delay);
        Self {
            place,
            slot: 0,
            server: Turn::new(setup.terms.clone(), supervisor, drain, now),
            newcomers: Vec::new(),
            accepts_per_turn: usize::MAX,
            events_per_look: usize::MAX,
            signals: Vec::new(),
            signalled: 0,
            accepts: false,
            patience: setup.patience,
            leaving: None,
            farewell_at: None,
            frozen_until: Duration::ZERO,
            legacy: None,
            outcome: None,
            lines: BTreeMap::new(),
            has_witness: setup.has_witness,
            witnesses: Vec::new(),
            newest: 0,
            passage: None,
            giving: Giving::default(),
            taking: None,
            alone: None,
            handover_timeout: setup.handover_timeout,
            batches: 0,
            parted_unasked: false,
            has_vanished: false,
            is_woken: false,
            passed: Vec::new(),
            at: Duration::ZERO,
            periodic: link.is_none().then(Periodic::default),
            spurious_percent: setup.spurious_percent,
            spin: Spin::default(),
            turns: 0,
            history_bytes: setup.terms.history.bytes,
            link,
        }
    }

    /// Where it is known to have a supervisor.
    pub fn link(&self) -> std::cell::RefMut<'_, Pipe> {
        self.link.as_ref().expect("it has a supervisor").borrow_mut()
    }

    pub fn notify_every(&mut self, interval: Option<Duration>) {
        self.server.notify_every(interval);
        let now = self.server.now();
        self.periodic.iter_mut().for_each(|periodic| periodic.begin(interval, now));
    }

    /// How many notifications there have been at least, where nothing else is published: once its witness has gone there
    /// may be more.
    pub fn published(&self) -> u64 {
        self.periodic.as_ref().map_or(self.newest, |periodic| periodic.audiences.len() as u64)
    }

    pub fn signal(&mut self, signal: Control) {
        self.signals.push(signal);
        self.signalled += 1;
    }

    /// What would wake it now.
    pub fn is_awake(&self, (now, at): (Instant, Duration)) -> bool {
        if let Some(taking) = &self.alone {
            return taking.is_woken(at);
        }
        if self.giving.waits() {
            return self.giving.is_woken((now, at));
        }
        !(self.signals.is_empty() && (self.newcomers.is_empty() || !self.lets_in()))
            || self.is_woken
            || self.has_ended()
            || self.link.as_ref().is_some_and(|link| link.borrow().has_event(Side::Worker))
            || self.lines.values().any(|line| line.borrow().edge)
            || self.next_time().is_some_and(|at| at <= now)
            || self.giving.is_woken((now, at))
            || self.is_to_look_at_moved(at)
            || self.taking.as_ref().is_some_and(|taking| taking.is_woken(at))
    }

    /// Whether it would go on by itself at once.
    pub fn has_work(&self) -> bool {
        self.server.next_timeout() == Some(Duration::ZERO)
    }

    /// When it wakes by itself.
    pub fn next_time(&self) -> Option<Instant> {
        let waits = self.giving.waits() || self.alone.is_some();
        let timeout = self.server.next_timeout().filter(|_| !waits);
        let own = timeout.map(|timeout| self.server.now() + timeout);
        own.into_iter().chain(self.giving.next_time()).min()
    }

    /// A turn if anything wakes it, and what is to be noted of those who are connected to it.
    pub fn turn(
        &mut self,
        (now, at): (Now, Duration),
        random: &mut Random,
        truth: &mut Truth,
        subscribers: &mut [Subscriber],
    ) {
        let waits = self.giving.waits() || self.alone.is_some();
        let is_woken = self.is_awake((now.instant, at)) || !waits && random.chance(self.spurious_percent);
        if self.frozen_until > at || self.has_ended() || !is_woken {
            return;
        }
        if waits {
            return self.hand_on((now, at));
        }
        let had_said_farewell = self.farewell_at.is_some();
        let visits = subscribers.iter_mut().filter_map(|subscriber| subscriber.visit.as_mut());
        let mut here: Vec<_> = visits.filter(|visit| visit.record.place == self.place).collect();
        // Whoever has not been welcomed yet may be now.
        let is_new = |visit: &Visit| visit.line.borrow().ear.heard.len() < 2;
        let is_new: Vec<bool> = here.iter().map(|visit| is_new(visit)).collect();
        let had_parted: Vec<bool> = here.iter().map(|visit| visit.has_parted()).collect();
        let (newest_before, known_before) = (self.newest, self.newest_welcomed_with());
        let may_publish = self.accepts;
        let audience = self.take_turn((now, at), random);
        self.testify(truth, at, audience, may_publish);
        for (visit, _) in here.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            visit.record.at = at;
            // What it is welcomed with may have been ready where it was handed over, and not written there any more.
            let has_travelled = visit.line.borrow().has_travelled;
            let earliest =
                if has_travelled { known_before.min(visit.record.newest[0]) } else { known_before };
            visit.record.newest = [earliest, self.newest_welcomed_with()];
            visit.record.is_let_in = self.accepts;
        }
        self.turns += 1;
        if self.turns.is_multiple_of(64) {
            self.audit_history();
        }
        let says_farewell = self.farewell_at.is_some() && !had_said_farewell;
        for (visit, _) in here.iter_mut().zip(had_parted).filter(|(_, had_parted)| !had_parted) {
            let newest = if says_farewell { self.newest } else { newest_before };
            visit.note_farewell(newest, says_farewell);
        }
    }

    /// The newest position that it knows of, which its witness may not have been told of by now, or never will be.
    pub fn newest_known(&self) -> u64 {
        self.newest.max(*self.server.history().positions().end())
    }

    /// The newest position that it may welcome a client with; of one by itself as far as its witness, who is the only source, knows.
    fn newest_welcomed_with(&self) -> u64 {
        if self.link.is_some() { self.newest_known() } else { self.newest }
    }

    /// Says how many clients there were when what was due was published.
    fn take_turn(&mut self, (now, at): (Now, Duration), random: &mut Random) -> usize {
        (self.is_woken, self.at) = (false, at);
        let mut ready: Vec<Ready> = Vec::new();
        for (key, line) in &self.lines {
            let mut line = line.borrow_mut();
            let is_spurious = random.chance(self.spurious_percent) && !line.dropped;
            ready.extend((std::mem::take(&mut line.edge) || is_spurious).then(|| line.ready(*key)));
        }
        // What comes of those who are about to move is announced here, too.
        let given = self.giving.lines.iter().filter(|(_, line)| line.borrow().edge);
        ready.extend(given.map(|(key, line)| line.borrow().ready(*key)));
        if self.link.as_ref().is_some_and(|link| link.borrow_mut().take_event(Side::Worker)) {
            ready.push(Ready::Supervisor);
        }
        random.shuffle(&mut ready);
        let most = self.events_per_look;
        for left in ready.drain(most.min(ready.len())..) {
            match left {
                Ready::Peer { key, .. } => {
                    self.lines.get(&key).into_iter().for_each(|line| line.borrow_mut().edge = true);
                }
                Ready::Supervisor => self.link().wake(Side::Worker),
                Ready::Engine(_) => unreachable!("it has none"),
            }
        }
        let look = Look { began: self.server.now().instant, events: ready.len(), most };
        self.server.on_look(look, self.lines.len());
        self.server.handle(ready, std::mem::take(&mut self.signals), now);
        if self.lets_in() {
            self.let_in();
        }
        let audience = self.server.clients();
        self.periodic.iter_mut().for_each(|periodic| periodic.on_turn(audience, now.instant));
        loop {
            // The witness is not who is waited for.
            let is_hardly_left = !self.accepts && self.server.clients() == self.witnesses.len();
            if self.server.is_leaving() && is_hardly_left {
                self.dismiss_witness();
            }
            let Some(effect) = self.server.poll() else { break };
            self.perform(&effect, at, random);
            if self.giving.waits() || self.has_vanished {
                break;
            }
        }
        if self.link.is_none() {
            self.hand_over_alone(now);
        }
        self.look_at_moved();
        self.take_parts(now);
        let of_lines = self.lines.values().map(|line| line.borrow().deeds).sum::<usize>();
        let of_link = self.link.as_ref().map_or(0, |link| link.borrow().deeds(Side::Worker));
        self.spin.on_turn(of_lines + of_link, self.has_work() && !self.has_ended());
        audience
    }

    fn perform(&mut self, effect: &Effect, at: Duration, random: &mut Random) {
        match effect {
            Effect::Accept if self.server.is_leaving() => {}
            Effect::HandOver | Effect::Park | Effect::ParkPart { .. } | Effect::Connect(_) => {
                panic!("nobody has asked for it")
            }
            Effect::Move { by, format } => self.give(*by, *format),
            Effect::Commit => self.part(),
            Effect::Resume => self.resume(),
            Effect::Vanish => self.be_orphaned(),
            Effect::Accept => {
                self.serve(random);
                self.let_in();
            }
            Effect::LeaveState => self.legacy = self.server.snapshot(),
            Effect::StopAccepting { admits_waiting } => {
                self.accepts = false;
                if *admits_waiting {
                    self.accepts_per_turn = usize::MAX;
                    self.let_in();
                }
            }
            Effect::Step(Step::Initiated) => {
                self.leaving = Some((at, at + self.patience));
                self.periodic.iter_mut().for_each(Periodic::stop);
            }
            Effect::Step(Step::TimedOut { .. } | Step::Insisted { .. }) => self.farewell_at = Some(at),
            Effect::Step(Step::Complete(outcome)) => self.outcome = Some(*outcome),
            Effect::Step(_) | Effect::RestAdmin | Effect::OpenAdmin | Effect::CloseAdmin | Effect::Trim => {}
        }
    }

    /// Whether everybody has gone, and nothing is left of them.
    pub fn is_deserted(&self) -> bool {
        self.known_lines().all(|line| line.borrow().dropped) && self.server.clients() == 0
    }

    /// Whether its drain is complete.
    pub fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// How many are connected, whether they have asked for anything or not.
    pub fn open_lines(&self) -> usize {
        self.known_lines().filter(|line| !line.borrow().dropped).count()
    }

    /// Everybody's, be they accepted or not.
    pub fn known_lines(&self) -> impl Iterator<Item = &Rc<RefCell<Line>>> {
        let given = self.giving.lines.iter().map(|(_, line)| line);
        let waiting = self.newcomers.iter().map(VirtualSocket::line);
        self.lines.values().chain(given).chain(waiting)
    }

    /// The process is no more: whoever was connected to it is cut off, and to no other.
    pub fn die(mut self) {
        self.link.take().iter().for_each(|link| link.borrow_mut().lose_what_was_sent(Side::Worker));
        for line in self.vanish() {
            line.borrow_mut().fail(std::io::ErrorKind::ConnectionReset);
        }
    }

    /// The process has ended; whom it has left without a word.
    pub fn vanish(self) -> Vec<Rc<RefCell<Line>>> {
        let open = self.known_lines().filter(|line| !line.borrow().dropped);
        let mut lines: Vec<Rc<RefCell<Line>>> = open.cloned().collect();
        lines.iter().for_each(|line| line.borrow_mut().was_bereft = true);
        drop((self.server, self.newcomers, self.giving, self.passage, self.taking, self.alone));
        lines.retain(|line| line.borrow().is_orphaned);
        lines
    }
}

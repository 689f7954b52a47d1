//! One turn without its poll: take in what has come, keep time, settle, and go on with the drain. It knows no poll, no
//! listener and no file: what is to be done with those is an effect, which whoever owns them performs.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::http::door::Door;
use crate::http::keys::VerifyingKeys;
use crate::policy::drain::{Drain, Situation, Step};
use crate::policy::engine::step::Line as EngineLine;
use crate::policy::epochs::Epochs;
use crate::policy::heard::{self, Look};
use crate::policy::history::History;
use crate::policy::line::Continuation;
use crate::policy::period::next_in_period;
use crate::server::clock::Now;
use crate::server::control::Control;
use crate::server::engine::{EngineTerms, Wanted};
use crate::server::order::Order;
use crate::server::order::ledger::Ledger;
use crate::server::order::upstream::Upstream;
use crate::server::peers::{Peers, Readiness};
use crate::server::socket::Socket;
use crate::server::terms::Terms;
use crate::wire::snapshot::Snapshot;
use holding::Holding;

mod effect;
mod hearing;
mod holding;
mod moving;
mod obeying;

pub use effect::Effect;
pub use moving::Packed;

/// A socket for which something can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// That of a peer.
    Peer {
        /// Its key.
        key: usize,
        /// What can be read.
        readiness: Readiness,
        /// Whether it can be written to.
        has_room: bool,
    },
    /// That to the supervisor.
    Supervisor,
    /// One to the engine.
    Engine(EngineLine),
}

/// With whom a server leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// With all there is of it.
    Whole,
    /// As one worker, while others serve. They accept the connections that wait, unless it `is_last`.
    Alone { is_last: bool },
}

/// The peers, the order of what they hear, their drain, and when to look at them again.
#[derive(Debug)]
pub struct Turn<S> {
    peers: Peers<S>,
    order: Order<S>,
    drain: Drain,
    scope: Scope,
    /// Who has asked for the drain.
    caller: Cow<'static, str>,
    /// No peer is judged by a later time.
    heard: heard::Heard,
    /// The period of the notification, and when it is due.
    notify: Option<(Duration, Instant)>,
    effects: VecDeque<Effect>,
    /// Whether what has come in this turn is settled.
    is_settled: bool,
    /// Whether the doors are being closed.
    is_closing: bool,
    /// Whether operators come in at another worker now, or nowhere.
    has_closed_admin: bool,
    /// A worker's part in handing over.
    holding: Holding,
    /// Read once per turn.
    now: Now,
}

impl<S: Socket> Turn<S> {
    /// Nobody is connected yet; a worker is given its end of the socket pair.
    pub fn new(terms: Terms, supervisor: Option<S>, drain: Drain, now: Now) -> Self {
        let own = || Order::own(Ledger::new(terms.epoch, 0));
        let order = supervisor.map_or_else(own, |socket| Order::Upstream(Upstream::new(socket)));
        Self {
            peers: Peers::new(terms, now),
            order,
            drain,
            scope: Scope::Whole,
            caller: Cow::default(),
            heard: heard::Heard::new(now.instant),
            notify: None,
            effects: VecDeque::new(),
            is_settled: true,
            is_closing: false,
            has_closed_admin: false,
            holding: Holding::default(),
            now,
        }
    }

    /// Lets an engine give the order, for several machines. Nobody must have connected yet.
    pub fn share_order(&mut self, terms: EngineTerms) {
        self.order = Order::shared(terms, self.now);
        // Any id is ahead of this epoch: only the engine can tell.
        let none = Continuation::Begin { epochs: Epochs::of(0), newest: 0 };
        self.peers.go_on_with(none, self.now);
    }

    /// A connection to the engine that was wanted is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>) {
        self.order.on_connected(wanted, socket, self.now);
    }

    /// Publishes the periodic notification from now on, or stops.
    pub fn notify_every(&mut self, period: Option<Duration>) {
        self.notify = period.map(|period| (period, self.now + period));
    }

    /// Goes on where a predecessor stopped. Nobody must have connected yet.
    pub fn restore(&mut self, snapshot: Snapshot) {
        let line = self.order.restore(snapshot, self.peers.history_limits(), self.now);
        self.peers.restore(line);
    }

    /// What a successor needs to go on; a worker's is the supervisor's to leave.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        debug_assert!(self.drain.is_leaving(), "what is published later would be missing");
        self.peers.forget_old(self.now);
        self.order.snapshot(self.peers.line(), self.now)
    }

    /// Verifies tokens by other keys from now on.
    pub fn replace_keys(&mut self, keys: VerifyingKeys) {
        self.peers.replace_keys(keys);
    }

    /// Newcomers are shown a certificate that ends then.
    pub fn show_certificate(&mut self, until: Option<Timestamp>) {
        self.peers.show_certificate(until);
    }

    /// What was published lately, for whoever comes back.
    pub fn history(&self) -> &History {
        self.peers.line().history()
    }

    /// The time of this turn.
    pub fn now(&self) -> Now {
        self.now
    }

    /// All who are connected, clients or not.
    pub fn connections(&self) -> usize {
        self.peers.connections()
    }

    /// The WebSockets and event streams that have not departed.
    pub fn clients(&self) -> usize {
        self.peers.clients()
    }

    /// Whether it has been told to leave.
    pub fn is_leaving(&self) -> bool {
        self.drain.is_leaving()
    }

    /// Until when clients are waited for, once it is leaving.
    pub fn limit(&self) -> Option<Instant> {
        self.drain.limit()
    }

    /// The loop has looked for events since the last turn, with so many descriptors that may be ready.
    pub fn on_look(&mut self, look: Look, descriptors: usize) {
        self.heard.on_look(look, descriptors);
    }

    /// Begins a turn: takes in what has come, into memory only.
    pub fn handle(
        &mut self,
        ready: impl IntoIterator<Item = Ready>,
        controls: impl IntoIterator<Item = Control>,
        now: Now,
    ) {
        self.now = now;
        self.is_settled = false;
        self.peers.on_turn(now);
        self.read_unread();
        self.take_ready(ready);
        controls.into_iter().for_each(|control| self.obey(control));
        self.order.take_in(self.peers.is_behind(), self.peers.scratch(), now);
        self.ask();
        self.leave_if_asked();
    }

    /// Takes in a peer. `socket` is given the key under which its events are to be announced.
    ///
    /// # Errors
    /// Those of `socket`; nobody is taken in then.
    pub fn admit(&mut self, door: Door, socket: impl FnOnce(usize) -> io::Result<S>) -> io::Result<()> {
        let Some(key) = self.peers.admit(door, self.now, socket)? else { return Ok(()) };
        // Its request is mostly there already, and need not wait for the next turn; when the server is about to leave, it
        // must.
        if !self.drain.is_leaving() {
            self.peers.on_ready(key, Readiness::Bytes, false, self.now);
            self.ask();
        }
        Ok(())
    }

    /// Goes on with the turn. Call until `None`, and perform each effect before the next call.
    pub fn poll(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            if std::mem::take(&mut self.is_closing) {
                self.on_closed();
            } else if !std::mem::replace(&mut self.is_settled, true) {
                self.keep_time();
                self.settle();
            } else if self.closes_admin() {
                self.effects.push_back(Effect::CloseAdmin);
            } else {
                let step = self.next_step()?;
                self.take(step);
            }
        }
    }

    /// The turn has ended at this time.
    pub fn end(&mut self, end: Instant) {
        self.peers.on_turn_end(self.now, end);
    }

    /// How long to sleep; `None` until something happens. Measured from the last reading of the clock, so late by that
    /// turn's length at most.
    pub fn next_timeout(&self) -> Option<Duration> {
        if let Some(timeout) = self.held_timeout() {
            return timeout;
        }
        if self.peers.has_work() || self.order.has_work() || self.order.is_unread() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.notify.map(|(_, at)| at),
            self.peers.next_deadline(),
            self.order.next_deadline(),
            self.drain.deadline(),
        ];
        let earliest = deadlines.into_iter().flatten().min();
        earliest.map(|deadline| deadline.saturating_duration_since(self.now.instant))
    }

    fn settle(&mut self) {
        // Ahead of the clients: what they are told now counts them already.
        self.order.flush(self.peers.clients(), self.now);
        if self.has_moved() {
            return;
        }
        self.peers.hold_publishers(self.order.is_congested());
        self.turn_waiting_away();
        self.peers.settle(self.now);
        self.report_holding();
        // Behind them, too: a departed client no longer counts.
        self.order.flush(self.peers.clients(), self.now);
    }

    fn keep_time(&mut self) {
        if self.is_held() {
            return;
        }
        let now = self.now;
        if let Some((period, at)) = self.notify.filter(|(_, at)| *at <= now.instant) {
            self.order.notify(self.peers.clients(), period, now);
            self.ask();
            self.notify = Some((period, next_in_period(at, period, now.instant)));
        }
        if self.peers.keep_time(now, self.heard.until()) {
            self.effects.push_back(Effect::Trim);
        }
    }

    /// Whether only answers are still owed: from here on another worker lets operators in, or it is all over.
    fn closes_admin(&mut self) -> bool {
        let closes = !self.has_closed_admin && self.order.has_supervisor() && self.owes_only_answers();
        self.has_closed_admin |= closes;
        closes
    }

    fn owes_only_answers(&self) -> bool {
        self.drain.is_leaving()
            && self.peers.clients() == 0
            && self.peers.owes_answers(self.order.has_supervisor())
    }

    fn next_step(&mut self) -> Option<Step> {
        let situation = Situation {
            connections: self.peers.clients(),
            owes_answers: self.owes_only_answers(),
            bytes_taken: self.peers.bytes_taken(),
            workers: None,
        };
        if self.drain.is_about_to_end(self.now.instant) && self.peers.take_on(self.now) {
            self.drain.on_taken(self.now.instant);
        }
        self.drain.poll(self.now.instant, situation)
    }

    fn take(&mut self, step: Step) {
        self.effects.push_back(Effect::Step(step));
        match step {
            Step::Initiated => {
                self.peers.leave(self.now, self.scope != Scope::Whole);
                self.peers.begin_notices(self.now, self.drain.limit().unwrap_or(self.now.instant));
                self.notify = None;
                self.effects.push_back(Effect::LeaveState);
                self.stop_accepting();
            }
            Step::TimedOut { .. } | Step::Insisted { .. } => self.peers.say_farewell(self.now),
            Step::Complete(_) => {
                self.order.tell_metrics(|| self.peers.metrics(self.now));
                self.order.flush(self.peers.clients(), self.now);
                self.peers.abandon();
            }
            Step::SignalReceived => {
                let limit = self.drain.limit().unwrap_or(self.now.instant);
                self.peers.announce_drain(self.now, limit, self.caller.clone());
            }
            Step::Armed
            | Step::Waiting { .. }
            | Step::AllClosed
            | Step::Close
            | Step::StillListening { .. } => {}
        }
    }

    fn stop_accepting(&mut self) {
        let admits_waiting = self.scope != Scope::Alone { is_last: false };
        self.effects.push_back(Effect::StopAccepting { admits_waiting });
        if self.scope != Scope::Whole {
            self.effects.push_back(Effect::RestAdmin);
        } else if !self.has_closed_admin {
            self.effects.push_back(Effect::OpenAdmin);
        }
        self.is_closing = true;
    }

    /// Nobody is admitted any more. Peers that have sent a request already are owed an answer, and the drain is about to look.
    fn on_closed(&mut self) {
        self.peers.read_newcomers(self.now);
        self.ask();
        self.order.tell_closed();
    }
}

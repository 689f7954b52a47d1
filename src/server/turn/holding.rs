//! A worker that hands its connections over with the whole server: it winds up, holds, moves and parts with them, or goes on,
//! all at its supervisor's word.

use std::time::{Duration, Instant};

use super::{Effect, Ready, Turn};
use crate::policy::handover::crew::FINISHING;
use crate::server::order::Moving;
use crate::server::socket::Socket;
use crate::wire::link::ToSupervisor;

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Serving,
    /// Serves on until no request is half read.
    WindingUp,
    /// Serves on.
    WoundUp,
    /// Hears for a moment only those whose request is half read, and owes answers. Who is owed one is not heard: whoever sends one
    /// request behind the other would be owed the next one always.
    Holding,
    /// Hears nobody.
    Held,
    /// Writes nothing either: how everything stands has been written, or the connections are a predecessor's still.
    Moved,
}

/// A worker's part in handing over.
#[derive(Debug, Default)]
pub(super) struct Holding {
    stage: Stage,
    /// Until when the rest of requests that are half read may come, once it holds.
    finishes_by: Option<Instant>,
    /// What has come meanwhile, and is to be taken in if it goes on.
    put_off: Vec<Ready>,
}

impl<S: Socket> Turn<S> {
    /// Whether nobody is to be accepted for now.
    pub fn is_held(&self) -> bool {
        self.holding.stage >= Stage::Holding
    }

    /// Whether newcomers may be let in: not while it is held, nor before it has taken up what it is to take up, nor before all
    /// has been read that the engine holds, unless that cannot be done now.
    pub fn may_accept(&self) -> bool {
        !self.is_held() && !self.order.takes_up_first() && !self.order.is_beginning()
    }

    /// Takes up connections of a predecessor's before it may serve.
    pub fn take_up_first(&mut self) {
        self.holding.stage = Stage::Moved;
        self.order.take_up_first();
    }

    /// Whether its connections have moved, or are a predecessor's still: nobody touches them.
    pub fn has_moved(&self) -> bool {
        self.holding.stage == Stage::Moved
    }

    /// The connections are taken, so many of them; the others cannot move.
    pub fn say_moved(&mut self, moved: usize) {
        self.holding.stage = Stage::Moved;
        self.order.tell_metrics(|| self.peers.metrics(self.now));
        let stayed = self.peers.connections().saturating_sub(moved) as u64;
        self.order.say(&ToSupervisor::Moved { moved: moved as u64, stayed });
    }

    /// They are not, for this reason.
    pub fn say_not_moved(&mut self, why: String) {
        self.order.say(&ToSupervisor::NotMoved(why));
    }

    /// Whether it is to take up connections of a predecessor's, and has heard all that was published.
    pub fn may_take_up(&self) -> bool {
        self.order.may_take_up()
    }

    /// It could serve now. What it has taken up, which is all that it has, is in the supervisor's numbers from the first moment on.
    pub fn say_ready(&mut self) {
        self.order.tell_metrics(|| self.peers.metrics(self.now));
        self.order.say(&ToSupervisor::TookUp(self.peers.connections() as u64));
        self.order.say(&ToSupervisor::Ready);
    }

    /// Does as its supervisor says.
    pub(super) fn hold(&mut self, moving: Moving) {
        let stage = &mut self.holding.stage;
        match moving {
            Moving::WindUp if *stage == Stage::Serving => *stage = Stage::WindingUp,
            Moving::Hold if *stage < Stage::Holding => {
                *stage = Stage::Holding;
                self.holding.finishes_by = Some(self.now + FINISHING);
            }
            Moving::Move { by, format } if *stage < Stage::Moved => {
                *stage = Stage::Held;
                self.effects.push_back(Effect::Move { by, format });
            }
            Moving::Park { format } if *stage < Stage::Moved => {
                *stage = Stage::Held;
                self.effects.push_back(Effect::ParkPart { format });
            }
            Moving::Commit if *stage == Stage::Moved => self.effects.push_back(Effect::Commit),
            // What it had sent has come back, since whoever took it has ended before it served; but nothing is published here any
            // more, and nobody is to wait here for what others hear elsewhere.
            Moving::Commit if *stage == Stage::Serving && !self.drain.is_leaving() => {
                self.effects.push_back(Effect::Commit);
            }
            Moving::Resume if *stage != Stage::Serving => {
                // Told both at once it has sent nothing yet, and what it would send now nobody would ask for: the next one who
                // takes over could take it for what that was to be sent.
                self.effects
                    .retain(|effect| !matches!(effect, Effect::Move { .. } | Effect::ParkPart { .. }));
                self.effects.push_back(Effect::Resume);
            }
            _ => {}
        }
    }

    /// The supervisor is gone in the midst of it. Connections that have moved may be another process's by now, or not: nobody
    /// can tell, and nobody touches them here. All others are left as ever.
    pub(super) fn leave_held(&mut self) {
        if self.has_moved() {
            self.effects.push_back(Effect::Vanish);
        } else {
            self.effects.push_back(Effect::Resume);
            self.leave("the end of the supervisor");
        }
    }

    /// Goes on as if nothing had been.
    pub fn resume(&mut self) {
        let Holding { put_off, .. } = std::mem::take(&mut self.holding);
        self.take_ready(put_off);
    }

    /// Nothing is its own any more but what could not move.
    pub(super) fn forget_holding(&mut self) {
        self.holding = Holding::default();
    }

    /// Reads on, of those that are to be heard.
    pub(super) fn read_unread(&mut self) {
        match self.holding.stage {
            Stage::Serving | Stage::WindingUp | Stage::WoundUp => self.peers.read_unread(self.now),
            Stage::Holding if !self.is_late() => self.peers.read_half_read(self.now),
            Stage::Holding | Stage::Held | Stage::Moved => {}
        }
        self.ask();
    }

    pub(super) fn take_ready(&mut self, ready: impl IntoIterator<Item = Ready>) {
        for ready in ready {
            match ready {
                ready if self.puts_off(ready) => {}
                Ready::Peer { key, readiness, has_room } => {
                    self.peers.on_ready(key, readiness, has_room, self.now);
                    self.ask();
                }
                Ready::Supervisor => self.order.on_ready(),
                Ready::Engine(line) => self.order.on_engine_ready(line),
            }
        }
    }

    /// Serves from here on. What it has taken up is its own now, and nobody touches it before those hear so whose it was.
    pub(super) fn serve(&mut self) {
        self.peers.begin_serving(self.now);
        if self.is_held() {
            self.effects.push_back(Effect::Resume);
        }
        self.effects.push_back(Effect::Accept);
    }

    /// Puts off what is not to be heard now.
    pub(super) fn puts_off(&mut self, ready: Ready) -> bool {
        let is_put_off = match (self.holding.stage, ready) {
            (_, Ready::Supervisor | Ready::Engine(_)) => false,
            (Stage::Holding, Ready::Peer { key, .. }) => self.is_late() || !self.peers.is_half_read_by(key),
            (stage, Ready::Peer { .. }) => stage >= Stage::Held,
        };
        if is_put_off {
            self.holding.put_off.push(ready);
        }
        is_put_off
    }

    /// Waits no longer for those who wait until all has been heard: that may take seconds, while the engine is away.
    pub(super) fn turn_waiting_away(&mut self) {
        if self.holding.stage == Stage::Holding && self.is_late() {
            self.peers.turn_waiting_away(self.now);
        }
    }

    /// Says how far it is, once it is there.
    pub(super) fn report_holding(&mut self) {
        match self.holding.stage {
            Stage::WindingUp if !self.peers.is_half_read() => {
                self.holding.stage = Stage::WoundUp;
                self.order.say(&ToSupervisor::WoundUp);
            }
            Stage::Holding
                if !self.peers.awaits_answers() && (self.is_late() || !self.peers.is_half_read()) =>
            {
                self.holding.stage = Stage::Held;
                self.order.say(&ToSupervisor::Held);
            }
            _ => {}
        }
    }

    /// Whether requests that are still half read stay here.
    fn is_late(&self) -> bool {
        self.holding.finishes_by.is_none_or(|by| by <= self.now.instant)
    }

    /// How long it may sleep while it is held; `None` if it is not.
    pub(super) fn held_timeout(&self) -> Option<Option<Duration>> {
        if !self.is_held() {
            return None;
        }
        let finishes = self.holding.stage == Stage::Holding && !self.is_late();
        let has_work = !self.has_moved() && self.peers.wants_settling()
            || finishes && self.peers.has_half_read_unread()
            || self.order.has_work()
            || self.order.is_unread();
        let finishes_by = self.holding.finishes_by.filter(|_| finishes);
        let next = self.order.next_deadline().into_iter().chain(finishes_by).min();
        let timeout = next.map(|at| at.saturating_duration_since(self.now.instant));
        Some(if has_work { Some(Duration::ZERO) } else { timeout })
    }
}

#[cfg(test)]
#[path = "holding_tests.rs"]
pub(super) mod tests;

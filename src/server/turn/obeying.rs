//! What the outside world asks of a turn.

use std::borrow::Cow;

use super::{Effect, Scope, Turn};
use crate::server::control::Control;
use crate::server::order::Instruction;
use crate::server::socket::Socket;

/// As whom operators know those who ask a server to leave, where that is not a signal.
const SUPERVISOR: &str = "the supervisor";
const PARKING: &str = "SIGTERM, in place of parking";

impl<S: Socket> Turn<S> {
    pub(super) fn obey(&mut self, control: Control) {
        match control {
            // A worker's signals are the supervisor's to answer: others may have been sent them, too.
            Control::Leave(_) | Control::Park if self.order.ask_how_to_leave() => {}
            Control::Park if !self.drain.is_leaving() => self.effects.push_back(Effect::Park),
            Control::Park => self.leave(PARKING),
            Control::Leave(caller) => self.leave(caller),
            // Sent to all processes at once: the supervisor has been sent it, too.
            Control::HandOver if self.order.has_supervisor() => {}
            Control::HandOver => self.effects.push_back(Effect::HandOver),
        }
    }

    /// Leaves, as after a signal, since this one asks for it.
    pub fn leave(&mut self, caller: impl Into<Cow<'static, str>>) {
        self.note_caller(caller);
        self.drain.signal(self.now.instant);
    }

    /// Leaves, if the peers say so, or lets the supervisor.
    pub(super) fn leave_if_asked(&mut self) {
        let Some(caller) = self.peers.take_drain_request() else { return };
        if !self.order.pass_on_drain(&caller) {
            self.note_caller(caller);
            self.drain.ask(self.now.instant);
        }
    }

    /// Whoever is the first to ask has begun it.
    fn note_caller(&mut self, caller: impl Into<Cow<'static, str>>) {
        if !self.drain.is_leaving() {
            self.caller = caller.into();
        }
    }

    /// Does what the supervisor asks. To be asked to leave again changes at most the scope.
    pub(super) fn follow(&mut self, instruction: Instruction) {
        let is_leaving = self.drain.is_leaving();
        match instruction {
            Instruction::Leave if self.is_held() => self.leave_held(),
            Instruction::Serve => self.serve(),
            Instruction::Close => {
                // Also of one that leaves alone already: whoever else there is may end before it.
                self.scope = Scope::Whole;
                self.peers.leave(self.now, false);
                self.stop_accepting();
            }
            Instruction::Leave if is_leaving => {
                self.peers.leave(self.now, false);
                if self.scope != Scope::Whole {
                    // The supervisor is gone, and will not say that operators are to be let in again.
                    self.effects.push_back(Effect::CloseAdmin);
                }
            }
            Instruction::StepDown { .. } if is_leaving => {}
            Instruction::Leave => self.leave(SUPERVISOR),
            Instruction::StepDown { is_last } => {
                self.scope = Scope::Alone { is_last };
                self.leave(SUPERVISOR);
            }
            Instruction::Insist => self.drain.insist(self.now.instant),
            Instruction::Moving(moving) => self.hold(moving),
            Instruction::Vanish => self.effects.push_back(Effect::Vanish),
        }
    }
}

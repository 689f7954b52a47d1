//! What the outside world asks of a turn.

use super::{Effect, Turn};
use crate::server::control::Control;
use crate::server::socket::Socket;

impl<S: Socket> Turn<S> {
    pub(super) fn obey(&mut self, control: Control) {
        match control {
            // A worker's signals are the supervisor's to answer: others may have been sent them, too.
            Control::Leave | Control::Park if self.order.ask_how_to_leave() => {}
            Control::Park if !self.drain.is_leaving() => self.effects.push_back(Effect::Park),
            Control::Leave | Control::Park => self.leave(),
            // Sent to all processes at once: the supervisor has been sent it, too.
            Control::HandOver if self.order.has_supervisor() => {}
            Control::HandOver => self.effects.push_back(Effect::HandOver),
        }
    }
}

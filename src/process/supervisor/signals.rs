//! What signals mean to a supervisor.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};

use super::Supervisor;
use crate::process::crew::{Arrived, Signal};
use crate::server::control::name_of;

impl Supervisor {
    /// Takes those that have come: what they mean to the crew arrives, and whether everything is to be handed over or parked is
    /// kept for this turn.
    pub(super) fn take_in_signals(&mut self, arrived: &mut Arrived) {
        let is_at_terminal = self.is_at_terminal;
        let (mut hands_over, mut parks) = (false, false);
        let may_park = self.parks();
        // Until it serves, a signal is for the predecessor to answer, or would cut those who are being taken up: it waits.
        let may_obey = self.taking.is_none() && self.taking_up.is_none();
        let signals = if may_obey { self.take_signals() } else { vec![] };
        arrived.signals.extend(signals.into_iter().filter_map(|signal| match signal {
            SIGTERM if may_park && !std::mem::replace(&mut parks, true) => None,
            SIGTERM | SIGINT => Some(Signal::Leave(name_of(signal))),
            // The terminal at which it was started is gone.
            SIGHUP if is_at_terminal => Some(Signal::Leave(name_of(signal))),
            SIGHUP => {
                hands_over = true;
                None
            }
            SIGTTIN => Some(Signal::Grow),
            SIGTTOU => Some(Signal::Shrink),
            // Every turn looks for processes that have ended.
            _ => None,
        }));
        (self.is_to_hand_over, self.is_to_park) = (hands_over, parks);
        let leave = arrived.signals.iter().find(|signal| matches!(signal, Signal::Leave(_))).copied();
        if let Some(leave) = leave.filter(|_| self.parking.is_some()) {
            // It was told to leave before.
            arrived.signals.push(leave);
        }
    }

    /// Signals that have come since.
    pub(super) fn take_signals(&mut self) -> Vec<i32> {
        let mut signals = std::mem::take(&mut self.ahead);
        signals.extend(self.signals.pending());
        signals
    }
}

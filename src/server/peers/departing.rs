//! What whoever decides about the leaving is told: the supervisor, or the loop itself where there is none.

use super::{Ordering, Peers};
use crate::server::socket::Socket;
use crate::wire::link::ToSupervisor;

impl<S: Socket> Peers<S> {
    /// An operator wants the whole server to leave.
    pub(super) fn wish_to_leave(&mut self) {
        match &mut self.ordering {
            Ordering::Own(_) => self.is_asked_to_leave = true,
            Ordering::Upstream(upstream) => upstream.tell(&ToSupervisor::Drain),
        }
    }

    /// This process listens no more.
    pub fn tell_closed(&mut self) {
        if let Ordering::Upstream(upstream) = &mut self.ordering {
            upstream.tell(&ToSupervisor::Closed);
        }
    }
}

//! How one process hands over to another, which goes on in its place.

use slackwater::policy::drain::Drain;
use slackwater::server::clock::Now;
use slackwater::server::peers::Arrival;
use slackwater::server::turn::Turn;
use slackwater::wire::handover::times::Moment;

use crate::draw::SECOND;
use crate::reign::Setup;
use crate::socket::VirtualSocket;
use crate::tls::security;
use crate::wire::Wire;
use crate::worker::Worker;

impl Worker {
    /// Another process goes on with everything; or, if somebody could not be moved, all goes on here as if nothing had been.
    /// Whether it was handed over.
    pub fn hand_over(&mut self, setup: &Setup, now: Now) -> bool {
        let at = Moment { instant: now.instant, monotonic: 1 << 50 };
        let mut image = vec![];
        let packed = self.server.pack(at, 1, &mut image).expect("memory takes all of it");
        if packed.connections.len() < self.server.connections() || self.server.is_leaving() || !self.accepts {
            return false;
        }
        let drain = Drain::new(setup.patience, 5 * SECOND).delayed(setup.drain_delay);
        let mut server = Turn::new(setup.terms.clone(), None, drain.clone(), now);
        let periodic = self.periodic.as_ref().and_then(|periodic| periodic.due);
        server.notify_every(periodic.map(|(interval, _)| interval));
        let before = std::mem::take(&mut self.lines);
        let mut arriving = packed.connections.iter().map(|key| before[key].clone());
        let register = |Arrival { key, tls, .. }: Arrival| {
            let line = arriving.next().expect("one for each");
            self.lines.insert(key, line.clone());
            Ok(Wire::Client(security().go_on(VirtualSocket::new(line), tls)?))
        };
        server.take_over(&image, now, at, register).expect("it is whole");
        let mut old = std::mem::replace(&mut self.server, server);
        old.part_with(&packed.connections, drain);
        drop(old);
        for line in self.lines.values() {
            // That the new ones are registered announces what has come.
            line.borrow_mut().edge = true;
        }
        true
    }
}

//! One process without a supervisor that hands over: it says itself what a supervisor would say, and sends its connections by the
//! same way.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::{LEAVING, Predecessor, Step};
use slackwater::server::clock::Now;

use crate::channel::{Channel, GivingEnd, Passed, Word};
use crate::worker::Worker;

impl Worker {
    /// Whether a successor could be heard now.
    pub fn may_hand_over(&self) -> bool {
        self.accepts && !self.server.is_leaving() && self.giving.end.is_none()
    }

    /// A successor has come by this channel.
    pub fn begin_giving(&mut self, channel: Rc<RefCell<Channel>>, now: Now, at: Duration) {
        self.at = at;
        let machine = Predecessor::new([1, 1], 1, now + self.handover_timeout);
        self.giving.begin(GivingEnd(channel), machine);
        self.is_woken = true;
    }

    /// Hands over as far as that is possible now. From the cut on it does nothing else until it is over.
    pub fn hand_over_alone(&mut self, now: Now) {
        loop {
            self.giving.hear(now.instant, self.at);
            let (is_leaving, server) = (self.server.is_leaving(), &self.server);
            let Some(machine) = self.giving.machine_mut() else { return };
            if is_leaving {
                machine.on_failed(LEAVING.to_owned());
            }
            let Some(step) = machine.poll(now.instant, || server.is_asked()) else { return };
            match step {
                Step::Offer { .. } => {
                    self.passed.push(Passed::Offered);
                    self.giving.say(Word::Sockets, self.at);
                }
                Step::Cut => {
                    self.passed.extend([Passed::WindUp, Passed::Hold, Passed::Move]);
                    self.send_image(1);
                }
                Step::Batch(count) => self.send_batch(count),
                Step::Commit => {
                    let moved = self.giving.lines.len() as u64;
                    if !self.giving.say(Word::Commit { moved, counted: None }, self.at) {
                        return self.go_on_alone();
                    }
                    self.passed.push(Passed::Commit);
                    self.is_woken = true;
                    return self.part();
                }
                Step::GiveUp(_) => return self.go_on_alone(),
            }
        }
    }

    fn go_on_alone(&mut self) {
        self.passed.push(Passed::GivenUp);
        self.giving.say(Word::Abort, self.at);
        self.register_again();
        self.is_woken = true;
    }
}

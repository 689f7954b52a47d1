//! A supervisor that hands over: its crew says what is next, and here it is done, as the program does it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::Predecessor;
use slackwater::policy::handover::crew::CrewStep;
use slackwater::server::clock::Now;
use slackwater::wire::handover::image::Writer;
use slackwater::wire::metrics::Handover;

use crate::channel::{Channel, Passed, Word};
use crate::draw::SECOND;
use crate::moving::moment;
use crate::supervisor::Supervisor;

/// How long those may take to end that have handed over everything, before they are told to leave.
const PARTING: Duration = SECOND;

/// A successor that is there.
pub struct Giving {
    pub channel: Rc<RefCell<Channel>>,
    /// When it is over.
    deadline: Duration,
}

impl Supervisor {
    /// Whether a successor could be heard now.
    pub fn may_hand_over(&self) -> bool {
        self.giving.is_none() && self.taking.is_none() && !self.crew.is_leaving() && self.parted_at.is_none()
    }

    /// A successor has come by this channel.
    pub fn begin_giving(&mut self, channel: Rc<RefCell<Channel>>, at: Duration) {
        let timeout = self.setup.handover_timeout;
        let own = Predecessor::new([1, 1], 1, self.crew.now() + timeout);
        self.crew.hand_over(own);
        let deadline = at + timeout;
        self.giving = Some(Giving { channel, deadline });
        self.is_woken = true;
    }

    /// Takes in what the successor has said.
    pub fn hear_successor(&mut self, at: Duration) {
        let Some(giving) = &self.giving else { return };
        let mut channel = giving.channel.borrow_mut();
        while let Some(heard) = channel.hear(at) {
            let is_over = heard == slackwater::policy::handover::Heard::Ended;
            self.crew.on_heard(heard);
            if is_over {
                return;
            }
        }
    }

    /// Goes on with handing over, as far as that is possible now.
    pub fn hand_over(&mut self, (now, at): (Now, Duration)) {
        while let Some(step) = self.crew.poll_handover() {
            let channel = self.giving.as_ref().expect("it hands over").channel.clone();
            let mut channel = channel.borrow_mut();
            let sent = match step {
                CrewStep::Offer { .. } => {
                    channel.pass(Passed::Offered);
                    channel.tell_successor(Word::Sockets, at)
                }
                CrewStep::WindUp => {
                    channel.pass(Passed::WindUp);
                    Ok(())
                }
                CrewStep::Hold => {
                    channel.pass(Passed::Hold);
                    Ok(())
                }
                CrewStep::Move => {
                    channel.pass(Passed::Move);
                    let image = self.cut((now, at));
                    let sent = channel.tell_successor(Word::Image { octets: image, connections: 0 }, at);
                    if sent.is_ok() {
                        self.crew.sent();
                    }
                    sent
                }
                CrewStep::Commit => {
                    self.commit(&mut channel, at);
                    Ok(())
                }
                CrewStep::GiveUp(why) => {
                    self.give_up(&mut channel, at, why.to_string());
                    Ok(())
                }
            };
            if let Err(why) = sent {
                self.crew.on_handover_failed(why.to_string());
            }
        }
    }

    /// Has all workers move their connections; how everything else stands.
    fn cut(&mut self, (now, at): (Now, Duration)) -> Vec<u8> {
        let by = now + self.giving.as_ref().expect("it hands over").deadline.saturating_sub(at);
        let (whole, snapshot) = self.crew.cut(moment(now), by, 1);
        // They are told at once.
        self.crew.settle();
        let mut octets = vec![];
        let mut image = Writer::new(&mut octets, 1).expect("memory takes all of it");
        image.whole(&whole).expect("memory takes all of it");
        image.history(&snapshot).expect("memory takes all of it");
        image.end().expect("memory takes all of it");
        octets
    }

    fn commit(&mut self, channel: &mut Channel, at: Duration) {
        let (moved, _) = self.crew.counted_moved();
        let counted = serde_json::to_string(&self.crew.counted()).ok();
        if channel.tell_successor(Word::Commit { moved, counted }, at).is_err() {
            return self.give_up(channel, at, "the successor has ended".to_owned());
        }
        channel.pass(Passed::Commit);
        self.crew.part();
        self.crew.settle();
        channel.leave_predecessor();
        (self.giving, self.parted_at) = (None, Some(at));
    }

    fn give_up(&mut self, channel: &mut Channel, at: Duration, why: String) {
        channel.pass(Passed::GivenUp);
        let _ = channel.tell_successor(Word::Abort, at);
        channel.leave_predecessor();
        self.crew.go_on(Handover::default());
        self.giving = None;
        self.gave_up.push(why);
    }

    /// Once everything is another process's, it ends with its last worker.
    pub fn end_parting(&mut self, at: Duration) {
        let Some(since) = self.parted_at else { return };
        if self.children.is_empty() {
            self.is_complete = true;
        } else if at >= since + PARTING && !self.crew.is_leaving() {
            self.crew.leave("a hand-over of everything else");
        }
    }

    /// When those who are left are told to leave.
    pub fn parting_until(&self) -> Option<Duration> {
        self.parted_at.map(|since| since + PARTING).filter(|_| !self.crew.is_leaving())
    }
}

//! A supervisor that takes over from another one, as the program does it: its workers take up the connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::Heard;
use slackwater::policy::handover::successor::{Successor, Task, Told};
use slackwater::policy::roster::SlotId;
use slackwater::server::clock::Now;
use slackwater::wire::handover::image::{Entry, Reader, Whole};
use slackwater::wire::metrics::{Handover, Metrics};
use slackwater::wire::snapshot::Snapshot;

use crate::channel::{Channel, GivingEnd, Passed, TakingEnd, Word};
use crate::moving::moment;
use crate::socket::VirtualSocket;
use crate::supervisor::Supervisor;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    TakingUp,
    Prepared,
}

/// A predecessor that is there.
pub struct Taking {
    channel: Rc<RefCell<Channel>>,
    machine: Successor,
    stage: Stage,
    /// Until when.
    deadline: Duration,
    /// By which the predecessor's workers send their connections, for each slot.
    ends: Vec<Vec<TakingEnd>>,
    /// By which the connections of a predecessor that has them itself are passed on to the first worker.
    passage: Option<GivingEnd>,
    image: Vec<u8>,
    batch: Vec<VirtualSocket>,
    /// What the predecessor had counted at the cut.
    counted: Option<String>,
    commit: Option<(u64, Option<String>)>,
}

impl Taking {
    pub fn new(
        channel: Rc<RefCell<Channel>>,
        ends: Vec<Vec<TakingEnd>>,
        passage: Option<GivingEnd>,
        deadline: Duration,
    ) -> Self {
        Self {
            channel,
            machine: Successor::Ready,
            stage: Stage::Starting,
            deadline,
            ends,
            passage,
            image: vec![],
            batch: vec![],
            counted: None,
            commit: None,
        }
    }

    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub fn is_woken(&self, at: Duration) -> bool {
        let has_answered = |passage: &GivingEnd| passage.0.borrow().has_answer(at);
        self.deadline <= at
            || self.channel.borrow().wakes_successor(at)
            || self.passage.as_ref().is_some_and(has_answered)
    }

    /// Those for the first worker of this slot.
    pub fn ends_of(&mut self, slot: SlotId) -> Vec<TakingEnd> {
        self.ends.get_mut(slot).map(std::mem::take).unwrap_or_default()
    }

    fn told(&mut self, at: Duration) -> Option<Told> {
        let word = self.channel.borrow_mut().be_told(at);
        Some(match word {
            Ok(None) => return None,
            Ok(Some(word)) => self.understand(word),
            Err(()) => Told::Ended,
        })
    }

    fn understand(&mut self, word: Word) -> Told {
        match word {
            Word::Sockets => Told::Sockets,
            Word::Image { octets, connections } => {
                self.image = octets;
                Told::Image { connections }
            }
            Word::Batch(sockets) => {
                self.batch = sockets;
                Told::Batch(self.batch.len())
            }
            Word::Commit { moved, counted } => {
                self.commit = Some((moved, counted));
                Told::Commit
            }
            Word::Abort => Told::Abort(None),
        }
    }

    /// Whether all was handed over before it has given up.
    fn is_committed_after_all(&mut self) -> bool {
        let rest = self.channel.borrow_mut().leave_successor();
        let told: Vec<Told> = rest.into_iter().map(|word| self.understand(word)).collect();
        self.stage == Stage::Prepared && told.contains(&Told::Commit)
    }

    fn pass_on(&self, word: Word, at: Duration) -> Result<(), ()> {
        let Some(passage) = &self.passage else { return Err(()) };
        passage.0.borrow_mut().tell_successor(word, at).map_err(|_| ())
    }

    /// What the worker says of connections that are passed on to it is for the predecessor to hear.
    fn pass_answers_on(&self, at: Duration) {
        let Some(passage) = &self.passage else { return };
        while passage.0.borrow().has_answer(at) {
            let answer = passage.0.borrow_mut().hear(at);
            if let Some(taken @ Heard::Taken(_)) = answer {
                self.channel.borrow_mut().tell_predecessor(taken, at);
            }
        }
    }

    fn pass(&self, passed: Passed) {
        self.channel.borrow_mut().pass(passed);
    }
}

impl Supervisor {
    /// Goes on with taking over, as far as that is possible now; it ends if nothing comes of it.
    pub fn take_over(&mut self, (now, at): (Now, Duration)) {
        let taken = self.take_on((now, at));
        let Some(taking) = &mut self.taking else { return };
        if taken.is_ok() {
            return;
        }
        if taking.is_committed_after_all() {
            self.succeed();
        } else {
            self.has_failed = true;
        }
    }

    fn take_on(&mut self, (now, at): (Now, Duration)) -> Result<(), ()> {
        let Some(taking) = &mut self.taking else { return Ok(()) };
        if self.has_lost_one {
            return Err(());
        }
        taking.pass_answers_on(at);
        let (there, _) = self.crew.waiting();
        if taking.stage == Stage::Starting && there == self.setup.workers {
            taking.stage = Stage::Ready;
            taking.pass(Passed::Ready);
            taking.channel.borrow_mut().tell_predecessor(Heard::Ready, at);
        }
        while let Some(taking) = &mut self.taking {
            let task = match taking.machine.poll() {
                Some(task) => task,
                None => match taking.told(at) {
                    Some(told) => taking.machine.on_told(told).map_err(|_| ())?,
                    None => break,
                },
            };
            match task {
                Task::Read => {
                    assert_eq!(taking.stage, Stage::Ready);
                    taking.stage = Stage::TakingUp;
                    if taking.passage.is_some() {
                        let Successor::Taking { all, .. } = taking.machine else { panic!("it has come") };
                        taking.pass_on(Word::Image { octets: taking.image.clone(), connections: all }, at)?;
                    }
                    let (whole, snapshot) = read(&taking.image);
                    taking.counted.clone_from(&whole.counted);
                    self.crew.take_over(&whole, snapshot, moment(now));
                }
                Task::TakeUp => {}
                Task::Serve => {
                    assert_eq!(taking.stage, Stage::Prepared);
                    self.succeed();
                }
                // The worker that they are passed on to says so.
                Task::Acknowledge(_) => {
                    let batch = std::mem::take(&mut taking.batch);
                    taking.pass_on(Word::Batch(batch), at)?;
                }
                Task::Prepare => panic!("nobody has said that"),
            }
        }
        let Some(taking) = &mut self.taking else { return Ok(()) };
        let (_, ready) = self.crew.waiting();
        if taking.stage == Stage::TakingUp && ready == self.setup.workers {
            taking.stage = Stage::Prepared;
            taking.pass(Passed::Prepared);
            taking.channel.borrow_mut().tell_predecessor(Heard::Prepared, at);
        }
        if at >= taking.deadline { Err(()) } else { Ok(()) }
    }

    fn succeed(&mut self) {
        let taking = self.taking.take().expect("it takes over");
        let (moved, counted) = taking.commit.clone().expect("it was told so");
        let counted = counted.or_else(|| taking.counted.clone()).expect("it is there, one way or the other");
        let counted: Metrics = serde_json::from_str(&counted).expect("it was written so");
        let completed = Handover { is_completed: true, moved, ..Handover::default() };
        self.crew.succeed(Some(&counted), completed);
        taking.pass(Passed::Serve);
        taking.channel.borrow_mut().leave_successor();
        self.crew.settle();
    }
}

fn read(octets: &[u8]) -> (Whole, Snapshot) {
    let mut entries = Reader::new(octets).expect("it is whole");
    let (mut whole, mut snapshot) = (Whole::default(), None);
    while let Some(entry) = entries.next_entry().expect("it is whole") {
        match entry {
            Entry::Whole(said) => whole = *said,
            Entry::Snapshot(octets) => snapshot = Snapshot::decode_handed_over(octets).ok(),
            Entry::Shared(_) | Entry::Connection(_) | Entry::Left(_) => {}
        }
    }
    (whole, snapshot.expect("it is whole"))
}

//! One process without a supervisor that takes over, from one like it or from a supervisor and its workers. It has nothing else to
//! do until everything is its own.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::Heard;
use slackwater::policy::handover::successor::{Task, Told};
use slackwater::server::clock::Now;
use slackwater::wire::metrics::Handover;

use crate::arriving::Part;
use crate::channel::{Channel, Passed, TakingEnd, Word};
use crate::worker::Worker;

/// A predecessor that is there.
#[derive(Debug)]
pub struct TakingAlone {
    /// What the predecessor itself says, and sends.
    own: Part,
    /// What its workers send, if it has any.
    parts: Vec<Part>,
    deadline: Duration,
    commit: Option<(u64, Option<String>)>,
    stage: Stage,
    pub has_failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    /// Its workers' connections are still to come.
    TakingUp,
    Prepared,
}

impl TakingAlone {
    pub fn new(channel: Rc<RefCell<Channel>>, ends: Vec<TakingEnd>, deadline: Duration) -> Self {
        let parts = ends.into_iter().map(Part::new).collect();
        let (own, stage) = (Part::new(TakingEnd(channel)), Stage::Starting);
        Self { own, parts, deadline, commit: None, stage, has_failed: false }
    }

    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub fn is_woken(&self, at: Duration) -> bool {
        let has_come = |part: &Part| part.is_woken(at);
        if self.has_failed {
            return false;
        }
        self.stage == Stage::Starting
            || self.deadline <= at
            || self.own.channel().borrow().wakes_successor(at)
            || self.stage == Stage::TakingUp && self.parts.iter().any(has_come)
    }

    /// Those of its workers.
    pub fn channels(&self) -> impl Iterator<Item = &Rc<RefCell<Channel>>> {
        self.parts.iter().map(Part::channel)
    }

    fn told(&mut self, at: Duration) -> Option<Told> {
        let word = self.own.channel().borrow_mut().be_told(at);
        Some(match word {
            Ok(None) => return None,
            Ok(Some(word)) => self.understand(word),
            Err(()) => Told::Ended,
        })
    }

    fn understand(&mut self, word: Word) -> Told {
        match word {
            Word::Sockets => Told::Sockets,
            Word::Commit { moved, counted } => {
                self.commit = Some((moved, counted));
                Told::Commit
            }
            Word::Abort => Told::Abort(None),
            other => self.own.understand(other),
        }
    }

    /// Whether all was handed over before it has given up.
    fn is_committed_after_all(&mut self) -> bool {
        let rest = self.own.channel().borrow_mut().leave_successor();
        let told: Vec<Told> = rest.into_iter().map(|word| self.understand(word)).collect();
        self.stage == Stage::Prepared && told.contains(&Told::Commit)
    }
}

impl Worker {
    /// Takes over before it does anything else.
    pub fn take_over_first(&mut self, taking: TakingAlone) {
        self.alone = Some(Box::new(taking));
    }

    /// When it gives up taking over, if it does nothing else.
    pub fn takes_over_until(&self) -> Option<Duration> {
        self.alone.as_ref().filter(|taking| !taking.has_failed).map(|taking| taking.deadline())
    }

    /// Goes on with taking over, as far as that is possible now.
    pub fn take_over_alone(&mut self, now: Now) {
        let Some(mut taking) = self.alone.take() else { return };
        match self.take_on(&mut taking, now) {
            Ok(false) => self.alone = Some(taking),
            Ok(true) => self.succeed(*taking),
            Err(()) if taking.is_committed_after_all() => self.succeed(*taking),
            Err(()) => {
                taking.has_failed = true;
                self.alone = Some(taking);
            }
        }
    }

    /// Whether all is its own.
    fn take_on(&mut self, taking: &mut TakingAlone, now: Now) -> Result<bool, ()> {
        let at = self.at;
        if taking.has_failed {
            return Ok(false);
        }
        if taking.stage == Stage::Starting {
            taking.stage = Stage::Ready;
            taking.own.answer(Heard::Ready, at);
            self.passed.push(Passed::Ready);
        }
        loop {
            if taking.stage == Stage::TakingUp {
                taking.parts.iter_mut().try_for_each(|part| part.on_turn(at))?;
                if taking.parts.iter().all(Part::is_whole) {
                    for part in &mut taking.parts {
                        self.take_up(part, now);
                        part.answer(Heard::Prepared, at);
                    }
                    taking.stage = Stage::Prepared;
                    taking.own.answer(Heard::Prepared, at);
                    self.passed.extend([Passed::TakenUp, Passed::Prepared]);
                }
            }
            let task = match taking.own.poll() {
                Some(task) => task,
                None => match taking.told(at) {
                    Some(told) => taking.own.on_told(told)?,
                    None => break,
                },
            };
            match task {
                Task::Read => assert_eq!(taking.stage, Stage::Ready),
                Task::Acknowledge(count) => taking.own.answer(Heard::Taken(count), at),
                Task::TakeUp => {
                    self.take_up(&mut taking.own, now);
                    taking.stage = Stage::TakingUp;
                }
                // While connections come from others, the predecessor itself has nothing to say but that it goes on.
                Task::Serve if taking.stage != Stage::Prepared => return Err(()),
                Task::Serve => return Ok(true),
                Task::Prepare => panic!("nobody has said that"),
            }
        }
        if at >= taking.deadline { Err(()) } else { Ok(false) }
    }

    fn succeed(&mut self, taking: TakingAlone) {
        let (moved, counted) = taking.commit.expect("it was told so");
        taking.parts.into_iter().for_each(|part| part.say_serving(self.at));
        self.server.go_on_counting(counted.as_deref());
        self.server.count_handover(Handover { is_completed: true, moved, ..Handover::default() });
        self.passed.push(Passed::Serve);
        self.is_woken = true;
        self.accepts = true;
    }
}

//! The silence of one worker, and what it means: to be frozen, starved or busy is not the same. Looks at no process: it is
//! told what was seen of one.
//!
//! Killing a worker cuts its clients. For one that waits for its share of the machine, or is at work, that cures nothing:
//! its successor would have to wait, too. So a worker that does something is waited for; one that could and does not is not.

use std::fmt;
use std::time::{Duration, Instant};

/// Processor time that a worker may use without an answer: it does one thing for ever. On a machine that is too busy for
/// all of its workers this takes correspondingly longer.
const BUSY: Duration = Duration::from_secs(60);

/// Between the last look at a silent worker and its end: what has arrived meanwhile is read first.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// What a process was doing when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Waiting for something to happen.
    Sleeping,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Running, or waiting for a processor.
    Runnable,
    /// Waiting for a disk, or for memory that was swapped out.
    Blocked,
}

/// What was seen of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// When it was looked at.
    pub doing: Doing,
    /// Processor time since its start.
    pub worked: Duration,
    /// How often it was woken, and how many pages were brought in for it, since its start: whatever it does adds to this.
    pub stirred: u64,
}

/// What is wrong with a worker that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symptom {
    /// It is stopped.
    Stopped,
    /// It sleeps.
    Sleeping,
    /// It waits for a disk, and has for long.
    Blocked,
    /// It wakes, but has not answered for long.
    Deaf,
    /// It works on and on.
    Busy,
    /// Nobody can tell.
    Unseen,
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => write!(f, "and is stopped"),
            Self::Sleeping => write!(f, "and sleeps, without using any CPU time"),
            Self::Blocked => write!(f, "and waits for a disk or for swapped memory"),
            Self::Deaf => write!(f, "and wakes only to sleep on"),
            Self::Busy => write!(f, "though it has used {} s of CPU time meanwhile", BUSY.as_secs()),
            Self::Unseen => write!(f, "and cannot be looked at in /proc"),
        }
    }
}

/// How many beats a worker may leave unanswered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// While it does nothing at all.
    pub idle: u32,
    /// While it waits for a disk, wakes only to sleep on, or cannot be seen.
    pub dull: u32,
}

/// Since the last sign of life.
#[derive(Debug)]
pub(super) struct Silence {
    was_heard: bool,
    /// Left unanswered in a row.
    beats: u32,
    /// So many of these are excused: up to there it was seen to work, or to wait for the machine.
    excused: u32,
    /// Looks in a row that neither excuse it nor show that it is frozen.
    dull: u32,
    first: Option<Sight>,
    last: Option<Sight>,
    verdict: Option<(Instant, Symptom)>,
}

impl Silence {
    /// There is none yet.
    pub(super) fn new() -> Self {
        Self { was_heard: true, beats: 0, excused: 0, dull: 0, first: None, last: None, verdict: None }
    }

    /// A sign of life.
    pub(super) fn end(&mut self) {
        *self = Self::new();
    }

    /// Another sign of life is asked for. Whether the last one has not come, and is to be explained.
    pub(super) fn on_beat(&mut self) -> bool {
        self.beats = if std::mem::take(&mut self.was_heard) { 0 } else { self.beats + 1 };
        self.is_unexplained()
    }

    /// Whether something was asked and is not answered.
    fn is_unexplained(&self) -> bool {
        self.beats > 0
    }

    /// The process was looked at, as far as that was possible.
    pub(super) fn on_seen(&mut self, sight: Option<Sight>, bounds: Bounds, now: Instant) {
        if !self.is_unexplained() {
            return;
        }
        let work = |sight: Sight| (sight.worked, sight.stirred);
        let has_worked = sight.zip(self.last).is_some_and(|(sight, last)| work(sight) != work(last));
        let doing = sight.map(|sight| sight.doing);
        let is_dull = match doing {
            Some(Doing::Runnable) => false,
            None | Some(Doing::Blocked) => !has_worked,
            Some(Doing::Sleeping | Doing::Stopped) => has_worked,
        };
        self.dull = if is_dull { self.dull + 1 } else { 0 };
        if has_worked || !matches!(doing, Some(Doing::Sleeping | Doing::Stopped)) {
            self.excused = self.beats;
        }
        self.first = self.first.or(sight);
        self.last = sight.or(self.last);
        let symptom = self.symptom(doing, bounds);
        self.verdict = symptom.map(|symptom| self.verdict.unwrap_or((now + LAST_CHANCE, symptom)));
    }

    /// No verdict is valid any more. Whether there is something to be explained by another look.
    pub(super) fn reconsider(&mut self) -> bool {
        self.verdict = None;
        self.is_unexplained()
    }

    /// When the verdict falls, if nothing is heard before, and which.
    pub(super) fn verdict(&self) -> Option<(Instant, Symptom)> {
        self.verdict
    }

    fn symptom(&self, doing: Option<Doing>, bounds: Bounds) -> Option<Symptom> {
        let worked = self.first.zip(self.last).map(|(first, last)| last.worked.saturating_sub(first.worked));
        if worked.is_some_and(|worked| worked >= BUSY) {
            return Some(Symptom::Busy);
        }
        if self.dull >= bounds.dull {
            return Some(match doing {
                None => Symptom::Unseen,
                Some(Doing::Blocked) => Symptom::Blocked,
                Some(_) => Symptom::Deaf,
            });
        }
        let is_idle = self.beats - self.excused >= bounds.idle;
        is_idle.then_some(if doing == Some(Doing::Stopped) { Symptom::Stopped } else { Symptom::Sleeping })
    }
}

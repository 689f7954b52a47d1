//! The supervisor's half of handing over: what its workers say about it, and what is put off meanwhile.

use super::publications::Publications;
use super::{Relay, WorkerEvent};
use crate::policy::handover::crew::Said;
use crate::policy::roster::WorkerId;
use crate::policy::sequencer::Position;
use crate::server::clock::Now;
use crate::server::order::ledger::Ledger;
use crate::server::socket::Socket;
use crate::wire::link::{ToSupervisor, ToWorker};
use crate::wire::snapshot::Snapshot;

/// What is not done for now.
#[derive(Debug, Default)]
pub(super) struct Pause {
    inherits: Inherits,
    /// The engine has still to say what it holds.
    pub(super) awaits_engine: bool,
    /// Nobody may serve who does not yet.
    pub(super) admits_nobody: bool,
    /// Nothing is positioned, and what was asked is answered later.
    pub(super) questions: Option<Vec<(WorkerId, ToSupervisor)>>,
}

/// What is still to come of a predecessor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inherits {
    #[default]
    Nothing,
    /// The connections that its workers had.
    Connections,
    /// The history, too: nobody is told one.
    All,
}

impl Pause {
    /// Whether it is not known yet with what to begin.
    pub(super) fn awaits_history(&self) -> bool {
        self.inherits == Inherits::All || self.awaits_engine
    }

    /// Whether the engine is listened to: not while everything is handed over, nor before all connections have come. Who was connected
    /// has heard the predecessor's history, and is taken to have heard what its new worker has.
    pub(super) fn hears_engine(&self) -> bool {
        self.inherits == Inherits::Nothing && self.questions.is_none()
    }
}

impl<S: Socket> Relay<S> {
    /// Workers that are started now take up a predecessor's connections: they hear its history once it has come, and serve
    /// once they are told to.
    pub fn await_history(&mut self) {
        (self.pause.inherits, self.pause.admits_nobody) = (Inherits::All, true);
    }

    /// The history has come.
    pub fn begin_history(&mut self) {
        self.pause.inherits = Inherits::Connections;
    }

    /// Lets nobody serve who does not yet, until `let_serve`.
    pub fn admit_nobody(&mut self) {
        self.pause.admits_nobody = true;
    }

    /// Tells all that could serve to do so.
    pub fn let_serve(&mut self, now: Now) {
        (self.pause.inherits, self.pause.admits_nobody) = (Inherits::Nothing, false);
        let ready = self.members.iter_mut().filter(|(_, member)| member.is_ready);
        for (id, member) in ready {
            member.is_ready = false;
            self.since_unix_ms.get_or_insert(now.wall.as_millisecond());
            member.link.send(&ToWorker::Serve);
            self.events.push((*id, WorkerEvent::Ready));
        }
    }

    /// How many have said that they are there, and how many that they could serve.
    pub fn waiting(&self) -> (usize, usize) {
        let count =
            |is: fn(&super::Member<S>) -> bool| self.members.values().filter(|member| is(member)).count();
        (count(|member| member.is_there), count(|member| member.is_ready))
    }

    /// Connections that those have taken up who could serve.
    pub fn taken_up(&self) -> u64 {
        self.members.values().filter(|member| member.is_ready).map(|member| member.taken_up).sum()
    }

    /// What a successor needs to go on in the same epoch.
    pub fn snapshot(&mut self, now: Now) -> Snapshot {
        debug_assert!(self.is_closed, "what is published later would be missing");
        self.picture(now)
    }

    /// How everything stands. The answers to keys are the engine's to keep, where there is one.
    fn picture(&mut self, now: Now) -> Snapshot {
        self.publications.forget_old(now);
        let line = self.publications.line();
        match self.sharing {
            Some(_) => Ledger::new(line.epochs().epoch(), line.newest()).snapshot(line, now),
            None => self.order.snapshot(line, now),
        }
    }

    /// Goes on where a predecessor stopped. There must be no workers yet.
    pub fn restore(&mut self, snapshot: Snapshot, now: Now) {
        let (order, line) = Ledger::restore(snapshot, self.limits, now);
        self.sharing.iter_mut().for_each(|sharing| sharing.engine.go_on_behind(line.newest_id()));
        self.pause.awaits_engine = false;
        (self.order, self.publications) = (order, Publications::new(line));
    }

    /// From here on nothing is positioned; what was is handed on, and then all of these hear that they are to move.
    pub fn cut_off(&mut self, workers: &[WorkerId], word: &ToWorker<'_>) {
        self.pause.questions.get_or_insert_default();
        self.hand_on();
        workers.iter().for_each(|id| self.tell(*id, word));
    }

    /// How everything stands that was published; nothing is positioned.
    pub fn snapshot_at_cut(&mut self, now: Now) -> Snapshot {
        debug_assert!(self.pause.questions.is_some(), "what is published later would be missing");
        self.picture(now)
    }

    /// All goes on here: what was asked meanwhile is answered, and who could serve does.
    pub fn go_on(&mut self, now: Now) {
        let questions = self.pause.questions.take();
        questions.into_iter().flatten().for_each(|(id, question)| self.on_message(id, question, now));
        self.let_serve(now);
    }

    /// All is another process's: what was asked meanwhile is refused.
    pub fn part(&mut self, now: Now) {
        self.is_closed = true;
        let questions = self.pause.questions.take();
        questions.into_iter().flatten().for_each(|(id, question)| self.on_message(id, question, now));
    }

    /// Periodic notifications so far, and the position before the first that was given since this server began to count.
    pub fn counted_publications(&self) -> (u64, Position) {
        match &self.sharing {
            Some(sharing) => (0, self.publications.line().newest().saturating_sub(sharing.heard)),
            None => self.order.counted(),
        }
    }

    /// Goes on counting those from there.
    pub fn go_on_counting_publications(&mut self, notifications: u64, begun: Position) {
        match &mut self.sharing {
            Some(sharing) => sharing.heard = self.publications.line().newest().saturating_sub(begun),
            None => self.order.go_on_counting(notifications, begun),
        }
    }

    /// Puts a question off; gives back what is none, or is to be answered now.
    pub(super) fn put_off(&mut self, id: WorkerId, message: ToSupervisor) -> Option<ToSupervisor> {
        let is_question = matches!(
            message,
            ToSupervisor::Publish(_) | ToSupervisor::Sync | ToSupervisor::Overview | ToSupervisor::Inquire(_)
        );
        match &mut self.pause.questions {
            Some(questions) if is_question => {
                questions.push((id, message));
                None
            }
            _ => Some(message),
        }
    }

    /// Hears how far handing over is.
    pub(super) fn on_said(&mut self, id: WorkerId, message: ToSupervisor) {
        let said = match message {
            ToSupervisor::WoundUp => Said::WoundUp,
            ToSupervisor::Held => Said::Held,
            ToSupervisor::Moved { moved, stayed } => Said::Moved { moved, stayed },
            ToSupervisor::NotMoved(why) => Said::NotMoved(why),
            _ => return,
        };
        self.events.push((id, WorkerEvent::Said(said)));
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;

//! How a server leaves: step by step as its drain says, and in the manner that the supervisor says, if it has one.

use std::io;
use std::time::Duration;

use log::{Level, log};

use super::Server;
use crate::policy::deadlines::Due;
use crate::policy::drain::{Outcome, Situation, Step};
use crate::server::peers::upstream::Instruction;
use crate::server::routes::Door;

/// What whoever runs a server may watch.
#[derive(Debug)]
pub enum Watched<'a> {
    /// What it does next.
    Step(&'a Step),
    /// At the end of a turn.
    Turn {
        /// Clients that are left.
        clients: usize,
        /// Until the patience runs out.
        remaining: Duration,
    },
    /// Memory was freed, which the allocator may still keep.
    Shrunk,
}

/// How a server leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// With all there is of it.
    Whole,
    /// As one worker, while others serve. Who waits to be accepted is accepted by another, unless it `is_last`.
    Alone { is_last: bool },
}

impl Server {
    /// Does what the supervisor asks. To be asked to leave again changes at most the manner.
    pub(super) fn follow(&mut self, instruction: Instruction) -> io::Result<()> {
        let is_leaving = self.drain.is_leaving();
        match instruction {
            Instruction::Serve => self.serve()?,
            Instruction::Close => {
                self.peers.leave(self.now, false);
                self.close_doors();
            }
            Instruction::Leave if is_leaving => self.peers.leave(self.now, false),
            Instruction::StepDown { .. } if is_leaving => {}
            Instruction::Leave => self.drain.signal(self.now.instant),
            Instruction::StepDown { is_last } => {
                self.manner = Manner::Alone { is_last };
                self.drain.signal(self.now.instant);
            }
            Instruction::Insist => self.drain.insist(self.now.instant),
        }
        Ok(())
    }

    /// Takes the steps of the drain that are due.
    pub(super) fn advance(&mut self, watch: &mut impl FnMut(Watched<'_>)) -> Option<Outcome> {
        while let Some(step) = self.next_step() {
            log!(if step.is_warning() { Level::Warn } else { Level::Info }, "{step}");
            watch(Watched::Step(&step));
            match step {
                Step::Initiated => self.stop_accepting(),
                Step::TimedOut { .. } | Step::Insisted { .. } => self.peers.say_farewell(self.now),
                Step::Complete(outcome) => {
                    self.peers.tell_last_metrics(self.now);
                    return Some(outcome);
                }
                Step::SignalReceived => {
                    let limit = self.drain.limit().unwrap_or(self.now.instant);
                    self.peers.announce_drain(self.now, limit);
                }
                Step::Armed | Step::Waiting { .. } | Step::AllClosed => {}
            }
        }
        if let Some(limit) = self.drain.limit() {
            let remaining = limit.saturating_duration_since(self.now.instant);
            watch(Watched::Turn { clients: self.peers.clients(), remaining });
        }
        None
    }

    fn next_step(&mut self) -> Option<Step> {
        let clients = self.peers.clients();
        let owes_answers = clients == 0 && self.drain.is_leaving() && self.peers.owes_answers();
        // From here on another worker lets operators in, or it is all over.
        if owes_answers && let Some(admin) = self.admin.take_if(|_| self.peers.has_supervisor()) {
            admin.close(self.poll.registry());
        }
        if self.drain.is_about_to_end(self.now.instant) && self.peers.take_on(self.now) {
            self.drain.on_taken(self.now.instant);
        }
        let situation =
            Situation { connections: clients, owes_answers, bytes_taken: self.peers.bytes_taken() };
        self.drain.poll(self.now.instant, situation)
    }

    /// Leaves its state to a successor and then frees the port for it; says nothing more unasked.
    fn stop_accepting(&mut self) {
        self.peers.leave(self.now, self.manner != Manner::Whole);
        self.peers.guide(self.now, self.drain.limit().unwrap_or(self.now.instant));
        if let Some(file) = &self.state_file
            && let Some(snapshot) = self.peers.snapshot(self.now)
        {
            file.leave_behind(&snapshot);
        }
        self.close_doors();
        self.deadlines.set(Due::Notify, None);
    }

    /// Listens no more. Who waits to be accepted is taken in first, as closing the listener would reset them, unless
    /// another worker accepts them.
    fn close_doors(&mut self) {
        if let Some(listener) = &mut self.listener
            && self.manner != (Manner::Alone { is_last: false })
        {
            listener.has_waiting = true;
            // All who wait now; whoever goes on coming finds the port closed.
            self.accept(Door::Public, self.backlog + 1);
            // Whoever has asked already is owed an answer, and the drain is about to look.
            self.peers.read_newcomers(self.now);
        }
        let admin = self.admin.take_if(|_| self.manner != Manner::Whole);
        for listener in self.listener.take().into_iter().chain(admin) {
            listener.close(self.poll.registry());
        }
        self.standby = None;
        self.deadlines.set(Due::Accept, None);
        self.peers.tell_closed();
    }
}

//! What befalls an engine and the machines that use it.

use std::time::Duration;

use slackwater::policy::engine::step::Line;

use crate::ear::Id;
use crate::fleet::Fleet;
use crate::fleet::engine::{Left, Replaced};
use crate::pipe::Side;

#[derive(Debug, Clone, Copy)]
pub enum Mishap {
    /// The engine is killed, is gone for so long, and comes back with this.
    Restart(Left, Duration),
    /// Its replica, which has lagged behind so far, becomes the master.
    FailOver(Replaced),
    /// It does nothing for so long (SIGSTOP).
    Stop(Duration),
    /// What is on its way to or from a machine arrives only after so long.
    HoldUp(Side, Duration),
    /// What is published reaches no machine for so long, or not this one, while answers do.
    Deafen(Option<usize>, Duration),
    /// One of its connections is cut.
    CutOne,
    /// Both of one machine are.
    CutBoth,
    /// Nobody can connect for so long, and nobody is connected.
    Unreachable(Duration),
    /// `FLUSHALL`.
    Flush,
    /// It is put back in the state that it was in so many changes ago, and does not start again for that.
    SetBack(usize),
    /// The key of the stream is evicted, and nothing else.
    Evict,
    /// `XTRIM` to so few entries.
    Trim(usize),
    /// It refuses what would be written (`OOM`).
    Full(Duration),
    /// A machine is killed, and another in its place starts after so long.
    MachineDies(Duration),
    /// A worker of some machine is killed, if one serves: of one that never has, another would not be started.
    WorkerDies,
    /// A machine is stopped for so long.
    MachineStops(Duration),
}

impl Fleet {
    pub fn befall(&mut self, mishap: Mishap) {
        let at = self.now;
        // Shown where a test fails.
        println!("{at:?}: {mishap:?}");
        match mishap {
            Mishap::Restart(left, gone) => self.engine.restart(left, gone, at),
            Mishap::FailOver(old) => self.engine.fail_over(old, at),
            Mishap::Stop(lasts) => self.engine.master().stopped_until = at + lasts,
            Mishap::HoldUp(toward, lasts) => {
                let machine = self.random.below(self.machines.len());
                for connection in &self.engine.master().connections {
                    if connection.machine == machine {
                        connection.pipe.borrow_mut().hold_toward(toward, at + lasts);
                    }
                }
            }
            Mishap::Deafen(machine, lasts) => {
                for connection in &self.engine.master().connections {
                    if connection.line == Line::Reader && machine.is_none_or(|it| it == connection.machine) {
                        connection.pipe.borrow_mut().hold_toward(Side::Supervisor, at + lasts);
                    }
                }
            }
            Mishap::CutOne => self.engine.cut_some(None),
            Mishap::CutBoth => {
                let machine = self.random.below(self.machines.len());
                self.engine.cut_some(Some(machine));
            }
            Mishap::Unreachable(lasts) => {
                self.engine.cut_all(self.engine.master);
                self.engine.is_down_until = at + lasts;
            }
            Mishap::Flush => self.engine.master().change(|store| *store = Default::default(), at),
            Mishap::SetBack(changes) => {
                self.engine.chronicle.repeats = true;
                let earlier = self.engine.master().earlier(changes);
                self.engine.master().change(|store| *store = earlier, at);
            }
            Mishap::Evict => self.engine.master().change(|store| store.stream = None, at),
            Mishap::Trim(left) => {
                let trim =
                    |entries: &mut Vec<(Id, _)>| drop(entries.drain(..entries.len().saturating_sub(left)));
                self.engine
                    .master()
                    .change(|store| store.stream.iter_mut().for_each(|stream| trim(&mut stream.entries)), at);
            }
            Mishap::Full(lasts) => self.engine.master().is_full_until = at + lasts,
            Mishap::MachineDies(gone) => {
                let machine = self.random.below(self.machines.len());
                self.kill(machine, gone);
            }
            Mishap::WorkerDies => {
                let machine = self.random.below(self.machines.len());
                if let Some(machine) = &mut self.machines[machine]
                    && let Some(process) = machine.processes.first()
                    && process.link.is_some()
                    && process.serves()
                {
                    let id = process.id;
                    machine.kill(id);
                }
            }
            Mishap::MachineStops(lasts) => {
                let machine = self.random.below(self.machines.len());
                self.machines[machine].iter_mut().for_each(|machine| machine.stopped_until = at + lasts);
            }
        }
    }
}

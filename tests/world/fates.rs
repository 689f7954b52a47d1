//! What happens to the server that serves, and to its processes.

use std::time::Duration;

use slackwater::policy::roster::WorkerId;
use slackwater::process::crew::Signal;
use slackwater::server::control::Control;

use crate::pipe::Side;
use crate::succession::Blow;
use crate::world::World;

#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// A worker is killed.
    Killed,
    /// A worker takes nothing for so long.
    Frozen(Duration),
    /// A worker is sent a signal to leave.
    Signalled,
    Grow,
    Shrink,
    /// The whole server is told to leave, and a successor goes on with its state.
    Redeployed,
    /// Its only process hands over to another one, if nobody is in the midst of a request or on the way out.
    HandedOver,
    /// Its supervisor begins to hand over to another one.
    Succeeded,
    /// The same, and meanwhile something befalls one of those who take part.
    Struck,
    /// What a worker says, or what it is told, is cut off for good.
    Severed,
    /// Those that leave are told so again: at once.
    Insisted,
    /// Its first process is killed, and another server begins anew.
    Crashed,
}

impl World {
    pub fn fulfil_fates(&mut self) {
        while let Some((_, fate)) = self.fates.pop_if(|(at, _)| *at <= self.now) {
            self.fulfil(fate);
        }
    }

    pub fn fulfil(&mut self, fate: Fate) {
        match fate {
            Fate::Killed => {
                if let Some(id) = self.choose() {
                    self.reign().kill(id);
                }
            }
            Fate::Frozen(duration) => {
                let until = self.now + duration;
                if let Some(id) = self.choose() {
                    self.worker(id).frozen_until = until;
                }
            }
            Fate::Signalled => {
                if let Some(id) = self.choose() {
                    self.worker(id).signal(Control::Leave("SIGTERM"));
                }
            }
            Fate::Grow => self.reign().signal(Signal::Grow),
            Fate::Shrink => self.reign().signal(Signal::Shrink),
            Fate::Redeployed => self.reign().signal(Signal::Leave("SIGTERM")),
            Fate::HandedOver => {
                let (setup, now) = (self.setup.clone(), self.clock());
                let is_done = self.reign().workers.iter_mut().all(|worker| worker.hand_over(&setup, now));
                self.handovers[usize::from(is_done)] += 1;
            }
            Fate::Succeeded => {
                let workers = self.random.within(0..4);
                self.begin_succession(workers, None);
            }
            Fate::Struck => {
                let (workers, blow) = (self.random.within(0..4), Blow::draw(&mut self.random));
                self.begin_succession(workers, Some(blow));
            }
            Fate::Severed => {
                let side = self.random.pick(&[Side::Supervisor, Side::Worker]);
                if let Some(id) = self.choose() {
                    let place = self.worker(id).place;
                    self.severed.push((place, self.now));
                    self.worker(id).link().break_at(side);
                }
            }
            Fate::Insisted => {
                let (_, leaving) = self.reigns.split_last_mut().expect("one serves");
                leaving.iter_mut().for_each(|reign| reign.signal(Signal::Leave("SIGTERM")));
            }
            Fate::Crashed => {
                let reign = self.reigns.pop().expect("one serves");
                self.crashed.insert(reign.number, self.now);
                let succession = self.succession.iter().filter(|it| it.from == reign.number);
                succession.for_each(|it| it.channel.borrow_mut().leave_predecessor());
                self.orphan(reign.crash());
                self.begin(None);
            }
        }
    }

    /// One of the workers, if any has served: until then, one that fails is the end of it all.
    fn choose(&mut self) -> Option<WorkerId> {
        let chosen = self.random.below(8);
        let reign = self.reign();
        let has_begun = reign.supervisors().any(|supervisor| supervisor.has_begun);
        let nth = chosen.checked_rem(reign.workers.len()).filter(|_| has_begun)?;
        Some(reign.workers[nth].place.id)
    }
}

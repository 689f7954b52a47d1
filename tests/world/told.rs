//! How drawn worlds come to an end, how they are judged, and what many of them have told.

use std::ops::Range;
use std::time::Duration;

use slackwater::policy::history::HistoryLimits;

use crate::draw::Lot;
use crate::ear::Id;
use crate::publisher::{Published, Publisher};
use crate::random::Random;
use crate::verdict::{Entry, Record, Tally};
use crate::worker::Worker;
use crate::world::World;
use crate::{asked_seed, for_each_seed};

#[derive(Debug, Default)]
pub struct Told {
    pub tally: Tally,
    pub published: Published,
    /// Came with an id that their worker had not been told of.
    pub ahead: usize,
    pub kills: usize,
    pub starts: usize,
    pub redeployments: usize,
    pub crashes: usize,
    /// Given up, and not.
    pub handovers: [usize; 2],
    /// Subscribers that have moved from supervisor to supervisor.
    pub moved: usize,
    pub blows: usize,
}

/// What one world after another has told.
pub fn told_by(
    seeds: Range<u64>,
    lot: &Lot,
    mut draw_history: impl FnMut(&mut Random) -> HistoryLimits,
) -> Told {
    let mut told = Told::default();
    for_each_seed(seeds, |seed| {
        let mut random = Random::new(seed);
        let history = draw_history(&mut random);
        let mut world = lot.draw(random, history);
        world.run_until(Duration::from_millis(lot.millis as u64));
        told.end(world);
    });
    told
}

impl Told {
    /// Fails if this does not hold, unless only one seed was asked for.
    pub fn assert_enough(&self, has_all: bool) {
        assert!(has_all || asked_seed().is_some(), "too little happened: {self:?}");
    }

    /// Lets everybody behave and everything through, waits until all is calm, lets them go, and judges.
    pub fn end(&mut self, mut world: World) {
        for publisher in &mut world.publishers {
            publisher.has_finished = true;
            publisher.next_act = publisher.next_act.min(world.now);
        }
        for subscriber in &mut world.subscribers {
            subscriber.settle_down(world.now);
        }
        world.run_for(Duration::from_millis(500));
        world.let_everything_through();
        world.run_while(|world| !world.fates.is_empty() || !world.is_settled());
        world.reigns.iter_mut().for_each(|reign| reign.notify_every(None));
        world.calm_down();
        assert!(world.publishers.iter().all(Publisher::is_done), "{:?}", world.publishers);
        let [reign] = world.reigns.as_slice() else { panic!("old servers stay") };
        let newest = world.truth.newest(reign.epoch);
        for worker in &reign.workers {
            assert_eq!((worker.place.epoch, worker.newest), (reign.epoch, newest), "it has not heard all");
        }
        let clients: usize = reign.workers.iter().map(|worker| worker.server.clients()).sum();
        assert_eq!(reign.clients(), clients);
        let compressed = world.ask_for_compressed();
        world.reigns[0].workers.iter().for_each(Worker::audit_history);
        for subscriber in &mut world.subscribers {
            assert!(subscriber.is_settled(), "{subscriber:?}");
            subscriber.leave(newest, world.now);
        }
        world.workers().for_each(|worker| worker.dismiss_witness());
        world.run_while(|world| !world.is_deserted());
        self.judge(&world);
        world.audit(compressed, &mut self.tally);
    }

    fn judge(&mut self, world: &World) {
        for subscriber in &world.subscribers {
            assert!(subscriber.visit.is_none());
            for record in &subscriber.records {
                record.judge(&world.truth, &mut self.tally);
                assert_welcomed_up_to_date(record, world);
            }
        }
        for publisher in world.publishers.iter().filter(|_| world.severed.is_empty()) {
            publisher.judge(&world.truth, &world.crashed, &mut self.published);
        }
        for supervisor in world.reigns[0].supervisors() {
            self.kills += supervisor.kills;
            self.starts += supervisor.starts;
        }
        self.ahead += world.ahead;
        (0..2).for_each(|nth| self.handovers[nth] += world.handovers[nth]);
        (self.moved, self.blows) = (self.moved + world.moved, self.blows + world.blows);
        self.crashes += world.crashed.len();
        self.redeployments += world.reigns_so_far - 1 - world.crashed.len() - world.successors;
        self.tally.publications += world.truth.all().count();
    }
}

/// Whoever comes with an id is welcomed by somebody who knows of it, unless nobody is left who could tell.
fn assert_welcomed_up_to_date(record: &Record, world: &World) {
    let (Some(Entry::Welcome { last, .. }) | Some(Entry::Gap(last))) =
        record.entries.iter().find(|entry| !matches!(entry, Entry::Primed(None)))
    else {
        return;
    };
    let Some(asked) = record.asked.as_deref().and_then(Id::read) else { return };
    let is_known = asked.epoch == last.epoch && world.truth.get(asked).is_some();
    let severed = world.severed.iter().filter(|(place, _)| *place == record.place).map(|(_, at)| at);
    let is_orphan =
        world.crashed.get(&record.place.reign).into_iter().chain(severed).any(|at| *at <= record.at);
    assert!(!is_known || is_orphan || asked <= *last, "it was not told of {asked}: {record:?}");
}

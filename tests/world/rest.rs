//! When a world rests, until when it sleeps, and whether nothing more is to come. What happens in a turn is `world`'s.

use std::time::Duration;

use crate::crowd::Crowd;
use crate::publisher::Publisher;
use crate::reign::Reign;
use crate::subscriber::Subscriber;
use crate::supervisor::Supervisor;
use crate::worker::Worker;
use crate::world::World;

/// Turns without sleep after which nothing more can be in the way of coming to rest.
const LIVELOCK_TURNS: usize = 40_000;

impl World {
    /// A turn takes its time.
    pub fn tick(&mut self) {
        self.now += Duration::from_micros(self.random.within(20..400) as u64);
    }

    /// Behind a turn all sleep until the next moment at which something happens, but no longer than this.
    pub fn sleep(&mut self, end: Duration) {
        self.tick();
        if !self.is_at_rest() {
            self.busy_turns += 1;
            assert!(self.busy_turns < LIVELOCK_TURNS, "it never comes to rest");
            return;
        }
        self.busy_turns = 0;
        self.judge(Crowd::judge_at_rest);
        let at = self.now;
        let can_connect = self.reigns.iter().flat_map(|reign| &reign.workers).any(|worker| worker.accepts);
        let awake_workers = || self.workers().filter(|worker| worker.frozen_until <= at);
        let of_workers = awake_workers().map(Worker::next_time);
        let supervisors = || self.all_reigns().flat_map(Reign::supervisors);
        let awake = || supervisors().filter(|supervisor| supervisor.frozen_until <= at);
        let of_supervisors = awake().map(Supervisor::next_time);
        let subscribers = self.subscribers.iter().filter(|s| can_connect || s.visit.is_some());
        let publishers = self.publishers.iter().filter(|p| can_connect || !p.wants_to_connect(at));
        let next = (of_workers.chain(of_supervisors).flatten().map(|wakes_at| wakes_at - self.base))
            .chain(self.workers().map(|worker| worker.frozen_until).filter(|until| *until > at))
            .chain(awake_workers().filter_map(Worker::takes_over_until))
            .chain(awake_workers().filter_map(Worker::held_until))
            .chain(
                self.workers().flat_map(Worker::channels).filter_map(|channel| channel.borrow().next_time()),
            )
            .chain(awake().filter_map(Supervisor::next_deadline))
            .chain(supervisors().map(|supervisor| supervisor.frozen_until).filter(|until| *until > at))
            .chain(self.next_of_succession())
            .chain(self.pipes().filter_map(|pipe| pipe.borrow().next_time()))
            .chain(subscribers.map(Subscriber::next_time))
            .chain(publishers.map(Publisher::next_time))
            .chain(self.crowd.next_time())
            .chain(self.fates.last().map(|(at, _)| *at))
            .min();
        self.now = self.now.max(next.unwrap_or(end).min(end));
    }

    /// Whether every process would sleep, and no event would wake it.
    pub fn is_at_rest(&self) -> bool {
        let now = self.base + self.now;
        let is_asleep = |worker: &Worker| worker.frozen_until > self.now || !worker.is_awake((now, self.now));
        let rests = |supervisor: &Supervisor| {
            supervisor.frozen_until > self.now || !supervisor.is_awake((now, self.now))
        };
        self.workers().all(is_asleep)
            && self.all_reigns().flat_map(Reign::supervisors).all(rests)
            && self.succession.as_ref().is_none_or(|succession| !succession.is_awake(self.now))
    }

    /// Whether only the last reign is left and whole, and all clients have what they want.
    pub fn is_settled(&self) -> bool {
        let ([reign], true) = (self.reigns.as_slice(), self.orphans.is_empty()) else { return false };
        let goes_on = |worker: &Worker| !worker.server.is_leaving() && !worker.server.is_held();
        let stays = |worker: &Worker| goes_on(worker) && worker.frozen_until <= self.now;
        self.is_at_rest()
            && self.succession.is_none()
            && reign.is_whole()
            && reign.workers.iter().all(stays)
            && reign.supervisors().all(|supervisor| supervisor.frozen_until <= self.now)
            && self.publishers.iter().all(Publisher::is_done)
            && self.subscribers.iter().all(Subscriber::is_settled)
    }

    /// Whether nobody is connected to anybody, and every process knows.
    pub fn is_deserted(&self) -> bool {
        self.is_at_rest()
            && self.workers().all(Worker::is_deserted)
            && self.reigns.iter().all(|reign| reign.clients() == 0)
    }
}

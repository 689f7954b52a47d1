//! Hundreds of seeded worlds in which several workers serve under a supervisor, over virtual sockets that deliver late
//! and in pieces: workers are killed, frozen, replaced and told to leave, supervisors are redeployed or crash, clients are
//! cut off and come back to any worker. Everyone hears every publication once, in one order. A seed that fails is
//! printed; `SIMULATION_SEED=42 cargo test --test relay` runs that one alone.

#[path = "world/ear.rs"]
#[allow(dead_code)]
mod ear;
#[path = "relay/leaving.rs"]
mod leaving;
#[path = "relay/links.rs"]
mod links;
#[path = "world/pipe.rs"]
mod pipe;
#[path = "relay/publisher.rs"]
mod publisher;
#[path = "world/random.rs"]
#[allow(dead_code)] // Shared with the other simulations.
mod random;
#[path = "relay/reign.rs"]
mod reign;
#[path = "world/socket.rs"]
#[allow(dead_code)]
mod socket;
#[path = "world/speech.rs"]
#[allow(dead_code)]
mod speech;
#[path = "world/spin.rs"]
mod spin;
#[path = "relay/stories.rs"]
mod stories;
#[path = "world/subscriber.rs"]
#[allow(dead_code)]
mod subscriber;
#[path = "world/truth.rs"]
#[allow(dead_code)]
mod truth;
#[path = "world/verdict.rs"]
#[allow(dead_code)]
mod verdict;
#[path = "relay/worker.rs"]
mod worker;
#[path = "relay/world.rs"]
mod world;

use std::ops::Range;
use std::time::Duration;

use slackwater::http::access::Access;
use slackwater::policy::history::HistoryLimits;
use slackwater::server::limits::Limits;
use slackwater::server::terms::{Service, Terms};
use slackwater::wire::websocket::Rules;

use crate::ear::Id;
use crate::pipe::Pace;
use crate::publisher::{Published, Publisher};
use crate::random::Random;
use crate::reign::Custom;
use crate::subscriber::Subscriber;
use crate::verdict::{Entry, Record, Tally};
use crate::world::{Fate, World};

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps everything.
const GENEROUS: HistoryLimits = HistoryLimits { publications: 1_000_000, bytes: 1 << 30, age: HOUR };

/// What many worlds have told.
#[derive(Debug, Default)]
struct Told {
    tally: Tally,
    published: Published,
    /// Came with an id that their worker had not been told of.
    ahead: usize,
    kills: usize,
    starts: usize,
}

fn for_each_seed(seeds: Range<u64>, mut story: impl FnMut(u64)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("This was seed {0}. Again: SIMULATION_SEED={0} cargo test --test relay", self.0);
            }
        }
    }
    for seed in asked_seed().map_or(seeds, |seed| seed..seed + 1) {
        let _named = Named(seed);
        story(seed);
    }
}

fn asked_seed() -> Option<u64> {
    std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse().expect("a number"))
}

fn custom(limits: Limits, history: HistoryLimits) -> Custom {
    let terms = Terms {
        service: Service::Notifications,
        limits,
        concurrency: None,
        epoch: 0,
        history,
        reconnect: None,
        access: Access::on_this_machine("x"),
        operators: None,
        max_publish_bytes: 1 << 20,
    };
    let (healthcheck, patience) = (Duration::from_secs(1), Duration::from_secs(1));
    Custom { terms, healthcheck, drain_delay: Duration::ZERO, patience, notify_interval: None, pace: None }
}

/// A world in which much happens within a second.
fn draw_world(mut random: Random, history: HistoryLimits, fates: &[Fate]) -> World {
    let limits = Limits {
        handshake: random.millis(1000..5000),
        keep_alive: random.millis(500..5000),
        ping_interval: random.chance(20).then(|| random.millis(1000..5000)),
        ping_timeout: None,
        write: random.millis(500..3000),
        outbox_bytes: random.pick(&[5000, 100_000, 1 << 20]),
        rules: Rules { max_message_bytes: 1000, binary: false },
    };
    let mut custom = custom(limits, history);
    custom.healthcheck = random.millis(500..2000);
    custom.patience = random.millis(0..1500);
    custom.notify_interval = random.chance(60).then(|| random.millis(50..800));
    custom.pace = random.chance(10).then_some(Pace::PROMPT);
    let count = random.within(1..5);
    let mut world = World::new(random.fork(), custom, count);
    for _ in 0..random.within(1..6) {
        let comes_at = random.millis(0..400);
        world.subscribers.push(Subscriber::new(random.fork(), comes_at));
    }
    let largest = random.pick(&[10, 300, 3000, 20_000]);
    for number in 0..random.within(1..4) {
        world.publishers.push(Publisher::new(random.fork(), number as u64, largest));
    }
    for _ in 0..random.pick(&[0, 1, 2, 3, 4]) {
        let fate = random.pick(fates);
        world.fates.push((random.millis(50..950), fate));
    }
    world.fates.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    world
}

/// Lets everybody behave and everything through, waits until all is calm, lets them go, and judges.
fn end(mut world: World, told: &mut Told) {
    for publisher in &mut world.publishers {
        publisher.has_finished = true;
        publisher.next_act = publisher.next_act.min(world.now);
    }
    for subscriber in &mut world.subscribers {
        subscriber.settle_down(world.now);
    }
    world.run_until(world.now + Duration::from_millis(500));
    world.let_everything_through();
    world.run_while(|world| !world.is_settled());
    world.reigns.iter_mut().for_each(|reign| reign.crew.notify_every(None));
    world.run_while(|world| !world.is_at_rest());
    assert!(world.publishers.iter().all(Publisher::is_done), "{:?}", world.publishers);
    let [reign] = world.reigns.as_slice() else { panic!("old supervisors stay") };
    let (newest, epoch) = (world.truth.newest(reign.epoch), reign.epoch);
    for worker in &reign.workers {
        assert_eq!((worker.epoch, worker.newest), (epoch, newest), "a worker has not heard all");
    }
    let clients: usize = reign.workers.iter().map(|worker| worker.server.clients()).sum();
    assert_eq!(reign.crew.clients(), clients);
    told.kills += reign.kills;
    told.starts += reign.starts;
    for subscriber in &mut world.subscribers {
        assert!(subscriber.is_settled_at().is_some(), "{subscriber:?}");
        subscriber.leave(newest, world.now);
    }
    world.reign().workers.iter().for_each(|worker| worker.dismiss_witness());
    world.run_while(|world| !world.is_deserted());
    assert_eq!(world.reign().crew.clients(), 0);
    for subscriber in &world.subscribers {
        assert!(subscriber.visit.is_none());
        for record in &subscriber.records {
            record.judge(&world.truth, &mut told.tally);
            assert_welcomed_up_to_date(record, &world);
        }
    }
    for publisher in &world.publishers {
        publisher.judge(&world.truth, &world.crashed, &mut told.published);
    }
    told.ahead += world.ahead;
    told.tally.publications += world.truth.all().count();
}

/// Whoever comes with an id is welcomed by somebody who knows of it.
fn assert_welcomed_up_to_date(record: &Record, world: &World) {
    let Some(Entry::Welcome { last, .. }) = record.entries.first() else { return };
    let Some(asked) = record.asked.as_deref().and_then(Id::read) else { return };
    let is_known = asked.epoch == last.epoch && world.truth.get(asked).is_some();
    assert!(!is_known || asked <= *last, "it was not told of {asked}: {record:?}");
}

const WORKERS: [Fate; 9] = [
    Fate::Killed,
    Fate::Killed,
    Fate::Frozen(Duration::from_millis(300)),
    Fate::Frozen(HOUR),
    Fate::Signalled,
    Fate::Reload,
    Fate::Reload,
    Fate::Grow,
    Fate::Shrink,
];

const SUPERVISORS: [Fate; 5] = [
    Fate::Redeployed,
    Fate::Redeployed,
    Fate::Crashed,
    Fate::Killed,
    Fate::Frozen(Duration::from_millis(300)),
];

/// What one world after another has told.
fn told_by(seeds: Range<u64>, fates: &[Fate], draw_history: impl Fn(&mut Random) -> HistoryLimits) -> Told {
    let mut told = Told::default();
    for_each_seed(seeds, |seed| {
        let mut random = Random::new(seed);
        let history = draw_history(&mut random);
        let mut world = draw_world(random, history, fates);
        world.run_until(Duration::from_secs(1));
        end(world, &mut told);
    });
    told
}

fn assert_enough(has_all: bool, told: &Told) {
    assert!(has_all || asked_seed().is_some(), "too little happened: {told:?}");
}

#[test]
fn every_client_of_every_worker_hears_every_publication_once_in_one_order() {
    let told = told_by(0..120, &WORKERS, |_| GENEROUS);
    let Told { tally, published, ahead, kills, starts } = &told;
    let has_all = tally.resumed > 200
        && tally.overlaps > 2000
        && tally.commands_in_replay > 10
        && tally.farewells > 50
        && published.answered > 2000
        && published.refused > 300
        && published.wrong > 1000
        && published.cut_published > 50
        && published.cut_lost > 100
        && published.retried > 300
        && *ahead > 10
        && *kills > 10
        && *starts > 400;
    assert_enough(has_all, &told);
}

#[test]
fn a_successor_of_the_supervisor_goes_on_in_the_same_order() {
    let told = told_by(1000..1100, &SUPERVISORS, |_| GENEROUS);
    let Told { tally, published, .. } = &told;
    let has_all = tally.resumed > 100 && tally.unknown_epochs > 50 && published.refused > 500;
    assert_enough(has_all && tally.farewells > 80, &told);
}

#[test]
fn whoever_comes_back_to_any_worker_too_late_is_told_so() {
    let fates = [&WORKERS[..], &SUPERVISORS[..]].concat();
    let told = told_by(2000..2100, &fates, |random| match random.below(3) {
        0 => HistoryLimits { publications: random.pick(&[0, 0, 1, 5, 40]), ..GENEROUS },
        1 => HistoryLimits { bytes: random.within(100..50_000), ..GENEROUS },
        _ => HistoryLimits { age: random.millis(50..1000), ..GENEROUS },
    });
    assert_enough(told.tally.refused > 60 && told.tally.resumed > 60, &told);
}

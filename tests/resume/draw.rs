//! Worlds drawn by lot, in which much happens within seconds, and how they come to an end.

use std::time::Duration;

use slackwater::http::access::Access;
use slackwater::policy::history::HistoryLimits;
use slackwater::server::limits::Limits;
use slackwater::server::terms::{Service, Terms};
use slackwater::wire::websocket::Rules;

use crate::publisher::Publisher;
use crate::random::Random;
use crate::subscriber::Subscriber;
use crate::verdict::Tally;
use crate::world::{Fate, World};

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps everything.
pub const GENEROUS: HistoryLimits = HistoryLimits { publications: 1_000_000, bytes: 1 << 30, age: HOUR };

fn draw_terms(random: &mut Random, history: HistoryLimits) -> Terms {
    let limits = Limits {
        handshake: random.millis(1000..5000),
        keep_alive: random.millis(500..5000),
        ping_interval: random.chance(30).then(|| random.millis(1000..5000)),
        ping_timeout: None,
        write: random.millis(500..3000),
        outbox_bytes: random.pick(&[5000, 100_000, 200_000, 1 << 20]),
        rules: Rules { max_message_bytes: 1000, binary: false },
    };
    terms(limits, history)
}

/// No limit is there to help anything that is forgotten.
pub fn patient_terms() -> Terms {
    let limits = Limits {
        handshake: HOUR,
        keep_alive: HOUR,
        ping_interval: None,
        ping_timeout: None,
        write: HOUR,
        outbox_bytes: 1 << 20,
        rules: Rules { max_message_bytes: 1000, binary: false },
    };
    terms(limits, GENEROUS)
}

fn terms(limits: Limits, history: HistoryLimits) -> Terms {
    Terms {
        service: Service::Notifications,
        limits,
        concurrency: None,
        epoch: 0,
        history,
        reconnect: None,
        access: Access::on_this_machine("x"),
        operators: None,
        max_publish_bytes: 1 << 20,
    }
}

/// A world in which much happens in some seconds.
pub fn draw_world(mut random: Random, history: HistoryLimits) -> World {
    let terms = draw_terms(&mut random, history);
    let mut world = World::new(random.fork(), terms);
    for _ in 0..random.within(2..8) {
        let comes_at = random.millis(0..1000);
        world.subscribers.push(Subscriber::new(random.fork(), comes_at));
    }
    let largest = random.pick(&[10, 300, 3000, 30_000]);
    for number in 0..random.within(1..3) {
        world.publishers.push(Publisher::new(random.fork(), number as u64, largest));
    }
    let interval = random.millis(100..2000);
    world.notify_every(random.chance(70).then_some(interval));
    for _ in 0..random.pick(&[0, 0, 1, 1, 2, 3]) {
        let patience = random.millis(0..2500);
        let fate = if random.chance(75) { Fate::Redeployed(patience) } else { Fate::Crashed };
        world.fates.push((random.millis(0..4500), fate));
    }
    world.fates.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    world
}

/// Lets everybody behave, waits until all is calm, lets them go, and judges.
pub fn end(mut world: World, tally: &mut Tally) {
    world.notify_every(None);
    for publisher in &mut world.publishers {
        publisher.has_finished = true;
        publisher.next_act = publisher.next_act.min(world.now);
    }
    for subscriber in &mut world.subscribers {
        subscriber.settle_down(world.now);
    }
    world.run_until(world.now + Duration::from_secs(20));
    assert!(world.publishers.iter().all(Publisher::is_done), "{:?}", world.publishers);
    let [server] = world.servers.as_slice() else { panic!("old servers stay") };
    assert!(server.is_at_rest());
    let newest = server.newest;
    for subscriber in &mut world.subscribers {
        assert!(subscriber.is_settled_at().is_some(), "{subscriber:?}");
        subscriber.leave(newest, world.now);
    }
    world.servers[0].dismiss_witness();
    world.run_until(world.now + Duration::from_secs(20));
    let server = &world.servers[0];
    assert!(server.is_deserted() && !server.has_work());

    for subscriber in &world.subscribers {
        assert!(subscriber.visit.is_none());
        for record in &subscriber.records {
            record.judge(&world.truth, tally);
        }
    }
    for publisher in &world.publishers {
        publisher.judge(&world.truth, tally);
    }
    tally.publications += world.truth.all().count();
    tally.redeployments += world.redeployments;
    tally.crashes += world.crashes;
}

//! Worlds: those that are drawn by lot, in which much happens in little time, and those in which nothing happens by itself.

use std::time::Duration;

use slackwater::http::access::Access;
use slackwater::http::redirect::{HTTPS_PORT, Redirect};
use slackwater::policy::history::HistoryLimits;
use slackwater::policy::reconnect_notices::ReconnectTerms;
use slackwater::server::limits::Limits;
use slackwater::server::terms::{Service, Terms};
use slackwater::wire::websocket::Rules;

use crate::fates::Fate;
use crate::pipe::Pace;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::reign::Setup;
use crate::subscriber::Subscriber;
use crate::world::World;

pub const SECOND: Duration = Duration::from_secs(1);

/// Longer than any story.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Keeps everything.
pub const GENEROUS: HistoryLimits = HistoryLimits { publications: 1_000_000, bytes: 1 << 30, age: HOUR };

/// So many workers and a supervisor, or one process by itself. No limit is there to help anything that is forgotten, and
/// nothing is held up.
pub fn patient(workers: usize) -> Setup {
    let limits = Limits {
        handshake: HOUR,
        keep_alive: HOUR,
        ping_interval: None,
        ping_timeout: None,
        write: HOUR,
        outbox_bytes: if workers == 0 { 1 << 20 } else { 1 << 26 },
        rules: Rules { max_message_bytes: 1000, binary: false },
    };
    let terms = Terms {
        service: Service::Notifications,
        limits,
        addresses: None,
        messages: None,
        proxies: None,
        announcing_proxies: None,
        concurrency: None,
        epoch: 0,
        history: GENEROUS,
        reconnect: None,
        access: Access::on_this_machine("x"),
        allowed_origins: vec![],
        operators: None,
        redirect: Redirect { port: HTTPS_PORT, own_port: None, answers_challenges: false },
        webroot: None,
        auth: None,
        max_publish_bytes: 1 << 20,
        compresses: false,
        footprint: |_| {},
    };
    Setup {
        terms,
        workers,
        has_witness: true,
        is_followed: true,
        spurious_percent: 0,
        healthcheck: 10 * SECOND,
        drain_delay: Duration::ZERO,
        patience: SECOND,
        notify_interval: None,
        handover_timeout: 5 * SECOND,
        pace: Some(Pace::PROMPT),
    }
}

/// A world in which all who are to serve do, and nobody has come yet.
pub fn house(seed: u64, setup: Setup) -> World {
    let mut world = World::new(Random::new(seed), setup);
    world.begin_calmly();
    world
}

/// One process by itself with nobody but scripted clients, and with limits that are short.
pub fn strict(random: &mut Random) -> Setup {
    let mut setup = patient(0);
    setup.terms.limits = Limits {
        handshake: random.millis(1000..5000),
        keep_alive: random.millis(500..5000),
        ping_interval: random.chance(80).then(|| random.millis(1000..8000)),
        ping_timeout: random.chance(80).then(|| random.millis(1500..6000)),
        write: random.millis(1000..6000),
        outbox_bytes: random.within(4096..20_000),
        rules: Rules { max_message_bytes: random.within(300..3000), binary: false },
    };
    setup.terms.concurrency = random.chance(10).then(|| random.within(1..20));
    setup.notify_interval = random.chance(85).then(|| random.millis(100..3000));
    setup.patience = random.millis(0..20_000);
    (setup.has_witness, setup.is_followed, setup.spurious_percent) = (false, false, 1);
    setup.terms.compresses = random.chance(50);
    setup
}

/// The same with limits that are too long to come to the help of anything that is forgotten, and with this changed.
pub fn alone(seed: u64, change: impl FnOnce(&mut Setup)) -> World {
    let mut random = Random::new(seed);
    let mut setup = strict(&mut random);
    let (limits, rules) = (patient(0).terms.limits, setup.terms.limits.rules);
    setup.terms.limits = Limits { rules, outbox_bytes: setup.terms.limits.outbox_bytes, ..limits };
    (setup.terms.concurrency, setup.spurious_percent) = (None, 0);
    change(&mut setup);
    World::new(random, setup)
}

/// What a world is drawn from.
#[derive(Debug, Clone)]
pub struct Lot {
    /// So long much happens.
    pub millis: usize,
    /// Fewer than so many.
    pub workers: std::ops::Range<usize>,
    pub fates: Vec<Fate>,
}

impl Lot {
    pub fn draw(&self, mut random: Random, history: HistoryLimits) -> World {
        let mut setup = patient(random.within(self.workers.clone()));
        setup.terms.history = history;
        setup.terms.limits = Limits {
            handshake: random.millis(1000..5000),
            keep_alive: random.millis(500..5000),
            ping_interval: random.chance(25).then(|| random.millis(1000..5000)),
            write: random.millis(500..3000),
            outbox_bytes: random.pick(&[2500, 5000, 5000, 100_000, 1 << 20]),
            ..setup.terms.limits
        };
        setup.terms.compresses = random.chance(50);
        let spread = random.millis(0..3000);
        let guides = random.chance(25);
        setup.terms.reconnect = guides.then_some(ReconnectTerms { spread, close_after: None, max_age: None });
        setup.spurious_percent = 1;
        setup.healthcheck = random.millis(500..2000);
        setup.patience = random.millis(0..2500);
        setup.notify_interval = random.chance(65).then(|| random.millis(self.millis / 30..self.millis / 2));
        setup.pace = random.chance(10).then_some(Pace::PROMPT);
        let mut world = World::new(random.fork(), setup);
        for _ in 0..random.within(2..7) {
            let comes_at = random.millis(0..self.millis / 3);
            world.subscribers.push(Subscriber::new(random.fork(), comes_at));
        }
        let largest = random.pick(&[10, 300, 3000, 30_000]);
        for number in 0..random.within(1..4) {
            let pause_millis = self.millis / random.pick(&[2, 5, 10]);
            world.publishers.push(Publisher::new(random.fork(), number as u64, largest, pause_millis));
        }
        for _ in 0..random.below(5) {
            let (fate, at) = (random.pick(&self.fates), random.millis(self.millis / 20..self.millis));
            world.fates.push((at, fate));
            if matches!(fate, Fate::Redeployed) && random.chance(30) {
                world.fates.push((at + random.millis(0..2500), Fate::Insisted));
            }
        }
        world.fates.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        world
    }
}

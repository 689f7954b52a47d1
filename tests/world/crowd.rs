//! The scripted clients of a world: those who are there, those who are still to come, and the judge of what they are told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::behaviour;
use crate::client::{Character, Client};
use crate::for_each_seed;
use crate::judge::{Judge, Scene};
use crate::random::Random;
use crate::reign::Setup;
use crate::stream_judge::OfStreams;
use crate::worker::Worker;
use crate::world::World;

/// Long enough for every script and every limit.
const END_OF_TIME: Duration = Duration::from_secs(400);

/// How often each close code was written.
pub type Codes = BTreeMap<Option<u16>, usize>;

#[derive(Default)]
pub struct Crowd {
    /// In the order in which they connected.
    pub clients: Vec<Client>,
    /// The next one last.
    newcomers: Vec<(Duration, Character)>,
    pub judge: Judge,
}

impl Crowd {
    /// Lets a client connect at that time.
    pub fn invite(&mut self, at: Duration, character: Character) {
        let nth = self.newcomers.partition_point(|(other, _)| *other > at);
        self.newcomers.insert(nth, (at, character));
    }

    pub fn act(&mut self, now: Duration) {
        self.clients.iter_mut().for_each(|client| client.act(now));
    }

    /// Lets those come whose time it is. Whoever finds that nobody serves goes away.
    pub fn come(&mut self, serving: &mut [&mut Worker], random: &mut Random, now: Duration) {
        while let Some((_, character)) = self.newcomers.pop_if(|(at, _)| *at <= now) {
            if !serving.is_empty() {
                let nth = random.below(serving.len());
                let mut client = Client::new(random.fork(), character, serving[nth].place, now);
                client.act(now);
                serving[nth].admit(client.line.clone());
                self.clients.push(client);
            }
        }
    }

    /// They take in what has been written.
    pub fn on_turn(&mut self, now: Duration) {
        self.clients.iter_mut().for_each(|client| client.on_turn(now));
    }

    /// Whether it was right of a process to write this, and nothing else.
    pub fn judge(&mut self, scene: Scene<'_>) {
        self.judge.on_turn(&self.clients, scene);
        if scene.worker.outcome.is_some() {
            self.judge.on_end(&self.clients, scene);
        }
    }

    /// Whether a process may sleep now, as far as its clients go.
    pub fn judge_at_rest(&mut self, scene: Scene<'_>) {
        self.judge.at_rest(&self.clients, scene);
    }

    pub fn next_time(&self) -> Option<Duration> {
        let of_newcomers = self.newcomers.last().map(|(at, _)| *at);
        self.clients.iter().filter_map(Client::next_time).chain(of_newcomers).min()
    }

    /// Whether nobody is there, and nobody comes any more.
    pub fn is_gone(&self) -> bool {
        self.newcomers.is_empty() && self.clients.iter().all(|client| client.line.borrow().dropped)
    }

    /// The clients of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Client> {
        self.clients.iter().filter(move |client| client.character.name == name)
    }
}

impl World {
    /// Whether the last server has ended, and none has followed.
    pub fn has_left(&self) -> bool {
        self.reigns.is_empty()
    }

    /// Takes turns until the last server has ended, or everybody has gone for good and nobody tells it to leave.
    pub fn run_to_the_end(mut self) -> Self {
        loop {
            self.turn();
            let Some(reign) = self.reigns.last() else { return self };
            let is_leaving = reign.has_been_told_to_leave;
            if self.crowd.is_gone() && self.fates.is_empty() && !is_leaving && self.is_at_rest() {
                assert_eq!(reign.clients(), 0);
                return self;
            }
            self.sleep(END_OF_TIME);
            let clients = &self.crowd.clients;
            let here = || Vec::from_iter(clients.iter().filter(|client| !client.line.borrow().dropped));
            assert!(self.now < END_OF_TIME, "there are still {:?}", here());
        }
    }
}

/// How often each close code was written in the worlds of one seed after another.
pub fn codes_of(seeds: Range<u64>, story: impl Fn(u64) -> World) -> Codes {
    told_by_crowds(seeds, story).0
}

/// The same, with what streams were told, who know no codes.
pub fn told_by_crowds(seeds: Range<u64>, story: impl Fn(u64) -> World) -> (Codes, OfStreams) {
    let (mut codes, mut of_streams) = (Codes::new(), OfStreams::default());
    for_each_seed(seeds, |seed| {
        let judge = story(seed).crowd.judge;
        for (code, count) in judge.codes {
            *codes.entry(code).or_default() += count;
        }
        of_streams.heartbeats += judge.of_streams.heartbeats;
        of_streams.partings += judge.of_streams.partings;
        of_streams.postponed += judge.of_streams.postponed;
    });
    (codes, of_streams)
}

/// One process by itself, to which come clients of every kind within some seconds.
pub fn crowd(random: &mut Random, setup: Setup, most: usize, may_stay: bool) -> World {
    let mut world = World::new(random.fork(), setup);
    for _ in 0..random.within(1..most) {
        let arrival = random.millis(0..8000);
        world.crowd.invite(arrival, behaviour::draw(random, &world.setup.terms, may_stay));
    }
    world
}

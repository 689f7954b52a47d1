//! Hundreds of seeded worlds: servers of one process or of a supervisor and its workers, all of them the production turns,
//! over virtual sockets that deliver late and in pieces and under one virtual clock; no sleep. Subscribers, on WebSockets
//! with and without compression and on event streams, are cut off and come back, others publish, scripted clients break
//! every rule and take too little, servers are redeployed or crash, workers are killed, frozen, replaced and told to leave,
//! and history forgets. Everyone hears each publication of its topics once and in one order, or is told that it may have
//! missed some (`resumed: false`, `gap`); nothing is compressed twice in one process; and every limit is kept. In `fleet` several machines share one engine, which loses and
//! forgets.
//!
//! A seed that fails is printed; `SIMULATION_SEED=42 cargo test --test world STORY` runs that one alone.

mod arriving;
mod audit;
mod behaviour;
mod channel;
mod client;
mod compression;
mod crowd;
mod door;
mod draw;
mod ear;
mod event_stream;
mod fates;
mod fleet;
mod giving;
mod giving_alone;
mod handover;
mod judge;
mod limits;
mod moving;
mod notices;
mod periodic;
mod pipe;
mod publisher;
mod random;
mod reign;
mod request;
mod rest;
mod socket;
mod speech;
mod spin;
mod stories;
mod stream_judge;
mod subscriber;
mod succession;
mod supervisor;
mod taking;
mod taking_alone;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod told;
mod truth;
mod verdict;
mod visit;
mod wire;
mod witness;
mod worker;
mod world;

use std::ops::Range;

/// Runs one story for each seed, or for the one that is asked for.
fn for_each_seed(seeds: Range<u64>, mut story: impl FnMut(u64)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            let current = std::thread::current();
            if let (true, Some(story)) = (std::thread::panicking(), current.name()) {
                let seed = self.0;
                eprintln!(
                    "This was seed {seed}. Again: SIMULATION_SEED={seed} cargo test --test world {story}"
                );
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

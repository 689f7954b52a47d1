//! A drain that asks clients to move. Half of those who are told heed it.

use std::time::Duration;

use jiff::Timestamp;
use slackwater::policy::reconnect_notices::ReconnectTerms;
use slackwater::server::terms::Terms;

use crate::world::BEGINNING;
use crate::{asked_seed, crowd, for_each_seed, run_to_the_end};

/// The moment of which a client was told at this time: within the spread, and with the true end of the server's patience.
pub fn read_notice(
    (said_at, after, deadline): (Timestamp, Duration, Duration),
    leaving: Option<(Duration, Duration)>,
    terms: &Terms,
) -> Duration {
    let (begun, limit) = leaving.expect("a server that stays moves nobody");
    let said_at = Duration::try_from(said_at.duration_since(BEGINNING)).expect("time goes on");
    let (moment, deadline) = (said_at + after, said_at + deadline);
    let spread = terms.reconnect.expect("it may be said").spread;
    // Both parts of each are cut to whole milliseconds.
    let cut = Duration::from_millis(2);
    assert!(moment + cut >= begun && moment <= limit.min(begun + spread).max(said_at), "{moment:?}");
    assert!((deadline..=deadline + cut).contains(&limit), "until {deadline:?}, not {limit:?}");
    moment
}

/// How long after its moment a client is closed, if it ever is.
pub fn close_after(terms: &Terms) -> Option<Duration> {
    terms.reconnect?.close_after
}

#[test]
fn in_a_guided_drain_each_is_told_its_moment_once_and_closed_only_after_it() {
    let codes = for_each_seed(3600..3700, |seed| {
        let mut world = crowd(seed, if seed % 50 == 0 { 300 } else { 20 }, true);
        let (spread, may_stay) = (world.random.millis(0..10_000), world.random.millis(0..5000));
        let close_after = world.random.chance(60).then_some(may_stay);
        let reconnect = Some(ReconnectTerms { spread, close_after });
        world.set_terms(Terms { reconnect, ..world.terms.clone() });
        world.signals = vec![world.random.millis(2000..12_000)];
        let world = run_to_the_end(world);
        assert!(world.outcome.is_some());
        world
    });
    let has_all = [1001, 1012].iter().all(|code| codes.contains_key(&Some(*code)));
    assert!(has_all || asked_seed().is_some(), "{codes:?}");
}

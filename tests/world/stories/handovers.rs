//! Servers that hand over to others in the midst of everything: everybody hears all, once and in order, and nobody is parted with for
//! it. One that cannot hand over, since somebody is in the midst of a request or on the way out, goes on as if nothing had been.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::BATCH;

use crate::channel::{ALL_PASSED, Passed};
use crate::draw::{GENEROUS, Lot, SECOND, house, patient};
use crate::ear::Heard;
use crate::fates::Fate;
use crate::for_each_seed;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::{TEXT, frame, handshake};
use crate::stories::drawn::{WORKERS, crew};
use crate::stories::{count, positions, publish, stream};
use crate::succession::{Blow, VICTIMS, Victim};
use crate::told::told_by;
use crate::world::World;

fn lot(fates: &[Fate]) -> Lot {
    Lot { millis: 5000, workers: 0..1, fates: fates.into() }
}

#[test]
fn whoever_is_handed_over_hears_all_and_is_not_parted_with() {
    let told = told_by(31_000..31_150, &lot(&[Fate::HandedOver]), |_| GENEROUS);
    let [given_up, done] = told.handovers;
    assert_eq!((told.redeployments, told.crashes, told.tally.farewells), (0, 0, 0));
    let has_all = done > 100 && given_up > 5 && told.tally.publications > 1000 && told.tally.deflated > 100;
    told.assert_enough(has_all);
}

#[test]
fn among_redeployments_and_crashes_it_makes_no_difference() {
    let fates = [Fate::HandedOver, Fate::HandedOver, Fate::HandedOver, Fate::Redeployed, Fate::Crashed];
    let told = told_by(31_500..31_600, &lot(&fates), |_| GENEROUS);
    let has_all = told.handovers[1] > 50 && told.redeployments > 10 && told.crashes > 10;
    told.assert_enough(has_all);
}

#[test]
fn crews_hand_over_to_crews_and_nobody_is_parted_with() {
    let told = told_by(32_000..32_150, &Lot { workers: 0..4, ..crew(&[Fate::Succeeded]) }, |_| GENEROUS);
    let [given_up, done] = told.handovers;
    assert_eq!((told.redeployments, told.crashes, told.tally.cut, given_up), (0, 0, 0, 0), "{told:?}");
    let has_all = done > 100 && told.moved > 100 && told.tally.publications > 1000;
    told.assert_enough(has_all);
}

#[test]
fn crews_that_hand_over_among_everything_else_lose_nothing() {
    let others =
        [Fate::Succeeded, Fate::Succeeded, Fate::Struck, Fate::Severed, Fate::Redeployed, Fate::Crashed];
    let fates =
        [&WORKERS[..], &others, &[Fate::Succeeded, Fate::Struck, Fate::Struck, Fate::Struck]].concat();
    let told = told_by(32_500..32_900, &Lot { workers: 0..4, ..crew(&fates) }, |_| GENEROUS);
    let [given_up, done] = told.handovers;
    told.assert_enough(done > 60 && given_up > 60 && told.blows > 60 && told.redeployments > 20);
}

/// Clients of each worker, in the midst of a message.
struct Guests {
    sockets: Vec<Rc<RefCell<Line>>>,
    streams: Vec<Rc<RefCell<Line>>>,
    rest: Vec<u8>,
}

/// How guests connect: to this worker, and ask for this.
type Connect = fn(&mut World, u32, &str) -> Rc<RefCell<Line>>;

/// Without TLS and with it, in turns.
const WAYS: &[Connect] = &[
    |world, id, request| world.connect_to(id, 1 << 20, request),
    #[cfg(feature = "tls")]
    |world, id, request| world.connect_by_tls(id, 1 << 20, request),
];

impl Guests {
    fn invite(world: &mut World) -> Self {
        let ids: Vec<u32> = world.reign().workers.iter().map(|worker| worker.place.id).collect();
        let command = frame(&mut Random::new(1), TEXT, br#"{"type":"subscribe","topic":"orders"}"#);
        let (half, rest) = command.split_at(command.len() / 2);
        let mut ways = (0..).map(|nth| WAYS[(nth + ids.len()) % WAYS.len()]);
        let mut connect = |request: &str| -> Vec<_> {
            ids.iter().zip(&mut ways).map(|(id, connect)| connect(world, *id, request)).collect()
        };
        let (sockets, streams) = (connect(&handshake("topic=news")), connect(&stream(None)));
        world.calm_down();
        sockets.iter().for_each(|line| line.borrow_mut().send(half));
        world.calm_down();
        Self { sockets, streams, rest: rest.to_vec() }
    }

    fn all(&self) -> impl Iterator<Item = &Rc<RefCell<Line>>> {
        self.sockets.iter().chain(&self.streams)
    }

    fn say_the_rest(&self) {
        self.sockets.iter().for_each(|line| line.borrow_mut().send(&self.rest));
    }

    fn has_gone_on(line: &RefCell<Line>, upto: u64) -> bool {
        let is_open = !line.borrow().dropped && !line.borrow().outbound_ended;
        is_open && positions(line) == Vec::from_iter(1..=upto)
    }

    fn is_answered(line: &RefCell<Line>) -> bool {
        count(line, |heard| matches!(heard, Heard::Subscribed(_))) == 1
    }
}

/// From so many workers to so many, all of them; none: from or to one process.
fn all_sizes() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|from| (0..4).map(move |to| (from, to)))
}

#[test]
fn from_any_number_of_workers_to_any_other_all_go_on_in_the_midst_of_what_they_say() {
    for_each_seed(33_000..33_003, |seed| {
        for (from, to) in all_sizes() {
            let mut world = house(seed, patient(from));
            let guests = Guests::invite(&mut world);
            publish(&mut world, 0, 1..=3, 10);
            assert!(world.begin_succession(to, None));
            publish(&mut world, 0, 4..=6, 10);
            world.run_while(|world| world.succession.is_some());
            guests.say_the_rest();
            world.begin_calmly();
            world.connect_to_any(&super::news(7, 10));
            world.run_for(3 * SECOND);
            assert_eq!((world.handovers, world.reigns.len()), ([0, 1], 1), "{from} to {to}");
            assert_eq!(world.reign().workers.len(), to.max(1));
            assert!(guests.all().all(|line| Guests::has_gone_on(line, 7)), "{from} to {to}");
            assert!(guests.sockets.iter().all(|line| Guests::is_answered(line)), "{from} to {to}");
        }
    });
}

#[test]
fn hundreds_move_batch_by_batch_and_none_is_missing_or_taken_for_another() {
    for_each_seed(33_100..33_107, |seed| {
        let sizes = [(1, 1), (1, 3), (3, 2), (0, 0), (0, 2), (1, 0), (2, 0)];
        let (from, to) = sizes[(seed % 7) as usize];
        let mut world = house(seed, patient(from));
        let ids: Vec<u32> = world.reign().workers.iter().map(|worker| worker.place.id).collect();
        let most = 2 * BATCH + 50;
        let servers = from.max(1);
        let lines: Vec<_> = (0..most * servers)
            .map(|nth| world.connect_to(ids[nth % servers], 1 << 20, &handshake("topic=news")))
            .collect();
        world.calm_down();
        publish(&mut world, ids[0], 1..=1, 10);
        world.calm_down();
        assert!(world.begin_succession(to, None));
        for (nth, line) in lines.iter().enumerate() {
            line.borrow_mut().send(&frame(&mut Random::new(1), TEXT, nth.to_string().as_bytes()));
        }
        world.run_while(|world| world.succession.is_some());
        world.begin_calmly();
        world.connect_to_any(&super::news(2, 10));
        world.calm_down();
        assert_eq!((world.handovers, world.batches), ([0, 1], 3), "{from} to {to}");
        for (nth, line) in lines.iter().enumerate() {
            assert!(Guests::has_gone_on(line, 2), "{from} to {to}: {nth} {:?}", positions(line));
            assert_eq!(
                count(line, |heard| matches!(heard, Heard::Echo(text, _) if *text == nth.to_string())),
                1,
                "{from} to {to}: {nth}"
            );
        }
    });
}

#[test]
fn whoever_dies_at_any_step_all_go_on_in_the_first_until_the_commitment_and_from_then_on_in_the_second() {
    let steps = ALL_PASSED.iter().filter(|passed| **passed != Passed::GivenUp);
    let mut parted_unasked = 0;
    for (nth, passed) in steps.enumerate() {
        for (from, to) in all_sizes() {
            for victim in VICTIMS {
                let what = format!("{from} to {to}: {victim:?} at {passed:?}");
                let mut world = house(34_000 + nth as u64, patient(from));
                let guests = Guests::invite(&mut world);
                publish(&mut world, 0, 1..=3, 10);
                world.calm_down();
                let blow = Blow { passed: *passed, later: Duration::ZERO, victim, stops: None };
                assert!(world.begin_succession(to, Some(blow)));
                world.run_while(|world| world.succession.is_some());
                world.begin_calmly();
                guests.say_the_rest();
                world.connect_to_any(&super::news(4, 10));
                world.run_for(3 * SECOND);
                // Before the second has begun there is nobody to strike.
                let is_early = to > 0
                    && matches!(passed, Passed::Greeted | Passed::Offered)
                    && victim == Victim::NewWorker;
                // It may be too late to say so.
                let is_close = *passed == Passed::Prepared && victim == Victim::NewWorker;
                let is_committed = matches!(passed, Passed::Commit | Passed::Serve)
                    || is_early
                    || is_close && world.handovers == [0, 1];
                assert_eq!(
                    world.handovers,
                    [usize::from(!is_committed), usize::from(is_committed)],
                    "{what}"
                );
                let lives = |line: &&Rc<RefCell<Line>>| !line.borrow().is_orphaned && !line.borrow().dropped;
                let left = guests.all().filter(lives).count();
                let own = guests.all().count();
                let (least, most) = match victim {
                    _ if is_early => (own, own),
                    Victim::Predecessor if is_committed => (own, own),
                    Victim::Successor if is_committed => (0, 0),
                    Victim::Predecessor => (0, 0),
                    Victim::Successor => (own, own),
                    Victim::OldWorker if is_committed => (own, own),
                    Victim::NewWorker if is_committed => (0, own),
                    Victim::OldWorker => (own - 2, own - 2),
                    Victim::NewWorker => (own, own),
                };
                assert!((least..=most).contains(&left), "{what}: {left} of {own}");
                for line in guests.all().filter(lives) {
                    let gone_on = Guests::has_gone_on(line, 4);
                    assert!(gone_on, "{what}: {:?} {:?}", positions(line), line.borrow());
                }
                let mut sockets = guests.sockets.iter().filter(lives);
                assert!(sockets.all(|line| Guests::is_answered(line)), "{what}");
                if from > 0 && victim == Victim::Predecessor && !is_committed {
                    // Its workers learn that nobody else serves them, and let them go.
                    let is_let_go =
                        |line: &Rc<RefCell<Line>>| line.borrow().outbound_ended && !line.borrow().is_orphaned;
                    assert!(guests.all().all(is_let_go), "{what}");
                    let codes = guests.sockets.iter().map(|line| line.borrow().ear.close);
                    assert!(codes.into_iter().all(|close| close == Some(Some(1012))), "{what}");
                }
                assert!(world.orphans.is_empty(), "{what}: a worker stays though its supervisor is gone");
                parted_unasked += world.parted_unasked;
            }
        }
    }
    assert!(parted_unasked > 10, "{parted_unasked}");
}

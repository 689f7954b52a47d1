//! Clients whose tokens expire while their server hands over: each is closed once, as soon as it is served again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::channel::Passed;
use crate::draw::SECOND;
use crate::ear::Heard;
use crate::random::Random;
use crate::socket::Line;
use crate::stories::tokens::{A_MOMENT, close_code, guarded, listen, refresh, token};
use crate::stories::{count, last_heard};
use crate::succession::{Blow, Victim};
use crate::{asked_seed, for_each_seed};

/// What a word takes from one process to the other, and a moment.
const A_WORD: Duration = Duration::from_millis(22);

/// A client, when its token expires, whether it refreshes that in time, and when it was closed.
struct Expiring {
    line: Rc<RefCell<Line>>,
    expires: Duration,
    /// Not said yet.
    refresh: Option<Vec<u8>>,
    refreshes: bool,
    closed: Option<Duration>,
}

impl Expiring {
    fn on_turn(&mut self, now: Duration) {
        if let Some(refresh) = self.refresh.take_if(|_| now + 3 * A_MOMENT >= self.expires) {
            self.line.borrow_mut().send(&refresh);
        }
        if close_code(&self.line).is_some() {
            self.closed.get_or_insert(now);
        }
    }
}

#[test]
fn a_token_that_expires_during_a_hand_over_closes_its_client_once_it_is_served_again_and_only_once() {
    let mut expired_meanwhile = [0, 0];
    for_each_seed(12_950..12_970, |seed| {
        for is_given_up in [false, true] {
            let mut random = Random::new(seed);
            let (from, to) = (random.within(0..4), random.within(0..4));
            let mut world = guarded(seed, from);
            let first = world.now + Duration::from_millis(40);
            let mut clients: Vec<Expiring> = (0..200)
                .map(|nth| {
                    let expires = first + nth * Duration::from_micros(500);
                    let worker = world.reign().workers[random.below(from.max(1))].place.id;
                    let line = world.connect_to(worker, 1 << 20, &listen(expires));
                    let refreshes = random.chance(30);
                    let refresh = refreshes.then(|| refresh(&mut random, expires + 100 * SECOND));
                    Expiring { line, expires, refresh, refreshes, closed: None }
                })
                .collect();
            world.run_until(first - 2 * A_MOMENT);
            let (passed, victim) = (Passed::TakenUp, Victim::Successor);
            let blow = is_given_up.then_some(Blow { passed, later: Duration::ZERO, victim, stops: None });
            assert!(world.begin_succession(to, blow));
            let (mut held, mut over) = (None, None);
            let end = first + SECOND;
            while world.now < end {
                world.turn();
                clients.iter_mut().for_each(|client| client.on_turn(world.now));
                match &world.succession {
                    Some(succession) if succession.channel.borrow().has_passed(Passed::Hold) => {
                        held.get_or_insert(world.now);
                    }
                    Some(_) => {}
                    None => {
                        over.get_or_insert(world.now);
                    }
                }
                world.sleep(world.now + A_MOMENT);
            }
            let (held, over) = (held.expect("they were held"), over.expect("it is over"));
            assert_eq!(world.handovers, if is_given_up { [1, 0] } else { [0, 1] });
            for client in &clients {
                let Expiring { line, expires, refreshes, closed, .. } = client;
                if *refreshes {
                    assert_eq!(
                        (close_code(line), last_heard(line)),
                        (None, Some(Heard::Refreshed)),
                        "{from} to {to} {is_given_up} expires {expires:?} closed {closed:?} held {held:?} over {over:?}"
                    );
                    continue;
                }
                let closed = closed.expect("its token has expired");
                // A word that was on its way is heard first.
                assert!(
                    closed + A_MOMENT >= *expires && closed <= over.max(*expires) + A_WORD,
                    "{closed:?} {expires:?} {held:?} to {over:?}"
                );
                assert_eq!(count(line, |heard| *heard == Heard::Close(Some(4004))), 1);
                let is_meanwhile = (held + A_MOMENT..over).contains(expires);
                expired_meanwhile[usize::from(is_given_up)] += usize::from(is_meanwhile);
                assert!(!is_meanwhile || closed >= over, "it was told so though it had moved");
            }
        }
    });
    assert!(
        asked_seed().is_some() || expired_meanwhile.iter().all(|many| *many > 20),
        "{expired_meanwhile:?}"
    );
}

#[test]
fn a_stream_that_has_ended_and_is_not_taken_stays_behind_and_is_counted_until_it_departs() {
    for (from, to) in [(0, 0), (0, 2), (2, 0), (1, 2)] {
        let mut world = guarded(12_980, from);
        let expires = world.now + SECOND;
        let request = format!("GET /events?topic=news&token={} HTTP/1.1\r\nHost: x\r\n\r\n", token(expires));
        // Less than the head of the response.
        let ended = world.connect_to(0, 100, &request);
        let other = world.connect_to(0, 1 << 20, &listen(expires + 1000 * SECOND));
        world.run_until(expires + A_MOMENT);
        assert!(world.begin_succession(to, None));
        world.run_while(|world| world.succession.is_some());
        assert_eq!((world.handovers, world.reigns.len()), ([0, 1], 2), "{from} to {to}: one is left behind");
        ended.borrow_mut().take(usize::MAX);
        ended.borrow_mut().capacity = 1 << 20;
        world.run_for(20 * SECOND);
        assert_eq!((world.reigns.len(), ended.borrow().dropped), (1, true), "{from} to {to}");
        assert_eq!(close_code(&other), None, "{from} to {to}");
    }
}

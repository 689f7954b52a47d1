//! Connections that nobody serves for a while.

use super::*;

const FLAGS: &str =
    "--handshake-timeout 10 --timeout-keep-alive 20 --ws-ping-interval 30 --ws-ping-timeout 60";

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn each_goes_on_by_its_own_time_and_who_has_none_left_is_told_so() {
    for (parked, is_over) in [(5 * SECOND, false), (3600 * SECOND, true)] {
        let mut house = House::with(FLAGS);
        let (silent, there) = (listen(&mut house, "topic=a"), listen(&mut house, "topic=a"));
        // Both are sent a ping, each at a time of its own.
        house.run_for(31 * SECOND);
        let (kept, within) = (house.connect(HEALTHZ), house.connect(&HEALTHZ[..20]));
        let fresh = listen(&mut house, "topic=a");
        publish(&mut house, "a", "before");
        let pong = frame(0x8a, "");
        assert_eq!(house.park(FLAGS, usize::MAX, parked, &[(there, &pong)]), 0);
        house.run();
        publish(&mut house, "a", "after");
        for who in [there, fresh] {
            let told = house.told(who);
            let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text} is not in {told}"));
            assert!(at("before") < at("after"));
        }
        for who in [silent, kept, within] {
            assert_eq!(house.has_ended(who) || house.told(who).contains("no pong"), is_over, "{who}");
        }
        assert_eq!(house.told(within).starts_with("HTTP/1.1 408 "), is_over);
    }
}

#[test]
fn who_took_nothing_has_its_time_to_take_it_once_somebody_serves_again() {
    let mut house = House::with("--write-timeout 15");
    let slow = listen(&mut house, "topic=a");
    house.take(slow, 0);
    publish(&mut house, "a", "waiting");
    house.run_for(10 * SECOND);
    // Meanwhile there is room, and nobody to see it.
    house.clients[slow].borrow_mut().room = usize::MAX;
    house.park("--write-timeout 15", usize::MAX, 3600 * SECOND, &[]);
    publish(&mut house, "a", "after");
    let told = house.told(slow);
    assert!(told.find("waiting").unwrap() < told.find("after").unwrap());
}

#[test]
fn who_is_left_behind_is_not_in_what_is_parked() {
    let mut house = House::with("");
    let clients: Vec<usize> = (0..5).map(|_| listen(&mut house, "topic=a")).collect();
    assert_eq!(house.park("", 3, SECOND, &[]), 2);
    publish(&mut house, "a", "after");
    let heard = clients.iter().filter(|who| house.told(**who).contains("after")).count();
    assert_eq!((heard, house.turn.clients()), (3, 3));
}

#[test]
fn the_next_server_knows_for_how_long_nobody_was_heard() {
    let mut house = House::with("");
    listen(&mut house, "topic=a");
    let (at, mut image) = (house.moment(), vec![]);
    let told = Left { at: at.monotonic, behind: 1, ..Left::default() };
    house.turn.pack_rest(at, 1, &told, &mut image).unwrap();
    let mut next = House::with("");
    let left = next.turn.take_over(&image, next.now(), next.moment(), |_| Err(io::Error::other("nobody")));
    assert_eq!(left.unwrap(), Some(told));
}

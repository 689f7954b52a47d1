//! How many handshakes a turn goes on with, and which gives way, with peers whose every read is a step of one.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::http::door::Door;
use crate::server::Service;
use crate::server::address::Address;
use crate::server::peers::Readiness;
use crate::server::socket::Received;
use crate::server::terms::terms;

/// What all have in common: how far each is, and how many were aborted.
#[derive(Default)]
struct Told {
    stages: Vec<Handshake>,
    aborted: Vec<usize>,
    /// Nobody takes what TLS itself has to say.
    is_stuck: bool,
}

/// Somebody whose every read is a step of a handshake.
struct Shaking(usize, Rc<RefCell<Told>>);

impl Read for Shaking {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Shaking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.1.borrow().is_stuck { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}

impl Socket for Shaking {
    fn receive(&mut self, _: &mut [u8]) -> Received {
        let stage = &mut self.1.borrow_mut().stages[self.0];
        *stage = if *stage == Handshake::Awaited { Handshake::UnderWay } else { Handshake::None };
        Received::Nothing
    }

    fn handshake(&self) -> Handshake {
        self.1.borrow().stages[self.0]
    }

    /// All but the first have one address.
    fn peer_address(&self) -> io::Result<Option<IpAddr>> {
        Ok(Some(IpAddr::from([192, 0, 2, u8::from(self.0 > 0)])))
    }

    fn has_unsent(&self) -> bool {
        self.1.borrow().is_stuck
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn abort(&mut self) {
        self.1.borrow_mut().aborted.push(self.0);
    }
}

/// So many who have connected, and what is known of them.
fn newcomers(count: usize) -> (Peers<Shaking>, Rc<RefCell<Told>>, Now) {
    let config = Config::read(["slackwater"].map(Into::into)).unwrap();
    let (address, now) = (Address::Ip("127.0.0.1:0".parse().unwrap()), Now::read());
    let mut peers = Peers::new(terms(&config, Service::Notifications, &address, None, None), now);
    let told = Rc::new(RefCell::new(Told { stages: vec![Handshake::Awaited; count], ..Told::default() }));
    for _ in 0..count {
        peers.admit(Door::Public, now, |key| Ok(Shaking(key, told.clone()))).unwrap();
    }
    (peers, told, now)
}

fn turn(peers: &mut Peers<Shaking>, now: Now) {
    peers.settle(now);
    peers.read_unread(now);
}

fn count(told: &Rc<RefCell<Told>>, stage: Handshake) -> usize {
    told.borrow().stages.iter().filter(|other| **other == stage).count()
}

#[test]
fn one_turn_goes_on_with_a_few_handshakes_and_the_next_with_those_that_wait() {
    let (mut peers, told, now) = newcomers(20);
    for key in 0..20 {
        peers.on_ready(key, Readiness::Bytes, false, now);
    }
    let under_way = [8, 16, 20].map(|_| {
        let (count, has_work) = (count(&told, Handshake::UnderWay), peers.has_work());
        turn(&mut peers, now);
        (count, has_work)
    });
    assert_eq!(under_way, [(8, true), (16, true), (20, false)]);
    assert_eq!(told.borrow().aborted, [0; 0]);
}

#[test]
fn with_one_too_many_under_way_the_longest_of_the_address_with_most_gives_way() {
    let (mut peers, told, now) = newcomers(UNDER_WAY + 3);
    let ready = |peers: &mut Peers<Shaking>, key| {
        turn(peers, now);
        peers.on_ready(key, Readiness::Bytes, false, now);
    };
    [1, 0, 2].into_iter().for_each(|key| ready(&mut peers, key));
    // This one is done, and no longer counts.
    ready(&mut peers, 1);
    (3..UNDER_WAY + 1).for_each(|key| ready(&mut peers, key));
    assert_eq!((&told.borrow().aborted[..], peers.connections()), (&[0; 0][..], UNDER_WAY + 3));
    (UNDER_WAY + 1..UNDER_WAY + 3).for_each(|key| ready(&mut peers, key));
    turn(&mut peers, now);
    assert_eq!((&told.borrow().aborted[..], peers.connections()), (&[2, 3][..], UNDER_WAY + 1));
    assert_eq!(peers.handshakes.under_way.len(), UNDER_WAY);
}

#[test]
fn whoever_takes_nothing_of_the_handshake_is_parted_with_all_the_same() {
    let (mut peers, told, begin) = newcomers(2);
    told.borrow_mut().is_stuck = true;
    peers.on_ready(0, Readiness::Bytes, false, begin);
    // One that says something by which its end is near, and one that never says anything.
    peers.on_ready(0, Readiness::Bytes, false, begin);
    let elapsed = (0..60).find(|elapsed| {
        let now = Now { instant: begin.instant + Duration::from_millis(500 * elapsed), ..begin };
        turn(&mut peers, now);
        peers.keep_time(now, now.instant);
        peers.connections() == 0
    });
    // The time for a handshake, and the second for the last word.
    assert!(elapsed.is_some_and(|halves| (20..=26).contains(&halves)), "{elapsed:?}");
    assert_eq!(told.borrow().aborted.len(), 2, "nothing is left to the kernel");
}

//! Limits by address: very many come and go, by themselves or through proxies, and the counts follow them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::http::forwarded::Proxies;
use slackwater::policy::addresses::AddressLimits;
use slackwater::policy::rate::Rate;

use crate::draw::alone;
use crate::ear::Heard;
use crate::for_each_seed;
use crate::random::Random;
use crate::socket::Line;
use crate::speech::handshake;
use crate::stories::last_heard;
use crate::world::World;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// What the server is to let in, by a count of its own.
struct Book {
    most: usize,
    rate: Rate,
    full_at: HashMap<u8, Instant>,
    here: Vec<(u8, Rc<RefCell<Line>>)>,
}

impl Book {
    /// Whether one more of an address is let in now, which may be one that a proxy has kept.
    fn lets_in(&mut self, host: u8, is_kept: bool, now: Instant) -> bool {
        let open = self.here.iter().filter(|(other, _)| *other == host).count();
        let full_at = self.full_at.entry(host).or_insert(now);
        open < self.most && (is_kept || self.rate.take(full_at, now).is_ok())
    }
}

fn forwarded(request: &str, host: u8) -> String {
    request.replacen("\r\n", &format!("\r\nX-Forwarded-For: 203.0.113.{host}\r\n"), 1)
}

/// Whether a line that has asked just now is served, and not told that there are too many.
fn is_served(world: &mut World, line: &RefCell<Line>) -> bool {
    world.calm_down();
    line.borrow_mut().take(usize::MAX);
    match last_heard(line) {
        Some(Heard::Response { status: 429, closes: true, .. }) => false,
        Some(Heard::Response { status: 200, .. } | Heard::Welcome { .. }) => true,
        other => panic!("{other:?}"),
    }
}

/// A client leaves, in whatever way.
fn leave(world: &mut World, random: &mut Random, line: &RefCell<Line>) {
    match random.below(3) {
        0 => line.borrow_mut().fail(ErrorKind::ConnectionReset),
        _ => line.borrow_mut().end(),
    }
    world.calm_down();
    assert!(line.borrow().dropped);
}

/// Somebody of this address asks for a WebSocket.
fn join(world: &mut World, random: &mut Random, book: &mut Book, host: u8) {
    let request = handshake("topic=news");
    let is_lucky = book.lets_in(host, false, world.clock().instant);
    let is_direct = random.chance(50);
    let line = world.connect(1 << 20, &if is_direct { request } else { forwarded(&request, host) });
    let own = IpAddr::V4(Ipv4Addr::new(203, 0, 113, host));
    line.borrow_mut().address = Some(if is_direct { own } else { PROXY });
    assert_eq!(is_served(world, &line), is_lucky);
    if is_lucky {
        book.here.push((host, line));
    } else {
        leave(world, random, &line);
    }
}

#[test]
fn of_many_addresses_that_come_and_go_none_is_refused_wrongly_or_remembered_for_longer_than_its_rate() {
    for_each_seed(13_000..13_020, |seed| {
        let mut random = Random::new(seed);
        let most = random.within(1..4);
        let rate = Rate::new(random.within(1..20) as f64 / 10.0, random.within(1..10) as f64);
        let mut world = alone(seed, |setup| {
            let open = Some(u32::try_from(most).expect("few"));
            setup.terms.addresses = Some(AddressLimits { open, rate: Some(rate) });
            setup.terms.proxies = Some(Proxies(vec![PROXY.into()]));
            setup.terms.limits.ping_interval = None;
            setup.notify_interval = None;
        });
        let mut book = Book { most, rate, full_at: HashMap::new(), here: vec![] };
        let hosts = Vec::from_iter(0..30);
        let mut kept: Option<(u8, Rc<RefCell<Line>>)> = None;
        for _ in 0..600 {
            let host = random.pick(&hosts);
            match random.below(5) {
                0 | 1 if !book.here.is_empty() => {
                    let nth = random.below(book.here.len());
                    let (_, line) = book.here.swap_remove(nth);
                    leave(&mut world, &mut random, &line);
                }
                2 => {
                    // A page, on a connection that the proxy may have kept.
                    let (before, line) = kept.take().unzip();
                    let host = before.filter(|_| random.chance(50)).unwrap_or(host);
                    let is_lucky = book.lets_in(host, before == Some(host), world.clock().instant);
                    let line = line.unwrap_or_else(|| world.connect(1 << 20, ""));
                    line.borrow_mut().address = Some(PROXY);
                    line.borrow_mut().send(forwarded("GET / HTTP/1.1\r\nHost: x\r\n\r\n", host).as_bytes());
                    assert_eq!(is_served(&mut world, &line), is_lucky);
                    kept = is_lucky.then_some((host, line));
                }
                _ => join(&mut world, &mut random, &mut book, host),
            }
            world.run_for(random.millis(0..300));
        }
        for (_, line) in book.here.drain(..).chain(kept) {
            leave(&mut world, &mut random, &line);
        }
        // As long as the slowest bucket takes to fill.
        world.run_for(Duration::from_secs(100));
        assert_eq!(world.worker(0).server.next_timeout(), None, "somebody is still to be forgotten");
        for &host in &hosts {
            join(&mut world, &mut random, &mut book, host);
        }
        assert_eq!(book.here.len(), hosts.len());
    });
}

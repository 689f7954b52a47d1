//! A server in virtual time and the other ends of its connections, which another one may take over.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::http::door::Door;
use crate::policy::drain::Drain;
use crate::policy::heard::Look;
use crate::server::Service;
use crate::server::address::Address;
use crate::server::clock::Now;
use crate::server::far_end::{FarEnd, Wire};
use crate::server::peers::{Arrival, Most, Readiness};
use crate::server::terms::{Terms, terms};
use crate::server::turn::{Packed, Ready, Turn};
use crate::wire::handover::parked::Left;
use crate::wire::handover::times::Moment;

/// How far apart the steady clocks of two processes are, as each writes it.
const SHIFT: Duration = Duration::from_secs(100_000);

/// On the wall's clock.
const BEGINNING: Timestamp = Timestamp::constant(1_790_000_000, 0);

pub const SECOND: Duration = Duration::from_secs(1);

/// A server, and a clock that moves only from one deadline to the next.
pub struct House {
    pub turn: Turn<Wire>,
    begin: Now,
    pub elapsed: Duration,
    /// By their keys.
    ends: Vec<Option<Rc<RefCell<FarEnd>>>>,
    /// In the order in which they have connected.
    pub clients: Vec<Rc<RefCell<FarEnd>>>,
}

impl House {
    pub fn with(flags: &str) -> Self {
        let begin = Now { wall: BEGINNING, ..Now::read() };
        let mut house =
            Self { turn: turn(flags, begin), begin, elapsed: Duration::ZERO, ends: vec![], clients: vec![] };
        house.run();
        house
    }

    pub fn now(&self) -> Now {
        Now { instant: self.begin.instant + self.elapsed, wall: self.begin.wall + self.elapsed }
    }

    /// This moment, as all processes write it.
    pub fn moment(&self) -> Moment {
        let nanos = i64::try_from(self.elapsed.as_nanos()).unwrap();
        Moment { instant: self.now().instant, monotonic: 1_000_000_000_000 + nanos }
    }

    /// Somebody connects and says this; by its number it can be asked for.
    pub fn connect(&mut self, said: impl AsRef<[u8]>) -> usize {
        self.connect_from(None, said)
    }

    pub fn connect_from(&mut self, address: Option<IpAddr>, said: impl AsRef<[u8]>) -> usize {
        self.connect_by(Door::Public, address, said)
    }

    pub fn connect_by(&mut self, door: Door, address: Option<IpAddr>, said: impl AsRef<[u8]>) -> usize {
        let end = Rc::new(RefCell::new(FarEnd { room: usize::MAX, address, ..FarEnd::default() }));
        self.clients.push(end.clone());
        let mut key = None;
        let ends = &mut self.ends;
        self.turn
            .admit(door, |given| {
                key = Some(given);
                ends.resize(ends.len().max(given + 1), None);
                ends[given] = Some(end.clone());
                Ok(Wire(end))
            })
            .unwrap();
        self.say(self.clients.len() - 1, said);
        self.clients.len() - 1
    }

    /// Lets somebody say something, and the server do all that follows.
    pub fn say(&mut self, who: usize, octets: impl AsRef<[u8]>) {
        let mut end = self.clients[who].borrow_mut();
        end.said.extend(octets.as_ref());
        end.has_event = true;
        drop(end);
        self.run();
    }

    /// Somebody has nothing more to say, and leaves.
    pub fn leave(&mut self, who: usize) {
        self.clients[who].borrow_mut().is_closed = true;
        self.say(who, "");
    }

    /// Somebody takes only so much from here on.
    pub fn take(&mut self, who: usize, room: usize) {
        let mut end = self.clients[who].borrow_mut();
        (end.room, end.has_event) = (room, true);
        drop(end);
        self.run();
    }

    pub fn told(&self, who: usize) -> String {
        String::from_utf8_lossy(&self.clients[who].borrow().taken).into_owned()
    }

    pub fn has_ended(&self, who: usize) -> bool {
        self.clients[who].borrow().has_ended
    }

    /// As many turns as there is work for.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            self.step();
            let has_event = |end: &Rc<RefCell<FarEnd>>| end.borrow().has_event;
            let waits = self.ends.iter().flatten().any(has_event);
            if !waits && self.turn.next_timeout() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// One turn, with what has come.
    pub fn step(&mut self) {
        let now = self.now();
        let mut ready = vec![];
        for (key, end) in self.ends.iter().enumerate() {
            let Some(mut end) = end.as_ref().map(|end| end.borrow_mut()) else { continue };
            end.now = self.elapsed;
            if std::mem::take(&mut end.has_event) {
                let readiness = match end.said.is_empty() {
                    true if end.is_closed => Readiness::End,
                    true => Readiness::Room,
                    false => Readiness::Bytes,
                };
                ready.push(Ready::Peer { key, readiness, has_room: end.room > 0 });
            }
        }
        let look = Look { began: now.instant, events: ready.len(), most: usize::MAX };
        self.turn.on_look(look, self.ends.len());
        self.turn.handle(ready, [], now);
        while self.turn.poll().is_some() {}
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        self.run();
        while let Some(timeout) = self.turn.next_timeout()
            && self.elapsed + timeout <= end
        {
            self.elapsed += timeout.max(Duration::from_nanos(1));
            self.run();
        }
        self.elapsed = end;
        self.run();
    }

    /// Everything that there is of it, as it is handed over.
    pub fn pack(&mut self) -> (Vec<u8>, Packed) {
        let (at, mut image) = (self.moment(), vec![]);
        let packed = self.turn.pack(at, 1, &mut image).unwrap();
        assert_eq!(packed.bytes, image.len() as u64);
        (image, packed)
    }

    /// A server with these flags takes over; gives back how many could not be moved.
    pub fn hand_over(&mut self, flags: &str) -> usize {
        let (image, packed) = self.pack();
        self.take_up(flags, &[&image], &packed)
    }

    /// The same with no more than these bytes of what they are in the midst of.
    pub fn hand_over_within(&mut self, bytes: usize) -> usize {
        let (at, mut image) = (self.moment(), vec![]);
        let packed = self.turn.pack_within(Most { bytes, ..Most::default() }, at, 1, &mut image).unwrap();
        self.take_up("", &[&image], &packed)
    }

    /// As many as this are left for a server with these flags that is started later: what is said to nobody meanwhile it is said.
    pub fn park(
        &mut self,
        flags: &str,
        most: usize,
        duration: Duration,
        meanwhile: &[(usize, &[u8])],
    ) -> usize {
        let (at, mut image, mut rest) = (self.moment(), vec![], vec![]);
        let packed = self.turn.pack_part(at, 1, most, &mut image).unwrap();
        self.turn.pack_rest(at, 1, &Left::default(), &mut rest).unwrap();
        self.elapsed += duration;
        for (who, octets) in meanwhile {
            self.clients[*who].borrow_mut().said.extend(*octets);
        }
        self.take_up(flags, &[&rest, &image], &packed)
    }

    /// Takes up the connections of the last of these images, and whatever the others say.
    fn take_up(&mut self, flags: &str, images: &[&[u8]], packed: &Packed) -> usize {
        let old_ends = std::mem::take(&mut self.ends);
        self.begin.instant += SHIFT;
        let next = turn(flags, self.now());
        let mut old = std::mem::replace(&mut self.turn, next);
        let moved: Vec<_> = packed.connections.iter().map(|key| old_ends[*key].clone().unwrap()).collect();
        let mut arrive = moved.into_iter();
        let (now, at, ends) = (self.now(), self.moment(), &mut self.ends);
        for image in images {
            let taken = self.turn.take_over(image, now, at, |Arrival { key, .. }| {
                let end = arrive.next().expect("one for each");
                // Its socket is registered, and that announces what has come.
                end.borrow_mut().has_event = true;
                ends.resize(ends.len().max(key + 1), None);
                ends[key] = Some(end.clone());
                Ok(Wire(end))
            });
            taken.unwrap();
        }
        assert!(arrive.next().is_none());
        old.part_with(&packed.connections, Drain::new(30 * SECOND, 5 * SECOND));
        while old.poll().is_some() {}
        let left = old.connections();
        self.run();
        left
    }

    /// Takes over whatever this says, with connections that take everything; whether that is possible.
    pub fn take_over(&mut self, image: &[u8]) -> bool {
        let (now, at) = (self.now(), self.moment());
        let (ends, clients) = (&mut self.ends, &mut self.clients);
        let taken = self.turn.take_over(image, now, at, |Arrival { key, .. }| {
            let end =
                Rc::new(RefCell::new(FarEnd { room: usize::MAX, has_event: true, ..FarEnd::default() }));
            clients.push(end.clone());
            ends.resize(ends.len().max(key + 1), None);
            ends[key] = Some(end.clone());
            Ok(Wire(end))
        });
        taken.is_ok()
    }

    /// As `hand_over`, where nobody takes over after all: it goes on as if nothing had been.
    pub fn hand_over_in_vain(&mut self) {
        let _ = self.pack();
        self.run();
    }
}

/// One whose ids tell nothing of the process.
pub fn turn(flags: &str, now: Now) -> Turn<Wire> {
    let pings = if flags.contains("--ws-ping-interval") { "" } else { "--ws-ping-interval 0 " };
    let args = ["slackwater"].into_iter().chain(pings.split_whitespace()).chain(flags.split_whitespace());
    let config = Config::read(args.map(Into::into)).unwrap();
    let address = Address::Ip("127.0.0.1:0".parse().unwrap());
    let terms = terms(&config, Service::Notifications, &address, None, None);
    Turn::new(
        Terms { epoch: 0xbeef, footprint: |_| {}, ..terms },
        None,
        Drain::new(30 * SECOND, 5 * SECOND),
        now,
    )
}

//! The kinds of clients there are. A script is drawn whole before its client connects, so that a seed means the same
//! whatever the server does.

use std::collections::VecDeque;
use std::time::Duration;

use slackwater::server::terms::Terms;

use crate::client::{Act, Character};
use crate::compression::Offer;
use crate::random::Random;
use crate::speech::{self, Speech, Voice};

const CODES: [Option<u16>; 5] = [None, Some(1000), Some(1001), Some(3000), Some(4321)];

/// Draws a client. One that stays waits for the server to end it; a world without an end must have none.
pub fn draw(random: &mut Random, terms: &Terms, may_stay: bool) -> Character {
    match random.below(24) {
        20.. => streamer(random, terms, may_stay),
        0..9 => talker(random, terms, may_stay),
        9..11 => never_reader(random, terms),
        11..13 => violator(random, terms),
        13..16 => surfer(random, terms),
        16 => deaf_to_pings(random, terms),
        17 => hesitant(random),
        18 => upgraded_late(random, terms),
        _ => babbler(random, terms),
    }
}

/// Connects, reads at once, answers pings, says this much and that, and leaves in one of many ways.
pub fn talker(random: &mut Random, terms: &Terms, may_stay: bool) -> Character {
    let mut client = connected("talker", random, terms);
    for _ in 0..random.below(8) {
        match random.below(12) {
            0 => client.doze(random, terms),
            1 => client.dawdle(random),
            _ => {
                let remark = speech::remark(random, client.voice(terms));
                client.say(random, remark);
            }
        }
    }
    client.leave(random, may_stay);
    client
}

/// Connects and behaves, for ever.
pub fn listener(random: &mut Random) -> Character {
    let mut client = unconnected("listener", random);
    let upgrade = speech::upgrade(random, &Offer::default());
    client.say(random, upgrade);
    (client.is_polite, client.fails_behind, client.capacity) = (true, None, random.within(50..5000));
    client
}

/// Speaks once, half a second after it connected, and goes soon; its net may fail it meanwhile.
pub fn chorister(random: &mut Random, most_bytes: usize) -> Character {
    let mut client = unconnected("chorister", random);
    client.fails_behind = random.chance(40).then(|| random.within(300..700));
    let upgrade = speech::upgrade(random, &Offer::default());
    let remark = speech::remark(random, Voice { most_bytes, window: None });
    client.script.push_back((Duration::ZERO, Act::Say(upgrade)));
    client.script.push_back((Duration::from_millis(500), Act::Say(remark)));
    client.script.push_back((Duration::from_secs(2), Act::CloseHastily(random.pick(&CODES))));
    client
}

/// Takes nothing until that long after its handshake, and reads all then.
pub fn sleeper(random: &mut Random, capacity: usize, wakes_after: Duration) -> Character {
    let mut client = listener(random);
    (client.name, client.capacity) = ("sleeper", capacity);
    client.script.push_front((Duration::ZERO, Act::Sleep));
    client.script.push_back((wakes_after, Act::Wake));
    client
}

/// Sends so many bytes of unasked pongs as fast as it can, in so many parts, and goes.
pub fn flooder(random: &mut Random, parts: usize, part_bytes: usize) -> Character {
    let mut client = listener(random);
    client.name = "flooder";
    let pong = speech::frame(random, speech::PONG, &[b'x'; 125]);
    let part = Speech { bytes: pong.repeat(part_bytes / pong.len()), ..Speech::default() };
    for _ in 0..parts {
        client.script.push_back((Duration::from_micros(150), Act::Say(part.clone())));
    }
    client.script.push_back((Duration::ZERO, Act::Close(Some(1000))));
    client
}

/// Takes nothing from its handshake on; it may ask for much.
pub fn never_reader(random: &mut Random, terms: &Terms) -> Character {
    let mut client = connected("never-reader", random, terms);
    client.script.push_front((Duration::ZERO, Act::Sleep));
    for _ in 0..random.below(60) {
        let remark = speech::remark(random, client.voice(terms));
        client.say(random, remark);
    }
    if random.chance(30) {
        // It may find the close frame, if it wakes while the server lingers.
        client.script.push_back((terms.limits.write + random.millis(0..900), Act::Wake));
    }
    client.script.push_back((Duration::from_secs(60), Act::Reset));
    client
}

fn violator(random: &mut Random, terms: &Terms) -> Character {
    let mut client = connected("violator", random, terms);
    for _ in 0..random.below(3) {
        let remark = speech::remark(random, client.voice(terms));
        client.say(random, remark);
    }
    let (bytes, code) = speech::violation(random, client.voice(terms));
    client.then(random, 300, Act::Violate(bytes, code));
    client
}

/// Speaks HTTP only: keeps the connection, asks ahead, and loses interest.
fn surfer(random: &mut Random, terms: &Terms) -> Character {
    let mut client = unconnected("surfer", random);
    client.capacity = random.within(1000..60_000);
    for _ in 0..random.within(1..5) {
        let count = random.within(1..20);
        let requests = speech::requests(random, count);
        if random.chance(15) {
            client.then(random, 1, Act::Sleep);
            client.script.push_back((random.millis(1..3000), Act::Wake));
        }
        client.say(random, requests);
        let pause = usize::try_from(terms.limits.keep_alive.as_millis()).expect("seconds");
        client.then(random, pause, Act::Wake);
    }
    let half = Speech { bytes: speech::half_request(random), ..Speech::default() };
    match random.below(4) {
        0 => client.then(random, 10, Act::Begin(half)),
        1 => client.then(random, 10, Act::End),
        2 => client.then(random, 10, Act::Babble(b"GET / HTTP/3.0\r\n\r\n".to_vec())),
        // It idles.
        _ => {}
    }
    client
}

/// Asks for much at once, takes the answers as slowly as a small buffer makes it, and goes.
pub fn asks_ahead(random: &mut Random) -> Character {
    let mut client = unconnected("ahead", random);
    (client.capacity, client.is_polite) = (random.within(500..5000), true);
    let count = random.within(5..40);
    let requests = speech::requests(random, count);
    client.say(random, requests);
    client.then(random, 1, Act::End);
    client
}

fn deaf_to_pings(random: &mut Random, terms: &Terms) -> Character {
    let mut client = talker(random, terms, false);
    (client.name, client.answers_pings) = ("deaf", false);
    let last = client.script.len() - 1;
    client.script[last].0 = Duration::from_secs(40);
    client
}

/// Half a handshake, or none at all, or one that drips.
fn hesitant(random: &mut Random) -> Character {
    let mut client = unconnected("hesitant", random);
    for _ in 0..random.below(3) {
        let bytes = if client.script.is_empty() { speech::half_request(random) } else { b"x".to_vec() };
        let part = Speech { bytes, ..Speech::default() };
        client.then(random, 2000, Act::Begin(part));
    }
    client
}

/// Speaks HTTP first, and may not wait for the answers before it asks to upgrade.
fn upgraded_late(random: &mut Random, terms: &Terms) -> Character {
    let mut client = unconnected("late", random);
    client.offer(random, terms);
    client.capacity = random.within(300..60_000);
    let count = random.within(1..12);
    let mut speech = speech::requests(random, count);
    let upgrade = speech::upgrade(random, &client.offer);
    if random.chance(50) {
        speech.bytes.extend(upgrade.bytes);
        speech.statuses.extend(upgrade.statuses);
        client.say(random, speech);
    } else {
        client.say(random, speech);
        client.say(random, upgrade);
    }
    client.leave(random, false);
    client
}

/// Hears an event stream, at times behind other requests or slowly; whatever it says then means nothing.
pub fn streamer(random: &mut Random, terms: &Terms, may_stay: bool) -> Character {
    let mut client = unconnected("streamer", random);
    (client.is_stream, client.is_old, client.answers_pings) = (true, random.chance(25), false);
    if random.chance(20) {
        let count = random.within(1..5);
        let requests = speech::requests(random, count);
        client.say(random, requests);
    }
    let stream = speech::stream(random, client.is_old);
    client.say(random, stream);
    for _ in 0..random.below(3) {
        match random.below(4) {
            0 => client.doze(random, terms),
            1 => client.dawdle(random),
            _ => {
                let bytes = speech::half_request(random);
                client.then(random, 3000, Act::Say(Speech { bytes, ..Speech::default() }));
            }
        }
    }
    let is_long = random.chance(20);
    let most_millis = if is_long { 100_000 } else { 10_000 };
    match random.below(if may_stay { 6 } else { 4 }) {
        0..3 => client.then(random, most_millis, Act::End),
        3 => client.then(random, most_millis, Act::Reset),
        _ => {}
    }
    client
}

/// Garbage instead of HTTP, or behind the handshake.
fn babbler(random: &mut Random, terms: &Terms) -> Character {
    let mut client =
        if random.chance(50) { connected("babbler", random, terms) } else { unconnected("babbler", random) };
    for _ in 0..random.within(1..5) {
        let count = random.within(1..terms.limits.rules.max_message_bytes * 2);
        let bytes = random.bytes(count);
        client.then(random, 100, Act::Babble(bytes));
    }
    client.script.push_back((Duration::from_secs(60), Act::Reset));
    client
}

fn unconnected(name: &'static str, random: &mut Random) -> Character {
    Character {
        name,
        script: VecDeque::new(),
        answers_pings: true,
        is_polite: random.chance(80),
        capacity: random.pick(&[16, 64, 300, 1500, 5000, 70_000]),
        fails_behind: random.chance(4).then(|| random.below(3000)),
        offer: Offer::default(),
        window: None,
        is_stream: false,
        is_old: false,
    }
}

fn connected(name: &'static str, random: &mut Random, terms: &Terms) -> Character {
    let mut client = unconnected(name, random);
    client.offer(random, terms);
    let upgrade = speech::upgrade(random, &client.offer);
    client.say(random, upgrade);
    client
}

impl Character {
    /// Offers to compress, or does not.
    fn offer(&mut self, random: &mut Random, terms: &Terms) {
        self.offer = Offer::draw(random);
        self.window = self.offer.agreed(terms.compresses);
    }

    fn voice(&self, terms: &Terms) -> Voice {
        Voice { most_bytes: terms.limits.rules.max_message_bytes, window: self.window }
    }

    /// Takes nothing for a while, at times for longer than it may.
    fn doze(&mut self, random: &mut Random, terms: &Terms) {
        let longest = usize::try_from(terms.limits.write.as_millis()).expect("seconds") * 2;
        self.then(random, 50, Act::Sleep);
        self.script.push_back((random.millis(1..longest), Act::Wake));
    }

    /// Takes little for a while.
    fn dawdle(&mut self, random: &mut Random) {
        let every = random.millis(5..300);
        let bytes = random.within(1..100);
        self.then(random, 50, Act::Trickle(bytes, every));
        self.then(random, 3000, Act::Wake);
    }

    /// Adds an act after a pause of less than so many milliseconds, and often none.
    fn then(&mut self, random: &mut Random, most_millis: usize, act: Act) {
        let pause = if random.chance(25) { Duration::ZERO } else { random.millis(0..most_millis.max(1)) };
        self.script.push_back((pause, act));
    }

    /// Says it whole, in two parts, or byte by byte.
    fn say(&mut self, random: &mut Random, mut speech: Speech) {
        let bytes = speech.bytes.len();
        let cuts = match random.below(10) {
            0..2 => 1,
            2 if bytes < 400 => bytes - 1,
            _ => 0,
        };
        for _ in 0..cuts {
            let part = if cuts == 1 { random.within(0..bytes) } else { 1 };
            let rest = Speech { bytes: speech.bytes.split_off(part), ..Speech::default() };
            self.then(random, 3, Act::Begin(std::mem::replace(&mut speech, rest)));
        }
        self.then(random, 500, Act::Say(speech));
    }

    /// The end of the script: politely, hastily, without a word, or not at all.
    fn leave(&mut self, random: &mut Random, may_stay: bool) {
        let code = random.pick(&CODES);
        match random.below(if may_stay { 14 } else { 8 }) {
            0..4 => self.then(random, 20_000, Act::Close(code)),
            4 => self.then(random, 1000, Act::CloseHastily(code)),
            5 => {
                self.then(random, 1000, Act::CloseHastily(code));
                self.script.push_back((Duration::ZERO, Act::End));
            }
            6 => self.then(random, 5000, Act::End),
            7 => self.then(random, 5000, Act::Reset),
            _ => {}
        }
    }
}

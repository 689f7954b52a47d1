//! The whole core: the server's own turn over sockets in memory, with a clock that is told. It may be alone, one of the
//! workers of a production crew, or the worker of a supervisor that says anything. Whatever clients and supervisors send and
//! whenever they stop, it comes to rest, leaves when it is told to, answers, and begins nothing that it does not go on with.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use slackwater::http::door::Door;
use slackwater::process::crew::Signal;
use slackwater::server::control::Control;
use slackwater_fuzz::line::Line;
use slackwater_fuzz::voice::dismisses;
use slackwater_fuzz::within;
use slackwater_fuzz::world::{MAX_CLIENTS, World};

/// So many acts are played.
const MAX_ACTS: usize = 100;

/// What all of it takes at most, the clients' side with it.
const MOST_BYTES: usize = 64 << 20;

/// The next act comes in the same turn as this one.
const AT_ONCE: u8 = 0x80;

const PATHS: [&str; 8] =
    ["/healthz", "/readyz", "/metrics", "/status", "/", "/nowhere", "/ws", "/status?x=%41"];

// First who serves: `W` and how many workers, or `S` and whether it is let serve, and then how much a link holds; or else
// one alone. Then a list of acts, three octets each: what (as a digit or a letter), by which client, how much; then so many
// octets for what is sent. Nobody takes a turn behind an act with the highest bit.
fuzz_target!(|input: &[u8]| within(MOST_BYTES, || {
    let (mut world, acts) = match input {
        [b'W', how, capacity, acts @ ..] => {
            (World::crewed(usize::from(how % 4).clamp(1, 3), bytes(*capacity), how & 4 == 0), acts)
        }
        [b'S', how, capacity, acts @ ..] => (World::guided(bytes(*capacity), how % 2 == 1), acts),
        acts => (World::alone(), acts),
    };
    world.come_to_rest();
    play(acts, &mut world);
    world.check_streams();
}));

fn play(mut rest: &[u8], world: &mut World) {
    for _ in 0..MAX_ACTS {
        let Some((&[what, who, much], behind)) = rest.split_first_chunk() else {
            break;
        };
        rest = behind;
        let content = || rest.split_off(..usize::from(much).min(rest.len())).unwrap_or_default();
        act(world, (what & !AT_ONCE, who, much), content);
        if what & AT_ONCE == 0 {
            world.come_to_rest();
        }
        if world.has_ended() {
            return;
        }
    }
    world.leave();
}

fn act<'a>(world: &mut World, (what, who, much): (u8, u8, u8), content: impl FnOnce() -> &'a [u8]) {
    let nth = usize::from(who) % MAX_CLIENTS;
    match what {
        b'A'..=b'F' => return speak(world, (what, who, much), content()),
        b'G'..=b'K' => return govern(world, (what, nth, much)),
        _ => {}
    }
    match what % 16 {
        0 => world.connect(nth, if much % 2 == 0 { Door::Public } else { Door::Admin }),
        1 => world.client(nth, |client| client.send(content())),
        2 => world.client(nth, |client| client.say(content())),
        3 => world.client(nth, |client| client.publish(content())),
        4 => world.client(nth, |client| {
            client.upgrade("/ws");
            client.is_browser = much % 2 == 1;
        }),
        5 => world.client(nth, |client| {
            client.line.borrow_mut().read((much < 255).then(|| usize::from(much) * 64))
        }),
        6 => world.client(nth, |client| end(&mut client.line.borrow_mut(), much % 2 == 1)),
        7 if nth == 0 => world.worker(usize::from(much), |process| process.signal(Control::Leave("SIGTERM"))),
        7 => world.sleep(Duration::from_millis(40) * u32::from(much)),
        8 => world.client(nth, |client| client.get(PATHS[usize::from(much) % PATHS.len()])),
        9 => world.client(nth, |client| {
            client.upgrade(&format!("/ws?topic=*&last_event_id=0000beef-{much}"));
            client.is_browser = true;
        }),
        _ => {}
    }
}

/// What the supervisor does that says anything.
fn speak(world: &mut World, (what, who, much): (u8, u8, u8), content: &[u8]) {
    match what {
        b'A' => world.voice(|voice, _| voice.babble(content)),
        b'B' => world.voice(|voice, now| {
            let message = voice.message(who, content, now);
            voice.say(&message);
            voice.has_dismissed |= dismisses(who);
        }),
        // In two pieces, or with its end cut off for ever.
        b'C' | b'D' => {
            let mut end = Vec::new();
            world.voice(|voice, now| {
                let message = voice.message(who, content, now);
                let (begin, rest) = message.split_at(usize::from(much) % (message.len() + 1));
                voice.say(begin);
                voice.is_sound &= what == b'C' || rest.is_empty() || begin.is_empty();
                end = rest.to_vec();
            });
            world.come_to_rest();
            if what == b'C' {
                world.voice(|voice, _| voice.say(&end));
                world.voice(|voice, _| voice.has_dismissed |= dismisses(who));
            }
        }
        b'E' => world.voice(|voice, _| voice.take((much < 255).then(|| usize::from(much) * 64))),
        _ => world.voice(|voice, _| voice.lose(much % 2 == 1)),
    }
}

/// What happens to a crew.
fn govern(world: &mut World, (what, nth, much): (u8, usize, u8)) {
    match what {
        b'G' => world.worker(nth, |process| process.is_frozen ^= true),
        b'H' => world.headquarters(|headquarters, _| {
            let signals = [Signal::Grow, Signal::Shrink, Signal::Leave("SIGTERM")];
            headquarters.signal(signals[usize::from(much) % signals.len()]);
        }),
        b'I' => world.headquarters(|headquarters, workers| {
            let id = workers.get(nth % workers.len().max(1)).map(|worker| worker.id);
            id.into_iter().for_each(|id| headquarters.kill(id, workers));
        }),
        b'J' => world.headquarters(|headquarters, _| headquarters.resize(bytes(much))),
        _ => world.behead(),
    }
}

fn end(line: &mut Line, breaks: bool) {
    if breaks { line.fail() } else { line.end() }
}

/// How much a link holds.
fn bytes(exponent: u8) -> usize {
    64 << (exponent % 13)
}

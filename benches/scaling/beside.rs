//! This build of the server beside another one, such as the one before a change: in turn, so that each ratio is of
//! neighbours in time. What costs nothing has a ratio of 1, and so has compression that is on and that nobody asks for.

use std::array;

use super::common::figures::{Spread, grouped};
use super::common::load::{Load, Pace};
use super::common::machine::Cores;
use super::common::notifications::Notifications;
use super::common::program::Program;
use super::common::publisher::Request;
use super::encodings::COMPRESSING;
use super::extent::Extent;
use super::idling::Idle;
use super::orders::{FanOut, Order, Took};
use super::side::Side;
use super::trigger::Kind;

/// The other build, this one, and this one with compression on.
const BUILDS: usize = 3;

const WORKERS: [usize; 3] = [1, 2, 4];

const PIPELINED: u64 = 128;

const LINES: u64 = 1_000;

/// The figures of all builds, round by round.
type Rounds = Vec<[f64; BUILDS]>;

/// Measures and prints.
pub fn run(other: &str, extent: &Extent, cores: Option<Cores>) {
    println!(
        "{:<52} {:>22} {:>22} {:>22} {:>22}",
        "", "the other", "this one", "÷ the other", "compression on ÷ other"
    );
    for clients in &extent.sizes {
        with_clients(other, *clients, extent, cores);
    }
    for workers in WORKERS {
        publishing(other, workers, extent, cores);
    }
}

fn servers(other: &str, workers: usize, cores: Option<Cores>) -> [Program; BUILDS] {
    let own = env!("CARGO_BIN_EXE_slackwater");
    [(other, ""), (own, ""), (own, COMPRESSING)]
        .map(|(path, flags)| Program::server_at(path, cores, workers, flags).expect("the server starts"))
}

fn with_clients(other: &str, clients: usize, extent: &Extent, cores: Option<Cores>) {
    let mut sides = servers(other, 1, cores).map(|program| Side::of_server(Kind::Server, program));
    let name = |what: &str| format!("{} clients: {what}", grouped(clients as f64, 0));
    let empty = sides.each_ref().map(|side| side.program.resident());
    let rounds = in_turn(extent.steps, |build| sides[build].connect(clients / extent.steps).1);
    print(&name("connecting, CPU µs"), &rounds);
    let connected = clients / extent.steps * extent.steps;
    let idle: [Idle; BUILDS] = array::from_fn(|build| {
        Idle::measure(&sides[build].program, empty[build], connected, || std::thread::sleep(extent.idle))
    });
    // Of memory there is but one figure. The part that is no file's does not grow with the program itself.
    print(&name("resident B each"), &vec![idle.map(|idle| idle.resident_bytes); 2]);
    print(&name("of which anonymous"), &vec![idle.map(|idle| idle.anonymous_bytes); 2]);
    for notifications in Notifications::all() {
        let times = extent.publications(connected);
        let fan_out = FanOut { data: notifications.values, at_once: 1, times };
        let rounds = in_turn(extent.rounds + 1, |build| sides[build].fan_out(&fan_out, connected).1);
        // The first round is for getting warm.
        print(&name(&format!("a delivery of {}, CPU µs", notifications.name)), &rounds[1..].to_vec());
    }
    let visits = extent.visits / extent.rounds;
    let rounds = in_turn(extent.rounds, |build| {
        let (_, cpu_us): (Took, f64) = sides[build].ask(&Order::Churn { visits }, visits as u64);
        cpu_us
    });
    print(&name("a visit, CPU µs"), &rounds);
}

/// Publications that one client hears.
fn publishing(other: &str, workers: usize, extent: &Extent, cores: Option<Cores>) {
    let programs = servers(other, workers, cores);
    let mut loads = programs.each_ref().map(|program| Load::on_server(program.address, 1));
    let measures = [
        ("a pipelined POST", Request::single(), 2_000, PIPELINED),
        ("a line of NDJSON", Request::lines(LINES), 20, 1),
    ];
    for (what, request, times, unanswered) in measures {
        let rounds = in_turn(2 * extent.rounds + 1, |build| {
            let before = programs[build].cpu();
            loads[build].publish(&request, times, Pace::Unanswered(unanswered));
            programs[build].settle();
            let publications = times * request.publications;
            (programs[build].cpu() - before).as_secs_f64() * 1e6 / publications as f64
        });
        print(&format!("{workers} workers: {what}, CPU µs"), &rounds[1..].to_vec());
    }
}

/// Asks each build in each round; nobody always comes first.
fn in_turn(rounds: usize, mut ask: impl FnMut(usize) -> f64) -> Rounds {
    let in_round = |round: usize| {
        let mut figures = [0.0; BUILDS];
        for build in (0..BUILDS).map(|place| (place + round) % BUILDS) {
            figures[build] = ask(build);
        }
        figures
    };
    (0..rounds).map(in_round).collect()
}

fn print(what: &str, rounds: &Rounds) {
    let spread = |figure: &dyn Fn(&[f64; BUILDS]) -> f64| Spread::of(rounds.iter().map(figure));
    let (other, own) = (spread(&|[other, ..]| *other), spread(&|[_, own, _]| *own));
    let ratio = spread(&|[other, own, _]| own / other);
    let compressing = spread(&|[other, _, compressing]| compressing / other);
    println!("{what:<52} {other:>22.2} {own:>22.2} {ratio:>22.3} {compressing:>22.3}");
}

//! Publishing: publications a second over HTTP, and many publications to many clients against one write for each.
//! `cargo bench --bench publish`, with `-- --quick` for a glance; with `-- --engine` by way of a Redis, and beside it without one. What the figures mean: `benches/README.md`.

mod common;

use std::process::ExitCode;

use common::figures::{Row, Sample, print_ratios, print_table};
use common::load::{Load, Pace};
use common::machine::{self, Cores};
use common::program::Program;
use common::publisher::Request;
use common::redis::Redis;

const CLIENTS: usize = 1000;

/// So many workers share the relay, beside the server of one process that needs none.
const RELAYED: [usize; 2] = [2, 4];

/// Publications of one request, in batches.
const BATCH: u64 = 1000;

/// Requests under way, when they are pipelined.
const PIPELINED: u64 = 128;

/// How much is measured.
struct Extent {
    rounds: usize,
    /// Requests of one round.
    one_after_the_other: u64,
    pipelined: u64,
    batches: u64,
    /// Publications of one round that reach all clients before the next one is made.
    one_by_one: u64,
}

const FULL: Extent =
    Extent { rounds: 5, one_after_the_other: 5_000, pipelined: 50_000, batches: 200, one_by_one: 200 };
const QUICK: Extent =
    Extent { rounds: 3, one_after_the_other: 1_000, pipelined: 20_000, batches: 50, one_by_one: 50 };

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => bench(&FULL),
        ["--quick"] => bench(&QUICK),
        ["--engine"] => return bench_engine(&FULL),
        ["--engine", "--quick"] => return bench_engine(&QUICK),
        // What this program starts itself as.
        ["--floor", clients] => {
            common::floor::run(clients.parse().expect("a number")).expect("the floor holds");
        }
        _ => {
            eprintln!("usage: cargo bench --bench publish [-- [--engine] [--quick]]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn bench(extent: &Extent) {
    // The clients of the server and those of the floor.
    let wanted = 2 * CLIENTS as u64 + 100;
    let granted = rlimit::increase_nofile_limit(wanted).expect("the limit can be asked for");
    assert!(
        granted >= wanted,
        "{wanted} open files are needed, and the limit is {granted}: ulimit -n {wanted}"
    );
    let cores = Cores::part();
    let unheard = publications(extent, cores, 1, 0);
    let heard = publications(extent, cores, 1, 1);
    let relayed = RELAYED.map(|workers| (workers, publications(extent, cores, workers, 1)));
    let fan_out = FanOut::measure(extent, cores);

    println!("\n{}", machine::describe(cores));
    println!("{} rounds each: median (least–most)\n", extent.rounds);
    print_table("publications nobody listens to", &unheard.each_ref());
    print_table("publications one listens to", &heard.each_ref());
    for (workers, rows) in &relayed {
        print_table(&format!("the same with {workers} workers"), &rows.each_ref());
        let ratios = std::array::from_fn::<_, 4, _>(|row| (rows[row].name, &rows[row], &heard[row]));
        print_ratios(&format!("{workers} workers ÷ one process"), &ratios);
    }
    fan_out.print();
}

/// Publications over HTTP to a server of so many processes, while so many listen. A publisher and a listener are on
/// whichever worker the kernel has put them.
fn publications(extent: &Extent, cores: Option<Cores>, workers: usize, subscribers: usize) -> [Row; 4] {
    let server = Program::server_with(cores, workers, "").expect("the server starts");
    let mut load = Load::on_server(server.address, subscribers);
    let rows = measures(extent).map(|(name, request, times, pace)| {
        eprintln!("{workers} workers, {subscribers} listening: {name} …");
        let mut row = Row::new(name);
        load.publish(&request, times / 10, pace);
        for _ in 0..extent.rounds {
            let count = times * request.publications;
            row.samples.push(Sample::of(&server, count, || load.publish(&request, times, pace)));
        }
        row
    });
    load.expect_silence();
    rows
}

/// How is published, with what, how often and how fast.
type Measure = (&'static str, Request, u64, Pace);

fn measures(extent: &Extent) -> [Measure; 4] {
    [
        ("one POST after the other", Request::single(), extent.one_after_the_other, Pace::Unanswered(1)),
        ("the next once it was heard", Request::single(), extent.one_after_the_other, Pace::Heard),
        ("POSTs pipelined", Request::single(), extent.pipelined, Pace::Unanswered(PIPELINED)),
        ("NDJSON, 1,000 lines a POST", Request::lines(BATCH), extent.batches, Pace::Unanswered(1)),
    ]
}

/// The same publications, which one listens to, by way of an engine on this machine and without one, round by round.
fn bench_engine(extent: &Extent) -> ExitCode {
    let cores = Cores::part();
    let redis = match Redis::start(cores) {
        Ok(redis) => redis,
        Err(why) => {
            eprintln!("cannot start redis-server: {why}: install it (Debian: redis-server)");
            return ExitCode::FAILURE;
        }
    };
    let servers =
        ["", &redis.flag()].map(|flags| Program::server_with(cores, 1, flags).expect("the server starts"));
    let mut loads = servers.each_ref().map(|server| Load::on_server(server.address, 1));
    let rows = measures(extent).map(|(name, request, times, pace)| {
        eprintln!("{name} …");
        let mut rows = [Row::new(name), Row::new(name)];
        loads.iter_mut().for_each(|load| load.publish(&request, times / 10, pace));
        for _ in 0..extent.rounds {
            for ((row, load), server) in rows.iter_mut().zip(&mut loads).zip(&servers) {
                let count = times * request.publications;
                row.samples.push(Sample::of(server, count, || load.publish(&request, times, pace)));
            }
        }
        rows
    });
    loads.iter_mut().for_each(Load::expect_silence);
    println!("\n{}", machine::describe(cores));
    println!("{} rounds each: median (least–most)\n", extent.rounds);
    print_table("without an engine", &rows.each_ref().map(|[without, _]| without));
    print_table("by way of a Redis", &rows.each_ref().map(|[_, with]| with));
    let ratios = rows.each_ref().map(|[without, with]| (with.name, with, without));
    print_ratios("with ÷ without", &ratios);
    ExitCode::SUCCESS
}

/// Publications to all clients: in one turn of the server, in a few, and in a turn for each, so that each is a write
/// of its own. Those have reached everyone before the next is made; the floor does without that wait, and with it.
struct FanOut {
    in_one_turn: Row,
    in_hundreds: Row,
    one_by_one: Row,
    floor: Row,
    floor_awaited: Row,
}

impl FanOut {
    fn measure(extent: &Extent, cores: Option<Cores>) -> Self {
        eprintln!("{CLIENTS} listening: they connect …");
        let (server, floor) = (Program::server(cores), Program::floor(cores, CLIENTS));
        let mut load = Load::on_server(server.address, CLIENTS);
        let mut floor_load = Load::on_floor(floor.address, CLIENTS);
        let mut fan_out = Self {
            in_one_turn: Row::new("1,000 a turn"),
            in_hundreds: Row::new("100 a turn"),
            one_by_one: Row::new("one by one"),
            floor: Row::new("floor, a bare loop of send(2)"),
            floor_awaited: Row::new("floor, one by one"),
        };
        load.publish(&Request::lines(1), 10, Pace::Heard);
        for round in 1..=extent.rounds {
            eprintln!("{CLIENTS} listening: round {round} of {} …", extent.rounds);
            let mut publish = |row: &mut Row, a_turn, count| {
                let request = Request::lines(a_turn);
                let act = || load.publish(&request, count / a_turn, Pace::Heard);
                row.samples.push(Sample::of(&server, count * CLIENTS as u64, act));
            };
            publish(&mut fan_out.in_one_turn, BATCH, BATCH);
            publish(&mut fan_out.in_hundreds, 100, BATCH);
            publish(&mut fan_out.one_by_one, 1, extent.one_by_one);
            // The very bytes that the server has just sent, but for epoch and time.
            let (count, before) = (extent.one_by_one, load.newest - extent.one_by_one);
            let mut send = |row: &mut Row, at_once: u64| {
                let mut next = |n| floor_load.have_sent(&floor, before + n * at_once, at_once);
                let act = || (0..count / at_once).for_each(&mut next);
                row.samples.push(Sample::of(&floor, count * CLIENTS as u64, act));
            };
            send(&mut fan_out.floor, count);
            send(&mut fan_out.floor_awaited, 1);
        }
        load.expect_silence();
        floor_load.expect_silence();
        fan_out
    }

    fn print(&self) {
        let Self { in_one_turn, in_hundreds, one_by_one, floor, floor_awaited } = self;
        print_table(
            "deliveries to 1,000 clients",
            &[in_one_turn, in_hundreds, one_by_one, floor, floor_awaited],
        );
        let ratios = [
            ("1,000 a turn ÷ floor", in_one_turn, floor),
            ("100 a turn ÷ floor", in_hundreds, floor),
            ("1,000 a turn ÷ one by one", in_one_turn, one_by_one),
            ("1,000 a turn ÷ floor one by one", in_one_turn, floor_awaited),
            ("100 a turn ÷ floor one by one", in_hundreds, floor_awaited),
            ("one by one ÷ floor one by one", one_by_one, floor_awaited),
        ];
        print_ratios("how many times, round by round", &ratios);
    }
}

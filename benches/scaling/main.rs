//! Connection scaling: what connecting, idling, fan-outs and leaving cost with 100 to 15,000 clients, beside the least
//! that any server must do. `cargo bench --bench scaling`, with `-- --quick` for a glance; with `-- --encodings` what a
//! delivery costs that is compressed, or an event of a stream; with `-- --tls` what TLS costs; with `-- --beside SERVER`
//! what this build costs beside another one. What the figures mean: `benches/README.md`.

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod bearer;
mod beside;
mod connecting;
mod crowd;
mod delivery;
mod encodings;
mod encodings_table;
mod extent;
mod floor;
mod goals;
mod handshakes;
mod idling;
mod load;
mod orders;
mod page;
mod payload;
mod plot;
mod prober;
mod reader;
mod report;
mod rung;
mod side;
mod table;
#[cfg(feature = "tls")]
mod tls;
mod trigger;

use std::process::ExitCode;
use std::time::Instant;

use mio::net::TcpStream;

use batch::Batch;
use common::figures::grouped;
use common::machine::{self, Cores};
use common::program::Refused;
use common::urgency::Urgency;
use extent::{Extent, MANY_CLIENTS, MEMORY_CLIENTS};
use idling::Idle;
use orders::{Order, Took};
use report::{Pinged, Report};
use rung::Rung;
use side::Side;
use trigger::Kind;

/// The server's own default.
const DEFAULT_PINGS: &str = "--ws-ping-interval 20";

const WORKERS: usize = 2;

/// Above this the figures are those of a busy machine.
const DISTURBING_PERCENT: f64 = 4.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_quick = args.iter().any(|arg| arg == "--quick");
    let extent = if is_quick { Extent::quick() } else { Extent::full() };
    let address = |text: &str| text.parse().expect("an address");
    match args.iter().map(String::as_str).filter(|arg| *arg != "--quick").collect::<Vec<_>>()[..] {
        [] => bench(extent),
        ["--encodings"] => encodings(extent.for_encodings()),
        ["--tls"] => tls(extent.for_tls()),
        ["--beside", other] => beside(other, extent.for_builds()),
        // What this program starts itself as.
        ["--floor"] => floor::run().expect("the floor holds"),
        ["--load", kind, program] => {
            let kind = Kind::named(kind).expect("a kind of program");
            load::run::<TcpStream>(kind, address(program), ()).expect("the load goes on");
        }
        #[cfg(feature = "tls")]
        ["--load", kind, program, version, authority] => {
            let kind = Kind::named(kind).expect("a kind of program");
            tls::run_load(kind, address(program), version, authority.as_ref()).expect("the load goes on");
        }
        #[cfg(feature = "tls")]
        ["--knocker", server] => tls::run_knocker(address(server)).expect("the knocker goes on"),
        #[cfg(feature = "tls")]
        ["--ceiling"] => tls::run_ceiling().expect("the ceiling holds"),
        ["--prober", server] => prober::run(address(server)).expect("the prober goes on"),
        _ => {
            eprintln!(
                "usage: cargo bench --bench scaling [-- [--encodings | --tls | --beside SERVER] [--quick]]"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn bench(extent: Extent) {
    let start = Instant::now();
    let extent = extent.within_limits();
    let (cores, urgency) = (Cores::part(), Urgency::permitted());
    let mut notes = notes(&extent, urgency);
    let measure = |clients: &usize| Rung::measure(*clients, 1, &extent, cores, urgency);
    let mut rungs: Vec<Rung> =
        extent.sizes.iter().map(|clients| measure(clients).expect("the server starts")).collect();
    match workers(&extent, cores, urgency) {
        Ok(more) => rungs.extend(more),
        Err(Refused(code)) => notes.push(format!(
            "left out: --workers {WORKERS}, which this server refuses (exit code {})",
            code.map_or_else(|| "none".to_owned(), |code| code.to_string())
        )),
    }
    let batch = Batch::measure(&extent, cores);
    let pinged = pinged(&extent, cores);
    notes.extend(disturbance(&rungs));
    notes.push(format!("measured in {:.0} s", start.elapsed().as_secs_f64()));
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_slackwater")).expect("the server is a file");
    let mut report = Report {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        machine: machine::describe(cores),
        is_quick: extent.is_quick,
        notes,
        rungs,
        batch,
        pinged,
        binary_bytes: binary.len(),
        goals: Vec::new(),
    };
    report.goals = goals::of(&report);
    table::print(&report);
    let [json, html] = report.write().expect("the report can be written");
    println!("\n{}\n{}", json.display(), html.display());
}

/// What a delivery costs in each encoding.
fn encodings(extent: Extent) {
    let extent = extent.within_limits();
    let cores = Cores::part();
    let all = encodings::measure(&extent, cores);
    head(&extent, cores);
    encodings_table::print(&all);
    println!("\n{}", report::write_encodings(&all).expect("they can be written").display());
}

/// What TLS costs.
#[cfg(feature = "tls")]
fn tls(extent: Extent) {
    let extent = extent.within_limits();
    let (cores, start) = (Cores::part(), Instant::now());
    let report = tls::measure(&extent, cores);
    head(&extent, cores);
    println!("measured in {:.0} s", start.elapsed().as_secs_f64());
    report.print();
    println!("\n{}", report::write_tls(&report).expect("it can be written").display());
}

#[cfg(not(feature = "tls"))]
fn tls(_: Extent) {
    println!("nothing to measure: this build has no TLS (the feature 'tls' is left out)");
}

/// What this build costs beside another one.
fn beside(other: &str, extent: Extent) {
    let extent = extent.within_limits();
    let cores = Cores::part();
    head(&extent, cores);
    beside::run(other, &extent, cores);
}

fn head(extent: &Extent, cores: Option<Cores>) {
    println!("\n{}\n{} rounds each: median (least–most)", machine::describe(cores), extent.rounds);
    if let Some(left_out) = left_out(extent) {
        println!("{left_out}");
    }
}

/// What was left out, and what to know about the figures.
fn notes(extent: &Extent, urgency: Urgency) -> Vec<String> {
    let mut notes = vec![urgency.describe().to_owned()];
    if extent.is_quick {
        notes.push(
            "a glance (--quick): fewer clients and rounds, so that some figures to reach are not measured"
                .to_owned(),
        );
    }
    notes.extend(left_out(extent));
    notes
}

fn left_out(extent: &Extent) -> Option<String> {
    let sizes: Vec<String> = extent.left_out.iter().map(|clients| grouped(*clients as f64, 0)).collect();
    (!sizes.is_empty()).then(|| {
        format!(
            "left out: {} clients, for which the limit of {} open files is too low (ulimit -n)",
            sizes.join(" and "),
            grouped(extent.descriptors as f64, 0)
        )
    })
}

/// Whether somebody else was using the server's core. Workers may have to share it, and are not asked; nor are few
/// clients, with whom the server is woken so often that the waking itself counts.
fn disturbance(rungs: &[Rung]) -> Option<String> {
    let asked = rungs.iter().filter(|rung| rung.workers == 1 && rung.clients >= MANY_CLIENTS);
    let worst = asked.map(|rung| rung.kept_waiting_percent).fold(0.0, f64::max);
    (worst > DISTURBING_PERCENT).then(|| {
        format!(
            "others had the server's core for {worst:.0} % of the time in which it could have run: \
             measure again when nothing else is running"
        )
    })
}

fn workers(extent: &Extent, cores: Option<Cores>, urgency: Urgency) -> Result<Vec<Rung>, Refused> {
    let extent = extent.for_workers();
    extent.sizes.iter().map(|clients| Rung::measure(*clients, WORKERS, &extent, cores, urgency)).collect()
}

/// An idle server as it is by default: its clients are pinged, and answer.
fn pinged(extent: &Extent, cores: Option<Cores>) -> Pinged {
    let most = *extent.sizes.last().expect("the limit on open files allows some clients");
    let clients = most.min(MEMORY_CLIENTS);
    eprintln!("{} clients: they are pinged …", grouped(clients as f64, 0));
    let mut server = Side::server(cores, 1, DEFAULT_PINGS).expect("the server starts");
    let empty = server.program.resident();
    server.connect(clients);
    let milliseconds = u64::try_from(extent.pinged.as_millis()).expect("it is a short time");
    let idle = Idle::measure(&server.program, empty, clients, || {
        let _: Took = server.load.ask(&Order::Listen { milliseconds });
    });
    Pinged { clients, idle }
}

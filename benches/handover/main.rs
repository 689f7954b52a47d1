//! Handing over: for how long nobody is read from while 1,000 to 15,000 clients move to the next process, again and again,
//! with publications, half messages and newcomers under way; and that nobody is cut and nothing is lost by it.
//! `cargo bench --bench handover`, with `-- --quick` for a glance; with `-- --endless` under load that never ends; with
//! `-- --history` with a large history; with `-- --workers`, or `-- --workers --endless`, for up to 60,000 clients of a server with
//! four workers. What the figures mean: `benches/README.md`.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod extent;
mod faults;
mod goals;
mod load;
mod loads;
mod obstacle;
mod orders;
mod prober;
mod rung;
mod server;
mod table;
mod visitors;

use std::process::ExitCode;
use std::time::Instant;

use common::figures::grouped;
use common::machine::{self, Cores};
use common::urgency::Urgency;
use extent::Plan;
use rung::Rung;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let address = |text: &str| text.parse().expect("an address");
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => return bench(Plan::usual()),
        ["--endless"] => return bench(Plan::endless()),
        ["--history"] => return bench(Plan::history()),
        ["--workers"] => return bench(Plan::workers()),
        ["--workers", "--endless"] | ["--endless", "--workers"] => return bench(Plan::endless_workers()),
        ["--quick"] => return bench(Plan::quick()),
        // What this program starts itself as.
        ["--load", server, number, traffic] => {
            let traffic = serde_json::from_str(traffic).expect("it was written by this program");
            let number = number.parse().expect("a number");
            load::run(address(server), number, traffic).expect("the load goes on");
        }
        ["--visitors", server, per_second] => {
            let per_second = per_second.parse().expect("a number");
            visitors::run(address(server), per_second).expect("visitors come");
        }
        ["--prober", server, probes] => {
            let probes = probes.parse().expect("a number");
            prober::run(address(server), probes).expect("the prober goes on");
        }
        _ => {
            eprintln!(
                "usage: cargo bench --bench handover [-- --endless | --history | --workers [--endless] | --quick]"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Fails when anything was lost, however long it took.
fn bench(plans: Vec<Plan>) -> ExitCode {
    let start = Instant::now();
    let (cores, urgency) = (Cores::part(), Urgency::permitted());
    let (mut rungs, mut left_out): (Vec<Rung>, Vec<(Plan, String)>) = Default::default();
    for plan in plans {
        match plan.obstacle() {
            None => rungs.push(Rung::measure(plan, cores, urgency)),
            Some(obstacle) => left_out.push((plan, obstacle)),
        }
    }
    println!("\n{}\n· {}", machine::describe(cores), urgency.describe());
    for (plan, obstacle) in left_out {
        let clients = grouped(plan.clients as f64, 0);
        println!("· left out: {clients} clients, {}: {obstacle}", plan.name);
    }
    println!("· measured in {:.0} s; median (least–most) of the hand-overs", start.elapsed().as_secs_f64());
    table::print(&rungs, &goals::of(&rungs));
    if rungs.iter().all(|rung| rung.heard.faults.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

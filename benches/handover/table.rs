//! The report in a terminal.

use super::common::figures::grouped;
use super::common::goal::Goal;
use super::rung::Rung;
use super::server::Standing;

const MIB: f64 = 1024.0 * 1024.0;

/// Prints all of it.
pub fn print(rungs: &[Rung], goals: &[Goal]) {
    for (place, rung) in rungs.iter().enumerate() {
        if place == 0 || rungs[place - 1].plan.name != rung.plan.name {
            println!("\n{}", rung.plan.name);
            let columns = [
                "nobody read from, ms",
                "slowest echo, ms",
                "µs a connection",
                "slowest answer, ms",
                "slowest visit, ms",
            ];
            row("", &columns.map(str::to_owned));
        }
        let ms = |figure: f64| format!("{figure:.1}");
        row(
            &rung.name(),
            &[
                format!("{:.0}", rung.silent_ms),
                format!("{:.1}", rung.echo_ms),
                ms(rung.us_a_connection),
                ms(rung.heard.worst_answer_ms),
                ms(rung.slowest_visit_ms),
            ],
        );
    }
    println!();
    for rung in rungs {
        details(rung);
    }
    println!("\nfigures to reach");
    println!("  {:<64} {:>8} {:>8} {:>10}  reached?", "", "must", "aim", "measured");
    for goal in goals {
        let [must, aim] = [goal.must, goal.aim].map(|bound| goal.bound_text(bound));
        let what =
            if goal.unit.is_empty() { goal.what.clone() } else { format!("{}, {}", goal.what, goal.unit) };
        println!("  {what:<64} {must:>8} {aim:>8} {:>10}  {}", goal.measured_text(), goal.verdict);
    }
}

fn details(rung: &Rung) {
    let (heard, faults) = (&rung.heard, rung.heard.faults);
    println!(
        "{}, {}: {} hand-overs, {} connections moved each time at least, {} stayed in all",
        rung.name(),
        rung.plan.name,
        rung.plan.handovers,
        grouped(rung.moved as f64, 0),
        rung.stayed
    );
    println!(
        "  disconnected {}, lost {}, doubled or out of order {}, messages unanswered {}: of {} publications, {} deliveries, \
         {} messages, {} visits",
        faults.disconnected,
        faults.lost,
        faults.doubled,
        faults.unanswered,
        grouped(heard.published as f64, 0),
        grouped(heard.deliveries as f64, 0),
        grouped(heard.messages as f64, 0),
        grouped(rung.visits as f64, 0)
    );
    let memory = |standing: &Standing| grouped(standing.resident as f64 / MIB, 1);
    println!(
        "  resident MiB {} before, {} after, {} at most; descriptors {} and {}; by the metric the last one took {} ms",
        memory(&rung.before),
        memory(&rung.after),
        grouped(rung.peak as f64 / MIB, 1),
        grouped(rung.before.descriptors as f64, 0),
        grouped(rung.after.descriptors as f64, 0),
        rung.metric_ms.map_or_else(|| "–".to_owned(), |ms| grouped(ms, 1)),
    );
}

fn row(name: &str, cells: &[String; 5]) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>20}")).collect();
    println!("  {name:<16}{cells}");
}

//! What TLS costs, in a terminal.

use super::Report;
use super::flood::{Flooded, PER_SECOND};
use super::rung::{Measured, Rung, Spent};
use super::shaking::Shaken;
use super::way::Cost;
use crate::common::figures::grouped;
use crate::common::goal::Goal;

/// Prints all of it.
pub fn print(report: &Report) {
    let proxies = &report.proxies;
    println!(
        "proxies: {}",
        if proxies.is_empty() { "none installed".to_owned() } else { proxies.join(", ") }
    );
    println!("\nhandshakes; a connection alone takes {:.1} µs of CPU", report.connection_cpu_us);
    line("", &["per second", "CPU µs each", "rustls in memory", "rustls ÷ it", "the same, connection apart"]);
    for shaken in &report.handshakes {
        handshake(shaken);
    }
    for rung in &report.rungs {
        clients(rung);
    }
    println!("\nfan-outs of 128 B while {PER_SECOND} others a second shake hands");
    line("", &["handshakes/s", "until the last has it, ms", "the worst, ms", "", ""]);
    for rung in &report.rungs {
        flood(rung.clients, &rung.flooded);
    }
    println!("\n{:<78} {:>10} {:>10} {:>10}  reached", "figures to reach", "must", "aim", "measured");
    for goal in &report.goals {
        print_goal(goal);
    }
}

fn handshake(shaken: &Shaken) {
    let kind = if shaken.is_resumed { "resumed" } else { "full" };
    let name = format!("  {}, {}, {}, {kind}", shaken.program, shaken.key, shaken.version.name());
    line(
        &name,
        &[
            format!("{:.0}", shaken.per_second),
            format!("{:.1}", shaken.cpu_us),
            format!("{:.1}", shaken.ceiling_us),
            format!("{:.2}", shaken.ratio),
            format!("{:.2}", shaken.ratio_without_connection),
        ],
    );
}

fn clients(rung: &Rung) {
    println!("\n{} clients", grouped(rung.clients as f64, 0));
    line(
        "  connecting, until they are welcomed",
        &["CPU µs", "÷ plain", "resident B each", "anonymous B each", ""],
    );
    for way in &rung.ways {
        let [cpu_us, ratio] = spent(&way.connect);
        let resident = both(way.resident_bytes);
        let anonymous = both(way.anonymous_bytes);
        line(&named(way), &[cpu_us, ratio, resident, anonymous, String::new()]);
    }
    let payloads = rung.ways.first().map_or(&[][..], |way| &way.fan_outs);
    for (place, payload) in payloads.iter().enumerate() {
        line(&format!("  they hear {}", payload.payload), &["CPU µs", "÷ plain", "B on the wire", "", ""]);
        for way in &rung.ways {
            let heard = &way.fan_outs[place];
            let [cpu_us, ratio] = spent(&heard.spent);
            line(&named(way), &[cpu_us, ratio, grouped(heard.wire_bytes, 0), String::new(), String::new()]);
        }
    }
}

fn named(way: &Measured) -> String {
    format!("    {}", way.name)
}

fn spent(spent: &Spent) -> [String; 2] {
    let proxy = match spent.proxy_cpu_us {
        0.0 => String::new(),
        proxy => format!(", the proxy {}", grouped(proxy, 1)),
    };
    [format!("{:.2}{proxy}", spent.cpu_us), format!("{:.2}", spent.ratio_to_plain)]
}

/// The proxy's part of it, where there is one.
fn both(bytes: Cost) -> String {
    let whole = grouped(bytes.whole(), 0);
    if bytes.proxy == 0.0 { whole } else { format!("{whole}, the proxy {}", grouped(bytes.proxy, 0)) }
}

fn flood(clients: usize, flooded: &Flooded) {
    let rows = [
        ("", String::new(), flooded.last_ms, flooded.worst_ms, 1),
        (
            ", flooded",
            format!("{:.0}", flooded.per_second),
            flooded.last_flooded_ms,
            flooded.worst_flooded_ms,
            1,
        ),
        (", flooded ÷ not", String::new(), flooded.last_ratio, flooded.worst_ratio, 2),
    ];
    for (what, rate, last, worst, digits) in rows {
        let name = format!("  {} clients{what}", grouped(clients as f64, 0));
        line(
            &name,
            &[rate, format!("{last:.digits$}"), format!("{worst:.digits$}"), String::new(), String::new()],
        );
    }
}

fn print_goal(goal: &Goal) {
    let (must, aim) = (goal.bound_text(goal.must), goal.bound_text(goal.aim));
    println!(
        "  {:<76} {must:>10} {aim:>10} {:>10}  {} {}",
        goal.what,
        goal.measured_text(),
        goal.verdict,
        goal.unit
    );
}

fn line(name: &str, cells: &[impl AsRef<str>; 5]) {
    let [first, second, third, fourth, last] = cells.each_ref().map(AsRef::as_ref);
    println!("{name:<44} {first:>32} {second:>25} {third:>26} {fourth:>26} {last:>26}");
}

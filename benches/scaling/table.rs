//! The report in a terminal.

use super::common::figures::{Spread, grouped};
use super::delivery::{Delivery, FannedOut};
use super::idling::Idle;
use super::report::Report;
use super::rung::Rung;

/// Prints all of it.
pub fn print(report: &Report) {
    println!("\n{}\n{}", report.machine, report.date);
    for note in &report.notes {
        println!("· {note}");
    }
    connecting(&report.rungs);
    idling(report);
    fan_outs(&report.rungs);
    handshakes(&report.rungs);
    batch(report);
    goals(report);
}

fn connecting(rungs: &[Rung]) {
    head(
        "connecting",
        &["per second", "CPU µs", "ratio to floor", "to one with epoll", "churn/s", "churn CPU µs"],
    );
    for rung in rungs {
        let Rung { connect, churn, .. } = rung;
        row(
            &rung.name(),
            &[
                grouped(connect.per_second.median, 0),
                format!("{:.1}", connect.cpu_us.median),
                ratio(connect.cpu_ratio),
                ratio(connect.cpu_ratio_to_watching),
                grouped(churn.per_second, 0),
                format!("{:.1}", churn.cpu_us),
            ],
        );
        let none = String::new;
        let (per_second, cpu) = (connect.floor_per_second.median, connect.floor_cpu_us.median);
        row("  floor", &[grouped(per_second, 0), format!("{cpu:.1}"), none(), none(), none(), none()]);
        let cpu = connect.watching_floor_cpu_us.median;
        row("  floor with epoll", &[none(), format!("{cpu:.1}"), none(), none(), none(), none()]);
        let (cpu, ratio) = (connect.by_token_cpu_us.median, ratio(connect.by_token_cpu_ratio));
        row(
            "  with a token: ratio to without",
            &[none(), format!("{cpu:.1}"), ratio, none(), none(), none()],
        );
    }
}

fn idling(report: &Report) {
    head("idling", &["B a client", "anonymous B", "empty KiB", "CPU µs/s", "wake-ups/s", "kept KiB"]);
    let cells = |idle: &Idle, kept: String| {
        [
            grouped(idle.resident_bytes, 0),
            grouped(idle.anonymous_bytes, 0),
            grouped(idle.empty_server_bytes as f64 / 1024.0, 0),
            grouped(idle.cpu_us_per_second, 0),
            grouped(idle.wakeups_per_second, 1),
            kept,
        ]
    };
    for rung in &report.rungs {
        row(&rung.name(), &cells(&rung.idle, grouped(rung.kept_bytes as f64 / 1024.0, 0)));
    }
    let name = format!("{} clients, pinged", grouped(report.pinged.clients as f64, 0));
    row(&name, &cells(&report.pinged.idle, "–".to_owned()));
}

fn fan_outs(rungs: &[Rung]) {
    let columns = ["server CPU µs", "ratio to floor", "deliveries/s", "first–last ms", "p50 ms", "p99 ms"];
    for payload in 0..rungs.first().map_or(0, |rung| rung.fan_outs.len()) {
        let FannedOut { payload: name, frame_bytes, .. } = rungs[0].fan_outs[payload];
        head(&format!("fan-out of {name} ({frame_bytes} B a frame)"), &columns);
        for rung in rungs {
            let fan_out = &rung.fan_outs[payload];
            row(&rung.name(), &delivery(&fan_out.server, ratio(fan_out.cpu_ratio)));
            row("  floor", &delivery(&fan_out.floor, String::new()));
        }
    }
}

fn delivery(delivery: &Delivery, ratio: String) -> [String; 6] {
    [
        format!("{:.2}", delivery.cpu_us.median),
        ratio,
        grouped(delivery.per_second.median, 0),
        format!("{:.2}", delivery.spread_ms.median),
        format!("{:.2}", delivery.p50_ms.median),
        format!("{:.2}", delivery.p99_ms.median),
    ]
}

fn handshakes(rungs: &[Rung]) {
    head(
        "handshakes, ms",
        &["idle p50", "idle worst", "during fan-outs p50", "p99", "worst", "server kept waiting"],
    );
    for rung in rungs {
        let (idle, during) = (&rung.handshakes.idle, &rung.handshakes.during_fan_out);
        row(
            &rung.name(),
            &[
                format!("{:.2}", idle.p50_ms),
                format!("{:.2}", idle.worst_ms),
                format!("{:.2}", during.p50_ms),
                format!("{:.2}", during.p99_ms),
                format!("{:.2} of {}", during.worst_ms, grouped(during.count as f64, 0)),
                format!("{:.2}", rung.handshakes.server_kept_waiting_ms),
            ],
        );
    }
}

fn batch(report: &Report) {
    let batch = &report.batch;
    let title = format!("{} publications, {} clients", batch.publications, grouped(batch.clients as f64, 0));
    println!("\n{title:<32} {:>42}", "deliveries/s");
    println!("  {:<30} {:>42}", "in one turn", batch.in_one_turn);
    println!("  {:<30} {:>42}", "floor, one write each", batch.one_write_each);
    println!("  {:<30} {:>42}", "floor, one write each, awaited", batch.one_write_each_awaited);
    println!("  {:<30} {:>42.1}", "times the faster floor", batch.ratio);
}

fn goals(report: &Report) {
    println!("\nfigures to reach");
    println!("  {:<88} {:>8} {:>8} {:>10}  reached?", "", "must", "aim", "measured");
    for goal in &report.goals {
        let [must, aim] = [goal.must, goal.aim].map(|bound| goal.bound_text(bound));
        let what =
            if goal.unit.is_empty() { goal.what.clone() } else { format!("{}, {}", goal.what, goal.unit) };
        println!("  {what:<88} {must:>8} {aim:>8} {:>10}  {}", goal.measured_text(), goal.verdict);
    }
}

fn head(title: &str, columns: &[&str; 6]) {
    println!();
    line(title, columns.map(str::to_owned).as_slice(), 20);
}

fn row(name: &str, cells: &[String; 6]) {
    line(&format!("  {name}"), cells, 20);
}

fn line(title: &str, cells: &[String], width: usize) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>width$}")).collect();
    println!("{title:<36}{cells}");
}

fn ratio(ratio: Spread) -> String {
    format!("{ratio:.2}")
}

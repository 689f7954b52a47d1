//! The figures to reach.

use super::common::figures::grouped;
use super::common::goal::{Bound, Goal};
use super::extent::{HANDSHAKE_CLIENTS, MANY_CLIENTS, MEMORY_CLIENTS};
use super::report::Report;
use super::rung::Rung;

const MIB: f64 = 1024.0 * 1024.0;

/// All of them, from what was measured with one process.
pub fn of(report: &Report) -> Vec<Goal> {
    let at = |clients: usize| report.rungs.iter().find(|rung| rung.workers == 1 && rung.clients == clients);
    let (memory, handshakes) = (at(MEMORY_CLIENTS), at(HANDSHAKE_CLIENTS));
    let many: Vec<&Rung> =
        report.rungs.iter().filter(|rung| rung.workers == 1 && rung.clients >= MANY_CLIENTS).collect();
    let fan_out = worst(&many, fan_out_ratio);
    let connect = worst(&many, |rung| rung.connect.cpu_ratio.median);
    let by_token = worst(&many, |rung| rung.connect.by_token_cpu_ratio.median);
    let watching = worst(&many, |rung| rung.connect.cpu_ratio_to_watching.median);
    let fan_out_bounds = [Bound::AtMost(1.10), Bound::AtMost(1.00)];
    vec![
        Goal::new(
            "resident bytes per idle WebSocket at 10,000, over the empty server",
            "B",
            [Bound::AtMost(320.0), Bound::AtMost(160.0)],
            memory.map(|rung| rung.idle.resident_bytes),
        ),
        Goal::new(
            named("fan-out CPU per delivery ÷ floor", &fan_out),
            "",
            fan_out_bounds,
            fan_out.as_ref().map(|(ratio, _)| *ratio),
        )
        .with_digits(3),
        Goal::new(
            "the same at 100 clients, where the request weighs",
            "",
            fan_out_bounds,
            at(100).map(fan_out_ratio),
        )
        .with_digits(3),
        Goal::new(
            "worst handshake during fan-outs to 15,000",
            "ms",
            [Bound::AtMost(10.0), Bound::AtMost(5.0)],
            handshakes.map(|rung| rung.handshakes.during_fan_out.worst_ms),
        )
        .with_digits(1),
        Goal::new(
            named("connect CPU ÷ floor's accept and 101", &connect),
            "",
            [Bound::AtMost(1.3), Bound::AtMost(1.1)],
            connect.as_ref().map(|(ratio, _)| *ratio),
        )
        .with_digits(2),
        Goal::new(
            named("to know: connect CPU ÷ a floor with epoll", &watching),
            "",
            [Bound::AtMost(1.3), Bound::AtMost(1.1)],
            watching.as_ref().map(|(ratio, _)| *ratio),
        )
        .with_digits(2),
        Goal::new(
            named("connect CPU with a token ÷ without", &by_token),
            "",
            [Bound::AtMost(1.5), Bound::AtMost(1.2)],
            by_token.as_ref().map(|(ratio, _)| *ratio),
        )
        .with_digits(2),
        Goal::new(
            "100 publications in one turn to 1,000, deliveries/s ÷ one write each",
            "",
            [Bound::AtLeast(5.0), Bound::AtLeast(10.0)],
            Some(report.batch.ratio.median),
        )
        .with_digits(1),
        Goal::new(
            "wake-ups of an idle server with 10,000 clients, pings apart (aim: deadlines only)",
            "/s",
            [Bound::AtMost(2.0), Bound::AtMost(0.0)],
            memory.map(|rung| rung.idle.wakeups_per_second),
        )
        .with_digits(1),
        Goal::new(
            "resident memory after 10,000 clients have left, over the empty server",
            "MiB",
            [Bound::AtMost(2.0), Bound::AtMost(2.0)],
            memory.map(|rung| rung.kept_bytes as f64 / MIB),
        )
        .with_digits(2),
        Goal::new(
            "release binary, stripped",
            "MiB",
            [Bound::AtMost(4.0), Bound::AtMost(4.0)],
            Some(report.binary_bytes as f64 / MIB),
        )
        .with_digits(2),
    ]
}

/// The worse of the payloads.
fn fan_out_ratio(rung: &Rung) -> f64 {
    rung.fan_outs.iter().map(|fan_out| fan_out.cpu_ratio.median).fold(0.0, f64::max)
}

/// The largest, and where it was measured.
fn worst<'a>(rungs: &[&'a Rung], figure: impl Fn(&Rung) -> f64) -> Option<(f64, &'a Rung)> {
    let figures = rungs.iter().map(|rung| (figure(rung), *rung));
    figures.max_by(|(a, _), (b, _)| a.total_cmp(b))
}

fn named(what: &str, worst: &Option<(f64, &Rung)>) -> String {
    match worst {
        Some((_, rung)) => {
            format!("{what}, the worst of all sizes from 1,000 on: {}", grouped(rung.clients as f64, 0))
        }
        None => what.to_owned(),
    }
}

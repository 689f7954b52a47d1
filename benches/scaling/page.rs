//! The report as one page that needs nothing else: the figures to reach, the plots, and the tables behind them.

use super::common::figures::{Spread, grouped};
use super::common::goal::{Goal, Verdict};
use super::delivery::FannedOut;
use super::plot::{Limit, Line, Plot, Point, Scale};
use super::report::Report;
use super::rung::Rung;

const STYLE: &str = include_str!("page.css");

/// The HTML.
pub fn of(report: &Report) -> String {
    let notes: String = report.notes.iter().map(|note| format!("<li>{}</li>\n", escaped(note))).collect();
    let goals: String = report.goals.iter().map(goal).collect();
    let plots: String =
        plots(report).iter().map(|plot| format!("<figure>\n{}</figure>\n", plot.draw())).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Slackwater: connection scaling</title>\n<style>\n{STYLE}</style>\n\
         <h1>Slackwater: connection scaling</h1>\n<p>{}</p>\n<p>{}</p>\n<ul>\n{notes}</ul>\n\
         <h2>Figures to reach</h2>\n<div class=\"scroll\"><table>\n\
         <tr><th></th><th>must</th><th>aim</th><th>measured</th><th class=\"verdict\">reached?</th></tr>\n\
         {goals}</table></div>\n\
         <h2>Over the number of connections</h2>\n\
         <p>Points are medians of rounds, bars go from the least to the most. The floor is a bare program that does \
         the same with nothing around it, measured in turn with the server.</p>\n\
         <div class=\"plots\">\n{plots}</div>\n\
         <h2>The figures behind them</h2>\n{}</html>\n",
        escaped(&report.machine),
        escaped(&report.date),
        tables(&report.rungs),
    )
}

fn goal(goal: &Goal) -> String {
    let class = match goal.verdict {
        Verdict::Aim => "aim",
        Verdict::Must => "must",
        Verdict::Missed => "missed",
        Verdict::NotMeasured => "not-measured",
    };
    let unit = if goal.unit.is_empty() { String::new() } else { format!(" {}", goal.unit) };
    format!(
        "<tr><td>{}</td><td>{}{unit}</td><td>{}{unit}</td><td>{}{unit}</td><td class=\"verdict {class}\">{}</td></tr>\n",
        escaped(&goal.what),
        goal.bound_text(goal.must),
        goal.bound_text(goal.aim),
        goal.measured_text(),
        goal.verdict
    )
}

fn plots(report: &Report) -> Vec<Plot> {
    let mut sizes: Vec<usize> = report.rungs.iter().map(|rung| rung.clients).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let plot = |title: &str, unit, lines: Vec<Line>, bounds: Vec<Limit>| Plot {
        title: title.to_owned(),
        unit,
        scale: Scale::Linear(0.0),
        sizes: sizes.clone(),
        // With one process only there is nothing to say about workers.
        lines: lines.into_iter().filter(|line| !line.points.is_empty()).collect(),
        bounds,
    };
    let line = |name, class, workers, figure: &dyn Fn(&Rung) -> Spread| {
        let rungs = report.rungs.iter().filter(|rung| rung.workers == workers);
        Line {
            name,
            class,
            points: rungs.map(|rung| Point { size: rung.clients, spread: figure(rung) }).collect(),
        }
    };
    let three = |server: &dyn Fn(&Rung) -> Spread, floor: &dyn Fn(&Rung) -> Spread| {
        vec![
            line("server", "server", 1, server),
            line("2 workers", "workers", 2, server),
            line("floor", "floor", 1, floor),
        ]
    };
    let limit = |name, figure| Limit { name, figure };
    let mut plots = Vec::new();
    for payload in 0..report.rungs.first().map_or(0, |rung| rung.fan_outs.len()) {
        let of = move |rung: &Rung, figure: &dyn Fn(&FannedOut) -> Spread| figure(&rung.fan_outs[payload]);
        let name = report.rungs[0].fan_outs[payload].payload;
        plots.push(plot(
            &format!("Fan-out of {name}: CPU per delivery"),
            "µs",
            three(&|rung| of(rung, &|it| it.server.cpu_us), &|rung| of(rung, &|it| it.floor.cpu_us)),
            vec![],
        ));
        plots.push(plot(
            &format!("Fan-out of {name}: deliveries per second"),
            "deliveries/s",
            three(&|rung| of(rung, &|it| it.server.per_second), &|rung| of(rung, &|it| it.floor.per_second)),
            vec![],
        ));
        let latencies = vec![
            line("p50", "server", 1, &|rung| of(rung, &|it| it.server.p50_ms)),
            line("p99", "other", 1, &|rung| of(rung, &|it| it.server.p99_ms)),
            line("floor p99", "floor", 1, &|rung| of(rung, &|it| it.floor.p99_ms)),
        ];
        let title = format!("Fan-out of {name}: from publication to receipt");
        plots.push(Plot { scale: Scale::Logarithmic, ..plot(&title, "ms", latencies, vec![]) });
    }
    let ratios = vec![
        line("128 B", "server", 1, &|rung| rung.fan_outs[0].cpu_ratio),
        line("2 KiB", "other", 1, &|rung| rung.fan_outs[1].cpu_ratio),
    ];
    let bounds = vec![limit("must", 1.10), limit("aim", 1.00)];
    let ratios = plot("Fan-out: CPU per delivery ÷ floor", "times, not from zero", ratios, bounds);
    plots.push(Plot { scale: Scale::Linear(0.8), ..ratios });
    let waits = vec![
        line("idle p50", "floor", 1, &|rung| one(rung.handshakes.idle.p50_ms)),
        line("p50", "server", 1, &|rung| one(rung.handshakes.during_fan_out.p50_ms)),
        line("p99", "other", 1, &|rung| one(rung.handshakes.during_fan_out.p99_ms)),
        line("worst", "worst", 1, &|rung| one(rung.handshakes.during_fan_out.worst_ms)),
    ];
    let waits = plot(
        "Handshakes during fan-outs, and idle",
        "ms",
        waits,
        vec![limit("must", 10.0), limit("aim", 5.0)],
    );
    plots.push(Plot { scale: Scale::Logarithmic, ..waits });
    plots.push(plot(
        "Resident memory per idle connection",
        "bytes over the empty server",
        vec![
            line("server", "server", 1, &|rung| one(rung.idle.resident_bytes)),
            line("2 workers", "workers", 2, &|rung| one(rung.idle.resident_bytes)),
        ],
        vec![limit("must (at 10,000)", 320.0), limit("aim", 160.0)],
    ));
    plots.push(plot(
        "Connecting: CPU per connection",
        "µs",
        [
            three(&|rung| rung.connect.cpu_us, &|rung| rung.connect.floor_cpu_us),
            vec![line("floor with epoll", "other", 1, &|rung| rung.connect.watching_floor_cpu_us)],
            vec![line("with a token", "worst", 1, &|rung| rung.connect.by_token_cpu_us)],
        ]
        .into_iter()
        .flatten()
        .collect(),
        vec![],
    ));
    plots.push(plot(
        "Connecting: connections per second",
        "connections/s",
        three(&|rung| rung.connect.per_second, &|rung| rung.connect.floor_per_second),
        vec![],
    ));
    plots.push(plot(
        "Connecting and leaving at once: CPU per visit",
        "µs",
        vec![
            line("server", "server", 1, &|rung| one(rung.churn.cpu_us)),
            line("2 workers", "workers", 2, &|rung| one(rung.churn.cpu_us)),
        ],
        vec![],
    ));
    plots
}

/// How a figure is found and written.
type Figure = fn(&Rung) -> String;

/// One for each number of workers.
fn tables(rungs: &[Rung]) -> String {
    let tables = rungs.chunk_by(|a, b| a.workers == b.workers).map(table);
    tables
        .map(|table| format!("<div class=\"scroll\"><table>\n{table}</table></div>\n<p>&nbsp;</p>\n"))
        .collect()
}

/// A line for each figure, a column for each number of connections.
fn table(rungs: &[Rung]) -> String {
    let figures: [(&str, Figure); 20] = [
        ("connections per second", |rung| grouped(rung.connect.per_second.median, 0)),
        ("connecting: CPU µs", |rung| format!("{:.1}", rung.connect.cpu_us.median)),
        ("÷ floor", |rung| format!("{:.2}", rung.connect.cpu_ratio.median)),
        ("÷ floor with epoll", |rung| format!("{:.2}", rung.connect.cpu_ratio_to_watching.median)),
        ("with a token: CPU µs", |rung| format!("{:.1}", rung.connect.by_token_cpu_us.median)),
        ("÷ without", |rung| format!("{:.2}", rung.connect.by_token_cpu_ratio.median)),
        ("visits per second", |rung| grouped(rung.churn.per_second, 0)),
        ("a visit: CPU µs", |rung| format!("{:.1}", rung.churn.cpu_us)),
        ("resident bytes a connection", |rung| grouped(rung.idle.resident_bytes, 0)),
        ("idle: CPU µs a second", |rung| grouped(rung.idle.cpu_us_per_second, 0)),
        ("idle: wake-ups a second", |rung| format!("{:.1}", rung.idle.wakeups_per_second)),
        ("128 B: CPU µs a delivery", |rung| format!("{:.2}", rung.fan_outs[0].server.cpu_us.median)),
        ("÷ floor", |rung| format!("{:.3}", rung.fan_outs[0].cpu_ratio.median)),
        ("first to last client, ms", |rung| format!("{:.2}", rung.fan_outs[0].server.spread_ms.median)),
        ("2 KiB: CPU µs a delivery", |rung| format!("{:.2}", rung.fan_outs[1].server.cpu_us.median)),
        ("÷ floor", |rung| format!("{:.3}", rung.fan_outs[1].cpu_ratio.median)),
        ("first to last client, ms", |rung| format!("{:.2}", rung.fan_outs[1].server.spread_ms.median)),
        ("worst handshake during fan-outs, ms", |rung| {
            format!("{:.2}", rung.handshakes.during_fan_out.worst_ms)
        }),
        ("the server kept waiting meanwhile, ms", |rung| {
            format!("{:.2}", rung.handshakes.server_kept_waiting_ms)
        }),
        ("kept after all have left, KiB", |rung| grouped(rung.kept_bytes as f64 / 1024.0, 0)),
    ];
    let heads: String = rungs.iter().map(|rung| format!("<th>{}</th>", rung.name())).collect();
    let line = |(name, figure): &(&str, Figure)| {
        let cells: String = rungs.iter().map(|rung| format!("<td>{}</td>", figure(rung))).collect();
        format!("<tr><td>{name}</td>{cells}</tr>\n")
    };
    format!("<tr><th></th>{heads}</tr>\n") + &figures.iter().map(line).collect::<String>()
}

/// A figure that was measured once.
fn one(figure: f64) -> Spread {
    Spread { median: figure, least: figure, most: figure }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

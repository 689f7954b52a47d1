//! What encodings cost, in a terminal.

use super::common::figures::grouped;
use super::encodings::Encoded;

/// Prints all of it, size by size.
pub fn print(all: &[Encoded]) {
    let mut sizes: Vec<&str> = Vec::new();
    for encoded in all {
        if !sizes.contains(&encoded.size) {
            sizes.push(encoded.size);
        }
    }
    for size in &sizes {
        deliveries(all, size);
    }
    println!("\nwhat compressing costs a publication, and its share of each delivery");
    line("", ["compressions", "CPU µs of it", "µs of a delivery", "of a plain one's CPU"].map(str::to_owned));
    for size in &sizes {
        shares(all, size);
    }
}

fn deliveries(all: &[Encoded], size: &str) {
    let of_size = || all.iter().filter(|encoded| encoded.size == size);
    let frame_bytes = of_size().next().map_or(0, |encoded| encoded.frame_bytes);
    println!("\npublications of {size} ({frame_bytes} B a plain frame)");
    line("", ["B a delivery", "server CPU µs", "÷ plain", "deliveries/s"].map(str::to_owned));
    for encoded in of_size() {
        println!("  {}", clients(encoded));
        for way in &encoded.ways {
            let bytes = grouped(way.wire_bytes, 0);
            let (cpu_us, ratio) = (format!("{:.2}", way.cpu_us), format!("{:.3}", way.cpu_ratio));
            line(&format!("    {}", way.name), [bytes, cpu_us, ratio, grouped(way.per_second.median, 0)]);
        }
    }
}

/// What it costs is taken from the fewest clients, where hardly anything else is in the figure.
fn shares(all: &[Encoded], size: &str) {
    let of_size = || all.iter().filter(|encoded| encoded.size == size);
    let Some(fewest) = of_size().min_by_key(|encoded| encoded.clients) else { return };
    if of_size().all(|encoded| encoded.compressed().compressions == 0.0) {
        return println!("  {size}: goes plain");
    }
    let cost = fewest.compression_us;
    println!("  {size}");
    for encoded in of_size() {
        let share_us = cost.median / encoded.clients as f64;
        let percent = 100.0 * share_us / encoded.plain().cpu_us.median;
        let compressions = format!("{:.2}", encoded.compressed().compressions);
        let cost = if encoded.clients == fewest.clients { format!("{cost:.1}") } else { String::new() };
        let cells = [compressions, cost, format!("{share_us:.4}"), format!("{percent:.2} %")];
        line(&format!("    {}", clients(encoded)), cells);
    }
}

fn clients(encoded: &Encoded) -> String {
    let end = if encoded.clients == 1 { "" } else { "s" };
    format!("{} client{end}", grouped(encoded.clients as f64, 0))
}

fn line(name: &str, cells: [String; 4]) {
    let [first, second, third, last] = cells;
    println!("{name:<32} {first:>14} {second:>26} {third:>22} {last:>22}");
}

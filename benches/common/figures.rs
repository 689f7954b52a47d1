//! What came out: samples, one a round, and the table of them.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::machine::own_cpu;
use super::program::Program;

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What was done so many times: publications, or deliveries.
    count: u64,
    wall: Duration,
    program: Duration,
    load: Duration,
}

impl Sample {
    /// Measures what this does so many times.
    pub fn of(program: &Program, count: u64, act: impl FnOnce()) -> Self {
        let (program_before, load_before, start) = (program.cpu(), own_cpu(), Instant::now());
        act();
        let wall = start.elapsed();
        Self { count, wall, program: program.cpu() - program_before, load: own_cpu() - load_before }
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    /// CPU time of the program under measure, in microseconds for each.
    fn cpu_us(&self) -> f64 {
        self.program.as_secs_f64() * 1e6 / self.count as f64
    }

    fn program_busy(&self) -> f64 {
        100.0 * self.program.div_duration_f64(self.wall)
    }

    fn load_busy(&self) -> f64 {
        100.0 * self.load.div_duration_f64(self.wall)
    }
}

/// The rounds of one measure.
pub struct Row {
    pub name: &'static str,
    pub samples: Vec<Sample>,
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new() }
    }

    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(figure))
    }

    /// How many times the other's figure this one's is, round by round.
    fn ratio(&self, other: &Self, figure: impl Fn(&Sample) -> f64) -> Spread {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.map(|(own, others)| figure(own) / figure(others)))
    }
}

/// The median of some rounds, and their extremes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let [least, .., most] = figures[..] else { panic!("there are several rounds") };
        Self { median: figures[figures.len() / 2], least, most }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let [median, least, most] = [self.median, self.least, self.most].map(|n| grouped(n, digits));
        f.pad_integral(true, "", &format!("{median} ({least}–{most})"))
    }
}

/// Prints rows that count the same things.
pub fn print_table(what: &str, rows: &[&Row]) {
    println!("{what:<32} {:>33} {:>22} {:>7} {:>7}", "per second", "server CPU µs each", "server", "load");
    for row in rows {
        let (per_second, cpu_us) = (row.spread(Sample::per_second), row.spread(Sample::cpu_us));
        let (server, load) = (row.spread(Sample::program_busy).median, row.spread(Sample::load_busy).median);
        println!("  {:<30} {per_second:>33} {cpu_us:>22.2} {server:>5.0} % {load:>5.0} %", row.name);
    }
    println!();
}

/// Prints how many times each first row's figures are the second's.
pub fn print_ratios(what: &str, ratios: &[(&str, &Row, &Row)]) {
    println!("{what:<32} {:>33} {:>22}", "per second", "server CPU each");
    for (name, row, other) in ratios {
        let (per_second, cpu_us) = (row.ratio(other, Sample::per_second), row.ratio(other, Sample::cpu_us));
        println!("  {name:<30} {per_second:>33.2} {cpu_us:>22.3}");
    }
    println!();
}

/// That figure of which so many percent are no more; nothing, of nothing.
pub fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let place = (figures.len() * percent).div_ceil(100).saturating_sub(1);
    figures.get(place).copied().unwrap_or_default()
}

/// `1234567.8` as `1,234,568`.
pub fn grouped(number: f64, digits: usize) -> String {
    if number < 0.0 {
        return format!("-{}", grouped(-number, digits));
    }
    let plain = format!("{number:.digits$}");
    let (whole, fraction) = plain.split_once('.').map_or((&*plain, None), |(a, b)| (a, Some(b)));
    let groups: Vec<&str> =
        whole.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).expect("digits")).collect();
    let whole = groups.join(",");
    fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}"))
}

//! One plot as SVG: lines over the numbers of connections that were measured, with what they have to stay below.
//! Colours are the page's (CSS variables), so that it reads in light and in dark.

use std::fmt::Write;

use super::common::figures::{Spread, grouped};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 270.0;
/// The frame that lines are drawn in.
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = HEIGHT - 46.0;

/// No more lines across than this, beside the lowest.
const TICKS: f64 = 5.0;

/// What is drawn.
pub struct Plot {
    pub title: String,
    /// What the figures are, with their unit.
    pub unit: &'static str,
    pub scale: Scale,
    /// Numbers of connections, one place each: too far apart for an axis to scale.
    pub sizes: Vec<usize>,
    pub lines: Vec<Line>,
    pub bounds: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// From this figure on: zero, but for ratios.
    Linear(f64),
    Logarithmic,
}

/// Figures that belong together.
pub struct Line {
    pub name: &'static str,
    /// The CSS class that gives it its colour and its dashes.
    pub class: &'static str,
    pub points: Vec<Point>,
}

/// A figure, and from where to where it went.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub size: usize,
    pub spread: Spread,
}

/// What the figures are to stay below.
pub struct Limit {
    pub name: &'static str,
    pub figure: f64,
}

impl Plot {
    /// The SVG element.
    pub fn draw(&self) -> String {
        let axis = Axis::of(self);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n\
             <text class=\"title\" x=\"8\" y=\"18\">{}</text>\n",
            self.title, self.title
        );
        self.draw_legend(&mut svg);
        self.draw_frame(&axis, &mut svg);
        for limit in self.bounds.iter().filter(|limit| limit.figure <= axis.highest) {
            let y = axis.y(limit.figure);
            add(
                &mut svg,
                &format!("<line class=\"limit\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"),
            );
            let text = format!("{} {}", limit.name, plain(limit.figure));
            add(
                &mut svg,
                &format!(
                    "<text class=\"limit-name\" x=\"{}\" y=\"{:.1}\">{text}</text>",
                    LEFT + 4.0,
                    y - 3.0
                ),
            );
        }
        for line in &self.lines {
            self.draw_line(line, &axis, &mut svg);
        }
        svg + "</svg>\n"
    }

    fn draw_legend(&self, svg: &mut String) {
        let mut x = 8.0;
        for line in &self.lines {
            let class = line.class;
            let end = x + 18.0;
            add(
                svg,
                &format!("<line class=\"line {class}\" x1=\"{x:.0}\" x2=\"{end:.0}\" y1=\"34\" y2=\"34\"/>"),
            );
            add(svg, &format!("<text x=\"{:.0}\" y=\"38\">{}</text>", end + 4.0, line.name));
            // Letters of this size are about so wide.
            x = end + 16.0 + 5.9 * line.name.chars().count() as f64;
        }
    }

    fn draw_frame(&self, axis: &Axis, svg: &mut String) {
        for tick in &axis.ticks {
            let y = axis.y(*tick);
            add(
                svg,
                &format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"),
            );
            let (x, y) = (LEFT - 6.0, y + 4.0);
            add(svg, &format!("<text class=\"y-tick\" x=\"{x}\" y=\"{y:.1}\">{}</text>", axis.name(*tick)));
        }
        for size in &self.sizes {
            let (x, y, name) = (self.x(*size), BOTTOM + 16.0, grouped(*size as f64, 0));
            add(svg, &format!("<text class=\"x-tick\" x=\"{x:.1}\" y=\"{y}\">{name}</text>"));
        }
        let (x, y) = ((LEFT + RIGHT) / 2.0, HEIGHT - 10.0);
        add(
            svg,
            &format!(
                "<text class=\"x-tick axis\" x=\"{x}\" y=\"{y}\">connections (sizes measured, not to scale)</text>"
            ),
        );
        let unit = if self.scale == Scale::Logarithmic { " (log)" } else { "" };
        add(svg, &format!("<text class=\"axis\" x=\"8\" y=\"{}\">{}{unit}</text>", TOP - 8.0, self.unit));
    }

    fn draw_line(&self, line: &Line, axis: &Axis, svg: &mut String) {
        let place = |point: &Point| (self.x(point.size), axis.y(point.spread.median));
        let class = line.class;
        let path: Vec<String> =
            line.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        add(svg, &format!("<polyline class=\"line {class}\" points=\"{}\"/>", path.join(" ")));
        for point in &line.points {
            let (x, y) = place(point);
            let Spread { median, least, most } = point.spread;
            let (low, high) = (axis.y(least), axis.y(most));
            if low - high > 1.0 {
                add(
                    svg,
                    &format!(
                        "<line class=\"range {class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
                    ),
                );
            }
            let told = format!(
                "{}, {} connections: {} ({}–{})",
                line.name,
                grouped(point.size as f64, 0),
                plain(median),
                plain(least),
                plain(most)
            );
            add(
                svg,
                &format!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{told}</title></circle>"
                ),
            );
        }
    }

    fn x(&self, size: usize) -> f64 {
        let place = self.sizes.iter().position(|known| *known == size).unwrap_or_default();
        LEFT + (RIGHT - LEFT) * (place as f64 + 0.5) / self.sizes.len() as f64
    }
}

/// The figures' axis.
struct Axis {
    scale: Scale,
    lowest: f64,
    highest: f64,
    ticks: Vec<f64>,
    /// Behind the point of each tick, where the scale is linear.
    digits: usize,
}

impl Axis {
    fn of(plot: &Plot) -> Self {
        let spreads = || plot.lines.iter().flat_map(|line| &line.points).map(|point| point.spread);
        let limits = plot.bounds.iter().map(|limit| limit.figure);
        // One round that was disturbed must not press all others flat: it may leave the frame.
        let medians = spreads().map(|spread| spread.median).fold(0.0, f64::max);
        let from = if let Scale::Linear(from) = plot.scale { from } else { 0.0 };
        let frame = medians + 0.5 * (medians - from);
        let most = spreads().map(|spread| spread.most.min(frame)).fold(0.0, f64::max);
        let least =
            spreads().map(|spread| spread.least).filter(|least| *least > 0.0).fold(f64::MAX, f64::min);
        match plot.scale {
            Scale::Linear(from) => {
                Self::linear(from, limits.filter(|limit| *limit < 2.5 * most).fold(most, f64::max))
            }
            Scale::Logarithmic => Self::logarithmic(least.min(most), limits.fold(most, f64::max)),
        }
    }

    fn linear(lowest: f64, most: f64) -> Self {
        let raw = ((most - lowest) / TICKS).max(f64::MIN_POSITIVE);
        let magnitude = 10_f64.powf(raw.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * magnitude);
        let step = steps.into_iter().find(|step| *step >= raw).unwrap_or(10.0 * magnitude);
        let count = (1.04 * (most - lowest) / step).ceil();
        let places = std::iter::successors(Some(0.0), |place| Some(place + 1.0)).take_while(|n| *n <= count);
        let digits = [1.0, 0.1, 0.01].into_iter().take_while(|digit| step < *digit).count();
        Self {
            scale: Scale::Linear(lowest),
            lowest,
            highest: lowest + count * step,
            ticks: places.map(|n| lowest + n * step).collect(),
            digits,
        }
    }

    fn logarithmic(least: f64, most: f64) -> Self {
        let lowest = 10_f64.powf(least.max(1e-3).log10().floor());
        let highest = 10_f64.powf((1.05 * most).max(2.0 * lowest).log10().ceil());
        let ticks = std::iter::successors(Some(lowest), |tick| Some(tick * 10.0));
        let ticks = ticks.take_while(|tick| *tick <= 1.01 * highest).collect();
        Self { scale: Scale::Logarithmic, lowest, highest, ticks, digits: 0 }
    }

    fn y(&self, figure: f64) -> f64 {
        let figure = figure.clamp(self.lowest, self.highest);
        let share = match self.scale {
            Scale::Linear(_) => (figure - self.lowest) / (self.highest - self.lowest),
            Scale::Logarithmic => (figure / self.lowest).log10() / (self.highest / self.lowest).log10(),
        };
        BOTTOM - (BOTTOM - TOP) * share
    }

    fn name(&self, tick: f64) -> String {
        match self.scale {
            Scale::Linear(_) => grouped(tick, self.digits),
            // Powers of ten.
            Scale::Logarithmic => format!("{tick}"),
        }
    }
}

/// With as many digits as tell something.
fn plain(figure: f64) -> String {
    let digits = match figure {
        ..0.1 if figure > 0.0 => 3,
        0.1..10.0 if figure.fract() > 0.004 => 2,
        10.0..100.0 if figure.fract() > 0.04 => 1,
        _ => 0,
    };
    grouped(figure, digits)
}

fn add(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("writing to a String cannot fail");
}

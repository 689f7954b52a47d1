//! Reads the values of flags and variables, within their bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Period, units};

/// What may stand in the place of seconds.
const DURATION: &str = "a duration such as 30s or 5m";

/// Reads from its environment variable whether a flag without a value is set.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err("give 1, true, yes or on to set it, or 0, false, no or off".to_owned()),
    }
}

/// Reads a whole number within bounds.
pub(super) fn whole<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("give a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// Reads seconds within bounds, or a time with its unit.
pub(super) fn seconds(bounds: RangeInclusive<f64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let plain = text.parse().ok();
        let seconds = plain.or_else(|| units::duration(text).map(|time| time.as_secs_f64()));
        seconds
            .filter(|seconds| bounds.contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("give seconds from {} to {}, or {DURATION}", bounds.start(), bounds.end()))
    }
}

/// Reads a period in seconds, or with its unit; or 0 for none.
pub(super) fn period(most: f64) -> impl Fn(&str) -> Result<Period, String> + Clone {
    move |text| match seconds(0.01..=most)(text) {
        Ok(duration) => Ok(Period(Some(duration))),
        Err(_) if text.parse() == Ok(0.0) || units::duration(text) == Some(Duration::ZERO) => {
            Ok(Period(None))
        }
        Err(why) => Err(format!("{why}, or 0 for none")),
    }
}

/// Reads milliseconds up to this many, or a time with its unit; or 0 for none.
pub(super) fn milliseconds(most: u64) -> impl Fn(&str) -> Result<Period, String> + Clone {
    move |text| {
        let plain = text.parse().ok().map(Duration::from_millis);
        let time = plain.or_else(|| units::duration(text));
        let is_allowed = |time: &Duration| {
            time.subsec_nanos().is_multiple_of(1_000_000) && *time <= Duration::from_millis(most)
        };
        let time = time.filter(is_allowed).ok_or_else(|| {
            format!(
                "give whole milliseconds from 1 to {most}, or a duration such as 250ms or 2s, or 0 for none"
            )
        });
        time.map(|time| Period(Some(time).filter(|time| !time.is_zero())))
    }
}

/// Reads bytes within bounds, or a size with its unit.
pub(super) fn bytes(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let number = text.parse().ok().or_else(|| units::bytes(text)).filter(|bytes| bounds.contains(bytes));
        number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
            format!("give bytes from {} to {}, or a size such as 64KiB or 10MB", bounds.start(), bounds.end())
        })
    }
}

//! Reads the values of flags and variables, within their bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Period;

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

/// Reads seconds within bounds.
pub(super) fn seconds(bounds: RangeInclusive<f64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.map(Duration::from_secs_f64).ok_or_else(|| {
            format!("give seconds from {} to {}, fractions allowed", bounds.start(), bounds.end())
        })
    }
}

/// Reads a period in seconds, or 0 for none.
pub(super) fn period(most: f64) -> impl Fn(&str) -> Result<Period, String> + Clone {
    move |text| match seconds(0.01..=most)(text) {
        Ok(duration) => Ok(Period(Some(duration))),
        Err(_) if text.parse() == Ok(0.0) => Ok(Period(None)),
        Err(why) => Err(format!("{why}, or 0 for none")),
    }
}

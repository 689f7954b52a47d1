//! Quantities with a unit behind them, as people write them. Knows no bounds: who reads a flag has those. A plain number has the
//! flag's own unit and is no concern of this file.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::DAY;

/// The time that is meant by `30s`, `5m`, `1h30m`, `250ms`, `1.5h` or `1d`; a day has 24 hours.
pub(super) fn duration(text: &str) -> Option<Duration> {
    // A fraction of a day is the one that a span of the calendar has not.
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(days * DAY).ok();
    }
    let span: Span = text.parse().ok()?;
    let exact: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    exact.try_into().ok()
}

/// The bytes that are meant by `64KiB`, `10MB`, `1.5GiB` or `64k`. A single letter counts in powers of two, as it does for nginx,
/// HAProxy, systemd and Docker; so does Kubernetes' `64Mi`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let is_letter = |letter: char| "kmgt".contains(letter.to_ascii_lowercase());
    let number = text.strip_suffix(is_letter).filter(|number| number.ends_with(|c: char| c.is_ascii_digit()));
    let whole = number.map(|number| format!("{number}{}iB", &text[number.len()..]));
    whole.as_deref().unwrap_or(text).parse().ok().map(|ByteSize(bytes)| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("0s", 0),
            ("1.5m", 90_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("5 minutes", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("0.5d", 43_200_000),
            ("1d", 86_400_000),
            ("1d12h", 129_600_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", "-5s", "5s ago", "1mo", "1y", "5x", "1h30", "nand", "infd", "-1d", "1e400d", "ä"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_and_a_single_letter_is_binary_as_for_nginx() {
        for (text, expected) in [
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64Ki", 65_536),
            ("64KB", 64_000),
            ("10MB", 10_000_000),
            ("64m", 64 << 20),
            ("64Mi", 64 << 20),
            ("1.5 MiB", 3 << 19),
            ("1GiB", 1 << 30),
            ("1g", 1 << 30),
            ("512B", 512),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "k", "MiB", "-1k", "1x", "1kk", "nanMB", "ä", "1,5MB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}

//! What one address may take: its limits, as they are written.

use clap::Args;

use super::whole;

/// The fewest and most times a second that a rate may be.
const RATES: std::ops::RangeInclusive<f64> = 0.1..=100_000.0;

/// How much one address may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct AddressFlags {
    /// Connections that one address may have open, and of IPv6 each /64, or else 429 [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_PER_IP")]
    #[arg(value_name = "N", value_parser = whole::<u32>(1..=10_000_000), allow_negative_numbers = true)]
    pub limit_per_ip: Option<u32>,

    /// New connections of one address in a second, or else 429; at once as many as in five seconds, and at least 10
    /// [default: no limit]
    #[arg(long, env = "SLACKWATER_LIMIT_CONNECT_RATE")]
    #[arg(value_name = "PER_SECOND", value_parser = rate, allow_negative_numbers = true)]
    pub limit_connect_rate: Option<f64>,
}

/// Reads how often something may happen.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| RATES.contains(number));
    number.ok_or_else(|| {
        format!("give a number a second from {} to {}, fractions allowed", RATES.start(), RATES.end())
    })
}

//! What a certificate says of itself: for whom it is, and how long. A certificate that cannot be read here may be shown all the same.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// So many names are told.
const MOST_NAMES: usize = 4;

/// What has been found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct About {
    names: Vec<String>,
    /// From when to when clients accept it.
    valid: Option<(Timestamp, Timestamp)>,
}

/// How long it is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is to be said.
    Good,
    /// Until then clients refuse it.
    Early(Timestamp),
    /// Whatever renews it should have done so: at most a tenth of its time is left.
    Late(Timestamp),
    /// Since then clients refuse it.
    Over(Timestamp),
}

impl Standing {
    /// What is to be said of the certificate in this file, if something is.
    pub fn warning(self, path: &str) -> Option<String> {
        let what = match self {
            Self::Good => return None,
            Self::Early(from) => format!("is not valid before {from}: until then clients refuse it"),
            Self::Late(until) => {
                format!("ends at {until}, and has not been renewed: look at what is to renew it")
            }
            Self::Over(since) => format!("has ended at {since}, so clients refuse it: renew it"),
        };
        Some(format!("The certificate in {path} {what}"))
    }
}

impl About {
    /// The first of these.
    pub fn of(chain: &[CertificateDer<'_>]) -> Self {
        let first = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
        let Some((_, certificate)) = first else { return Self::default() };
        let validity = certificate.validity();
        let [from, until] =
            [&validity.not_before, &validity.not_after].map(|time| Timestamp::from_second(time.timestamp()));
        Self { names: names(&certificate), valid: from.ok().zip(until.ok()) }
    }

    /// When it ends.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.valid.map(|(_, until)| until)
    }

    /// How it stands at this time.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some((from, until)) = self.valid else { return Standing::Good };
        let left = until.as_second() - now.as_second();
        match () {
            () if now < from => Standing::Early(from),
            () if left <= 0 => Standing::Over(until),
            () if left <= (until.as_second() - from.as_second()) / 10 => Standing::Late(until),
            () => Standing::Good,
        }
    }
}

/// As it stands behind the file's name.
impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.names[..self.names.len().min(MOST_NAMES)];
        match told {
            [] => {}
            told => write!(f, ", for {}", told.join(", "))?,
        }
        match self.names.len() - told.len() {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        self.not_after().map_or(Ok(()), |until| write!(f, ", valid until {until}"))
    }
}

/// Whom clients expect by this certificate (RFC 6125 §6.4); its common name where none is said, though most refuse it then.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let all = alternatives.iter().flat_map(|names| &names.value.general_names);
    let named: Vec<String> = all
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(printable(name)),
            GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
            _ => None,
        })
        .collect();
    if !named.is_empty() {
        return named;
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(printable).collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}

#[cfg(test)]
#[path = "about_tests.rs"]
mod tests;

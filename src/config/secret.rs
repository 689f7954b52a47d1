//! A token or a password: it is never shown, and the time of a comparison does not tell how much of it was right.

use std::fmt;

use subtle::ConstantTimeEq;

/// A token, a password, or a text in which one stands.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes any text, which is still to be checked.
    pub(in crate::config) fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Reads a token.
    ///
    /// # Errors
    /// What a token has to be; the text itself is not shown.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let secret = Self::unchecked(text);
        secret.check().map(|()| secret)
    }

    /// Whether it can stand in a header field (RFC 6750 §2.1).
    pub(in crate::config) fn check(&self) -> Result<(), &'static str> {
        let is_allowed = |c: char| c.is_ascii_graphic() && c != ',' && c != '"';
        if self.0.is_empty() || !self.0.chars().all(is_allowed) {
            return Err("give at least one printable ASCII character, without spaces, commas and quotes");
        }
        Ok(())
    }

    /// Reads a secret by which signatures are verified.
    ///
    /// # Errors
    /// What it has to be; the text itself is not shown.
    pub fn read_for_signatures(text: &str) -> Result<Self, &'static str> {
        let secret = Self::unchecked(text);
        secret.check_for_signatures().map(|()| secret)
    }

    /// Whether signatures can be verified by it: HS256 wants as many octets as its hash has (RFC 7518 §3.2).
    pub(super) fn check_for_signatures(&self) -> Result<(), &'static str> {
        if self.0.len() < 32 || self.0.chars().any(char::is_control) {
            return Err("give at least 32 bytes of text, as 'openssl rand -hex 32' prints them");
        }
        Ok(())
    }

    /// Reads a password of the engine's.
    ///
    /// # Errors
    /// What it has to be; the text itself is not shown.
    pub fn read_password(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("give at least one character, and no control characters");
        }
        Ok(Self::unchecked(text))
    }

    /// The token itself, for a worker's environment and for whom it is shown to.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is the token.
    pub fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let secret = Secret::read("sesame").unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret Some(\n    Secret,\n)");
    }

    #[test]
    fn it_is_what_can_stand_in_a_header_field() {
        for good in ["a", "a:b", "-_.~+/=", "--port"] {
            let secret = Secret::read(good).unwrap();
            assert!(secret.is(good.as_bytes()) && !secret.is(b"") && !secret.is(b"b"));
        }
        let hex = "0123456789abcdef".repeat(2);
        assert!(Secret::read_for_signatures(&hex).is_ok() && Secret::read_for_signatures(&hex[1..]).is_err());
        for bad in ["", " ", "a b", "a,b", "a\"b", "ä", "a\n", "\u{feff}a"] {
            assert!(Secret::read(bad).unwrap_err().starts_with("give at least one"), "{bad:?}");
        }
    }
}

//! What files held when they could last be used, for a process that is started once they cannot. Knows no files: who fills it has read
//! them, and who hands it on does so past arguments and environment.

use std::fmt;

use zeroize::Zeroizing;

/// By the flag that names the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LastGood(Vec<(String, Zeroizing<Vec<u8>>)>);

impl fmt::Debug for LastGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastGood(..)")
    }
}

impl LastGood {
    /// What the file of this flag held, if that is known.
    pub fn of(&self, flag: &str) -> Option<&[u8]> {
        self.iter().find_map(|(of, octets)| (of == flag).then_some(octets))
    }

    /// This is what the file of this flag holds.
    pub fn keep(&mut self, flag: &str, octets: &[u8]) {
        self.0.retain(|(of, _)| of != flag);
        self.0.push((flag.to_owned(), Zeroizing::new(octets.to_vec())));
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each flag with what its file held.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(flag, octets)| (flag.as_str(), octets.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_last_kept_of_a_file_counts_and_is_not_shown() {
        let mut last_good = LastGood::default();
        assert!(last_good.is_empty() && last_good.of("--key").is_none());
        for text in ["former", "sekrit"] {
            last_good.keep("--key", text.as_bytes());
            last_good.keep("--other", b"");
        }
        assert_eq!(last_good.of("--key"), Some(&b"sekrit"[..]));
        assert_eq!(last_good.iter().count(), 2);
        assert!(!format!("{last_good:?}").contains("sekrit"));
    }
}

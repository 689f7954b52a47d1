//! Topics by name, and the filters that listen to them. Parsed once at the edge; what carries these types is valid.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::message::allocated_bytes;

/// The longest name of a topic, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a name is not a topic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Empty or longer than `MAX_NAME_BYTES`.
    #[error("a topic has 1 to 128 characters")]
    Length,
    /// A character that topics may not have.
    #[error("a topic is made of letters, digits and . _ - : /")]
    Character,
}

/// The name of what is published to: 1 to 128 ASCII letters, digits and `._-:/`. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(name: &str) -> Result<Self, TopicError> {
        check(name).map(|()| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many filters with a `*` match it.
    pub fn depth(&self) -> usize {
        1 + self.0.matches('/').count()
    }

    /// What it takes from memory, including the two counts of those that share it.
    pub fn held_bytes(&self) -> usize {
        allocated_bytes(self.0.len() + 2 * size_of::<usize>())
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicError;

    fn try_from(name: String) -> Result<Self, TopicError> {
        Self::parse(&name)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is listened to: a topic, or all topics below a prefix, as `orders/*` is for `orders/7` and `orders/7/paid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Arc<str>);

impl Filter {
    /// Checks a filter: a topic's name, whose last segment may be `*`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(filter: &str) -> Result<Self, TopicError> {
        match filter.strip_suffix('*') {
            Some("") => {}
            Some(prefix) if prefix.ends_with('/') => check(prefix)?,
            _ => check(filter)?,
        }
        Ok(Self(filter.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it listens to more than one topic.
    pub fn is_prefix(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether it listens to this topic.
    pub fn matches(&self, topic: &TopicName) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => topic.0.starts_with(prefix),
            None => self.0 == topic.0,
        }
    }

    /// Whether it listens to every topic that the other one listens to.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => other.0.starts_with(prefix),
            None => self.0 == other.0,
        }
    }
}

/// A topic is found by its name.
impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A filter is found by how it is written.
impl Borrow<str> for Filter {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The filters with a `*` that match a topic, the widest first: `*`, `a/*`, `a/b/*` for `a/b/c`.
pub fn prefixes_of(topic: &TopicName) -> impl Iterator<Item = String> + '_ {
    let slashes = topic.0.match_indices('/').map(|(slash, _)| slash + 1);
    std::iter::once(0).chain(slashes).map(|end| format!("{}*", &topic.0[..end]))
}

fn check(name: &str) -> Result<(), TopicError> {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-:/".contains(&octet);
    match name.len() {
        1..=MAX_NAME_BYTES if name.bytes().all(is_allowed) => Ok(()),
        1..=MAX_NAME_BYTES => Err(TopicError::Character),
        _ => Err(TopicError::Length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    #[test]
    fn names_have_their_length_and_characters() {
        for name in ["a", "orders/7", "a.b_c-d:e/f", &"x".repeat(128), "/"] {
            assert_eq!(topic(name).as_str(), name);
        }
        for (name, error) in [
            ("", TopicError::Length),
            (&*"x".repeat(129), TopicError::Length),
            ("a b", TopicError::Character),
            ("ö", TopicError::Character),
            ("orders/*", TopicError::Character),
        ] {
            assert_eq!(TopicName::parse(name), Err(error), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_all_below_and_only_at_the_end() {
        let matches = |filter: &str, name: &str| Filter::parse(filter).unwrap().matches(&topic(name));
        assert!(matches("orders/*", "orders/7") && matches("orders/*", "orders/7/paid") && matches("*", "x"));
        assert!(
            !matches("orders/*", "orders")
                && !matches("orders/*", "orders2/7")
                && matches("orders", "orders")
        );
        for bad in ["or*", "a/*/b", "**", "a/**", ""] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_prefixes_of_a_topic_are_the_filters_that_match_it() {
        assert_eq!(prefixes_of(&topic("a/b/c")).collect::<Vec<_>>(), ["*", "a/*", "a/b/*"]);
        assert_eq!(prefixes_of(&topic("a")).collect::<Vec<_>>(), ["*"]);
        assert_eq!((topic("a").depth(), topic("a/b/c").depth(), topic("//").depth()), (1, 3, 3));
    }
}

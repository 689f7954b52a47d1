//! Decides which of the things that strangers bring about are worth a line in the log, so that nobody can flood it: each
//! one once in a while, and a few of them. Reads no clock and logs nothing.

use std::time::{Duration, Instant};

/// How long what was said counts as known.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How many different things are said within that time.
const AT_MOST: usize = 16;

/// What was said lately. Empty, and without memory of its own, as long as nothing was.
#[derive(Debug, Default)]
pub struct Mentions {
    said: Vec<String>,
    /// When the first of these was said.
    since: Option<Instant>,
    has_said_that_there_are_more: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Mention<'a> {
    /// It is to be logged.
    New(&'a str),
    /// It is the first that is one too many: that there are more is to be logged.
    OneTooMany,
    /// It was logged lately, or is one of the others that are too many.
    Known,
}

impl Mentions {
    /// Takes a line that might be logged.
    pub fn mention(&mut self, line: String, now: Instant) -> Mention<'_> {
        if self.since.is_some_and(|since| now >= since + FORGET_AFTER) {
            *self = Self::default();
        }
        match () {
            () if self.said.contains(&line) => Mention::Known,
            () if self.said.len() < AT_MOST => {
                self.since.get_or_insert(now);
                self.said.push(line);
                self.said.last().map_or(Mention::Known, |line| Mention::New(line))
            }
            () if !std::mem::replace(&mut self.has_said_that_there_are_more, true) => Mention::OneTooMany,
            () => Mention::Known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(line: &str) -> Mention<'_> {
        Mention::New(line)
    }

    #[test]
    fn a_line_is_logged_once_until_it_is_forgotten() {
        let (mut mentions, start) = (Mentions::default(), Instant::now());
        let almost = start + FORGET_AFTER - Duration::from_nanos(1);
        assert_eq!(mentions.mention("a".to_owned(), start), new("a"));
        assert_eq!(mentions.mention("b".to_owned(), almost), new("b"));
        assert_eq!(mentions.mention("a".to_owned(), almost), Mention::Known);
        assert_eq!(mentions.mention("a".to_owned(), start + FORGET_AFTER), new("a"));
        assert_eq!(mentions.mention("b".to_owned(), almost + FORGET_AFTER), new("b"), "forgotten together");
    }

    #[test]
    fn of_very_many_a_few_are_logged_and_that_there_are_more() {
        let (mut mentions, start) = (Mentions::default(), Instant::now());
        for round in 0..3 {
            let now = start + FORGET_AFTER * round;
            let logged: Vec<String> = (0..1000)
                .filter_map(|n| match mentions.mention(n.to_string(), now) {
                    Mention::New(line) => Some(line.to_owned()),
                    Mention::OneTooMany => Some("more".to_owned()),
                    Mention::Known => None,
                })
                .collect();
            assert_eq!((logged.len(), logged[16].as_str()), (17, "more"));
        }
    }
}

//! What is wrong with a publication, and where, in words for whoever has written it: what was expected, what is there instead, and
//! an example. Nothing here is in the words of the parser, which knows neither what was meant nor what a publication is.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use thiserror::Error;

use super::made::MAX_PUBLICATIONS;
use crate::policy::topic::TopicError;
use crate::wire::quoted::quoted;

/// How a publication is written.
pub(super) const EXAMPLE: &str = r#"{"topic":"orders/7","data":{"state":"paid"}}"#;

/// How data is written.
const DATA_EXAMPLE: &str = r#"{"state":"paid"}"#;

/// Why nothing is published.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// 400: not JSON, or not the JSON that is wanted.
    #[error("{place}: {what}")]
    Json {
        /// Where.
        place: Place,
        /// What is wrong, what was expected, and an example.
        what: Cow<'static, str>,
    },
    /// 400: anything else about the body, or the topics that the request names beside it.
    #[error("{0}")]
    Body(Cow<'static, str>),
    /// 415: JSON that is called the data of a form, as `curl -d` calls everything.
    #[error(
        "the body looks like JSON, but its Content-Type says that it is a form, as curl -d does. To publish JSON: curl --json \
         '{example}' URL. To publish it as text, add -H 'Content-Type: text/plain'"
    )]
    Form {
        /// What could be sent there.
        example: &'static str,
    },
    /// 413: more publications than one request may make.
    #[error("{0} publications in one request, which makes {MAX_PUBLICATIONS} at most: split it")]
    TooMany(usize),
    /// 413: publications that together are larger than one request may make.
    #[error("one request's publications come to {bytes} bytes, {most_bytes} are the most: split it")]
    TooLarge {
        /// How large they are together.
        bytes: usize,
        /// How large they may be.
        most_bytes: usize,
    },
    /// 422: a topic that is not one.
    #[error("{place}: {} is no topic: {why}, as orders/7", quoted(name))]
    Topic {
        /// Where it is named.
        place: Place,
        /// As given.
        name: String,
        /// What is wrong with it.
        why: TopicError,
    },
}

impl PublishError {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooMany(_) | Self::TooLarge { .. } => 413,
            Self::Topic { .. } => 422,
            Self::Form { .. } => 415,
            Self::Json { .. } | Self::Body(_) => 400,
        }
    }
}

/// Where something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the body; both are counted from 1, and the octets anew in each line.
    At {
        /// In which line.
        line: usize,
        /// At which octet of it.
        octet: usize,
    },
    /// In this publication of a list, counted from 1.
    Item(usize),
    /// In `?topic=`.
    Query,
    /// In the path of the request.
    Path,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { line, octet } => write!(f, "line {line}, octet {octet}"),
            Self::Item(number) => write!(f, "publication {number} of the list"),
            Self::Query => f.write_str("?topic="),
            Self::Path => f.write_str("the path"),
        }
    }
}

impl Place {
    /// Where a part of a body begins.
    pub(super) fn of(body: &str, part: &str) -> Self {
        Self::at(body, (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize))
    }

    fn at(body: &str, offset: usize) -> Self {
        let before = &body.as_bytes()[..offset.min(body.len())];
        let line_start = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let line = 1 + before.iter().filter(|octet| **octet == b'\n').count();
        Self::At { line, octet: before.len() - line_start + 1 }
    }
}

/// What is expected where there is no JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A publication, or several.
    Publication,
    /// Data of any kind.
    Data,
}

impl Wanted {
    /// One of them.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Publication => EXAMPLE,
            Self::Data => DATA_EXAMPLE,
        }
    }
}

/// Why a part of the body is not JSON.
pub(super) fn not_json(body: &str, part: &str, error: &serde_json::Error, wanted: Wanted) -> PublishError {
    let told = offset_of(part, error.line(), error.column());
    // Of these alone the parser tells what stands in front.
    let is_before = error.to_string().starts_with("control character");
    let skipped = part[told..].find(|c: char| c < ' ').filter(|_| is_before);
    let found = told + skipped.unwrap_or_default();
    let what = match part.trim().is_empty() {
        true => "there is nothing here".to_owned(),
        false if error.is_eof() => {
            "the JSON ends too early: a quotation mark, a bracket or a brace is not closed, or a value is missing".to_owned()
        }
        false => what_is_wrong(part, found),
    };
    let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let (kind, example) = match wanted {
        Wanted::Publication => ("a publication", EXAMPLE),
        Wanted::Data => ("data", DATA_EXAMPLE),
    };
    let what = format!("{what}; JSON is expected, and {kind} is written like this: {example}").into();
    PublishError::Json { place: Place::at(body, start + found), what }
}

/// The offset of the octet that a parser did not expect, of which it tells the line and the column.
fn offset_of(part: &str, line: usize, column: usize) -> usize {
    let line_start = match line.checked_sub(2) {
        Some(ends) => part.match_indices('\n').nth(ends).map_or(part.len(), |(end, _)| end + 1),
        None => 0,
    };
    let offset = (line_start + column.saturating_sub(1)).min(part.len());
    (0..=offset).rev().find(|offset| part.is_char_boundary(*offset)).unwrap_or_default()
}

/// What somebody may have meant by what is not JSON.
fn what_is_wrong(part: &str, offset: usize) -> String {
    let (before, rest) = part.split_at(offset);
    let Some(found) = rest.chars().next() else {
        return "the JSON ends too early".to_owned();
    };
    if serde_json::from_str::<IgnoredAny>(before).is_ok() {
        return match found {
            '{' | '[' => {
                "the JSON has ended before this: several publications are a list in [brackets], or lines with Content-Type: \
                 application/x-ndjson"
                    .to_owned()
            }
            _ => format!("the JSON has ended before this {found:?}"),
        };
    }
    match (before.trim_end().chars().next_back(), found) {
        (Some(','), '}' | ']') => "nothing follows the last comma: take that away".to_owned(),
        (Some('\\'), _) => {
            format!("in a string, no {found:?} follows a backslash, which is written \\\\ itself")
        }
        (_, '\0'..='\x1f') => {
            "a line break, or another character that cannot be seen, is written as an escape in a string, a line break as \\n"
                .to_owned()
        }
        (_, '\'' | '`' | '“' | '”' | '„' | '‘' | '’') => {
            format!("{found:?} is no quotation mark of JSON: names and strings stand in \"these\"")
        }
        (_, letter) if letter.is_alphabetic() => {
            format!(
                "names and strings stand in quotation marks, and {} is none of true, false and null",
                quoted(word(rest))
            )
        }
        (_, other) => format!("no {other:?} is expected here"),
    }
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_an_octet_of_it() {
        let at = |line, octet| Place::At { line, octet };
        let body = "ab\n\u{f6}c\n";
        for (offset, place) in
            [(0, at(1, 1)), (2, at(1, 3)), (3, at(2, 1)), (5, at(2, 3)), (7, at(3, 1)), (99, at(3, 1))]
        {
            assert_eq!(Place::at(body, offset), place, "{offset}");
        }
        assert_eq!(Place::of(body, &body[5..]), at(2, 3));
    }
}

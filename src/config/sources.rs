//! Where each value comes from: an argument, a variable of the environment, or a line of the configuration file; and how that is
//! named where the value is wrong, be it found out here or by whoever uses it. Knows no values.

use std::collections::BTreeMap;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches};

use super::usage_error;

/// Where a value stands. The later of these counts before the earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A line of the configuration file, by the file, its number from 1, and the key.
    Line(String, usize, String),
    /// A variable of this name.
    Variable(String),
    /// An argument.
    Argument,
}

/// All values that were given, by the id that `clap` knows them by.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<String, Given>);

#[derive(Debug, Clone)]
struct Given {
    source: Source,
    /// As `--port <PORT>`.
    shown: String,
}

impl Source {
    /// The higher counts before the lower.
    pub(super) fn level(&self) -> u8 {
        match self {
            Self::Line(..) => 0,
            Self::Variable(_) => 1,
            Self::Argument => 2,
        }
    }

    /// What stands between quotes in an error; an argument is shown as it is given here.
    pub(super) fn shown(&self, argument: &str) -> String {
        match self {
            Self::Line(file, number, key) => format!("{file} line {number} ({key})"),
            Self::Variable(name) => name.clone(),
            Self::Argument => argument.to_owned(),
        }
    }
}

impl Sources {
    /// This is where the value of this flag was found.
    pub(super) fn note(&mut self, arg: &Arg, source: Source) {
        let given = Given { source, shown: arg.to_string() };
        self.0.insert(arg.get_id().as_str().to_owned(), given);
    }

    /// The value of this flag was found in a variable that is not its own.
    pub(super) fn note_variable(&mut self, id: &str, name: &str) {
        let (source, shown) = (Source::Variable(name.to_owned()), String::new());
        self.0.insert(id.to_owned(), Given { source, shown });
    }

    /// What is said about flags, with the variable or the line in the place of each that was given there. Those who find out what is
    /// wrong with a value that could be read name its flag, as `--port`; where it was given is put in here, once, by whoever says it.
    pub fn locate(&self, said: &str) -> String {
        let mut located = String::with_capacity(said.len());
        let mut rest = said;
        while let Some(at) = rest.find("--") {
            let (ahead, from) = rest.split_at(at);
            let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
            let (flag, behind) = from.split_at(from.find(|c| !is_of_name(c)).unwrap_or(from.len()));
            located.push_str(ahead);
            // What stands within a path or a longer word is none.
            let is_whole = (ahead.is_empty() || ahead.ends_with([' ', '(', '\'']))
                && (behind.is_empty() || behind.starts_with([' ', ')', '\'', ',', ';', ':', '.', '=']));
            let given = self.0.get(&flag[2..].replace('-', "_")).filter(|_| is_whole);
            if matches!(given, Some(Given { source: Source::Line(..), .. })) && located.ends_with("with ") {
                located.truncate(located.len() - "with ".len());
                located.push_str("in ");
            }
            located.push_str(&given.map_or_else(|| flag.to_owned(), |given| given.source.shown(flag)));
            rest = behind;
        }
        located + rest
    }

    /// Whether it was given at all.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether it stands in the arguments, where everyone on this machine can read it.
    pub(super) fn is_argument(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|given| given.source == Source::Argument)
    }

    /// Whether both were given, and in places of which neither counts before the other.
    pub(super) fn are_beside(&self, one: &str, other: &str) -> bool {
        let level = |id| self.0.get(id).map(|given| given.source.level());
        level(one).is_some() && level(one) == level(other)
    }

    /// The flag, the variable or the line, in quotes.
    pub(super) fn name(&self, id: &str) -> String {
        let flag = format!("--{}", id.replace('_', "-"));
        format!("'{}'", self.0.get(id).map_or(flag.clone(), |given| given.source.shown(&flag)))
    }

    /// The same for a value that is wrong: of an argument with what stands for it.
    pub(super) fn place(&self, id: &str) -> String {
        self.0
            .get(id)
            .map_or_else(|| self.name(id), |given| format!("'{}'", given.source.shown(&given.shown)))
    }

    /// An error of `clap`, which takes everything for an argument, with the place where its value was found.
    pub(super) fn explain(&self, mut error: clap::Error) -> clap::Error {
        let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else { return error };
        let Some((id, given)) = self.0.iter().find(|(_, given)| given.shown == *arg) else { return error };
        if given.source == Source::Argument {
            return error;
        }
        let url = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) if id == "port" && value.contains("://") => Some(value),
            _ => None,
        };
        if let (Some(url), Source::Variable(name)) = (url, &given.source) {
            return usage_error(format!(
                "{name}={url} is what Kubernetes sets for a Service of this name, and no port: set enableServiceLinks: false in the \
                 pod, or give --port as an argument"
            ));
        }
        let place = given.source.shown(arg);
        error.insert(ContextKind::InvalidArg, ContextValue::String(place));
        error
    }
}

/// Whether this value stands in the arguments, of which alone these matches are.
pub(super) fn is_written(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(clap::parser::ValueSource::CommandLine)
}

/// Whether it is an error at all, and no help that was asked for.
pub(super) fn is_fault(error: &clap::Error) -> bool {
    !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_named_by_where_it_was_given() {
        let mut sources = Sources::default();
        let mut note = |id: &str, source| {
            sources.0.insert(id.to_owned(), Given { source, shown: String::new() });
        };
        note("port", Source::Line("f.toml".to_owned(), 3, "port".to_owned()));
        note("admin", Source::Variable("SLACKWATER_ADMIN".to_owned()));
        note("host", Source::Argument);
        for (said, located) in [
            ("choose another port with --port", "choose another port in f.toml line 3 (port)"),
            ("--port 80: why", "f.toml line 3 (port) 80: why"),
            ("'--port', (--admin)", "'f.toml line 3 (port)', (SLACKWATER_ADMIN)"),
            ("with --admin, --host or --uds;", "with SLACKWATER_ADMIN, --host or --uds;"),
            (
                "--ports --port-x /--port /x--port --port/x -- --",
                "--ports --port-x /--port /x--port --port/x -- --",
            ),
            ("--", "--"),
            ("ä--portä", "ä--portä"),
            ("", ""),
        ] {
            assert_eq!(sources.locate(said), located);
        }
    }
}

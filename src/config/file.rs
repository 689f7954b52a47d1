//! The configuration file: one flat table, in TOML, whose keys are the names of flags. Opens no file: who calls does that. What it says
//! stands below the variables and the arguments. Of values nothing is shown here, since some are secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::hints;
use super::nearest::nearest;

/// The flags whose values are for nobody else to read.
const SECRETS: [&str; 3] = ["publish-token", "auth-secret", "ssl-keyfile-password"];

/// Keys that mean nothing within the file.
const NOT_WITHIN: [&str; 1] = ["config"];

/// How the text of a file is come by, or why it cannot be.
pub type Open<'a> = dyn Fn(&Path) -> Result<String, String> + 'a;

/// The flag of its own.
#[derive(Debug, Clone, Default, Args)]
pub struct FileFlag {
    /// Configuration file, in TOML, whose keys are the names of flags, as in port = 8000; what it says counts unless a
    /// variable or a flag says otherwise
    #[arg(long, env = "SLACKWATER_CONFIG", value_name = "FILE", help_heading = "Configuration file")]
    pub config: Option<PathBuf>,

    /// What was read there.
    #[arg(skip)]
    pub read: Option<ConfigFile>,
}

/// A file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds: workers are told the same.
    pub text: Zeroizing<String>,
    /// Whether a secret stands in it.
    pub holds_secret: bool,
    /// How many keys it has.
    pub keys: usize,
    /// The lines of it that do not count, each with what counts in its place.
    pub overridden: Vec<String>,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A key with its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: usize,
    /// The flag's name, without dashes in front.
    pub(super) key: String,
    /// As they would be written behind it.
    pub(super) values: Vec<OsString>,
    /// What stands in a list, each with its own line.
    pub(super) items: Vec<(String, usize)>,
}

impl Entry {
    /// Whether it is for nobody else to read, as a URL with a password in it is not.
    pub(super) fn is_secret(&self) -> bool {
        let has_password = || self.values.iter().any(|value| value.to_string_lossy().contains('@'));
        SECRETS.contains(&self.key.as_str()) || self.key == "engine" && has_password()
    }
}

/// No file is read.
pub(super) fn none(_: &Path) -> Result<String, String> {
    Err("no configuration file is read here".to_owned())
}

/// What the text of a file says of the flags of these commands, in its order.
///
/// # Errors
/// The line, if there is one, and what is wrong there.
pub(super) fn entries(text: &str, commands: &[&Command]) -> Result<Vec<Entry>, (Option<usize>, String)> {
    let flags = flags(commands);
    let at = |offset: usize| 1 + text.bytes().take(offset).filter(|octet| *octet == b'\n').count();
    let table = DeTable::parse(text).map_err(|why| {
        let line = why.span().map(|span| at(span.start));
        (line, format!("this is no TOML: {}", why.message()))
    })?;
    let table = table.into_inner();
    let mut keys: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, key.get_ref(), value)).collect();
    keys.sort_by_key(|(offset, ..)| *offset);
    let mut entries: Vec<Entry> = vec![];
    for (offset, key, value) in keys {
        let number = at(offset);
        let fault = |why: String| (Some(number), why);
        // As it is written in variables, and in Python.
        let name = key.replace('_', "-");
        let arg = known(&name, value.get_ref(), &flags).map_err(fault)?;
        let twice = entries.iter().find(|entry| entry.key == name);
        if let Some(Entry { number: other, .. }) = twice {
            return Err(fault(format!("{key} stands in line {other}, too: leave one of them out")));
        }
        let items = items(value.get_ref()).map_err(|(offset, why)| {
            let number = offset.map_or(number, at);
            (Some(number), format!("{key}: {why}"))
        })?;
        let values = values(arg, value.get_ref(), &items).map_err(|why| fault(format!("{key}: {why}")))?;
        let items = items.into_iter().filter_map(|(text, offset)| Some((text, at(offset?)))).collect();
        entries.push(Entry { number, key: name, values, items });
    }
    Ok(entries)
}

/// The text that stands behind a key, also where something else in the file is wrong.
pub(super) fn text_of(text: &str, key: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let found = table.get_ref().iter().find(|(name, _)| name.get_ref().replace('_', "-") == key);
    found.and_then(|(_, value)| value.get_ref().as_str().map(str::to_owned))
}

/// The flags that have variables: those that say what the server does, and not what this command line is for.
fn flags<'a>(commands: &[&'a Command]) -> BTreeMap<&'a str, &'a Arg> {
    let args = commands.iter().flat_map(|command| command.get_arguments());
    args.filter(|arg| arg.get_env().is_some()).filter_map(|arg| Some((arg.get_long()?, arg))).collect()
}

fn known<'a>(name: &str, value: &DeValue<'_>, flags: &BTreeMap<&str, &'a Arg>) -> Result<&'a Arg, String> {
    if NOT_WITHIN.contains(&name) {
        return Err(format!("{name} means nothing within a configuration file: leave it out"));
    }
    if let Some(arg) = flags.get(name) {
        return Ok(arg);
    }
    let shown = name.escape_debug();
    if value.is_table() || value.as_array().is_some_and(|all| all.iter().any(|one| one.get_ref().is_table()))
    {
        return Err(format!(
            "[{shown}] is a section, and there are none: all keys stand side by side, as in port = 8000"
        ));
    }
    let names = flags.keys().copied().filter(|name| !NOT_WITHIN.contains(name));
    let near = hints::keys(name).or_else(|| nearest(name, names).map(str::to_owned));
    let meant = near.map(|near| format!(": did you mean {near}?"));
    Err(format!(
        "unknown key {shown}{}",
        meant.unwrap_or_else(|| "; keys are the flags of --help without the dashes".to_owned())
    ))
}

/// As it would be written behind the flag, with where it begins in the text if it stands in a list.
type Item = (String, Option<usize>);

/// All that stands in a list, or the one value.
fn items(value: &DeValue<'_>) -> Result<Vec<Item>, (Option<usize>, String)> {
    let DeValue::Array(all) = value else {
        return one(value).map(|one| vec![(one, None)]).map_err(|why| (None, why));
    };
    let item = |item: &Spanned<DeValue<'_>>| {
        let begin = Some(item.span().start);
        one(item.get_ref()).map(|one| (one, begin)).map_err(|why| (begin, why))
    };
    all.iter().map(item).collect()
}

fn values(arg: &Arg, value: &DeValue<'_>, items: &[Item]) -> Result<Vec<OsString>, String> {
    let all: Vec<&str> = items.iter().map(|(text, _)| text.as_str()).collect();
    if !value.is_array() {
        return Ok(all.into_iter().map(OsString::from).collect());
    }
    let is_list = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "LIST"));
    match arg.get_action() {
        ArgAction::Append => Ok(all.into_iter().map(OsString::from).collect()),
        _ if is_list => Ok(vec![all.join(",").into()]),
        _ => Err("give one value, not a list".to_owned()),
    }
}

/// A value as it would be written behind the flag.
fn one(value: &DeValue<'_>) -> Result<String, String> {
    Ok(match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) if number.radix() == 10 => {
            number.as_str().trim_start_matches('+').to_owned()
        }
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_set) => is_set.to_string(),
        DeValue::Integer(_) => return Err("give the number in decimal".to_owned()),
        DeValue::Array(_) => return Err("give values in the list, not lists".to_owned()),
        DeValue::Datetime(_) => return Err("give a text in quotes or a number, not a date".to_owned()),
        DeValue::Table(_) => return Err("give a text in quotes or a number, not a table".to_owned()),
    })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

//! Reads a command line, the environment and a configuration file as one: of what is said of a flag the arguments count before
//! variables, and these before the file. So it is with flags that exclude each other: one that is written on the command line wins
//! over the variables of the others. Which exclude each other stands at the flags themselves.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStr, Resettable, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory};
use zeroize::Zeroizing;

use super::file::{self, ConfigFile, Entry, Open};
use super::sources::{Source, Sources, is_fault, is_written};
use super::{Config, refused, usage_error};

/// What was read.
pub(super) struct Reading {
    pub(super) matches: ArgMatches,
    pub(super) sources: Sources,
    pub(super) file: Option<ConfigFile>,
}

/// What a line says, and where it stands.
type Line = (Entry, Source);

/// What somebody else than the arguments says of a flag.
struct Candidate<'a> {
    arg: &'a Arg,
    source: Source,
    values: Vec<OsString>,
    /// What stands in a list of the file, each with its own line.
    items: Vec<(String, usize)>,
}

/// Reads a command line, the program's name first, with the environment, and with the file that is named there.
pub(super) fn read(command: &Command, args: Vec<OsString>, open: &Open<'_>) -> Result<Reading, clap::Error> {
    let bare = without_variables(command);
    let written = match bare.clone().try_get_matches_from(&args) {
        Ok(written) => written,
        // The help names the variables.
        Err(why) if !is_fault(&why) => {
            return Err(command.clone().try_get_matches_from(args).err().unwrap_or(why));
        }
        Err(why) => return Err(refused::without_user(refused::explain(why, &args, command))),
    };
    // What its arguments look like is known once they are all there.
    let mut built = command.clone();
    built.build();
    let command = &built;
    let mut sources = Sources::default();
    command.get_arguments().filter(|arg| is_written(&written, arg)).for_each(|arg| {
        sources.note(arg, Source::Argument);
    });
    let (mut file, entries) = read_file(command, &written, open)?.unzip();
    let mut candidates = vec![];
    for arg in command.get_arguments() {
        let line = arg.get_long().and_then(|long| entries.iter().flatten().find(|entry| entry.0.key == long));
        let variable = arg.get_env().and_then(|name| Some((name.to_string_lossy(), env::var_os(name)?)));
        let winner = if is_written(&written, arg) {
            Source::Argument.shown(&format!("--{}", arg.get_long().unwrap_or_default()))
        } else if let Some((name, value)) = variable {
            let source = Source::Variable(name.into_owned());
            let shown = source.shown("");
            candidates.push(Candidate { arg, values: vec![value], source, items: vec![] });
            shown
        } else if let Some((Entry { values, items, .. }, source)) = line {
            let (values, items) = (values.clone(), items.clone());
            candidates.push(Candidate { arg, values, source: source.clone(), items });
            continue;
        } else {
            continue;
        };
        if let (Some((_, source)), Some(file)) = (line, &mut file) {
            file.overridden.push(format!("{winner} counts before {}", source.shown("")));
        }
    }
    let candidates = settle(command, &written, candidates, file.as_mut())?;
    let mut all: Vec<OsString> = args.iter().take(1).cloned().collect();
    for Candidate { arg, source, values, .. } in &candidates {
        sources.note(arg, source.clone());
        all.extend(as_arguments(arg, values));
    }
    all.extend(args.into_iter().skip(1));
    let matches = bare.try_get_matches_from(all).map_err(|why| match why.kind() {
        ErrorKind::InvalidUtf8 => not_a_text(&candidates).unwrap_or(why),
        _ => {
            if let Some((arg, source)) = line_of_item(&why, &candidates) {
                sources.note(arg, source);
            }
            refused::without_user(sources.explain(why))
        }
    })?;
    Ok(Reading { matches, sources, file })
}

/// What a command line alone says: no variable and no file is read.
pub(super) fn arguments(command: &Command, args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    without_variables(command).try_get_matches_from(args)
}

fn without_variables(command: &Command) -> Command {
    command.clone().mut_args(|arg| arg.env(Resettable::<OsStr>::Reset))
}

/// The file that is named by an argument or a variable, and what each of its lines says.
fn read_file(
    command: &Command,
    written: &ArgMatches,
    open: &Open<'_>,
) -> Result<Option<(ConfigFile, Vec<Line>)>, clap::Error> {
    let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == "config") else { return Ok(None) };
    let argument = written.get_one::<PathBuf>("config").cloned();
    let variable = || Some(PathBuf::from(env::var_os(arg.get_env()?)?));
    let named = if argument.is_some() { "--config" } else { "SLACKWATER_CONFIG" };
    let Some(path) = argument.or_else(variable) else { return Ok(None) };
    if path.as_os_str().is_empty() {
        // As `clap` says it of all others.
        return Err(usage_error(format!("a value is required for '{named}' but none was supplied")));
    }
    let shown = path.display().to_string();
    let text = open(&path).map_err(|why| usage_error(format!("cannot read {named} {shown}: {why}")))?;
    let server = Config::command();
    let entries = file::entries(&text, &[command, &server]).map_err(|(line, why)| {
        let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
        usage_error(format!("{shown}{line}: {why}"))
    })?;
    let file = ConfigFile {
        path,
        text: Zeroizing::new(text),
        holds_secret: entries.iter().any(Entry::is_secret),
        keys: entries.len(),
        overridden: vec![],
    };
    let with_source = |entry: Entry| {
        let source = Source::Line(shown.clone(), entry.number, entry.key.clone());
        (entry, source)
    };
    Ok(Some((file, entries.into_iter().map(with_source).collect())))
}

/// Leaves out what is excluded by something that counts before it; what counts alike cannot be settled.
fn settle<'a>(
    command: &Command,
    written: &ArgMatches,
    mut candidates: Vec<Candidate<'a>>,
    mut file: Option<&mut ConfigFile>,
) -> Result<Vec<Candidate<'a>>, clap::Error> {
    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| is_written(written, arg)).collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.source.level()));
    let mut kept: Vec<Candidate<'a>> = vec![];
    for candidate in candidates {
        let argument = arguments.iter().find(|arg| exclude(command, arg, candidate.arg));
        let other = kept.iter().find(|other| exclude(command, other.arg, candidate.arg));
        let winner = match (argument, other) {
            (None, None) => {
                kept.push(candidate);
                continue;
            }
            (Some(argument), _) => format!("--{}", argument.get_long().unwrap_or_default()),
            (None, Some(other)) if other.source.level() == candidate.source.level() => {
                return Err(usage_error(clash(&other.source, &candidate.source)));
            }
            (None, Some(other)) => other.source.shown(""),
        };
        if let (Some(file), Source::Line(..)) = (&mut file, &candidate.source) {
            file.overridden.push(format!("{winner} counts before {}", candidate.source.shown("")));
        }
    }
    Ok(kept)
}

fn clash(one: &Source, other: &Source) -> String {
    let (names, mend) = ((one.shown(""), other.shown("")), "one of them");
    match one {
        Source::Variable(_) => {
            format!("the variables {} and {} cannot be used together: unset {mend}", names.0, names.1)
        }
        _ => format!("'{}' and '{}' cannot be used together: leave {mend} out", names.0, names.1),
    }
}

fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    names(one, other) || names(other, one)
}

/// As it would be written on the command line.
fn as_arguments(arg: &Arg, values: &[OsString]) -> Vec<OsString> {
    let with_value = |value: &OsString| {
        let mut argument = OsString::from(format!("--{}=", arg.get_long().unwrap_or_default()));
        argument.push(value);
        argument
    };
    values.iter().map(with_value).collect()
}

/// The line of its own on which a value that is wrong stands in a list.
fn line_of_item<'a>(error: &clap::Error, candidates: &[Candidate<'a>]) -> Option<(&'a Arg, Source)> {
    let (Some(ContextValue::String(shown)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return None;
    };
    let why = error.source().map(|why| why.to_string()).unwrap_or_default();
    let Candidate { arg, source: Source::Line(file, _, key), items, .. } =
        candidates.iter().find(|candidate| candidate.arg.to_string() == *shown)?
    else {
        return None;
    };
    // Of several that were joined to one value the reason begins with the one, with quotes or without.
    let named = why.strip_prefix('\'').unwrap_or(&why);
    let is_named = |item: &str| named.strip_prefix(item).is_some_and(|rest| rest.starts_with(['\'', ' ']));
    let is_wrong = |item: &str| item == value || is_named(item);
    let (_, number) = items.iter().find(|(item, _)| is_wrong(item))?;
    Some((arg, Source::Line(file.clone(), *number, key.clone())))
}

/// The first that is no UTF-8 and has to be: a path need not.
fn not_a_text(candidates: &[Candidate<'_>]) -> Option<clap::Error> {
    let is_path = |arg: &Arg| arg.get_value_parser().type_id() == ValueParser::path_buf().type_id();
    let is_text = |candidate: &Candidate<'_>| candidate.values.iter().all(|value| value.to_str().is_some());
    let wrong = candidates.iter().find(|candidate| !is_path(candidate.arg) && !is_text(candidate))?;
    Some(usage_error(format!("invalid value for '{}': it is not UTF-8", wrong.source.shown(""))))
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;

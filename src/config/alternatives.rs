//! Flags that exclude each other: one that is written on the command line wins over the variables of the others, as it does over
//! its own. Which exclude each other stands at the flags themselves.

use std::env;
use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, Id};

use super::{is_argument, refused, usage_error};

/// Reads a command line, the program's name first, and the environment.
pub(super) fn read(command: Command, args: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    match command.clone().try_get_matches_from(&args) {
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => settle(command, args, error),
        read => read.map_err(refused::explain),
    }
}

/// Reads it without the variables that are set aside.
fn settle(command: Command, args: Vec<OsString>, error: clap::Error) -> Result<ArgMatches, clap::Error> {
    let bare = command.clone().mut_args(without_variable).ignore_errors(true);
    let Ok(written) = bare.try_get_matches_from(&args) else { return Err(error) };
    let (written, others): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().partition(|arg| is_argument(&written, arg.get_id().as_str()));
    let is_set_aside = |arg: &&&Arg| written.iter().any(|one| exclude(&command, one, arg));
    let set_aside: Vec<Id> = others.iter().filter(is_set_aside).map(|arg| arg.get_id().clone()).collect();
    let from_variables: Vec<&Arg> = others
        .into_iter()
        .filter(|arg| !set_aside.contains(arg.get_id()) && arg.get_env().is_some_and(is_variable))
        .collect();
    for (index, one) in from_variables.iter().enumerate() {
        if let Some(other) = from_variables[index + 1..].iter().find(|other| exclude(&command, one, other)) {
            return Err(usage_error(format!(
                "the variables {} and {} cannot be used together: unset one of them",
                variable(one),
                variable(other)
            )));
        }
    }
    let command =
        command.mut_args(|arg| if set_aside.contains(arg.get_id()) { without_variable(arg) } else { arg });
    command.try_get_matches_from(args).map_err(refused::explain)
}

fn without_variable(arg: Arg) -> Arg {
    arg.env(Resettable::<OsStr>::Reset)
}

fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    names(one, other) || names(other, one)
}

fn is_variable(name: &std::ffi::OsStr) -> bool {
    env::var_os(name).is_some()
}

fn variable(arg: &Arg) -> String {
    arg.get_env().unwrap_or_default().to_string_lossy().into_owned()
}

//! Variables of the environment that look like flags and are none, as misspelt ones do: they change nothing, and nobody
//! would be told.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory;

use super::Config;
use super::command::publish::PublishRequest;
use super::nearest::nearest;
use super::token::TokenRequest;

const PREFIX: &str = "SLACKWATER_";

/// A variable that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name, such that it can be printed.
    pub name: String,
    /// The one that may have been meant.
    pub nearest: Option<String>,
}

/// Those among the names of variables that begin as ours do. Kubernetes sets some for each Service (`enableServiceLinks`),
/// whose name may begin like this, too: they are nobody's mistake.
pub fn unknown(names: impl Iterator<Item = OsString>) -> Vec<UnknownVariable> {
    let names: BTreeSet<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    if names.is_empty() {
        return vec![];
    }
    let known = known();
    let services: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let is_of_service = |name: &str| {
        let rests = services.iter().filter_map(|service| name.strip_prefix(service));
        rests
            .into_iter()
            .any(|rest| rest == "_PORT" || rest.starts_with("_PORT_") || rest.starts_with("_SERVICE_"))
    };
    let unknown = names.iter().filter(|name| !known.contains(*name) && !is_of_service(name));
    unknown
        .map(|name| UnknownVariable { name: name.escape_debug().to_string(), nearest: near(name, &known) })
        .collect()
}

fn known() -> BTreeSet<String> {
    let commands = [Config::command(), TokenRequest::command(), PublishRequest::command()];
    let variables = commands.iter().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_env);
    variables.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Compared without what all begin with, which would make them all alike.
fn near(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let rests = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    nearest(&name[PREFIX.len()..], rests).map(|rest| format!("{PREFIX}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &str) -> Vec<(String, Option<String>)> {
        let unknown = unknown(names.split_whitespace().map(OsString::from));
        unknown.into_iter().map(|variable| (variable.name, variable.nearest)).collect()
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_nearest() {
        for (name, expected) in [
            ("SLACKWATER_PROT", Some("SLACKWATER_PORT")),
            ("SLACKWATER_WORKER", Some("SLACKWATER_WORKERS")),
            ("SLACKWATER_TIMEOUT_GRACEFUL_SHUTDWON", Some("SLACKWATER_TIMEOUT_GRACEFUL_SHUTDOWN")),
            ("SLACKWATER_SIGNING_KEY", Some("SLACKWATER_SIGNING_KEY_FILE")),
            ("SLACKWATER_XYZ", None),
            ("SLACKWATER_", None),
        ] {
            assert_eq!(said(name), [(name.to_owned(), expected.map(str::to_owned))]);
        }
    }

    #[test]
    fn what_is_known_or_of_somebody_else_is_not_named() {
        for names in [
            "",
            "HOME PORT SLACK_WATER slackwater_prot _SLACKWATER_WORKER",
            "SLACKWATER_PORT SLACKWATER_AUTH_SECRET SLACKWATER_SIGNING_KEY_FILE SLACKWATER_NO_DRAIN_NOTICE",
            "SLACKWATER_ADMIN_SERVICE_HOST SLACKWATER_ADMIN_SERVICE_PORT SLACKWATER_ADMIN_SERVICE_PORT_HTTP \
             SLACKWATER_ADMIN_PORT SLACKWATER_ADMIN_PORT_9000_TCP_ADDR",
        ] {
            assert_eq!(said(names), [], "{names}");
        }
        assert_eq!(said("SLACKWATER_ADMIN_PORT").len(), 1);
    }
}

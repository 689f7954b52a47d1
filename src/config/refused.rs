//! The flags of uvicorn that this server cannot have, each with one line that says why and what to do instead.

use std::error::Error;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::command::SUB_COMMANDS;
use super::hints;
use super::nearest::nearest;
use super::usage_error;

const NO_CLIENT_CERTIFICATES: &str = "clients are asked for no certificates: ask for tokens, with --auth-secret-file or --auth-key-file, or put a proxy in front that asks";
const PYTHON: &str = "there is no Python application here to load: publish to this server over HTTP instead";
const ONE_LOOP: &str = "there is one event loop and one WebSocket implementation, both built in";
const RELOAD: &str = "the program is compiled: build it again and restart it, which its clients survive";
const PROXY: &str = "forwarded addresses are believed only with --proxy-headers, which is off by default; --proxy-headers=false switches it off where a variable or a file has switched it on";
const LOGS: &str =
    "the log is on standard error; choose how much with --log-level, and JSON with --log-format json";
const HEADERS: &str = "response headers are not configurable; a proxy in front can add or remove them";

const HIDDEN: &str = "unexpected argument, not shown as it may be a secret: all arguments are flags, with or without a value, but \
    for a sub-command in front ('--help' lists them); if it belongs to '--publish-token <TOKEN>', '--auth-secret <SECRET>', '--ssl-keyfile-password <PASSWORD>' or '--engine <URL>', quote the value";

/// uvicorn's flags, without the dashes; one that ends in `-` stands for all that begin with it.
const REFUSED: &[(&str, &str)] = &[
    ("access-log", LOGS),
    ("app-dir", PYTHON),
    ("date-header", HEADERS),
    ("env-file", "set the environment instead, with EnvironmentFile= in systemd or --env-file in Docker"),
    ("factory", PYTHON),
    ("h11-max-incomplete-event-size", "a request's head may have 16 KiB, which is not configurable"),
    ("header", HEADERS),
    ("http", ONE_LOOP),
    ("interface", PYTHON),
    ("lifespan", PYTHON),
    (
        "limit-max-requests",
        "this process does not grow with the requests it has served, so it need not end after some",
    ),
    ("limit-max-requests-jitter", "this process does not grow with the requests it has served"),
    ("log-config", LOGS),
    ("loop", ONE_LOOP),
    ("no-access-log", LOGS),
    ("no-date-header", HEADERS),
    ("no-proxy-headers", PROXY),
    ("no-server-header", HEADERS),
    ("no-use-colors", "colours appear on a terminal only; set NO_COLOR=1 to have none there either"),
    ("reload", RELOAD),
    ("reload-", RELOAD),
    ("reset-contextvars", PYTHON),
    ("root-path", "the page follows the address it was loaded from; let the proxy strip the prefix"),
    ("server-header", HEADERS),
    ("ssl-ca-certs", NO_CLIENT_CERTIFICATES),
    ("ssl-cert-reqs", NO_CLIENT_CERTIFICATES),
    (
        "ssl-ciphers",
        "the cipher suites of TLS 1.3, and of TLS 1.2 those with ECDHE and AEAD, are spoken, which is not configurable",
    ),
    ("ssl-version", "TLS 1.3 and 1.2 are spoken, which is not configurable"),
    ("use-colors", "colours appear on a terminal only"),
    ("ws", ONE_LOOP),
    (
        "ws-max-queue",
        "messages are answered as they arrive, so there is no queue of them; see --outbox-limit",
    ),
];

/// What to say about an unknown argument: the flag that is meant by other letters, its line above, or else the given error if that may be shown.
pub(super) fn explain(error: clap::Error, args: &[OsString], command: &Command) -> clap::Error {
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    if let Some(why) = misspelt(arg, command) {
        return usage_error(why);
    }
    if let Some(why) = elsewhere(arg, command) {
        return if is_harmless(arg) { error } else { usage_error(why) };
    }
    if let Some(why) = refusal(arg) {
        return usage_error(why);
    }
    if let Some(why) = hints::explain(arg, args).or_else(|| misplaced(arg)) {
        return usage_error(why);
    }
    if is_harmless(arg) { error } else { usage_error(HIDDEN.to_owned()) }
}

/// An error of `clap` without the value that is wrong, if that may hold a password, as an address with a user in it does.
pub(super) fn without_user(error: clap::Error) -> clap::Error {
    let (Some(ContextValue::String(arg)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    if !value.contains('@') {
        return error;
    }
    let why = error.source().map(|why| format!(": {why}")).filter(|why| !why.contains('@'));
    let why = why.unwrap_or_default();
    usage_error(format!(
        "invalid value for '{arg}', not shown as a password may stand in front of its '@'{why}"
    ))
}

/// What to say about a flag in capitals, or with `_`, if one is near it otherwise. Only what is a flag's very name is shown.
fn misspelt(arg: &str, command: &Command) -> Option<String> {
    let given = arg.strip_prefix("--")?.split('=').next()?;
    let meant = given.to_ascii_lowercase().replace('_', "-");
    let near =
        nearest(&meant, command.get_arguments().filter_map(Arg::get_long)).filter(|_| meant != given)?;
    Some(if near == meant {
        format!("there is no flag '--{given}': give '--{near}'")
    } else {
        format!("unexpected argument, not shown as it may be a secret: did you mean the flag '--{near}'?")
    })
}

/// What to say where the flags are not those of the server, if they are not: its habits are of no use there.
fn elsewhere(arg: &str, command: &Command) -> Option<String> {
    let hidden = |secret: &str| {
        format!(
            "unexpected argument, not shown as it may be a secret ('--help' lists all flags); if it belongs to '{secret}', quote the value"
        )
    };
    let name = command.get_bin_name()?.strip_prefix("slackwater ")?;
    let is_flag = arg.starts_with('-');
    match name {
        "token" => Some(hidden("--auth-secret <SECRET>")),
        "publish" | "listen" if is_flag => Some(hidden("--token <TOKEN>")),
        "publish" => {
            Some("one text is published: put it in quotes, as in slackwater publish 'hello world'".to_owned())
        }
        "listen" if hints::is_address(arg) => Some(
            "the server is named by --url, as in slackwater listen --url http://localhost:8000".to_owned(),
        ),
        "listen" => Some("topics are named by --topic, as in slackwater listen --topic orders/7".to_owned()),
        _ => None,
    }
}

/// What to say about an argument that may have been meant as a sub-command, if it may.
fn misplaced(arg: &str) -> Option<String> {
    let names = || SUB_COMMANDS.iter().map(|(name, _)| *name);
    let name = nearest(arg, names()).filter(|_| !arg.starts_with('-'))?;
    Some(if name == arg {
        format!("'{name}' is a sub-command, which comes first: slackwater {name} [OPTIONS]")
    } else {
        let all = names().collect::<Vec<_>>().join(", ");
        format!(
            "unexpected argument, not shown as it may be a secret: did you mean the sub-command '{name}'? There are {all}"
        )
    })
}

/// Whether it can only be a misspelt flag, and not a token in the wrong place: what is printed ends up in journals.
fn is_harmless(arg: &str) -> bool {
    let Some(flag) = arg.strip_prefix('-') else { return false };
    flag.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
        && !flag.contains("token")
        && !flag.contains("secret")
        && !flag.contains("password")
}

fn refusal(arg: &str) -> Option<String> {
    let Some(flag) = arg.strip_prefix("--") else {
        // uvicorn is started with the application's name, as in `main:app`.
        let is_application =
            arg.split_once(':').is_some_and(|(module, name)| is_dotted(module) && is_dotted(name));
        return is_application.then(|| format!("an application, as 'main:app', is not possible: {PYTHON}"));
    };
    let flag = flag.split('=').next().unwrap_or(flag);
    let (_, why) = REFUSED
        .iter()
        .find(|(refused, _)| flag == *refused || refused.ends_with('-') && flag.starts_with(refused))?;
    Some(format!("'--{flag}' is not possible: {why}"))
}

fn is_dotted(name: &str) -> bool {
    !name.is_empty() && name.split('.').all(|part| part.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn refused(args: &str) -> Option<String> {
        let error = Config::read(args.split_whitespace().map(OsString::from)).err()?;
        Some(error.to_string().trim_end().trim_start_matches("error: ").to_owned())
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line_that_says_why() {
        for args in [
            "x --reload",
            "x --loop=uvloop",
            "x --port 1 --ssl-ciphers TLSv1",
            "x main:app",
            "x a.b:create.app",
        ] {
            let line = refused(args).unwrap_or_else(|| panic!("{args} is not refused"));
            assert!(line.contains(" is not possible: ") && !line.contains('\n'), "{line}");
        }
        assert_eq!(refused("x --loop auto").unwrap(), format!("'--loop' is not possible: {ONE_LOOP}"));
    }

    #[test]
    fn a_flag_in_other_letters_is_named() {
        for (args, expected) in [
            ("x --Port 8000", "there is no flag '--Port': give '--port'"),
            ("x --PORT=8000", "there is no flag '--PORT': give '--port'"),
            ("x --log_level info", "there is no flag '--log_level': give '--log-level'"),
            (
                "x --Prot 8000",
                "unexpected argument, not shown as it may be a secret: did you mean the flag '--port'?",
            ),
            ("x --eyJhbGciOiJIUzI1NiJ9", HIDDEN),
        ] {
            assert_eq!(refused(args).as_deref(), Some(expected), "{args}");
        }
    }

    #[test]
    fn the_user_of_an_address_and_the_password_are_not_shown() {
        for args in [
            "--allowed-origin http://u:sekrit@h",
            "--allowed-origin https://a,http://u:sekrit@h",
            "--admin u:sekrit@h",
        ] {
            let line = refused(&format!("x {args}")).unwrap_or_else(|| panic!("{args} is not refused"));
            assert!(line.starts_with("invalid value for '--a") && !line.contains("sekrit"), "{line}");
        }
    }

    #[test]
    fn what_is_possible_is_let_through() {
        for args in
            ["x", "x --host ::1 --port 80", "x --host fe80::1", "x --ws-max-size 1", "x --publish-token a:b"]
        {
            assert_eq!(refused(args), None, "{args}");
        }
    }
}

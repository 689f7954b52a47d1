//! Tests of `engine`: flags, and what is said where they are wrong.

use std::ffi::OsString;
use std::time::Duration;

use super::*;

fn read(flags: &str) -> Result<EngineFlags, String> {
    let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
    Config::read(args).map(|config| config.engine).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(flags: &str, why: &str) {
    let error = read(flags).expect_err(flags);
    assert!(error.contains(why) && !error.contains("sekrit"), "{flags}: {error}");
}

#[test]
fn without_a_url_there_is_no_engine_and_nothing_may_be_said_of_one() {
    assert!(read("").unwrap().url.is_none());
    for flags in [
        "--engine-name x",
        "--engine-wait 5",
        "--engine-wait 0",
        "--engine-password-file /x",
        "--engine-cacert /x",
        "--engine-cert /x",
        "--engine-key /x",
    ] {
        refused(flags, "--engine <URL>");
    }
}

#[test]
fn its_name_and_the_time_to_wait_are_bounded() {
    let longest = "x".repeat(64);
    let all =
        |flags: &str| read(&format!("--engine redis://h {flags}")).map(|it| (it.engine_name, it.engine_wait));
    assert_eq!(all(""), Ok(("slackwater".to_owned(), Period(None))));
    assert_eq!(all("--engine-name A.b_c:d-1").unwrap().0, "A.b_c:d-1");
    assert_eq!(all(&format!("--engine-name {longest}")).unwrap().0, longest);
    for name in ["a{b", "a}", "\u{e4}", "a/b", "", &format!("{longest}x")] {
        let why = format!(
            "invalid value '{name}' for '--engine-name <NAME>': give 1 to 64 letters, digits and . _ : -"
        );
        assert!(all(&format!("--engine-name={name}")).unwrap_err().contains(&why), "{name}");
    }
    for (text, expected) in [("0", None), ("1", Some(1)), ("60000", Some(60_000))] {
        let expected = Period(expected.map(Duration::from_millis));
        assert_eq!(all(&format!("--engine-wait {text}")).unwrap().1, expected);
    }
    for text in ["60001", "-1", "0.5", "61s", "1us"] {
        let why = format!(
            "invalid value '{text}' for '--engine-wait <MS>': give whole milliseconds from 1 to 60000, or a duration such as 250ms or 2s, or 0 for none"
        );
        assert!(all(&format!("--engine-wait {text}")).unwrap_err().contains(&why), "{text}");
    }
}

#[test]
fn what_is_wrong_with_its_url_is_said_without_it() {
    for url in [
        "sekrit",
        "sekrit@h",
        ":sekrit@h:6379",
        "--sekrit",
        "redis://h:sekrit",
        "redis+sentinel://:sekrit@h",
        "sekrit://x",
    ] {
        refused(&format!("--engine {url}"), "invalid value for '--engine <URL>': ");
    }
    refused("--engine redis://:a --engine redis://:sekrit@h", "cannot be used multiple times");
    refused("--engine redis://:a sekrit@h", "quote the value");
}

#[test]
fn there_is_one_password_for_a_user_in_the_url_or_in_a_file() {
    refused(
        "--engine redis://sekrit@h",
        "there is a user and no password: give user:password@, or :password@ for",
    );
    refused("--engine redis://:sekrit@h --engine-password-file /x", "leave one of them out");
    assert!(read("--engine redis://u@h --engine-password-file /x").is_ok());
    let flags = read("--engine redis://:sekrit@h").unwrap();
    assert!(flags.password_is_in_arguments() && !format!("{flags:?}").contains("sekrit"), "{flags:?}");
    assert!(!read("--engine redis://h").unwrap().password_is_in_arguments());
}

#[test]
fn a_state_file_and_a_socket_of_the_servers_contradict_it() {
    refused("--engine redis://h --state-file /x", "'--state-file' cannot be used with '--engine'");
    for flag in ["--uds", "--admin", "--handover"] {
        refused(
            &format!("--engine unix:///x/y {flag} /x/y"),
            &format!("'{flag}' cannot be the socket of '--engine'"),
        );
        assert!(read(&format!("--engine unix:///x/y {flag} /x/z")).is_ok());
    }
}

#[test]
fn what_belongs_to_tls_is_refused_without_it() {
    for flag in ["--engine-cacert", "--engine-cert", "--engine-key"] {
        let rest = if flag == "--engine-key" { "--engine-cert /x" } else { "" };
        for url in ["redis://:sekrit@h", "unix:///x"] {
            refused(
                &format!("--engine {url} {flag} /x {rest}"),
                "means nothing without TLS: give '--engine' as rediss://",
            );
        }
    }
}

#[test]
#[cfg(feature = "tls")]
fn a_certificate_is_shown_to_the_engine_with_a_key_beside_it_or_in_another_file() {
    let url = "--engine rediss://h";
    assert!(read(&format!("{url} --engine-cacert ca --engine-cert c --engine-key k")).is_ok());
    assert!(read(&format!("{url} --engine-cert c")).is_ok());
    refused(&format!("{url} --engine-key k"), "--engine-cert <PATH>");
}

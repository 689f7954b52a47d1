//! Tests of `file`: what a line says, and what is said of a wrong one.

use clap::CommandFactory;

use super::*;
use crate::config::Config;

fn read(text: &str) -> Result<Vec<(usize, String, Vec<OsString>)>, String> {
    let entries = entries(text, &[&Config::command()]).map_err(|(line, why)| format!("{line:?} {why}"))?;
    Ok(entries.into_iter().map(|entry| (entry.number, entry.key, entry.values)).collect())
}

fn values(all: &[&str]) -> Vec<OsString> {
    all.iter().map(OsString::from).collect()
}

#[test]
fn keys_are_the_names_of_flags_and_values_are_as_toml_has_them() {
    let text = "# A comment\nport = 8_000\n\nhost = \"::1\"\nlimit_connect_rate = 0.5\npark = true\nno-drain-notice = false\n\
                ws-per-message-deflate = true\nallowed-origin = [\n  \"https://a.example\", \"null\"\n]\n\
                forwarded-allow-ips = [\"10.0.0.1\", \"10.0.0.2\"]\n";
    let expected = [
        (2, "port", values(&["8000"])),
        (4, "host", values(&["::1"])),
        (5, "limit-connect-rate", values(&["0.5"])),
        (6, "park", values(&["true"])),
        (7, "no-drain-notice", values(&["false"])),
        (8, "ws-per-message-deflate", values(&["true"])),
        (9, "allowed-origin", values(&["https://a.example", "null"])),
        (12, "forwarded-allow-ips", values(&["10.0.0.1,10.0.0.2"])),
    ];
    assert_eq!(read(text).unwrap(), expected.map(|(line, key, said)| (line, key.to_owned(), said)));
    assert_eq!(read(""), Ok(vec![]));
}

#[test]
fn a_wrong_line_is_named_with_what_is_wrong_and_the_value_is_not_shown() {
    for (text, expected) in [
        ("\nprot = 1", "Some(2) unknown key prot: did you mean port?"),
        ("xyz = 1", "Some(1) unknown key xyz; keys are the flags of --help without the dashes"),
        ("listen = \"0.0.0.0:80\"", "Some(1) unknown key listen: did you mean host and port?"),
        ("strict = true", "Some(1) unknown key strict"),
        ("help = true", "Some(1) unknown key help"),
        ("config = \"x\"", "Some(1) config means nothing within a configuration file: leave it out"),
        (
            "port = 1\n[server]\nhost = \"x\"",
            "Some(2) [server] is a section, and there are none: all keys stand side by side",
        ),
        ("[[server]]\nhost = \"x\"", "Some(1) [server] is a section"),
        ("server.host = \"x\"", "Some(1) [server] is a section"),
        ("park = [true]", "Some(1) park: give one value, not a list"),
        ("port = [1, 2]", "Some(1) port: give one value, not a list"),
        ("port = { sekrit = 1 }", "Some(1) port: give a text in quotes or a number, not a table"),
        ("port = 2026-01-01", "Some(1) port: give a text in quotes or a number, not a date"),
        ("port = 0x50", "Some(1) port: give the number in decimal"),
        ("allowed-origin = [[\"sekrit\"]]", "Some(1) allowed-origin: give values in the list, not lists"),
        (
            "drain_spread = 1\n\ndrain-spread = 2",
            "Some(3) drain-spread stands in line 1, too: leave one of them out",
        ),
        ("port = 1\nport = 2", "Some(2) this is no TOML: duplicate key"),
        ("port = 1\npublish-token = sekrit", "Some(2) this is no TOML: "),
        ("publish-token = \"sekrit", "Some(1) this is no TOML: "),
        ("port: 8000", "Some(1) this is no TOML: "),
        ("{\"port\": 8000}", "Some(1) this is no TOML: "),
    ] {
        let why = read(text).unwrap_err();
        assert!(why.starts_with(expected), "{text}: {why}");
        assert!(!why.contains("sekrit") && !why.contains('\n'), "{text}: {why}");
    }
}

#[test]
fn the_example_in_packaging_has_every_flag() {
    let example = include_str!("../../packaging/slackwater.toml");
    assert_eq!(read(example).unwrap().len(), 2, "the rest are comments");
    let is_key = |line: &&str| {
        line.starts_with(|first: char| first.is_ascii_lowercase() || first == '#') && line.contains(" = ")
    };
    let lines = example.lines().filter(|line| !line.starts_with("# ")).filter(is_key);
    let all: String = lines.map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
    let mut keys: Vec<String> = read(&all).unwrap().into_iter().map(|(_, key, _)| key).collect();
    let command = Config::command();
    let mut flags: Vec<String> = flags(&[&command]).into_keys().map(str::to_owned).collect();
    flags.retain(|flag| flag != "config");
    keys.sort_unstable();
    assert_eq!(keys, flags);
}

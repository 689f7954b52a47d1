//! Tests of `reading`: which of several sources counts, and which is named in an error. Variables are those of the process, so that
//! the tests of the program have them.

use super::*;
use crate::config::command::{CheckRequest, Command as Asked};

fn read(line: &str, text: &str) -> Result<Config, String> {
    let args = ["slackwater", "check", "--config", "f.toml"].into_iter().chain(line.split_whitespace());
    match Asked::read(args.map(OsString::from), &|_| Ok(text.to_owned())) {
        Ok(Asked::Check(request)) => {
            let CheckRequest { config, .. } = *request;
            Ok(config)
        }
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why.to_string().trim_end().to_owned()),
    }
}

#[test]
fn a_flag_counts_before_a_line_of_the_file_and_a_list_replaces_a_list() {
    let text = "port = 1\nbacklog = 7\nallowed-origin = [\"https://a\", \"https://b\"]";
    let alone = read("", text).unwrap();
    assert_eq!((alone.port, alone.backlog, alone.origins.all().len()), (1, 7, 2));
    let config = read("--port 2 --allowed-origin null", text).unwrap();
    assert_eq!((config.port, config.backlog, config.origins.all().len()), (2, 7, 1));
    let file = config.file.read.unwrap();
    assert_eq!((file.keys, file.overridden.len()), (3, 2));
    assert_eq!(file.overridden[0], "--port counts before f.toml line 1 (port)");
}

#[test]
fn what_excludes_a_flag_is_set_aside_in_the_file_and_refused_beside_it() {
    let config = read("--port 2", "uds = \"/x\"").unwrap();
    assert_eq!((config.uds, config.port), (None, 2));
    assert_eq!(config.file.read.unwrap().overridden, ["--port counts before f.toml line 1 (uds)"]);
    let config = read("--uds /x", "port = 2\nhost = \"::\"").unwrap();
    assert_eq!((config.uds, config.port), (Some("/x".into()), 8000));
    assert_eq!(
        read("", "port = 2\nuds = \"/x\"").unwrap_err(),
        "error: 'f.toml line 1 (port)' and 'f.toml line 2 (uds)' cannot be used together: leave one of them out"
    );
    for line in ["--uds /x --port 1", "--uds /x --host ::", "--fd 3 --port 1", "--uds /x --fd 3"] {
        assert!(read(line, "").unwrap_err().contains("cannot be used with"), "{line}");
    }
    assert_eq!(read("--fd 3 --host ::", "").unwrap_err(), "error: '--fd' cannot be used with '--host'");
    assert!(read("--fd 3", "host = \"::\"").is_ok());
}

#[test]
fn an_error_names_the_line_that_it_comes_from() {
    for (line, text, expected) in [
        (
            "",
            "\nport = 70000",
            "invalid value '70000' for 'f.toml line 2 (port)': give a whole number from 0",
        ),
        ("", "log-level = \"loud\"", "invalid value 'loud' for 'f.toml line 1 (log-level)'"),
        ("", "drain-spread = true", "invalid value 'true' for 'f.toml line 1 (drain-spread)': give seconds"),
        (
            "",
            "port = 1\nallowed-origin = [\n  \"https://a\",\n  \"app.example\",\n]",
            "invalid value 'app.example' for 'f.toml line 4 (allowed-origin)': give an origin",
        ),
        (
            "",
            "forwarded-allow-ips = [\n  \"10.0.0.1\",\n  \"x\",\n]",
            "'f.toml line 3 (forwarded-allow-ips)'",
        ),
        ("", "allowed-origin = [\n  \"https://a\",\n  { sekrit = 1 },\n]", "f.toml line 3: "),
        ("", "prot = 1", "f.toml line 1: unknown key prot: did you mean port?"),
        (
            "",
            "publish-token = \"a sekrit\"",
            "invalid value for 'f.toml line 1 (publish-token)': give at least",
        ),
        ("", "auth-secret = \"sekrit\"", "invalid value for 'f.toml line 1 (auth-secret)': give at least 32"),
        ("", "engine = \"sekrit\"", "invalid value for 'f.toml line 1 (engine)': "),
        ("", "engine-name = \"x\"", "'f.toml line 1 (engine-name)' means nothing without an engine"),
        ("", "auth-issuer = \"x\"", "'f.toml line 1 (auth-issuer)' means nothing without tokens"),
        ("", "admin-ssl = true", "'f.toml line 1 (admin-ssl)' "),
        (
            "--max-connection-age 60",
            "no-drain-notice = true",
            "'--max-connection-age' cannot be used with 'f.toml line 1 (no-drain-notice)'",
        ),
        (
            "--state-file /x",
            "engine = \"redis://h\"",
            "'--state-file' cannot be used with 'f.toml line 1 (engine)'",
        ),
        ("--port 70000", "prot = 1", "invalid value '70000' for '--port <PORT>'"),
    ] {
        let why = read(line, text).unwrap_err();
        assert!(why.contains(expected) && !why.contains("sekrit"), "{text}: {why}");
    }
}

#[test]
fn a_requirement_may_be_met_by_another_source() {
    let secret = "x".repeat(32);
    let text =
        format!("auth-secret = \"{secret}\"\nmax-connection-age = \"1h30m\"\nhistory-bytes = \"1GiB\"");
    let config = read("--auth-issuer us", &text).unwrap();
    assert!(config.auth.is_on() && !config.auth.secret_is_in_arguments);
    assert_eq!(config.age.max_connection_age, Some(std::time::Duration::from_secs(5400)));
    assert_eq!(config.history_bytes, 1 << 30);
    let file = config.file.read.unwrap();
    assert!(file.holds_secret && !format!("{file:?}").contains(&secret));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_help_needs_none() {
    let args = |line: &str| {
        ["slackwater"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect::<Vec<_>>()
    };
    let open = |_: &std::path::Path| Err("it is not there".to_owned());
    let why = Asked::read(args("--config f.toml"), &open).unwrap_err().to_string();
    assert!(why.contains("cannot read --config f.toml: it is not there"), "{why}");
    let help = Asked::read(args("--config f.toml --help"), &open).unwrap_err();
    assert!(!help.use_stderr() && help.to_string().contains("SLACKWATER_PORT"), "{help}");
    // A flag that is wrong is said first.
    assert!(Asked::read(args("--config f.toml --prot"), &open).unwrap_err().to_string().contains("--port"));
}

#[test]
fn a_token_is_made_by_the_same_file_whose_other_keys_mean_nothing_there() {
    let text = format!("port = 8000\nauth-secret = \"{}\"", "x".repeat(32));
    let args = ["slackwater", "token", "--config", "f.toml"].map(OsString::from);
    let Ok(Asked::Token(request)) = Asked::read(args, &|_| Ok(text.clone())) else { panic!("no token") };
    assert!(request.auth.is_on());
}

#[test]
fn every_value_of_the_example_in_packaging_is_one_that_its_flag_takes() {
    let example = include_str!("../../packaging/slackwater.toml");
    for line in example.lines().map(|line| line.trim_start_matches('#')).filter(|line| line.contains(" = ")) {
        let why = read("", line).err().unwrap_or_default();
        assert!(!why.contains("invalid value") && !why.contains("f.toml line 1: unknown"), "{line}: {why}");
    }
}

#[test]
fn the_file_that_the_guide_shows_is_read() {
    let guide = include_str!("../../docs/flags.md");
    let text = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = read("", text).unwrap();
    assert_eq!((config.port, config.workers, config.history_bytes), (8000, 2, 256 << 20));
    assert_eq!(config.timeout_graceful_shutdown, std::time::Duration::from_secs(600));
}

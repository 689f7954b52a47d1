//! Tests of `config`: what all flags have in common, and the bounds of some.

use super::*;

fn read(flags: &str) -> Result<Config, String> {
    let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
    Config::read(args).map_err(|error| error.to_string())
}

#[test]
fn the_command_line_is_well_formed() {
    Config::command().debug_assert();
}

#[test]
fn every_flag_has_an_environment_variable_of_its_name() {
    for arg in Config::command().get_arguments() {
        let flag = arg.get_long().expect("every knob is a flag").to_owned();
        let expected = format!("SLACKWATER_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(arg.get_env(), Some(expected.as_ref()), "--{flag}");
    }
}

#[test]
fn fractions_of_a_second_are_allowed_and_zero_switches_off() {
    let config = read("--timeout-graceful-shutdown 0.5 --notify-interval 0 --ws-ping-interval 2.5").unwrap();
    assert_eq!(config.timeout_graceful_shutdown, Duration::from_millis(500));
    assert_eq!(
        (config.notify_interval, config.ws_ping_timeout.0),
        (Period(None), Some(Duration::from_secs(20)))
    );
    assert_eq!(config.ws_ping_interval, Period(Some(Duration::from_millis(2500))));
}

#[test]
fn every_flag_that_switches_something_on_switches_it_off_with_false_behind_it() {
    let command = Config::command();
    let switches = command
        .get_arguments()
        .filter(|arg| arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "BOOLEAN")));
    let switches: Vec<&str> = switches.map(|arg| arg.get_long().unwrap()).collect();
    assert_eq!(switches.len(), 6, "{switches:?}");
    for switch in switches {
        let file = format!("{switch} = true\nssl-certfile = 'c'\nadmin = '/a'\n");
        let is_on = |flags: &str, file: &str| {
            let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
            let with_file = ["--config".into(), "f.toml".into()];
            let config =
                Config::read_with(args.chain(with_file).collect(), &|_| Ok(file.to_owned())).unwrap();
            let shown = format!("{config:?}");
            shown.contains(&format!("{}: true", switch.replace('-', "_")))
        };
        let written = |flags: &str| is_on(flags, &file);
        assert!(written(""), "{switch}");
        assert!(!written(&format!("--{switch}=false")) && !written(&format!("--{switch}=off")), "{switch}");
        let bare = is_on(&format!("--{switch} --port 1"), &file.replace("true", "false"));
        assert!(bare && is_on(&format!("--{switch}=1"), &file.replace("true", "\"no\"")), "{switch}");
    }
    let maybe = read("--park=maybe").unwrap_err();
    assert!(maybe.contains("'--park[=<BOOLEAN>]': give 1, true, yes or on to set it"), "{maybe}");
    assert!(read("--park False").unwrap_err().contains("takes it behind '=', as --park=False"));
}

#[test]
fn every_quantity_takes_a_unit_beside_the_plain_number_that_it_had() {
    let mut quantities = 0;
    for arg in Config::command().get_arguments() {
        let unit = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        let (plain, with_unit) = match unit {
            "SECONDS" => ("5", "5000ms"),
            "MS" => ("5000", "5s"),
            "BYTES" => ("2048", "2KiB"),
            _ => continue,
        };
        let flag = arg.get_long().expect("every knob is a flag");
        let needs = if flag.starts_with("engine") { "--engine redis://h" } else { "" };
        let [plain, with_unit] = [plain, with_unit]
            .map(|value| format!("{:?}", read(&format!("{needs} --{flag} {value}")).unwrap()));
        assert_eq!(plain, with_unit, "--{flag}");
        assert_ne!(plain, format!("{:?}", read(&format!("{needs} --{flag} 3072")).ok()));
        quantities += 1;
    }
    assert!(quantities >= 19, "{quantities}");
}

#[test]
fn a_value_out_of_bounds_is_refused_with_the_flag_the_value_and_the_bounds() {
    let refused = [
        ("--port 70000", "invalid value '70000' for '--port <PORT>': give a whole number from 0 to 65535"),
        ("--workers 0", "invalid value '0' for '--workers <N>': give a whole number from 1 to 256"),
        ("--backlog -5", "invalid value '-5' for '--backlog <N>': give a whole number from 1 to 65535"),
        (
            "--timeout-graceful-shutdown -1",
            "'--timeout-graceful-shutdown <SECONDS>': give seconds from 0 to 604800, or a duration such as 30s or 5m",
        ),
        ("--write-timeout nan", "give seconds from 0.01 to 3600, or a duration such as 30s or 5m"),
        (
            "--notify-interval 1e9",
            "give seconds from 0.01 to 86400, or a duration such as 30s or 5m, or 0 for none",
        ),
        (
            "--outbox-limit 2GiB",
            "'--outbox-limit <BYTES>': give bytes from 1024 to 1073741824, or a size such as 64KiB or 10MB",
        ),
        ("--log-level loud", "[possible values: error, warning, info, debug, trace]"),
    ];
    for (flags, message) in refused {
        let error = read(flags).unwrap_err();
        assert!(error.contains(message), "{flags}: {error}");
    }
}

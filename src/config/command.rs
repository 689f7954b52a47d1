//! Which sub-command is asked for, and what it is told. A name that stands first is one; all else is for `serve`, so that a
//! command line without a name means what it meant before there were any.

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use self::listen::ListenRequest;
use self::publish::PublishRequest;
use super::file::Open;
use super::health::{Health, health};
use super::token::TokenRequest;
use super::{Config, reading};

pub mod listen;
pub mod publish;
pub mod reach;

/// The sub-commands and what each does.
pub(super) const SUB_COMMANDS: [(&str, &str); 5] = [
    ("serve", "Serves; so does the program without a sub-command"),
    ("token", "Makes a token (JWT) that a server with the same secret or key accepts, and prints it"),
    ("check", "Reads the whole configuration; says what the server would do, and what is dangerous about it"),
    ("publish", "Publishes to a server, and prints the id"),
    ("listen", "Prints what is published on a server, and comes back where the connection ends"),
];

/// What the program is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Make a token.
    Token(Box<TokenRequest>),
    /// Look at a configuration.
    Check(Box<CheckRequest>),
    /// Publish to a server.
    Publish(Box<PublishRequest>),
    /// Hear what is published.
    Listen(Box<ListenRequest>),
}

/// Says what the server would do with this configuration, and what is dangerous about it.
///
/// It takes the flags and the variables of the server, reads the files that they name, and neither listens nor changes
/// anything. Exit code: 0 if the server would start, 2 if it would not, 3 if the report cannot be written. All faults
/// are reported at once, except an invalid value of a flag or variable, which is reported alone.
#[derive(Debug, Parser)]
#[command(name = "slackwater", bin_name = "slackwater check", version, max_term_width = 100)]
pub struct CheckRequest {
    /// Ends with 2 for a warning, too
    #[arg(long)]
    pub strict: bool,

    /// Looks at nothing, but asks a server by HTTP whether it is well, and ends with 0 if it says so within 5 seconds, with 1 if
    /// not: that of http://HOST:PORT, https://HOST:PORT (whose certificate is not verified) or unix:PATH, with a path to ask for
    /// or /healthz; without a URL the server that has this configuration
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", value_parser = health)]
    #[arg(conflicts_with = "strict")]
    pub health: Option<Health>,

    /// What is looked at.
    #[command(flatten)]
    pub config: Config,
}

impl Command {
    /// Whether a command line, the program's name first, is for the server.
    pub fn is_to_serve(args: &[OsString]) -> bool {
        let first = args.get(1).and_then(|first| first.to_str()).unwrap_or_default();
        first == "serve" || !SUB_COMMANDS.iter().any(|(name, _)| *name == first)
    }

    /// Reads the command line, the program's name first, the environment, and the configuration file, whose text is come by so.
    ///
    /// # Errors
    /// What to print and the exit code to end with: also for `--help` and `--version`.
    pub fn read(args: impl IntoIterator<Item = OsString>, open: &Open<'_>) -> Result<Self, clap::Error> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        let mut name = args.get(1).and_then(|first| first.to_str()).unwrap_or_default().to_owned();
        if name == "help" && args.len() <= 3 {
            // As `git help commit` and `cargo help build`.
            args.remove(1);
            name = args.get(1).and_then(|first| first.to_str()).unwrap_or_default().to_owned();
            args.push("--help".into());
        }
        if SUB_COMMANDS.iter().any(|(known, _)| *known == name) {
            args.remove(1);
        }
        match &*name {
            "token" => TokenRequest::read(args, open).map(|request| Self::Token(request.into())),
            "check" => CheckRequest::read(args, open).map(|request| Self::Check(request.into())),
            "publish" => PublishRequest::read(args).map(|request| Self::Publish(request.into())),
            "listen" => ListenRequest::read(args).map(|request| Self::Listen(request.into())),
            _ => Config::read_with(args, open).map(|config| Self::Serve(config.into())),
        }
    }
}

impl CheckRequest {
    fn read(args: Vec<OsString>, open: &Open<'_>) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| arg.hide_env_values(true));
        // Who is asked by a URL needs no configuration: one that is wrong would make a healthy server look ill.
        let written = reading::arguments(&command, &args);
        if let Some(matches) = written.ok().filter(asks_another) {
            return Self::from_arg_matches(&matches);
        }
        let reading = reading::read(&command, args, open)?;
        Ok(Self {
            strict: reading.matches.get_flag("strict"),
            health: reading.matches.get_one("health").cloned(),
            config: Config::of(reading)?,
        })
    }
}

/// Whether the health of a server is asked for that is named by its URL.
fn asks_another(matches: &ArgMatches) -> bool {
    matches!(matches.get_one("health"), Some(Health::Of(_)))
}

/// All command lines as one with sub-commands, for the manual and for what shells complete. It is not what is read: there a
/// command line without a name is for `serve`.
pub fn documented() -> clap::Command {
    let parts = SUB_COMMANDS.map(|(name, _)| {
        let part = match name {
            "token" => TokenRequest::command_line(),
            "check" => CheckRequest::command(),
            "publish" => PublishRequest::command(),
            "listen" => ListenRequest::command(),
            _ => Config::command(),
        };
        part.name(name)
    });
    Config::command().subcommands(parts)
}

/// The command line of `serve`, whose help lists the sub-commands on top.
pub(super) fn with_sub_commands(command: clap::Command) -> clap::Command {
    let width = SUB_COMMANDS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let list: String = SUB_COMMANDS.iter().map(|(name, does)| format!("  {name:width$}  {does}\n")).collect();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\nSub-commands, in front of all flags ('slackwater \
         help check' says more of one):\n{list}\n{{all-args}}{{after-help}}"
    );
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn read(line: &str) -> Result<Command, String> {
        let args = ["slackwater"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        Command::read(args, &file::none).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_name_it_serves_by_the_same_flags_and_refuses_the_same_in_the_same_words() {
        for line in ["", "--port 8001", "--workers 2 --host ::1 --no-drain-notice"] {
            let [named, unnamed] = [format!("serve {line}"), line.to_owned()].map(|line| match read(&line) {
                Ok(Command::Serve(config)) => format!("{config:?}"),
                other => panic!("{line}: {other:?}"),
            });
            assert_eq!(named, unnamed);
        }
        for line in
            ["--port 70000", "--reload", "--help", "--version", "sekrit", "main:app", "--prot", "--port"]
        {
            assert_eq!(read(&format!("serve {line}")).unwrap_err(), read(line).unwrap_err(), "{line}");
        }
    }

    #[test]
    fn whose_health_is_asked_for_by_a_url_needs_no_configuration_and_reads_none() {
        let read = |line: &str| {
            let args = ["slackwater", "check", "--config", "f.toml", "--health"].into_iter();
            let args = args.chain(line.split_whitespace()).map(OsString::from);
            Command::read(args, &|_| Ok("port = \"none\"".to_owned()))
        };
        let Ok(Command::Check(request)) = read("http://localhost:1") else { panic!("no check") };
        assert!(matches!(request.health, Some(Health::Of(_))) && request.config.file.read.is_none());
        assert!(read("").unwrap_err().to_string().contains("f.toml line 1"));
        assert!(read("http://localhost:1 --strict").is_err() && read("localhost").is_err());
    }

    #[test]
    fn the_help_lists_the_sub_commands_on_top_and_each_has_its_own() {
        let help = read("--help").unwrap_err();
        let places = SUB_COMMANDS.map(|(name, does)| help.find(&format!("  {name:7}  {does}")).unwrap());
        assert!(places.iter().all(|place| *place < help.find("--host").unwrap()), "{help}");
        assert_eq!(read("help").unwrap_err(), help);
        for (name, _) in SUB_COMMANDS {
            let own = read(&format!("{name} --help")).unwrap_err();
            assert_eq!(read(&format!("help {name}")).unwrap_err(), own);
            assert!(name == "serve" || own.contains(&format!("Usage: slackwater {name} ")), "{own}");
        }
    }

    #[test]
    fn what_is_documented_is_well_formed_and_has_all_that_is_read() {
        let whole = documented();
        whole.clone().debug_assert();
        for (name, _) in SUB_COMMANDS {
            let part = whole.find_subcommand(name).unwrap();
            let help = read(&format!("{name} --help")).unwrap_err();
            let shown =
                part.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
            shown.for_each(|flag| assert!(help.contains(&format!("--{flag}")), "{name} --{flag}"));
        }
    }

    #[test]
    fn a_flag_of_the_server_is_not_recommended_where_there_is_none() {
        for line in [
            "publish -d x",
            "publish -p 8000 x",
            "publish --reload x",
            "listen -v",
            "listen -c 5",
            "token -p 1",
        ] {
            let why = read(line).unwrap_err();
            let (name, flag) = (line.split(' ').next().unwrap(), line.split(' ').nth(1).unwrap());
            assert!(why.contains(&format!("unexpected argument '{flag}' found")), "{line}: {why}");
            assert!(why.contains(&format!("Usage: slackwater {name} ")), "{line}: {why}");
        }
        assert!(read("listen --topics a").unwrap_err().contains("'--topic'"));
        assert!(read("check -p 80").unwrap_err().contains("give '--port 80'"));
    }

    #[test]
    fn a_misspelt_sub_command_is_told_what_is_nearest_and_is_not_shown() {
        for (line, expected) in [
            ("toekn", "did you mean the sub-command 'token'?"),
            ("--port 1 srve", "did you mean the sub-command 'serve'?"),
            ("--port 1 token", "'token' is a sub-command, which comes first: slackwater token"),
            ("help tokne", "did you mean the sub-command 'token'?"),
            ("sekrit", "all arguments are flags, with or without a value, but for a sub-command in front"),
            ("token sekrit", "'--help' lists all flags"),
            ("publish hello sekrit", "one text is published: put it in quotes"),
            ("listen sekrit", "topics are named by --topic"),
            ("listen 10.1.2.3:8000", "the server is named by --url"),
            ("publish --tokensekrit", "not shown as it may be a secret"),
        ] {
            let why = read(line).unwrap_err();
            assert!(why.contains(expected), "{line}: {why}");
            let given = line.split(' ').next_back().unwrap();
            assert!(SUB_COMMANDS.iter().any(|(name, _)| *name == given) || !why.contains(given), "{why}");
        }
    }
}

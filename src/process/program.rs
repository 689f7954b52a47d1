//! Starts workers: this program once more, with the same arguments, a listener and one end of a socket pair. What they
//! are told stands in one environment variable, which is no knob.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTTIN, SIGTTOU};
use socket2::{Domain, Socket, Type};

use crate::config::Config;
use crate::config::file::ConfigFile;
use crate::config::last_good::LastGood;
use crate::config::secret::Secret;
use crate::config::ssl::TicketSecret;
use crate::ffi;
use crate::process::config_file;
use crate::process::detached::Detached;
use crate::process::former::{self, Former};
use crate::process::listeners::slots::WorkerSockets;
use crate::server::handover::Origin;
use crate::server::handover::channel::Channel;
use crate::server::lookout::keeper;
use crate::server::ticket_secret;
use crate::wire::link::VERSION;

/// Names what a worker has inherited: the version of what is said, the worker's number, and two descriptors.
const INHERITANCE: &str = "_SLACKWATER_WORKER";

/// Names the descriptor of a socket through which a worker is told by what session tickets are made.
const TICKETS: &str = "_SLACKWATER_TICKETS";

/// Names the descriptor of a channel through which a worker is told what files held when they could last be used.
const LAST_GOOD: &str = "_SLACKWATER_LAST_GOOD";

/// Stands ahead of channels in which an earlier server has left connections.
const PARKED: &str = "parked";

/// Stands for no descriptors at all.
const NONE: &str = "-";

/// Names the descriptor of the way to the process that this one is to take over from.
const SUCCESSION: &str = "_SLACKWATER_HANDOVER";

/// What a worker hears of or ignores once it is ready for that, and what until then would end or stop it. To be stopped
/// before execve(2) would freeze this process with it, which waits for that (vfork(2)).
const HELD_BACK: [i32; 5] = [SIGTERM, SIGINT, SIGHUP, SIGTTIN, SIGTTOU];

/// The flags whose values are secrets.
const SECRET_FLAGS: [&str; 4] = ["--publish-token", "--auth-secret", "--engine", "--ssl-keyfile-password"];

/// The variable of a secret, and those that the flag has set aside, as the variable would not.
type Variables = (&'static str, &'static [&'static str]);

const PUBLISH_TOKEN: Variables = ("SLACKWATER_PUBLISH_TOKEN", &["SLACKWATER_PUBLISH_TOKEN_FILE"]);

const AUTH_SECRET: Variables =
    ("SLACKWATER_AUTH_SECRET", &["SLACKWATER_AUTH_SECRET_FILE", "SLACKWATER_AUTH_KEY_FILE"]);

/// With no other set aside: beside the flag none is, either.
const ENGINE: Variables = ("SLACKWATER_ENGINE", &[]);

const KEY_PASSWORD: Variables = ("SLACKWATER_SSL_KEYFILE_PASSWORD", &[]);

/// What a worker is started with.
#[derive(Debug, PartialEq, Eq)]
pub struct Inheritance {
    /// Which of them it is, from 1.
    pub number: u32,
    /// The listening sockets: one for each address.
    pub listeners: Vec<RawFd>,
    /// Its end of the socket pair.
    pub supervisor: RawFd,
    /// The line: through it come channels from the supervisor.
    pub line: RawFd,
    /// The sockets for operators; none where they have none of their own.
    pub admin: Vec<RawFd>,
    /// The sockets for those who are redirected; none where nobody is.
    pub redirect: Vec<RawFd>,
    /// Where connections come from, if it takes some up.
    pub origin: Option<Origin<RawFd>>,
    /// Where it is told by what session tickets are made, if it is. A supervisor of another version may not know of that.
    pub tickets: Option<RawFd>,
    /// Where it is told what files held when they could last be used, in the same way.
    pub last_good: Option<RawFd>,
}

/// What a supervisor has of a worker that it has started.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// Its end of the socket pair.
    pub link: Socket,
    /// Its end of the line.
    pub line: Channel,
}

impl Inheritance {
    /// What this process was started with, if it is a worker.
    ///
    /// # Errors
    /// When a supervisor of another version has started it.
    pub fn read() -> Result<Option<Self>, String> {
        let inheritance = env::var(INHERITANCE).ok().map(|text| Self::parse(&text)).transpose()?;
        let fd = |name| env::var(name).ok().and_then(|fd| fd.parse().ok());
        let (tickets, last_good) = (fd(TICKETS), fd(LAST_GOOD));
        Ok(inheritance.map(|inheritance| Self { tickets, last_good, ..inheritance }))
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse_fields(&text.split(' ').collect::<Vec<_>>()).ok_or_else(|| {
            format!(
                "cannot work for a supervisor of another version ({INHERITANCE}={text}): send that one SIGHUP, so that it hands over to this one"
            )
        })
    }

    fn parse_fields(fields: &[&str]) -> Option<Self> {
        let fd = |text: &str| text.parse().ok().filter(|fd: &RawFd| *fd >= 0);
        let fds = |text: &&str| match *text {
            NONE => Some(vec![]),
            some => some.split(',').map(fd).collect::<Option<Vec<RawFd>>>(),
        };
        let [version, number, listeners, supervisor, line, admin, redirect, rest @ ..] = fields else {
            return None;
        };
        let origin = match rest {
            [] => None,
            [channels] => Some(Origin::Predecessor(fds(channels)?)),
            [PARKED, channels] => Some(Origin::Parked(fds(channels)?)),
            _ => return None,
        };
        (version.parse() == Ok(VERSION)).then_some(Self {
            number: number.parse().ok()?,
            listeners: fds(listeners)?,
            supervisor: fd(supervisor)?,
            line: fd(line)?,
            admin: fds(admin)?,
            redirect: fds(redirect)?,
            origin,
            tickets: None,
            last_good: None,
        })
    }
}

/// The program as it was started, so that a newer one in its place is found.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    /// Taken out of the arguments, as everyone can read them: each with the variables that a worker is given instead.
    secrets: Vec<(Variables, Secret)>,
    /// By what session tickets are made: all workers are told the same.
    tickets: Option<TicketSecret>,
    /// What all workers are told of the configuration file.
    file: Option<ConfigFile>,
    /// What a successor is told of this process.
    former: String,
}

impl Program {
    /// This process's own.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn own(config: &Config) -> io::Result<Self> {
        let mut args = env::args_os();
        let named = PathBuf::from(args.next().unwrap_or_default());
        // As it was named, symbolic links and all: a deployment may turn one to a newer program.
        let is_path = named.components().count() > 1 && named.exists();
        let path = if is_path { std::path::absolute(named)? } else { env::current_exe()? };
        let token = config.publish_token.clone().filter(|_| config.token_is_in_arguments);
        let secret = config.auth.auth_secret.clone().filter(|_| config.auth.secret_is_in_arguments);
        let engine = config.engine.in_arguments().cloned();
        let password =
            config.ssl.ssl_keyfile_password.clone().filter(|_| config.ssl.password_is_in_arguments);
        let variables =
            [(PUBLISH_TOKEN, token), (AUTH_SECRET, secret), (ENGINE, engine), (KEY_PASSWORD, password)];
        let secrets = variables.into_iter().filter_map(|(variables, secret)| Some((variables, secret?)));
        let tickets = config.ssl.ticket_secret.clone();
        let file = config.file.read.clone();
        let (args, secrets, former) = (without_secrets(args), secrets.collect(), Former::to_tell(config));
        Ok(Self { path, args, secrets, tickets, file, former })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a worker of this number, counted from 1. With an origin it takes up what comes from there, be it nothing.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn start(
        &self,
        number: u32,
        sockets: WorkerSockets<'_>,
        origin: Option<Origin<OwnedFd>>,
        last_good: &LastGood,
    ) -> io::Result<Started> {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let (line, their_line) = Channel::pair()?;
        let their_line = Socket::from(their_line);
        let origin = origin.map(|origin| origin.try_map(|channel| Ok::<_, io::Error>(Socket::from(channel))));
        let origin = origin.transpose()?;
        let tickets = self.tickets.as_ref().map(ticket_secret::tell).transpose()?;
        let of_others = || origin.iter().flat_map(Origin::channels);
        let told = (!last_good.is_empty()).then(|| keeper::tell(last_good)).transpose()?.map(Socket::from);
        let file = self.file.as_ref().map(config_file::tell).transpose()?.map(Socket::from);
        let others = || of_others().chain(&tickets).chain(&told).chain(&file);
        let handed_over = || sockets.all().chain([&theirs, &their_line]).chain(others());
        let fds = |sockets: &[Socket]| {
            let numbers: Vec<String> = sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
            if numbers.is_empty() { NONE.to_owned() } else { numbers.join(",") }
        };
        let one = |socket: &Socket| socket.as_raw_fd().to_string();
        let mut said = vec![VERSION.to_string(), number.to_string(), fds(sockets.public), one(&theirs)];
        said.extend([one(&their_line), fds(sockets.admin), fds(sockets.redirect)]);
        said.extend(matches!(origin, Some(Origin::Parked(_))).then(|| PARKED.to_owned()));
        said.extend(origin.as_ref().map(|origin| fds(origin.channels())));
        let mut command = self.command();
        command.stdin(Stdio::null()).env(INHERITANCE, said.join(" ")).env_remove(SUCCESSION);
        let channels = [(TICKETS, &tickets), (LAST_GOOD, &told), (config_file::TOLD, &file)];
        command.envs(channels.into_iter().filter_map(|(name, channel)| Some((name, one(channel.as_ref()?)))));
        // What is not closed on exec is inherited; nothing else in this process starts another meanwhile.
        handed_over().try_for_each(|socket| socket.set_cloexec(false))?;
        let started = spawn(&mut command);
        handed_over().try_for_each(|socket| socket.set_cloexec(true))?;
        started.map(|child| Started { child, link: ours, line })
    }

    /// Starts it as the successor of this process, at the other end of this channel.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn start_successor(&self, channel: OwnedFd) -> io::Result<Detached> {
        let channel = Socket::from(channel);
        let mut command = self.command();
        command.env(SUCCESSION, channel.as_raw_fd().to_string()).env(former::TOLD, &self.former);
        // What the service manager has handed this process, it is handed by this one.
        for activation in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(activation);
        }
        channel.set_cloexec(false)?;
        Detached::start(&command, spawn)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // What this process was told of its predecessor is nobody else's.
        command.args(&self.args).env_remove(SUCCESSION).env_remove(TICKETS).env_remove(LAST_GOOD);
        command.env_remove(config_file::TOLD).env_remove(former::TOLD);
        for ((name, set_aside), secret) in &self.secrets {
            command.env(name, secret.reveal());
            set_aside.iter().for_each(|name| {
                command.env_remove(name);
            });
        }
        command
    }
}

/// The channel to the process that this one is to take over from, if that has started it.
///
/// # Errors
/// When it says something else.
pub fn succession() -> io::Result<Option<OwnedFd>> {
    let Some(text) = env::var_os(SUCCESSION) else { return Ok(None) };
    let fd = text.to_str().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    let channel = ffi::socket(fd)?;
    channel.set_cloexec(true)?;
    Ok(Some(channel.into()))
}

/// Starts a process that hears of no signal before it is ready for that.
fn spawn(command: &mut Command) -> io::Result<Child> {
    ffi::block(&HELD_BACK)?;
    let started = command.spawn();
    ffi::unblock(&HELD_BACK)?;
    started
}

/// The arguments but for those flags and their values, also with `=`.
fn without_secrets(mut args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = vec![];
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let rest = SECRET_FLAGS.iter().find_map(|flag| text.strip_prefix(flag));
        match rest {
            Some("") => drop(args.next()),
            Some(rest) if rest.starts_with('=') => {}
            _ => kept.push(arg),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_worker_is_told_its_number_and_its_descriptors() {
        for (text, listeners, [admin, redirect], origin) in [
            ("2 5 7 8 - -", vec![5], [vec![], vec![]], None),
            ("2 5 7 8 9 - -", vec![5], [vec![9], vec![]], Some(Origin::Predecessor(vec![]))),
            (
                "2 5,6 7 8 9,10 - 11,12",
                vec![5, 6],
                [vec![9, 10], vec![]],
                Some(Origin::Predecessor(vec![11, 12])),
            ),
            (
                "2 5 7 8 9 10,13 parked 11,12",
                vec![5],
                [vec![9], vec![10, 13]],
                Some(Origin::Parked(vec![11, 12])),
            ),
        ] {
            let inheritance = Inheritance {
                number: 2,
                listeners,
                supervisor: 7,
                line: 8,
                admin,
                redirect,
                origin,
                tickets: None,
                last_good: None,
            };
            assert_eq!(Inheritance::parse(&format!("{VERSION} {text}")), Ok(inheritance));
        }
    }

    #[test]
    fn a_worker_has_no_token_in_its_arguments() {
        let kept = |args: &str| {
            without_secrets(args.split(' ').map(OsString::from)).join(OsStr::new(" ")).into_string().unwrap()
        };
        for args in [
            "--publish-token s --port 1",
            "--port 1 --publish-token s",
            "--port 1 --publish-token=s",
            "--auth-secret=s --port 1 --publish-token s",
            "--port 1 --auth-secret s",
        ] {
            assert_eq!(kept(args), "--port 1");
        }
        assert_eq!(kept("--publish-token --publish-token --port 1"), "--port 1");
        assert_eq!(kept("--engine redis://:s@h --engine-name n --engine=s"), "--engine-name n");
        assert_eq!(kept("--publish-token-file s --port 1"), "--publish-token-file s --port 1");
        assert_eq!(kept("--auth-secret-file s --auth-secret=t"), "--auth-secret-file s");
        assert_eq!(
            kept("--ssl-keyfile k --ssl-keyfile-password p --ssl-keyfile-password=q"),
            "--ssl-keyfile k"
        );
    }

    #[test]
    fn what_another_version_says_is_not_guessed_at() {
        for text in ["", "1", "0 2 5 7 8 - -"] {
            assert!(Inheritance::parse(text).unwrap_err().contains("send that one SIGHUP"), "{text}");
        }
        for text in [
            "2 5 7 8 -",
            "2 5 7 8 9 - 10 11",
            "2 5 -7 8 - -",
            "2 5, 7 8 - -",
            "2 5 7 - - -",
            "2 5 7 8 - - parked",
        ] {
            let text = format!("{VERSION} {text}");
            assert!(Inheritance::parse(&text).unwrap_err().contains("send that one SIGHUP"), "{text}");
        }
    }
}

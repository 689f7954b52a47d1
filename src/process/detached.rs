//! Starts a process that is not this one's child, by way of one that ends at once: whoever takes in orphans is its parent then. A
//! service manager waits at a stop only for a main process that is a child of its own, and kills any other at once (systemd says
//! "which is not our child"); so it has to be one before it becomes the main process.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, ExitCode};

use log::debug;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use socket2::{Domain, Socket, Type};

use crate::ffi;

/// Names the descriptor through which the process in between says how it went.
const DETACH: &str = "_SLACKWATER_DETACH";

/// This program, also where another lies in its place by now.
const OWN: &str = "/proc/self/exe";

/// How long one that is killed may take to end.
const ENDING: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A process that was started so.
#[derive(Debug)]
pub struct Detached {
    pid: Pid,
    /// It stands for this process only, also once another has its number (pidfd_open(2)).
    handle: Result<OwnedFd, Errno>,
}

impl Detached {
    /// Starts this, as `spawn` starts what it is given.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub fn start(
        command: &Command,
        spawn: impl FnOnce(&mut Command) -> io::Result<std::process::Child>,
    ) -> io::Result<Self> {
        let (mut ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let mut between = Command::new(OWN);
        between.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => between.env(name, value),
                None => between.env_remove(name),
            };
        }
        between.env(DETACH, theirs.as_raw_fd().to_string());
        theirs.set_cloexec(false)?;
        let started = spawn(&mut between);
        drop(theirs);
        let mut said = String::new();
        let read = ours.read_to_string(&mut said);
        started?.wait()?;
        read?;
        let pid = match said.trim().split_once(' ') {
            Some(("pid", pid)) => pid.parse().ok().and_then(Pid::from_raw),
            Some(("errno", errno)) => {
                return Err(io::Error::from_raw_os_error(errno.parse().unwrap_or_default()));
            }
            _ => None,
        };
        let pid = pid.ok_or_else(|| io::Error::other("it could not be started by way of another process"))?;
        Ok(Self { pid, handle: pidfd_open(pid, PidfdFlags::empty()) })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Ends it, if it has not ended by itself.
    pub fn end(self) {
        let handle = self.handle.as_ref();
        match handle.map_err(|why| *why).and_then(|handle| pidfd_send_signal(handle, Signal::KILL)) {
            // It can be read once it has ended.
            Ok(()) => handle.into_iter().for_each(|handle| {
                let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&ENDING));
            }),
            Err(Errno::SRCH) => {}
            Err(why) => {
                debug!("Process {} is ended by its number: {why}", self.id());
                let _ = kill_process(self.pid, Signal::KILL);
            }
        }
    }
}

/// Does what a process in between is for, if this is one: starts the program that its arguments name, says how that went, and ends.
pub fn run() -> Option<ExitCode> {
    let answer = env::var(DETACH).ok()?.parse().ok();
    let Some(mut answer) = answer.and_then(|fd| ffi::socket(fd).ok()) else { return Some(ExitCode::FAILURE) };
    let mut args = env::args_os().skip(1);
    let program = args.next().unwrap_or_default();
    let said = match Command::new(program).args(args).env_remove(DETACH).spawn() {
        Ok(child) => format!("pid {}", child.id()),
        Err(why) => format!("errno {}", why.raw_os_error().unwrap_or(libc::EINVAL)),
    };
    // Whoever asked is gone where that fails, and so is the other end of what was started.
    Some(answer.write_all(said.as_bytes()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

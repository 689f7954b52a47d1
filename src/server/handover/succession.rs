//! Who may take over from a server, and how far that is.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::process::geteuid;

use super::channel::{self, Channel};
use super::giving::{Ended, Giving, let_go};
use crate::policy::drain::Drain;
use crate::policy::handover::refusal;
use crate::server::bound_socket::BoundSocket;
use crate::server::clock::Now;
use crate::server::control::Control;
use crate::server::doors::ACCEPT_PAUSE;
use crate::server::{SUCCESSOR, SUCCESSORS, Server};
use crate::wire::metrics::Handover;

const ROOT: u32 = 0;

/// Who starts a successor, and is told what becomes of it. The processes are not known here.
pub trait Launcher {
    /// Starts the program that is on disk now; gives back the way to it.
    ///
    /// # Errors
    /// As fork(2) and execve(2); a message that says what else is in the way.
    fn launch(&mut self) -> io::Result<OwnedFd>;

    /// The process of this number is about to be told that all is its own.
    fn on_commit(&mut self, pid: u32);

    /// It was meant to obey this, which has come here.
    fn pass_on(&mut self, pid: u32, control: Control);

    /// There is no successor after all: if one was started here, it is to end.
    fn dismiss(&mut self);
}

/// The successor of a server, and where one may come from.
pub(in crate::server) struct Succession {
    launcher: Option<Box<dyn Launcher>>,
    /// Where one may connect.
    path: Option<BoundSocket>,
    /// When somebody may be accepted there whom no event will announce.
    again_at: Option<Instant>,
    giving: Option<Giving>,
    timeout: Duration,
    /// That of those who cannot be moved, without the time in which newcomers are let in.
    drain: Drain,
}

impl Succession {
    /// Nobody may take over yet.
    pub(in crate::server) fn new(timeout: Duration, drain: Drain) -> Self {
        Self { launcher: None, path: None, again_at: None, giving: None, timeout, drain }
    }

    /// How long a hand-over may take.
    pub(in crate::server) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// That of those who cannot be moved.
    pub(in crate::server) fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Nobody may connect there any more.
    pub(in crate::server) fn close_path(&mut self) {
        self.path = None;
    }

    /// When there is something to do though nothing has come.
    pub(in crate::server) fn next_deadline(&self) -> Option<Instant> {
        self.giving.as_ref().map(Giving::next_deadline).into_iter().chain(self.again_at).min()
    }
}

impl Server {
    /// Lets this start a successor when it is asked to (SIGHUP).
    pub fn succeed_by(&mut self, launcher: Box<dyn Launcher>) {
        self.succession.launcher = Some(launcher);
    }

    /// Lets a successor connect there.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn await_successor_at(&mut self, path: BoundSocket) -> io::Result<()> {
        for socket in path.sockets() {
            SourceFd(&socket.as_raw_fd()).register(self.poll.registry(), SUCCESSORS, Interest::READABLE)?;
        }
        self.succession.path = Some(path);
        Ok(())
    }

    /// The file of a socket that was taken over goes with it from now on; whether it is listened on here.
    pub fn own_file(&mut self, file: &Path) -> bool {
        BoundSocket::own_file_of(self.doors.bound_mut().chain(&mut self.succession.path), file)
    }

    /// Starts a successor.
    pub(in crate::server) fn launch_successor(&mut self) {
        if let Some(why) = self.refusal() {
            return warn!("Not handing over: {why}");
        }
        let Some(launcher) = &mut self.succession.launcher else {
            return warn!("Not handing over: there is no other program to start");
        };
        match launcher.launch() {
            Ok(channel) => self.begin(channel.into()),
            Err(why) => self.go_on(&why, Duration::ZERO),
        }
    }

    /// Nobody takes over.
    fn go_on(&mut self, why: &dyn fmt::Display, silent_for: Duration) {
        self.succession.launcher.iter_mut().for_each(|launcher| launcher.dismiss());
        self.count_failed(silent_for);
        warn!("Hand-over failed, this process goes on: {why}");
    }

    /// Takes in what has come of a successor, or from one.
    pub(in crate::server) fn on_successors(&mut self, has_come: impl Fn(Token) -> bool, now: Now) {
        if has_come(SUCCESSORS) || self.succession.again_at.is_some_and(|at| at <= now.instant) {
            self.accept_successors();
        }
        if let Some(giving) = self.succession.giving.as_mut().filter(|_| has_come(SUCCESSOR)) {
            giving.on_ready(now.instant);
        }
    }

    /// Hands over as far as that is possible now; once that is done, says how many connections are left here.
    pub(in crate::server) fn hand_over(&mut self) -> Option<usize> {
        let is_leaving = self.is_leaving();
        let Succession { launcher, path, giving: Some(giving), .. } = &mut self.succession else {
            return None;
        };
        if is_leaving {
            giving.on_leaving();
        }
        let mut may_commit = |pid: Option<u32>| {
            // Whoever takes over would not know of it.
            let is_to_leave = self.controls.look_whether_to_leave();
            if !is_to_leave {
                let launcher = launcher.as_mut().zip(pid);
                launcher.into_iter().for_each(|(launcher, pid)| launcher.on_commit(pid));
            }
            !is_to_leave
        };
        let ended = giving.advance(&mut self.turn, &self.doors, path.as_ref(), &mut may_commit)?;
        let giving = self.succession.giving.take();
        match ended {
            Ended::GivenUp(why, silent_for) => {
                drop(giving);
                self.go_on(&why, silent_for);
                None
            }
            Ended::Committed { moved, pid, reachable, silent_for } => {
                let count = moved.len();
                self.doors.bequeath(self.poll.registry());
                self.succession.path.take().into_iter().for_each(BoundSocket::bequeath);
                self.succession.again_at = None;
                self.state_file = None;
                let_go(&moved, &mut self.turn, self.poll.registry());
                self.turn.part_with(&moved, self.succession.drain.clone());
                let left = self.turn.connections();
                for control in self.controls.take() {
                    let launcher = self.succession.launcher.as_mut().zip(reachable);
                    launcher.into_iter().for_each(|(launcher, pid)| launcher.pass_on(pid, control));
                }
                info!(
                    "Handed over {count} connections to process {pid}: nobody was heard for {} ms; {left} could not be moved",
                    silent_for.as_millis()
                );
                Some(left)
            }
        }
    }

    /// Whether it leaves, or is about to park its connections.
    fn is_leaving(&self) -> bool {
        self.turn.is_leaving() || self.park.state.has_begun()
    }

    /// Why nobody may take over now.
    fn refusal(&self) -> Option<&'static str> {
        refusal(self.is_leaving(), self.succession.giving.is_some())
    }

    fn count_failed(&mut self, silent_for: Duration) {
        self.turn.count_handover(Handover {
            ended_unix_ms: Now::read().wall.as_millisecond(),
            silent_seconds: silent_for.as_secs_f64(),
            ..Handover::default()
        });
    }

    fn begin(&mut self, channel: Channel) {
        let (registry, connections) = (self.poll.registry(), self.turn.connections());
        let now = self.turn.now();
        match Giving::new(channel, connections, self.succession.timeout, now, registry, SUCCESSOR) {
            Ok(giving) => self.succession.giving = Some(giving),
            Err(why) => self.go_on(&why, Duration::ZERO),
        }
    }

    fn accept_successors(&mut self) {
        loop {
            let Succession { path: Some(path), again_at, .. } = &mut self.succession else { return };
            let Some(channel) = next_successor(path, again_at) else { return };
            match self.refusal() {
                Some(why) => channel.refuse(why),
                None => self.begin(channel),
            }
        }
    }
}

/// The next who has connected there and may take over: another user's process may not. Where nobody can be accepted for lack of
/// something, it is to be asked for again at this time.
pub fn next_successor(path: &BoundSocket, again_at: &mut Option<Instant>) -> Option<Channel> {
    loop {
        let accepted = path.sockets()[0].accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let channel = match accepted {
            Ok((socket, _)) => Channel::from(OwnedFd::from(socket)),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                *again_at = None;
                return None;
            }
            Err(why) => {
                let before = again_at.replace(Now::read() + ACCEPT_PAUSE);
                if before.is_none() {
                    error!("cannot hear of a successor at --handover: {why}");
                }
                return None;
            }
        };
        match channel::peer(&channel) {
            Ok(peer) if [geteuid().as_raw(), ROOT].contains(&peer.uid()) => return Some(channel),
            Ok(peer) => {
                warn!("Not handing over to process {}: it is another user's", peer.pid());
                channel.refuse("only its own user's processes may take over");
            }
            Err(why) => warn!("Not handing over to a process of which nothing is known: {why}"),
        }
    }
}

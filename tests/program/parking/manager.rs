//! A stand-in for a service manager that keeps descriptors for its service, as systemd does (systemd.service(5),
//! FileDescriptorStoreMax=): no more than it has room for, no open file twice, and none whose other end is gone, unless it was
//! asked not to look (FDPOLL=0). It hands them to the next start, and has them until it is told to forget them.

use std::collections::VecDeque;
use std::io::{IoSliceMut, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fstat;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use support::PATIENCE;
use tempfile::TempDir;

use crate::process::BINARY;

/// The name under which connections are parked.
pub const PARKED: &str = "slackwater-parked";

/// What somebody says who wants to look at it: it has heard all before then.
const LOOK: &[u8] = b"LOOK=1\n";

/// One descriptor that it keeps.
pub struct Kept {
    pub name: String,
    pub descriptor: OwnedFd,
    is_looked_at: bool,
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Helpful,
    /// It keeps nothing, though it has said that it would.
    Full,
    /// The same, and it closes what it does not keep a little after it has answered (systemd from 254 on).
    FullAndSlow,
    /// It answers nothing.
    Busy,
    /// It does as it is told, and answers once it is let.
    Slow,
}

struct State {
    mood: Mood,
    /// How often somebody has asked to look.
    looks: usize,
    store: Vec<Kept>,
    /// What it was told beside that.
    told: VecDeque<Vec<String>>,
    /// What nobody closes while it is busy.
    unanswered: Vec<OwnedFd>,
}

pub struct Manager {
    folder: TempDir,
    room: usize,
    shared: Arc<(Mutex<State>, Condvar)>,
    end: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    /// One that keeps so many.
    pub fn new(room: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        // Whoever the server runs as.
        for path in [folder.path(), &path] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let state =
            State { mood: Mood::Helpful, looks: 0, store: vec![], told: VecDeque::new(), unanswered: vec![] };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let (ended, end) = std::io::pipe().unwrap();
        let its = shared.clone();
        let thread = thread::spawn(move || listen(&socket, &ended, &its, room));
        Self { folder, room, shared, end: Some(end), thread: Some(thread) }
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// The names of what it keeps, once it has heard all that was said before.
    pub fn kept(&self) -> Vec<String> {
        let before = self.state().looks;
        let said = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to(LOOK, self.folder.path().join("notify")));
        if said.is_ok() {
            self.until("its turn", |state| (state.looks > before).then_some(()));
        }
        self.state().store.iter().map(|kept| kept.name.clone()).collect()
    }

    /// Takes out all that it keeps, as for a stop for good.
    pub fn take_all(&self) -> Vec<OwnedFd> {
        self.state().store.drain(..).map(|kept| kept.descriptor).collect()
    }

    /// Keeps this as if it had been told to.
    pub fn put(&self, name: &str, descriptor: OwnedFd) {
        self.state().store.push(Kept { name: name.to_owned(), descriptor, is_looked_at: false });
    }

    /// Waits until it owes an answer.
    pub fn until_asked(&self) {
        self.until("a question", |state| (!state.unanswered.is_empty()).then_some(()));
    }

    /// Answers whatever it was asked.
    pub fn answer(&self) {
        self.state().unanswered.clear();
    }

    /// What it is told next.
    pub fn hear(&self) -> Vec<String> {
        self.until("a word", |state| state.told.pop_front())
    }

    /// What it was told and nobody has heard.
    pub fn told(&self) -> Vec<Vec<String>> {
        self.state().told.drain(..).collect()
    }

    fn until<T>(&self, what: &str, mut is: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(found) = is(&mut state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} does not come");
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The program, with these flags, as the service: with all that is kept, behind these listening sockets.
    pub fn command(&self, flags: &str, sockets: &[&dyn AsFd]) -> Command {
        self.command_by("exec \"$0\" \"$@\"", flags, sockets)
    }

    /// As `command`; the shell starts it by this.
    pub fn command_by(&self, script: &str, flags: &str, sockets: &[&dyn AsFd]) -> Command {
        let state = self.state();
        let mut handed: Vec<(OwnedFd, String)> = sockets
            .iter()
            .map(|socket| (socket.as_fd().try_clone_to_owned().unwrap(), "slackwater.socket".to_owned()))
            .collect();
        // In no order that means anything.
        handed.extend(
            state.store.iter().rev().map(|kept| (kept.descriptor.try_clone().unwrap(), kept.name.clone())),
        );
        let mut command = Command::new("sh");
        command.args(["-c", &format!("export LISTEN_PID=$$; {script}"), BINARY]);
        command.args(flags.split_whitespace()).env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        if self.room > 0 {
            command.env("FDSTORE", self.room.to_string());
        }
        if handed.is_empty() {
            return command;
        }
        let names: Vec<String> = handed.iter().map(|(_, name)| name.clone()).collect();
        command.env("LISTEN_FDS", handed.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let descriptors = handed.into_iter().map(|(descriptor, _)| descriptor);
        let mappings =
            descriptors.zip(3..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mappings).unwrap();
        command
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the service manager has failed");
    }
}

fn listen(socket: &UnixDatagram, ended: &PipeReader, shared: &(Mutex<State>, Condvar), room: usize) {
    loop {
        let kept: Vec<OwnedFd> = {
            let state = shared.0.lock().unwrap();
            let looked_at = state.store.iter().filter(|kept| kept.is_looked_at);
            looked_at.map(|kept| kept.descriptor.try_clone().unwrap()).collect()
        };
        let mut asked = vec![PollFd::new(socket, PollFlags::IN), PollFd::new(ended, PollFlags::empty())];
        asked.extend(kept.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::empty())));
        if poll(&mut asked, None).is_err() {
            continue;
        }
        if !asked[1].revents().is_empty() {
            return;
        }
        let gone: Vec<u64> = asked[2..]
            .iter()
            .zip(&kept)
            .filter(|(asked, _)| asked.revents().intersects(PollFlags::HUP | PollFlags::ERR))
            .map(|(_, descriptor)| file_of(descriptor))
            .collect();
        let has_come = !asked[0].revents().is_empty();
        let mut state = shared.0.lock().unwrap();
        state.store.retain(|kept| !kept.is_looked_at || !gone.contains(&file_of(&kept.descriptor)));
        if has_come {
            take(&mut state, socket, room);
        }
        shared.1.notify_all();
    }
}

/// Which open file it is.
fn file_of(descriptor: &OwnedFd) -> u64 {
    // Of sockets and files in memory each has its own number.
    fstat(descriptor).unwrap().st_ino
}

fn take(state: &mut State, socket: &UnixDatagram, room: usize) {
    let mut octets = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut beside, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptors: Vec<OwnedFd> = vec![];
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            descriptors.extend(more);
        }
    }
    let text = str::from_utf8(&octets[..received.bytes]).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if text.as_bytes() == LOOK {
        state.looks += 1;
        return;
    }
    let has = |line: &str| lines.iter().any(|said| said == line);
    let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
    let is_late = state.mood == Mood::Busy && has("FDSTORE=1")
        || matches!(state.mood, Mood::Busy | Mood::Slow) && has("BARRIER=1");
    if is_late {
        return state.unanswered.extend(descriptors);
    }
    if has("BARRIER=1") {
        // It has read all before, and closes what came with it.
        assert_eq!((lines.len(), descriptors.len()), (1, 1));
    } else if has("FDSTOREREMOVE=1") {
        let name = name.expect("by its name");
        state.store.retain(|kept| kept.name != name);
    } else if has("FDSTORE=1") {
        for descriptor in descriptors {
            let is_late = state.mood == Mood::FullAndSlow;
            let is_full = is_late || state.mood == Mood::Full || state.store.len() >= room;
            let is_kept = state.store.iter().any(|kept| file_of(&kept.descriptor) == file_of(&descriptor));
            if is_late {
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    drop(descriptor);
                });
            } else if !is_full && !is_kept {
                let name = name.unwrap_or("stored").to_owned();
                state.store.push(Kept { name, descriptor, is_looked_at: !has("FDPOLL=0") });
            }
        }
    } else {
        state.told.push_back(lines);
    }
}

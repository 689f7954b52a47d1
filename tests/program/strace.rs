//! Faults at a chosen system call of a real process: strace(1) kills it there, stops it, or has the call fail.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use support::PATIENCE;
use tempfile::TempDir;

/// What happens at the nth call of these.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// As strace names them, with commas between.
    pub calls: &'static str,
    /// `signal=` or `error=`, and which.
    pub what: &'static str,
    /// From 1.
    pub nth: usize,
}

impl Fault {
    pub fn new(calls: &'static str, what: &'static str, nth: usize) -> Self {
        Self { calls, what, nth }
    }

    fn arguments(&self) -> [String; 4] {
        let Self { calls, what, nth } = self;
        [
            "-e".to_owned(),
            format!("trace={calls}"),
            "-e".to_owned(),
            format!("inject={calls}:{what}:when={nth}"),
        ]
    }
}

/// A place for what strace tells of one process.
pub struct Trace {
    folder: TempDir,
    /// Where it has not started the process; what it says is not read, but it ends if it cannot say it.
    tracer: Option<(Child, BufReader<ChildStderr>)>,
}

impl Trace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), tracer: None }
    }

    /// From here on this happens in that process.
    pub fn of(pid: u32, fault: Fault) -> Self {
        Self::attach(Command::new("strace").arg("-p").arg(pid.to_string()), fault)
    }

    /// From here on this happens in that process, or in one that it starts.
    pub fn of_all(pid: u32, fault: Fault) -> Self {
        Self::attach(Command::new("strace").args(["-f", "-p"]).arg(pid.to_string()), fault)
    }

    fn attach(command: &mut Command, fault: Fault) -> Self {
        let mut trace = Self::new();
        command.arg("-o").arg(trace.path()).args(fault.arguments());
        let mut tracer = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(tracer.stderr.take().unwrap());
        let mut lines = said.by_ref().lines().map(Result::unwrap);
        assert!(lines.any(|line| line.ends_with(" attached")), "strace does not attach");
        trace.tracer = Some((tracer, said));
        trace
    }

    /// A program in which this happens. It is the process that is started, and strace none that anybody sees.
    pub fn command(&self, program: &str, fault: Fault) -> Command {
        let mut command = Command::new("strace");
        command.args(["-D", "-qq", "-o"]).arg(self.path()).args(fault.arguments()).arg(program);
        command
    }

    /// The same as a line for a shell, with the arguments of that.
    pub fn script(&self, program: &str, fault: Fault) -> String {
        let arguments = fault.arguments().join(" ");
        format!("exec strace -D -qq -o {} {arguments} {program} \"$@\"", self.path().display())
    }

    /// Whether it has come to that. It is told a little later than it happens.
    pub fn has_happened(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if ["INJECTED", "+++ killed by", "--- SIG"].iter().any(|part| self.tells_of(part)) {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    /// Whether the process had taken this signal when it ended.
    pub fn had_taken(mut self, signal: &str) -> bool {
        self.tracer.iter_mut().for_each(|(tracer, _)| _ = tracer.wait());
        self.tells_of(&format!("--- SIG{signal} "))
    }

    fn tells_of(&self, what: &str) -> bool {
        fs::read_to_string(self.path()).unwrap_or_default().contains(what)
    }

    fn path(&self) -> PathBuf {
        Path::join(self.folder.path(), "trace")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some((tracer, _)) = &mut self.tracer {
            let _ = tracer.kill();
            let _ = tracer.wait();
        }
    }
}

/// Whether processes can be traced here. In CI they have to.
pub fn is_possible() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    let can = *CAN.get_or_init(|| {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut strace = Command::new("strace");
        strace
            .args(["-qq", "-o", "/dev/null", "-e", "inject=all:signal=KILL", "-p"])
            .arg(child.id().to_string());
        let traced = strace.stderr(Stdio::null()).spawn();
        let can = match traced {
            Ok(mut strace) => {
                strace.wait().unwrap().success()
                    || child.try_wait().unwrap().is_some_and(|end| !end.success())
            }
            Err(_) => false,
        };
        let _ = child.kill();
        let _ = child.wait();
        can
    });
    if !can {
        assert!(std::env::var_os("CI").is_none(), "strace has to be there, and allowed to trace (ptrace(2))");
        eprintln!("skipped: there is no strace here, or it may not trace processes (ptrace(2))");
    }
    can
}

//! A Redis server of its own, on a Unix socket in a folder that goes with it. It keeps nothing on disk.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{io, thread};

use tempfile::TempDir;

use super::PATIENCE;
use super::machine::Cores;

/// A server that is there while this is.
pub struct Redis {
    child: Child,
    socket: PathBuf,
    _folder: TempDir,
}

impl Redis {
    /// Starts one, beside the load.
    ///
    /// # Errors
    /// When there is no `redis-server`.
    pub fn start(cores: Option<Cores>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let mut command = match cores {
            Some(cores) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", &cores.load.to_string(), "redis-server"]);
                taskset
            }
            None => Command::new("redis-server"),
        };
        command
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let redis = Self { child, socket, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&redis.socket).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other("redis-server does not listen"));
            }
            thread::yield_now();
        }
        Ok(redis)
    }

    /// The flag that makes it a server's engine.
    pub fn flag(&self) -> String {
        format!("--engine unix://{}", self.socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

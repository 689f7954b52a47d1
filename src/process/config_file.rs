//! The text of the configuration file: a worker has what its supervisor has read, whatever stands there now; all others read it. What it
//! means is for `config` to say.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::config::file::ConfigFile;
use crate::config::last_good::LastGood;
use crate::process::{listeners, secrets};
use crate::server::lookout::keeper;
use crate::server::regular_file::open_regular;

/// Names the descriptor of a channel through which a worker is told it, secrets and all.
pub const TOLD: &str = "_SLACKWATER_CONFIG";

const FLAG: &str = "--config";

const MOST_BYTES: u64 = 64 * 1024;

/// The text of the file at this path, or what this worker was told of it.
///
/// # Errors
/// What is wrong with the file.
pub fn open(path: &Path) -> Result<String, String> {
    if let Some(fd) = env::var(TOLD).ok().and_then(|fd| fd.parse().ok()) {
        return hear(fd).ok_or_else(|| format!("it was not handed on ({TOLD}={fd})"));
    }
    if path.is_dir() {
        return Err("it is a folder: give a file in it".to_owned());
    }
    let file = open_regular(path).map_err(|why| why.to_string())?;
    secrets::read_text(&file, MOST_BYTES)
}

fn hear(fd: i32) -> Option<String> {
    let told = keeper::hear(listeners::take(fd).ok()?.into()).ok()?;
    String::from_utf8(told.of(FLAG)?.to_vec()).ok()
}

/// Says it to a worker that inherits this descriptor.
///
/// # Errors
/// When the machine is out of something.
pub fn tell(file: &ConfigFile) -> io::Result<OwnedFd> {
    let mut told = LastGood::default();
    told.keep(FLAG, file.text.as_bytes());
    keeper::tell(&told)
}

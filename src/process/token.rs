//! The token that publishers show, from where the configuration has it; and what is said about how it is kept. Of the
//! token itself nothing is said.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use log::warn;
use thiserror::Error;

use crate::config::Config;
use crate::config::secret::Secret;

const MOST_BYTES: u64 = 4096;

/// Why there is no token in its file.
#[derive(Debug, Error)]
#[error("cannot read --publish-token-file {path}: {why}; give a file that holds the token and nothing else")]
pub struct TokenError {
    path: String,
    why: String,
}

/// Reads the token from its file, if it is in one.
///
/// # Errors
/// What is wrong with the file.
pub fn read(config: &mut Config) -> Result<(), TokenError> {
    if let Some(path) = &config.publish_token_file {
        let token = open(path).map_err(|e| e.to_string()).and_then(|file| read_from(&file));
        config.publish_token =
            Some(token.map_err(|why| TokenError { path: path.display().to_string(), why })?);
    }
    Ok(())
}

/// Says who else on this machine can read it.
pub fn warn_of_others(config: &Config) {
    if config.token_is_in_arguments {
        warn!(
            "Everyone on this machine may read the token in the arguments: use --publish-token-file or \
             SLACKWATER_PUBLISH_TOKEN instead of --publish-token"
        );
    }
    let Some(path) = &config.publish_token_file else { return };
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    // A group is how orchestrators hand a file to whom it is for.
    if mode & 0o006 != 0 {
        let path = path.display();
        warn!(
            "Everyone on this machine may read or change the token in {path} (mode {mode:04o}): chmod 600 {path}"
        );
    }
}

/// Does not wait for somebody to write to a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read_from(file: &File) -> Result<Secret, String> {
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("it holds more than {MOST_BYTES} bytes"));
    }
    Ok(Secret::read(text.trim())?)
}

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

/// Of UTF-8 and UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Why there is no token in its file.
#[derive(Debug, Error)]
#[error("cannot read {place}: {why}; give a file that holds the token and nothing else")]
pub struct TokenError {
    place: String,
    why: String,
}

/// Reads the token from its file, if it is in one.
///
/// # Errors
/// What is wrong with the file.
pub fn read(config: &mut Config) -> Result<(), TokenError> {
    if let Some(path) = &config.publish_token_file {
        let token = open(path).map_err(|e| e.to_string()).and_then(|file| read_from(&file));
        config.publish_token = Some(token.map_err(|why| TokenError { place: place(path), why })?);
    }
    Ok(())
}

/// How a path is named in the log. Where nothing is, the token itself may have been given in its place.
fn place(path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(_) => format!("--publish-token-file {}", path.display()),
        Err(_) => "the file given with --publish-token-file".to_owned(),
    }
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
    let path = path.display();
    // To read it, a group is how orchestrators hand a file to whom it is for.
    if mode & 0o006 != 0 {
        warn!(
            "Everyone on this machine may read or change the token in {path} (mode {mode:04o}): chmod 600 {path}"
        );
    } else if mode & 0o020 != 0 {
        warn!("Everyone in its group may change the token in {path} (mode {mode:04o}): chmod g-w {path}");
    }
}

/// Does not wait for somebody to write to a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read_from(file: &File) -> Result<Secret, String> {
    let mut octets = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut octets).map_err(|e| e.to_string())?;
    if octets.len() as u64 > MOST_BYTES {
        return Err(format!("it holds more than {MOST_BYTES} bytes"));
    }
    if BYTE_ORDER_MARKS.iter().any(|mark| octets.starts_with(mark)) {
        return Err("it begins with a byte order mark, which an editor has put there".to_owned());
    }
    let text = str::from_utf8(&octets).map_err(|e| e.to_string())?.trim();
    if text.lines().count() > 1 {
        return Err("it holds more than one line".to_owned());
    }
    Ok(Secret::read(text)?)
}

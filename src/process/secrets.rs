//! The secrets of the configuration, from where it has them: the token that publishers show, and the secret by which tokens
//! are verified; and what is said about how they are kept. Of the secrets themselves nothing is said.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use log::warn;
use thiserror::Error;

use crate::config::Config;
use crate::config::secret::Secret;
use crate::server::key_file::open_regular;

const MOST_BYTES: u64 = 4096;

/// Of UTF-8 and UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Why there is no secret in its file.
#[derive(Debug, Error)]
#[error("cannot read {place}: {why}; give a file that holds the {what} and nothing else")]
pub struct SecretError {
    place: String,
    what: &'static str,
    why: String,
}

/// What a secret has to be.
type Check = fn(&str) -> Result<Secret, &'static str>;

/// Reads the secrets from their files, if they are in some.
///
/// # Errors
/// What is wrong with the first such file.
pub fn read(config: &mut Config) -> Result<(), SecretError> {
    if let Some(path) = &config.publish_token_file {
        config.publish_token = Some(read_file("--publish-token-file", path, "token", Secret::read)?);
    }
    if let Some(path) = &config.auth.auth_secret_file {
        let secret = read_file("--auth-secret-file", path, "secret", Secret::read_for_signatures)?;
        config.auth.auth_secret = Some(secret);
    }
    Ok(())
}

fn read_file(flag: &str, path: &Path, what: &'static str, check: Check) -> Result<Secret, SecretError> {
    let secret = open_regular(path).map_err(|e| e.to_string()).and_then(|file| read_from(&file, check));
    secret.map_err(|why| SecretError { place: place(flag, path), what, why })
}

/// How a path is named in the log. Where nothing is, the secret itself may have been given in its place.
fn place(flag: &str, path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(_) => format!("{flag} {}", path.display()),
        Err(_) => format!("the file given with {flag}"),
    }
}

/// Says who else on this machine can read or change them.
pub fn warn_of_others(config: &Config) {
    if config.token_is_in_arguments {
        warn!(
            "Everyone on this machine may read the token in the arguments: use --publish-token-file or \
             SLACKWATER_PUBLISH_TOKEN instead of --publish-token"
        );
    }
    if config.auth.secret_is_in_arguments {
        warn!(
            "Everyone on this machine may read the secret in the arguments: use --auth-secret-file or \
             SLACKWATER_AUTH_SECRET instead of --auth-secret"
        );
    }
    config.publish_token_file.iter().for_each(|path| warn_of_readers("token", path));
    config.auth.auth_secret_file.iter().for_each(|path| warn_of_readers("secret", path));
    // Everybody may read a public key.
    config.auth.auth_key_file.iter().for_each(|path| warn_of_writers("keys", path));
}

fn mode(path: &Path) -> u32 {
    path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o7777)
}

fn warn_of_readers(what: &str, path: &Path) {
    let (mode, path) = (mode(path), path.display());
    // To read it, a group is how orchestrators hand a file to whom it is for.
    if mode & 0o006 != 0 {
        warn!(
            "Everyone on this machine may read or change the {what} in {path} (mode {mode:04o}): chmod 600 {path}"
        );
    } else if mode & 0o020 != 0 {
        warn!("Everyone in its group may change the {what} in {path} (mode {mode:04o}): chmod g-w {path}");
    }
}

fn warn_of_writers(what: &str, path: &Path) {
    let (mode, path) = (mode(path), path.display());
    if mode & 0o002 != 0 {
        warn!("Everyone on this machine may change the {what} in {path} (mode {mode:04o}): chmod o-w {path}");
    } else if mode & 0o020 != 0 {
        warn!("Everyone in its group may change the {what} in {path} (mode {mode:04o}): chmod g-w {path}");
    }
}

fn read_from(file: &File, check: Check) -> Result<Secret, String> {
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
    Ok(check(text)?)
}

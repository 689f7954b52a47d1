//! The file with the keys by which tokens are verified: read at the start, and again when it has changed. One that cannot be
//! read any more changes nothing: it is told of once, and the keys stay.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};
use thiserror::Error;

use crate::config::auth::AuthConfig;
use crate::http::keys::VerifyingKeys;

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

const MOST_BYTES: u64 = 256 * 1024;

/// Why there are no keys in it.
#[derive(Debug, Error)]
#[error("cannot read the keys in {place}: {why}; give a file with a public key in PEM, or with a JWKS")]
pub struct KeyFileError {
    place: String,
    why: String,
}

/// The file as it was last seen.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// `None` while there is none.
    seen: Option<Stamp>,
    /// As what it was told of that it could not be read, and why.
    told: Option<(Option<Stamp>, String)>,
    next_look: Instant,
}

/// What changes with a file's content, whether it is written anew or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    /// Also where the rest is as before, since a tool has set it so.
    changed: (i64, i64),
    length: u64,
    inode: (u64, u64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

impl KeyFile {
    /// The keys of this configuration and the file with them, if they are in one; `None` where tokens are off. A secret has
    /// been read from its file already.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open(
        config: &AuthConfig,
        now: Instant,
    ) -> Result<Option<(VerifyingKeys, Option<Self>)>, KeyFileError> {
        let secret = config.auth_secret.as_ref();
        let Some(path) = &config.auth_key_file else {
            return Ok(secret.map(|secret| (VerifyingKeys::of_secret(secret.reveal().as_bytes()), None)));
        };
        let opened = open_regular(path).map_err(|e| e.to_string());
        let read = opened.and_then(|file| read(&file));
        let (keys, stamp) =
            read.map_err(|why| KeyFileError { place: place("--auth-key-file", path), why })?;
        let file = Self { path: path.clone(), seen: Some(stamp), told: None, next_look: now + LOOK_INTERVAL };
        Ok(Some((keys, Some(file))))
    }

    /// When to look at it next.
    pub fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Looks at it, if it is time to; gives back the keys if there are others now.
    pub fn look(&mut self, now: Instant) -> Option<VerifyingKeys> {
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_INTERVAL;
        let stamp = self.path.metadata().ok().map(|metadata| Stamp::of(&metadata));
        if stamp == self.seen {
            return None;
        }
        let path = self.path.display();
        match open_regular(&self.path).map_err(|e| e.to_string()).and_then(|file| read(&file)) {
            Ok((keys, stamp)) => {
                (self.seen, self.told) = (Some(stamp), None);
                let tally = keys.tally().map(|tally| format!(" ({tally})")).unwrap_or_default();
                info!("Read the keys in {path} again{tally}: tokens are verified by them from now on");
                Some(keys)
            }
            Err(why) => {
                // It is tried again at each look, since what has failed may be the reading, and is told once.
                let fault = Some((stamp, why));
                if fault != self.told
                    && let Some((_, why)) = &fault
                {
                    warn!(
                        "Cannot read the keys in {path} again: {why}; tokens are verified by those read before"
                    );
                }
                self.told = fault;
                None
            }
        }
    }
}

/// How a path is named in the log. Where nothing is, a secret may have been given in its place.
pub fn place(flag: &str, path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(_) => format!("{flag} {}", path.display()),
        Err(_) => format!("the file given with {flag}"),
    }
}

/// Opens a file without waiting for somebody to write to a FIFO.
///
/// # Errors
/// As open(2), or when it is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read(file: &File) -> Result<(VerifyingKeys, Stamp), String> {
    // Ahead of the content: what is written later is seen at the next look.
    let stamp = Stamp::of(&file.metadata().map_err(|e| e.to_string())?);
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("it holds more than {MOST_BYTES} bytes"));
    }
    VerifyingKeys::read(&text).map(|keys| (keys, stamp)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const EC: &str = include_str!("../../tests/keys/ec.pub.pem");
    const JWKS: &str = include_str!("../../tests/keys/jwks.json");

    fn open(path: &Path, now: Instant) -> Result<KeyFile, KeyFileError> {
        let config = AuthConfig { auth_key_file: Some(path.to_owned()), ..AuthConfig::default() };
        let (_, file) = KeyFile::open(&config, now)?.expect("tokens are on");
        Ok(file.expect("there is a file"))
    }

    #[test]
    fn keys_are_read_again_when_the_file_has_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut now) = (folder.path().join("keys"), crate::server::clock::Now::read().instant);
        fs::write(&path, EC).unwrap();
        let mut file = open(&path, now).unwrap();
        let mut look = |wait: Duration| {
            now += wait;
            file.look(now).is_some()
        };
        assert!(!look(LOOK_INTERVAL));
        fs::write(&path, JWKS).unwrap();
        assert!(!look(LOOK_INTERVAL - Duration::from_millis(1)), "it is not time yet");
        assert!(look(Duration::from_millis(1)));
        assert!(!look(LOOK_INTERVAL));
        // Replaced by one of the same length and age, as a deployment does.
        let (next, age) = (folder.path().join("next"), path.metadata().unwrap().modified().unwrap());
        fs::write(&next, JWKS).unwrap();
        File::options().write(true).open(&next).unwrap().set_modified(age).unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(look(LOOK_INTERVAL));
        // Written over in place by as much, and given the same age.
        fs::write(&path, JWKS.replacen("enc", "cne", 1)).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
        assert!(look(LOOK_INTERVAL));
        for broken in [Some("nothing of this kind"), None, Some("")] {
            broken.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
            assert!(!look(LOOK_INTERVAL) && !look(LOOK_INTERVAL));
        }
        fs::write(&path, EC).unwrap();
        assert!(look(LOOK_INTERVAL));
    }

    #[test]
    fn a_file_without_keys_is_named_with_what_is_wrong_and_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let why = || open(&path, crate::server::clock::Now::read().instant).unwrap_err().to_string();
        // It may be a secret that was meant for another flag.
        let nowhere = "cannot read the keys in the file given with --auth-key-file: No such file";
        assert!(why().starts_with(nowhere) && !why().contains(&path.display().to_string()), "{}", why());
        fs::write(&path, include_str!("../../tests/keys/ec.pem")).unwrap();
        let told = why();
        assert!(
            told.starts_with(&format!("cannot read the keys in --auth-key-file {}", path.display())),
            "{told}"
        );
        assert!(told.contains("openssl pkey -pubout") && told.contains("a JWKS"), "{told}");
        fs::write(&path, " ".repeat(300 * 1024)).unwrap();
        assert!(why().contains("more than 262144 bytes"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(why().contains("not a regular file"));
    }
}

//! The file with the keys by which tokens are verified: read at the start, and again when it has changed. One that cannot be
//! read any more changes nothing: it is told of once, and the keys stay.

use std::path::{Path, PathBuf};
use std::time::Instant;

use log::{info, warn};
use thiserror::Error;

use crate::config::auth::AuthConfig;
use crate::config::last_good::LastGood;
use crate::http::keys::VerifyingKeys;
use crate::server::watch::{Check, Content, FileError, LOOK_INTERVAL, Named, Opened, Watch};

const FLAG: &str = "--auth-key-file";

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
    watch: Watch,
    next_look: Instant,
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
        Self::open_or(config, &LastGood::default(), now)
    }

    /// The same, with what the file held when it could last be used where it cannot be now, of which is warned.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open_or(
        config: &AuthConfig,
        last_good: &LastGood,
        now: Instant,
    ) -> Result<Option<(VerifyingKeys, Option<Self>)>, KeyFileError> {
        let secret = config.auth_secret.as_ref();
        let Some(path) = &config.auth_key_file else {
            return Ok(secret.map(|secret| (VerifyingKeys::of_secret(secret.reveal().as_bytes()), None)));
        };
        let opened = Watch::open_or(vec![Named::new(FLAG, path)], last_good, keys);
        let Opened { watch, made: keys, fault } =
            opened.map_err(|error| KeyFileError { place: place(FLAG, path), why: error.why })?;
        fault.iter().for_each(|fault| warn_of(path, fault));
        let file = Self { path: path.clone(), watch, next_look: now + LOOK_INTERVAL };
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
        let path = self.path.display();
        match self.watch.look(keys)? {
            Ok(keys) => {
                let tally = keys.tally().map(|tally| format!(" ({tally})")).unwrap_or_default();
                info!("Read the keys in {path} again{tally}: tokens are verified by them from now on");
                Some(keys)
            }
            Err(why) => {
                warn_of(&self.path, &why);
                None
            }
        }
    }
}

fn warn_of(path: &Path, fault: &FileError) {
    let (path, why) = (path.display(), &fault.why);
    warn!("Cannot read the keys in {path} again: {why}; tokens are verified by those read before");
}

/// The file that this configuration names, if it does, with what refuses it.
pub(super) fn check(config: &AuthConfig) -> Option<(Vec<Named>, Check)> {
    let file = Named::new(FLAG, config.auth_key_file.as_deref()?);
    Some((vec![file], Box::new(|files| keys(files).map(drop))))
}

/// Makes keys of the file.
fn keys(files: &[Content]) -> Result<VerifyingKeys, FileError> {
    let [(file, octets), ..] = files else { unreachable!("there is a file") };
    let text = std::str::from_utf8(octets).map_err(|_| file.fault(&"stream did not contain valid UTF-8"))?;
    VerifyingKeys::read(text).map_err(|why| file.fault(&why))
}

/// How a path is named in the log. Where nothing is, a secret may have been given in its place.
pub fn place(flag: &str, path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(_) => format!("{flag} {}", path.display()),
        Err(_) => format!("the file given with {flag}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

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
        fs::write(&next, JWKS.replacen("enc", "cen", 1)).unwrap();
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

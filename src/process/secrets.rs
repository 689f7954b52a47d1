//! The secrets of the configuration, from where it has them: the token that publishers show, the secret by which tokens are
//! verified, the key by which they are signed, and the engine's password; and what is said about how they are kept. Of the files of
//! TLS whoever reads them says that. Of the secrets themselves nothing is said.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use thiserror::Error;

use crate::config::Config;
use crate::config::auth::AuthConfig;
use crate::config::engine::EngineFlags;
use crate::config::file::FileFlag;
use crate::config::last_good::LastGood;
use crate::config::secret::Secret;
use crate::config::ssl::SslFlags;
use crate::http::minting::SigningKey;
use crate::process::remarks::Remark;
use crate::server::key_file::place;
use crate::server::regular_file::{open_regular, rights};

const TOKEN_FLAG: &str = "--publish-token-file";

const SECRET_FLAG: &str = "--auth-secret-file";

const MOST_BYTES: u64 = 4096;

/// Of a private key: one of RSA with 4096 bits has 3 KiB.
const MOST_KEY_BYTES: u64 = 64 * 1024;

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

/// Reads the secrets from their files, if they are in some. A worker has what its supervisor has read, as all others have, whatever
/// stands there now.
///
/// # Errors
/// What is wrong with the first such file.
pub fn read(config: &mut Config) -> Result<(), SecretError> {
    let handed = |flag, check: Check| check(str::from_utf8(config.last_good.of(flag)?).ok()?).ok();
    let (token, secret) =
        (handed(TOKEN_FLAG, Secret::read), handed(SECRET_FLAG, Secret::read_for_signatures));
    match token {
        Some(token) => config.publish_token = Some(token),
        None => read_publish_token(config)?,
    }
    match secret {
        Some(secret) => config.auth.auth_secret = Some(secret),
        None => read_auth_secret(&mut config.auth)?,
    }
    Ok(())
}

/// Those that were read from files, for workers.
pub fn of_files(config: &Config) -> LastGood {
    let token = config.publish_token.as_ref().filter(|_| config.publish_token_file.is_some());
    let secret = config.auth.auth_secret.as_ref().filter(|_| config.auth.auth_secret_file.is_some());
    let mut read = LastGood::default();
    for (flag, secret) in [(TOKEN_FLAG, token), (SECRET_FLAG, secret)] {
        secret.into_iter().for_each(|secret| read.keep(flag, secret.reveal().as_bytes()));
    }
    read
}

/// Reads the token that publishers show from its file, if it is in one.
///
/// # Errors
/// What is wrong with the file.
pub fn read_publish_token(config: &mut Config) -> Result<(), SecretError> {
    if let Some(path) = &config.publish_token_file {
        config.publish_token = Some(read_file(TOKEN_FLAG, path, "token", Secret::read)?);
    }
    Ok(())
}

/// Reads the secret by which tokens are verified from its file, if it is in one.
///
/// # Errors
/// What is wrong with the file.
pub fn read_auth_secret(auth: &mut AuthConfig) -> Result<(), SecretError> {
    if let Some(path) = &auth.auth_secret_file {
        auth.auth_secret = Some(read_file(SECRET_FLAG, path, "secret", Secret::read_for_signatures)?);
    }
    Ok(())
}

/// Reads the engine's password from its file, if it is in one.
///
/// # Errors
/// What is wrong with the file.
pub fn read_engine_password(engine: &mut EngineFlags) -> Result<(), SecretError> {
    if let (Some(path), Some(url)) = (&engine.engine_password_file, &mut engine.url) {
        let password = read_file("--engine-password-file", path, "password", Secret::read_password)?;
        url.password = Some(password);
    }
    Ok(())
}

/// Reads the token that this program shows to a server.
///
/// # Errors
/// What is wrong with the file.
pub fn read_shown_token(path: &Path) -> Result<Secret, SecretError> {
    read_file("--token-file", path, "token", Secret::read)
}

/// Reads the private key by which tokens are signed.
///
/// # Errors
/// What is wrong with the file.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, SecretError> {
    let opened = open_regular(path).map_err(|e| e.to_string());
    let text = opened.and_then(|file| read_text(&file, MOST_KEY_BYTES));
    let key = text.and_then(|text| SigningKey::read(&text).map_err(|why| why.to_string()));
    key.map_err(|why| SecretError {
        place: place("--signing-key-file", path),
        what: "private key in PEM",
        why,
    })
}

fn read_file(flag: &str, path: &Path, what: &'static str, check: Check) -> Result<Secret, SecretError> {
    let secret = open_regular(path).map_err(|e| e.to_string()).and_then(|file| read_from(&file, check));
    secret.map_err(|why| SecretError { place: place(flag, path), what, why })
}

/// Who else on this machine can read or change them, and who has one by having the other.
pub fn of_others(config: &Config) -> Vec<Remark> {
    let in_arguments = config.token_is_in_arguments.then(|| {
        Remark::Danger(
            "Everyone on this machine may read the token in the arguments: use --publish-token-file or \
             SLACKWATER_PUBLISH_TOKEN instead of --publish-token"
                .to_owned(),
        )
    });
    let token = config.publish_token_file.as_deref().and_then(|path| of_readers("token", path));
    let secret = config.auth.auth_secret.as_ref();
    let is_same = config
        .publish_token
        .as_ref()
        .zip(secret)
        .is_some_and(|(token, secret)| token.is(secret.reveal().as_bytes()));
    let same = is_same.then(|| {
        Remark::Danger(
            "The token that publishers show is the secret by which tokens are verified: whoever has it can make tokens that \
             grant everything, to anybody. Take two that differ"
                .to_owned(),
        )
    });
    let engine = of_engine(&config.engine).into_iter().chain(of_file(&config.file));
    let others = of_auth(&config.auth).into_iter().chain(same).chain(engine).chain(of_tls(&config.ssl));
    in_arguments.into_iter().chain(token).chain(others).collect()
}

/// Who else can read the configuration file if a secret stands in it, or change it.
pub fn of_file(flag: &FileFlag) -> Option<Remark> {
    let file = flag.read.as_ref()?;
    if file.holds_secret {
        return of_readers("secrets", &file.path);
    }
    of_writers("configuration", &file.path)
}

/// Of the password alone: what is wrong with the files is said once they were read.
fn of_tls(ssl: &SslFlags) -> Option<Remark> {
    ssl.password_is_in_arguments.then(|| {
        Remark::Danger(
            "Everyone on this machine may read the private key's password in the arguments: use \
             SLACKWATER_SSL_KEYFILE_PASSWORD instead of --ssl-keyfile-password"
                .to_owned(),
        )
    })
}

fn of_engine(engine: &EngineFlags) -> Vec<Remark> {
    let in_arguments = engine.password_is_in_arguments().then(|| {
        Remark::Danger(
            "Everyone on this machine may read the engine's password in the arguments: use --engine-password-file or \
             SLACKWATER_ENGINE instead of --engine"
                .to_owned(),
        )
    });
    let file = engine.engine_password_file.as_deref().and_then(|path| of_readers("engine's password", path));
    let key = engine.key_place().and_then(|(_, path)| of_readers("private key", path));
    // Everybody is shown a certificate, and knows whom all trust.
    let certificate = engine.engine_key.as_ref().and(engine.engine_cert.as_deref());
    let certificate = certificate.and_then(|path| of_writers("certificate", path));
    let trusted = engine.engine_cacert.as_deref();
    let trusted = trusted.and_then(|path| of_writers("certificates of trusted authorities", path));
    in_arguments.into_iter().chain(file).chain(key).chain(certificate).chain(trusted).collect()
}

/// Who else can read or change what tokens are verified by.
pub fn of_auth(auth: &AuthConfig) -> Vec<Remark> {
    let in_arguments = auth.secret_is_in_arguments.then(|| {
        Remark::Danger(
            "Everyone on this machine may read the secret in the arguments: use --auth-secret-file or \
             SLACKWATER_AUTH_SECRET instead of --auth-secret"
                .to_owned(),
        )
    });
    let secret = auth.auth_secret_file.as_deref().and_then(|path| of_readers("secret", path));
    // Everybody may read a public key.
    let keys = auth.auth_key_file.as_deref().and_then(|path| of_writers("keys", path));
    in_arguments.into_iter().chain(secret).chain(keys).collect()
}

/// Who can read or change a secret that is nobody's but the owner's.
pub fn of_readers(what: &str, path: &Path) -> Option<Remark> {
    rights::of_readers(what, path).map(Remark::Danger)
}

fn of_writers(what: &str, path: &Path) -> Option<Remark> {
    rights::of_writers(what, path).map(Remark::Danger)
}

fn read_from(file: &File, check: Check) -> Result<Secret, String> {
    let text = read_text(file, MOST_BYTES)?;
    let text = text.trim();
    if text.lines().count() > 1 {
        return Err("it holds more than one line".to_owned());
    }
    Ok(check(text)?)
}

/// The text of a file of up to so many bytes.
pub(super) fn read_text(file: &File, most_bytes: u64) -> Result<String, String> {
    let mut octets = Vec::new();
    file.take(most_bytes + 1).read_to_end(&mut octets).map_err(|e| e.to_string())?;
    if octets.len() as u64 > most_bytes {
        return Err(format!("it holds more than {most_bytes} bytes"));
    }
    if BYTE_ORDER_MARKS.iter().any(|mark| octets.starts_with(mark)) {
        return Err(
            "it begins with a byte order mark, which an editor has put there: save it as UTF-8 without one"
                .to_owned(),
        );
    }
    String::from_utf8(octets).map_err(|e| e.utf8_error().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_the_secrets_that_its_supervisor_has_read_whatever_stands_in_the_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s".repeat(32)).unwrap();
        let mut config = Config::read(["slackwater".into()]).unwrap();
        config.publish_token_file = Some(file.path().to_owned());
        config.auth.auth_secret_file = Some(file.path().to_owned());
        let mut worker = config.clone();
        read(&mut config).unwrap();
        worker.last_good = of_files(&config);
        std::fs::write(file.path(), "").unwrap();
        read(&mut worker).unwrap();
        let secrets = [worker.publish_token, worker.auth.auth_secret].map(Option::unwrap);
        assert!(secrets.iter().all(|secret| secret.reveal() == "s".repeat(32)));
        // In no file, and handed on in the environment, if it was in the arguments.
        config.publish_token_file = None;
        config.auth.auth_secret_file = None;
        assert!(of_files(&config).is_empty());
    }

    #[test]
    fn a_password_of_the_private_key_is_warned_of_in_the_arguments_alone() {
        let told = |password_is_in_arguments| {
            of_tls(&SslFlags { password_is_in_arguments, ..SslFlags::default() }).map(|told| told.to_string())
        };
        let told_of_arguments = told(true).unwrap();
        assert!(
            told_of_arguments
                .starts_with("warning: Everyone on this machine may read the private key's password"),
            "{told_of_arguments}"
        );
        assert_eq!(told(false), None);
    }
}

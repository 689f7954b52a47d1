//! The folder in which an ACME client, such as certbot, leaves what a certificate authority asks for. The one place where a file is
//! read for a peer: a small one, by a name that cannot lead out of its folder.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use log::debug;

use crate::http::challenge::{Challenge, FOLDER};
use crate::server::regular_file::open_unlinked;

/// Of what is kept no more than this is served. What is asked for has some hundred octets at most (RFC 8555 §8.3).
const MOST_BYTES: u64 = 4096;

/// The folder.
#[derive(Debug, Clone)]
pub struct Webroot(PathBuf);

impl Webroot {
    /// Challenges are below this folder, now or later.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// What is kept for a challenge.
    ///
    /// # Errors
    /// Why nothing is given.
    pub fn read(&self, challenge: &Challenge) -> Result<Vec<u8>, Withheld> {
        let path = self.0.join(challenge.file());
        let content = open_unlinked(&path).and_then(|file| {
            let mut content = vec![];
            file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
            Ok(content)
        });
        match content {
            Ok(content) if content.len() as u64 <= MOST_BYTES => Ok(content),
            Ok(_) => {
                debug!("Not serving {}: it has more than {MOST_BYTES} bytes", path.display());
                Err(Withheld::Absent)
            }
            Err(why) => {
                debug!("Not serving {}: {why}", path.display());
                Err(Withheld::of(&path, &why))
            }
        }
    }

    /// What keeps this process from files that an ACME client will leave, if something does.
    pub fn denied(&self) -> Option<Withheld> {
        let path = self.0.join(FOLDER);
        let why = path.join("token").metadata().err()?;
        Some(Withheld::of(&path, &why)).filter(|why| *why != Withheld::Absent)
    }
}

/// Why nothing is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// Nothing is there that may be served.
    Absent,
    /// This process may not read it, with the mend: whoever asks would find it.
    Denied(String),
}

impl Withheld {
    fn of(path: &Path, why: &io::Error) -> Self {
        match why.kind() {
            ErrorKind::PermissionDenied => Self::Denied(format!(
                "The server's user may not read {} below --acme-webroot, so certificate authorities are told that there is nothing: \
                 chmod o+rx the folders on the way, and o+r what is in the last",
                path.display()
            )),
            _ => Self::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_small_regular_file_is_read_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(".well-known/acme-challenge");
        let webroot = Webroot::at(root.path());
        let read = |token: &str| {
            webroot.read(&Challenge::read(&format!("/.well-known/acme-challenge/{token}")).unwrap())
        };
        assert_eq!(read("token"), Err(Withheld::Absent), "there is no folder yet");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!((read("token"), webroot.denied()), (Err(Withheld::Absent), None));
        let most = vec![b'x'; 4096];
        fs::write(folder.join("token"), "token.thumbprint").unwrap();
        fs::write(folder.join("most"), &most).unwrap();
        fs::write(folder.join("more"), [&most[..], b"x"].concat()).unwrap();
        fs::write(folder.join("empty"), "").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        symlink(root.path().join("secret"), folder.join("link")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap().success());
        assert_eq!(read("token"), Ok(b"token.thumbprint".to_vec()));
        assert_eq!((read("most"), read("empty")), (Ok(most), Ok(vec![])));
        for token in ["more", "folder", "link", "fifo", "none"] {
            assert_eq!(read(token), Err(Withheld::Absent), "{token}");
        }
        // The folders on the way are whoever's who owns the first.
        let other = tempfile::tempdir().unwrap();
        symlink(root.path().join(".well-known"), other.path().join(".well-known")).unwrap();
        let challenge = Challenge::read("/.well-known/acme-challenge/token").unwrap();
        assert!(Webroot::at(other.path()).read(&challenge).is_ok());
    }

    /// Root may read everything, so that no file shows it in a test of root's.
    #[test]
    fn what_may_not_be_read_is_told_apart_from_what_is_not_there() {
        let path = Path::new("/w/token");
        let Withheld::Denied(text) = Withheld::of(path, &ErrorKind::PermissionDenied.into()) else {
            panic!("it is not there")
        };
        assert!(text.contains("may not read /w/token") && text.contains("chmod o+r"), "{text}");
        for kind in [ErrorKind::NotFound, ErrorKind::InvalidInput, ErrorKind::NotADirectory] {
            assert_eq!(Withheld::of(path, &kind.into()), Withheld::Absent);
        }
    }
}

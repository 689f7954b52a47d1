//! The folder in which an ACME client, such as certbot, leaves what a certificate authority asks for. The one place where a file is
//! read for a peer: a small one, by a name that cannot lead out of its folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use log::debug;

use crate::http::challenge::Challenge;
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

    /// What is kept for a challenge; `None` if nothing is that may be served.
    pub fn read(&self, challenge: &Challenge) -> Option<Vec<u8>> {
        let path = self.0.join(challenge.file());
        let content = open_unlinked(&path).and_then(|file| {
            let mut content = vec![];
            file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
            Ok(content)
        });
        match content {
            Ok(content) if content.len() as u64 <= MOST_BYTES => Some(content),
            Ok(_) => {
                debug!("Not serving {}: it has more than {MOST_BYTES} bytes", path.display());
                None
            }
            Err(why) => {
                debug!("Not serving {}: {why}", path.display());
                None
            }
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
        assert_eq!(read("token"), None, "there is no folder yet");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(read("token"), None);
        let most = vec![b'x'; 4096];
        fs::write(folder.join("token"), "token.thumbprint").unwrap();
        fs::write(folder.join("most"), &most).unwrap();
        fs::write(folder.join("more"), [&most[..], b"x"].concat()).unwrap();
        fs::write(folder.join("empty"), "").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        symlink(root.path().join("secret"), folder.join("link")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap().success());
        assert_eq!(read("token"), Some(b"token.thumbprint".to_vec()));
        assert_eq!((read("most"), read("empty")), (Some(most), Some(vec![])));
        for token in ["more", "folder", "link", "fifo", "none"] {
            assert_eq!(read(token), None, "{token}");
        }
        // The folders on the way are whoever's who owns the first.
        let other = tempfile::tempdir().unwrap();
        symlink(root.path().join(".well-known"), other.path().join(".well-known")).unwrap();
        let challenge = Challenge::read("/.well-known/acme-challenge/token").unwrap();
        assert!(Webroot::at(other.path()).read(&challenge).is_some());
    }
}

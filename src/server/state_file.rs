//! The file through which a leaving process hands its history to its successor: written whole or not at all, and
//! taken away once it has been read, since what is published afterwards is not in it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use thiserror::Error;

use crate::wire::snapshot::{Snapshot, SnapshotError};

/// A path that a snapshot is written to and read from.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// Why there is no state to go on from.
#[derive(Debug, Error)]
pub enum StateError {
    /// Nobody has left it, or a crash has not.
    #[error("it is not there")]
    Missing,
    /// There, and not to be had.
    #[error(transparent)]
    Unreadable(io::Error),
    /// Not the state of a server.
    #[error(transparent)]
    Unusable(#[from] SnapshotError),
}

impl StateFile {
    /// At this path; nothing need be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The state that a predecessor has left, if it has, and says so. To be asked once the port is this process's:
    /// until then the other may still publish.
    pub fn take_up(&self) -> Option<Snapshot> {
        let path = self.path.display();
        match self.take() {
            Ok(snapshot) => {
                info!("Going on behind publication {} of {path}", snapshot.newest);
                Some(snapshot)
            }
            Err(why) => {
                warn!("Starting a new history: {path}: {why}");
                None
            }
        }
    }

    /// Leaves the state to a successor, or says that it is lost.
    pub fn leave_behind(&self, snapshot: &Snapshot) {
        if let Err(why) = self.write(snapshot) {
            error!("The history is lost to a successor: cannot write {}: {why}", self.path.display());
        }
    }

    /// Reads the state and takes the file away. One that cannot be used is left for somebody to look at.
    fn take(&self) -> Result<Snapshot, StateError> {
        let octets = fs::read(&self.path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StateError::Missing,
            _ => StateError::Unreadable(e),
        })?;
        let snapshot = Snapshot::decode(&octets)?;
        // Left behind, it would let a successor of a crash give old positions to new publications.
        fs::remove_file(&self.path).map_err(StateError::Unreadable)?;
        Ok(snapshot)
    }

    /// Writes the state beside the file and then puts it in its place: rename(2) is atomic.
    fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = write_through(Path::new(&beside), &snapshot.encode())
            .and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
            return written;
        }
        // The name is durable once its folder is (fsync(2)).
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

fn write_through(path: &Path, octets: &[u8]) -> io::Result<()> {
    // Readable by its owner alone: it holds what was published.
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot { epoch: 7, newest: 3, publications: vec![], answers: vec![] }
    }

    #[test]
    fn what_was_written_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(&folder.path().join("state"));
        file.write(&snapshot()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(file.take().unwrap(), snapshot());
        assert!(matches!(file.take(), Err(StateError::Missing)));
    }

    #[test]
    fn a_damaged_file_is_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(&folder.path().join("state"));
        fs::write(&file.path, b"something else").unwrap();
        assert!(matches!(file.take(), Err(StateError::Unusable(SnapshotError::Foreign))));
        assert!(file.path.exists());
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(&folder.path().join("no/such/folder"));
        assert!(file.write(&snapshot()).is_err());
    }
}

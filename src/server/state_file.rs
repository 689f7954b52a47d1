//! The file through which a leaving process hands its history to its successor: written whole or not at all, and
//! taken away once it has been read, since what is published afterwards is not in it.
//! Invariant: written over is only what is empty or was written here; all else at its path is somebody else's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::wire::snapshot::{FAMILY, Snapshot, SnapshotError};

/// As many links as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A path that a snapshot is written to and read from.
#[derive(Debug)]
pub struct StateFile {
    /// Of the file itself: whatever links lead to it stay as they are.
    path: PathBuf,
}

/// Why the state cannot be kept at a path.
#[derive(Debug, Error)]
#[error("cannot keep the state in --state-file {}: {why}; {}", path.display(), why.mend())]
pub struct StateFileError {
    path: PathBuf,
    why: Unfit,
}

/// What is wrong with a path.
#[derive(Debug, Error)]
enum Unfit {
    #[error("it is no regular file")]
    Special,
    #[error("it is not a state file of this program")]
    Foreign,
    #[error("its folder cannot be written to: {0}")]
    Folder(io::Error),
    #[error("it cannot be replaced: {0}")]
    Fixed(io::Error),
    #[error(transparent)]
    Inaccessible(#[from] io::Error),
}

impl Unfit {
    fn mend(&self) -> &'static str {
        match self {
            Self::Special | Self::Foreign => "give a path where nothing is yet",
            Self::Folder(_) | Self::Inaccessible(_) => "give a path in a folder that this user can write to",
            Self::Fixed(_) => {
                "give a path in a folder of this user's own; of a container, mount the folder, not the file"
            }
        }
    }
}

impl StateFile {
    /// At this path, where nothing need be yet.
    ///
    /// # Errors
    /// When it can be told already that the state cannot be kept there.
    pub fn open(path: &Path) -> Result<Self, StateFileError> {
        let unfit = |why| StateFileError { path: path.to_owned(), why };
        let file = Self { path: resolve(path).map_err(|why| unfit(why.into()))? };
        file.look().map_err(unfit)?;
        match file.beside() {
            // There may be room again by the time it is needed.
            Err(why) if matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                warn!("The history could not be left to a successor now: {}: {why}", path.display());
            }
            beside => drop(beside.map_err(|why| unfit(Unfit::Folder(why)))?),
        }
        Ok(file)
    }

    /// The state that a predecessor has left, if it has, and says so. To be asked once the port is this process's:
    /// until then the other may still publish.
    ///
    /// # Errors
    /// When it cannot be taken away, and so could not be replaced either.
    pub fn take_up(&self) -> Result<Option<Snapshot>, StateFileError> {
        let path = self.path.display();
        match self.take().map_err(|why| StateFileError { path: self.path.clone(), why })? {
            Some(Ok(snapshot)) => {
                info!("Going on behind publication {} of {path}", snapshot.newest);
                Ok(Some(snapshot))
            }
            Some(Err(why)) => {
                warn!("Starting a new history: {path}: {why}");
                Ok(None)
            }
            None => {
                info!("Starting a new history: no server has left one in {path}");
                Ok(None)
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
    fn take(&self) -> Result<Option<Result<Snapshot, SnapshotError>>, Unfit> {
        let Some(mut file) = self.look()? else { return Ok(None) };
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        let snapshot = (!octets.is_empty()).then(|| Snapshot::decode(&octets));
        if !matches!(snapshot, Some(Err(_))) {
            // Left behind, it would let a successor of a crash give old positions to new publications.
            fs::remove_file(&self.path).map_err(Unfit::Fixed)?;
            self.sync_folder();
        }
        Ok(snapshot)
    }

    /// Writes the state beside the file and then puts it in its place: rename(2) is atomic.
    fn write(&self, snapshot: &Snapshot) -> Result<(), Unfit> {
        self.look()?;
        let mut beside = self.beside()?;
        beside.write_all(&snapshot.encode())?;
        beside.as_file().sync_all()?;
        beside.persist(&self.path).map_err(|why| Unfit::Fixed(why.error))?;
        self.sync_folder();
        Ok(())
    }

    /// What is there, if anything is: an empty file, or one that was written here.
    fn look(&self) -> Result<Option<File>, Unfit> {
        match fs::symlink_metadata(&self.path) {
            // Not even opened: that alone makes a watchdog bite or waits for a FIFO's writer.
            Ok(there) if !there.is_file() => return Err(Unfit::Special),
            Ok(_) => {}
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why.into()),
        }
        // It may have been exchanged since.
        let careful = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let mut file = File::options().read(true).custom_flags(careful).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(Unfit::Special);
        }
        let mut start = Vec::new();
        (&file).take(FAMILY.len() as u64).read_to_end(&mut start)?;
        if !start.is_empty() && start != FAMILY {
            return Err(Unfit::Foreign);
        }
        file.rewind()?;
        Ok(Some(file))
    }

    /// A new file in the same folder, under a name that nobody can have taken, readable by its owner alone: it holds
    /// what was published. Gone when it is dropped.
    fn beside(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".slackwater-").tempfile_in(self.folder())
    }

    /// A name is durable once its folder is (fsync(2)).
    fn sync_folder(&self) {
        if let Err(why) = File::open(self.folder()).and_then(|folder| folder.sync_all()) {
            let path = self.path.display();
            warn!("A power cut could undo what was done to {path}: its folder cannot be synchronised: {why}");
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().expect("a file is in a folder")
    }
}

/// The absolute path that a path means in the end, behind all links, though nothing need be there.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize()?;
        let there = folder.join(name);
        match fs::read_link(&there) {
            Ok(target) => path = folder.join(target),
            // Nothing, or no link (readlink(2)).
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                return Ok(there);
            }
            Err(why) => return Err(why),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

#[cfg(test)]
#[path = "state_file_tests.rs"]
mod tests;

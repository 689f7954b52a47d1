//! The file through which a leaving process hands its history to its successor: written whole or not at all, and
//! taken away once it has been read, since what is published afterwards is not in it.
//! Invariant: written over is only what is empty, or a state file that no other history has been left in; all else at its
//! path is somebody else's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{Level, error, log, warn};
use thiserror::Error;

use crate::wire::snapshot::{FAMILY, Snapshot, SnapshotError};

/// As many links as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A path that a snapshot is written to and read from.
#[derive(Debug)]
pub struct StateFile {
    /// Of the file itself: whatever links lead to it stay as they are.
    path: PathBuf,
    /// Where it is written, beside the file. Always the same, so that a process that is killed meanwhile leaves one file
    /// only, which the next takes away.
    draft: PathBuf,
}

/// What a predecessor has left, and so what a server that starts does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)] // Each says what it is.
pub enum Found {
    #[error("Going on behind publication {newest} of {}", path.display())]
    Snapshot { path: PathBuf, newest: u64 },
    #[error("Starting a new history: {}: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("Starting a new history: no server has left one in {}", path.display())]
    Nothing { path: PathBuf },
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
    #[error("it is written to {} first, and that is not its own: {why}", path.display())]
    Draft { path: PathBuf, why: Box<Unfit> },
    #[error("another server has left its history there, which stays")]
    Another,
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
            Self::Special | Self::Foreign | Self::Another => "give a path where nothing is yet",
            Self::Draft { .. } => "take that away, or give another path",
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
        let file = Self::at(resolve(path).map_err(|why| unfit(why.into()))?);
        look(&file.path).map_err(unfit)?;
        // Not taken away yet: another process may be writing it.
        file.look_at_draft().map_err(unfit)?;
        // Without a name, where the system can do that: it leaves nothing behind even if this process is killed.
        match tempfile::tempfile_in(file.folder()) {
            // There may be room again by the time it is needed.
            Err(why) if matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                warn!("The history could not be left to a successor now: {}: {why}", path.display());
            }
            beside => drop(beside.map_err(|why| unfit(Unfit::Folder(why)))?),
        }
        Ok(file)
    }

    fn at(path: PathBuf) -> Self {
        let mut name = OsString::from(".");
        name.push(path.file_name().expect("a file has a name"));
        name.push(".new");
        Self { draft: path.with_file_name(name), path }
    }

    /// The state that a predecessor has left, if it has, and says so. To be asked once the port is this process's:
    /// until then the other may still publish.
    ///
    /// # Errors
    /// When it cannot be taken away, and so could not be replaced either.
    pub fn take_up(&self) -> Result<Option<Snapshot>, StateFileError> {
        let taken = self.discard_draft().and_then(|()| self.take());
        let taken = taken.map_err(|why| StateFileError { path: self.path.clone(), why })?;
        let found = self.describe(taken.as_ref());
        log!(if matches!(found, Found::Unusable { .. }) { Level::Warn } else { Level::Info }, "{found}");
        Ok(taken.and_then(Result::ok))
    }

    /// Takes away what a predecessor has left: this process goes on by what it was handed in another way, and knows better.
    ///
    /// # Errors
    /// When it cannot be taken away, and so could not be replaced either.
    pub fn supersede(&self) -> Result<(), StateFileError> {
        let taken = self.discard_draft().and_then(|()| self.take());
        taken.map(drop).map_err(|why| StateFileError { path: self.path.clone(), why })
    }

    /// Where it is, for another process.
    pub fn octets_of_path(&self) -> Vec<u8> {
        self.path.as_os_str().as_bytes().to_vec()
    }

    /// What a server that starts now would find, which stays.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn found(&self) -> Result<Found, StateFileError> {
        let read = look(&self.path).and_then(|file| file.map_or(Ok(None), read));
        let read = read.map_err(|why| StateFileError { path: self.path.clone(), why })?;
        Ok(self.describe(read.as_ref()))
    }

    fn describe(&self, read: Option<&Result<Snapshot, SnapshotError>>) -> Found {
        let path = self.path.clone();
        match read {
            Some(Ok(snapshot)) => Found::Snapshot { path, newest: snapshot.newest },
            Some(Err(why)) => Found::Unusable { path, why: why.to_string() },
            None => Found::Nothing { path },
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
        let Some(file) = look(&self.path)? else { return Ok(None) };
        let snapshot = read(file)?;
        if !matches!(snapshot, Some(Err(_))) {
            // Left behind, it would let a successor of a crash give old positions to new publications.
            fs::remove_file(&self.path).map_err(Unfit::Fixed)?;
            self.sync_folder();
        }
        Ok(snapshot)
    }

    /// Writes the state beside the file and then puts it in its place: rename(2) is atomic.
    fn write(&self, snapshot: &Snapshot) -> Result<(), Unfit> {
        self.leave_others_alone(snapshot)?;
        self.discard_draft()?;
        // A new file, behind no link (O_EXCL, open(2)), and readable by its owner alone: it holds what was published.
        let mut draft = File::options().write(true).create_new(true).mode(0o600).open(&self.draft)?;
        let written = draft.write_all(&snapshot.encode()).and_then(|()| draft.sync_all());
        let placed = written
            .map_err(Unfit::from)
            .and_then(|()| fs::rename(&self.draft, &self.path).map_err(Unfit::Fixed));
        match placed {
            Ok(()) => self.sync_folder(),
            Err(_) => drop(fs::remove_file(&self.draft)),
        }
        placed
    }

    /// A server that was given the same path may have left its history there meanwhile: another one, or more of this.
    fn leave_others_alone(&self, own: &Snapshot) -> Result<(), Unfit> {
        let Some(mut file) = look(&self.path)? else { return Ok(()) };
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        match Snapshot::decode(&octets) {
            Ok(there) if !own.holds(&there) => Err(Unfit::Another),
            _ => Ok(()),
        }
    }

    /// Takes away what a process that was killed has left of its state.
    fn discard_draft(&self) -> Result<(), Unfit> {
        match self.look_at_draft()? {
            None => Ok(()),
            Some(_) => Ok(fs::remove_file(&self.draft)?),
        }
    }

    fn look_at_draft(&self) -> Result<Option<File>, Unfit> {
        look(&self.draft).map_err(|why| Unfit::Draft { path: self.draft.clone(), why: why.into() })
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

/// The state in a file that was looked at; none in an empty one.
fn read(mut file: File) -> Result<Option<Result<Snapshot, SnapshotError>>, Unfit> {
    let mut octets = Vec::new();
    file.read_to_end(&mut octets)?;
    Ok((!octets.is_empty()).then(|| Snapshot::decode(&octets)))
}

/// What is there, if anything is: an empty file, or one that was written here.
fn look(path: &Path) -> Result<Option<File>, Unfit> {
    match fs::symlink_metadata(path) {
        // Not even opened: that alone makes a watchdog bite or waits for a FIFO's writer.
        Ok(there) if !there.is_file() => return Err(Unfit::Special),
        Ok(_) => {}
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why.into()),
    }
    // It may have been exchanged or taken away since.
    let careful = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let mut file = match File::options().read(true).custom_flags(careful).open(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
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

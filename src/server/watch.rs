//! Files of which one thing is made, and whether they hold something else since. One that cannot be used any more is told of once. What
//! is made of them is others', and when they are looked at.

use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::last_good::LastGood;
use crate::policy::fingerprint::Fingerprint;
use crate::server::regular_file::open_regular;

/// How often files are looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// No certificate with its chain is longer, nor is a set of keys.
const MOST_BYTES: u64 = 256 * 1024;

/// Why a file cannot be used, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot use {place}: {why}")]
pub struct FileError {
    place: String,
    pub(super) why: String,
}

impl FileError {
    /// This is wrong with something that is no file that was named.
    pub fn of(place: &str, why: &dyn Display) -> Self {
        Self { place: place.to_owned(), why: why.to_string() }
    }
}

/// A file, and the flag that has named it.
#[derive(Debug, Clone)]
pub struct Named {
    flag: &'static str,
    path: PathBuf,
}

impl Named {
    /// A file that this flag has named.
    pub fn new(flag: &'static str, path: &Path) -> Self {
        Self { flag, path: path.to_owned() }
    }

    /// The flag.
    pub fn flag(&self) -> &'static str {
        self.flag
    }

    /// This is wrong with it.
    pub fn fault(&self, why: &dyn Display) -> FileError {
        let place = format!("{} {}", self.flag, self.path.display());
        FileError { place, why: why.to_string() }
    }

    fn read(&self) -> Result<(Zeroizing<Vec<u8>>, Stamp), FileError> {
        let opened = open_regular(&self.path).and_then(|file| read(&file));
        let (octets, stamp) = opened.map_err(|why| self.fault(&why))?;
        if octets.len() as u64 > MOST_BYTES {
            return Err(self.fault(&format_args!("it holds more than {MOST_BYTES} bytes")));
        }
        Ok((octets, stamp))
    }
}

/// What changes with a file's content, whether it is written anew or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    /// Also where the rest is as before, since a tool has set it so.
    changed: (i64, i64),
    length: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

/// A file and what it holds.
pub type Content = (Named, Zeroizing<Vec<u8>>);

/// Some files as they were when something was last made of them.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Named>,
    /// `None` for one that is not there.
    seen: Vec<Option<Stamp>>,
    /// Of what was in them.
    fingerprint: Option<Fingerprint>,
    /// As what nothing could be made of them, and why.
    told: Option<(Vec<Option<Stamp>>, FileError)>,
}

/// Something made of files and what they hold.
pub type Made<T> = Result<T, FileError>;

/// Refuses files that cannot be used.
pub type Check = Box<dyn Fn(&[Content]) -> Made<()>>;

/// What was made of files for the first time.
#[derive(Debug)]
pub struct Opened<T> {
    /// Of the files.
    pub watch: Watch,
    /// What was made.
    pub made: T,
    /// Why it could not be made of what they hold now. No later look gives that back.
    pub fault: Option<FileError>,
}

impl Watch {
    /// Of these files, of which nothing was made yet.
    pub fn new(files: Vec<Named>) -> Self {
        Self { files, seen: vec![], fingerprint: None, told: None }
    }

    /// Makes something of these files for the first time.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn open<T>(files: Vec<Named>, make: impl FnOnce(&[Content]) -> Made<T>) -> Made<(Self, T)> {
        let mut watch = Self::new(files);
        let made = watch.make(make)?.expect("nothing was made of them before");
        Ok((watch, made))
    }

    /// The same, of what the files held when they could last be used where they cannot be now.
    ///
    /// # Errors
    /// Why it cannot be made of what they hold now, where it cannot be made of that, either.
    pub fn open_or<T>(
        files: Vec<Named>,
        last_good: &LastGood,
        make: impl Fn(&[Content]) -> Made<T>,
    ) -> Made<Opened<T>> {
        let mut watch = Self::new(files);
        let now = watch.stamps();
        let why = match watch.make(&make) {
            Ok(made) => {
                let made = made.expect("nothing was made of them before");
                return Ok(Opened { watch, made, fault: None });
            }
            Err(why) => why,
        };
        let former = |file: &Named| Some((file.clone(), Zeroizing::new(last_good.of(file.flag)?.to_vec())));
        let contents: Option<Vec<Content>> = watch.files.iter().map(former).collect();
        let Some((made, contents)) = contents.and_then(|contents| Some((make(&contents).ok()?, contents)))
        else {
            return Err(why);
        };
        watch.fingerprint = Some(fingerprint(&contents));
        watch.told = Some((now, why.clone()));
        Ok(Opened { watch, made, fault: Some(why) })
    }

    /// Makes it anew, if the files hold something else. Why it cannot be made is given back once, and it is tried again each time,
    /// since what fails may be the reading.
    pub fn look<T>(&mut self, make: impl FnOnce(&[Content]) -> Made<T>) -> Option<Made<T>> {
        let now = self.stamps();
        if now == self.seen {
            return None;
        }
        match self.make(make) {
            Ok(made) => made.map(Ok),
            Err(why) => {
                let fault = Some((now, why.clone()));
                (std::mem::replace(&mut self.told, fault.clone()) != fault).then_some(Err(why))
            }
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |file: &Named| file.path.metadata().ok().map(|metadata| Stamp::of(&metadata));
        self.files.iter().map(stamp).collect()
    }

    /// Nothing, if they hold what it was made of last.
    fn make<T>(&mut self, make: impl FnOnce(&[Content]) -> Made<T>) -> Made<Option<T>> {
        let mut contents = Vec::with_capacity(self.files.len());
        let mut stamps = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let (octets, stamp) = file.read()?;
            contents.push((file.clone(), octets));
            stamps.push(Some(stamp));
        }
        let fingerprint = Some(fingerprint(&contents));
        let made = if fingerprint == self.fingerprint { None } else { Some(make(&contents)?) };
        (self.seen, self.fingerprint, self.told) = (stamps, fingerprint, None);
        Ok(made)
    }
}

fn read(file: &File) -> io::Result<(Zeroizing<Vec<u8>>, Stamp)> {
    // Ahead of the content: what is written later is seen at the next look.
    let stamp = Stamp::of(&file.metadata()?);
    let most = MOST_BYTES + 1;
    // With room for all of it, and for the end to be seen, no part is left behind where it does not fit any more.
    let room = usize::try_from(stamp.length.min(most)).unwrap_or_default() + 32;
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    file.take(most).read_to_end(&mut octets)?;
    Ok((octets, stamp))
}

fn fingerprint(contents: &[Content]) -> Fingerprint {
    Fingerprint::of(contents.iter().map(|(_, octets)| octets.as_slice()))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

//! A file in memory (memfd_create(2)), through which a process hands another how everything stands.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// Large enough that writing costs few calls.
const BUFFER_BYTES: usize = 256 * 1024;

/// What nobody can undo: it is read as it was written.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Such a file while it can still be written.
#[derive(Debug)]
pub struct Draft(File);

impl AsFd for Draft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Draft {
    /// An empty one.
    ///
    /// # Errors
    /// When the machine is out of something.
    pub fn new() -> io::Result<Self> {
        Ok(Self(memfd_create("slackwater", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into()))
    }

    /// Has it written, in place of what was there.
    ///
    /// # Errors
    /// Those of `write`, and when the machine is out of something.
    pub fn write<T>(&mut self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>) -> io::Result<T> {
        self.0.rewind()?;
        self.0.set_len(0)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, &self.0);
        let written = write(&mut writer)?;
        writer.flush()?;
        Ok(written)
    }

    /// From here on nobody writes it any more.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn seal(self) -> io::Result<OwnedFd> {
        fcntl_add_seals(&self.0, SEALS)?;
        Ok(self.0.into())
    }
}

/// Makes such a file, and has it written.
///
/// # Errors
/// Those of `write`, and when the machine is out of something.
pub fn write<T>(write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>) -> io::Result<(OwnedFd, T)> {
    let mut draft = Draft::new()?;
    let written = draft.write(write)?;
    Ok((draft.seal()?, written))
}

/// Reads such a file, which has so many bytes.
///
/// # Errors
/// When it is another, or there is no memory for it.
pub fn read(descriptor: OwnedFd, bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::from(descriptor);
    if file.metadata()?.len() != bytes {
        return Err(ErrorKind::InvalidData.into());
    }
    read_all(file.into())
}

/// Reads such a file, however long it is.
///
/// # Errors
/// When it is none, or there is no memory for it.
pub fn read_all(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(descriptor);
    if !is_sealed(&file) {
        return Err(ErrorKind::InvalidData.into());
    }
    let bytes = file.metadata()?.len();
    let length = usize::try_from(bytes).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut octets = Vec::new();
    octets.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
    octets.resize(length, 0);
    // Whatever the place in it is: another process may read it at the same time.
    file.read_exact_at(&mut octets, 0)?;
    Ok(octets)
}

/// Whether it is such a file, and nobody writes it any more.
pub fn is_sealed(file: &impl AsFd) -> bool {
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_can_not_be_changed() {
        let (descriptor, ()) = write(|file| file.write_all(b"all of it")).unwrap();
        let again = File::from(descriptor.try_clone().unwrap());
        assert!(again.write_at(b"x", 0).is_err() && again.set_len(3).is_err());
        assert_eq!(read(descriptor.try_clone().unwrap(), 9).unwrap(), b"all of it");
        assert_eq!(read(descriptor, 8).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(read(File::open("/dev/null").unwrap().into(), 0).is_err());
    }

    #[test]
    fn what_was_written_first_is_gone_once_it_is_written_anew() {
        let mut draft = Draft::new().unwrap();
        draft.write(|file| file.write_all(b"too much")).unwrap();
        draft.write(|file| file.write_all(b"less")).unwrap();
        let unsealed = draft.as_fd().try_clone_to_owned().unwrap();
        assert!(read_all(unsealed).is_err(), "it could still be changed");
        assert_eq!(read_all(draft.seal().unwrap()).unwrap(), b"less");
    }
}

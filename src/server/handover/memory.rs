//! A file in memory (memfd_create(2)), through which a process hands another how everything stands.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// Large enough that writing costs few calls.
const BUFFER_BYTES: usize = 256 * 1024;

/// What nobody can undo: it is read as it was written.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Makes such a file, and has it written.
///
/// # Errors
/// Those of `write`, and when the machine is out of something.
pub fn write<T>(write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) -> io::Result<(OwnedFd, T)> {
    let file = File::from(memfd_create("slackwater", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    let written = write(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok((file.into(), written))
}

/// Reads such a file, which has so many bytes.
///
/// # Errors
/// When it is another, or there is no memory for it.
pub fn read(descriptor: OwnedFd, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::from(descriptor);
    let is_sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS));
    if !is_sealed || file.metadata()?.len() != bytes {
        return Err(ErrorKind::InvalidData.into());
    }
    let length = usize::try_from(bytes).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut octets = Vec::new();
    octets.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
    // From its beginning: the place in it is that of the other process, which has written to its end.
    file.rewind()?;
    file.take(bytes).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

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
}

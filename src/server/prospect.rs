//! Where a server would listen, found out without listening. What could not be listened on is refused in the same words as by
//! one that starts; what only an attempt shows, such as a port in use, is not found out.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use socket2::SockAddr;

use crate::server::bound_socket::{Address, ListenError, reachable, refused, resolve};

/// An address, or of a name the one that most can reach.
///
/// # Errors
/// When there is no such address, or this machine does not have it.
pub fn of_host(host: &str, port: u16) -> Result<Address, ListenError> {
    let found = resolve(host, port)?;
    let here: Vec<Address> =
        found.iter().filter(|address| is_here(**address).is_ok()).copied().map(Address::Ip).collect();
    match &here[..] {
        [] => {
            let first = found[0];
            let why =
                is_here(first).err().unwrap_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
            Err(refused(Address::Ip(first), why))
        }
        here => Ok(reachable(here).clone()),
    }
}

/// A Unix socket at this path.
///
/// # Errors
/// When its folder cannot be written to, or something else is there.
pub fn of_path(path: &Path) -> Result<Address, ListenError> {
    let address = || Address::Unix(path.to_owned());
    let look = || {
        SockAddr::unix(path)?;
        match fs::symlink_metadata(path) {
            // A server that serves there now, or has ended.
            Ok(there) if there.file_type().is_socket() => {}
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Without a name, where the system can do that.
        tempfile::tempfile_in(folder).map(drop)
    };
    look().map(|()| address()).map_err(|why| refused(address(), why))
}

/// Whether this machine has the address: then a socket for datagrams can be bound to it, whatever its port, and nobody is
/// disturbed.
fn is_here(mut address: SocketAddr) -> io::Result<()> {
    address.set_port(0);
    UdpSocket::bind(address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_address_of_this_machine_can_be_listened_on_and_another_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(of_host("127.0.0.1", taken.port()).unwrap(), Address::Ip(taken));
        assert_eq!(of_host("0.0.0.0", 80).unwrap().to_string(), "0.0.0.0:80");
        assert!(of_host("localhost", 80).unwrap().is_loopback());
        let why = of_host("192.0.2.1", 80).unwrap_err().to_string();
        assert!(why.starts_with("cannot listen on 192.0.2.1:80: Cannot assign requested address"), "{why}");
        let why = of_host("no.such.name.invalid", 80).unwrap_err().to_string();
        assert!(why.starts_with("cannot find --host no.such.name.invalid: "), "{why}");
    }

    #[test]
    fn a_path_is_left_as_it_is_and_wants_a_folder_and_nothing_else_there() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let path = folder.path().join("socket");
        assert_eq!(of_path(&path).unwrap(), Address::Unix(path.clone()));
        assert_eq!(names().count(), 0);
        let listening = UnixListener::bind(&path).unwrap();
        assert!(of_path(&path).is_ok());
        drop(listening);
        assert!(of_path(&path).is_ok());
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, why) in [
            ("file", "Address already in use"),
            ("none/socket", "No such file or directory"),
            ("file/socket", "Not a directory"),
            (&*"x".repeat(200), "path must be shorter than SUN_LEN"),
        ] {
            let told = of_path(&folder.path().join(name)).unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("choose another path with --uds"), "{told}");
        }
        assert_eq!(names().count(), 2);
    }
}

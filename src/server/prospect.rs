//! Where a server would listen, found out without listening. What could not be listened on is refused in the same words as by
//! one that starts; what only an attempt shows, such as a port in use, is not found out.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::server::address::{Address, reachable};
use crate::server::bound_socket::{BoundSocket, ListenError, is_absent, listens_on, refused, resolve};

/// Where a server would listen.
#[derive(Debug)]
pub struct Prospect {
    addresses: Vec<Address>,
    /// Whether `::` stands for all IPv4 addresses as well.
    takes_both: bool,
}

impl Prospect {
    /// The address, or of several the one that most can reach.
    pub fn address(&self) -> &Address {
        reachable(&self.addresses)
    }

    /// How many sockets there would be.
    pub fn sockets(&self) -> usize {
        self.addresses.len()
    }

    /// At which of these addresses nobody else can listen while the other does, if there is one.
    pub fn clash(&self, other: &Self) -> Option<&Address> {
        self.addresses.iter().find(|address| {
            other.addresses.iter().any(|theirs| match (address, theirs) {
                (Address::Ip(one), Address::Ip(two)) => {
                    covers(*one, *two, self.takes_both) || covers(*two, *one, other.takes_both)
                }
                (Address::Unix(one), Address::Unix(two)) => are_same(one, two),
                _ => false,
            })
        })
    }

    /// Whether its Unix socket has this path.
    pub fn is_at(&self, path: &Path) -> bool {
        self.addresses.iter().any(|address| matches!(address, Address::Unix(own) if are_same(own, path)))
    }
}

/// An address, or all those of a name that this machine has.
///
/// # Errors
/// When there is no such address, or this machine does not have it, or this user may not listen there.
pub fn of_host(host: &str, port: u16) -> Result<Prospect, ListenError> {
    let found = resolve(host, port)?;
    let is_only = found.len() == 1;
    let (mut here, mut absent) = (vec![], vec![]);
    for address in found {
        match try_to_bind(address, is_only) {
            Ok(()) => here.push(Address::Ip(address)),
            Err(why) if is_absent(&why) => absent.push((address, why)),
            Err(why) => return Err(refused(Address::Ip(address), why)),
        }
    }
    match absent.into_iter().next() {
        Some((first, why)) if here.is_empty() => Err(refused(Address::Ip(first), why)),
        _ => Ok(Prospect { addresses: here, takes_both: is_only && takes_both_by_default() }),
    }
}

/// A Unix socket at this path.
///
/// # Errors
/// When its folder cannot be written to, or something else is there.
pub fn of_path(path: &Path) -> Result<Prospect, ListenError> {
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
        // Without a name, where the system can do that.
        tempfile::tempfile_in(folder(path)).map(drop)
    };
    look().map_err(|why| refused(address(), why))?;
    Ok(Prospect { addresses: vec![address()], takes_both: false })
}

/// A socket that was handed over, under this number. It is left as it is.
///
/// # Errors
/// When it is no listening stream socket.
pub fn of_socket(socket: &Socket, fd: i32) -> Result<Prospect, ListenError> {
    let address = listens_on(socket, fd)?;
    Ok(Prospect { addresses: vec![address], takes_both: socket.only_v6().is_ok_and(|only_v6| !only_v6) })
}

/// Whether this machine has the address and this user may have the port. A port that somebody listens on counts, and nobody is
/// disturbed: what is bound and does not listen keeps no server from listening there.
fn try_to_bind(address: SocketAddr, is_only: bool) -> io::Result<()> {
    match BoundSocket::bound(address, false, is_only) {
        Err(why) if why.kind() != ErrorKind::AddrInUse => Err(why),
        _ => Ok(()),
    }
}

/// As the system has it for those that say nothing of it (ipv6(7), net.ipv6.bindv6only).
fn takes_both_by_default() -> bool {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None);
    socket.and_then(|socket| socket.only_v6()).is_ok_and(|only_v6| !only_v6)
}

/// Whether whoever listens on the one listens on the other as well. Port 0 is a port of one's own.
fn covers(one: SocketAddr, other: SocketAddr, takes_both: bool) -> bool {
    let is_for_all = match one.ip() {
        IpAddr::V4(all) => all.is_unspecified() && other.ip().to_canonical().is_ipv4(),
        IpAddr::V6(all) => all.is_unspecified() && (takes_both || other.ip().to_canonical().is_ipv6()),
    };
    let scope = |address| if let SocketAddr::V6(address) = address { address.scope_id() } else { 0 };
    let is_same = one.ip().to_canonical() == other.ip().to_canonical() && scope(one) == scope(other);
    one.port() == other.port() && one.port() != 0 && (is_for_all || is_same)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether both are the same name in the same folder.
/// Whether these paths lead to one place.
pub fn are_same(one: &Path, other: &Path) -> bool {
    let place =
        |path: &Path| -> Option<PathBuf> { Some(folder(path).canonicalize().ok()?.join(path.file_name()?)) };
    place(one).is_some_and(|one| place(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_address_of_this_machine_can_be_listened_on_and_another_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(*of_host("127.0.0.1", taken.port()).unwrap().address(), Address::Ip(taken));
        assert_eq!(of_host("0.0.0.0", 8080).unwrap().address().to_string(), "0.0.0.0:8080");
        assert!(of_host("localhost", 8080).unwrap().address().is_loopback());
        let why = of_host("192.0.2.1", 8080).unwrap_err().to_string();
        assert!(why.starts_with("cannot listen on 192.0.2.1:8080: Cannot assign requested address"), "{why}");
        let why = of_host("no.such.name.invalid", 80).unwrap_err().to_string();
        assert!(why.starts_with("cannot find --host no.such.name.invalid: "), "{why}");
    }

    #[test]
    fn a_path_is_left_as_it_is_and_wants_a_folder_and_nothing_else_there() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let path = folder.path().join("socket");
        assert_eq!(*of_path(&path).unwrap().address(), Address::Unix(path.clone()));
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

    #[test]
    fn one_address_clashes_with_another_where_nobody_can_listen_on_both() {
        let prospect = |addresses: &str, takes_both| Prospect {
            addresses: addresses.split(' ').map(|text| Address::Ip(text.parse().unwrap())).collect(),
            takes_both,
        };
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("[::1]:80 127.0.0.1:80", "127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("[fe80::1%1]:80", "[fe80::1%2]:80", false),
        ] {
            let (one, other) = (prospect(one, !one.contains(' ')), prospect(other, true));
            assert_eq!(one.clash(&other).is_some(), expected, "{one:?} {other:?}");
        }
        let [one, other] = ["[::]:80", "127.0.0.1:80"].map(|text| prospect(text, false));
        assert_eq!(one.clash(&other), None);
    }
}

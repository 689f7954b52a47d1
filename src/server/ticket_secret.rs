//! The secret that session tickets are made by where no file holds one: drawn at the start, and handed on to other processes of this
//! program in a file in memory, which has no name that another program could open.

use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::ssl::TicketSecret;
use crate::server::handover::memory;

/// Draws one.
///
/// # Errors
/// When the system has no randomness.
pub fn draw() -> io::Result<TicketSecret> {
    let mut octets = [0; 32];
    // So few come whole once there are any (getrandom(2)).
    let drawn = getrandom(&mut octets, GetRandomFlags::empty())?;
    if drawn == octets.len() { Ok(TicketSecret(octets)) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Puts it in memory, for a process that inherits the descriptor.
///
/// # Errors
/// When the machine is out of something.
pub fn keep(secret: &TicketSecret) -> io::Result<OwnedFd> {
    memory::write(|file| file.write_all(&secret.0)).map(|(descriptor, ())| descriptor)
}

/// What another process has put there.
///
/// # Errors
/// When it is something else.
pub fn find(descriptor: OwnedFd) -> io::Result<TicketSecret> {
    let octets = memory::read_all(descriptor)?;
    octets.try_into().map(TicketSecret).map_err(|_| ErrorKind::InvalidData.into())
}

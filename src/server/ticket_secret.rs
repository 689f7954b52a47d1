//! The secret that session tickets are made by where no file holds one: drawn at the start, and handed on to other processes of this
//! program through descriptors, which nobody else has.

use std::io::{self, ErrorKind, Read, Write};

use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Domain, Socket, Type};

use crate::config::ssl::TicketSecret;
use crate::wire::handover::message::TicketKey;

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

/// What a predecessor has said. One that is no secret is passed over: clients do not resume then.
pub(super) fn of_predecessor(key: Option<TicketKey>) -> Option<TicketSecret> {
    key.and_then(|key| key.0.try_into().ok()).map(TicketSecret)
}

/// Says it to a process that inherits this socket.
///
/// # Errors
/// When the machine is out of something.
pub fn tell(secret: &TicketSecret) -> io::Result<Socket> {
    let (mut ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
    // There is room for so little.
    ours.write_all(&secret.0)?;
    Ok(theirs)
}

/// What was said to this process.
///
/// # Errors
/// When it was something else.
pub fn hear(mut socket: Socket) -> io::Result<TicketSecret> {
    // Nobody is waited for: it was said before this process began.
    socket.set_nonblocking(true)?;
    let mut octets = [0; 32];
    socket.read_exact(&mut octets)?;
    Ok(TicketSecret(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_another_each_time_and_is_heard_as_it_was_told() {
        let secret = draw().unwrap();
        assert_ne!(secret, draw().unwrap());
        assert_eq!(hear(tell(&secret).unwrap()).unwrap(), secret);
        let (silent, _other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        assert_eq!(hear(silent).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn what_a_predecessor_says_is_taken_if_it_is_as_long_as_what_is_drawn() {
        let said = |bytes| of_predecessor(Some(TicketKey(vec![7; bytes])));
        assert_eq!((said(32), said(31), said(33)), (Some(TicketSecret([7; 32])), None, None));
        assert_eq!(of_predecessor(None), None);
    }
}

//! Frames as a client encodes them (RFC 6455 §5.2), good and bad. Written out here, not taken from the library.

use flate2::{Compress, Compression, FlushCompress};

/// The mask of every frame; any will do.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub const TEXT: u8 = 0x81;
/// A whole text message that is compressed (RFC 7692 §6).
pub const COMPRESSED: u8 = 0xc1;
pub const PING: u8 = 0x89;
pub const CLOSE: u8 = 0x88;

/// A masked frame. `first` holds FIN, the reserved bits and the opcode.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut octets = header(first, payload.len() as u64);
    octets.extend(payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    octets
}

/// The header of a masked frame, its length in the shortest form.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let announced = length.to_be_bytes();
    let mut octets = vec![first];
    match length {
        0..=125 => octets.push(0x80 | announced[7]),
        126..=0xffff => octets.extend([&[0x80 | 126], &announced[6..]].concat()),
        _ => octets.extend([&[0x80 | 127], &announced[..]].concat()),
    }
    octets.extend(MASK);
    octets
}

/// A whole text message.
pub fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text)
}

/// A block with codes of its own that says nothing but that it ends (RFC 1951 §3.2.7), in as few bits as that can have, the first
/// one lowest: 1 and 18 are the only lengths of codes, of which each has one bit; of 255 codes for octets none is in use, of the
/// other two one is for the end.
const HOLLOW_BLOCK: u128 = 0x46a_ff90_0000_0000_0081_c004;
const HOLLOW_BITS: usize = 91;

/// The payload of an empty message in so many octets at most, which take as long to inflate as so many can.
pub fn hollow(bytes: usize) -> Vec<u8> {
    let rounds = (bytes - 1) / HOLLOW_BITS;
    let octet =
        |n: usize| (0..8).map(|bit| (HOLLOW_BLOCK >> ((8 * n + bit) % HOLLOW_BITS) & 1) << bit).sum::<u128>();
    // The last one is the beginning of what a flush ends with.
    (0..rounds * HOLLOW_BITS).map(|n| octet(n) as u8).chain([0]).collect()
}

/// The payload of a message, compressed.
pub fn deflated(message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let mut stream = Compress::new(Compression::default(), false);
    let mut payload = Vec::with_capacity(2 * message.len() + 100);
    stream.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - 4);
    payload
}

//! Parts of a body whose length nobody knows yet, as HTTP/1.1 sends them (RFC 9112 §7.1). Many programs are handed such a part
//! when it has come, and of a body that only the end of the connection ends as much as fills a buffer.

use bytes::Bytes;

/// What follows the last part: a part of no bytes, and the line that ends the body.
pub const LAST: [&[u8]; 2] = [b"0\r\n", b"\r\n"];

/// One part, in as many pieces as it has. It must not be empty, or it would be the last one.
pub fn encode<const N: usize>(mut part: [Bytes; N]) -> [Bytes; N] {
    let bytes: usize = part.iter().map(Bytes::len).sum();
    debug_assert!(bytes > 0, "an empty part ends the body");
    if let Some(first) = part.first_mut() {
        *first = [format!("{bytes:x}\r\n").as_bytes(), first].concat().into();
    }
    if let Some(last) = part.last_mut() {
        *last = [last, &b"\r\n"[..]].concat().into();
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_how_long_it_is_in_hexadecimal_and_keeps_its_pieces() {
        assert_eq!(encode([Bytes::from("x")]), ["1\r\nx\r\n"]);
        assert_eq!(
            encode([Bytes::from("event: gap\n"), Bytes::from("data\n\n")]),
            ["11\r\nevent: gap\n", "data\n\n\r\n"]
        );
        assert_eq!(encode([Bytes::from("x".repeat(300))]), [format!("12c\r\n{}\r\n", "x".repeat(300))]);
    }
}

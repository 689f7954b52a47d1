//! A line of RESP, and what it may say: a number or a length. A line ends with CR LF, and contains neither.

use std::borrow::Cow;
use std::str::FromStr;

use crate::wire::resp::{MAX_LINE_BYTES, RespError};

/// Takes the rest of a line off the front of the input, without its end. While it is not whole, all of the input goes into
/// `kept`, and there is none.
///
/// # Errors
/// When it is too long, or contains CR or LF.
pub fn take<'a>(kept: &mut Vec<u8>, input: &mut &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, RespError> {
    let end = input.iter().position(|octet| *octet == b'\n');
    if kept.len() + end.unwrap_or(input.len()) > MAX_LINE_BYTES {
        return Err(RespError::Malformed("a line is too long"));
    }
    let Some(end) = end else {
        kept.extend_from_slice(std::mem::take(input));
        return Ok(None);
    };
    let (rest, behind) = input.split_at(end + 1);
    *input = behind;
    let mut line = Cow::Borrowed(rest);
    if !kept.is_empty() {
        kept.extend_from_slice(rest);
        line = Cow::Owned(std::mem::take(kept));
    }
    let length = line.strip_suffix(b"\r\n").filter(|text| !text.contains(&b'\r')).map(<[u8]>::len);
    let length = length.ok_or(RespError::Malformed("a line does not end with CR LF"))?;
    match &mut line {
        Cow::Borrowed(line) => *line = &line[..length],
        Cow::Owned(line) => line.truncate(length),
    }
    Ok(Some(line))
}

/// How long a string is, or of how many elements an aggregate consists. Only what a server writes: no sign, no needless zero.
/// Whoever reads such a length in another way would take the rest for other replies.
///
/// # Errors
/// When it is not a length, or is not known ahead.
pub fn length(line: &[u8]) -> Result<usize, RespError> {
    match line {
        b"?" => Err(RespError::Streamed),
        [b'0'] | [b'1'..=b'9', ..] => parsed(line, "not a length"),
        _ => Err(RespError::Malformed("not a length")),
    }
}

/// An integer: digits, perhaps behind a sign.
///
/// # Errors
/// When it is not one of 64 bits.
pub fn integer(line: &[u8]) -> Result<i64, RespError> {
    parsed(line, "not an integer of 64 bits")
}

/// A double, also `inf`, `-inf` and `nan`.
///
/// # Errors
/// When it is not one.
pub fn double(line: &[u8]) -> Result<f64, RespError> {
    parsed(line, "not a double")
}

/// Whether it is an integer of any size: digits, perhaps behind a sign.
pub fn is_big_number(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn parsed<Number: FromStr>(line: &[u8], otherwise: &'static str) -> Result<Number, RespError> {
    str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(RespError::Malformed(otherwise))
}

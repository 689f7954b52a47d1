//! Facts about replies and commands that can be told by hand, and about what is no reply.

use bytes::{Bytes, BytesMut};

use super::command::encode;
use super::decoder::{Decoder, Limits};
use super::reply::Reply;
use super::*;

const LIMITS: Limits = Limits { reply_bytes: 1000, elements: 20, depth: 3 };

/// All replies, and the error if there is one, of what comes in pieces of this size.
fn replies_in_pieces(input: &[u8], size: usize, limits: Limits) -> (Vec<Reply>, Option<RespError>) {
    let (mut decoder, mut replies) = (Decoder::new(limits), vec![]);
    for mut piece in input.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break assert!(piece.is_empty(), "all of it is taken"),
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

/// The same of all pieces.
fn replies(input: impl AsRef<[u8]>) -> (Vec<Reply>, Option<RespError>) {
    let input = input.as_ref();
    let whole = replies_in_pieces(input, input.len().max(1), LIMITS);
    for size in 1..input.len().min(40) {
        // Text, because a NaN is not equal to itself.
        assert_eq!(format!("{:?}", replies_in_pieces(input, size, LIMITS)), format!("{whole:?}"));
    }
    whole
}

/// The only reply there is.
fn reply(input: impl AsRef<[u8]>) -> Reply {
    let (mut all, None) = replies(input) else { panic!("an error") };
    let (Some(reply), true) = (all.pop(), all.is_empty()) else { panic!("not one reply") };
    reply
}

/// Why it is not a reply.
fn refused(input: impl AsRef<[u8]>) -> RespError {
    let (all, Some(error)) = replies(input) else { panic!("no error") };
    assert_eq!(all, []);
    error
}

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

fn is_unfinished(input: impl AsRef<[u8]>) -> bool {
    replies(input) == (vec![], None)
}

#[test]
fn each_type_of_resp2_is_read() {
    assert_eq!(reply("+OK\r\n"), Reply::Simple(Bytes::from_static(b"OK")));
    assert_eq!(reply(":-42\r\n"), Reply::Integer(-42));
    assert_eq!(reply(":+9223372036854775807\r\n"), Reply::Integer(i64::MAX));
    assert_eq!(reply("$5\r\na\r\n\0b\r\n"), bulk("a\r\n\0b"));
    assert_eq!(reply("$0\r\n\r\n"), bulk(""));
    assert_eq!(reply("$-1\r\n"), Reply::Null);
    assert_eq!(reply("*-1\r\n"), Reply::Null);
    assert_eq!(reply("*0\r\n"), Reply::Array(vec![]));
    let (inner, one) = (Reply::Array(vec![bulk("a"), Reply::Null]), Reply::Integer(1));
    assert_eq!(reply("*2\r\n*2\r\n$1\r\na\r\n$-1\r\n:1\r\n"), Reply::Array(vec![inner, one]));
}

#[test]
fn each_type_that_resp3_adds_is_read() {
    assert_eq!(reply("_\r\n"), Reply::Null);
    assert_eq!(reply("#t\r\n"), Reply::Boolean(true));
    assert_eq!(reply("#f\r\n"), Reply::Boolean(false));
    assert_eq!(reply(",1.5e3\r\n"), Reply::Double(1500.0));
    assert_eq!(reply(",-inf\r\n"), Reply::Double(f64::NEG_INFINITY));
    assert!(matches!(reply(",nan\r\n"), Reply::Double(number) if number.is_nan()));
    let number = Bytes::from_static(b"-3492890328409238509324850943850943825024385");
    assert_eq!(reply([b"(", &number[..], b"\r\n"].concat()), Reply::BigNumber(number));
    assert_eq!(reply("=8\r\ntxt:INFO\r\n"), bulk("INFO"));
    assert_eq!(reply("~2\r\n:1\r\n#t\r\n"), Reply::Set(vec![Reply::Integer(1), Reply::Boolean(true)]));
    assert_eq!(reply(">1\r\n$1\r\na\r\n"), Reply::Push(vec![bulk("a")]));
    let pairs = vec![(bulk("a"), Reply::Integer(1)), (Reply::Array(vec![]), Reply::Null)];
    assert_eq!(reply("%2\r\n$1\r\na\r\n:1\r\n*0\r\n_\r\n"), Reply::Map(pairs));
}

#[test]
fn an_error_has_a_code_and_says_all() {
    for input in ["-MOVED 3999 127.0.0.1:6381\r\n", "!25\r\nMOVED 3999 127.0.0.1:6381\r\n"] {
        let Reply::Error(error) = reply(input) else { panic!("no error") };
        assert_eq!((error.code(), &*error.to_string()), ("MOVED", "MOVED 3999 127.0.0.1:6381"));
    }
    let Reply::Error(error) = reply(b"-\xff no\r\n") else { panic!("no error") };
    assert_eq!((error.code(), &*error.to_string()), ("", "\u{fffd} no"));
}

#[test]
fn replies_come_one_by_one_and_what_nobody_asked_for_between_them() {
    let (all, error) = replies("+a\r\n>1\r\n+b\r\n$1\r\nc\r\n:4");
    let simple = |text| Reply::Simple(Bytes::from_static(text));
    assert_eq!(all, [simple(b"a"), Reply::Push(vec![simple(b"b")]), bulk("c")]);
    assert_eq!(error, None);
}

#[test]
fn attributes_are_dropped_wherever_they_stand() {
    assert_eq!(reply("|1\r\n+ttl\r\n:3600\r\n:7\r\n"), Reply::Integer(7));
    assert_eq!(reply("|0\r\n|1\r\n+a\r\n*1\r\n+b\r\n:7\r\n"), Reply::Integer(7));
    let array = reply("*2\r\n|1\r\n+a\r\n_\r\n:1\r\n|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n_\r\n:2\r\n");
    assert_eq!(array, Reply::Array(vec![Reply::Integer(1), Reply::Integer(2)]));
    assert!(is_unfinished("*1\r\n:1"));
    assert!(is_unfinished("*1\r\n|1\r\n+a\r\n_\r\n"));
}

#[test]
fn what_begins_like_no_reply_is_refused_at_once() {
    assert_eq!(refused("HTTP"), RespError::UnknownType(b'H'));
    assert_eq!(refused("\r\n"), RespError::UnknownType(b'\r'));
    assert_eq!(refused("*1\r\nx"), RespError::UnknownType(b'x'));
    assert_eq!(refused("\x15\x03").to_string(), r"a reply of an unknown type, '\u{15}'");
}

#[test]
fn a_length_is_refused_unless_it_is_written_as_a_server_writes_it() {
    let lengths = ["", "-2", "+1", "01", "00", "-0", " 1", "1 ", "1a", "0x1", "18446744073709551616", "١"];
    for length in lengths {
        for kind in ["$", "=", "!", "*", "~", ">", "%", "|"] {
            let input = format!("{kind}{length}\r\n");
            assert_eq!(refused(&input), RespError::Malformed("not a length"), "{input:?}");
        }
    }
    for input in ["=-1\r\n", "!-1\r\n", "~-1\r\n", ">-1\r\n", "%-1\r\n", "|-1\r\n"] {
        assert_eq!(refused(input), RespError::Malformed("not a length"), "{input:?}");
    }
}

#[test]
fn lengths_that_are_not_known_ahead_are_refused() {
    for input in ["$?\r\n", "*?\r\n", "~?\r\n", "%?\r\n", ">?\r\n"] {
        assert_eq!(refused(input), RespError::Streamed, "{input:?}");
    }
}

#[test]
fn a_value_that_is_none_is_refused() {
    let integer = RespError::Malformed("not an integer of 64 bits");
    for input in [":\r\n", ":+\r\n", ":1.5\r\n", ":9223372036854775808\r\n", ":--1\r\n", ": 1\r\n"] {
        assert_eq!(refused(input), integer, "{input:?}");
    }
    for input in [",\r\n", ",one\r\n", ",1,5\r\n"] {
        assert_eq!(refused(input), RespError::Malformed("not a double"), "{input:?}");
    }
    for input in ["(\r\n", "(-\r\n", "(+-1\r\n", "(1.0\r\n"] {
        assert_eq!(refused(input), RespError::Malformed("not a big number"), "{input:?}");
    }
    assert_eq!(refused("#true\r\n"), RespError::Malformed("not a boolean"));
    assert_eq!(refused("_1\r\n"), RespError::Malformed("a null with a value"));
    for input in ["=3\r\ntxt\r\n", "=4\r\ntext\r\n", "=0\r\n\r\n"] {
        assert_eq!(refused(input), RespError::Malformed("a verbatim string without a format"), "{input:?}");
    }
    assert_eq!(refused("*1\r\n>0\r\n"), RespError::Malformed("a push within another reply"));
}

#[test]
fn a_line_ends_with_cr_lf_and_contains_neither() {
    let error = RespError::Malformed("a line does not end with CR LF");
    for input in ["+OK\n", "+O\rK\r\n", "+OK\r\r\n", "$1\na", ":1\n\r\n", "_\n"] {
        assert_eq!(refused(input), error, "{input:?}");
    }
    assert!(is_unfinished("+OK\r"));
}

#[test]
fn a_string_ends_where_it_was_announced_to() {
    let error = RespError::Malformed("a string does not end where it should");
    for input in ["$1\r\nab\r\n", "$1\r\na\n", "$1\r\na\r\r", "$0\r\nx", "=5\r\ntxt:ab\r\n", "!1\r\nab\r\n"] {
        assert_eq!(refused(input), error, "{input:?}");
    }
    assert!(is_unfinished("$3\r\nabc") && is_unfinished("$3\r\nabc\r"));
}

#[test]
fn a_line_that_never_ends_is_refused() {
    let roomy = Limits::default();
    for text in ["a", "\r"] {
        let line = |length| ["+", &text.repeat(length)].concat();
        for size in [1, 1000, 100_000] {
            assert_eq!(replies_in_pieces(line(65_536).as_bytes(), size, roomy), (vec![], None));
            let error = Some(RespError::Malformed("a line is too long"));
            assert_eq!(replies_in_pieces(line(65_537).as_bytes(), size, roomy), (vec![], error));
        }
    }
}

#[test]
fn nesting_is_limited_without_recursion() {
    assert!(matches!(reply("*1\r\n~1\r\n%1\r\n+a\r\n+b\r\n"), Reply::Array(_)));
    for kind in ["*", "~", "%", "|"] {
        let error = refused(["*1\r\n*1\r\n*1\r\n", kind, "0\r\n"].concat());
        assert_eq!(error, RespError::TooDeep(3));
    }
    assert_eq!(refused("|1\r\n|1\r\n|1\r\n|1\r\n"), RespError::TooDeep(3));
    let (endless, deepest) = ("*1\r\n".repeat(1_000_000), Limits { depth: u8::MAX, ..Limits::default() });
    let (_, error) = replies_in_pieces(endless.as_bytes(), 4096, deepest);
    assert_eq!(error, Some(RespError::TooDeep(255)));
    let deep = ["*1\r\n".repeat(255).as_str(), "_\r\n"].concat();
    assert_eq!(replies_in_pieces(deep.as_bytes(), 7, deepest).0.len(), 1);
}

#[test]
fn the_octets_of_one_reply_are_limited() {
    let text = |length: usize| format!("${length}\r\n{}\r\n", "a".repeat(length));
    assert!(matches!(reply(text(992)), Reply::Bulk(octets) if octets.len() == 992));
    for input in ["$993\r\n", "$18446744073709551615\r\n", &["*2\r\n", &text(900), "$82\r\n"].concat()] {
        assert_eq!(refused(input), RespError::TooManyBytes(1000), "{input:?}");
    }
    assert_eq!(refused("+".to_owned() + &"a".repeat(998) + "\r\n"), RespError::TooManyBytes(1000));
    let (all, error) = replies(text(900).repeat(5));
    assert_eq!((all.len(), error), (5, None), "each has the whole limit");
}

#[test]
fn the_values_of_one_reply_are_limited() {
    let error = RespError::TooManyElements(20);
    for input in ["*20\r\n", "%10\r\n", "|10\r\n", "*18446744073709551615\r\n", "%9223372036854775808\r\n"] {
        assert_eq!(refused(input), error, "{input:?}");
    }
    assert_eq!(refused("*2\r\n*9\r\n".to_owned() + &"_\r\n".repeat(9) + "*9\r\n"), error);
    assert_eq!(refused("*2\r\n*17\r\n".to_owned() + &"_\r\n".repeat(17) + "|0\r\n_\r\n"), error);
    assert!(matches!(reply("*19\r\n".to_owned() + &"_\r\n".repeat(19)), Reply::Array(_)));
}

#[test]
fn memory_is_taken_for_what_has_come() {
    let mut list = Vec::<u8>::new();
    for (coming, left, capacity) in [(1, usize::MAX, 4), (50, 999, 51), (60, 110, 111), (50, 50, 161)] {
        make_room(&mut list, coming, left);
        assert_eq!(list.capacity(), capacity);
        list.resize(list.len() + coming, 0);
    }
}

#[test]
fn a_string_keeps_nothing_but_its_octets() {
    let (mut decoder, text) = (Decoder::new(Limits::default()), "a".repeat(100_000));
    let input = format!("*1000\r\n${}\r\n{text}\r\n+OK\r\n", text.len());
    for mut piece in input.as_bytes().chunks(999) {
        assert_eq!(decoder.next(&mut piece), Ok(None));
    }
    let rest = "_\r\n".repeat(998);
    let Ok(Some(Reply::Array(list))) = decoder.next(&mut rest.as_bytes()) else { panic!("no array") };
    let mut strings = list.into_iter().filter_map(|value| match value {
        Reply::Bulk(octets) | Reply::Simple(octets) => Some(octets.try_into_mut().unwrap().capacity()),
        _ => None,
    });
    assert_eq!((strings.next(), strings.next(), strings.next()), (Some(100_000), Some(2), None));
}

// Each octet would be looked at half a million times if what has come was read again with each piece.
#[test]
fn a_megabyte_octet_by_octet_costs_as_much_as_at_once() {
    let (text, limits) = ("a".repeat(1_000_000), Limits::default());
    let long = format!("*2\r\n$1000000\r\n{text}\r\n%1\r\n+{0}\r\n-{0}\r\n", &text[..60_000]);
    let many = "*150000\r\n".to_owned() + &"$1\r\na\r\n".repeat(150_000);
    let nested = "*100000\r\n".to_owned() + &"*1\r\n*1\r\n:1\r\n".repeat(100_000);
    for input in [long, many, nested] {
        let whole = replies_in_pieces(input.as_bytes(), input.len(), limits);
        assert_eq!(whole.0.len(), 1);
        assert_eq!(replies_in_pieces(input.as_bytes(), 1, limits), whole);
    }
}

#[test]
fn after_an_error_nothing_more_is_read() {
    let mut decoder = Decoder::new(LIMITS);
    let mut input = &b"+a\r\n?\r\n+b\r\n"[..];
    assert!(matches!(decoder.next(&mut input), Ok(Some(Reply::Simple(_)))));
    for _ in 0..2 {
        assert_eq!(decoder.next(&mut input), Err(RespError::UnknownType(b'?')));
        assert_eq!(decoder.next(&mut &b"+c\r\n"[..]), Err(RespError::UnknownType(b'?')));
    }
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut buffer = BytesMut::new();
    encode(&mut buffer, ["PING"]);
    encode(&mut buffer, [&b"SET"[..], b"a\r\n", b"", &[0xff; 10]]);
    let expected = b"*1\r\n$4\r\nPING\r\n*4\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n$10\r\n";
    assert_eq!(buffer[..], [&expected[..], &[0xff; 10], b"\r\n"].concat());
}

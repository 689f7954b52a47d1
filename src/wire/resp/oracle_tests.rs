//! Properties: what is read and written is what `redis-protocol` writes and reads, however it is cut.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use proptest::collection::{hash_map, hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use redis_protocol::resp2::types::{OwnedFrame as Resp2, Resp2Frame};
use redis_protocol::resp3::types::{OwnedFrame as Resp3, Resp3Frame, VerbatimStringFormat};
use redis_protocol::{resp2, resp3};

use super::command::encode;
use super::decoder::{Decoder, Limits};
use super::reply::{Reply, ServerError};

type Attributes = Option<HashMap<Resp3, Resp3>>;

/// All replies of what comes in pieces of these sizes, in turn.
fn replies(mut input: &[u8], sizes: &[usize]) -> Vec<Reply> {
    let (mut decoder, mut replies) = (Decoder::new(Limits::default()), vec![]);
    for size in sizes.iter().cycle() {
        let Some(mut piece) = input.split_off(..input.len().min(*size)).filter(|piece| !piece.is_empty())
        else {
            break;
        };
        while let Some(reply) = decoder.next(&mut piece).unwrap() {
            replies.push(reply);
        }
    }
    replies
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), Just(vec![1]), vec(1_usize..40, 1..5)]
}

/// Any octets, those that mean something more often.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n$*+-:_|0123456789"[..])];
    prop_oneof![9 => vec(octet, 0..30), 1 => vec(any::<u8>(), 0..5000)]
}

fn text() -> impl Strategy<Value = String> {
    "[^\r\n]{0,20}"
}

fn resp2() -> impl Strategy<Value = Resp2> {
    let leaf = prop_oneof![
        text().prop_map(|text| Resp2::SimpleString(text.into_bytes())),
        text().prop_map(Resp2::Error),
        any::<i64>().prop_map(Resp2::Integer),
        octets().prop_map(Resp2::BulkString),
        Just(Resp2::Null),
    ];
    leaf.prop_recursive(5, 40, 8, |inner| vec(inner, 0..8).prop_map(Resp2::Array))
}

/// A value that consists of no others, with such attributes.
fn leaf(attributes: impl Strategy<Value = Attributes> + Clone + 'static) -> impl Strategy<Value = Resp3> {
    let double = proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::INFINITE;
    let format = prop_oneof![Just(VerbatimStringFormat::Text), Just(VerbatimStringFormat::Markdown)];
    let with = move || attributes.clone();
    prop_oneof![
        Just(Resp3::Null),
        (text(), with())
            .prop_map(|(text, attributes)| Resp3::SimpleString { data: text.into_bytes(), attributes }),
        (text(), with()).prop_map(|(data, attributes)| Resp3::SimpleError { data, attributes }),
        (octets(), with()).prop_map(|(data, attributes)| Resp3::BlobString { data, attributes }),
        (octets(), with()).prop_map(|(data, attributes)| Resp3::BlobError { data, attributes }),
        (any::<bool>(), with()).prop_map(|(data, attributes)| Resp3::Boolean { data, attributes }),
        (any::<i64>(), with()).prop_map(|(data, attributes)| Resp3::Number { data, attributes }),
        (double, with()).prop_map(|(data, attributes)| Resp3::Double { data, attributes }),
        ("[+-]?[0-9]{1,50}", with())
            .prop_map(|(text, attributes)| Resp3::BigNumber { data: text.into_bytes(), attributes }),
        (octets(), format, with()).prop_map(|(data, format, attributes)| Resp3::VerbatimString {
            data,
            format,
            attributes
        }),
    ]
}

fn plain() -> impl Strategy<Value = Resp3> + Clone {
    leaf(Just(None)).boxed()
}

fn attributes() -> impl Strategy<Value = Attributes> + Clone {
    option::weighted(0.1, hash_map(plain(), plain(), 1..3)).boxed()
}

/// Where `redis-protocol` wants to hash, there is no aggregate.
fn resp3() -> impl Strategy<Value = Resp3> {
    let inner = leaf(attributes()).prop_recursive(5, 40, 8, |inner| {
        let set = |set: HashSet<Resp3>, attributes| Resp3::Set { data: set, attributes };
        let keyed = hash_map(plain(), inner.clone(), 0..8);
        prop_oneof![
            (vec(inner, 0..8), attributes()).prop_map(|(data, attributes)| Resp3::Array { data, attributes }),
            (hash_set(plain(), 0..8), attributes()).prop_map(move |(data, attributes)| set(data, attributes)),
            (keyed, attributes()).prop_map(|(data, attributes)| Resp3::Map { data, attributes }),
        ]
    });
    let inner = inner.boxed();
    let push = (vec(inner.clone(), 0..5), attributes());
    prop_oneof![4 => inner, 1 => push.prop_map(|(data, attributes)| Resp3::Push { data, attributes })]
}

fn error(text: impl Into<Bytes>) -> Reply {
    Reply::Error(ServerError::new(text.into()))
}

fn of_resp2(frame: Resp2) -> Reply {
    match frame {
        Resp2::SimpleString(octets) => Reply::Simple(octets.into()),
        Resp2::Error(text) => error(text),
        Resp2::Integer(number) => Reply::Integer(number),
        Resp2::BulkString(octets) => Reply::Bulk(octets.into()),
        Resp2::Array(list) => Reply::Array(list.into_iter().map(of_resp2).collect()),
        Resp2::Null => Reply::Null,
    }
}

/// Sets and maps in the order of their hashes, in which they are encoded, too.
fn of_resp3(frame: Resp3) -> Reply {
    let all = |list: Vec<Resp3>| list.into_iter().map(of_resp3).collect();
    match frame {
        Resp3::SimpleString { data, .. } => Reply::Simple(data.into()),
        Resp3::SimpleError { data, .. } => error(data),
        Resp3::BlobError { data, .. } => error(data),
        Resp3::BlobString { data, .. } | Resp3::VerbatimString { data, .. } => Reply::Bulk(data.into()),
        Resp3::Boolean { data, .. } => Reply::Boolean(data),
        Resp3::Null => Reply::Null,
        Resp3::Number { data, .. } => Reply::Integer(data),
        Resp3::Double { data, .. } => Reply::Double(data),
        Resp3::BigNumber { data, .. } => Reply::BigNumber(data.into()),
        Resp3::Array { data, .. } => Reply::Array(all(data)),
        Resp3::Push { data, .. } => Reply::Push(all(data)),
        Resp3::Set { data, .. } => Reply::Set(data.into_iter().map(of_resp3).collect()),
        Resp3::Map { data, .. } => {
            Reply::Map(data.into_iter().map(|(key, value)| (of_resp3(key), of_resp3(value))).collect())
        }
        Resp3::Hello { .. } | Resp3::ChunkedString(_) => unreachable!("not drawn"),
    }
}

fn octets_of_resp2(frames: &[Resp2]) -> Vec<u8> {
    let encoded = |frame: &Resp2| {
        let mut octets = vec![0; frame.encode_len(false)];
        let end = resp2::encode::encode(&mut octets, frame, false).unwrap();
        octets.truncate(end);
        octets
    };
    frames.iter().flat_map(encoded).collect()
}

fn octets_of_resp3(frames: &[Resp3]) -> Vec<u8> {
    let encoded = |frame: &Resp3| {
        let mut octets = vec![0; frame.encode_len(false)];
        let end = resp3::encode::complete::encode(&mut octets, frame, false).unwrap();
        octets.truncate(end);
        octets
    };
    frames.iter().flat_map(encoded).collect()
}

proptest! {
    #[test]
    fn replies_of_resp2_are_read_as_they_were_meant(frames in vec(resp2(), 1..4), sizes in sizes()) {
        let heard = replies(&octets_of_resp2(&frames), &sizes);
        prop_assert_eq!(heard, frames.into_iter().map(of_resp2).collect::<Vec<_>>());
    }

    #[test]
    fn replies_of_resp3_are_read_as_they_were_meant(frames in vec(resp3(), 1..4), sizes in sizes()) {
        let heard = replies(&octets_of_resp3(&frames), &sizes);
        prop_assert_eq!(heard, frames.into_iter().map(of_resp3).collect::<Vec<_>>());
    }

    #[test]
    fn commands_are_read_by_others_as_they_were_meant(commands in vec(vec(octets(), 1..8), 1..4)) {
        let mut buffer = BytesMut::new();
        for parts in &commands {
            encode(&mut buffer, parts);
        }
        let mut rest = &buffer[..];
        for parts in commands {
            let (frame, length) = resp2::decode::decode(rest).unwrap().expect("it is whole");
            prop_assert_eq!(frame, Resp2::Array(parts.into_iter().map(Resp2::BulkString).collect()));
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }
}

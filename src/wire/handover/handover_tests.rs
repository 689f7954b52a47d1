//! Facts about messages, records and images: what is written is read, and what anybody else writes does no harm.

use std::fmt::Debug;

use minicbor::{Decode, Decoder, Encode, Encoder};
use proptest::prelude::*;

use super::image::{Entry, Reader, Whole, Writer};
use super::message::{Commit, Hello, Kind, Listening, Sockets, ToPredecessor, ToSuccessor, decode, encode};
use super::parked::Left;
use super::record::{Http, Monotonic, Phase, Record, WebSocket};
use super::{Damaged, FORMATS, drawn};
use crate::message::Message;
use crate::policy::epochs::Epochs;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::wire::snapshot::{Kept, Snapshot};

/// An image, as a writer of this format writes it.
fn image(write: impl FnOnce(&mut Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let mut octets = vec![];
    let mut writer = Writer::new(&mut octets, *FORMATS.end()).unwrap();
    write(&mut writer);
    let bytes = writer.end().unwrap();
    assert_eq!(bytes, octets.len() as u64);
    octets
}

/// All entries, up to the end or to what is none.
fn entries(octets: &[u8]) -> Result<Vec<Entry<'_>>, Damaged> {
    let mut reader = Reader::new(octets)?;
    std::iter::from_fn(|| reader.next_entry().transpose()).collect()
}

/// The same octets with a checksum that fits them.
fn sealed(mut octets: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&octets);
    octets.extend(checksum.to_be_bytes());
    octets
}

/// All before the end and the checksum.
fn opened(mut octets: Vec<u8>) -> Vec<u8> {
    octets.truncate(octets.len() - 9 - 4);
    octets
}

/// An entry of any kind and length, as nobody writes it here.
fn entry(kind: u8, length: u64, octets: &[u8]) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes(), octets].concat()
}

/// A map with one more field, or one less.
fn with_field(octets: &[u8], key: u32, value: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(octets);
    let fields = decoder.map().unwrap().unwrap();
    let mut encoder = Encoder::new(vec![]);
    encoder.map(fields + 1).unwrap();
    let mut longer = encoder.into_writer();
    longer.extend(&octets[decoder.position()..]);
    longer.extend(minicbor::to_vec(key).unwrap());
    longer.extend(value);
    longer
}

/// What no version has said so far: of every type, nested without end, and with lengths that are not known.
fn unknown_values() -> Vec<Vec<u8>> {
    let deep = 10_000;
    vec![
        minicbor::to_vec("text").unwrap(),
        minicbor::to_vec(u64::MAX).unwrap(),
        minicbor::to_vec(-1.5_f64).unwrap(),
        minicbor::to_vec([Some(true), None]).unwrap(),
        [vec![0x81; deep], vec![0x00]].concat(),
        [vec![0x9f; deep], vec![0xff; deep]].concat(),
        [[0xa1, 0x00].repeat(deep), vec![0x00]].concat(),
        [[0xbf, 0x00].repeat(deep), vec![0x00], vec![0xff; deep]].concat(),
        [vec![0xc1; deep], vec![0x00]].concat(),
        [&[0x5f][..], &[0x41, 0x00].repeat(deep), &[0xff]].concat(),
    ]
}

fn round_trip<M: Debug + PartialEq + Encode<()> + for<'b> Decode<'b, ()>>(message: &M) {
    assert_eq!(decode::<M>(&encode(message)).as_ref(), Ok(message));
}

proptest! {
    #[test]
    fn any_record_is_read_as_it_was_written(record in drawn::record()) {
        round_trip(&record);
    }

    #[test]
    fn any_message_is_read_as_it_was_written(
        from_successor in drawn::to_predecessor(), from_predecessor in drawn::to_successor(),
    ) {
        round_trip(&from_successor);
        round_trip(&from_predecessor);
    }

    #[test]
    fn an_image_is_read_as_it_was_written(
        records in prop::collection::vec(drawn::record(), 0..5),
        shared in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..3),
        notifications: u64,
        addresses: Vec<(u64, i64)>,
        left: Option<(i64, u64)>,
    ) {
        let left = left.map(|(at, behind)| Left { at, behind, ..Left::default() });
        let whole = Whole { notifications, addresses, ..Whole::default() };
        let octets = image(|image| {
            image.whole(&whole).unwrap();
            image.snapshot(b"history").unwrap();
            shared.iter().for_each(|piece| image.shared(piece).unwrap());
            records.iter().for_each(|record| image.connection(record).unwrap());
            left.iter().for_each(|left| image.left(left).unwrap());
        });
        let expected: Vec<Entry<'_>> = [Entry::Whole(whole.into()), Entry::Snapshot(b"history")]
            .into_iter()
            .chain(shared.iter().map(|piece| Entry::Shared(piece)))
            .chain(records.iter().map(|record| Entry::Connection(record.clone().into())))
            .chain(left.map(Entry::Left))
            .collect();
        prop_assert_eq!(entries(&octets), Ok(expected));
    }

    #[test]
    fn an_image_that_was_cut_or_changed_anywhere_is_refused(
        record in drawn::record(), at: prop::sample::Index, change in 1..=255_u8,
    ) {
        let octets = image(|image| image.connection(&record).unwrap());
        prop_assert!(entries(&octets).is_ok());
        let at = at.index(octets.len());
        prop_assert_eq!(entries(&octets[..at]), Err(Damaged));
        let mut changed = octets;
        changed[at] ^= change;
        prop_assert_eq!(entries(&changed), Err(Damaged));
    }

    #[test]
    fn octets_of_all_kinds_are_read_without_harm(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let head = opened(image(|_| {}));
        let _ = entries(&sealed([&head[..], &octets].concat()));
        let _ = decode::<Record>(&octets);
        let _ = decode::<ToPredecessor>(&octets);
        let _ = decode::<ToSuccessor>(&octets);
    }

    #[test]
    fn a_record_that_was_cut_or_changed_is_refused_or_is_another_one(
        record in drawn::record(), at: prop::sample::Index, change in 1..=255_u8,
    ) {
        let mut octets = encode(&record);
        let at = at.index(octets.len());
        prop_assert_eq!(decode::<Record>(&octets[..at]), Err(Damaged));
        octets[at] ^= change;
        if let Ok(other) = decode::<Record>(&octets) {
            round_trip(&other);
        }
        octets[at] ^= change;
        octets.push(change);
        prop_assert_eq!(decode::<Record>(&octets), Err(Damaged));
    }
}

#[test]
fn foreign_octets_and_other_formats_are_refused() {
    let octets = image(|_| {});
    for (at, with) in [(0, b'S'), (11, b'i'), (15, 0), (15, 2)] {
        let mut foreign = octets[..octets.len() - 4].to_vec();
        foreign[at] = with;
        assert_eq!(entries(&sealed(foreign)), Err(Damaged));
    }
    assert_eq!([&b""[..], b"slackwater h", &[0; 4]].map(|octets| entries(octets).is_err()), [true; 3]);
}

#[test]
fn a_length_of_any_size_reserves_nothing_and_goes_no_further_than_what_is_there() {
    let head = opened(image(|_| {}));
    for length in [1, 14, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        for kind in 0..=255 {
            let octets = sealed([&head[..], &entry(kind, length, &[])].concat());
            assert_eq!(entries(&octets), Err(Damaged), "{kind} {length}");
        }
    }
    let most = u64::MAX.to_be_bytes();
    let count = |kind: u8| [&[kind | 0x1b][..], &most].concat();
    for [array, map, bytes, text] in [[0x80, 0xa0, 0x40, 0x60].map(count)] {
        for octets in [&array, &map, &bytes, &text] {
            assert!(decode::<Record>(octets).is_err());
            assert!(decode::<ToSuccessor>(octets).is_err());
            for key in 0..20_u8 {
                let field = [&[0xa1, key][..], octets].concat();
                assert!(decode::<Record>(&field).is_err() && decode::<Whole>(&field).is_err());
                assert!(decode::<WebSocket>(&field).is_err() && decode::<Http>(&field).is_err());
            }
        }
    }
}

#[test]
fn an_image_ends_with_its_last_entry() {
    let octets = image(|image| image.shared(b"x").unwrap());
    let head = opened(octets.clone());
    assert_eq!(entries(&octets), Ok(vec![Entry::Shared(b"x")]));
    assert_eq!(entries(&sealed(head.clone())), Err(Damaged), "without an end");
    let followed = [&octets[..octets.len() - 4], &entry(3, 1, b"y")].concat();
    assert_eq!(entries(&sealed(followed)), Err(Damaged), "with something behind it");
}

#[test]
fn entries_of_a_kind_that_is_not_known_are_passed_over() {
    let head = opened(image(|image| image.shared(b"x").unwrap()));
    for kind in (0..=255).filter(|kind| !(1..=7).contains(kind)) {
        let added = [&head[..], &entry(kind, 3, b"new"), &entry(5, 0, b"")].concat();
        assert_eq!(entries(&sealed(added)), Ok(vec![Entry::Shared(b"x")]), "{kind}");
    }
}

#[test]
fn fields_that_a_later_version_has_added_are_passed_over() {
    let record = Record { filters: vec!["a".to_owned()], ..Record::of(Phase::Http(Http::default())) };
    let hello = Hello {
        oldest_format: 1,
        newest_format: 7,
        version: "9.0".to_owned(),
        pid: 1,
        most_descriptors: u64::MAX,
    };
    let listening = Listening { kind: Kind::Admin, is_shared: true, owns_file: true, slot: 0, path: None };
    let whole = Whole { notifications: 3, ..Whole::default() };
    for value in unknown_values() {
        for key in [24, 99, u32::MAX] {
            assert_eq!(decode(&with_field(&encode(&record), key, &value)), Ok(record.clone()));
            assert_eq!(decode(&with_field(&encode(&hello), key, &value)), Ok(hello.clone()));
            assert_eq!(decode(&with_field(&encode(&listening), key, &value)), Ok(listening.clone()));
            assert_eq!(decode(&with_field(&encode(&whole), key, &value)), Ok(whole.clone()));
        }
    }
    // Such a message is as long as any may be.
    let longest = with_field(&encode(&hello), 24, &minicbor::to_vec(vec![7_u8; 60_000]).unwrap());
    assert_eq!(decode(&longest), Ok(hello));
}

#[test]
fn what_a_later_version_says_besides_in_a_message_is_passed_over() {
    let said = [
        (encode(&ToPredecessor::Ready), ToPredecessor::Ready),
        (encode(&ToPredecessor::Taken { connections: 7 }), ToPredecessor::Taken { connections: 7 }),
    ];
    for (octets, message) in said {
        let mut decoder = Decoder::new(&octets);
        assert_eq!((decoder.array().unwrap(), decoder.u32().is_ok()), (Some(2), true), "{octets:02x?}");
        let fields_at = decoder.position();
        let fields = decoder.array().unwrap().unwrap();
        let mut encoder = Encoder::new(octets[..fields_at].to_vec());
        encoder.array(fields + 1).unwrap();
        let mut longer = encoder.into_writer();
        longer.extend(&octets[decoder.position()..]);
        longer.extend(minicbor::to_vec("and another thing").unwrap());
        assert_eq!(decode(&longer), Ok(message));
    }
    let unknown = [0x82, 0x18, 0x63, 0x80];
    assert_eq!(decode::<ToPredecessor>(&unknown), Err(Damaged));
    assert_eq!(decode::<ToSuccessor>(&unknown), Err(Damaged));
}

#[test]
fn what_an_earlier_version_does_not_say_yet_is_as_if_there_were_none() {
    // {0: [phase, [{}]]}: nothing but what it speaks.
    let record = |phase: u8| decode::<Record>(&[0xa1, 0x00, 0x82, phase, 0x81, 0xa0]);
    assert_eq!(record(0), Ok(Record::of(Phase::Http(Http::default()))));
    assert_eq!(record(1), Ok(Record::of(Phase::WebSocket(WebSocket::default()))));
    assert_eq!(decode(&[0xa0]), Ok(Whole::default()));
    assert_eq!(decode(&[0xa0]), Ok(Commit::default()));
    let listening = Listening { kind: Kind::Public, is_shared: false, owns_file: false, slot: 0, path: None };
    assert_eq!(decode(&[0xa1, 0x00, 0x00]), Ok(listening));
    // Without what it has to say, it says nothing.
    assert_eq!(decode::<Record>(&[0xa0]), Err(Damaged));
    assert_eq!(decode::<Sockets>(&[0xa0]), Err(Damaged));
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let octets = with_field(&with_field(&encode(&Whole::default()), 1, &[0x07]), 1, &[0x08]);
    assert_eq!(decode::<Whole>(&octets).map(|whole| whole.notifications), Ok(8));
}

#[test]
fn a_time_is_the_same_for_all_however_far_away() {
    use std::time::{Duration, Instant};

    use super::times::Moment;
    let instant = Instant::now();
    let (here, there) = (
        Moment { instant, monotonic: 5_000 },
        Moment { instant: instant + Duration::from_secs(9), monotonic: 5_000 },
    );
    for nanos in [0, 1, 4_999, 5_000, 5_001, 1 << 40, i64::MAX - 5_000] {
        let time = here.instant + Duration::from_nanos(nanos.unsigned_abs());
        assert_eq!(here.monotonic(time), 5_000 + nanos);
        assert_eq!(here.instant(5_000 + nanos), time);
        assert_eq!(there.instant(here.monotonic(time)), time + Duration::from_secs(9));
        let earlier: Monotonic = 5_000 - nanos;
        assert_eq!(here.monotonic(here.instant(earlier)), earlier);
    }
    for time in [i64::MIN, i64::MAX] {
        let _ = here.monotonic(here.instant(time));
    }
    assert_eq!(here.monotonic(instant + Duration::from_secs(u64::from(u32::MAX) * 10)), i64::MAX);
}

#[test]
fn a_history_stands_in_an_image_as_it_stands_in_a_state_file() {
    let publications = (1..=3).map(|n| {
        let id = PublicationId::new(0xbeef, n);
        let json = format!(r#"{{"type":"notification","id":"{id}","topic":"t","data":{n}}}"#);
        let message = Message::new(json.as_bytes(), id);
        Kept { topic: TopicName::parse("t").unwrap(), message, at_unix_ms: 1_000 + n.cast_signed() }
    });
    let history = Snapshot {
        epochs: Epochs::of(0xbeef),
        newest: 3,
        publications: publications.collect(),
        answers: vec![],
    };
    let image = image(|image| {
        image.whole(&Whole::default()).unwrap();
        image.history(&history).unwrap();
        image.shared(b"behind it").unwrap();
    });
    let entries = entries(&image).unwrap();
    let [_, Entry::Snapshot(octets), Entry::Shared(b"behind it")] = entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(octets, history.encode());
    assert_eq!(Snapshot::decode(octets), Ok(history));
}

#[test]
fn versions_that_give_no_reason_for_going_on_and_those_that_do_understand_each_other() {
    /// What the first version knows of it.
    #[derive(Debug, PartialEq, minicbor::Decode)]
    enum First {
        #[n(5)]
        Abort,
    }
    let (first, later) = (b"\x82\x05\x80", b"\x82\x05\x81\x64late");
    assert_eq!(decode(first), Ok(ToSuccessor::Abort { why: None }));
    assert_eq!(decode(later), Ok(ToSuccessor::abort(&"late")));
    assert_eq!(encode(&ToSuccessor::abort(&"late")), later);
    assert_eq!((decode(first), decode(later)), (Ok(First::Abort), Ok(First::Abort)));
}

#[test]
fn a_reason_is_as_long_as_a_line_takes_and_does_nothing_to_a_terminal() {
    let ToSuccessor::Abort { why: Some(why) } = ToSuccessor::abort(&"\x1b\nö".repeat(1000)) else {
        panic!()
    };
    assert_eq!(why, "ö".repeat(200));
}

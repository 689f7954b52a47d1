//! What a snapshot carries, and what is not believed of one.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const EPOCH: u32 = 0xbeef;

/// A publication as the server would have made it.
fn kept(position: Position, data: &str) -> Kept {
    kept_as(PublicationId::new(EPOCH, position), data)
}

fn kept_as(id: PublicationId, data: &str) -> Kept {
    let text = format!(r#"{{"type":"notification","id":"{id}","topic":"orders/7","data":{data}}}"#);
    Kept {
        topic: topic("orders/7"),
        message: Message::new(text.as_bytes(), id),
        at_unix_ms: 1_795_348_800_123,
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn given(name: &str, runs: &[(Position, u32)]) -> Given {
    let key = Key { name: Fingerprint::of([name.as_bytes()]), payload: Fingerprint::of([]) };
    let runs = runs.iter().map(|(first, count)| Run { first: *first, count: *count }).collect();
    let answer = Answer { positions: Positions::from_runs(runs), is_batch: true };
    Given { key, answer, at_unix_ms: -1 }
}

fn snapshot() -> Snapshot {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    Snapshot {
        epochs: Epochs::of(EPOCH),
        newest: 42,
        publications: vec![kept(41, "\"ö\""), kept(42, &deep)],
        answers: vec![given("a", &[(42, 1)]), given("b", &[(7, 30), (1, 2)])],
    }
}

/// A history of two epochs, of which the second one has cut the first one short.
fn divided() -> Snapshot {
    let mut epochs = Epochs::of(EPOCH);
    epochs.begin(EPOCH + 1, PublicationId::new(EPOCH, 41), 50).unwrap();
    let publications = [(EPOCH, 40), (EPOCH, 41), (EPOCH + 1, 1), (EPOCH + 1, 2)];
    let kept = publications.map(|(epoch, position)| kept_as(PublicationId::new(epoch, position), "1"));
    Snapshot { epochs, newest: 43, publications: kept.into(), answers: vec![given("a", &[(1, 2)])] }
}

/// Publication 1 of `orders/7`, and nothing else, with these octets for its JSON.
fn of_json(json: &[u8]) -> Vec<u8> {
    let id = PublicationId::new(EPOCH, 1);
    let kept = Kept { topic: topic("orders/7"), message: Message::new(json, id), at_unix_ms: 0 };
    Snapshot { epochs: Epochs::of(EPOCH), newest: 1, publications: vec![kept], answers: vec![] }.encode()
}

/// The octets as a version's own, with a checksum that fits.
fn sealed(version: u8, body: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(body).to_be_bytes();
    [FAMILY, &[version, b'\n'], &checksum, body].concat()
}

fn body(snapshot: &Snapshot) -> Vec<u8> {
    snapshot.encode().split_off(20)
}

/// As an earlier version wrote it: with frames instead of the JSON.
fn with_frames(snapshot: &Snapshot, frames: &[Vec<u8>]) -> Vec<u8> {
    let bare = Snapshot {
        publications: vec![],
        answers: vec![],
        epochs: snapshot.epochs.clone(),
        newest: snapshot.newest,
    };
    let mut octets = body(&bare);
    octets.truncate(12);
    octets.put_u64(frames.len() as u64);
    for (kept, frame) in snapshot.publications.iter().zip(frames) {
        octets.put_i64(kept.at_unix_ms);
        octets.put_u8(u8::try_from(kept.topic.as_str().len()).unwrap());
        octets.put_u32(u32::try_from(frame.len()).unwrap());
        octets.put_slice(kept.topic.as_str().as_bytes());
        octets.put_slice(frame);
    }
    let answers =
        Snapshot { publications: vec![], answers: snapshot.answers.iter().map(again).collect(), ..bare };
    octets.extend_from_slice(&body(&answers)[20..]);
    octets
}

fn again(given: &Given) -> Given {
    Given { key: given.key, answer: given.answer.clone(), at_unix_ms: given.at_unix_ms }
}

#[test]
fn what_was_handed_over_is_read_again_whatever_the_order_of_its_keys() {
    assert_eq!(Snapshot::decode_handed_over(&snapshot().encode()), Ok(snapshot()));
    let id = PublicationId::new(EPOCH, 1);
    let another = format!(r#"{{"id":"{id}","topic":"orders/7","type":"notification"}}"#);
    assert!(Snapshot::decode_handed_over(&of_json(another.as_bytes())).is_ok());
}

#[test]
fn what_was_handed_over_is_text_and_the_publication_of_its_id_and_topic() {
    let right = kept(1, "1").message;
    let right = str::from_utf8(right.json()).unwrap();
    assert!(Snapshot::decode_handed_over(&of_json(right.as_bytes())).is_ok());
    let wrong = [
        right.replace("-1\"", "-2\"").into_bytes(),
        right.replace("orders/7", "orders/8").into_bytes(),
        right.replace("notification", "welcome").into_bytes(),
        right.trim_end_matches('}').to_owned().into_bytes(),
        [&right.as_bytes()[..right.len() - 2], b"\"\xff\"}"].concat(),
    ];
    for json in wrong {
        assert_eq!(Snapshot::decode_handed_over(&of_json(&json)), Err(SnapshotError::Damaged));
    }
    let whole = snapshot().encode();
    for length in 0..whole.len() {
        assert!(Snapshot::decode_handed_over(&whole[..length]).is_err());
    }
}

#[test]
fn what_was_written_is_read_again() {
    assert_eq!(Snapshot::decode(&snapshot().encode()), Ok(snapshot()));
    let empty = Snapshot { epochs: Epochs::of(1), newest: 0, publications: vec![], answers: vec![] };
    assert_eq!(Snapshot::decode(&empty.encode()), Ok(empty));
    assert_eq!(Snapshot::decode(&divided().encode()), Ok(divided()));
    assert_eq!(Snapshot::decode_handed_over(&divided().encode()), Ok(divided()));
}

#[test]
fn earlier_versions_are_read_too() {
    let frames = snapshot().publications.iter().map(|kept| kept.message.frame().to_vec()).collect::<Vec<_>>();
    let framed = with_frames(&snapshot(), &frames);
    assert_eq!(Snapshot::decode(&sealed(b'2', &framed)), Ok(snapshot()));
    let without = Snapshot { answers: vec![], ..snapshot() };
    let framed = with_frames(&without, &frames);
    assert_eq!(Snapshot::decode(&sealed(b'1', &framed[..framed.len() - 8])), Ok(without));
}

#[test]
fn what_an_earlier_version_could_not_have_written_is_refused() {
    let one = Snapshot { publications: vec![kept(42, "1")], answers: vec![], ..snapshot() };
    let good = one.publications[0].message.frame();
    let decode = |frame: &[u8]| Snapshot::decode(&sealed(b'2', &with_frames(&one, &[frame.to_vec()])));
    assert!(decode(&good).is_ok());
    let (masked, binary) =
        ([&[0x81, good[1] | 0x80, 0, 0, 0, 0], &good[2..]].concat(), [b"\x82", &good[1..]].concat());
    let frames =
        [&[][..], b"anything", &good[2..], &masked, &binary, &[&good[..], &good].concat(), b"\x88\0"];
    frames.iter().for_each(|frame| assert_eq!(decode(frame), Err(SnapshotError::Damaged), "{frame:?}"));
    let version_3 = body(&snapshot());
    assert_eq!(Snapshot::decode(&sealed(b'2', &version_3)), Err(SnapshotError::Damaged));
}

#[test]
fn any_damage_is_noticed() {
    let whole = snapshot().encode();
    for end in 0..whole.len() {
        assert!(Snapshot::decode(&whole[..end]).is_err(), "cut at {end}");
    }
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        assert!(Snapshot::decode(&damaged).is_err(), "changed at {place}");
    }
    assert_eq!(Snapshot::decode(&[&whole[..], b"x"].concat()), Err(SnapshotError::Damaged));
}

#[test]
fn what_is_something_else_is_called_foreign() {
    for foreign in [&b""[..], b"{}", b"slackwater st 5\n\0\0\0\0", b"slackwater st "] {
        assert_eq!(Snapshot::decode(foreign), Err(SnapshotError::Foreign));
    }
}

#[test]
fn what_no_server_could_have_written_is_refused_in_spite_of_its_checksum() {
    let of = |topic_name: &str, octets: &[u8]| Kept {
        topic: topic(topic_name),
        message: Message::new(octets, PublicationId::new(EPOCH, 42)),
        at_unix_ms: 0,
    };
    let good = kept(42, "1");
    let octets = good.message.json();
    let publications = [
        of("orders/7", b"anything"),
        of("orders/7", &[octets, octets].concat()),
        of("orders/7", &good.message.frame()),
        of("orders/7", &[octets.strip_suffix(b"}").unwrap(), b",\"x\":\"\xff\"}"].concat()),
        of("orders/7", br#"{"type":"echo","message":"hello"}"#),
        of("another", octets),
        kept(41, "1"),
    ];
    for publication in publications {
        let hostile = Snapshot { publications: vec![publication], answers: vec![], ..snapshot() };
        assert_eq!(Snapshot::decode(&hostile.encode()), Err(SnapshotError::Damaged), "{hostile:?}");
    }
    for newest in [0, 1, u64::MAX, u64::MAX - 1, 1 << 62] {
        let hostile = Snapshot { newest, answers: vec![], ..snapshot() };
        assert_eq!(Snapshot::decode(&hostile.encode()), Err(SnapshotError::Damaged), "{newest}");
        let hostile = Snapshot {
            newest,
            publications: vec![],
            answers: vec![given("a", &[(2, 1)])],
            epochs: Epochs::of(1),
        };
        assert_eq!(Snapshot::decode(&hostile.encode()), Err(SnapshotError::Damaged), "{newest}");
    }
    let runs: [&[(u64, u32)]; 7] =
        [&[], &[(0, 1)], &[(1, 0)], &[(42, 2)], &[(u64::MAX, 1)], &[(u64::MAX, u32::MAX)], &[(1, 42); 1_000]];
    for runs in runs {
        let hostile = Snapshot { answers: vec![given("a", runs)], ..snapshot() };
        assert_eq!(Snapshot::decode(&hostile.encode()), Err(SnapshotError::Damaged), "{runs:?}");
    }
    let longer = [&body(&snapshot())[..], b"x"].concat();
    assert_eq!(Snapshot::decode(&sealed(b'3', &longer)), Err(SnapshotError::Damaged));
    let twice = Snapshot { answers: vec![given("a", &[(1, 1)]), given("a", &[(2, 1)])], ..snapshot() };
    assert_eq!(Snapshot::decode(&twice.encode()), Err(SnapshotError::Damaged));
}

#[test]
fn epochs_are_written_only_where_there_is_more_to_say_than_one_whose_positions_are_those_here() {
    assert!(snapshot().encode().starts_with(b"slackwater st 3\n"));
    let octets = divided().encode();
    let mut expected = b"slackwater st 4\n".to_vec();
    expected.extend(crc32fast::hash(&octets[20..]).to_be_bytes());
    expected.extend(b"\x02\0\0\xbe\xef\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    expected.extend(b"\0\0\xbe\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x29");
    expected.extend(b"\0\0\0\0\0\0\0\x2b\0\0\0\0\0\0\0\x04");
    assert!(octets.starts_with(&expected), "{octets:x?}");
    let single = Epochs::new(PublicationId::new(EPOCH, 0), 40);
    let shifted = Snapshot {
        epochs: single,
        newest: 42,
        publications: vec![kept(1, "1"), kept(2, "2")],
        answers: vec![],
    };
    assert!(shifted.encode().starts_with(b"slackwater st 4\n"));
    assert_eq!(Snapshot::decode(&shifted.encode()), Ok(shifted));
}

#[test]
fn epochs_and_ids_that_do_not_fit_each_other_are_refused_in_spite_of_their_checksum() {
    let id = |epoch, position| PublicationId::new(epoch, position);
    let ahead = Epochs::new(id(EPOCH, 0), 41);
    let hostile = [
        // Of the lost end of the first epoch, of the second one too early, and of what is ahead of all known epochs.
        Snapshot { publications: vec![kept_as(id(EPOCH, 42), "1")], newest: 42, ..divided() },
        Snapshot { publications: vec![kept_as(id(EPOCH + 1, 1), "1")], newest: 41, ..divided() },
        Snapshot {
            publications: vec![kept(41, "1"), kept_as(id(EPOCH, 1), "1")],
            newest: 42,
            epochs: ahead.clone(),
            ..divided()
        },
        Snapshot { publications: vec![], newest: 40, epochs: ahead, ..divided() },
        Snapshot { answers: vec![given("a", &[(2, 2)])], ..divided() },
        Snapshot { publications: vec![], newest: 1 << 62, ..divided() },
    ];
    for hostile in hostile {
        assert_eq!(Snapshot::decode(&hostile.encode()), Err(SnapshotError::Damaged), "{hostile:?}");
    }
    // Another way to write what an earlier version writes.
    let plain = [b"\x01", &EPOCH.to_be_bytes()[..], &[0; 16], &[0; 24]].concat();
    assert_eq!(Snapshot::decode(&sealed(b'4', &plain)), Err(SnapshotError::Damaged));
}

#[test]
fn a_history_holds_its_earlier_states_and_no_other() {
    let earlier = |epoch, position| {
        let (mut epochs, newest) = (Epochs::of(EPOCH), position);
        if epoch > EPOCH {
            epochs.begin(epoch, PublicationId::new(EPOCH, 41), 41).unwrap();
        }
        Snapshot { epochs, newest, publications: vec![], answers: vec![] }
    };
    let held = [(EPOCH, 3), (EPOCH, 41), (EPOCH, 42), (EPOCH + 1, 42), (EPOCH + 1, 44), (EPOCH + 2, 41)]
        .map(|(epoch, position)| divided().holds(&earlier(epoch, position)));
    assert_eq!(held, [true, true, false, true, false, false]);
}

#[test]
fn announced_lengths_reserve_no_memory() {
    let header =
        [&EPOCH.to_be_bytes()[..], &(1_u64 << 52).to_be_bytes(), &(1_u64 << 51).to_be_bytes()].concat();
    assert_eq!(Snapshot::decode(&sealed(b'3', &header)), Err(SnapshotError::Damaged));
    let mut body = body(&snapshot());
    let runs = body.len() - 2 * 12 - 4;
    body[runs..runs + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Snapshot::decode(&sealed(b'3', &body)), Err(SnapshotError::Damaged));
}

proptest! {
    /// Whatever is read can be written again as it was: nothing was guessed, and nothing panics.
    #[test]
    fn random_octets_with_a_valid_checksum_do_no_harm(version in b'3'..=b'4', octets in vec(any::<u8>(), 0..200)) {
        let octets = sealed(version, &octets);
        if let Ok(read) = Snapshot::decode(&octets) {
            prop_assert_eq!(read.encode(), octets);
        }
    }

    #[test]
    fn changed_octets_with_a_valid_checksum_do_no_harm(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        has_epochs in any::<bool>(),
    ) {
        let (version, snapshot) = if has_epochs { (b'4', divided()) } else { (b'3', snapshot()) };
        let mut octets = body(&snapshot);
        changes.iter().for_each(|(place, octet)| { *place.get_mut(&mut octets) = *octet; });
        if is_cut {
            octets.truncate(end.index(octets.len()));
        }
        let octets = sealed(version, &octets);
        if let Ok(read) = Snapshot::decode(&octets) {
            prop_assert_eq!(read.encode(), octets);
        }
    }
}

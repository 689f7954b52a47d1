//! What others have written, be it that it is no image, or one of another version.

use proptest::prelude::*;

use super::*;
use crate::wire::handover::{drawn, fixture};

#[test]
fn an_image_in_any_other_order_is_refused() {
    let mut house = House::with("");
    listen(&mut house, "");
    let (image, _) = house.pack();
    let mut all = vec![];
    let mut reader = Reader::new(&image).unwrap();
    while let Some(entry) = reader.next_entry().unwrap() {
        all.push(entry);
    }
    let write = |order: &[usize]| {
        let mut image = vec![];
        let mut writer = Writer::new(&mut image, 1).unwrap();
        for nth in order {
            match &all[*nth] {
                Entry::Whole(whole) => writer.whole(whole),
                Entry::Snapshot(octets) => writer.snapshot(octets),
                Entry::Shared(octets) => writer.shared(octets),
                Entry::Connection(record) => writer.connection(record),
                Entry::Left(left) => writer.left(left),
            }
            .unwrap();
        }
        writer.end().unwrap();
        let mut end = House::with("");
        let (now, at) = (end.now(), end.moment());
        let mut ends = 0;
        end.turn
            .take_over(&image, now, at, |_| {
                ends += 1;
                Err(io::Error::other("here it ends"))
            })
            .map_err(|why| why.to_string())
    };
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(write(&[0, 1]), Ok(None));
    let damaged = Err(Damaged.to_string());
    for order in [&[][..], &[1], &[1, 0], &[0, 0], &[0, 1, 1], &[2], &[0, 1, 0]] {
        assert_eq!(write(order), damaged, "{order:?}");
    }
}

#[test]
fn what_the_first_version_has_handed_over_is_gone_on_with_for_ever() {
    let flags = "--ws-per-message-deflate --limit-per-ip 3 --limit-messages 10 --max-connection-age 7200 --ws-ping-interval 30";
    let mut house = House::with(flags);
    assert!(house.take_over(fixture::FIRST));
    assert_eq!(house.clients.len(), fixture::records().len());
    assert_eq!((house.turn.clients(), house.turn.order.counted(0)), (10, Some((0, 0))));
    let get = format!("GET /healthz HTTP/1.1\r\n{LOCAL}\r\n");
    let with_skipped = format!("12345{get}");
    let says: [(usize, &[u8], &str); 6] = [
        (0, get.as_bytes(), "HTTP/1.1 200 "),
        (1, b"st: localhost\r\n\r\n", "HTTP/1.1 200 "),
        (2, with_skipped.as_bytes(), "HTTP/1.1 200 "),
        (5, &[0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2], "Server received: hi"),
        (6, &[b'l' ^ 1, b'o' ^ 2], "Server received: hello"),
        (7, &[b'g', 0x80, 0x84, 0, 0, 0, 0, 0xc9, 0xc9, 0x07, 0x00], "Server received: Hello"),
    ];
    for (who, octets, answer) in says {
        house.say(who, octets);
        assert!(house.told(who).contains(answer), "{who}: {}", house.told(who));
    }
    assert!(house.told(7).starts_with("\u{fffd}\u{4}ping"));
    house.take(9, usize::MAX);
    house.run_for(SECOND);
    assert_eq!(house.clients[9].borrow().taken, b"hared\x81\x03own\x8a\x00");
    assert!(house.told(11).contains("Server received: "), "what was unheard is heard");
    publish(&mut house, "b/c", "to all");
    for who in 4..14 {
        assert_eq!(house.told(who).matches("to all").count(), 1, "{who}: {}", house.told(who));
    }
    house.run_for(9 * SECOND);
    assert!(house.has_ended(13) && !house.has_ended(12));
    house.run_for(35 * SECOND);
    assert!(house.has_ended(8), "it has not answered its ping");
}

proptest! {
    #[test]
    fn whatever_stands_in_an_image_is_refused_or_gone_on_with_without_harm(
        records in prop::collection::vec(drawn::record(), 1..4),
        shared in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..3),
        said in prop::collection::vec(any::<u8>(), 0..40),
        notifications: u64,
        begun: u64,
        next_notification: Option<i64>,
        addresses: Vec<(u64, i64)>,
    ) {
        let mut image = vec![];
        let mut writer = Writer::new(&mut image, 1).unwrap();
        writer.whole(&Whole { notifications, begun: Some(begun), next_notification, addresses, counted: None }).unwrap();
        shared.iter().for_each(|piece| writer.shared(piece).unwrap());
        records.iter().for_each(|record| writer.connection(record).unwrap());
        writer.end().unwrap();
        let mut house = House::with(
            "--limit-per-ip 3 --limit-connect-rate 1 --limit-messages 10 --max-connection-age 1000 --ws-ping-interval 10",
        );
        house.turn.notify_every(Some(SECOND));
        if !house.take_over(&image) {
            return Ok(());
        }
        for who in 0..house.clients.len() {
            house.say(who, &said);
        }
        house.run_for(3 * SECOND);
        let _ = house.pack();
    }
}

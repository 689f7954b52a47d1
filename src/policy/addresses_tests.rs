//! How many connections one address may have, and what is remembered of a million.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> Address {
    Address::from(text.parse::<IpAddr>().unwrap())
}

fn nth(n: u32) -> Address {
    Address::from(IpAddr::V4(Ipv4Addr::from_bits(n)))
}

fn open(most: u32) -> Addresses {
    Addresses::new(AddressLimits { open: Some(most), rate: None })
}

fn at_rate(per_second: f64, burst: f64) -> Addresses {
    Addresses::new(AddressLimits { open: None, rate: Some(Rate::new(per_second, burst)) })
}

#[test]
fn a_network_of_ipv6_counts_as_one_address_and_so_does_each_of_ipv4_however_written() {
    let same = [
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1", "fe80::2"),
    ];
    for (one, other) in same {
        assert_eq!(address(one), address(other));
    }
    let shown = ["2001:db8:1:2::3", "2001:db8:1:3::3", "192.0.2.1", "192.0.2.2", "0.0.0.0", "::1"];
    let shown: Vec<String> = shown.iter().map(|text| address(text).to_string()).collect();
    let expected = ["2001:db8:1:2::/64", "2001:db8:1:3::/64", "192.0.2.1", "192.0.2.2", "0.0.0.0", "::1"];
    assert_eq!(shown, expected);
}

#[test]
fn one_more_than_the_limit_is_refused_until_one_ends_and_others_do_not_notice() {
    let (mut addresses, now) = (open(2), Instant::now());
    let (one, other) = (nth(1), nth(2));
    assert_eq!([(); 3].map(|()| addresses.open(one, now)), [Ok(()), Ok(()), Err(TooMany::Refused)]);
    assert_eq!(addresses.retry_after(one, now), UNTIL_ONE_ENDS);
    assert_eq!(addresses.open(other, now), Ok(()));
    addresses.close_refused(one, now);
    assert_eq!(addresses.open(one, now), Err(TooMany::Refused));
    addresses.close(one, now);
    assert_eq!(addresses.open(one, now), Ok(()));
}

#[test]
fn only_so_many_wait_to_be_told_and_the_rest_is_dropped() {
    let (mut addresses, now, one) = (open(1), Instant::now(), nth(1));
    assert_eq!(addresses.open(one, now), Ok(()));
    (0..MOST_REFUSED).for_each(|_| assert_eq!(addresses.open(one, now), Err(TooMany::Refused)));
    assert_eq!(addresses.open(one, now), Err(TooMany::Dropped));
    addresses.close_refused(one, now);
    assert_eq!(addresses.open(one, now), Err(TooMany::Refused));
}

#[test]
fn new_connections_are_limited_however_short_they_are_and_kept_ones_are_not() {
    let (mut addresses, now, one) = (at_rate(1.0, 3.0), Instant::now(), nth(1));
    for _ in 0..3 {
        assert_eq!(addresses.open(one, now), Ok(()));
        addresses.close(one, now);
    }
    assert_eq!(addresses.open(one, now), Err(TooMany::Refused));
    addresses.close_refused(one, now);
    assert_eq!(addresses.retry_after(one, now), SECOND);
    assert_eq!(addresses.reopen(one, now), Ok(()));
    assert_eq!(addresses.open(one, now + SECOND), Ok(()));
}

#[test]
fn an_address_without_connections_is_forgotten_when_its_bucket_is_full_again() {
    let (mut addresses, now) = (at_rate(0.5, 10.0), Instant::now());
    addresses.open(nth(1), now).unwrap();
    assert_eq!(addresses.next_deadline(), None);
    addresses.close(nth(1), now);
    addresses.open(nth(2), now).unwrap();
    assert_eq!(addresses.next_deadline(), Some(now + 2 * SECOND));
    addresses.forget(now + 2 * SECOND - Duration::from_nanos(1));
    assert_eq!(addresses.known.len(), 2);
    addresses.forget(now + 2 * SECOND);
    assert_eq!((addresses.known.len(), addresses.next_deadline()), (1, None));
    addresses.close(nth(2), now + 2 * SECOND);
    assert_eq!(addresses.known.len(), 0);
}

#[test]
fn who_comes_back_while_remembered_is_not_forgotten_with_a_connection() {
    let (mut addresses, now) = (at_rate(1.0, 10.0), Instant::now());
    addresses.open(nth(1), now).unwrap();
    addresses.close(nth(1), now);
    addresses.open(nth(1), now).unwrap();
    addresses.forget(now + 9 * SECOND);
    assert_eq!((addresses.known.len(), addresses.left.len()), (1, 0));
    addresses.close(nth(1), now + 9 * SECOND);
    assert_eq!(addresses.known.len(), 0);
}

/// Bytes that are reserved for what is remembered: hashbrown has eight places for seven entries, a byte more for each.
fn reserved_bytes(addresses: &Addresses) -> usize {
    let places = addresses.known.capacity() * 8 / 7;
    places * (size_of::<(Address, Known)>() + 1) + addresses.left.capacity() * size_of::<Address>()
}

#[test]
fn a_million_addresses_within_a_second_take_little_memory_and_later_none() {
    let (mut addresses, start) = (at_rate(0.1, 10.0), Instant::now());
    let mut most = 0;
    for n in 0..1_000_000 {
        let now = start + SECOND * n / 1_000_000;
        assert_eq!(addresses.open(nth(n), now), Ok(()));
        addresses.close(nth(n), now);
        most = most.max(reserved_bytes(&addresses));
    }
    assert!(addresses.left.len() <= MOST_LEFT + 1 && most < 12_000_000, "{most} bytes");
    let mut steps = 0;
    let mut now = start;
    while let Some(at) = addresses.next_deadline() {
        (now, steps) = (now.max(at), steps + 1);
        addresses.forget(now);
    }
    assert_eq!((now, addresses.known.len()), (start + 11 * SECOND - SECOND / 1_000_000, 0));
    assert!(steps < MOST_LEFT + 2 && reserved_bytes(&addresses) < 100_000, "{}", reserved_bytes(&addresses));
}

#[test]
fn a_million_addresses_with_one_limit_on_open_connections_leave_nothing() {
    let (mut addresses, now) = (open(3), Instant::now());
    for n in 0..1_000_000 {
        addresses.open(nth(n), now).unwrap();
        addresses.close(nth(n), now);
    }
    assert_eq!(addresses.known.len(), 0);
    assert!(reserved_bytes(&addresses) < 1000);
}

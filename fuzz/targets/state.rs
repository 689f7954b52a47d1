//! State files: whatever is in one, reading it takes little memory, and what is read can be written again as it was.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use slackwater::wire::publish::MAX_PUBLICATIONS;
use slackwater::wire::snapshot::Snapshot;
use slackwater_fuzz::within;

/// Where the checksum is, and where begins what it is of.
const CHECKSUM: usize = 16;
const BODY: usize = 20;

fuzz_target!(|input: &[u8]| {
    for octets in [input, &sealed(input)] {
        let Ok(snapshot) = within(64 * 1024 + 32 * octets.len(), || Snapshot::decode(octets)) else {
            continue;
        };
        check(&snapshot);
        let written = snapshot.encode();
        if written[..CHECKSUM] == octets[..CHECKSUM] {
            assert_eq!(written, octets);
        } else {
            // An earlier version.
            assert_eq!(Snapshot::decode(&written), Ok(snapshot));
        }
    }
});

/// With a checksum that fits, which no change to the octets would hit.
fn sealed(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some((head, body)) = octets.split_at_mut_checked(BODY) {
        head[CHECKSUM..].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
    }
    octets
}

/// It is what a server could have left.
fn check(snapshot: &Snapshot) {
    let Snapshot { newest, publications, answers, .. } = snapshot;
    assert!(publications.len() as u64 <= *newest);
    let newest_in_epoch = snapshot.newest_id().position();
    for given in answers {
        let positions = &given.answer.positions;
        assert!((1..=MAX_PUBLICATIONS).contains(&positions.iter().count()));
        assert!(positions.iter().all(|position| (1..=newest_in_epoch).contains(&position)));
    }
    let names: HashSet<_> = answers.iter().map(|given| given.key.name).collect();
    assert_eq!(names.len(), answers.len());
}

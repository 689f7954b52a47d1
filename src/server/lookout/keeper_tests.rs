//! A file of keys in a folder of the tests' own, with the time made up.

use std::fs;
use std::time::Duration;

use super::*;
use crate::server::clock::Now;

const EC: &str = include_str!("../../../tests/keys/ec.pub.pem");
const JWKS: &str = include_str!("../../../tests/keys/jwks.json");

const FLAG: &str = "--auth-key-file";

#[test]
fn what_a_file_held_is_kept_until_it_holds_something_else_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let mut config = Config::read(["slackwater".into()]).unwrap();
    config.auth.auth_key_file = Some(path.clone());
    let mut now = Now::read().instant;
    fs::write(&path, EC).unwrap();
    let mut keeper = Keeper::begin(&config, LastGood::default(), now);
    for (text, held) in [(EC, EC), ("nothing of this kind", EC), (JWKS, JWKS), ("", JWKS), (EC, EC)] {
        fs::write(&path, text).unwrap();
        let before = keeper.last_good().clone();
        keeper.look(now + LOOK_INTERVAL - Duration::from_millis(1));
        assert!(*keeper.last_good() == before, "it is not time yet");
        now += LOOK_INTERVAL;
        assert_eq!(keeper.next_look(), Some(now));
        keeper.look(now);
        assert_eq!(keeper.last_good().of(FLAG), Some(held.as_bytes()));
    }
}

#[test]
fn where_no_files_are_named_nothing_is_looked_at() {
    let config = Config::read(["slackwater".into()]).unwrap();
    let keeper = Keeper::begin(&config, LastGood::default(), Now::read().instant);
    assert!(keeper.next_look().is_none() && keeper.last_good().is_empty());
}

#[test]
fn what_is_told_is_heard_however_long_it_is_and_nothing_else_is() {
    let mut last_good = LastGood::default();
    for flag in ["--a", "--b", "--c"] {
        last_good.keep(flag, &vec![7; 256 * 1024]);
    }
    assert!(hear(tell(&last_good).unwrap()).unwrap() == last_good);
    let (_channel, silent) = Channel::pair().unwrap();
    assert_eq!(hear(silent).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (channel, theirs) = Channel::pair().unwrap();
    channel.send(&9_u64, &[]).unwrap();
    assert_eq!(hear(theirs).unwrap_err().kind(), ErrorKind::InvalidData);
}

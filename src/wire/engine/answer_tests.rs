//! What is said of answers that are none, whoever gave them.

use super::*;
use crate::wire::resp::decoder::{Decoder, Limits};

fn reply(octets: &str) -> Reply {
    let decoded = Decoder::new(Limits::default()).next(&mut octets.as_bytes());
    decoded.expect("RESP").unwrap_or_else(|| panic!("not whole: {octets:?}"))
}

/// What each reader of answers says of this one.
fn faults(octets: &str) -> Vec<Fault> {
    let reply = reply(octets);
    let faults = [
        greeting(&reply).err(),
        master(&reply).err(),
        begun(&reply).err(),
        beaten(&reply).err(),
        id(&reply).err(),
        replicas(&reply).err(),
        done(&reply).err(),
    ];
    faults.into_iter().flatten().collect()
}

#[test]
fn of_what_may_be_an_echo_only_the_kind_is_said() {
    let hello = "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$6\r\nsecret\r\n";
    for (octets, kind) in [
        (hello, "an array of 5"),
        ("*2\r\n$6\r\nsecret\r\n$6\r\nsecret\r\n", "an array of 2"),
        ("*3\r\n:7\r\n$6\r\nsecret\r\n$6\r\nsecret\r\n", ""),
        ("$6\r\nsecret\r\n", "a string of 6 bytes"),
        ("=10\r\ntxt:secret\r\n", "a string of 6 bytes"),
        ("~1\r\n$6\r\nsecret\r\n", "a set of 1"),
        ("%1\r\n$6\r\nsecret\r\n$6\r\nsecret\r\n", ""),
        ("(123456\r\n", "a number"),
    ] {
        let faults = faults(octets);
        assert!(faults.len() > 4, "{octets}");
        for fault in faults {
            let told = format!("{fault} {fault:?}");
            assert!(!told.contains("secret") && !told.contains("123456") && told.contains(kind), "{told}");
        }
    }
}

#[test]
fn a_simple_string_and_an_error_are_shown_and_an_error_without_where_in_a_script_it_was() {
    for fault in faults("+PONG\r\n") {
        assert!(fault.to_string().ends_with(r#", but the simple string "PONG""#), "{fault}");
    }
    let full = "OOM command not allowed when used memory > 'maxmemory'.";
    let tail = " script: 78ccaf78, on @user_script:9.";
    let refused = Fault::Refused(full.to_owned());
    assert_eq!(faults(&format!("-{full}{tail}\r\n")), vec![refused; 7]);
    let other = Fault::Refused("ERR no such script: a".to_owned());
    assert_eq!(faults("-ERR no such script: a\r\n"), vec![other; 7]);
}

#[test]
fn a_first_try_that_is_refused_says_why() {
    for words in [
        "ERR max number of clients reached",
        "DENIED Redis is running in protected mode because protected mode is enabled",
    ] {
        assert_eq!(greeting(&reply(&format!("-{words}\r\n"))), Err(Fault::Refused(words.to_owned())));
    }
    let unknown = greeting(&reply("-ERR unknown command 'HELLO', with args beginning with: 'secret'\r\n"));
    assert!(matches!(unknown, Err(Fault::TooOld { .. })), "{unknown:?}");
}

#[test]
fn a_stream_with_ids_that_no_machine_gives_is_what_is_wrong_and_not_what_it_answers() {
    let foreign = |id: &str| Err(Fault::Foreign(id.to_owned()));
    for octets in [
        "$15\r\n1795748393123-0\r\n",
        "-ERR the stream holds ids that no machine has given: 1795748393123-0\r\n",
    ] {
        assert_eq!(id(&reply(octets)), foreign("1795748393123-0"));
    }
    let told = Fault::Foreign("1795748393123-0".to_owned()).to_string();
    assert!(told.starts_with("its stream holds 1795748393123-0, an id that no machine gives"), "{told}");
    assert!(matches!(id(&reply("$6\r\nsecret\r\n")), Err(Fault::Garbled(_))));
}

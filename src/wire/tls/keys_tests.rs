//! The example of RFC 8448 §3, and what the suites have in common.

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// What a client encrypts with, and a server decrypts.
fn example() -> (&'static Suite, Keys) {
    let traffic_secret = octets("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    let suite = Suite::of(0x1301).unwrap();
    (suite, Keys::of(suite, secret(&traffic_secret).unwrap()))
}

#[test]
fn keys_are_derived_as_in_the_example_of_the_standard() {
    let (suite, keys) = example();
    assert_eq!(keys.key[..suite.aead.key_len()], octets("17422dda596ed5d9acd890e3c63f5051"));
    assert_eq!(keys.iv[..], octets("5b78923dee08579033e523d9"));
}

#[test]
fn a_record_is_encrypted_as_in_the_example_of_the_standard() {
    let ((suite, mut keys), mut out) = (example(), BytesMut::new());
    let content: Vec<u8> = (0..50).collect();
    let cipher = keys.cipher(suite);
    keys.seal(suite, &cipher, APPLICATION_DATA, 50, &mut out, |out| out.put_slice(&content)).unwrap();
    let record = octets(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f
         5a6292a2977014bd1e3deae63aeebb21694915e4",
    );
    assert_eq!(out, record);
}

#[test]
fn no_number_is_used_twice() {
    let ((suite, mut keys), mut out) = (example(), BytesMut::new());
    let cipher = keys.cipher(suite);
    keys.seq = u64::MAX;
    assert_eq!(keys.seal(suite, &cipher, APPLICATION_DATA, 0, &mut out, |_| {}), Err(UsedUp));
    assert_eq!(out, b""[..]);
    assert!(keys.open(suite, &cipher, &mut [0; 100]).is_err());
}

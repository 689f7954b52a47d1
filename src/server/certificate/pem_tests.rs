//! Files as OpenSSL writes them, whole and damaged, and what is none.

use pkcs8::der::Encode;
use pkcs8::pkcs5::EncryptionScheme;

use super::*;

const EC: &str = include_str!("../../../tests/keys/ec.pem");
const RSA: &str = include_str!("../../../tests/keys/rsa.pem");
const PUBLIC: &str = include_str!("../../../tests/keys/ec.pub.pem");
const SEC1: &str = include_str!("../../../tests/keys/ec.sec1.pem");
const PKCS1: &str = include_str!("../../../tests/keys/rsa.pkcs1.pem");
const ENCRYPTED: &str = include_str!("../../../tests/keys/ec.encrypted.pem");
const SCRYPT: &str = include_str!("../../../tests/keys/ec.scrypt.pem");
const TRIPLE_DES: &str = include_str!("../../../tests/keys/ec.3des.pem");
const PBES1: &str = include_str!("../../../tests/keys/ec.pbes1.pem");
const FORMERLY: &str = include_str!("../../../tests/keys/ec.formerly.pem");

/// Of all that are encrypted.
const PASSWORD: &[u8] = b"sesame";

fn key(text: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
    private_key(text.as_bytes(), None).map(|(key, _)| key)
}

fn section(tag: &str, der: &[u8]) -> String {
    pem::encode(&Pem::new(tag, der))
}

#[test]
fn a_key_is_read_as_it_is_written_whatever_stands_around_it() {
    let parameters = section("EC PARAMETERS", b"\x06\x08");
    let around = format!("Bag Attributes\n  friendlyName: x\n{parameters}\nand\n{EC}\nbehind it");
    assert_eq!(key(&around), key(EC));
    assert!(matches!(key(EC), Ok(PrivateKeyDer::Pkcs8(_))));
    assert!(matches!(key(SEC1), Ok(PrivateKeyDer::Sec1(_))));
    assert!(matches!(key(PKCS1), Ok(PrivateKeyDer::Pkcs1(_))));
    assert_eq!(key(&EC.replace('\n', "\r\n")), key(EC));
}

#[test]
fn an_encrypted_key_is_read_by_its_password() {
    for encrypted in [ENCRYPTED, SCRYPT] {
        let read = |password| private_key(encrypted.as_bytes(), password);
        assert_eq!(read(Some(PASSWORD)), Ok((key(EC).unwrap(), Protection::Password)));
        assert_eq!(read(None), Err(Flaw::NoPassword));
    }
    assert_eq!(private_key(EC.as_bytes(), Some(PASSWORD)), Ok((key(EC).unwrap(), Protection::None)));
}

#[test]
fn a_wrong_password_is_told_from_a_key_that_is_of_no_known_kind() {
    // One in 256 leaves octets that end as they should.
    for nth in 0..600 {
        let wrong = private_key(ENCRYPTED.as_bytes(), Some(format!("wrong {nth}").as_bytes()));
        assert_eq!(wrong, Err(Flaw::WrongPassword), "{nth}");
    }
}

/// An encrypted key with these costs instead of its own.
fn costing(text: &str, change: impl FnOnce(&mut Kdf<'_>)) -> String {
    let file = pem::parse(text).unwrap();
    let mut key = EncryptedPrivateKeyInfo::try_from(file.contents()).unwrap();
    let EncryptionScheme::Pbes2(scheme) = &mut key.encryption_algorithm else { panic!("PBES2") };
    change(&mut scheme.kdf);
    section("ENCRYPTED PRIVATE KEY", &key.to_der().unwrap())
}

#[test]
fn a_key_that_takes_too_long_to_decrypt_is_refused_before_with_how_to_write_it_anew() {
    let iterating = |count: u32| {
        costing(ENCRYPTED, |kdf| {
            let Kdf::Pbkdf2(params) = kdf else { panic!("PBKDF2") };
            params.iteration_count = count;
        })
    };
    let filling = |n: u64, r: u16, p: u16| {
        costing(SCRYPT, |kdf| {
            let Kdf::Scrypt(params) = kdf else { panic!("scrypt") };
            (params.cost_parameter, params.block_size, params.parallelization) = (n, r, p);
        })
    };
    let decrypted = |text: &str| private_key(text.as_bytes(), Some(PASSWORD)).map(|(key, _)| key);
    // Another number of iterations makes another key of the password.
    assert_eq!(decrypted(&iterating(1_000)), Err(Flaw::WrongPassword));
    assert_eq!(decrypted(&filling(0, 8, 1)), Err(Flaw::UnknownEncryption));
    for (text, number) in [
        (iterating(1_000_001), 1_000_001),
        (iterating(u32::MAX), u32::MAX.into()),
        (filling(1 << 17, 8, 2), 1 << 21),
        (filling(1 << 63, 8, 2), u64::MAX),
    ] {
        let flaw = decrypted(&text).unwrap_err();
        assert!(matches!(flaw, Flaw::Costly { given, .. } if given == number), "{flaw}");
        assert!(flaw.to_string().contains("openssl pkcs8 -topk8"), "{flaw}");
    }
}

#[test]
fn a_key_that_is_encrypted_in_another_way_is_refused_with_how_to_write_it_anew() {
    for (text, flaw) in [
        (FORMERLY, Flaw::FormerEncryption),
        (PBES1, Flaw::UnknownEncryption),
        (TRIPLE_DES, Flaw::UnknownEncryption),
    ] {
        assert_eq!(private_key(text.as_bytes(), Some(PASSWORD)), Err(flaw));
        assert!(flaw.to_string().contains("openssl pkcs8 -topk8"), "{flaw}");
    }
}

#[test]
fn a_file_has_one_private_key() {
    for (text, flaw) in [
        ("", Flaw::Empty),
        (" \n", Flaw::Empty),
        (PUBLIC, Flaw::PublicKey),
        (&section("CERTIFICATE", b"x"), Flaw::NoKey),
        (&section("DSA PRIVATE KEY", b"x"), Flaw::NoKey),
        (&section("OPENSSH PRIVATE KEY", b"x"), Flaw::OpenSsh),
        (&format!("{EC}{RSA}"), Flaw::SeveralKeys),
        (&format!("{EC}{ENCRYPTED}"), Flaw::SeveralKeys),
        ("0\u{82}", Flaw::NotPem),
        (&EC[..EC.len() / 2], Flaw::Damaged),
        (&EC.replacen("-----END PRIVATE", "-----END", 1), Flaw::Damaged),
        (&EC.replacen('M', "\u{fc}", 1), Flaw::Damaged),
    ] {
        assert_eq!(key(text), Err(flaw), "{text}");
    }
}

#[test]
fn a_chain_is_all_certificates_of_a_file_in_their_order() {
    let [first, second] = ["1", "2"].map(|der| section("CERTIFICATE", der.as_bytes()));
    let file = format!("subject=/CN=a\n{first}{EC}\nissuer=/CN=b\n{second}");
    let octets =
        |file: &str| chain(file.as_bytes()).map(|chain| chain.iter().map(|der| der.to_vec()).collect());
    assert_eq!(octets(&file), Ok(vec![b"1".to_vec(), b"2".to_vec()]));
    for (text, flaw) in [
        ("", Flaw::Empty),
        (EC, Flaw::NoCertificate),
        (&section("CERTIFICATE REQUEST", b"x"), Flaw::Request),
        (&file[..file.len() - 10], Flaw::Damaged),
        ("0\u{82}", Flaw::NotPem),
    ] {
        assert_eq!(octets(text), Err(flaw), "{text}");
    }
}

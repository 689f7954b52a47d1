//! What is read of certificates that rcgen makes.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::*;

fn about(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> About {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 11));
    change(&mut params);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    About::of(&[certificate.der().clone()])
}

#[test]
fn it_tells_for_whom_it_is_and_until_when() {
    let told = |names: &[&str]| about(names, |_| {}).to_string();
    assert_eq!(told(&["a.example"]), ", for a.example, valid until 2026-04-11T00:00:00Z");
    assert!(
        told(&["*.a.example", "192.0.2.1", "::1"]).starts_with(", for *.a.example, 192.0.2.1, ::1, valid")
    );
    assert!(told(&["a", "b", "c", "d", "e", "f"]).starts_with(", for a, b, c, d and 2 more, valid"));
    let common = about(&[], |params| params.distinguished_name.push(DnType::CommonName, "a\u{1b}[1m"));
    assert!(common.to_string().starts_with(", for a\\u{1b}[1m, valid"), "{common}");
}

#[test]
fn it_is_late_for_the_last_tenth_of_its_time() {
    let about = about(&["a"], |_| {});
    let [from, until] = ["2026-01-01T00:00:00Z", "2026-04-11T00:00:00Z"].map(|at| at.parse().unwrap());
    for (now, standing) in [
        ("2025-12-31T23:59:59Z", Standing::Early(from)),
        ("2026-01-01T00:00:00Z", Standing::Good),
        ("2026-03-31T23:59:59Z", Standing::Good),
        ("2026-04-01T00:00:00Z", Standing::Late(until)),
        ("2026-04-11T00:00:00Z", Standing::Over(until)),
        ("2036-04-11T00:00:00Z", Standing::Over(until)),
    ] {
        assert_eq!(about.standing(now.parse().unwrap()), standing, "{now}");
        assert_eq!(standing.warning("c.pem").is_none(), standing == Standing::Good);
    }
    assert_eq!(about.not_after(), Some(until));
}

#[test]
fn nothing_is_told_of_what_cannot_be_read() {
    let unread = About::of(&[b"0\x82".to_vec().into()]);
    assert_eq!((unread.to_string(), unread.not_after()), (String::new(), None));
    assert_eq!(unread.standing(Timestamp::MAX), Standing::Good);
    let endless = about(&["a"], |params| params.not_after = date_time_ymd(9999, 12, 31));
    assert_eq!(endless.standing("9000-01-01T00:00:00Z".parse().unwrap()), Standing::Good);
}

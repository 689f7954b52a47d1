//! Tests of `url`: what is an engine's URL and what it means, what is none, and that nothing of it shows a password.

use proptest::prelude::*;

use super::*;

/// What is shown of it, the user, the password and the address.
fn read(text: &str) -> (String, Option<String>, Option<String>, EngineAddress) {
    let url = EngineUrl::read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let password = url.password.as_ref().map(|password| password.reveal().to_owned());
    (url.to_string(), url.user, password, url.at)
}

fn tcp(host: &str, port: u16) -> EngineAddress {
    EngineAddress::Tcp { host: host.to_owned(), port }
}

#[test]
fn a_host_has_a_port_and_a_database_or_those_that_are_meant_without() {
    for (text, shown, at) in [
        ("redis://valkey", "redis://valkey:6379/0", tcp("valkey", 6379)),
        ("REDIS://valkey/", "redis://valkey:6379/0", tcp("valkey", 6379)),
        ("valkey://valkey:7000/3", "redis://valkey:7000/3", tcp("valkey", 7000)),
        ("redis://127.0.0.1:1/2147483646", "redis://127.0.0.1:1/2147483646", tcp("127.0.0.1", 1)),
        ("redis://[::1]", "redis://[::1]:6379/0", tcp("::1", 6379)),
        ("redis://[2001:db8::1]:7000?db=4", "redis://[2001:db8::1]:7000/4", tcp("2001:db8::1", 7000)),
        (
            "redis://a.b.svc.cluster.local./1",
            "redis://a.b.svc.cluster.local.:6379/1",
            tcp("a.b.svc.cluster.local.", 6379),
        ),
        ("redis://h?", "redis://h:6379/0", tcp("h", 6379)),
    ] {
        assert_eq!(read(text), (shown.to_owned(), None, None, at), "{text}");
    }
}

#[test]
fn a_unix_socket_has_a_path_and_sentinels_have_a_name() {
    let unix = |path: &str| EngineAddress::Unix(PathBuf::from(path));
    for text in [
        "unix:///run/a@b c.sock?db=2",
        "redis+unix:///run/a@b%20c.sock?db=2",
        "redis+socket:///run/a%40b c.sock?db=2",
    ] {
        let text = text.replace(' ', "%20");
        assert_eq!(
            read(&text),
            ("unix:///run/a@b c.sock?db=2".to_owned(), None, None, unix("/run/a@b c.sock"))
        );
    }
    let (shown, user, password, at) = read("redis+unix://u:p@/x");
    assert_eq!(
        (&*shown, user.as_deref(), password.as_deref(), at),
        ("unix:///x?db=0", Some("u"), Some("p"), unix("/x"))
    );
    let sentinels = |of: &[(&str, u16)]| EngineAddress::Sentinel {
        sentinels: of.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect(),
        name: "my-master".to_owned(),
    };
    for (text, shown, at) in [
        ("redis+sentinel://a/my-master", "redis+sentinel://a:26379/my-master/0", sentinels(&[("a", 26379)])),
        (
            "valkey+sentinel://u:p@a:1,b,[::1]:2/my-master/5",
            "redis+sentinel://a:1,b:26379,[::1]:2/my-master/5",
            sentinels(&[("a", 1), ("b", 26379), ("::1", 2)]),
        ),
    ] {
        let (as_shown, _, _, as_read) = read(text);
        assert_eq!((&*as_shown, as_read), (shown, at));
    }
}

#[test]
#[cfg(feature = "tls")]
fn with_an_s_there_is_tls_to_the_engine_and_to_sentinels() {
    for (text, shown) in [
        ("rediss://:p@h", "rediss://h:6379/0"),
        ("valkeys://[::1]:7000/3", "rediss://[::1]:7000/3"),
        ("Rediss+Sentinel://a,b:1/n", "rediss+sentinel://a:26379,b:1/n/0"),
        ("valkeys+sentinel://a/n", "rediss+sentinel://a:26379/n/0"),
    ] {
        let url = EngineUrl::read(text).unwrap();
        assert_eq!((&*url.to_string(), url.encryption), (shown, Encryption::Tls));
    }
    assert_eq!(EngineUrl::read("redis://h").unwrap().encryption, Encryption::None);
}

#[test]
#[cfg(not(feature = "tls"))]
fn a_program_without_tls_refuses_an_engine_with_it() {
    for text in ["rediss://h", "valkeys+sentinel://h/n"] {
        let refused = EngineUrl::read(text).expect_err(text);
        assert!(refused.contains("built without TLS") && refused.contains("stunnel or Envoy"), "{refused}");
    }
}

#[test]
fn a_user_and_a_password_stand_in_front_and_are_percent_encoded() {
    for (login, user, password) in [
        ("u:p@", Some("u"), Some("p")),
        (":p@", None, Some("p")),
        ("u@", Some("u"), None),
        ("@", None, None),
        ("a%40b:%2F%3f%23%25%20@", Some("a@b"), Some("/?#% ")),
        // What others take as it stands is taken here, too, where it can mean one thing only.
        (":p:p@p@", None, Some("p:p@p")),
        (":p\u{e4}%C3%A4@", None, Some("p\u{e4}\u{e4}")),
    ] {
        let (shown, as_user, as_password, at) = read(&format!("redis://{login}h"));
        assert_eq!((as_user.as_deref(), as_password.as_deref()), (user, password), "{login}");
        assert_eq!((&*shown, at), ("redis://h:6379/0", tcp("h", 6379)));
    }
}

#[test]
fn what_is_none_is_refused_with_what_to_write_instead() {
    let host = "give a host: a name, an address, or one of IPv6 in brackets";
    let port = "give the port as a number from 1 to 65535, or none for 6379";
    let db = "give the database as a whole number from 0 to 2147483646";
    let name = "behind the sentinels stands a / and what they call the engine";
    for (text, why) in [
        ("", "give redis://[user:password@]host[:port][/db]"),
        ("valkey:6379", "give redis://"),
        ("http://h", "give redis://"),
        ("://h", "give redis://"),
        ("rediss+unix:///x", "and for TLS rediss:// or rediss+sentinel://"),
        ("redis://h h", "there is a space or a line break in it"),
        ("redis://h\n", "there is a space or a line break in it"),
        ("redis://", host),
        ("redis:///0", host),
        ("redis://:p@", host),
        ("redis://::1", host),
        ("redis://[::1", host),
        ("redis://[::x]", host),
        ("redis://a..b", host),
        ("redis://b\u{fc}cher", host),
        ("redis://a,b", host),
        ("redis://h:0", port),
        ("redis://h:65536", port),
        ("redis://h:", port),
        ("redis://h:+1", port),
        ("redis+sentinel://a:x/n", "or none for 26379"),
        ("redis://h/2147483647", db),
        ("redis://h/-1", db),
        ("redis://h/x", db),
        ("redis://h/0/", db),
        ("redis://h?db=x", db),
        ("redis://h/1?db=1", "the database stands in it twice"),
        ("redis://h?db=1&db=1", "give one database"),
        ("redis://h?db=", "give one database"),
        ("redis://h?protocol=resp3", "nothing may stand behind the ? but db=N"),
        ("redis://h?password=p", "a user and a password stand in front"),
        ("unix:///x?pass=p", "a user and a password stand in front"),
        ("redis://h#x", "has no fragment"),
        ("redis://:@h", "the password is empty"),
        ("redis://u:@h", "the password is empty"),
        (
            "redis://:p/p@h",
            "there is an @ too far behind: in a user, a password and a path / ? # @ % are written",
        ),
        ("redis://:p?p@h", "there is an @ too far behind"),
        ("redis://:p#p@h", "has no fragment: in a user"),
        ("redis://:p%p@h", "no two hexadecimal digits"),
        ("redis://:p%4@h", "no two hexadecimal digits"),
        ("redis://:%ff@h", "is no UTF-8"),
        ("redis://:p%0Ap@h", "no control character"),
        ("unix://run/x", "a path begins with a third slash"),
        ("unix://:p/p@/x", "a path begins with a third slash"),
        ("unix://:p@/p@/x", "there is an @ too far behind"),
        ("unix://", "there is no path"),
        ("unix:///", "there is no path"),
        ("unix:///x%00", "no control character"),
        ("redis+sentinel://a", name),
        ("redis+sentinel://a/", name),
        ("redis+sentinel://a//0", name),
        ("redis+sentinel://a/n*", name),
        ("redis+sentinel://a/n/x", db),
        ("redis+sentinel://a,/n", host),
        ("redis+sentinel:///n", host),
    ] {
        let refused = EngineUrl::read(text).expect_err(text);
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_said_of_it_shows_a_password(
        scheme in "rediss?|valkeys?|unix|redis\\+unix|redis\\+sentinel|[a-z]{0,3}",
        user in "[a-z]{0,3}:?",
        password in "[ -~\u{e4}\n]{0,4}sekrit[ -~\u{e4}\n]{0,4}",
        rest in "@?(h|/x|a,b:2/n|\\[::1\\]|)(:[0-9x]{0,6})?(/[0-9x]{0,2})?(\\?[a-z]{0,2}=?)?",
    ) {
        // The socket of a path that was meant as one is shown, and so is a host.
        let text = format!("{scheme}://{user}{password}{rest}");
        match EngineUrl::read(&text) {
            Err(why) => prop_assert!(!why.contains("sekrit"), "{why}"),
            // What is ahead of a colon is a user, and what is behind the last @ a host: neither is a secret.
            Ok(url) if url.user.as_ref().is_some_and(|user| user.contains("sekrit")) => {}
            Ok(_) if text.rsplit_once('@').is_some_and(|(_, host)| host.contains("sekrit")) => {}
            Ok(url) if url.password.is_some() => {
                prop_assert!(!format!("{url} {url:?}").contains("sekrit"), "{text}: {url}");
            }
            Ok(_) => {}
        }
    }
}

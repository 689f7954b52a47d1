//! Tests of `dangers`: configurations, and every line that is said of each.

use std::ffi::OsString;
use std::path::PathBuf;

use super::*;

const JWKS: &str = include_str!("../../tests/keys/jwks.json");
const EC: &str = include_str!("../../tests/keys/ec.pub.pem");

/// What every server that is as careful as can be is told.
const ALWAYS: [&str; 2] = [
    "The server has room for about 10000 connections by its limit on open files",
    "note: After SIGTERM the server takes up to 30 s to end: Docker kills it after 10 s unless --stop-timeout is 30; systemd is told \
     by the server. For less, set --timeout-graceful-shutdown",
];

fn lines(flags: &str, address: &str, admin: Option<&str>, keys: Option<&str>) -> Vec<String> {
    let spread = if flags.contains("--drain-spread") { "" } else { "--drain-spread 10" };
    let args = format!("slackwater --timeout-graceful-shutdown 20 {spread} {flags}");
    let config = Config::read(args.split_whitespace().map(OsString::from)).unwrap();
    let read = |text: &str| match text.parse() {
        Ok(address) => Address::Ip(address),
        Err(_) => Address::Unix(PathBuf::from(text)),
    };
    let (address, admin) = (read(address), admin.map(read));
    let keys = keys.map(|text| match text {
        "secret" => VerifyingKeys::of_secret(b"0123456789abcdef0123456789abcdef"),
        text => VerifyingKeys::read(text).unwrap(),
    });
    let found = Findings { address: &address, admin: admin.as_ref(), keys: keys.as_ref(), room: 10_000 };
    all(&config, &found).iter().map(Remark::to_string).collect()
}

/// All lines but those that are always there, of a server on a loopback address that asks for tokens.
#[track_caller]
fn told(flags: &str, expected: &[&str]) {
    let lines = lines(&format!("--auth-secret-file /x {flags}"), "127.0.0.1:8000", None, None);
    let more: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !ALWAYS.contains(line)).collect();
    assert_eq!(more, expected, "{flags}");
}

#[test]
fn a_careful_server_is_told_of_no_danger() {
    assert_eq!(lines("--auth-secret-file /x", "127.0.0.1:8000", None, None), ALWAYS);
}

#[test]
fn who_can_reach_the_server_may_hear_everything_unless_tokens_are_asked_for() {
    let here = "Everyone on this machine may hear every topic, and so may everyone behind a proxy on it";
    let socket = "warning: Everyone who can reach unix:/run/x, through a proxy or on this machine, may hear every topic: to ask \
                  for tokens, set --auth-secret-file or --auth-key-file";
    let proxy = "warning: Everyone behind the proxy may hear every topic, and so may everyone on this machine: to ask for tokens, \
                 set --auth-secret-file or --auth-key-file";
    let world = "warning: Everyone who can reach 0.0.0.0:80 may hear every topic: to ask for tokens, set --auth-secret-file or \
                 --auth-key-file";
    let numbers = "warning: Everyone who can reach 0.0.0.0:80 may read /status and /metrics: to have them for this machine alone, \
                   set --admin 127.0.0.1:9000";
    let plain = "note: No TLS is spoken here: without --ssl-certfile, or a proxy in front that has TLS, whoever is on the way to 0.0.0.0:80 can read \
                 tokens";
    let one = "note: One address may take all connections: to share them out, set --limit-per-ip, behind a proxy with --proxy-headers";
    let behind = "note: One address may take all connections: to share them out, set --limit-per-ip";
    let token = "--auth-secret-file /x";
    for (flags, address, expected) in [
        ("", "127.0.0.1:8000", &[here][..]),
        ("", "[::1]:8000", &[here]),
        ("", "/run/x", &[socket]),
        ("--proxy-headers", "127.0.0.1:8000", &[proxy]),
        ("--proxy-protocol", "[::1]:8000", &[proxy]),
        ("--proxy-headers --auth-secret-file /x", "127.0.0.1:8000", &[]),
        ("--proxy-headers --admin /run/y", "0.0.0.0:80", &[world, behind]),
        (token, "/run/x", &[]),
        ("", "0.0.0.0:80", &[world, numbers, one]),
        ("--limit-per-ip 50", "0.0.0.0:80", &[world, numbers]),
        ("--admin /run/y", "0.0.0.0:80", &[world, one]),
        (token, "0.0.0.0:80", &[numbers, plain, one]),
        ("--publish-token x --admin /run/y", "0.0.0.0:80", &[world, plain, one]),
    ] {
        assert_eq!(lines(flags, address, None, None), [expected, &ALWAYS].concat(), "{flags} {address}");
    }
}

#[test]
fn an_operators_door_that_others_can_reach_is_dangerous() {
    for (admin, is_dangerous) in [
        ("127.0.0.1:9000", false),
        ("[::1]:9000", false),
        ("/run/y", false),
        ("0.0.0.0:9000", true),
        ("192.0.2.1:9000", true),
    ] {
        let lines = lines("--auth-secret-file /x --publish-token x", "127.0.0.1:8000", Some(admin), None);
        let expected = format!(
            "warning: Everyone who can reach {admin} may read /status and /metrics there: let nobody but operators, or take a \
             loopback address or a Unix socket for --admin"
        );
        assert_eq!(lines.contains(&expected), is_dangerous, "{admin}: {lines:?}");
        assert_eq!(lines.len(), ALWAYS.len() + usize::from(is_dangerous), "{lines:?}");
    }
}

#[test]
#[cfg(feature = "tls")]
fn an_operators_door_without_tls_beside_one_with_it_is_dangerous_where_others_can_reach_it() {
    let plain = "warning: No TLS is spoken on 0.0.0.0:9000, as it is with clients: whoever is on the way there can read what operators \
                 publish, and their token; set --admin-ssl";
    for (flags, admin, is_dangerous) in [
        ("--ssl-certfile c", "0.0.0.0:9000", true),
        ("--ssl-certfile c --admin 0.0.0.0:9000 --admin-ssl", "0.0.0.0:9000", false),
        ("--ssl-certfile c", "127.0.0.1:9000", false),
        ("--ssl-certfile c", "/run/y", false),
        ("", "0.0.0.0:9000", false),
    ] {
        let lines = lines(&format!("--auth-secret-file /x {flags}"), "127.0.0.1:8000", Some(admin), None);
        assert_eq!(lines.iter().any(|line| line == plain), is_dangerous, "{flags} {admin}: {lines:?}");
    }
}

#[test]
#[cfg(feature = "tls")]
fn tokens_on_a_public_address_are_read_by_nobody_where_tls_is_spoken() {
    let flags = "--auth-secret-file /x --admin /run/y --ssl-certfile c --limit-per-ip 50";
    assert_eq!(lines(flags, "0.0.0.0:443", None, None), ALWAYS);
}

#[test]
fn keys_are_named_by_algorithm_and_a_set_of_them_wants_an_audience() {
    let audience = "warning: Tokens that the issuer has made for other services count here if they name no audience, and those \
                    that name one do not count: set --auth-audience";
    let set = r#"Tokens are verified by RS256 ("rsa"), ES256 ("ec"), EdDSA"#;
    let passed_by = "note: In --auth-key-file 3 of 5 keys count: the others verify no signatures here";
    for (flags, keys, expected) in [
        ("--auth-secret-file /x", "secret", &["Tokens are verified by HS256"][..]),
        ("--auth-key-file /x", EC, &["Tokens are verified by ES256"]),
        ("--auth-key-file /x", JWKS, &[set, passed_by, audience]),
        ("--auth-key-file /x --auth-issuer we", JWKS, &[set, passed_by, audience]),
        ("--auth-key-file /x --auth-audience us", JWKS, &[set, passed_by]),
    ] {
        let lines = lines(flags, "127.0.0.1:8000", None, Some(keys));
        assert_eq!(lines, [expected, &ALWAYS].concat(), "{flags}");
    }
}

#[test]
fn networks_that_hold_more_than_proxies_are_not_to_be_believed_in_public() {
    let said = |networks: &str, address: &str| {
        let flags =
            format!("--auth-secret-file /x --admin /run/y --proxy-headers --forwarded-allow-ips {networks}");
        let lines = lines(&flags, address, None, None);
        let mut wide =
            lines.iter().filter(|line| line.starts_with("warning: --forwarded-allow-ips believes all of"));
        wide.by_ref().count()
    };
    for (networks, wide) in [
        ("127.0.0.0/8,10.0.0.0/8,192.0.2.1", 0),
        ("104.16.0.0/13,2400:cb00::/32,fc00::/7,fe80::/10", 0),
        ("0.0.0.0/1,128.0.0.0/1", 2),
        ("2000::/3,32.0.0.0/6", 2),
        // This one is told to everybody at the start.
        ("*", 0),
    ] {
        assert_eq!(said(networks, "0.0.0.0:80"), wide, "{networks}");
        assert_eq!((said(networks, "127.0.0.1:80"), said(networks, "/run/x")), (0, 0), "{networks}");
    }
}

#[test]
fn limits_by_address_want_addresses() {
    let unix = "warning: --limit-per-ip and --limit-connect-rate count nobody who comes by a Unix socket, which has no \
                addresses: set --proxy-headers, and let the proxy add X-Forwarded-For";
    let here = "note: --limit-per-ip and --limit-connect-rate take all clients of a proxy on this machine for one: with a proxy, \
                set --proxy-headers";
    for (flags, address, expected) in [
        ("--limit-per-ip 9", "/run/x", &[unix][..]),
        ("--limit-connect-rate 9", "/run/x", &[unix]),
        ("--limit-per-ip 9", "127.0.0.1:8000", &[here]),
        ("--limit-per-ip 9 --proxy-headers", "/run/x", &[]),
        ("--limit-connect-rate 9 --proxy-protocol", "127.0.0.1:8000", &[]),
    ] {
        let lines = lines(&format!("--auth-secret-file /x {flags}"), address, None, None);
        assert_eq!(lines, [expected, &ALWAYS].concat(), "{flags} {address}");
    }
}

#[test]
fn what_undoes_another_flag_is_named_with_both() {
    let open = "--proxy-headers";
    for (flags, expected) in [
        (
            "--limit-per-ip 10 --limit-concurrency 10",
            "warning: One address may take all connections: --limit-per-ip 10 is not below --limit-concurrency 10",
        ),
        (
            "--limit-per-ip 1 --max-connection-age 3600",
            "warning: With --limit-per-ip 1 no client can move when --max-connection-age asks it to, since it has two connections \
             meanwhile",
        ),
        (
            "--ws-ping-interval 0",
            "warning: Without pings (--ws-ping-interval 0) clients that have vanished stay, and proxies close connections that \
             are idle",
        ),
        (
            "--ws-ping-timeout 0",
            "warning: Clients that have vanished stay: --ws-ping-timeout 0 waits for their pongs for ever",
        ),
        (
            "--ws-ping-interval 90 --notify-interval 0",
            "note: Proxies may close connections between two pings: most wait for 60 s, and --ws-ping-interval is 90 s",
        ),
        (
            "--drain-spread 20",
            "warning: Clients that are asked to reconnect last are closed as they are: --drain-spread 20 leaves nothing of \
             --timeout-graceful-shutdown 20",
        ),
        (
            "--drain-close-after 11",
            "note: --timeout-graceful-shutdown 20 closes some clients before --drain-close-after 11 does",
        ),
    ] {
        told(&format!("{open} {flags}"), &[expected]);
    }
    for flags in [
        "--limit-per-ip 9 --limit-concurrency 10",
        "--limit-per-ip 2 --max-connection-age 3600",
        "--ws-ping-interval 90",
        "--ws-ping-interval 59 --notify-interval 0",
        "--drain-close-after 10",
        "--drain-spread 20 --no-drain-notice",
    ] {
        told(&format!("{open} {flags}"), &[]);
    }
}

#[test]
fn pages_without_an_origin_of_their_own_may_be_anybodys_where_no_token_is_asked_for() {
    let open = "warning: Every web site may listen in a browser that reaches this server, from a frame that it sandboxes: \
                --allowed-origin null lets in more than files";
    told("--allowed-origin null", &[]);
    let lines = lines("--allowed-origin null", "127.0.0.1:8000", None, None);
    assert!(lines.iter().any(|line| line == open), "{lines:?}");
}

#[test]
fn open_files_that_do_not_suffice_are_told_before_they_have_run_out() {
    let said = |flags: &str, room| {
        let args = format!("slackwater {flags}");
        let config = Config::read(args.split_whitespace().map(OsString::from)).unwrap();
        of_limits(&config, &Address::Unix(PathBuf::new()), room)
            .iter()
            .map(Remark::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said("--limit-concurrency 1001 --workers 2", 1000),
        [
            "warning: Each worker has room for about 1000 connections by its limit on open files: beyond, newcomers wait, and \
          --limit-concurrency 1001 answers nobody; raise the limit (ulimit -n, LimitNOFILE=) or lower the flag"
        ]
    );
    assert_eq!(
        said("--limit-concurrency 1000", 1000),
        [
            "note: The server has room for about 1000 connections by its limit on open files (ulimit -n, LimitNOFILE=)"
        ]
    );
    assert_eq!(said("", 4000), ["The server has room for about 4000 connections by its limit on open files"]);
}

#[test]
fn who_ends_the_process_is_to_wait_for_as_long_as_a_drain_takes() {
    for (flags, expected) in [
        (
            "--drain-delay 0.5",
            "note: After SIGTERM the server takes up to 30.5 s to end: Kubernetes kills it after 30 s unless \
          terminationGracePeriodSeconds is 31, Docker after 10 s unless --stop-timeout is; systemd is told by the server. For \
          less, set --timeout-graceful-shutdown",
        ),
        ("--drain-delay 0", ALWAYS[1]),
    ] {
        let lines = lines(&format!("--auth-secret-file /x {flags}"), "127.0.0.1:8000", None, None);
        assert_eq!(lines, [ALWAYS[0], expected], "{flags}");
    }
}

#[test]
fn proxies_that_nobody_asks_for_addresses_are_believed_in_vain() {
    let ignored = "note: --forwarded-allow-ips means nothing without --proxy-headers or --proxy-protocol: no proxy is asked for whom \
                   it connects";
    for (flags, expected) in [
        ("--forwarded-allow-ips 10.0.0.1", &[ignored][..]),
        ("--forwarded-allow-ips *", &[ignored]),
        ("--forwarded-allow-ips 127.0.0.1", &[]),
        ("--forwarded-allow-ips 10.0.0.1 --proxy-headers", &[]),
        ("--forwarded-allow-ips 10.0.0.1 --proxy-protocol", &[]),
    ] {
        told(flags, expected);
    }
}

#[test]
fn what_compression_tells_of_a_message_is_said_where_it_is_switched_on() {
    let note = "note: With --ws-per-message-deflate the length of a message tells something of what is in it, also behind TLS: publish no \
                secret in one message with text that others may choose";
    told("--ws-per-message-deflate", &[note]);
    told("--ws-per-message-deflate false", &[]);
}

#[test]
fn whoever_is_on_the_way_to_the_engine_reads_along_and_without_a_password_publishes() {
    let read = |what: &str, host: &str, mend: &str| {
        format!(
            "There is no TLS to the engine: whoever is on the way to {host} can read {what}all that is published, and change it; {mend}"
        )
    };
    let open = |host: &str| {
        format!(
            "warning: The engine at {host} has no password: whoever can reach it may publish everything to everybody; give it one \
                 (requirepass, ACL SETUSER), and --engine-password-file"
        )
    };
    let tls = "give it as rediss://";
    let outside = "outside of a private network give it as rediss://";
    for url in [
        "redis://127.0.0.1",
        "redis://[::1]",
        "redis://localhost",
        "unix:///x",
        "redis://:s@10.0.0.1",
        "redis://:s@[fd00::1]",
        "redis://:s@100.64.0.1",
    ] {
        told(&format!("--engine {url}"), &[]);
    }
    told("--engine redis://192.168.0.1", &[&open("192.168.0.1")]);
    told(
        "--engine redis://:s@100.128.0.1",
        &[&format!("warning: {}", read("the engine's password and ", "100.128.0.1", tls))],
    );
    told("--engine redis://valkey", &[&format!("note: {}", read("", "valkey", outside)), &open("valkey")]);
    told(
        "--engine redis+sentinel://:s@10.0.0.1,[2001:db8::1],valkey/main",
        &[&format!("warning: {}", read("the engine's password and ", "2001:db8::1", tls))],
    );
    #[cfg(feature = "tls")]
    {
        told("--engine rediss://:s@100.128.0.1", &[]);
        told("--engine rediss://valkey", &[&open("valkey")]);
        told("--engine rediss://valkey --engine-cert c", &[]);
    }
}

#[test]
fn who_sends_nothing_for_long_is_noted_where_everyone_can_reach_the_server() {
    let note = "note: Whoever connects and sends nothing holds a connection for 300 s, by --handshake-timeout and --timeout-keep-alive";
    for (flags, address, is_noted) in [
        ("--handshake-timeout 5m", "0.0.0.0:80", true),
        ("--timeout-keep-alive 300", "0.0.0.0:80", true),
        ("--handshake-timeout 5m", "127.0.0.1:80", false),
        ("", "0.0.0.0:80", false),
    ] {
        let lines = lines(flags, address, None, None);
        assert_eq!(lines.iter().any(|line| line == note), is_noted, "{flags} {address}: {lines:?}");
    }
}

#[test]
fn a_history_of_nothing_is_noted() {
    let note = "note: Nothing is kept for clients that come back: they miss what is published meanwhile, at every restart, by";
    for flag in ["--history-size 0", "--history-bytes 0", "--history-ttl 0"] {
        told(flag, &[&format!("{note} {flag}")]);
    }
}

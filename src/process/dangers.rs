//! What is dangerous about a configuration, or makes it mean something else than it says: what `slackwater check` prints
//! beside what a server that starts says of itself. Decides by what has been found out; reads nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::Config;
use crate::config::engine::Encryption;
use crate::config::origins::AllowedOrigin;
use crate::http::keys::VerifyingKeys;
use crate::policy::drain::LONGEST_FAREWELL;
use crate::process::remarks::Remark::{self, Danger, Fact, Note};
use crate::process::remarks::{of_keys as of_passed_by, of_open_door};
use crate::server::Address;

/// How long Kubernetes waits behind SIGTERM unless it is told otherwise.
const KUBERNETES_GRACE: Duration = Duration::from_secs(30);

/// How long Docker does.
const DOCKER_GRACE: Duration = Duration::from_secs(10);

/// After how long without traffic proxies close a connection unless they are told otherwise (nginx, HAProxy's examples, the
/// balancers of most clouds).
const DEFAULT_PROXY_TIMEOUT: Duration = Duration::from_secs(60);

/// Networks of fewer bits are no proxies of anybody's: those of the largest have nine.
const WIDE_BITS: (u8, u8) = (8, 16);

/// So few connections are soon there.
const FEW_CONNECTIONS: usize = 4000;

/// So long nobody takes to send a request, but whoever wants to be in the way.
const LONG_SILENCE: Duration = Duration::from_secs(120);

/// What has been found out about a configuration.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Where the server would listen.
    pub address: &'a Address,
    /// Where operators would be answered, if they had a door of their own.
    pub admin: Option<&'a Address>,
    /// The keys by which tokens would be verified, if there are any.
    pub keys: Option<&'a VerifyingKeys>,
    /// How many connections a process can hold.
    pub room: usize,
}

/// All that is to be said.
pub fn all(config: &Config, found: &Findings<'_>) -> Vec<Remark> {
    let parts = [
        of_listening(config, found.address),
        found.admin.map(|admin| of_admin(config, admin)).unwrap_or_default(),
        found.keys.map(|keys| of_keys(config, keys)).unwrap_or_default(),
        of_proxies(config, found.address),
        of_pages(config).into_iter().collect(),
        of_limits(config, found.address, found.room),
        of_history(config).into_iter().collect(),
        of_compression(config).into_iter().collect(),
        of_silence(config).into_iter().collect(),
        of_leaving(config),
        of_engine(config),
    ];
    parts.into_iter().flatten().collect()
}

fn of_listening(config: &Config, address: &Address) -> Vec<Remark> {
    let is_public = is_public(address);
    let who_may_hear = match address {
        _ if config.auth.is_on() => None,
        _ if is_public => Some(Danger(format!(
            "Everyone who can reach {address} may hear every topic: to ask for tokens, set --auth-secret-file or --auth-key-file"
        ))),
        // As far as anybody has said, there is a proxy, and who is behind it the world.
        Address::Ip(_) if config.addresses.has_proxies() => Some(Danger(
            "Everyone behind the proxy may hear every topic, and so may everyone on this machine: to ask for tokens, set \
             --auth-secret-file or --auth-key-file"
                .to_owned(),
        )),
        Address::Ip(_) => Some(Fact(
            "Everyone on this machine may hear every topic, and so may everyone behind a proxy on it"
                .to_owned(),
        )),
        Address::Unix(_) => Some(Danger(format!(
            "Everyone who can reach {address}, through a proxy or on this machine, may hear every topic: to ask for tokens, set \
             --auth-secret-file or --auth-key-file"
        ))),
    };
    let numbers = (is_public && config.admin.is_none()).then(|| {
        Danger(format!(
            "Everyone who can reach {address} may read /status and /metrics: to have them for this machine alone, set \
             --admin 127.0.0.1:9000"
        ))
    });
    let has_secrets = config.auth.is_on() || config.publish_token.is_some();
    let plain = (is_public && has_secrets && !config.ssl.is_on()).then(|| {
        Note(format!(
            "No TLS is spoken here: without --ssl-certfile, or a proxy in front that has TLS, whoever is on the way to {address} can \
             read tokens"
        ))
    });
    who_may_hear.into_iter().chain(numbers).chain(plain).collect()
}

fn of_admin(config: &Config, admin: &Address) -> Vec<Remark> {
    let Some(ip) = admin.ip().filter(|_| !admin.is_loopback()) else { return vec![] };
    // Without a token the server says so itself.
    let open = config.publish_token.as_ref().and_then(|_| of_open_door(admin));
    // Where clients have no TLS either, there is a proxy for both, or that has been told.
    let plain = (config.ssl.is_on() && !config.ssl.admin_ssl).then(|| {
        Danger(format!(
            "No TLS is spoken on {ip}, as it is with clients: whoever is on the way there can read what operators publish, and \
             their token; set --admin-ssl"
        ))
    });
    open.into_iter().chain(plain).collect()
}

fn of_keys(config: &Config, keys: &VerifyingKeys) -> Vec<Remark> {
    let audience = (keys.are_a_set() && config.auth.auth_audience.is_none()).then(|| {
        Danger(
            "Tokens that the issuer has made for other services count here if they name no audience, and those that name one do \
             not count: set --auth-audience"
                .to_owned(),
        )
    });
    let keys_that_count =
        [Fact(format!("Tokens are verified by {keys}"))].into_iter().chain(of_passed_by(keys));
    keys_that_count.chain(audience).collect()
}

fn of_proxies(config: &Config, address: &Address) -> Vec<Remark> {
    let flags = &config.addresses;
    let are_limited = flags.limit_per_ip.is_some() || flags.limit_connect_rate.is_some();
    let is_unix = matches!(address, Address::Unix(_));
    if !flags.has_proxies() {
        let ignored = (!flags.forwarded_allow_ips.are_default()).then(|| {
            Note(
                "--forwarded-allow-ips means nothing without --proxy-headers or --proxy-protocol: no proxy is asked for whom it \
                 connects"
                    .to_owned(),
            )
        });
        let unlimited = match address {
            _ if !are_limited => None,
            Address::Unix(_) => Some(Danger(
                "--limit-per-ip and --limit-connect-rate count nobody who comes by a Unix socket, which has no addresses: set \
                 --proxy-headers, and let the proxy add X-Forwarded-For"
                    .to_owned(),
            )),
            Address::Ip(_) if address.is_loopback() => Some(Note(
                "--limit-per-ip and --limit-connect-rate take all clients of a proxy on this machine for one: with a proxy, set \
                 --proxy-headers"
                    .to_owned(),
            )),
            Address::Ip(_) => None,
        };
        return ignored.into_iter().chain(unlimited).collect();
    }
    let is_public = !is_unix && !address.is_loopback();
    let wide = flags.forwarded_allow_ips.0.iter().filter(|network| is_public && is_wide(network));
    wide.map(|network| {
        Danger(format!(
            "--forwarded-allow-ips believes all of {network}: whoever of these can reach this port makes up its address"
        ))
    })
    .collect()
}

/// Whether so many are believed that they are not the proxies. Who believes everybody is told so anyway.
fn is_wide(network: &IpNet) -> bool {
    let least = if network.addr().is_ipv4() { WIDE_BITS.0 } else { WIDE_BITS.1 };
    // All that a host has for itself, and for others on the same link.
    let is_own = match network.addr() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    };
    (1..least).contains(&network.prefix_len()) && !is_own
}

fn of_pages(config: &Config) -> Option<Remark> {
    let is_open = config.origins.all().contains(&AllowedOrigin::Opaque) && !config.auth.is_on();
    is_open.then(|| {
        Danger(
            "Every web site may listen in a browser that reaches this server, from a frame that it sandboxes: --allowed-origin null \
             lets in more than files"
                .to_owned(),
        )
    })
}

fn of_limits(config: &Config, address: &Address, room: usize) -> Vec<Remark> {
    let per_ip = config.addresses.limit_per_ip.map(|limit| limit as usize);
    let one_takes_all = per_ip.zip(config.limit_concurrency).filter(|(one, all)| one >= all).map(|(one, all)| {
        Danger(format!(
            "One address may take all connections: --limit-per-ip {one} is not below --limit-concurrency {all}"
        ))
    });
    let cannot_move = (per_ip == Some(1) && config.age.max_connection_age.is_some()).then(|| {
        Danger(
            "With --limit-per-ip 1 no client can move when --max-connection-age asks it to, since it has two connections meanwhile"
                .to_owned(),
        )
    });
    let each = if config.workers > 1 { "Each worker" } else { "The server" };
    let open_files = match config.limit_concurrency {
        Some(limit) if limit > room => Danger(format!(
            "{each} has room for about {room} connections by its limit on open files: beyond, newcomers wait, and --limit-concurrency \
             {limit} answers nobody; raise the limit (ulimit -n, LimitNOFILE=) or lower the flag"
        )),
        _ if room < FEW_CONNECTIONS => Note(format!(
            "{each} has room for about {room} connections by its limit on open files (ulimit -n, LimitNOFILE=)"
        )),
        _ => Fact(format!("{each} has room for about {room} connections by its limit on open files")),
    };
    // Behind a proxy that is not told of, all come from one address.
    let is_unlimited = is_public(address) && per_ip.is_none();
    let unlimited = is_unlimited.then(|| {
        let behind =
            if config.addresses.has_proxies() { "" } else { ", behind a proxy with --proxy-headers" };
        Note(format!("One address may take all connections: to share them out, set --limit-per-ip{behind}"))
    });
    let slow = config.handshake_timeout.max(config.timeout_keep_alive);
    let slow = (is_public(address) && slow > LONG_SILENCE).then(|| {
        Note(format!(
            "Whoever connects and sends nothing holds a connection for {}, by --handshake-timeout and --timeout-keep-alive",
            seconds(slow)
        ))
    });
    let of_addresses = one_takes_all.into_iter().chain(unlimited).chain(slow);
    of_addresses.chain(cannot_move).chain([open_files]).collect()
}

fn is_public(address: &Address) -> bool {
    address.ip().is_some() && !address.is_loopback()
}

/// Of clients that come back and are to miss nothing.
fn of_history(config: &Config) -> Option<Remark> {
    let (size, bytes) = (config.history_size == 0, config.history_bytes == 0);
    let flag = match (size, bytes, config.history_ttl.is_zero()) {
        (true, ..) => "--history-size 0",
        (_, true, _) => "--history-bytes 0",
        (.., true) => "--history-ttl 0",
        _ => return None,
    };
    Some(Note(format!(
        "Nothing is kept for clients that come back: they miss what is published meanwhile, at every restart, by {flag}"
    )))
}

/// RFC 7692 §8.
fn of_compression(config: &Config) -> Option<Remark> {
    config.compression.ws_per_message_deflate.then(|| {
        Note(
            "With --ws-per-message-deflate the length of a message tells something of what is in it, also behind TLS: publish no \
             secret in one message with text that others may choose"
                .to_owned(),
        )
    })
}

/// Of clients that have vanished, and of connections on which nothing is said.
fn of_silence(config: &Config) -> Option<Remark> {
    let (interval, timeout) = (config.ws_ping_interval.0, config.ws_ping_timeout.0);
    let most = [interval, config.notify_interval.0].into_iter().flatten().min();
    match (interval, timeout) {
        (None, _) => Some(Danger(
            "Without pings (--ws-ping-interval 0) clients that have vanished stay, and proxies close connections that are idle"
                .to_owned(),
        )),
        (Some(_), None) => Some(Danger(
            "Clients that have vanished stay: --ws-ping-timeout 0 waits for their pongs for ever".to_owned(),
        )),
        (Some(interval), _) if most >= Some(DEFAULT_PROXY_TIMEOUT) => Some(Note(format!(
            "Proxies may close connections between two pings: most wait for 60 s, and --ws-ping-interval is {}",
            seconds(interval)
        ))),
        _ => None,
    }
}

fn of_leaving(config: &Config) -> Vec<Remark> {
    let patience = config.timeout_graceful_shutdown;
    let longest = config.drain_delay + patience + LONGEST_FAREWELL;
    let time = format!("After SIGTERM the server takes up to {} to end", seconds(longest));
    let whole = longest.as_secs_f64().ceil();
    let kills = if longest > KUBERNETES_GRACE {
        format!(
            "Kubernetes kills it after 30 s unless terminationGracePeriodSeconds is {whole}, Docker after 10 s unless \
             --stop-timeout is"
        )
    } else {
        format!("Docker kills it after 10 s unless --stop-timeout is {whole}")
    };
    let time = if longest > DOCKER_GRACE {
        let less = "For less, set --timeout-graceful-shutdown";
        Note(format!("{time}: {kills}; systemd is told by the server. {less}"))
    } else {
        Fact(time)
    };
    let (spread, close_after) = (config.drain_spread, config.drain_close_after);
    let late = match close_after {
        _ if config.no_drain_notice => None,
        _ if spread >= patience => Some(Danger(format!(
            "Clients that are asked to reconnect last are closed as they are: --drain-spread {} leaves nothing of \
             --timeout-graceful-shutdown {}",
            spread.as_secs_f64(),
            patience.as_secs_f64()
        ))),
        Some(close_after) if spread + close_after > patience => Some(Note(format!(
            "--timeout-graceful-shutdown {} closes some clients before --drain-close-after {} does",
            patience.as_secs_f64(),
            close_after.as_secs_f64()
        ))),
        _ => None,
    };
    let state_file = config.state_file.as_ref().map(|_| {
        Note(
            "Of several servers with the same --state-file the history of all but one is lost: give each a path of its own"
                .to_owned(),
        )
    });
    [time].into_iter().chain(late).chain(state_file).collect()
}

/// What others than this machine can do by the way to the engine.
fn of_engine(config: &Config) -> Vec<Remark> {
    let Some(url) = &config.engine.url else { return vec![] };
    let hosts = url.at.hosts();
    let way_out = hosts.iter().map(|host| (way(host), *host)).max_by_key(|(way, _)| *way);
    let Some((way, host)) = way_out.filter(|(way, _)| *way != Way::Own) else { return vec![] };
    let passwords = if url.password.is_some() { "the engine's password and " } else { "" };
    let read = format!(
        "There is no TLS to the engine: whoever is on the way to {host} can read {passwords}all that is published, and change it"
    );
    let read = match way {
        _ if url.encryption == Encryption::Tls => None,
        Way::Public => Some(Danger(format!("{read}; give it as rediss://"))),
        Way::Unknown => Some(Note(format!("{read}; outside of a private network give it as rediss://"))),
        Way::Private | Way::Own => None,
    };
    // An engine may know those it lets in by their certificates.
    let open = (url.password.is_none() && config.engine.engine_cert.is_none()).then(|| {
        Danger(format!(
            "The engine at {host} has no password: whoever can reach it may publish everything to everybody; give it one \
             (requirepass, ACL SETUSER), and --engine-password-file"
        ))
    });
    read.into_iter().chain(open).collect()
}

/// Who may be on the way to a host, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Own,
    Private,
    Unknown,
    Public,
}

/// As far as its name says: none is looked up, as a check asks nobody.
fn way(host: &str) -> Way {
    let is_shared = |address: Ipv4Addr| address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) if address.is_loopback() => Way::Own,
        // RFC 1918, RFC 3927, RFC 6598, RFC 4193, RFC 4291.
        Ok(IpAddr::V4(address)) if address.is_private() || address.is_link_local() || is_shared(address) => {
            Way::Private
        }
        Ok(IpAddr::V6(address)) if address.is_unique_local() || address.is_unicast_link_local() => {
            Way::Private
        }
        Ok(_) => Way::Public,
        Err(_) if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") => Way::Own,
        Err(_) => Way::Unknown,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
#[path = "dangers_tests.rs"]
mod tests;

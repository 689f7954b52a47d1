//! What is the same for all peers of a server, as the configuration has it.

use std::fs;
use std::hash::{BuildHasher, RandomState};

use crate::config::addresses::AddressFlags;
use crate::config::engine::EngineAddress;
use crate::config::origins::AllowedOrigin;
use crate::config::{Config, Place};
use crate::http::access::{Access, Reach};
use crate::http::auth::Auth;
use crate::http::forwarded::Proxies;
use crate::http::host::Host;
use crate::http::keys::VerifyingKeys;
use crate::http::redirect::{HTTPS_PORT, Redirect};
use crate::http::token::Verifier;
use crate::policy::addresses::AddressLimits;
use crate::policy::fingerprint::Fingerprint;
use crate::policy::history::HistoryLimits;
use crate::policy::rate::Rate;
use crate::policy::reconnect_notices::ReconnectTerms;
use crate::policy::topic::Filter;
use crate::server::address::Address;
use crate::server::engine::EngineTerms;
use crate::server::footprint;
use crate::server::limits::Limits;
use crate::server::webroot::Webroot;
use crate::wire::engine::{Credentials, Speaker, page_for};
use crate::wire::metrics::Process;
use crate::wire::websocket::Rules;

/// What the clients of this server are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// They hear notifications, and their own text is answered as documented.
    Notifications,
    /// Every message is sent back, and nothing else: for conformance suites.
    Echo,
}

/// What is the same for all peers.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What they are there for.
    pub service: Service,
    /// The limits of each connection.
    pub limits: Limits,
    /// Connections beyond which requests are answered 503.
    pub concurrency: Option<usize>,
    /// How many connections one address may have; `None` where they are not counted.
    pub addresses: Option<AddressLimits>,
    /// How many messages a client may send; `None` for as many as it likes.
    pub messages: Option<Rate>,
    /// The proxies that say in a request whose it is; `None` where nobody is believed.
    pub proxies: Option<Proxies>,
    /// The proxies that say ahead of all else who has connected to them, as they all must; `None` where nobody does.
    pub announcing_proxies: Option<Proxies>,
    /// A random number that distinguishes the publications and connections of this process from those of others.
    pub epoch: u32,
    /// What is kept for clients that come back.
    pub history: HistoryLimits,
    /// How clients are asked to reconnect; `None` when they never are.
    pub reconnect: Option<ReconnectTerms>,
    /// Who may publish, and tell the server to leave.
    pub access: Access,
    /// The same for those who come in by the operators' door; `None` when there is none.
    pub operators: Option<Access>,
    /// How those are redirected who come in by the door for that.
    pub redirect: Redirect,
    /// What certificate authorities are given there, if anything is.
    pub webroot: Option<Webroot>,
    /// Pages of other origins that may listen and publish.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Who may hear and publish what, by tokens; `None` where none are expected.
    pub auth: Option<Box<Auth>>,
    /// The largest body of a publication.
    pub max_publish_bytes: usize,
    /// Whether messages are compressed for clients that ask for it.
    pub compresses: bool,
    /// Asks the system what this process takes of the machine, which no simulated world can repeat.
    pub footprint: fn(&mut Process),
}

/// The terms of this configuration, on this address, with the keys for tokens, if any are expected.
pub(super) fn terms(
    config: &Config,
    service: Service,
    address: &Address,
    admin: Option<&Address>,
    keys: Option<VerifyingKeys>,
) -> Terms {
    let limits = Limits {
        handshake: config.handshake_timeout,
        keep_alive: config.timeout_keep_alive,
        ping_interval: config.ws_ping_interval.0,
        ping_timeout: config.ws_ping_timeout.0,
        write: config.write_timeout,
        outbox_bytes: config.outbox_limit,
        rules: Rules { max_message_bytes: config.ws_max_size, binary: service == Service::Echo },
    };
    let proxies = Proxies(config.addresses.forwarded_allow_ips.0.clone());
    Terms {
        service,
        limits,
        concurrency: config.limit_concurrency,
        addresses: address_limits(&config.addresses),
        messages: config.addresses.limit_messages.map(|rate| Rate::new(rate, rate.max(10.0))),
        proxies: config.addresses.proxy_headers.then(|| proxies.clone()),
        announcing_proxies: config.addresses.proxy_protocol.then_some(proxies),
        epoch: random_epoch(),
        history: history_limits(config),
        reconnect: (!config.no_drain_notice && service == Service::Notifications).then_some(ReconnectTerms {
            spread: config.drain_spread,
            close_after: config.drain_close_after,
            max_age: config.age.max_connection_age,
        }),
        access: access(config, address, false),
        operators: admin.map(|admin| access(config, admin, true)),
        redirect: Redirect {
            port: address.ip().map_or(HTTPS_PORT, |address| address.port()),
            // One that the system chooses is known later, and nobody has it mapped.
            own_port: config.redirect.http_redirect.filter(|port| *port != 0),
            answers_challenges: config.redirect.acme_webroot.is_some(),
        },
        webroot: config.redirect.acme_webroot.as_deref().map(Webroot::at),
        allowed_origins: config.origins.all(),
        auth: keys.map(|keys| auth(config, keys).into()),
        max_publish_bytes: config.max_publish_size,
        compresses: config.compression.ws_per_message_deflate,
        footprint: footprint::update,
    }
}

/// How many connections one address may have, if that is limited.
fn address_limits(flags: &AddressFlags) -> Option<AddressLimits> {
    let (open, per_second) = (flags.limit_per_ip, flags.limit_connect_rate);
    // A household or an office that comes back together is many clients of one address.
    let rate = per_second.map(|rate| Rate::new(rate, (5.0 * rate).max(10.0)));
    (open.is_some() || rate.is_some()).then_some(AddressLimits { open, rate })
}

/// Who may hear and publish what, as the configuration has it.
fn auth(config: &Config, keys: VerifyingKeys) -> Auth {
    let auth = &config.auth;
    let parse = |topic: &String| Filter::parse(topic).expect("the configuration has checked it");
    let verifier = Verifier::new(keys, auth.auth_audience.clone(), auth.auth_issuer.clone());
    Auth::new(verifier, auth.anonymous_topics().iter().map(parse).collect())
}

/// Who may do what is for operators by the door at this address, as the configuration has it.
pub fn access(config: &Config, address: &Address, is_admin: bool) -> Access {
    let name = match (&config.admin, is_admin) {
        (Some(Place::Ip(host, _)), true) => host,
        _ => &config.host,
    };
    let reach = match address {
        _ if address.is_loopback() => Reach::ThisMachine(Host::read(name)),
        Address::Unix(_) if is_admin => Reach::Operators,
        _ => Reach::World,
    };
    Access { token: config.publish_token.clone(), reach }
}

/// What is kept for clients that come back.
pub fn history_limits(config: &Config) -> HistoryLimits {
    HistoryLimits { publications: config.history_size, bytes: config.history_bytes, age: config.history_ttl }
}

/// How the engine is spoken to by the machine that listens at this address, if the configuration names one.
pub fn engine_terms(config: &Config, address: &Address) -> Option<EngineTerms> {
    let url = config.engine.url.as_ref()?;
    let seed = RandomState::new().hash_one(());
    // The same after a restart and for a successor, so that nobody's clients are counted twice.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let place = [host.trim().as_bytes(), address.to_string().as_bytes()].map(<[u8]>::to_vec);
    let machine = Fingerprint::of(place.iter().map(Vec::as_slice));
    let password = url.password.as_ref().map(|password| password.reveal().to_owned());
    let credentials = Credentials { user: url.user.clone(), password };
    let speaker =
        Speaker::new(&config.engine.engine_name, machine, config.history_size).known_by(credentials, url.db);
    let speaker = match &url.at {
        EngineAddress::Sentinel { name, .. } => speaker.asking_for(name.clone()),
        EngineAddress::Tcp { .. } | EngineAddress::Unix(_) => speaker,
    };
    let wait = config.engine.engine_wait.0;
    Some(EngineTerms {
        speaker,
        name: url.to_string(),
        sentinels: url.at.sentinels(),
        page: page_for(config.max_publish_size),
        wait_ms: wait.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        seed,
    })
}

/// A random number that distinguishes one history from another.
pub fn random_epoch() -> u32 {
    // The standard library seeds its hashers from the system's randomness.
    // Epoch 0 is that of a server that does not know any yet.
    ((RandomState::new().hash_one(()) >> 32) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn what_the_configuration_takes_for_a_topic_or_a_pattern_is_one_here() {
        let longest = "x".repeat(128);
        let (wide, too_wide) = (format!("{}/*", &longest[..127]), format!("{longest}/*"));
        let too_long = longest.clone() + "x";
        for topic in [
            "a",
            "*",
            "a/*",
            "a/b/*",
            "a*",
            "a/",
            "/",
            "/*",
            "a//*",
            "**",
            "*/a",
            "a/*/b",
            "A.b_c-d:e/9",
            "ä",
            "a b",
            &longest,
            &too_long,
            &wide,
            &too_wide,
        ] {
            let flags =
                ["slackwater", "--auth-secret-file", "/x", "--anonymous-topic", topic].map(OsString::from);
            let taken = Config::read(flags).is_ok_and(|config| config.auth.anonymous_topics() == [topic]);
            assert_eq!(taken, Filter::parse(topic).is_ok(), "{topic}");
        }
    }
}

//! What is to be said about a configuration, in one place: a server that starts logs some of it, `slackwater check` prints
//! all. Decides by the configuration and by addresses; reads no file, but asks whether the folder for challenges is there.

use std::ffi::OsString;
use std::fmt;

use jiff::Timestamp;
use log::{info, warn};

use crate::config::Config;
use crate::config::auth::AuthConfig;
use crate::config::origins::AllowedOrigin;
use crate::config::sources::Sources;
use crate::config::variables;
use crate::http::access::Reach;
use crate::http::keys::VerifyingKeys;
use crate::server::Address;
use crate::server::certificate::CertificateFile;
use crate::server::terms::access;
use crate::server::webroot::{Webroot, Withheld};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// What is so.
    Fact(String),
    /// What is dangerous or not by things that cannot be seen from here.
    Note(String),
    /// What is dangerous.
    Danger(String),
}

impl Remark {
    /// The same with the variable or the line in the place of each flag that was given there.
    #[must_use]
    pub fn located(self, sources: &Sources) -> Self {
        match self {
            Self::Fact(text) => Self::Fact(text),
            Self::Note(text) => Self::Note(sources.locate(&text)),
            Self::Danger(text) => Self::Danger(sources.locate(&text)),
        }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        match self {
            Self::Fact(text) | Self::Note(text) => info!("{text}"),
            Self::Danger(text) => warn!("{text}"),
        }
    }
}

/// As a command prints it.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(text) => f.write_str(text),
            Self::Note(text) => write!(f, "note: {text}"),
            Self::Danger(text) => write!(f, "warning: {text}"),
        }
    }
}

/// Which variables of these names look like flags and change nothing.
pub fn of_variables(names: impl Iterator<Item = OsString>) -> Vec<Remark> {
    let text = |variable: variables::UnknownVariable| {
        let meant = variable.nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        format!("The variable {} in the environment means nothing{meant}", variable.name)
    };
    variables::unknown(names).into_iter().map(text).map(Remark::Danger).collect()
}

/// Which configuration file was read, and what of it does not count.
pub fn of_file(config: &Config) -> Vec<Remark> {
    let Some(file) = &config.file.read else { return vec![] };
    let path = file.path.display();
    let read = match file.keys {
        0 => Remark::Danger(format!(
            "The configuration file {path} sets nothing: all flags have their defaults"
        )),
        1 => Remark::Fact(format!("One flag is set by the configuration file {path}")),
        several => Remark::Fact(format!("{several} flags are set by the configuration file {path}")),
    };
    [read].into_iter().chain(file.overridden.iter().cloned().map(Remark::Fact)).collect()
}

/// What is served, and where.
pub fn serving(config: &Config, address: &Address) -> String {
    let place = match address {
        Address::Ip(address) => {
            let s = if config.ssl.is_on() { "s" } else { "" };
            format!("the page on http{s}://{address} and the WebSocket on ws{s}://{address}/ws")
        }
        Address::Unix(_) => format!("on {address}"),
    };
    let workers =
        if config.workers > 1 { format!(" with {} workers", config.workers) } else { String::new() };
    format!("{place}{workers}")
}

/// Where operators are answered, if they have a door of their own.
pub fn operators(config: &Config, admin: &Address) -> Remark {
    let scheme = match (admin.ip(), config.ssl.admin_ssl) {
        (None, _) => "",
        (Some(_), true) => "https://",
        (Some(_), false) => "http://",
    };
    Remark::Fact(format!("Operators are answered on {scheme}{admin}"))
}

/// Where plain HTTP is redirected, if it is.
pub fn redirecting(redirect: &Address) -> Remark {
    Remark::Fact(format!("Requests to http://{redirect} are redirected to HTTPS"))
}

/// What keeps certificate authorities from being given what they ask for, if something does.
pub fn of_webroot(config: &Config) -> Option<Remark> {
    let folder = config.redirect.acme_webroot.as_deref()?;
    if let Some(Withheld::Denied(text)) = Webroot::at(folder).denied() {
        return Some(Remark::Danger(text));
    }
    if folder.is_dir() {
        return None;
    }
    Some(Remark::Danger(format!(
        "--acme-webroot {} is no folder: certificate authorities are told that there is nothing",
        folder.display()
    )))
}

/// With whom publications are shared, if with anybody.
pub fn engine(config: &Config) -> Option<Remark> {
    let (url, name) = (config.engine.url.as_ref()?, &config.engine.engine_name);
    Some(Remark::Fact(format!(
        "Publications are shared, in one order, with all that use the engine {url} under the name {name}"
    )))
}

/// Who may do what: what a server says once it serves at this address, and at the one for operators.
pub fn of_access(config: &Config, address: &Address, admin: Option<&Address>) -> Vec<Remark> {
    let mut remarks = vec![];
    let addresses = &config.addresses;
    if addresses.has_proxies() && addresses.forwarded_allow_ips.are_all() {
        let text = "--forwarded-allow-ips believes everybody: a client that can reach this port makes up its address";
        remarks.push(Remark::Danger(text.to_owned()));
    }
    remarks.extend(who_may_hear(&config.auth));
    if config.publish_token.is_none() {
        remarks.extend(admin.and_then(of_open_door));
        remarks.push(who_may_publish(config, admin.unwrap_or(address), admin.is_some()));
    }
    if config.origins.all().contains(&AllowedOrigin::Any) {
        let text = "Pages of every web site may listen in a browser that reaches this server, and publish where programs beside it \
             may: instead of --allowed-origin * name those that are to";
        remarks.push(Remark::Danger(text.to_owned()));
    }
    remarks
}

/// What others than operators may do at the door of these, if they can reach it.
pub fn of_open_door(admin: &Address) -> Option<Remark> {
    let ip = admin.ip().filter(|_| !admin.is_loopback())?;
    Some(Remark::Danger(format!(
        "Everyone who can reach {ip} may read /status and /metrics there: let nobody but operators, or take a loopback address or \
         a Unix socket for --admin"
    )))
}

/// How many of the keys in the file count, if not all do.
pub fn of_keys(keys: &VerifyingKeys) -> Option<Remark> {
    keys.tally().map(|tally| Remark::Note(format!("In --auth-key-file {tally}")))
}

/// What clients are shown, and what is wrong with it at this time.
pub fn of_certificate(file: &CertificateFile, now: Timestamp) -> Vec<Remark> {
    let shown = Remark::Fact(format!("Clients are shown {}", file.description()));
    [shown].into_iter().chain(file.warnings(now).into_iter().map(Remark::Danger)).collect()
}

/// What may be heard without a token, where tokens are expected.
fn who_may_hear(auth: &AuthConfig) -> Option<Remark> {
    match &auth.anonymous_topics()[..] {
        _ if !auth.is_on() => None,
        [] => Some(Remark::Fact("Nobody may hear anything without a token".to_owned())),
        topics if topics.iter().any(|topic| topic == "*") => Some(Remark::Danger(
            "Without a token everyone may hear everything: instead of --anonymous-topic * name what everyone is to hear"
                .to_owned(),
        )),
        topics => Some(Remark::Fact(format!(
            "Without a token everyone may hear {} and nothing else",
            topics.join(", ")
        ))),
    }
}

/// To whom what is for operators is open while they have no token.
fn who_may_publish(config: &Config, door: &Address, is_admin: bool) -> Remark {
    let text = match access(config, door, is_admin).reach {
        Reach::ThisMachine(_) if config.addresses.proxy_protocol && !is_admin => {
            "A program of --forwarded-allow-ips that begins with LOCAL of the PROXY protocol may publish, read /metrics and make \
             the server leave, and no client of a proxy may: to ask for a token, set --publish-token-file"
        }
        Reach::ThisMachine(_) => {
            "Everyone on this machine may publish, read /metrics and make the server leave, and so may everyone behind a \
             proxy on it that adds no X-Forwarded-For: to ask for a token, set --publish-token-file"
        }
        Reach::Operators => {
            return Remark::Fact(format!(
                "Everyone who may open {door} may publish and make the server leave"
            ));
        }
        Reach::World if config.auth.is_on() => {
            "Whoever's token grants it may publish. To publish everything, and to make the server leave, set --publish-token-file"
        }
        Reach::World => {
            return Remark::Danger(
                "Publishing is off: others than this machine could publish. Set --publish-token or --publish-token-file"
                    .to_owned(),
            );
        }
    };
    Remark::Fact(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// Who may publish by a loopback address, and by a door of the operators' own there.
    fn may_publish(flags: &str) -> [String; 2] {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        let config = Config::read(args).unwrap();
        let door = Address::Ip("127.0.0.1:80".parse().unwrap());
        [false, true].map(|is_admin| who_may_publish(&config, &door, is_admin).to_string())
    }

    #[test]
    fn who_may_publish_depends_on_how_proxies_say_for_whom_they_ask() {
        let everyone = "Everyone on this machine may publish";
        let by_header = "everyone behind a proxy on it that adds no X-Forwarded-For";
        for flags in ["", "--proxy-headers"] {
            for text in may_publish(flags) {
                assert!(text.starts_with(everyone) && text.contains(by_header), "{flags}: {text}");
            }
        }
        for flags in ["--proxy-protocol", "--proxy-protocol --proxy-headers"] {
            let [public, own] = may_publish(flags);
            assert!(
                public.contains("begins with LOCAL") && public.contains("no client of a proxy"),
                "{public}"
            );
            // There nobody sends it.
            assert!(own.starts_with(everyone), "{own}");
        }
    }
}

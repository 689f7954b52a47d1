//! What a successor that SIGHUP has started is told of the configuration of the process before it: where that was to listen, which the
//! successor goes on with whatever the configuration says by now, and how its log is written. Opens nothing.

use std::collections::BTreeMap;
use std::env;

use serde::{Deserialize, Serialize};

use crate::config::{Config, LogFormat, Place};
use crate::process::listeners::{Listening, OpenError, is_named, is_named_admin, is_named_redirect};

/// Names the variable in which it is told.
pub const TOLD: &str = "_SLACKWATER_FORMER";

/// The keys of an address at which clients come in,
const ADDRESS: [&str; 2] = ["host", "port"];

/// and of what is listened on in its place.
const NO_ADDRESS: [&str; 2] = ["uds", "fd"];

const ADMIN: &str = "admin";

/// Whether operators are answered by TLS, which counts wherever they come in.
const ADMIN_SSL: &str = "admin-ssl";

const REDIRECT: &str = "http-redirect";

/// Of all that is listened on.
const BACKLOG: &str = "backlog";

/// What counts, as it was told at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    is_json: bool,
    /// By the key; `None` for what is not set.
    values: BTreeMap<String, Option<String>>,
}

impl Former {
    /// What this process was told, if it is such a successor.
    pub fn told() -> Option<Self> {
        serde_json::from_str(&env::var(TOLD).ok()?).ok()
    }

    /// What a successor of this process is to be told, as text.
    pub fn to_tell(config: &Config) -> String {
        let own = Self::of(config);
        let counts = match Self::told() {
            Some(told) => told.followed_by(own),
            None => own,
        };
        serde_json::to_string(&counts).expect("texts by their names can be written")
    }

    /// How the log is written.
    pub fn log_format(&self) -> LogFormat {
        if self.is_json { LogFormat::Json } else { LogFormat::Text }
    }

    fn of(config: &Config) -> Self {
        let admin = config.admin.as_ref().map(|admin| match admin {
            Place::Ip(host, port) => format!("{host}:{port}"),
            Place::Path(path) => path.display().to_string(),
        });
        let values = [
            ("host", Some(config.host.clone())),
            ("port", Some(config.port.to_string())),
            ("uds", config.uds.as_ref().map(|path| path.display().to_string())),
            ("fd", config.fd.map(|fd| fd.to_string())),
            (ADMIN, admin),
            (ADMIN_SSL, config.ssl.admin_ssl.then(|| "true".to_owned())),
            (REDIRECT, config.redirect.http_redirect.map(|port| port.to_string())),
            (BACKLOG, Some(config.backlog.to_string())),
        ];
        let values = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { is_json: config.log.log_format == LogFormat::Json, values }
    }

    /// What counts once a process with that configuration has gone on with what was listened on before.
    fn followed_by(self, own: Self) -> Self {
        let (secures_admin, mut values) = (own.secures_admin(), own.values);
        values.extend(self.values);
        values.insert(ADMIN_SSL.to_owned(), secures_admin.then(|| "true".to_owned()));
        Self { is_json: own.is_json, values }
    }

    /// Whether clients come in at an address.
    fn has_address(&self) -> bool {
        NO_ADDRESS.iter().all(|key| self.values.get(*key).is_none_or(Option::is_none))
    }

    fn secures_admin(&self) -> bool {
        self.values.get(ADMIN_SSL).is_some_and(Option::is_some)
    }

    /// What is to be said of each key that has changed and does not count, since these sockets are another's still.
    ///
    /// # Errors
    /// When a name does not resolve; operators would be answered in plain where they spoke TLS, though nobody has asked for that there; or
    /// requests would be redirected to HTTPS that is not spoken any more.
    pub fn unheeded(&self, config: &Config, listening: Listening<'_>) -> Result<Vec<String>, OpenError> {
        let redirect = listening.redirect.map_or(Ok(false), |bound| is_named_redirect(config, bound))?;
        let admin = listening.admin.map_or(Ok(false), |bound| is_named_admin(config, bound))?;
        let public = is_named(config, listening.public)?;
        let own = Self::of(config);
        // Beside what takes its place a host or a port means nothing, and is a default as a rule.
        let is_address = self.has_address() && own.has_address();
        let counts = |key: &str| match key {
            ADMIN => admin,
            ADMIN_SSL => true,
            REDIRECT => redirect,
            BACKLOG => false,
            key => public || ADDRESS.contains(&key) && !is_address,
        };
        if self.secures_admin() && !own.secures_admin() && !admin && listening.admin.is_some() {
            return Err(OpenError::AdminInPlain(
                self.values.get(ADMIN).cloned().flatten().unwrap_or_default(),
            ));
        }
        if listening.redirect.is_some() && !config.ssl.is_on() {
            return Err(OpenError::RedirectToNothing);
        }
        let changed = self.values.iter().filter_map(|(key, was)| {
            let is = own.values.get(key).filter(|is| *is != was && !counts(key))?;
            let flag = format!("--{key}");
            let name = config.sources.locate(&flag);
            let name = if name == flag { key } else { &name };
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            Some(format!(
                "{name} has changed from {} to {}, which does not count until a restart",
                shown(was),
                shown(is)
            ))
        });
        Ok(changed.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::server::bound_socket::BoundSocket;

    fn config(flags: &str) -> Config {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        Config::read(args).unwrap()
    }

    /// What is said of a change while the former's sockets are listened on.
    fn said(before: &str, after: &str) -> Vec<String> {
        let bind = || BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let (public, admin) = (bind(), bind());
        let listening = Listening { public: &public, admin: Some(&admin), redirect: None };
        Former::of(&config(before)).unheeded(&config(after), listening).unwrap()
    }

    #[test]
    fn each_key_that_has_changed_and_does_not_count_is_named_with_both_values() {
        let does_not = "which does not count until a restart";
        for (before, after, expected) in [
            ("--port 1", "--port 1", vec![]),
            ("--port 1", "--port 2", vec![format!("port has changed from 1 to 2, {does_not}")]),
            ("--port 1", "", vec![format!("port has changed from 1 to 8000, {does_not}")]),
            ("--uds /x", "", vec![format!("uds has changed from /x to none, {does_not}")]),
            ("--port 1", "--uds /x", vec![format!("uds has changed from none to /x, {does_not}")]),
            ("--port 1", "--fd 3", vec![format!("fd has changed from none to 3, {does_not}")]),
            ("--uds /x", "--port 2", vec![format!("uds has changed from /x to none, {does_not}")]),
            ("--backlog 8", "--backlog 9", vec![format!("backlog has changed from 8 to 9, {does_not}")]),
            (
                "--admin 127.0.0.1:1",
                "--admin /run/a",
                vec![format!("admin has changed from 127.0.0.1:1 to /run/a, {does_not}")],
            ),
            // Where it listens all the same.
            ("--port 1", "--port 0", vec![]),
            ("--admin 127.0.0.1:1", "--admin 127.0.0.1:0", vec![]),
        ] {
            assert_eq!(said(before, after), expected, "{before}: {after}");
        }
    }

    #[test]
    fn what_did_not_count_is_told_of_again_at_the_next_reload() {
        let [first, second] = ["--port 1 --admin /a", "--port 2"].map(|flags| Former::of(&config(flags)));
        let counts = first.followed_by(second);
        assert_eq!(counts.values["port"], Some("1".to_owned()));
        assert_eq!(counts.values[ADMIN], Some("/a".to_owned()));
    }

    #[test]
    fn operators_are_not_answered_in_plain_where_they_spoke_tls_unless_that_is_asked_for_there() {
        let public = BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let admin = BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let listening = Listening { public: &public, admin: Some(&admin), redirect: None };
        let (plain, secure) =
            ("--ssl-certfile c --admin 127.0.0.1:0", "--ssl-certfile c --admin 127.0.0.1:0 --admin-ssl");
        let before = |flags: &str| Former::of(&config(flags));
        for (after, is_refused) in [
            (secure, false),
            (plain, false),
            ("--ssl-certfile c", true),
            ("", true),
            ("--ssl-certfile c --admin 127.0.0.2:0", true),
            ("--ssl-certfile c --admin 127.0.0.2:0 --admin-ssl", false),
        ] {
            let is_error = before(secure).unheeded(&config(after), listening).is_err();
            assert_eq!(is_error, is_refused, "{after}");
            assert!(before(plain).unheeded(&config(after), listening).is_ok(), "{after}");
            // What was asked for in between counts.
            let between = before(secure).followed_by(before(plain));
            assert!(between.unheeded(&config(after), listening).is_ok(), "{after}");
            let between = before(plain).followed_by(before(secure));
            assert_eq!(between.unheeded(&config(after), listening).is_err(), is_refused, "{after}");
        }
    }

    #[test]
    fn requests_are_not_redirected_to_https_that_is_gone() {
        let public = BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let redirect = BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let before = || Former::of(&config("--ssl-certfile c --http-redirect 0"));
        for (after, redirect, is_refused) in [
            ("--ssl-certfile c --http-redirect 0", Some(&redirect), false),
            ("--ssl-certfile c", Some(&redirect), false),
            ("", Some(&redirect), true),
            ("", None, false),
        ] {
            let listening = Listening { public: &public, admin: None, redirect };
            assert_eq!(before().unheeded(&config(after), listening).is_err(), is_refused, "{after}");
        }
    }

    #[test]
    fn a_door_that_is_new_or_not_wanted_any_more_is_named_too() {
        let does_not = "which does not count until a restart";
        let public = BoundSocket::bind("127.0.0.1", 0, 8, false).unwrap();
        let listening = Listening { public: &public, admin: None, redirect: None };
        let told = Former::of(&config("")).unheeded(&config("--admin 127.0.0.1:1"), listening).unwrap();
        assert_eq!(told, [format!("admin has changed from none to 127.0.0.1:1, {does_not}")]);
        assert_eq!(
            said("--admin 127.0.0.1:1", ""),
            [format!("admin has changed from 127.0.0.1:1 to none, {does_not}")]
        );
    }
}

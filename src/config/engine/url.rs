//! The URL of the engine, in the forms that other clients of Redis and Valkey have. What is wrong with one is said without a
//! user, a password or anything that may have been meant as one.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::config::authority::{is_host, read_port, split_port};
use crate::config::secret::Secret;

const FORM: &str = "give redis://[user:password@]host[:port][/db], unix:///path[?db=N] or \
    redis+sentinel://[user:password@]host[:port],…/name[/db], and for TLS rediss:// or rediss+sentinel://";

const LEFT_OUT: &str = "this program was built without TLS: build it with the feature 'tls', or give redis:// (or redis+sentinel://) \
    and a tunnel on this machine that has it, such as stunnel or Envoy";

const ENCODE: &str = "in a user, a password and a path / ? # @ % are written %2F %3F %23 %40 %25";

const ENGINE_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What the greatest number of databases lets be (`databases` in redis.conf).
const MAX_DB: u32 = i32::MAX.unsigned_abs() - 1;

/// Where the engine is, and as whom it is asked.
#[derive(Debug, Clone)]
pub struct EngineUrl {
    /// Whom to be (`AUTH user password`); the default user without one.
    pub user: Option<String>,
    /// The password: also without a user (`AUTH password`). One in a file is put here before anything connects.
    pub password: Option<Secret>,
    /// The database (`SELECT`).
    pub db: u32,
    /// Where it listens.
    pub at: EngineAddress,
    /// What is spoken there, and with its sentinels.
    pub encryption: Encryption,
}

/// Who can read what is said on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Whoever is on it.
    None,
    /// Nobody else.
    Tls,
}

/// Where the engine listens, or who knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAddress {
    /// A host and a port.
    Tcp {
        /// A name or an address; of IPv6 without brackets.
        host: String,
        /// From 1 on.
        port: u16,
    },
    /// A Unix socket, by an absolute path.
    Unix(PathBuf),
    /// Sentinels know.
    Sentinel {
        /// Hosts and ports as above, at least one.
        sentinels: Vec<(String, u16)>,
        /// What they call it.
        name: String,
    },
}

/// What the scheme says of the rest.
enum Kind {
    Tcp,
    Unix,
    Sentinel,
}

impl EngineUrl {
    /// Reads one as it is written.
    ///
    /// # Errors
    /// What to write instead, without a user and a password.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("there is a space or a line break in it, which in a password is written %20 or %0A"
                .to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let (kind, encryption) = Kind::of(scheme).ok_or(FORM)?;
        if encryption == Encryption::Tls && !cfg!(feature = "tls") {
            return Err(LEFT_OUT.to_owned());
        }
        if rest.contains('#') {
            return Err(format!("a URL of an engine has no fragment: {ENCODE}"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_cut = match kind {
            // Where nobody logs in there is no password.
            Kind::Unix => path.contains('@') && authority.contains('@'),
            Kind::Tcp | Kind::Sentinel => path.contains('@'),
        };
        // An unescaped password ends too early, and what is left of it is no path to be shown.
        if is_cut || query.contains('@') {
            return Err(format!("there is an @ too far behind: {ENCODE}"));
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = read_login(login)?;
        let (at, db_in_path) = match kind {
            Kind::Tcp => {
                let (host, port) = read_host(hosts, ENGINE_PORT)?;
                (EngineAddress::Tcp { host, port }, path.strip_prefix('/').unwrap_or_default())
            }
            Kind::Unix => (EngineAddress::Unix(read_path(hosts, path)?), ""),
            Kind::Sentinel => read_sentinels(hosts, path)?,
        };
        let db = match (db_in_path, read_query(query)?) {
            (in_path, None) => read_db(in_path)?,
            ("", Some(in_query)) => read_db(in_query)?,
            _ => return Err("the database stands in it twice: give /db or ?db=N".to_owned()),
        };
        Ok(Self { user, password, db, at, encryption })
    }
}

/// For the log: without a user and a password.
impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.encryption {
            Encryption::None => "redis",
            Encryption::Tls => "rediss",
        };
        match &self.at {
            EngineAddress::Tcp { host, port } => {
                write!(f, "{scheme}://{}:{port}/{}", in_brackets(host), self.db)
            }
            EngineAddress::Unix(path) => write!(f, "unix://{}?db={}", path.display(), self.db),
            EngineAddress::Sentinel { sentinels, name } => {
                write!(f, "{scheme}+sentinel://{}/{name}/{}", names(sentinels).join(","), self.db)
            }
        }
    }
}

impl EngineAddress {
    /// Each of the sentinels, with its port; none where there are none.
    pub fn sentinels(&self) -> Vec<String> {
        match self {
            Self::Tcp { .. } | Self::Unix(_) => vec![],
            Self::Sentinel { sentinels, .. } => names(sentinels),
        }
    }

    /// The hosts that it names; none for a Unix socket.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Tcp { host, .. } => vec![host],
            Self::Unix(_) => vec![],
            Self::Sentinel { sentinels, .. } => sentinels.iter().map(|(host, _)| host.as_str()).collect(),
        }
    }
}

impl Kind {
    fn of(scheme: &str) -> Option<(Self, Encryption)> {
        // `valkey` is what Valkey's own clients say, `redis+socket` Celery.
        Some(match &*scheme.to_ascii_lowercase() {
            "redis" | "valkey" => (Self::Tcp, Encryption::None),
            "rediss" | "valkeys" => (Self::Tcp, Encryption::Tls),
            "unix" | "redis+unix" | "valkey+unix" | "redis+socket" => (Self::Unix, Encryption::None),
            "redis+sentinel" | "valkey+sentinel" => (Self::Sentinel, Encryption::None),
            "rediss+sentinel" | "valkeys+sentinel" => (Self::Sentinel, Encryption::Tls),
            _ => return None,
        })
    }
}

fn read_login(login: Option<&str>) -> Result<(Option<String>, Option<Secret>), String> {
    let Some(login) = login else { return Ok((None, None)) };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let user = Some(decoded(user)?.into_owned()).filter(|user| !user.is_empty());
    let password = match password {
        Some("") => {
            return Err("the password is empty: give one, or leave it out with the : and the @".to_owned());
        }
        Some(password) => Some(Secret::read_password(&decoded(password)?)?),
        None => None,
    };
    Ok((user, password))
}

/// Reads HOST[:PORT]. A port that is none is not shown: where the @ has been forgotten it is a password.
fn read_host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    const HOST: &str =
        "give a host: a name, an address, or one of IPv6 in brackets, and behind it a port or none";
    let (host, port) = split_port(text).ok_or(HOST)?;
    // The dot at the end of a name says that it is whole (RFC 1034 §3.1).
    if !is_host(host.strip_suffix('.').unwrap_or(host)) {
        return Err(HOST.to_owned());
    }
    let port = match port {
        None => default_port,
        Some(digits) => read_port(digits).ok_or_else(|| {
            format!("give the port as a number from 1 to 65535, or none for {default_port}")
        })?,
    };
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn read_path(hosts: &str, path: &str) -> Result<PathBuf, String> {
    if !hosts.is_empty() {
        return Err(format!(
            "a path begins with a third slash, as unix:///run/valkey.sock, and behind user:password@: {ENCODE}"
        ));
    }
    match &*decoded(path)? {
        "" | "/" => Err("there is no path: give one, as unix:///run/valkey.sock".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

/// Reads the hosts, and of the path the name; the database is what is left.
fn read_sentinels<'a>(hosts: &str, path: &'a str) -> Result<(EngineAddress, &'a str), String> {
    let sentinels = hosts.split(',').map(|host| read_host(host, SENTINEL_PORT)).collect::<Result<_, _>>()?;
    let path = path.strip_prefix('/').unwrap_or_default();
    let (name, db) = path.split_once('/').unwrap_or((path, ""));
    // What Sentinel itself lets a name be.
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
    if name.is_empty() || !name.bytes().all(is_allowed) {
        return Err(
            "behind the sentinels stands a / and what they call the engine ('sentinel monitor'): letters, digits and . - _"
                .to_owned(),
        );
    }
    Ok((EngineAddress::Sentinel { sentinels, name: name.to_owned() }, db))
}

fn read_db(digits: &str) -> Result<u32, String> {
    if digits.is_empty() {
        return Ok(0);
    }
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let db = digits.parse().ok().filter(|db| is_number && *db <= MAX_DB);
    db.ok_or_else(|| format!("give the database as a whole number from 0 to {MAX_DB}"))
}

/// Reads `db=N`, all that may stand there.
fn read_query(query: &str) -> Result<Option<&str>, String> {
    let mut db = None;
    for (key, value) in query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        match key {
            "db" if db.is_none() && !value.is_empty() => db = Some(value),
            "db" => return Err("give one database as ?db=N".to_owned()),
            "user" | "username" | "pass" | "password" => {
                return Err(format!("a user and a password stand in front, as user:password@: {ENCODE}"));
            }
            _ => return Err("nothing may stand behind the ? but db=N".to_owned()),
        }
    }
    Ok(db)
}

/// What is written with percent signs (RFC 3986 §2.1).
fn decoded(text: &str) -> Result<Cow<'_, str>, String> {
    let is_escape =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return Err(format!("behind a % there are no two hexadecimal digits: {ENCODE}"));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "what its % stand for is no UTF-8")?;
    if decoded.contains(char::is_control) {
        return Err(
            "in a user, a password and a path there may be no control character, such as %0A".to_owned()
        );
    }
    Ok(decoded)
}

fn names(hosts: &[(String, u16)]) -> Vec<String> {
    hosts.iter().map(|(host, port)| format!("{}:{port}", in_brackets(host))).collect()
}

fn in_brackets(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;

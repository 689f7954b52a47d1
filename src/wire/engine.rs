//! What is said to an engine, the Redis or Valkey that orders the publications of all machines: its keys, its entries, the
//! commands and scripts, and what their answers mean. Opens no connection and decides nothing.
//!
//! Sources: the commands' pages at <https://redis.io/docs/latest/commands/>; the scripts are in this folder. All keys have the name
//! as their hash tag, so that one node of a cluster has them all. The id of an entry is that of the publication, in decimal:
//! `<epoch>-<position>`.

use std::fmt::{self, Write};

use bytes::BytesMut;

use crate::policy::engine::BLOCK;
use crate::policy::engine::step::Ask;
use crate::policy::fingerprint::Fingerprint;
use crate::policy::sequencer::PublicationId;
use crate::wire::publish::MAX_PUBLICATIONS;
use crate::wire::resp::command::encode;

pub mod answer;
mod discretion;
pub mod entry;
pub mod publishing;

const BEGIN: &str = include_str!("engine/begin.lua");
const BEAT: &str = concat!(include_str!("engine/machines.lua"), include_str!("engine/beat.lua"));
const NOTIFY: &str = concat!(include_str!("engine/machines.lua"), include_str!("engine/notify.lua"));
const TAIL: &str = include_str!("engine/tail.lua");

/// How many entries are read at once at most.
const LONGEST_PAGE: usize = 256;

/// What they come to at most, unless two of them are larger.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// How many entries the stream keeps at least, however few are kept here: what two requests make, so that machines which hear
/// one of them have not missed it before they have read it.
const LEAST_KEPT: usize = 2 * MAX_PUBLICATIONS;

/// How many entries are to be read at once, where each has so many bytes at most.
pub fn page_for(entry_bytes: usize) -> usize {
    (PAGE_BYTES / entry_bytes.max(1)).clamp(2, LONGEST_PAGE)
}

/// Who greets, if anybody has to be known.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `default` without one.
    pub user: Option<String>,
    /// In plain text, for the engine alone.
    pub password: Option<String>,
}

/// Shows nothing.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What a question is about, and so which keys it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// What is read.
    Stream,
    /// In which epoch is published.
    Epoch,
    /// Which machines there are.
    Machines,
    /// The periodic notification.
    Notification,
    /// What somebody publishes.
    Publication,
}

/// What is the same in all that is said to an engine.
#[derive(Debug, Clone)]
pub struct Speaker {
    stream: String,
    epoch: String,
    machines: String,
    lease: String,
    notifications: String,
    /// What keys of publishers begin with.
    keys: String,
    /// Tells this machine from the others.
    machine: String,
    credentials: Credentials,
    database: u32,
    /// The master, as its sentinels call it.
    master: String,
    /// How many entries the stream keeps at least.
    kept: usize,
}

impl Speaker {
    /// Speaks of what is kept under this name, for this machine. The stream keeps so many entries at least, or many more than a
    /// request makes.
    pub fn new(name: &str, machine: Fingerprint, kept: usize) -> Self {
        let key = |what: &str| format!("{{{name}}}:{what}");
        Self {
            stream: key("stream"),
            epoch: key("epoch"),
            machines: key("machines"),
            lease: key("notified"),
            notifications: key("notifications"),
            keys: key("key:"),
            machine: hexadecimal(machine),
            credentials: Credentials::default(),
            database: 0,
            master: String::new(),
            kept: kept.max(LEAST_KEPT),
        }
    }

    /// How many publications may be positioned and not be heard yet before nothing more is to be published: a part of what the
    /// stream keeps, since what it has dropped is not heard any more.
    pub fn most_behind(&self) -> u64 {
        self.kept as u64 / 4
    }

    /// Is known by these, and uses this database.
    #[must_use]
    pub fn known_by(mut self, credentials: Credentials, database: u32) -> Self {
        (self.credentials, self.database) = (credentials, database);
        self
    }

    /// Asks sentinels for the master of this name.
    #[must_use]
    pub fn asking_for(mut self, master: String) -> Self {
        self.master = master;
        self
    }

    /// Words of an engine, or of whoever has answered in its place, as they may be shown: one line, not long, and without the password.
    /// Nothing that such a one has said is to be shown in any other way.
    pub fn show(&self, words: &str) -> String {
        discretion::shown(words, self.credentials.password.as_deref())
    }

    /// The keys of which one may hold what no machine has put there, for whoever has to look.
    pub fn keys_of(&self, matter: Matter) -> String {
        let keys: &[&str] = match matter {
            Matter::Stream => &[&self.stream],
            Matter::Epoch => &[&self.epoch, &self.stream],
            Matter::Machines => &[&self.machines, &self.epoch],
            Matter::Notification => &[&self.lease, &self.notifications, &self.stream, &self.machines],
            Matter::Publication => &[&self.stream, &format!("{}\u{2026}", self.keys)],
        };
        keys.join(" or ")
    }

    /// Appends a question, and says how many replies there will be. Of a greeting, it is answered by the first, else by the last.
    pub fn ask(&self, ask: &Ask, clients: usize, to: &mut BytesMut) -> usize {
        match ask {
            Ask::Master => return self.ask_for_master(to),
            Ask::Greet => return self.greet(to),
            Ask::Begin { known, salt, is_set_back } => {
                let (known, salt) = (stream_id(*known), salt.to_string());
                let set_back = if *is_set_back { "set back" } else { "" };
                encode(to, ["EVAL", BEGIN, "2", &self.stream, &self.epoch, &known, &salt, set_back]);
            }
            Ask::Page { from, most } => {
                let from = from.map_or_else(|| "-".into(), stream_id);
                encode(to, ["XRANGE", &self.stream, &from, "+", "COUNT", &most.to_string()]);
            }
            Ask::Follow { after, most } => {
                let (block, page, after) =
                    (BLOCK.as_millis().to_string(), most.to_string(), stream_id(*after));
                encode(to, ["XREAD", "COUNT", &page, "BLOCK", &block, "STREAMS", &self.stream, &after]);
            }
            Ask::Tail => encode(to, ["EVAL", TAIL, "1", &self.stream]),
            Ask::Beat { .. } => {
                let clients = clients.to_string();
                encode(
                    to,
                    ["EVAL", BEAT, "3", &self.stream, &self.epoch, &self.machines, &self.machine, &clients],
                );
            }
        }
        1
    }

    /// Appends the question where the master is. A sentinel that wants a password mostly wants the same one, and others take any.
    fn ask_for_master(&self, to: &mut BytesMut) -> usize {
        let Credentials { user, password } = &self.credentials;
        let login = [Some("AUTH"), user.as_deref(), password.as_deref()];
        if password.is_some() {
            encode(to, login.into_iter().flatten().collect::<Vec<_>>());
        }
        encode(to, ["SENTINEL", "get-master-addr-by-name", &self.master]);
        1 + usize::from(password.is_some())
    }

    /// Appends who this is, and what it wants to use.
    fn greet(&self, to: &mut BytesMut) -> usize {
        let Credentials { user, password } = &self.credentials;
        let user = user.as_deref().unwrap_or("default");
        match password {
            Some(password) => encode(to, ["HELLO", "3", "AUTH", user, password]),
            None => encode(to, ["HELLO", "3"]),
        }
        if self.database == 0 {
            return 1;
        }
        encode(to, ["SELECT", &self.database.to_string()]);
        2
    }

    /// Appends the periodic notification, unless a machine has published it during the last so many milliseconds.
    pub fn notify(&self, clients: usize, within_ms: u128, epoch: u32, at_unix_ms: i64, to: &mut BytesMut) {
        let numbers = [clients.to_string(), within_ms.max(1).to_string(), epoch.to_string()];
        let [clients, within, epoch] = &numbers;
        let (kept, at) = (self.kept.to_string(), at_unix_ms.to_string());
        let keys = [&self.stream, &self.lease, &self.notifications, &self.machines].map(String::as_str);
        let [stream, lease, notifications, machines] = keys;
        let script = ["EVAL", NOTIFY, "4", stream, lease, notifications, machines];
        let arguments = [&self.machine, clients, within, epoch, &kept, &at].map(String::as_str);
        encode(to, script.into_iter().chain(arguments).collect::<Vec<_>>());
    }

    /// Appends that the engine is to wait for a replica, so long at most.
    pub fn wait(&self, most_ms: u32, to: &mut BytesMut) {
        encode(to, ["WAIT", "1", &most_ms.to_string()]);
    }

    fn key(&self, name: Fingerprint) -> String {
        format!("{}{}", self.keys, hexadecimal(name))
    }
}

/// As the stream has it.
pub fn stream_id(id: PublicationId) -> String {
    format!("{}-{}", id.epoch(), id.position())
}

fn hexadecimal(Fingerprint(octets): Fingerprint) -> String {
    octets.iter().fold(String::with_capacity(32), |mut text, octet| {
        write!(text, "{octet:02x}").expect("a string takes all of it");
        text
    })
}

//! Entries of the stream: what each machine makes the same publication of.

use serde_json::value::RawValue;

use crate::policy::engine::cursor::Kind;
use crate::policy::engine::fault::Fault;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::wire::engine::answer::{garbled, id_of, other, stream_id_from, text_of};
use crate::wire::resp::reply::Reply;

/// One entry.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: PublicationId,
    /// What it says.
    pub content: Content,
}

/// What an entry says.
#[derive(Debug)]
pub enum Content {
    /// What somebody has published.
    Data {
        /// To what.
        topic: TopicName,
        /// As it was written.
        data: Box<RawValue>,
        /// When, in milliseconds since 1970, by the clock of the machine where that was.
        at_unix_ms: i64,
    },
    /// The periodic notification.
    Periodic {
        /// Which one, by the count of all machines.
        number: u64,
        /// Clients of all machines.
        clients: usize,
        /// When.
        at_unix_ms: i64,
    },
    /// An epoch begins.
    Begin {
        /// The last id that precedes it.
        after: Option<PublicationId>,
        /// Something that followed this is lost.
        is_lossy: bool,
    },
    /// Something that no machine has written.
    Alien,
}

impl Content {
    /// What it is to the line of publications.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Data { .. } | Self::Periodic { .. } => Kind::Publication,
            Self::Begin { after, is_lossy } => Kind::Begin { after: *after, is_lossy: *is_lossy },
            Self::Alien => Kind::Alien,
        }
    }
}

/// The entries of a page (<https://redis.io/docs/latest/commands/xrange/>).
///
/// # Errors
/// Why these are none.
pub fn page(reply: Reply) -> Result<Vec<Entry>, Fault> {
    match reply {
        Reply::Array(entries) => entries.iter().map(entry).collect(),
        reply => Err(other(&reply, "no entries")),
    }
}

/// The entries that have come (<https://redis.io/docs/latest/commands/xread/>); none if there are none yet.
///
/// # Errors
/// Why these are none.
pub fn news(reply: Reply) -> Result<Vec<Entry>, Fault> {
    match reply {
        Reply::Null => Ok(vec![]),
        Reply::Map(mut streams) if streams.len() == 1 => page(streams.remove(0).1),
        reply => Err(other(&reply, "no stream")),
    }
}

fn entry(reply: &Reply) -> Result<Entry, Fault> {
    let parts = if let Reply::Array(parts) = reply { &parts[..] } else { &[] };
    let [id, Reply::Array(fields)] = parts else { return Err(garbled("no entry", reply)) };
    let id = id_of(id)?;
    let content =
        read(fields).filter(|content| matches!(content, Content::Begin { .. }) == (id.position() == 0));
    Ok(Entry { id, content: content.unwrap_or(Content::Alien) })
}

/// What the fields say; `None` if no machine has written them.
fn read(fields: &[Reply]) -> Option<Content> {
    let texts = fields.iter().map(text_of).collect::<Option<Vec<_>>>()?;
    match texts[..] {
        ["t", topic, "d", data, "at", at] => Some(Content::Data {
            topic: TopicName::parse(topic).ok()?,
            data: RawValue::from_string(data.to_owned()).ok()?,
            at_unix_ms: at.parse().ok()?,
        }),
        ["n", number, "c", clients, "at", at] => Some(Content::Periodic {
            number: number.parse().ok()?,
            clients: clients.parse().ok()?,
            at_unix_ms: at.parse().ok()?,
        }),
        ["begin", _, "after", after, "lost", lost] => {
            let after = if after.is_empty() { None } else { Some(stream_id_from(after)?) };
            Some(Content::Begin { after, is_lossy: !lost.is_empty() })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;

//! What an engine answers to all but publications, and what its errors mean.

use crate::policy::engine::fault::Fault;
use crate::policy::engine::step::{Beaten, Begun, Greeting};
use crate::policy::sequencer::{MAX_POSITION, PublicationId};
use crate::wire::resp::reply::{Reply, ServerError};

/// What the script says that begins an epoch where it finds ids that no machine gives.
const FOREIGN: &str = "ERR the stream holds ids that no machine has given: ";

/// What an error says of the engine. Most say no more than what they are.
pub fn fault_of(error: &ServerError) -> Fault {
    let text = error.to_string();
    let text = without_origin(&text);
    let mut words = text.split_whitespace();
    match words.next() {
        Some("MOVED") => {
            let named = words.nth(1).and_then(|address| address.rsplit_once(':'));
            let named = named.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            let named = named.filter(|(host, _)| !host.is_empty());
            named.map_or(Fault::Refused(text.to_owned()), |(host, port)| Fault::Moved(host, port))
        }
        Some("READONLY") => Fault::Replica,
        _ if text.contains("equal or smaller than the target stream top item") => Fault::Superseded,
        _ => match text.strip_prefix(FOREIGN) {
            Some(id) => Fault::Foreign(id.to_owned()),
            None => Fault::Refused(text.to_owned()),
        },
    }
}

/// What an error says, without where in which script it was: that says nothing to whoever reads the log.
fn without_origin(text: &str) -> &str {
    match text.split_once(" script: ") {
        Some((words, origin)) if origin.contains("@user_script") => words,
        _ => text,
    }
}

/// Who has answered `HELLO` (<https://redis.io/docs/latest/commands/hello/>).
///
/// # Errors
/// Why this is no engine.
pub fn greeting(reply: &Reply) -> Result<Greeting, Fault> {
    let pairs = match reply {
        Reply::Map(pairs) => pairs,
        Reply::Error(error) => return Err(not_greeted(error)),
        _ => return Err(garbled("no greeting", reply)),
    };
    let field = |name| {
        let pair = pairs.iter().find(|(key, _)| text_of(key) == Some(name));
        pair.and_then(|(_, value)| text_of(value)).map(str::to_owned)
    };
    let (Some(product), Some(version)) = (field("server"), field("version")) else {
        return Err(Fault::Garbled("a greeting that names no server and no version".to_owned()));
    };
    Ok(Greeting { product, version, is_master: field("role").as_deref() == Some("master") })
}

fn not_greeted(error: &ServerError) -> Fault {
    match error.code() {
        "NOAUTH" => Fault::Refused("NOAUTH: it wants a password".to_owned()),
        "WRONGPASS" => Fault::Refused("WRONGPASS: it does not know this user with this password".to_owned()),
        "ERR" if error.to_string().contains("unknown command") => {
            Fault::TooOld { product: "a Redis".to_owned(), version: "without HELLO".to_owned() }
        }
        _ => fault_of(error),
    }
}

/// Where the master is, as a sentinel says; `None` if it does not know it.
///
/// # Errors
/// Why that is no answer.
pub fn master(reply: &Reply) -> Result<Option<(String, u16)>, Fault> {
    match reply {
        Reply::Null => Ok(None),
        Reply::Error(error) => Err(fault_of(error)),
        Reply::Array(parts) => match &parts[..] {
            [host, port] => {
                let port = text_of(port).and_then(|port| port.parse().ok());
                let address = text_of(host).map(str::to_owned).zip(port);
                address.map(Some).ok_or_else(|| garbled("no address", reply))
            }
            _ => Err(garbled("no address", reply)),
        },
        _ => Err(garbled("no address", reply)),
    }
}

/// The epoch in which is published, and the eviction policy that may take the stream, if there is one.
///
/// # Errors
/// Why nothing can be published.
pub fn begun(reply: &Reply) -> Result<(Begun, Option<String>), Fault> {
    let Reply::Array(parts) = reply else { return Err(other(reply, "no epoch")) };
    let [Reply::Integer(epoch), newest, evicts] = &parts[..] else { return Err(garbled("no epoch", reply)) };
    let epoch = u32::try_from(*epoch).map_err(|_| garbled("no epoch", reply))?;
    let evicts = text_of(evicts).filter(|policy| !policy.is_empty()).map(str::to_owned);
    Ok((Begun { epoch, newest: id_of(newest)? }, evicts))
}

/// How far the stream is, as a beat is answered, `None` if it is gone; and why the machine could not be noted, if so.
///
/// # Errors
/// Why that is no answer.
pub fn beaten(reply: &Reply) -> Result<(Option<Beaten>, Option<String>), Fault> {
    let parts = match reply {
        Reply::Null => return Ok((None, None)),
        Reply::Array(parts) => parts,
        _ => return Err(other(reply, "no epoch")),
    };
    let [Reply::Integer(epoch), newest, refused] = &parts[..] else { return Err(garbled("no epoch", reply)) };
    let epoch = u32::try_from(*epoch).map_err(|_| garbled("no epoch", reply))?;
    let given = |part| text_of(part).filter(|text| !text.is_empty());
    let newest = given(newest).map(|_| id_of(newest)).transpose()?;
    let refused = given(refused).map(|why| without_origin(why).to_owned());
    Ok((Some(Beaten { epoch, newest }), refused))
}

/// The newest id of the stream, or that of the periodic notification; `None` if there is none.
///
/// # Errors
/// Why that is no answer.
pub fn id(reply: &Reply) -> Result<Option<PublicationId>, Fault> {
    match reply {
        Reply::Null => Ok(None),
        Reply::Bulk(_) => id_of(reply).map(Some),
        _ => Err(other(reply, "no id")),
    }
}

/// How many replicas have confirmed what was published.
///
/// # Errors
/// Why that is no answer.
pub fn replicas(reply: &Reply) -> Result<i64, Fault> {
    match reply {
        Reply::Integer(count) => Ok(*count),
        _ => Err(other(reply, "no number of replicas")),
    }
}

/// Whether a command was done whose answer says nothing else.
///
/// # Errors
/// Why it was not.
pub fn done(reply: &Reply) -> Result<(), Fault> {
    match reply {
        Reply::Simple(_) => Ok(()),
        _ => Err(other(reply, "no OK")),
    }
}

/// Reads an id as the stream has it.
pub(super) fn id_of(reply: &Reply) -> Result<PublicationId, Fault> {
    let text = text_of(reply).unwrap_or_default();
    stream_id_from(text).ok_or_else(|| {
        let numbers = text.split_once('-').map(|(time, number)| [time, number].map(str::parse::<u64>));
        // As the stream may have it. Anything else is not shown.
        match numbers {
            Some([Ok(_), Ok(_)]) => Fault::Foreign(text.to_owned()),
            _ => garbled("no id", reply),
        }
    })
}

/// Reads `<epoch>-<position>`, in decimal.
pub(super) fn stream_id_from(text: &str) -> Option<PublicationId> {
    let (epoch, position) = text.split_once('-')?;
    let position = position.parse().ok().filter(|position| *position <= MAX_POSITION)?;
    Some(PublicationId::new(epoch.parse().ok()?, position))
}

/// The text of a string, if it is one.
pub(super) fn text_of(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Bulk(octets) | Reply::Simple(octets) => str::from_utf8(octets).ok(),
        _ => None,
    }
}

/// An error, or something that is no answer.
pub(super) fn other(reply: &Reply, expected: &str) -> Fault {
    match reply {
        Reply::Error(error) => fault_of(error),
        _ => garbled(expected, reply),
    }
}

/// Something that is no answer. Only what is said to be an error, or in a word, is shown: anything else may be what was sent there.
pub(super) fn garbled(expected: &str, reply: &Reply) -> Fault {
    let kind = match reply {
        // As they are: escaped, a password would not be known again.
        Reply::Simple(words) => format!("the simple string \"{}\"", String::from_utf8_lossy(words)),
        Reply::Error(error) => format!("the error \"{error}\""),
        Reply::Integer(_) => "an integer".to_owned(),
        Reply::Bulk(octets) => format!("a string of {} bytes", octets.len()),
        Reply::Null => "nothing".to_owned(),
        Reply::Array(values) => format!("an array of {}", values.len()),
        Reply::Set(values) => format!("a set of {}", values.len()),
        Reply::Push(_) => "a push".to_owned(),
        Reply::Map(pairs) => format!("a map of {}", pairs.len()),
        Reply::Double(_) | Reply::BigNumber(_) => "a number".to_owned(),
        Reply::Boolean(_) => "a boolean".to_owned(),
    };
    Fault::Garbled(format!("{expected}, but {kind}"))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

//! The JSON between client and server: every message is one text frame with one object, `type` first.

use std::fmt::Display;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::frame::Frame;
use crate::message::Message;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;

/// The topic of the periodic notification, and of a connection that names none.
pub const DEFAULT_TOPIC: &str = "notifications";

/// The version of the contract with clients, docs/protocol.md: another number where something is removed or means something else.
pub const PROTOCOL: u32 = 1;

/// The longest topic that a refusal repeats, in bytes: more than any topic has, so that whoever asked knows which one it was.
const MAX_ECHOED_BYTES: usize = 1024;

/// A topic that was asked for and is none, as it is repeated to whoever asked; `None` if it is too long for that.
pub fn echoed(topic: String) -> Option<String> {
    (topic.len() <= MAX_ECHOED_BYTES).then_some(topic)
}

/// The periodic notification of this number, and the topic that it is published to.
pub fn periodic(
    id: PublicationId,
    number: u64,
    active_connections: usize,
    timestamp: Timestamp,
) -> (TopicName, Message) {
    let (topic, message) = (DEFAULT_TOPIC, &format!("Periodic notification #{number}"));
    let message = ServerMessage::Notification { id, topic, message, timestamp, active_connections };
    let topic = TopicName::parse(topic).expect("the default is a topic");
    (topic, message.to_message(id))
}

/// A publication of a publisher's data.
pub fn data(id: PublicationId, topic: &TopicName, data: &RawValue, timestamp: Timestamp) -> Message {
    ServerMessage::Data { id, topic: topic.as_str(), data, timestamp }.to_message(id)
}

/// What the server says. Fields may be added, never renamed or removed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerMessage<'a> {
    /// The first message on every connection.
    Welcome {
        /// The version of the contract, [`PROTOCOL`].
        protocol: u32,
        /// For people.
        message: &'a str,
        /// When the connection was accepted.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
        /// Names the connection in logs; opaque.
        connection_id: &'a str,
        /// What the connection hears.
        topics: &'a [&'a str],
        /// The id of the newest publication so far.
        #[serde(serialize_with = "display")]
        last_event_id: PublicationId,
        /// Whether all that was missed follows.
        resumed: bool,
        /// How often the server pings, as scripts in a browser cannot see pings; null when it never does.
        ping_interval_ms: Option<u64>,
    },
    /// A publication.
    Notification {
        /// Its id, opaque to clients.
        #[serde(serialize_with = "display")]
        id: PublicationId,
        /// Its topic.
        topic: &'a str,
        /// For people.
        message: &'a str,
        /// When it was published.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
        /// How many clients were connected.
        active_connections: usize,
    },
    /// A publication of a publisher's data.
    #[serde(rename = "notification")]
    Data {
        /// Its id, opaque to clients.
        #[serde(serialize_with = "display")]
        id: PublicationId,
        /// Its topic.
        topic: &'a str,
        /// What was published, as it was written.
        data: &'a RawValue,
        /// When it was published.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
    /// The answer to `subscribe`.
    Subscribed {
        /// The filter.
        topic: &'a str,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
    /// The answer to `unsubscribe`.
    Unsubscribed {
        /// The filter.
        topic: &'a str,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
    /// The answer to any text that is not a command.
    Echo {
        /// What was received.
        message: &'a str,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
        /// Up to which id the client has heard all that it listens to, once this has reached it; `None` while something of that is
        /// still to come.
        #[serde(serialize_with = "display_if_any", skip_serializing_if = "Option::is_none")]
        last_event_id: Option<PublicationId>,
    },
    /// The reconnect notice: connect anew, and keep this connection until the new one is welcomed.
    Reconnect {
        /// For programs.
        reason: &'a str,
        /// When to connect anew, from now.
        after_ms: u64,
        /// When this connection is closed at the latest, from now; null when it may stay.
        deadline_ms: Option<u64>,
        /// When it was said.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
        /// As that of an echo. `None` on an event stream, where the event has an id of its own.
        #[serde(serialize_with = "display_if_any", skip_serializing_if = "Option::is_none")]
        last_event_id: Option<PublicationId>,
    },
    /// The answer to `publish`.
    Published {
        /// Its id, opaque to clients.
        #[serde(serialize_with = "display")]
        id: PublicationId,
        /// What the command has named, if it has.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a RawValue>,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
    /// The answer to `refresh`.
    Refreshed {
        /// When the token expires; null if it never does.
        #[serde(serialize_with = "milliseconds_or_null")]
        expires: Option<Timestamp>,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
    /// Publications may have been missed: reload what matters.
    Gap {
        /// When it was said.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
        /// Where to resume from, if nothing is published before the connection ends; the last id may be worth nothing any more.
        #[serde(serialize_with = "display_if_any", skip_serializing_if = "Option::is_none")]
        last_event_id: Option<PublicationId>,
    },
    /// The answer to a command that cannot be carried out.
    Error {
        /// For programs.
        code: &'a str,
        /// For people.
        message: &'a str,
        /// Which command it is: `other` where that is not known.
        command: &'a str,
        /// The topic that the command names, if it names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<&'a str>,
        /// What the command has named for its answer, if it has.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a RawValue>,
        /// When it was answered.
        #[serde(serialize_with = "milliseconds")]
        timestamp: Timestamp,
    },
}

impl ServerMessage<'_> {
    /// The message as an encoded text frame.
    pub fn to_frame(&self) -> Frame {
        Frame::text(self.to_json())
    }

    /// The message to all who hear a publication of this id.
    pub fn to_message(&self, id: PublicationId) -> Message {
        Message::new(self.to_json().as_bytes(), id)
    }

    /// The message itself.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always serialise")
    }
}

/// RFC 3339, UTC, milliseconds.
fn milliseconds<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{timestamp:.3}"))
}

#[allow(clippy::ref_option)] // As serde asks for it.
fn milliseconds_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => milliseconds(at, serializer),
        None => serializer.serialize_none(),
    }
}

fn display<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[allow(clippy::ref_option)] // As serde asks for it.
fn display_if_any<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => display(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sequencer::Sequencer;

    fn json(message: &ServerMessage<'_>) -> String {
        let octets = message.to_frame().into_bytes();
        let start = octets.iter().position(|octet| *octet == b'{').unwrap();
        String::from_utf8(octets[start..].to_vec()).unwrap()
    }

    #[test]
    fn messages_are_as_the_contract_writes_them() {
        let timestamp: Timestamp = "2026-11-22T12:00:00.0409Z".parse().unwrap();
        let notification = ServerMessage::Notification {
            id: Sequencer::new(14, 0).advance(),
            topic: DEFAULT_TOPIC,
            message: "hi",
            timestamp,
            active_connections: 3,
        };
        assert_eq!(
            json(&notification),
            r#"{"type":"notification","id":"0000000e-1","topic":"notifications","message":"hi","timestamp":"2026-11-22T12:00:00.040Z","active_connections":3}"#
        );
        let echo = ServerMessage::Echo { message: "a \"b\" ö", timestamp, last_event_id: None };
        assert_eq!(
            json(&echo),
            r#"{"type":"echo","message":"a \"b\" ö","timestamp":"2026-11-22T12:00:00.040Z"}"#
        );
    }

    #[test]
    fn answers_bear_the_reference_of_their_command_if_it_has_one() {
        let timestamp = Timestamp::UNIX_EPOCH;
        let (id, seven) = (Sequencer::new(14, 0).advance(), RawValue::from_string("7".to_owned()).unwrap());
        assert_eq!(
            json(&ServerMessage::Published { id, reference: Some(&seven), timestamp }),
            r#"{"type":"published","id":"0000000e-1","ref":7,"timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(
            json(&ServerMessage::Error {
                code: "c",
                message: "m",
                command: "publish",
                topic: Some("t"),
                reference: Some(&seven),
                timestamp
            }),
            r#"{"type":"error","code":"c","message":"m","command":"publish","topic":"t","ref":7,"timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        let refreshed = |expires| json(&ServerMessage::Refreshed { expires, timestamp });
        assert_eq!(
            refreshed(Some(timestamp)),
            r#"{"type":"refreshed","expires":"1970-01-01T00:00:00.000Z","timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        assert!(refreshed(None).starts_with(r#"{"type":"refreshed","expires":null,"#));
    }

    #[test]
    fn a_gap_names_the_id_to_resume_from_where_there_is_one() {
        let gap =
            |last_event_id| json(&ServerMessage::Gap { timestamp: Timestamp::UNIX_EPOCH, last_event_id });
        assert_eq!(gap(None), r#"{"type":"gap","timestamp":"1970-01-01T00:00:00.000Z"}"#);
        assert_eq!(
            gap(Some(Sequencer::new(14, 0).newest())),
            r#"{"type":"gap","timestamp":"1970-01-01T00:00:00.000Z","last_event_id":"0000000e-0"}"#
        );
    }

    #[test]
    fn an_echo_and_a_reconnect_notice_name_the_id_up_to_which_all_is_heard_where_there_is_one() {
        let (timestamp, last_event_id) = (Timestamp::UNIX_EPOCH, Some(Sequencer::new(14, 0).advance()));
        assert_eq!(
            json(&ServerMessage::Echo { message: "m", timestamp, last_event_id }),
            r#"{"type":"echo","message":"m","timestamp":"1970-01-01T00:00:00.000Z","last_event_id":"0000000e-1"}"#
        );
        let notice = |last_event_id| {
            let (reason, after_ms, deadline_ms) = ("server_restart", 5, None);
            json(&ServerMessage::Reconnect { reason, after_ms, deadline_ms, timestamp, last_event_id })
        };
        let without = r#"{"type":"reconnect","reason":"server_restart","after_ms":5,"deadline_ms":null,"timestamp":"1970-01-01T00:00:00.000Z"}"#;
        assert_eq!(notice(None), without);
        assert_eq!(notice(last_event_id), without.replace('}', r#","last_event_id":"0000000e-1"}"#));
    }

    #[test]
    fn the_welcome_names_its_fields_in_order() {
        let welcome = ServerMessage::Welcome {
            protocol: PROTOCOL,
            message: "m",
            timestamp: Timestamp::UNIX_EPOCH,
            connection_id: "c",
            topics: &[DEFAULT_TOPIC],
            last_event_id: Sequencer::new(14, 0).newest(),
            resumed: false,
            ping_interval_ms: Some(20_000),
        };
        assert_eq!(
            json(&welcome),
            r#"{"type":"welcome","protocol":1,"message":"m","timestamp":"1970-01-01T00:00:00.000Z","connection_id":"c","topics":["notifications"],"last_event_id":"0000000e-0","resumed":false,"ping_interval_ms":20000}"#
        );
    }
}

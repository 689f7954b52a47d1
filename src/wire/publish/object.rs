//! Reads the objects of a body one by one, each a publication. What is written in them is judged here, field by field, so that
//! whoever has written it is told which one is wrong, where it is, and what was expected.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{EXAMPLE, Place, PublishError};
use super::made::{Made, Topics};
use super::{ObjectKey, parse_topic};
use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::MAX_KEY_BYTES;
use crate::wire::object::Name;
use crate::wire::quoted::quoted;

/// What stands where an object is wanted.
pub(super) enum Item<'a> {
    /// An object.
    Object(Members<'a>),
    /// Something else, in words.
    Other(&'static str),
}

/// The members of an object, as they are written.
#[derive(Default)]
pub(super) struct Members<'a> {
    topic: Option<&'a RawValue>,
    topics: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    /// The first member that should not be there, and why.
    fault: Option<(&'a RawValue, String)>,
}

impl<'a> Item<'a> {
    /// Adds the publication. `place` is the object's own.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn add_to(
        self,
        body: &str,
        place: impl FnOnce() -> Place,
        made: &mut Made,
    ) -> Result<(), PublishError> {
        match self {
            Self::Object(members) => members.add_to(body, place, made),
            Self::Other(kind) => {
                let what =
                    format!("{kind} stands where a publication is expected, which is written {EXAMPLE}");
                Err(PublishError::Json { place: place(), what: what.into() })
            }
        }
    }
}

impl Members<'_> {
    /// Whether it says what is published, and nothing else than a publication may.
    pub(super) fn is_publication(&self) -> bool {
        self.fault.is_none() && self.data.is_some()
    }

    /// Whether it says where to.
    pub(super) fn names_topics(&self) -> bool {
        self.topic.is_some() || self.topics.is_some()
    }

    fn add_to(self, body: &str, place: impl FnOnce() -> Place, made: &mut Made) -> Result<(), PublishError> {
        let at = |value: &RawValue, what: Cow<'static, str>| PublishError::Json {
            place: Place::of(body, value.get()),
            what,
        };
        if let Some((value, what)) = self.fault {
            return Err(at(value, what.into()));
        }
        let Some(data) = self.data else {
            let what = format!("the field \"data\" is missing, in which stands what is published: {EXAMPLE}");
            return Err(PublishError::Json { place: place(), what: what.into() });
        };
        let topics = match (given(self.topic), given(self.topics)) {
            (Some(topic), Some(_)) => {
                return Err(at(topic, "give either \"topic\" or \"topics\", not both".into()));
            }
            (Some(topic), None) => {
                let what = "the field \"topic\" is to be a string, as \"orders/7\"";
                let name: String = read(topic).ok_or_else(|| at(topic, what.into()))?;
                vec![parse_topic(&name, || Place::of(body, topic.get()))?]
            }
            (None, Some(topics)) => {
                let what =
                    "the field \"topics\" is to be a list of one string or more, as [\"orders/7\",\"news\"]";
                let names: Option<Vec<String>> = read(topics);
                let names = names.filter(|names| !names.is_empty()).ok_or_else(|| at(topics, what.into()))?;
                let place = || Place::of(body, topics.get());
                names.iter().map(|name| parse_topic(name, place)).collect::<Result<_, _>>()?
            }
            (None, None) => vec![],
        };
        let id = given(self.id).map(|id| {
            let text = read(id).filter(|text: &String| !text.is_empty() && text.len() <= MAX_KEY_BYTES);
            let what = format!(
                "the field \"id\" is to be a string of 1 to {MAX_KEY_BYTES} bytes, as \"order-7-paid\""
            );
            text.ok_or_else(|| at(id, what.into()))
        });
        let key = |id| ObjectKey { id, payload: Fingerprint::of([data.get().as_bytes()]) };
        made.add(Topics::new(topics), data.to_owned(), id.transpose()?.map(key));
        Ok(())
    }
}

/// Null is as good as nothing, but for data.
fn given(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Takes whatever JSON there is.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a publication")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
        let mut members = Members::default();
        while let Some((Name(key), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            let member = match &*key {
                "topic" => &mut members.topic,
                "topics" => &mut members.topics,
                "data" => &mut members.data,
                "id" => &mut members.id,
                _ => {
                    let what = || {
                        format!(
                            "a publication has no field {}, but \"topic\" or \"topics\", \"data\" and \"id\"",
                            quoted(&key)
                        )
                    };
                    members.fault.get_or_insert_with(|| (value, what()));
                    continue;
                }
            };
            if member.replace(value).is_some() {
                members.fault.get_or_insert_with(|| (value, format!("the field \"{key}\" is given twice")));
            }
        }
        Ok(Item::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Other("a list"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Item<'de>, E> {
        Ok(Item::Other("a string"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Item<'de>, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Item<'de>, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item<'de>, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item<'de>, E> {
        Ok(Item::Other(if value { "true" } else { "false" }))
    }

    fn visit_unit<E>(self) -> Result<Item<'de>, E> {
        Ok(Item::Other("null"))
    }
}

//! Has an engine position what a request publishes, all of it or nothing, and reads what it answers.

use std::collections::HashMap;

use bytes::BytesMut;

use crate::policy::engine::fault::Fault;
use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::REMEMBERED;
use crate::policy::sequencer::PublicationId;
use crate::policy::topic::TopicName;
use crate::wire::engine::answer::{fault_of, garbled, id_of, text_of};
use crate::wire::engine::{Speaker, hexadecimal};
use crate::wire::publish::Submission;
use crate::wire::published::{IdRun, Published, Unpublished};
use crate::wire::resp::command::encode;
use crate::wire::resp::reply::Reply;

const PUBLISH: &str = include_str!("publish.lua");

/// What is to be known of a submission when it is answered.
#[derive(Debug)]
pub struct Sent {
    is_batch: bool,
    /// Of each publication, where objects have keys.
    objects: Vec<(String, TopicName)>,
    /// What was known by then: what is published is behind that.
    known: PublicationId,
}

impl Speaker {
    /// Appends a submission, all of which is positioned in this epoch or nothing. It is answered by one reply. So far the stream is known.
    pub fn publish(
        &self,
        submission: &Submission,
        epoch: u32,
        known: PublicationId,
        at_unix_ms: i64,
        to: &mut BytesMut,
    ) -> Sent {
        let drafts = &submission.drafts.list;
        let is_batch = submission.drafts.is_batch;
        let (kept, at) = (self.kept.to_string(), at_unix_ms.to_string());
        if let ([draft], None) = (&drafts[..], submission.key)
            && let ([topic], None) = (&draft.topics[..], &draft.key)
        {
            let id = format!("{epoch}-*");
            encode(
                to,
                [
                    "XADD",
                    &self.stream,
                    "NOMKSTREAM",
                    "MAXLEN",
                    "~",
                    &kept,
                    &id,
                    "t",
                    topic.as_str(),
                    "d",
                    draft.data.get(),
                    "at",
                    &at,
                ],
            );
            return Sent { is_batch, objects: vec![], known };
        }
        let mut keys = vec![self.stream.clone()];
        keys.extend(submission.key.map(|key| self.key(key.name)));
        let request = submission.key.map(|key| hexadecimal(key.payload)).unwrap_or_default();
        let (mut numbers, mut publications): (HashMap<Fingerprint, usize>, Vec<[String; 2]>) =
            Default::default();
        let mut objects = vec![];
        let has_objects = drafts.iter().any(|draft| draft.key.is_some());
        for (draft, topic) in
            drafts.iter().flat_map(|draft| draft.topics.iter().map(move |topic| (draft, topic)))
        {
            let key = draft.key.as_ref().map(|object| object.on(topic, submission.scope));
            publications.push(key.map_or_else(Default::default, |key| {
                // One that is given twice is one key.
                let number = numbers.entry(key.name).or_insert_with(|| {
                    keys.push(self.key(key.name));
                    keys.len()
                });
                [number.to_string(), hexadecimal(key.payload)]
            }));
            if has_objects {
                let id = draft.key.as_ref().map_or_else(String::new, |object| object.id.clone());
                objects.push((id, topic.clone()));
            }
        }
        // Of another epoch than the one that is published in nothing counts: that has begun behind it.
        let position = if known.epoch() == epoch { known.position() } else { 0 }.to_string();
        let (count, epoch) = (keys.len().to_string(), epoch.to_string());
        let ttl = REMEMBERED.as_millis().to_string();
        let texts = drafts
            .iter()
            .flat_map(|draft| draft.topics.iter().map(move |topic| [topic.as_str(), draft.data.get()]));
        let publications =
            texts.zip(&publications).flat_map(|([topic, data], [key, payload])| [topic, data, key, payload]);
        let mut command = vec!["EVAL", PUBLISH, &count];
        command.extend(keys.iter().map(String::as_str));
        command.extend([&epoch, &kept, &at, &ttl, &request, &position].map(String::as_str));
        command.extend(publications);
        encode(to, command);
        Sent { is_batch, objects, known }
    }
}

/// What has become of a submission.
///
/// # Errors
/// Why this is not an engine to publish with any longer; then nothing was published, unless the stream was set back.
pub fn outcome(reply: &Reply, sent: Sent) -> Result<Result<Published, Unpublished>, Fault> {
    let Sent { is_batch, mut objects, known } = sent;
    match reply {
        Reply::Null => Err(Fault::Gone),
        Reply::Error(error) => match fault_of(error) {
            Fault::Refused(why) => Ok(Err(Unpublished::EngineRefused(why))),
            fault => Err(fault),
        },
        Reply::Bulk(_) => {
            let id = id_of(reply)?;
            if id <= known {
                return Err(Fault::SetBack(known));
            }
            let run = IdRun { epoch: id.epoch(), first: id.position(), count: 1 };
            Published::from_runs(vec![run], is_batch)
                .map(Ok)
                .ok_or_else(|| garbled("no id of a publication", reply))
        }
        Reply::Array(parts) => match &parts[..] {
            [what, ids] if text_of(what) == Some("ids") => {
                let runs = text_of(ids)
                    .and_then(|ids| ids.split_terminator(' ').map(run).collect::<Option<Vec<_>>>());
                let published = runs.and_then(|runs| Published::from_runs(runs, is_batch));
                published.map(Ok).ok_or_else(|| garbled("no ids of publications", reply))
            }
            [what, Reply::Integer(0)] if text_of(what) == Some("conflict") => {
                Ok(Err(Unpublished::OtherRequest))
            }
            [what, Reply::Integer(number)] if text_of(what) == Some("conflict") => {
                let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
                let object =
                    index.filter(|index| *index < objects.len()).map(|index| objects.swap_remove(index));
                let (id, topic) = object.ok_or_else(|| garbled("no number of a publication", reply))?;
                Ok(Err(Unpublished::OtherData { id, topic }))
            }
            [what] if text_of(what) == Some("gone") => Err(Fault::Gone),
            [what] if text_of(what) == Some("set back") => Err(Fault::SetBack(known)),
            _ => Err(garbled("no answer to a publication", reply)),
        },
        _ => Err(garbled("no answer to a publication", reply)),
    }
}

/// Reads `<epoch>-<first>+<count>`.
fn run(text: &str) -> Option<IdRun> {
    let (epoch, rest) = text.split_once('-')?;
    let (first, count) = rest.split_once('+')?;
    Some(IdRun { epoch: epoch.parse().ok()?, first: first.parse().ok()?, count: count.parse().ok()? })
}

#[cfg(test)]
#[path = "publishing_tests.rs"]
mod tests;

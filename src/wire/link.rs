//! What a supervisor and its workers say to each other over a socket pair: messages in postcard's encoding, each behind
//! its length (u32, big-endian). Both ends run on one machine, but may be different binaries: `VERSION` tells.

use bytes::{Buf, BufMut, BytesMut};
use serde::{Deserialize, Serialize, Serializer};

use crate::policy::line::Continuation;
use crate::wire::metrics::Metrics;
use crate::wire::overview::{Details, Overview, Wish};
use crate::wire::publish::Submission;
use crate::wire::published::{Published, Unpublished};

/// The version of these messages. It is raised with every change to them.
pub const VERSION: u32 = 17;

/// More than the largest publication; anything longer is not one of these messages.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// What the supervisor says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker<'a> {
    /// The line of publications goes on so: first with where it begins, which it may do again.
    Line(Continuation),
    /// The publication that follows the last one.
    #[serde(borrow)]
    Publication(Relayed<'a>),
    /// Everything published so far has been sent.
    CaughtUp,
    /// The answer to `Ready`: serve.
    Serve,
    /// The answer to `Publish`.
    Published(Result<Published, Unpublished>),
    /// The answer to `Publish` when the whole server is leaving.
    Refused,
    /// The answer to `Sync`.
    Synced,
    /// The answer to `Overview`.
    Overview(Box<Overview>),
    /// The answer to `Inquire`.
    Found(Box<Overview>),
    /// To be answered with `Details`.
    Tell {
        /// To be said in the answer.
        inquiry: u64,
        /// What.
        wish: Wish,
    },
    /// To be answered with `Beat`.
    Beat,
    /// The whole server leaves: listen no more, to be answered with `Closed`.
    Close,
    /// Leave with the whole server.
    Leave,
    /// Leave alone: other workers go on serving.
    StepDown {
        /// Nobody else accepts from this worker's listener: whoever waits there is to be accepted first.
        is_last: bool,
    },
    /// Leave at once.
    Insist,
    /// Serve on, and answer with `WoundUp` at a moment in which no request is half read.
    WindUp,
    /// Hear nobody any more and accept nobody, and answer with `Held` once nothing that was asked is unanswered.
    Hold,
    /// Send all connections that can move through the channel that has come over the line, and answer with `Moved` or `NotMoved`.
    Move {
        /// Until then, in nanoseconds of CLOCK_MONOTONIC.
        by: i64,
        /// In this format of an image.
        format: u32,
    },
    /// As `Move`, but nobody is at the other end of that channel: leave them there for a later start.
    Park {
        /// In this format of an image.
        format: u32,
    },
    /// Part with those that have moved.
    Commit,
    /// Go on as if nothing had been.
    Resume,
}

/// A publication as it goes from the supervisor to the workers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Relayed<'a> {
    /// When it was published, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// What it was published to.
    pub topic: &'a str,
    /// The octets of the message.
    #[serde(serialize_with = "octets")]
    pub message: &'a [u8],
}

/// What a worker says. Answers to `Publish` come in the order of these questions, and so do those to `Sync`, to `Overview` and to
/// `Inquire`, but one kind does not wait for another.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// It could serve now. Until it is told to, nothing is lost if it ends.
    Ready,
    /// To be published, all of it or nothing.
    Publish(Submission),
    /// To be answered once everything published so far has been sent.
    Sync,
    /// To be answered with what there is to say about the whole server.
    Overview,
    /// As `Overview`, with what all workers are to be asked for first: it waits for them, but not for long.
    Inquire(Wish),
    /// The answer to `Tell`.
    Details {
        /// Which was asked.
        inquiry: u64,
        /// Everything it has counted.
        metrics: Box<Metrics>,
        /// What was wished for.
        details: Box<Details>,
    },
    /// How many clients it has.
    Clients(u64),
    /// Everything it has counted.
    Metrics(Box<Metrics>),
    /// An operator wants the whole server to leave, who is this one, in words.
    Drain(String),
    /// The answer to `Beat`: its loop turns.
    Beat,
    /// It was sent a signal to leave, and asks how.
    Signalled,
    /// It listens no more.
    Closed,
    /// It could take up connections of a predecessor's: nothing else is left that can fail.
    There,
    /// The answer to `WindUp`.
    WoundUp,
    /// The answer to `Hold`.
    Held,
    /// All its connections that can move are taken.
    Moved {
        /// How many they are,
        moved: u64,
        /// and how many cannot.
        stayed: u64,
    },
    /// They could not be moved, for this reason.
    NotMoved(String),
    /// So many connections are taken up; ahead of `Ready`.
    TookUp(u64),
}

/// What came is not a message: the other end is another program, or broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Garbled;

/// Appends a message.
pub fn encode(message: &impl Serialize, buffer: &mut BytesMut) {
    let start = buffer.len();
    buffer.put_u32(0);
    postcard::to_io(message, (&mut *buffer).writer()).expect("memory takes all of it");
    let length = u32::try_from(buffer.len() - start - 4).expect("a message is shorter than 4 GiB");
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Takes the next message off the front of `input`; `None` when it is not whole yet.
///
/// # Errors
/// When it is not a message.
pub fn next<'a, M: Deserialize<'a>>(input: &mut &'a [u8]) -> Result<Option<M>, Garbled> {
    let mut rest = *input;
    let Ok(length) = rest.try_get_u32() else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE_BYTES).ok_or(Garbled)?;
    let Some((message, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    *input = rest;
    postcard::from_bytes(message).map(Some).map_err(|_| Garbled)
}

fn octets<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::epochs::{Epochs, Run};
    use crate::policy::idempotency::Scope;
    use crate::policy::sequencer::PublicationId;
    use crate::policy::topic::TopicName;
    use crate::wire::publish::{self, Drafts};

    fn drafts() -> Drafts {
        let body = r#"[{"topic":"a","data":{"x": 1},"id":"k"},{"topics":["a","b/c"],"data":"ö"}]"#;
        publish::read(Some("application/json"), &[], body.as_bytes(), 1000).unwrap()
    }

    #[test]
    fn messages_are_read_one_by_one_however_they_are_cut() {
        let relayed = Relayed { at_unix_ms: -5, topic: "a/b", message: b"\x81\x02{}" };
        let begin = Continuation::Begin { epochs: Epochs::of(7), newest: 1 << 40 };
        let said = [ToWorker::Line(begin), ToWorker::Publication(relayed), ToWorker::Beat];
        let mut octets = BytesMut::new();
        said.iter().for_each(|message| encode(message, &mut octets));
        for end in 0..=octets.len() {
            let mut input = &octets[..end];
            let mut heard = vec![];
            while let Some(message) = next::<ToWorker<'_>>(&mut input).unwrap() {
                heard.push(message);
            }
            assert!(said.starts_with(&heard) && (end < octets.len() || heard.len() == said.len()));
        }
    }

    #[test]
    fn a_submission_arrives_as_it_was_made() {
        let mut octets = BytesMut::new();
        let scope = Scope::of_subject(Some("ada"));
        let key = Some(drafts().key(b"retry", scope));
        encode(&ToSupervisor::Publish(Submission { key, scope, drafts: drafts() }), &mut octets);
        let Ok(Some(ToSupervisor::Publish(heard))) = next(&mut &octets[..]) else { panic!("not heard") };
        let topics = |name: &str| TopicName::parse(name).unwrap();
        assert_eq!((heard.key, heard.scope, heard.drafts.is_batch), (key, scope, true));
        let [first, second] = &heard.drafts.list[..] else { panic!("{heard:?}") };
        let id = first.key.as_ref().map(|key| key.id.as_str());
        assert_eq!((first.data.get(), id), (r#"{"x": 1}"#, Some("k")));
        assert_eq!(second.topics, [topics("a"), topics("b/c")]);
        assert_eq!(second.data.get(), r#""ö""#);
    }

    #[test]
    fn epochs_that_cannot_follow_each_other_are_garbled() {
        let garbled = |runs: Vec<Run>| {
            let mut octets = BytesMut::new();
            // As the line would go on with them: the first of its variants that has any, and the position.
            encode(&(0_u32, 2_u32, runs, 9_u64), &mut octets);
            next::<ToWorker<'_>>(&mut &octets[..]).err()
        };
        let run = |epoch| Run { id: PublicationId::new(epoch, 0), position: 0 };
        assert_eq!(garbled(vec![run(1), run(2)]), None);
        assert_eq!(garbled(vec![run(2), run(1)]), Some(Garbled));
    }

    #[test]
    fn what_is_not_a_message_is_garbled() {
        assert_eq!(next::<ToSupervisor>(&mut &[0xff; 8][..]).err(), Some(Garbled));
        assert_eq!(next::<ToSupervisor>(&mut &[0, 0, 0, 1, 99][..]).err(), Some(Garbled));
        assert!(matches!(next::<ToSupervisor>(&mut &[0, 0, 0, 9, 1][..]), Ok(None)));
    }
}

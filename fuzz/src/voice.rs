//! A supervisor that says anything to its worker, in any order.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;
use slackwater::message::Message;
use slackwater::policy::epochs::Epochs;
use slackwater::policy::history::Publication;
use slackwater::policy::idempotency::Answer;
use slackwater::policy::line::Continuation;
use slackwater::policy::sequencer::PublicationId;
use slackwater::server::clock::Now;
use slackwater::server::order::ledger::Ledger;
use slackwater::wire::link::{Relayed, ToSupervisor, ToWorker, encode, next};
use slackwater::wire::overview::{Overview, Wish, WorkerStatus};
use slackwater::wire::published::{Published, Unpublished};

use crate::line::Line;
use crate::process::EPOCH;

/// The fuzzer, as its worker's supervisor.
pub struct Voice {
    line: Rc<RefCell<Line>>,
    /// What of that which the worker has said was listened to.
    heard: usize,
    ledger: Ledger,
    /// Nothing but whole messages was said.
    pub is_sound: bool,
    /// The worker was told to leave.
    pub has_dismissed: bool,
    /// The worker was told to hand over, or not to after all.
    pub has_moved: bool,
    /// Nothing more can be said.
    pub is_lost: bool,
}

impl Voice {
    pub fn new(line: Rc<RefCell<Line>>) -> Self {
        let ledger = Ledger::new(EPOCH, 0);
        Self {
            line,
            heard: 0,
            ledger,
            is_sound: true,
            has_dismissed: false,
            has_moved: false,
            is_lost: false,
        }
    }

    /// Lets the worker serve.
    pub fn begin(&mut self) {
        let begin = Continuation::Begin { epochs: Epochs::of(EPOCH), newest: 0 };
        let said = [ToWorker::Line(begin), ToWorker::CaughtUp, ToWorker::Serve];
        said.iter().for_each(|message| self.line.borrow_mut().send(&encoded(message)));
    }

    /// Says what may be no message.
    pub fn babble(&mut self, octets: &[u8]) {
        self.is_sound &= octets.is_empty();
        self.line.borrow_mut().send(octets);
    }

    /// A message of this kind, and of this content.
    pub fn message(&mut self, kind: u8, content: &[u8], now: Now) -> BytesMut {
        self.has_moved |= moves(kind);
        encoded(&match kind % 32 {
            16 => ToWorker::WindUp,
            17 => ToWorker::Hold,
            18 => ToWorker::Move { by: i64::MAX, format: 1 },
            19 => ToWorker::Commit,
            20 => ToWorker::Resume,
            21 => ToWorker::Park { format: 1 },
            22 => ToWorker::Tell { inquiry: 1, wish: Wish::Topics },
            23 => ToWorker::Found(Box::default()),
            _ => return self.other_message(kind, content, now),
        })
    }

    /// One that has nothing to do with handing over.
    fn other_message(&mut self, kind: u8, content: &[u8], now: Now) -> BytesMut {
        let number = content.iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet));
        let text = String::from_utf8_lossy(content);
        let answer = Answer {
            positions: content.iter().map(|octet| u64::from(*octet)).collect(),
            is_batch: number % 2 == 0,
        };
        let json = serde_json::json!({ "type": "notification", "data": text }).to_string();
        let publication = Message::new(json.as_bytes(), number);
        let age_ms = 100 * i64::from(content.last().copied().unwrap_or_default());
        let relayed = |topic| Relayed {
            at_unix_ms: now.wall.as_millisecond() - age_ms,
            topic,
            message: publication.octets(),
        };
        encoded(&match kind % 16 {
            0 => ToWorker::Line(match number % 4 {
                0 => Continuation::Restart(PublicationId::new(EPOCH + 1, number >> 2)),
                1 => Continuation::Epoch {
                    epoch: u32::from(content.last().copied().unwrap_or_default()),
                    after: PublicationId::new(EPOCH, number >> 2 & 0xff),
                    is_lossy: age_ms & 1 == 1,
                },
                _ => Continuation::Begin { epochs: Epochs::of(EPOCH), newest: number >> 2 },
            }),
            1 => ToWorker::Publication(relayed("notifications")),
            2 => ToWorker::Publication(relayed(&text)),
            3 => ToWorker::CaughtUp,
            4 => ToWorker::Serve,
            5 => ToWorker::Published(Ok(Published::of(EPOCH, &answer))),
            6 => ToWorker::Published(Err(Unpublished::OtherRequest)),
            7 => ToWorker::Refused,
            8 => ToWorker::Synced,
            9 => ToWorker::Overview(Box::new(overview(number))),
            10 => ToWorker::Beat,
            11 => ToWorker::Close,
            12 => ToWorker::Leave,
            13 => ToWorker::StepDown { is_last: number % 2 == 0 },
            14 => ToWorker::Insist,
            _ => return self.reply(now),
        })
    }

    /// Says a part of a message. When all of them are said, it is whole.
    pub fn say(&mut self, octets: &[u8]) {
        self.line.borrow_mut().send(octets);
    }

    /// What an honest supervisor answers to all that the worker has said since.
    fn reply(&mut self, now: Now) -> BytesMut {
        let line = self.line.clone();
        let line = line.borrow();
        let (mut input, mut replies) = (&line.written[self.heard..], BytesMut::new());
        while let Some(message) = next(&mut input).expect("a worker says whole messages") {
            self.answer(message, &mut replies, now);
        }
        self.heard = line.written.len() - input.len();
        replies
    }

    fn answer(&mut self, message: ToSupervisor, replies: &mut BytesMut, now: Now) {
        let reply = match message {
            ToSupervisor::Ready => ToWorker::Serve,
            ToSupervisor::Sync => ToWorker::Synced,
            ToSupervisor::Overview => ToWorker::Overview(Box::default()),
            ToSupervisor::Inquire(_) => ToWorker::Found(Box::default()),
            ToSupervisor::Drain(_) => ToWorker::Close,
            ToSupervisor::Closed => ToWorker::Leave,
            ToSupervisor::Signalled => ToWorker::StepDown { is_last: false },
            ToSupervisor::Publish(submission) => {
                let publish = |publication: Publication| {
                    let (topic, message) = (publication.topic.as_str(), publication.message.octets());
                    let relayed = Relayed { at_unix_ms: now.wall.as_millisecond(), topic, message };
                    encode(&ToWorker::Publication(relayed), replies);
                };
                ToWorker::Published(self.ledger.submit(submission, now, publish))
            }
            ToSupervisor::Clients(_)
            | ToSupervisor::Metrics(_)
            | ToSupervisor::Details { .. }
            | ToSupervisor::Beat
            | ToSupervisor::There
            | ToSupervisor::TookUp(_)
            | ToSupervisor::WoundUp
            | ToSupervisor::Held
            | ToSupervisor::Moved { .. }
            | ToSupervisor::NotMoved(_) => return,
        };
        self.has_dismissed |= matches!(reply, ToWorker::Leave | ToWorker::StepDown { .. });
        encode(&reply, replies);
    }

    /// Takes so much of what the worker says and then no more, or all of it from now on.
    pub fn take(&mut self, most: Option<usize>) {
        self.line.borrow_mut().read(most);
    }

    /// Ends, or breaks.
    pub fn lose(&mut self, breaks: bool) {
        self.is_lost = true;
        let mut line = self.line.borrow_mut();
        if breaks { line.fail() } else { line.end() }
    }
}

/// Whether a message of this kind makes a worker leave.
pub fn dismisses(kind: u8) -> bool {
    !moves(kind) && matches!(kind % 16, 12 | 13)
}

/// Whether one of this kind has to do with handing over.
pub fn moves(kind: u8) -> bool {
    matches!(kind % 32, 16..=21)
}

fn overview(number: u64) -> Overview {
    let mut worker = WorkerStatus { number: u32::try_from(number).ok(), ..WorkerStatus::default() };
    worker.metrics.connections = number >> 8;
    Overview { publications: number, workers: vec![worker; 2], ..Overview::default() }
}

fn encoded(message: &ToWorker<'_>) -> BytesMut {
    let mut octets = BytesMut::new();
    encode(message, &mut octets);
    octets
}

//! The supervisor, as one of its workers sees it: publications are sent up, come back with their position, and only
//! then are they heard. Questions about them are answered in the order in which they were asked, and so are those about the whole server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::error;

use super::{Heard, Instruction, Moving, own_overview};
use crate::message::Message;
use crate::policy::history::Publication;
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::server::link::{Inbox, Link, Taken};
use crate::server::question::{Answer, Question, Ticket};
use crate::server::socket::Socket;
use crate::wire::link::{Relayed, ToSupervisor, ToWorker};
use crate::wire::metrics::Metrics;

/// What waits for the supervisor before publishers have to wait, too.
const CONGESTED_BYTES: usize = 4 * 1024 * 1024;

/// How often a worker that cannot listen to the supervisor yet says that its loop turns.
const UNASKED_BEAT: Duration = Duration::from_secs(1);

/// The way to the supervisor.
#[derive(Debug)]
pub struct Upstream<S> {
    link: Link<S>,
    /// What was taken in and not polled yet.
    inbox: Option<Inbox>,
    /// Whose questions about publications are not answered yet, oldest first.
    waiting: VecDeque<Ticket>,
    /// The same of those about the whole server, which are answered sooner where the others wait for an engine.
    watching: VecDeque<Ticket>,
    /// To be heard ahead of what it says: once it is lost, the answers that nobody else gives.
    own: VecDeque<Heard>,
    /// How many clients the supervisor knows of.
    told_clients: usize,
    /// All that was published before has come: no other history begins.
    has_caught_up: bool,
    /// It was not told to serve, and takes up connections of a predecessor's before that.
    takes_up_first: bool,
    /// When it was last told, unasked, that the loop turns.
    beaten_at: Option<Instant>,
    is_unread: bool,
    /// Nothing more comes behind what was taken in.
    is_over: bool,
    /// The supervisor takes nothing more, though there may be something left that it has said.
    is_deaf: bool,
    is_lost: bool,
}

impl<S: Socket> Upstream<S> {
    /// A worker's end of the socket pair.
    pub fn new(socket: S) -> Self {
        Self {
            link: Link::new(socket),
            inbox: None,
            waiting: VecDeque::new(),
            watching: VecDeque::new(),
            own: VecDeque::new(),
            told_clients: 0,
            has_caught_up: false,
            takes_up_first: false,
            beaten_at: None,
            is_unread: false,
            is_over: false,
            is_deaf: false,
            is_lost: false,
        }
    }

    pub(super) fn ask(&mut self, ticket: Ticket, question: Question) {
        if self.is_lost {
            let answer = match question {
                Question::Publish(_) => Answer::Refused,
                Question::Sync => Answer::Synced,
                Question::Overview { metrics, drain } => own_overview(metrics, drain, 0, None),
            };
            return self.own.push_back(Heard::Answer(ticket, answer));
        }
        match question {
            Question::Publish(submission) => {
                self.tell(&ToSupervisor::Publish(submission));
                self.waiting.push_back(ticket);
            }
            Question::Sync => {
                self.tell(&ToSupervisor::Sync);
                self.waiting.push_back(ticket);
            }
            Question::Overview { metrics, .. } => {
                self.tell_metrics(metrics);
                self.tell(&ToSupervisor::Overview);
                self.watching.push_back(ticket);
            }
        }
    }

    pub(super) fn poll(&mut self, now: Now) -> Option<Heard> {
        loop {
            if let Some(heard) = self.own.pop_front() {
                return Some(heard);
            }
            let said = match self.inbox.as_mut()?.next() {
                Ok(Some(ToWorker::Line(continuation))) if !continuation.is_possible() => {
                    self.lose();
                    continue;
                }
                Ok(Some(ToWorker::CaughtUp)) if self.takes_up_first => {
                    self.has_caught_up = true;
                    continue;
                }
                Ok(Some(message)) => {
                    self.has_caught_up |= message == ToWorker::CaughtUp;
                    self.takes_up_first &= message != ToWorker::Serve;
                    hear(message, &mut self.waiting, &mut self.watching, now)
                }
                Ok(None) => {
                    self.inbox.take().into_iter().for_each(|inbox| self.link.close_inbox(inbox));
                    if std::mem::take(&mut self.is_over) {
                        self.lose();
                    }
                    continue;
                }
                Err(_) => {
                    self.lose();
                    continue;
                }
            };
            if let Some(reply) = said.reply {
                self.tell(&reply);
            }
            if said.heard.is_some() {
                return said.heard;
            }
        }
    }

    pub(super) fn is_congested(&self) -> bool {
        self.link.queued_bytes() > CONGESTED_BYTES
    }

    pub(super) fn has_work(&self) -> bool {
        !self.is_deaf && self.link.wants_flush()
    }

    pub(super) fn is_unread(&self) -> bool {
        self.is_unread && !self.is_lost
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.link.retry_at()
    }

    pub(super) fn on_ready(&mut self) {
        self.is_unread = true;
    }

    pub(super) fn take_in(&mut self, is_behind: bool, scratch: &mut [u8], now: Instant) {
        self.is_unread |= self.link.take_retry(now);
        if !self.is_unread() {
            return;
        }
        if is_behind {
            return self.beat_unasked(now);
        }
        let taken = self.link.take(scratch, now);
        self.is_unread = taken == Taken::Some;
        self.is_over = taken == Taken::Last || self.is_deaf && taken == Taken::All;
        self.inbox = Some(self.link.open_inbox());
    }

    pub(super) fn flush(&mut self, clients: usize, now: Instant) {
        if std::mem::replace(&mut self.told_clients, clients) != clients {
            self.tell(&ToSupervisor::Clients(clients as u64));
        }
        // Also when it has stalled: only trying tells whether there is room again. Reading tells when it is gone, behind
        // the last that it has said.
        if self.link.queued_bytes() > 0 && !self.is_deaf && self.link.flush(now).is_err() {
            (self.is_deaf, self.is_unread) = (true, true);
        }
    }

    pub(super) fn ask_how_to_leave(&mut self) -> bool {
        self.tell(&ToSupervisor::Signalled);
        !self.is_lost
    }

    pub(super) fn pass_on_drain(&mut self) {
        self.tell(&ToSupervisor::Drain);
    }

    pub(super) fn say(&mut self, message: &ToSupervisor) {
        self.tell(message);
    }

    pub(super) fn begin_taking_up(&mut self) {
        self.takes_up_first = true;
        self.tell(&ToSupervisor::There);
    }

    pub(super) fn takes_up_first(&self) -> bool {
        self.takes_up_first
    }

    pub(super) fn may_take_up(&self) -> bool {
        self.takes_up_first && self.has_caught_up
    }

    pub(super) fn tell_closed(&mut self) {
        self.tell(&ToSupervisor::Closed);
    }

    pub(super) fn tell_metrics(&mut self, metrics: Box<Metrics>) {
        self.tell(&ToSupervisor::Metrics(metrics));
    }

    /// A question of the supervisor's may lie behind what cannot be taken in yet:
    /// so it is told unasked that the loop turns.
    fn beat_unasked(&mut self, now: Instant) {
        if self.beaten_at.is_none_or(|at| now >= at + UNASKED_BEAT) {
            self.beaten_at = Some(now);
            self.tell(&ToSupervisor::Beat);
        }
    }

    /// Says something, unless nobody is there to hear it.
    fn tell(&mut self, message: &ToSupervisor) {
        if !self.is_lost {
            self.link.send(message);
        }
    }

    fn lose(&mut self) {
        if self.takes_up_first {
            (self.is_deaf, self.is_lost, self.inbox) = (true, true, None);
            return self.own.push_back(Heard::Instruction(Instruction::Vanish));
        }
        error!("The supervisor is gone: leaving, too");
        (self.is_deaf, self.is_lost, self.inbox) = (true, true, None);
        // It may still be there, though what it says cannot be understood: it is told that this worker is on its own now.
        self.link.hang_up();
        let refused = |ticket| Heard::Answer(ticket, Answer::Refused);
        self.own.extend(self.waiting.drain(..).chain(self.watching.drain(..)).map(refused));
        self.own.push_back(Heard::Instruction(Instruction::Leave));
    }
}

/// What follows from a message.
#[derive(Default)]
struct Said {
    heard: Option<Heard>,
    reply: Option<ToSupervisor>,
}

fn hear(
    message: ToWorker<'_>,
    waiting: &mut VecDeque<Ticket>,
    watching: &mut VecDeque<Ticket>,
    now: Now,
) -> Said {
    let mut answer = |answer| waiting.pop_front().map(|ticket| Heard::Answer(ticket, answer));
    let instruction = |instruction| Some(Heard::Instruction(instruction));
    let heard = match message {
        ToWorker::CaughtUp => return Said { heard: None, reply: Some(ToSupervisor::Ready) },
        ToWorker::Beat => {
            return Said { heard: Some(Heard::MetricsWanted), reply: Some(ToSupervisor::Beat) };
        }
        ToWorker::Line(continuation) => Some(Heard::Line(continuation)),
        ToWorker::Publication(relayed) => publication(&relayed, now).map(Heard::Publication),
        ToWorker::Published(published) => answer(Answer::Published(published)),
        ToWorker::Overview(overview) => {
            watching.pop_front().map(|ticket| Heard::Answer(ticket, Answer::Overview(overview)))
        }
        ToWorker::Refused => answer(Answer::Refused),
        ToWorker::Synced => answer(Answer::Synced),
        ToWorker::Serve => instruction(Instruction::Serve),
        ToWorker::Close => instruction(Instruction::Close),
        ToWorker::Leave => instruction(Instruction::Leave),
        ToWorker::StepDown { is_last } => instruction(Instruction::StepDown { is_last }),
        ToWorker::Insist => instruction(Instruction::Insist),
        ToWorker::WindUp => instruction(Instruction::Moving(Moving::WindUp)),
        ToWorker::Hold => instruction(Instruction::Moving(Moving::Hold)),
        ToWorker::Move { by, format } => instruction(Instruction::Moving(Moving::Move { by, format })),
        ToWorker::Park { format } => instruction(Instruction::Moving(Moving::Park { format })),
        ToWorker::Commit => instruction(Instruction::Moving(Moving::Commit)),
        ToWorker::Resume => instruction(Instruction::Moving(Moving::Resume)),
    };
    Said { heard, reply: None }
}

/// What the supervisor sends has been checked before it was submitted.
fn publication(relayed: &Relayed<'_>, now: Now) -> Option<Publication> {
    let topic = TopicName::parse(relayed.topic).ok()?;
    let message = Message::from_octets(relayed.message)?;
    Some(Publication { topic, message, at: now.instant_of(relayed.at_unix_ms) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use bytes::BytesMut;

    use super::*;
    use crate::policy::epochs::Epochs;
    use crate::policy::line::Continuation;
    use crate::policy::sequencer::PublicationId;
    use crate::server::socket::Stream;
    use crate::wire::link::encode;

    #[test]
    fn one_that_is_behind_says_once_a_second_that_its_loop_turns() {
        let (socket, _other) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .expect("there are descriptors");
        let (mut upstream, now) = (Upstream::new(Stream::from(socket)), Now::read().instant);
        let beats_at = [0, 10, 999, 1000, 1500, 2000].map(|ms| {
            upstream.on_ready();
            upstream.take_in(true, &mut [], now + Duration::from_millis(ms));
            upstream.link.queued_bytes() / 5
        });
        assert_eq!(beats_at, [1, 1, 1, 2, 2, 3]);
    }

    /// What there is to hear when the supervisor has said this.
    fn heard(said: &[ToWorker<'_>]) -> Vec<Heard> {
        let (socket, mut other) = UnixStream::pair().expect("there are descriptors");
        socket.set_nonblocking(true).expect("it is a socket");
        let mut octets = BytesMut::new();
        said.iter().for_each(|message| encode(message, &mut octets));
        other.write_all(&octets).expect("there is room");
        let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
        upstream.on_ready();
        upstream.take_in(false, &mut [0; 1000], now.instant);
        std::iter::from_fn(|| upstream.poll(now)).collect()
    }

    #[test]
    fn how_everything_stands_is_answered_to_whoever_has_asked_that_ahead_of_what_waits_for_an_engine() {
        let (socket, mut other) = UnixStream::pair().expect("there are descriptors");
        socket.set_nonblocking(true).expect("it is a socket");
        let (mut upstream, now) = (Upstream::new(Stream::from(socket2::Socket::from(socket))), Now::read());
        upstream.ask(Ticket(1), Question::Sync);
        upstream.ask(Ticket(2), Question::Overview { metrics: Box::default(), drain: None });
        let mut octets = BytesMut::new();
        for answer in [ToWorker::Overview(Box::default()), ToWorker::Synced] {
            encode(&answer, &mut octets);
        }
        other.write_all(&octets).expect("there is room");
        upstream.on_ready();
        upstream.take_in(false, &mut [0; 1000], now.instant);
        let heard: Vec<_> = std::iter::from_fn(|| upstream.poll(now)).collect();
        let [Heard::Answer(first, Answer::Overview(_)), Heard::Answer(second, Answer::Synced)] = heard[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!((first, second), (Ticket(2), Ticket(1)));
    }

    #[test]
    fn a_line_begins_again_and_goes_on_in_another_epoch_but_not_beyond_all_positions() {
        let begin = |newest| Continuation::Begin { epochs: Epochs::of(1), newest };
        let epoch = Continuation::Epoch { epoch: 2, after: PublicationId::new(1, 7), is_lossy: false };
        let said = [begin(0), begin(7), epoch].map(ToWorker::Line);
        let lines = heard(&said).into_iter().map(|heard| match heard {
            Heard::Line(continuation) => ToWorker::Line(continuation),
            other => panic!("{other:?}"),
        });
        assert_eq!(lines.collect::<Vec<_>>(), said);
        let late = heard(&[ToWorker::Line(begin(0)), ToWorker::CaughtUp, ToWorker::Line(begin(0))]);
        assert!(matches!(late[..], [Heard::Line(_), Heard::Line(_)]), "{late:?}");
        let unknown = Epochs::new(PublicationId::new(1, 0), 5);
        for impossible in [
            begin(u64::MAX),
            Continuation::Begin { epochs: unknown, newest: 4 },
            Continuation::Restart(PublicationId::new(1, u64::MAX)),
        ] {
            let heard = heard(&[ToWorker::Line(impossible)]);
            assert!(matches!(heard[..], [Heard::Instruction(Instruction::Leave)]), "{heard:?}");
        }
    }
}

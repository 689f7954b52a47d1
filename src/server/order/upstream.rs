//! The supervisor, as one of its workers sees it: publications are sent up, come back with their position, and only
//! then are they heard. Questions of one kind are answered in the order in which they were asked, and wait for none of another kind.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::error;

use super::{Heard, Instruction, Moving, own_overview};
use crate::message::Message;
use crate::policy::history::Publication;
use crate::policy::line::Continuation;
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::server::link::{Inbox, Link, Taken};
use crate::server::question::{Answer, Question, Ticket};
use crate::server::socket::Socket;
use crate::wire::link::{Relayed, ToSupervisor, ToWorker};
use crate::wire::metrics::Metrics;
use crate::wire::overview::Wish;
use crate::wire::published::Unpublished;

/// What waits for the supervisor before publishers have to wait, too.
const CONGESTED_BYTES: usize = 4 * 1024 * 1024;

/// How often a worker that cannot listen to the supervisor yet says that its loop turns.
const UNASKED_BEAT: Duration = Duration::from_secs(1);

/// Whether the newest id is known, behind which whoever comes would listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// Not even to the supervisor.
    Unknown,
    /// It is on its way.
    Coming,
    Known,
}

impl Newest {
    /// What becomes of it by what the supervisor says. A history of epoch 0 is that of an engine that could not be read yet: another
    /// one follows.
    fn behind(self, message: &ToWorker<'_>) -> Self {
        match (self, message) {
            (_, ToWorker::Line(Continuation::Begin { epochs, .. })) if epochs.epoch() == 0 => Self::Unknown,
            (Self::Unknown, ToWorker::Line(Continuation::Begin { .. })) => Self::Coming,
            (Self::Coming, ToWorker::CaughtUp) => Self::Known,
            (newest, _) => newest,
        }
    }
}

/// The way to the supervisor.
#[derive(Debug)]
pub struct Upstream<S> {
    link: Link<S>,
    /// What was taken in and not polled yet.
    inbox: Option<Inbox>,
    owed: Owed,
    /// To be heard ahead of what it says: once it is lost, the answers that nobody else gives.
    own: VecDeque<Heard>,
    /// How many clients the supervisor knows of.
    told_clients: usize,
    /// All that was published before has come once.
    has_caught_up: bool,
    newest: Newest,
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
            owed: Owed::default(),
            own: VecDeque::new(),
            told_clients: 0,
            has_caught_up: false,
            newest: Newest::Known,
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
                Question::Pass => Answer::Passed,
                Question::Sync => Answer::Synced,
                Question::Overview(_, known) => own_overview(*known, 0, None),
            };
            return self.own.push_back(Heard::Answer(ticket, answer));
        }
        match question {
            Question::Publish(submission) => {
                self.tell(&ToSupervisor::Publish(submission));
                self.owed.publishing.push_back(Publishing::Submission(ticket));
            }
            Question::Pass if self.owed.publishing.is_empty() => {
                self.own.push_back(Heard::Answer(ticket, Answer::Passed));
            }
            // That is nothing that the supervisor has to know.
            Question::Pass => self.owed.publishing.push_back(Publishing::Pass(ticket)),
            Question::Sync => {
                self.tell(&ToSupervisor::Sync);
                self.owed.syncing.push_back(ticket);
            }
            Question::Overview(Wish::Counted, known) => {
                self.tell_metrics(Box::new(known.metrics));
                self.tell(&ToSupervisor::Overview);
                self.owed.watching.push_back(ticket);
            }
            // It is told its own with all others'.
            Question::Overview(wish, _) => {
                self.tell(&ToSupervisor::Inquire(wish));
                self.owed.inquiring.push_back(ticket);
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
                Ok(Some(ToWorker::CaughtUp)) if self.has_caught_up || self.takes_up_first => {
                    self.has_caught_up = true;
                    self.newest = self.newest.behind(&ToWorker::CaughtUp);
                    continue;
                }
                Ok(Some(message)) => {
                    self.has_caught_up |= message == ToWorker::CaughtUp;
                    self.newest = self.newest.behind(&message);
                    self.takes_up_first &= message != ToWorker::Serve;
                    hear(message, &mut self.owed, now)
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
            while let Some(ticket) = self.owed.next_passed() {
                self.own.push_back(Heard::Answer(ticket, Answer::Passed));
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

    pub(super) fn pass_on_drain(&mut self, caller: &str) {
        self.tell(&ToSupervisor::Drain(caller.to_owned()));
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

    pub(super) fn knows_newest(&self) -> bool {
        self.newest == Newest::Known
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
        let Owed { publishing, syncing, watching, inquiring } = std::mem::take(&mut self.owed);
        self.own.extend(publishing.into_iter().map(|one| match one {
            Publishing::Submission(ticket) => {
                Heard::Answer(ticket, Answer::Published(Err(Unpublished::Orphaned)))
            }
            Publishing::Pass(ticket) => Heard::Answer(ticket, Answer::Passed),
        }));
        let others = syncing.into_iter().chain(watching).chain(inquiring);
        self.own.extend(others.map(|ticket| Heard::Answer(ticket, Answer::Refused)));
        self.own.push_back(Heard::Instruction(Instruction::Leave));
    }
}

/// Whose questions are not answered yet, oldest first: where some wait for an engine, others are answered sooner.
#[derive(Debug, Default)]
struct Owed {
    publishing: VecDeque<Publishing>,
    /// Until all has been heard.
    syncing: VecDeque<Ticket>,
    /// About the whole server.
    watching: VecDeque<Ticket>,
    /// About it, with what others are asked for first.
    inquiring: VecDeque<Ticket>,
}

/// A question that is answered in the order of what is published.
#[derive(Debug)]
enum Publishing {
    Submission(Ticket),
    /// Once its turn has come.
    Pass(Ticket),
}

impl Owed {
    /// Who was to be answered behind what has been answered by now. Call until `None`.
    fn next_passed(&mut self) -> Option<Ticket> {
        let Some(Publishing::Pass(ticket)) = self.publishing.front() else { return None };
        let ticket = *ticket;
        self.publishing.pop_front();
        Some(ticket)
    }
}

/// What follows from a message.
#[derive(Default)]
struct Said {
    heard: Option<Heard>,
    reply: Option<ToSupervisor>,
}

fn hear(message: ToWorker<'_>, owed: &mut Owed, now: Now) -> Said {
    let Owed { publishing, syncing, watching, inquiring } = owed;
    let mut published = |answer| {
        let (Publishing::Submission(ticket) | Publishing::Pass(ticket)) = publishing.pop_front()?;
        Some(Heard::Answer(ticket, answer))
    };
    let instruction = |instruction| Some(Heard::Instruction(instruction));
    let heard = match message {
        ToWorker::CaughtUp => return Said { heard: None, reply: Some(ToSupervisor::Ready) },
        ToWorker::Beat => {
            return Said { heard: Some(Heard::MetricsWanted), reply: Some(ToSupervisor::Beat) };
        }
        ToWorker::Line(continuation) => Some(Heard::Line(continuation)),
        ToWorker::Publication(relayed) => publication(&relayed, now).map(Heard::Publication),
        ToWorker::Published(outcome) => published(Answer::Published(outcome)),
        ToWorker::Overview(overview) => {
            watching.pop_front().map(|ticket| Heard::Answer(ticket, Answer::Overview(overview)))
        }
        ToWorker::Found(overview) => {
            inquiring.pop_front().map(|ticket| Heard::Answer(ticket, Answer::Overview(overview)))
        }
        ToWorker::Tell { inquiry, wish } => Some(Heard::DetailsWanted(inquiry, wish)),
        ToWorker::Refused => published(Answer::Refused),
        ToWorker::Synced => syncing.pop_front().map(|ticket| Heard::Answer(ticket, Answer::Synced)),
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
#[path = "upstream_tests.rs"]
mod tests;

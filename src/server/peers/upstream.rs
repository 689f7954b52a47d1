//! The supervisor, as one of its workers sees it: publications are sent up, come back with their position, and only
//! then are they heard. Questions are answered in the order in which they were asked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::error;

use super::{Mood, Ordering, Peers};
use crate::frame::Frame;
use crate::http::report::Report;
use crate::http::routes::{self, Conditions};
use crate::policy::history::{History, Publication};
use crate::policy::hub::Hub;
use crate::policy::topic::TopicName;
use crate::server::clock::Now;
use crate::server::connection::Reading;
use crate::server::link::{Link, Taken};
use crate::server::socket::Socket;
use crate::wire::link::{Relayed, ToSupervisor, ToWorker};
use crate::wire::overview::Overview;
use crate::wire::publish::Submission;
use crate::wire::published;
use crate::wire::refusal::Refusal;
use crate::wire::request::Request;
use crate::wire::request_buffer::BodyWish;
use crate::wire::response::Exchange;

/// What waits for the supervisor before publishers have to wait, too.
const CONGESTED_BYTES: usize = 4 * 1024 * 1024;

/// How often a worker that cannot listen to the supervisor yet says that its loop turns.
const UNASKED_BEAT: Duration = Duration::from_secs(1);

/// The way to the supervisor.
#[derive(Debug)]
pub struct Upstream<S> {
    link: Link<S>,
    epoch: u32,
    /// Those who asked, oldest first.
    waiting: VecDeque<Waiting>,
    /// How many clients the supervisor knows of.
    told_clients: usize,
    /// When it was last told, unasked, that the loop turns.
    beaten_at: Option<Instant>,
    is_unread: bool,
    /// The supervisor takes nothing more, though there may be something left that it has said.
    is_deaf: bool,
    is_lost: bool,
}

/// Who waits for an answer.
#[derive(Debug)]
enum Waiting {
    /// A publisher, for the ids.
    Publisher { key: usize, exchange: Exchange },
    /// Somebody who wants to know about the whole server.
    Watcher { key: usize, exchange: Exchange, report: Report },
    /// A request that is answered once all that was published before it has come.
    Request { key: usize, request: Box<Request> },
    /// What is no request, behind others.
    Refusal { key: usize, refusal: Refusal },
    /// One who waits before it sends a body, behind others.
    Body { key: usize },
}

/// What the supervisor asks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Serve: all that was published has come.
    Serve,
    /// Listen no more.
    Close,
    /// Leave with the whole server; also when the supervisor is gone.
    Leave,
    /// Leave alone.
    StepDown {
        /// Nobody else accepts from this listener.
        is_last: bool,
    },
    /// Leave at once.
    Insist,
}

impl<S: Socket> Upstream<S> {
    /// A worker's end of the socket pair.
    pub fn new(socket: S) -> Self {
        Self {
            link: Link::new(socket),
            epoch: 0,
            waiting: VecDeque::new(),
            told_clients: 0,
            beaten_at: None,
            is_unread: false,
            is_deaf: false,
            is_lost: false,
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn is_congested(&self) -> bool {
        self.link.queued_bytes() > CONGESTED_BYTES
    }

    pub(super) fn has_work(&self) -> bool {
        !self.is_deaf && self.link.wants_flush()
    }

    /// What it is asked lies behind what it cannot take yet.
    fn beat_unasked(&mut self, now: Instant) {
        if self.beaten_at.is_none_or(|at| now >= at + UNASKED_BEAT) {
            self.beaten_at = Some(now);
            self.tell(&ToSupervisor::Beat);
        }
    }

    /// Says something, unless nobody is there to hear it.
    pub(super) fn tell(&mut self, message: &ToSupervisor) {
        if !self.is_lost {
            self.link.send(message);
        }
    }
}

impl<S: Socket> Peers<S> {
    /// The supervisor's socket is ready.
    pub fn on_supervisor_ready(&mut self) {
        if let Ordering::Upstream(upstream) = &mut self.ordering {
            upstream.is_unread = true;
        }
    }

    /// Takes what the supervisor has said, unless its publications have still to reach their listeners.
    pub fn hear_supervisor(&mut self, now: Now) -> Vec<Instruction> {
        let is_behind = self.has_too_many_news();
        let Ordering::Upstream(upstream) = &mut self.ordering else { return vec![] };
        upstream.is_unread |= upstream.link.take_retry(now.instant);
        if !upstream.is_unread || upstream.is_lost {
            return vec![];
        }
        if is_behind {
            upstream.beat_unasked(now.instant);
            return vec![];
        }
        let is_deaf = upstream.is_deaf;
        let taken = upstream.link.take(&mut self.scratch, now.instant);
        upstream.is_unread = taken == Taken::Some;
        let mut inbox = upstream.link.open_inbox();
        let mut instructions = vec![];
        let is_lost = loop {
            match inbox.next() {
                Ok(Some(message)) => instructions.extend(self.on_message(message, now)),
                Ok(None) => break taken == Taken::Last || is_deaf && taken == Taken::All,
                Err(_) => break true,
            }
        };
        if let Ordering::Upstream(upstream) = &mut self.ordering {
            upstream.link.close_inbox(inbox);
        }
        if is_lost {
            self.lose_supervisor(now);
            instructions.push(Instruction::Leave);
        }
        instructions
    }

    /// When to try the link to the supervisor again, though nothing has happened.
    pub fn next_retry(&self) -> Option<Instant> {
        match &self.ordering {
            Ordering::Upstream(upstream) => upstream.link.retry_at(),
            Ordering::Own(_) => None,
        }
    }

    /// Whether there is something of the supervisor's to be read, and room for it.
    pub(super) fn can_hear_supervisor(&self) -> bool {
        matches!(&self.ordering, Ordering::Upstream(upstream) if upstream.is_unread && !upstream.is_lost)
            && !self.has_too_many_news()
    }

    /// Asks the supervisor in which manner to leave. Whether there is one to ask.
    pub fn ask_how_to_leave(&mut self) -> bool {
        let Ordering::Upstream(upstream) = &mut self.ordering else { return false };
        upstream.tell(&ToSupervisor::Signalled);
        !upstream.is_lost
    }

    /// Whether it is one of several workers.
    pub fn has_supervisor(&self) -> bool {
        matches!(self.ordering, Ordering::Upstream(_))
    }

    /// Lets the supervisor have what waits for it.
    pub(super) fn flush_upstream(&mut self, now: Now) {
        let clients = self.clients;
        let Ordering::Upstream(upstream) = &mut self.ordering else { return };
        if std::mem::replace(&mut upstream.told_clients, clients) != clients {
            upstream.tell(&ToSupervisor::Clients(clients as u64));
        }
        // Also when it has stalled: only trying tells whether there is room again. Reading tells when it is gone, behind
        // the last that it has said.
        if upstream.link.queued_bytes() > 0 && !upstream.is_deaf && upstream.link.flush(now.instant).is_err()
        {
            (upstream.is_deaf, upstream.is_unread) = (true, true);
        }
    }

    /// Sends a submission up; its ids are answered later.
    pub(super) fn submit_upstream(&mut self, key: usize, submission: Submission, exchange: Exchange) {
        let message = ToSupervisor::Publish(submission);
        let is_last = !exchange.keep_alive || self.mood != Mood::Serving;
        self.ask(key, &message, Waiting::Publisher { key, exchange }, is_last);
    }

    /// Whether a request can only be answered once all has come that was published before it: answers keep the order
    /// of the requests, and a client may have heard elsewhere what is still on its way here.
    pub(super) fn must_sync_first(&self, key: usize, request: &Request, conditions: Conditions<'_>) -> bool {
        let Ordering::Upstream(upstream) = &self.ordering else { return false };
        let is_published = || routes::wish(request, conditions) != BodyWish::Skip;
        let is_behind_others = self.connections[key].awaited > 0 && !is_published();
        let is_ahead =
            || routes::resumes_after(request, upstream.epoch).is_some_and(|p| p > self.hub.newest());
        !upstream.is_lost && (is_behind_others || is_ahead())
    }

    /// Puts a request off until all has come that was published before it.
    pub(super) fn sync_first(&mut self, key: usize, request: Box<Request>) {
        self.ask(key, &ToSupervisor::Sync, Waiting::Request { key, request }, true);
    }

    /// Tells something about the whole server; with a supervisor, once that has told it.
    pub(super) fn report(&mut self, key: usize, report: Report, exchange: Exchange, now: Now) {
        // Operators at a door of their own are few, and are told what is so now; answers keep their order.
        if !self.connections[key].is_admin
            && self.connections[key].awaited == 0
            && let Some(response) = self.reports.fresh(report, now)
        {
            return self.respond(key, response, exchange, now);
        }
        if matches!(&self.ordering, Ordering::Upstream(upstream) if !upstream.is_lost) {
            self.tell_metrics();
            let waiting = Waiting::Watcher { key, exchange, report };
            return self.ask(key, &ToSupervisor::Overview, waiting, true);
        }
        let overview = self.overview();
        self.tell_report(key, &overview, report, exchange, now);
    }

    fn tell_report(&mut self, key: usize, overview: &Overview, report: Report, exchange: Exchange, now: Now) {
        let response = report.response(overview, now.wall);
        self.reports.note(report, &response, now);
        self.respond(key, response, exchange, now);
    }

    /// Lets the supervisor have what was counted up to the end.
    pub fn tell_last_metrics(&mut self, now: Now) {
        if self.has_supervisor() {
            self.tell_metrics();
            self.flush_upstream(now);
        }
    }

    fn tell_metrics(&mut self) {
        let metrics = ToSupervisor::Metrics(Box::new(self.metrics()));
        if let Ordering::Upstream(upstream) = &mut self.ordering {
            upstream.tell(&metrics);
        }
    }

    /// Puts a refusal off until the requests before it have been answered.
    pub(super) fn refuse_later(&mut self, key: usize, refusal: Refusal) {
        self.ask(key, &ToSupervisor::Sync, Waiting::Refusal { key, refusal }, true);
    }

    /// Lets one who waits before it sends a body wait until the requests before have been answered.
    pub(super) fn go_on_later(&mut self, key: usize) {
        self.ask(key, &ToSupervisor::Sync, Waiting::Body { key }, true);
    }

    fn ask(&mut self, key: usize, question: &ToSupervisor, waiting: Waiting, is_held: bool) {
        let Ordering::Upstream(upstream) = &mut self.ordering else { return };
        upstream.tell(question);
        upstream.waiting.push_back(waiting);
        let connection = &mut self.connections[key];
        connection.awaited += 1;
        connection.is_held |= is_held;
    }

    fn on_message(&mut self, message: ToWorker<'_>, now: Now) -> Option<Instruction> {
        let Ordering::Upstream(upstream) = &mut self.ordering else { return None };
        match message {
            ToWorker::Begin { epoch, newest } => {
                upstream.epoch = epoch;
                self.hub = Hub::new(newest);
                self.history = History::new(self.terms.history, newest);
            }
            ToWorker::Publication(relayed) => self.on_publication(&relayed, now),
            ToWorker::CaughtUp => upstream.tell(&ToSupervisor::Ready),
            ToWorker::Beat => {
                upstream.tell(&ToSupervisor::Beat);
                self.tell_metrics();
            }
            ToWorker::Published(_) | ToWorker::Overview(_) | ToWorker::Refused | ToWorker::Synced => {
                self.on_answer(Some(message), now);
            }
            ToWorker::Serve => return Some(Instruction::Serve),
            ToWorker::Close => return Some(Instruction::Close),
            ToWorker::Leave => return Some(Instruction::Leave),
            ToWorker::StepDown { is_last } => return Some(Instruction::StepDown { is_last }),
            ToWorker::Insist => return Some(Instruction::Insist),
        }
        None
    }

    fn on_publication(&mut self, relayed: &Relayed<'_>, now: Now) {
        // What the supervisor sends has been checked before it was submitted.
        let Ok(topic) = TopicName::parse(relayed.topic) else { return };
        let frame = Frame::from_encoded(relayed.frame.to_vec());
        self.hear_of(Publication { topic, frame, at: now.instant_of(relayed.at_unix_ms) }, now);
    }

    /// Hands the supervisor's answer, if there is one, to whoever has asked first.
    fn on_answer(&mut self, answer: Option<ToWorker<'_>>, now: Now) {
        let Ordering::Upstream(upstream) = &mut self.ordering else { return };
        let Some(waiting) = upstream.waiting.pop_front() else { return };
        let (Waiting::Publisher { key, .. }
        | Waiting::Watcher { key, .. }
        | Waiting::Request { key, .. }
        | Waiting::Refusal { key, .. }
        | Waiting::Body { key }) = waiting;
        let connection = &mut self.connections[key];
        connection.awaited -= 1;
        // Who is held waits for the last answer.
        connection.is_held &= connection.awaited > 0;
        if connection.reading == Reading::Unanswered && !connection.awaits_answers() {
            connection.reading = Reading::Listed;
            self.unread.push(key);
        }
        match (waiting, answer) {
            (Waiting::Publisher { exchange, .. }, Some(ToWorker::Published(published))) => {
                self.respond(key, published::response(&published), exchange, now);
            }
            (Waiting::Watcher { exchange, report, .. }, Some(ToWorker::Overview(overview))) => {
                self.tell_report(key, &overview, report, exchange, now);
            }
            (Waiting::Request { request, .. }, _) => self.answer(key, request, now),
            (Waiting::Refusal { refusal, .. }, _) => {
                self.connections[key].refuse(refusal, now, &self.terms.limits);
            }
            (Waiting::Body { .. }, _) => self.connections[key].go_on(now + self.terms.limits.handshake),
            (Waiting::Publisher { exchange, .. } | Waiting::Watcher { exchange, .. }, _) => {
                self.respond(key, routes::restarting(), exchange, now);
            }
        }
        self.connections[key].finish_if_answered(now);
        self.soil(key);
    }

    fn lose_supervisor(&mut self, now: Now) {
        error!("The supervisor is gone: leaving, too");
        let Ordering::Upstream(upstream) = &mut self.ordering else { return };
        (upstream.is_deaf, upstream.is_lost) = (true, true);
        // It may be there and no more to be understood: then it is told that this worker is on its own.
        upstream.link.hang_up();
        for _ in 0..upstream.waiting.len() {
            self.on_answer(None, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::socket::Stream;

    #[test]
    fn one_that_is_behind_says_once_a_second_that_its_loop_turns() {
        let (socket, _other) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .expect("there are descriptors");
        let (mut upstream, now) = (Upstream::new(Stream::from(socket)), Now::read().instant);
        let beats_at = [0, 10, 999, 1000, 1500, 2000].map(|ms| {
            upstream.beat_unasked(now + Duration::from_millis(ms));
            upstream.link.queued_bytes() / 5
        });
        assert_eq!(beats_at, [1, 1, 1, 2, 2, 3]);
    }
}

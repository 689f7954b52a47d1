//! Requests that cannot be answered here alone: a question goes out for each, and its answer comes back, at once or
//! much later. Whoever keeps the order of the publications is not known here.

use std::collections::VecDeque;

use slab::Slab;

use super::speaking::Spoken;
use super::{Mode, Peers};
use crate::http::door::Door;
use crate::http::report::Report;
use crate::http::routes::{self, Conditions, Stage};
use crate::server::clock::Now;
use crate::server::connection::Reading;
use crate::server::question::{Answer, Question, Ticket};
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::overview::Overview;
use crate::wire::publish::Submission;
use crate::wire::published;
use crate::wire::refusal::Refusal;
use crate::wire::request::Request;
use crate::wire::request_buffer::BodyWish;
use crate::wire::response::Exchange;

/// What was asked, and for whom.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By their tickets.
    those: Slab<Waiter>,
    /// To be handed on, oldest first.
    questions: VecDeque<(Ticket, Question)>,
    /// What the publications among them come to.
    bytes: usize,
    /// Whether more was asked than is taken.
    is_too_much: bool,
    /// An operator wants the server to leave, who is this one.
    wants_drain: Option<String>,
}

#[derive(Debug)]
struct Waiter {
    key: usize,
    what: What,
}

/// For what a request was put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Not,
    /// Until those before it were answered.
    ForOthers,
    /// Until all had come that was published before it.
    ForAll,
}

/// What becomes of an answer.
#[derive(Debug)]
enum What {
    /// A publisher is told the ids.
    Publisher(Exchange),
    /// A client that has published is told the id.
    Speaker(Spoken),
    /// Somebody wants to know about the whole server.
    Watcher(Exchange, Report),
    /// A request can be answered, behind others.
    Request(Box<Request>),
    /// Somebody may listen now that all has come that was published before, or is told that something is missing.
    Listener(Box<Request>),
    /// Nothing: it was turned away meanwhile.
    TurnedAway,
    /// A request that cannot be read is refused, behind others.
    Refusal(Refusal, Option<Box<str>>),
    /// A peer that waits before it sends a body may go on, behind others.
    Body,
    /// A client is parted with, as it has said that it goes or has broken a rule, behind what it has published.
    Ending(Ending),
}

impl Waiting {
    /// Bytes of publications that are still to be handed on.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more was asked than is taken: then publishers have to wait.
    pub(super) fn is_too_much(&self) -> bool {
        self.is_too_much
    }

    /// An operator wants the server to leave.
    pub(super) fn ask_for_drain(&mut self, caller: String) {
        self.wants_drain.get_or_insert(caller);
    }

    fn ask(&mut self, waiter: Waiter, question: Question) {
        if let Question::Publish(submission) = &question {
            let drafts = submission.drafts.list.iter();
            self.bytes += drafts.map(|draft| draft.topics.len() * draft.data.get().len()).sum::<usize>();
        }
        let ticket = Ticket(self.those.insert(waiter));
        self.questions.push_back((ticket, question));
    }

    fn next_question(&mut self) -> Option<(Ticket, Question)> {
        if self.questions.is_empty() {
            self.bytes = 0;
        }
        self.questions.pop_front()
    }
}

impl<S: Socket> Peers<S> {
    /// The next question, to be answered with its ticket. Call until `None`.
    pub fn next_question(&mut self) -> Option<(Ticket, Question)> {
        self.waiting.next_question()
    }

    /// Whether more was asked than is taken.
    pub fn hold_publishers(&mut self, is_too_much: bool) {
        self.waiting.is_too_much = is_too_much;
    }

    /// Whether it is known which id is the newest: until then nobody may listen.
    pub fn tell_newest(&mut self, is_known: bool) {
        self.knows_newest = is_known;
    }

    /// Which operator has asked the server to leave since the last call, if one has.
    pub fn take_drain_request(&mut self) -> Option<String> {
        std::mem::take(&mut self.waiting.wants_drain)
    }

    /// Whether a request can only be answered once others are: answers keep the order of the requests.
    pub(super) fn is_behind_others(
        &self,
        key: usize,
        request: &mut Request,
        conditions: Conditions<'_>,
    ) -> bool {
        self.connections[key].awaited.any()
            && !matches!(routes::wish(request, conditions), BodyWish::Collect(_))
    }

    /// Whether a request can only be answered once all has come that was published before it: a client may have heard elsewhere what
    /// is still on its way here, and what it has published itself is ahead of what it hears. Who is refused is refused at once.
    pub(super) fn must_sync_first(
        &self,
        request: &Request,
        conditions: Conditions<'_>,
        waited: Waited,
    ) -> bool {
        if conditions.stage != Stage::Serving || conditions.door != Door::Public || waited == Waited::ForAll {
            return false;
        }
        let Some(asked) = routes::subscriptions(request) else { return false };
        let last = asked.last_event_id.and_then(|id| id.parse().ok());
        waited == Waited::ForOthers || last.is_some_and(|last| self.feed.is_ahead(last))
    }

    /// Publishes; the ids are answered later.
    pub(super) fn submit(&mut self, key: usize, submission: Submission, exchange: Exchange) {
        let is_last = !exchange.keep_alive || self.mode != Mode::Serving;
        self.ask(key, Question::Publish(submission), What::Publisher(exchange), is_last);
    }

    /// Publishes for a client; the id is told later. It is heard further meanwhile.
    pub(super) fn submit_spoken(&mut self, key: usize, submission: Submission, spoken: Spoken) {
        self.ask(key, Question::Publish(submission), What::Speaker(spoken), false);
    }

    /// Puts a request off until those before it have been answered.
    pub(super) fn answer_later(&mut self, key: usize, request: Box<Request>) {
        self.ask(key, Question::Pass, What::Request(request), true);
    }

    /// Puts a request off until all has come that was published before it.
    pub(super) fn sync_first(&mut self, key: usize, request: Box<Request>) {
        self.ask(key, Question::Sync, What::Listener(request), true);
    }

    /// Puts a refusal off until the requests before it have been answered.
    pub(super) fn refuse_later(&mut self, key: usize, refusal: Refusal, shared_with: Option<Box<str>>) {
        self.ask(key, Question::Pass, What::Refusal(refusal, shared_with), true);
    }

    /// Puts an ending off until what the client has published before it has been answered.
    pub(super) fn end_later(&mut self, key: usize, ending: Ending) {
        self.ask(key, Question::Pass, What::Ending(ending), true);
    }

    /// Lets a peer that waits before it sends a body wait until the requests before have been answered.
    pub(super) fn go_on_later(&mut self, key: usize) {
        self.ask(key, Question::Pass, What::Body, true);
    }

    /// Tells something about the whole server.
    pub(super) fn report(&mut self, key: usize, report: Report, exchange: Exchange, now: Now) {
        // Operators at a door of their own are few, and are told what is so now; answers keep their order.
        let connection = &self.connections[key];
        if connection.door != Door::Admin
            && !connection.awaited.any()
            && let Some(response) = self.reports.fresh(report, now)
        {
            return self.respond(key, response, exchange, now);
        }
        let question = Question::Overview(report.wish(), self.known(report.wish(), now).into());
        self.ask(key, question, What::Watcher(exchange, report), true);
    }

    fn ask(&mut self, key: usize, question: Question, what: What, holds: bool) {
        self.waiting.ask(Waiter { key, what }, question);
        self.connections[key].awaited.ask(holds);
    }

    /// Hands an answer to whoever waits for it.
    pub fn on_answer(&mut self, ticket: Ticket, answer: Answer, now: Now) {
        let waiter = self.waiting.those.try_remove(ticket.0);
        if let Some(Waiter { key, what }) = waiter.filter(|waiter| !matches!(waiter.what, What::TurnedAway)) {
            self.go_on_with_answer(key, what, answer, now);
        }
    }

    /// Whoever waits until all has come that was published before is refused, and may come again: nothing else is to wait for
    /// that.
    pub fn turn_waiting_away(&mut self, now: Now) {
        let mut refused = vec![];
        for (_, Waiter { key, what }) in &mut self.waiting.those {
            // The ticket is not another's before the answer has come.
            if matches!(what, What::Listener(_)) {
                refused.push((*key, std::mem::replace(what, What::TurnedAway)));
            }
        }
        for (key, what) in refused {
            self.go_on_with_answer(key, what, Answer::Refused, now);
        }
    }

    fn go_on_with_answer(&mut self, key: usize, what: What, answer: Answer, now: Now) {
        let connection = &mut self.connections[key];
        let was_stopped = connection.awaited.stops_reading();
        connection.awaited.on_answer();
        if was_stopped && !connection.awaited.stops_reading() {
            self.agenda.list_answered(key);
            if connection.reading == Reading::Unanswered {
                connection.reading = Reading::Listed;
                self.agenda.list_unread(key);
            }
        }
        match (what, answer) {
            (What::Publisher(exchange), Answer::Published(published)) => {
                self.respond(key, published::response(&published), exchange, now);
            }
            (What::Speaker(spoken), answer) => self.tell_speaker(key, answer, &spoken, now),
            (What::Watcher(exchange, report), Answer::Overview(overview)) => {
                self.tell_report(key, *overview, report, exchange, now);
            }
            (What::Request(request), _) => self.answer(key, request, Waited::ForOthers, now),
            // What it has heard elsewhere is as little known here as if nothing were.
            (What::Listener(request), Answer::Refused) => {
                let known = std::mem::replace(&mut self.knows_newest, false);
                self.answer(key, request, Waited::ForAll, now);
                self.knows_newest = known;
            }
            (What::Listener(request), _) => self.answer(key, request, Waited::ForAll, now),
            (What::TurnedAway, _) => {}
            (What::Refusal(refusal, shared_with), _) => {
                self.connections[key].refuse(refusal, shared_with, now, &self.terms.limits);
            }
            (What::Ending(ending), _) => self.connections[key].end(ending, now),
            (What::Body, _) => self.connections[key].go_on(now + self.terms.limits.handshake),
            (What::Publisher(exchange) | What::Watcher(exchange, _), _) => {
                self.respond(key, routes::restarting(), exchange, now);
            }
        }
        self.leave_to_proxy(key, now);
        self.connections[key].finish_if_answered(now);
        self.mark_dirty(key);
    }

    /// Whether there are peers to `go_on` with.
    pub fn has_answered(&self) -> bool {
        self.agenda.has_answered()
    }

    /// Goes on with the requests that have already come from peers that no longer wait for answers. These may be answered at
    /// once, too, and so on: there are no more of them than one read has brought.
    pub fn go_on(&mut self, now: Now) {
        for key in self.agenda.take_answered() {
            self.converse(key, now);
            self.mark_dirty(key);
        }
    }

    fn tell_report(&mut self, key: usize, overview: Overview, report: Report, exchange: Exchange, now: Now) {
        let overview = Overview { history: self.history_status(now), ..overview };
        let response = report.response(&overview, now.wall);
        self.reports.note(report, &response, now);
        self.respond(key, response, exchange, now);
    }
}

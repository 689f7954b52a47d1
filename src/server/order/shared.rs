//! The engine, as a process sees it that is a whole machine by itself: what is published goes there and comes back with its
//! position, and only then is it heard.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Heard, own_overview};
use crate::policy::engine::step::Line;
use crate::server::clock::Now;
use crate::server::engine::{Engine, EngineTerms, News};
use crate::server::question::{Answer, Question, Ticket};
use crate::server::socket::Socket;

/// The order of several machines.
#[derive(Debug)]
pub struct Shared<S> {
    /// What orders it.
    pub engine: Engine<S, Ticket>,
    /// Answers that the engine is not needed for: how everything stands is told also while it is silent.
    own: VecDeque<Heard>,
    /// Publications that were heard since this process began to count.
    pub(super) heard: u64,
}

impl<S: Socket> Shared<S> {
    pub(super) fn new(terms: EngineTerms, now: Now) -> Self {
        Self { engine: Engine::new(terms, now), own: VecDeque::new(), heard: 0 }
    }

    pub(super) fn ask(&mut self, ticket: Ticket, question: Question, now: Now) {
        match question {
            Question::Publish(submission) => self.engine.submit(ticket, submission, now),
            Question::Pass => self.engine.pass(ticket),
            Question::Sync => self.engine.sync(ticket, now.instant),
            Question::Overview(_, known) => {
                let engine = Some(self.engine.status(now.instant));
                let overview = own_overview(*known, self.heard, engine);
                self.own.push_back(Heard::Answer(ticket, overview));
            }
        }
    }

    pub(super) fn poll(&mut self, now: Now) -> Option<Heard> {
        if let Some(answer) = self.own.pop_front() {
            return Some(answer);
        }
        Some(match self.engine.poll(now)? {
            News::Publication(publication) => {
                self.heard += 1;
                Heard::Publication(publication)
            }
            News::Line(continuation) => Heard::Line(continuation),
            News::Published(ticket, outcome) => Heard::Answer(ticket, Answer::Published(outcome)),
            News::Synced(ticket) => Heard::Answer(ticket, Answer::Synced),
            News::Passed(ticket) => Heard::Answer(ticket, Answer::Passed),
            News::Connect(wanted) => Heard::Connect(wanted),
            News::Reconnected => Heard::Reconnected,
        })
    }

    pub(super) fn notify(&mut self, clients: usize, period: Duration, now: Now) {
        self.engine.count(clients);
        self.engine.notify(period, now);
    }

    pub(super) fn on_ready(&mut self, line: Line) {
        self.engine.on_ready(line);
    }

    pub(super) fn flush(&mut self, clients: usize, now: Now) {
        self.engine.count(clients);
        self.engine.flush(now.instant);
    }
}

//! The engine, as a process sees it that is a whole machine by itself: what is published goes there and comes back with its
//! position, and only then is it heard.

use std::time::Duration;

use super::{Heard, own_overview};
use crate::policy::engine::step::Line;
use crate::server::clock::Now;
use crate::server::engine::{Engine, EngineTerms, News};
use crate::server::question::{Answer, Question, Ticket};
use crate::server::socket::Socket;
use crate::wire::metrics::Metrics;
use crate::wire::overview::Draining;

/// The order of several machines.
#[derive(Debug)]
pub struct Shared<S> {
    /// What orders it.
    pub engine: Engine<S, Asker>,
    /// Publications that were heard since this process began to count.
    heard: u64,
}

/// Who has asked.
#[derive(Debug)]
pub struct Asker {
    ticket: Ticket,
    /// What goes with a question about the whole server, which is answered here.
    overview: Option<(Box<Metrics>, Option<Draining>)>,
}

impl<S: Socket> Shared<S> {
    pub(super) fn new(terms: EngineTerms, now: Now) -> Self {
        Self { engine: Engine::new(terms, now), heard: 0 }
    }

    pub(super) fn ask(&mut self, ticket: Ticket, question: Question, now: Now) {
        let asker = Asker { ticket, overview: None };
        match question {
            Question::Publish(submission) => self.engine.submit(asker, &submission, now),
            Question::Sync => self.engine.sync(asker),
            Question::Overview { metrics, drain } => {
                self.engine.take_turn(Asker { ticket, overview: Some((metrics, drain)) });
            }
        }
    }

    pub(super) fn poll(&mut self, now: Now) -> Option<Heard> {
        Some(match self.engine.poll(now)? {
            News::Publication(publication) => {
                self.heard += 1;
                Heard::Publication(publication)
            }
            News::Line(continuation) => Heard::Line(continuation),
            News::Published(asker, outcome) => Heard::Answer(asker.ticket, Answer::Published(outcome)),
            News::Synced(asker) => Heard::Answer(asker.ticket, Answer::Synced),
            News::Turn(Asker { ticket, overview }) => {
                let (metrics, drain) = overview.unwrap_or_default();
                Heard::Answer(ticket, own_overview(metrics, drain, self.heard))
            }
            News::Connect(wanted) => Heard::Connect(wanted),
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

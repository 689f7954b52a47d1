//! What is done as `policy::engine` says: connections are asked for and given up, questions are asked, and the log is told.

use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::{Engine, Expected, Given, News, Wanted};
use crate::policy::engine::fault::Fault;
use crate::policy::engine::refusals::Refusals;
use crate::policy::engine::step::{Ask, Line, Step, Target};
use crate::policy::engine::{ANSWER_LIMIT, BLOCK};
use crate::server::clock::Now;
use crate::server::engine::conversation::Conversation;
use crate::server::socket::Socket;
use crate::wire::published::Unpublished;

impl<S: Socket, K> Engine<S, K> {
    pub(super) fn perform(&mut self, step: Step, now: Now) {
        match step {
            Step::Connect(line, target) => {
                let limit = match line {
                    Line::Reader => ANSWER_LIMIT + BLOCK,
                    Line::Writer => {
                        ANSWER_LIMIT + Duration::from_millis(self.terms.wait_ms.unwrap_or(0).into())
                    }
                    Line::Locator => ANSWER_LIMIT,
                };
                *self.conversation(line) = Some(Conversation::new(limit, now.instant));
                if let Target::Sentinel(number) = target {
                    self.sentinel = number;
                }
                let generation = self.generation;
                self.news.push_back(News::Connect(Wanted { line, target, generation }));
            }
            Step::Ask(line, ask) => self.ask(line, &ask, now.instant),
            Step::Part(line) => *self.conversation(line) = None,
            Step::HangUp => self.hang_up(),
            Step::Line(continuation) => self.go_on(continuation),
            Step::Synced(numbers) => {
                numbers.into_iter().for_each(|number| self.syncs.answer(number, ()));
            }
            Step::Up => {
                self.on_up();
                self.publish_early(now);
            }
            Step::Down { fault, is_again } => {
                self.on_down(&fault, is_again);
                self.publish_early(now);
            }
        }
    }

    fn ask(&mut self, line: Line, ask: &Ask, now: Instant) {
        let (speaker, clients) = (self.terms.speaker.clone(), self.clients);
        let Some(conversation) = self.conversation(line) else { return };
        let replies = conversation.write(now, |to| speaker.ask(ask, clients, to));
        if *ask == Ask::Master {
            // Who takes no password says so here.
            (1..replies).for_each(|_| conversation.expect(Expected::Anything));
            return conversation.expect(Expected::Master);
        }
        conversation.expect(match ask {
            Ask::Master => Expected::Master,
            Ask::Greet => Expected::Greeting,
            Ask::Begin { .. } => Expected::Begun,
            Ask::Page { most, .. } => Expected::Page(*most),
            Ask::Follow { .. } => Expected::News,
            Ask::Tail => Expected::Tail,
            Ask::Beat { known } => Expected::Beat(*known),
        });
        (1..replies).for_each(|_| conversation.expect(Expected::Done));
    }

    fn hang_up(&mut self) {
        self.generation += 1;
        self.refusals = Refusals::default();
        (self.locator, self.reader, self.page, self.unasked) = (None, None, None, 0);
        for (number, outcome) in self.unconfirmed.drain(..) {
            self.owed.answer(number, Given::Published(outcome.and(Err(Unpublished::Unconfirmed))));
        }
        let expected = self.writer.take().into_iter().flat_map(Conversation::into_expected);
        for expected in expected.collect::<Vec<_>>() {
            if let Expected::Published { number, .. } = expected {
                self.owed.answer(number, Given::Published(Err(Unpublished::Unknown)));
            }
        }
    }

    /// It is known now whether the engine is there: what has waited for that is published, or refused.
    fn publish_early(&mut self, now: Now) {
        for (number, submission) in std::mem::take(&mut self.early) {
            self.order(number, &submission, now);
        }
    }

    fn on_up(&mut self) {
        let (name, epoch) = (&self.terms.name, self.course.epoch().unwrap_or_default());
        let (product, version) =
            self.greeting.as_ref().map_or(("", ""), |greeting| (&greeting.product, &greeting.version));
        info!("The engine {name} is there ({product} {version}), in epoch {epoch:08x}");
        self.why_down = None;
        if std::mem::replace(&mut self.has_been_up, true) {
            self.news.push_back(News::Reconnected);
        }
    }

    fn on_down(&mut self, fault: &Fault, is_again: bool) {
        let fault = fault.with_words(&|words| self.terms.speaker.show(words));
        self.why_down = Some(fault.to_string());
        let name = &self.terms.name;
        if is_again {
            debug!("The engine {name} cannot be used: {fault}");
        } else {
            warn!(
                "The engine {name} cannot be used: {fault}. Until it can, publishers are refused; everybody else is served"
            );
        }
    }
}

//! The supervisor's half of publishing where an engine gives the order: what workers publish goes there, and what comes back from
//! there all of them hear. Answers come much later than questions then: to publishers in
//! their order, and to those who wait until all has been heard in theirs.

use std::time::Instant;

use super::member::Known;
use super::publications::Publications;
use super::{CatchUp, Relay};
use crate::policy::engine::step::Line as EngineLine;
use crate::policy::line::Line;
use crate::policy::roster::WorkerId;
use crate::server::clock::Now;
use crate::server::engine::{Engine, EngineTerms, News, Wanted};
use crate::server::socket::Socket;
use crate::wire::link::{ToSupervisor, ToWorker};

/// The engine, and what it wants. Workers ask.
#[derive(Debug)]
pub(super) struct Sharing<S> {
    pub(super) engine: Engine<S, WorkerId>,
    /// Connections to be opened.
    wanted: Vec<Wanted>,
    /// Publications that were heard since this process began to count.
    pub(super) heard: u64,
}

impl<S: Socket> Relay<S> {
    /// Lets an engine give the order: until all has been read that it holds, or that cannot be done now, no worker serves.
    pub fn share_order(&mut self, terms: EngineTerms, now: Now) {
        let engine = Engine::new(terms, now);
        self.sharing = Some(Box::new(Sharing { engine, wanted: vec![], heard: 0 }));
        self.pause.awaits_engine = true;
        // Any id is ahead of this epoch: only the engine can tell.
        self.publications = Publications::new(Line::empty(0, self.limits));
    }

    /// A socket to the engine is ready.
    pub fn on_engine_ready(&mut self, line: EngineLine) {
        self.sharing.iter_mut().for_each(|sharing| sharing.engine.on_ready(line));
    }

    /// A connection that was wanted is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>, now: Now) {
        if let Some(sharing) = &mut self.sharing {
            sharing.engine.on_connected(wanted, socket, now.instant);
        }
    }

    /// Connections to the engine that are to be opened.
    pub fn take_wanted(&mut self) -> Vec<Wanted> {
        self.sharing.as_mut().map(|sharing| std::mem::take(&mut sharing.wanted)).unwrap_or_default()
    }

    /// Takes in what the engine has said: no publications while too much of what it said before waits for some worker, and nothing at
    /// all while everything is handed over.
    pub fn hear_engine(&mut self, now: Now) {
        let is_behind = self.is_behind(now.instant);
        let is_heard = self.pause.hears_engine();
        let Some(sharing) = self.sharing.as_mut().filter(|_| is_heard) else { return };
        sharing.engine.take_in(is_behind, &mut self.scratch, now);
        while let Some(news) = self.sharing.as_mut().and_then(|sharing| sharing.engine.poll(now)) {
            self.on_news(news, now);
        }
        if self.sharing.as_ref().is_some_and(|sharing| sharing.engine.may_serve()) {
            self.pause.awaits_engine = false;
        }
    }

    fn on_news(&mut self, news: News<WorkerId>, now: Now) {
        match news {
            News::Publication(publication) => {
                self.sharing.iter_mut().for_each(|sharing| sharing.heard += 1);
                self.publications.push(publication, now);
            }
            News::Line(continuation) => {
                self.go_on_with(continuation);
            }
            News::Published(worker, outcome) => self.tell(worker, &ToWorker::Published(outcome)),
            News::Synced(worker) => self.tell_synced(worker),
            News::Passed(worker) => self.tell(worker, &ToWorker::Refused),
            News::Connect(wanted) => {
                self.sharing.iter_mut().for_each(|sharing| sharing.wanted.push(wanted.clone()));
            }
            News::Reconnected => self.past.engine_reconnects += 1,
        }
    }

    /// How much is known of what was published.
    pub(super) fn known(&self) -> Known {
        match &self.sharing {
            _ if self.pause.awaits_history() => Known::Unasked,
            Some(sharing) if !sharing.engine.has_read_all() => Known::Nothing,
            _ => Known::All,
        }
    }

    /// Sends what waits for the engine.
    pub(super) fn flush_engine(&mut self, now: Now) {
        let clients = self.clients();
        if let Some(sharing) = &mut self.sharing {
            sharing.engine.count(clients);
            sharing.engine.flush(now.instant);
        }
    }

    /// Whether there is something to do with the engine that no event will announce.
    pub(super) fn has_engine_work(&self, now: Instant) -> bool {
        let has_work = |sharing: &Sharing<S>| sharing.engine.has_work(self.is_behind(now));
        self.pause.hears_engine() && self.sharing.as_deref().is_some_and(has_work)
    }

    /// Passes a question on to the engine; gives back what is none, or is to be answered here: how everything stands is told also
    /// while the engine is silent.
    pub(super) fn pass_on(&mut self, id: WorkerId, message: ToSupervisor, now: Now) -> Option<ToSupervisor> {
        let Some(sharing) = &mut self.sharing else { return Some(message) };
        match message {
            ToSupervisor::Publish(_) if self.is_closed => sharing.engine.pass(id),
            ToSupervisor::Publish(submission) => sharing.engine.submit(id, submission, now),
            ToSupervisor::Sync => sharing.engine.sync(id, now.instant),
            message => return Some(message),
        }
        None
    }

    /// Says that all has been sent that was positioned so far.
    pub(super) fn tell_synced(&mut self, id: WorkerId) {
        if self.members.get(&id).is_some_and(|member| member.told == CatchUp::Live) {
            self.hand_on();
        }
        self.tell(id, &ToWorker::Synced);
    }
}

#[cfg(test)]
#[path = "sharing_tests.rs"]
mod tests;

//! The supervisor's half of publishing where an engine gives the order: what workers publish goes there, and what comes back from
//! there all of them hear. Answers come much later than questions then, but in their order.

use super::{CatchUp, Member, Relay};
use crate::policy::engine::step::Line;
use crate::policy::roster::WorkerId;
use crate::server::clock::Now;
use crate::server::engine::{Engine, EngineTerms, News, Wanted};
use crate::server::socket::Socket;
use crate::wire::link::ToWorker;
use crate::wire::publish::Submission;

/// The engine, and what it wants.
#[derive(Debug)]
pub(super) struct Sharing<S> {
    pub(super) engine: Engine<S, Asker>,
    /// Connections to be opened.
    wanted: Vec<Wanted>,
    /// Publications that were heard since this process began to count.
    pub(super) heard: u64,
}

/// Who has asked, and what is to be answered when it is its turn.
#[derive(Debug)]
pub(super) struct Asker {
    worker: WorkerId,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// What the engine says.
    Engine,
    /// What there is to say about the whole server.
    Overview,
    /// That it leaves.
    Refusal,
}

impl<S: Socket> Relay<S> {
    /// Lets an engine give the order. Nobody must serve yet.
    pub fn share_order(&mut self, terms: EngineTerms, now: Now) {
        let engine = Engine::new(terms, now);
        self.sharing = Some(Box::new(Sharing { engine, wanted: vec![], heard: 0 }));
        self.publications.begin_nowhere();
    }

    /// The engine, if one gives the order.
    pub fn engine(&self) -> Option<EngineStatusAt> {
        self.sharing.as_ref().map(|sharing| EngineStatusAt {
            may_serve: sharing.engine.may_serve(),
        })
    }

    /// A socket to the engine is ready.
    pub fn on_engine_ready(&mut self, line: Line) {
        self.sharing.iter_mut().for_each(|sharing| sharing.engine.on_ready(line));
    }

    /// A connection that was wanted is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>, now: Now) {
        self.sharing.iter_mut().for_each(|sharing| sharing.engine.on_connected(wanted, socket, now.instant));
    }

    /// Connections to the engine that are to be opened.
    pub fn take_wanted(&mut self) -> Vec<Wanted> {
        self.sharing.as_mut().map(|sharing| std::mem::take(&mut sharing.wanted)).unwrap_or_default()
    }

    /// Has the engine position what a worker publishes; gives it back where there is none.
    pub(super) fn share(&mut self, id: WorkerId, submission: Submission, now: Now) -> Option<Submission> {
        let Some(sharing) = &mut self.sharing else { return Some(submission) };
        let asker = |what| Asker { worker: id, what };
        if self.is_closed {
            sharing.engine.take_turn(asker(What::Refusal));
        } else {
            sharing.engine.submit(asker(What::Engine), &submission, now);
        }
        None
    }
}

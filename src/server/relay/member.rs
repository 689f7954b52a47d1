//! One worker as its supervisor sees it: how much it has been told, and how much it has still to be told.

use bytes::BytesMut;

use crate::policy::epochs::Epochs;
use crate::policy::history::Publication;
use crate::policy::line::{Continuation, Line};
use crate::policy::sequencer::Position;
use crate::server::clock::Now;
use crate::server::link::Link;
use crate::server::socket::Socket;
use crate::wire::link::{Relayed, ToWorker, encode};
use crate::wire::overview::WorkerStatus;

/// What of the history waits for a worker that catches up; the rest waits in the history.
const CATCH_UP_BYTES: usize = 256 * 1024;

/// Publications encoded in one step of catching up.
const CATCH_UP_STEP: usize = 256;

/// One worker.
#[derive(Debug)]
pub(super) struct Member<S> {
    pub(super) link: Link<S>,
    pub(super) told: CatchUp,
    pub(super) clients: usize,
    /// Its number, its process and what it has counted.
    pub(super) status: WorkerStatus,
    /// Has more to say than was read.
    pub(super) is_unread: bool,
    /// Its end is closed: it says nothing more.
    pub(super) is_gone: bool,
    /// Its process has ended.
    pub(super) has_ended: bool,
    /// It takes nothing more, though there may be something left that it has said.
    pub(super) is_deaf: bool,
    /// It could take up a predecessor's connections.
    pub(super) is_there: bool,
    /// It could serve, and was not told to.
    pub(super) is_ready: bool,
    /// Connections that it has taken up before it could serve.
    pub(super) taken_up: u64,
}

/// How much is known of what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is still to be seen whether anything can be.
    Unasked,
    /// Not enough: the engine could not be read to its end yet.
    Nothing,
    All,
}

/// How much of what was published a worker has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CatchUp {
    /// Not even that there is none yet.
    New,
    /// That nobody can listen yet, as the engine could not be read.
    Nothing,
    /// All up to this position; the rest is in the history.
    CatchingUp(Position),
    /// Everything, as it is published.
    Live,
}

impl<S: Socket> Member<S> {
    pub(super) fn hang_up(&mut self) {
        (self.is_deaf, self.is_gone) = (true, true);
        self.link.hang_up();
    }

    /// Whether it may answer what it is asked.
    pub(super) fn answers(&self) -> bool {
        !(self.is_deaf || self.is_gone)
    }

    /// The line goes on other than with the next publication: what it has been told of a history on the way to the newest may
    /// not be the beginning of it any more. Nobody is connected to it yet.
    pub(super) fn begin_again(&mut self) {
        if let CatchUp::CatchingUp(_) = self.told {
            self.told = CatchUp::New;
        }
    }

    pub(super) fn wants_settling(&self, known: Known) -> bool {
        let can_be_told = match (self.told, known) {
            (CatchUp::Live, _) | (CatchUp::New, Known::Unasked) => false,
            (CatchUp::Nothing, known) => known == Known::All,
            (CatchUp::New | CatchUp::CatchingUp(_), _) => true,
        };
        let is_behind = can_be_told && self.link.queued_bytes() < CATCH_UP_BYTES;
        !self.is_deaf && (is_behind || self.link.wants_flush())
    }

    /// Lets it have what it takes. Whether it shows by this that it lives: there was no room, and it has made some.
    pub(super) fn flush(&mut self, now: Now) -> bool {
        let (was_stalled, queued_bytes) = (self.link.stalled_since().is_some(), self.link.queued_bytes());
        if queued_bytes > 0 && self.link.flush(now.instant).is_err() {
            // Reading tells when it is gone, behind the last that it has said.
            (self.is_deaf, self.is_unread) = (true, true);
        }
        was_stalled && self.link.queued_bytes() < queued_bytes
    }

    /// Tells it that nothing is known yet, or what is.
    pub(super) fn bring(&mut self, known: Known, line: &Line, now: Now) {
        match (self.told, known) {
            (CatchUp::Live, _) | (CatchUp::New, Known::Unasked) => {}
            (CatchUp::Nothing, known) if known != Known::All => {}
            (CatchUp::New, Known::Nothing) => {
                let none = Continuation::Begin { epochs: Epochs::of(0), newest: 0 };
                self.link.send(&ToWorker::Line(none));
                self.link.send(&ToWorker::CaughtUp);
                self.told = CatchUp::Nothing;
            }
            _ => self.catch_up(line, now),
        }
    }

    /// Tells it as much of the history as there is room for. What history has forgotten meanwhile, no client can ask for.
    fn catch_up(&mut self, line: &Line, now: Now) {
        let history = line.history();
        while self.link.queued_bytes() < CATCH_UP_BYTES {
            let reached = match self.told {
                CatchUp::CatchingUp(reached) if history.reaches(reached) => reached,
                _ => {
                    // What is kept of epochs that are not known any more, no client can ask for either.
                    let newest = (*history.positions().start() - 1).max(line.epochs().known_after());
                    let epochs = line.epochs().clone();
                    self.link.send(&ToWorker::Line(Continuation::Begin { epochs, newest }));
                    newest
                }
            };
            let (mut step, mut upto) = (BytesMut::new(), reached);
            for (position, publication) in history.after(reached).take(CATCH_UP_STEP) {
                encode_publication(&mut step, publication, now);
                upto = position;
                if step.len() >= CATCH_UP_BYTES {
                    break;
                }
            }
            if !step.is_empty() {
                self.link.send_encoded(step.freeze());
            }
            if upto == *history.positions().end() {
                self.link.send(&ToWorker::CaughtUp);
                self.told = CatchUp::Live;
                return;
            }
            self.told = CatchUp::CatchingUp(upto);
        }
    }
}

pub(super) fn encode_publication(buffer: &mut BytesMut, publication: &Publication, now: Now) {
    let relayed = Relayed {
        at_unix_ms: now.unix_ms_of(publication.at),
        topic: publication.topic.as_str(),
        message: publication.message.octets(),
    };
    encode(&ToWorker::Publication(relayed), buffer);
}

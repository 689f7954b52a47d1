//! The one order of the publications, wherever it is kept. It is asked, and then polled for what there is to hear: an
//! answer may come at once or much later, but those about publishing come in the order of the questions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::engine::step::Line as EngineLine;
use crate::policy::history::{HistoryLimits, Publication};
use crate::policy::line::{Continuation, Line};
use crate::policy::sequencer::Position;
use crate::server::clock::Now;
use crate::server::engine::{Engine, EngineTerms, Wanted};
use crate::server::order::ledger::Ledger;
use crate::server::order::shared::Shared;
use crate::server::order::upstream::Upstream;
use crate::server::question::{Answer, Known, Question, Ticket};
use crate::server::socket::Socket;
use crate::wire::link::ToSupervisor;
use crate::wire::metrics::Metrics;
use crate::wire::overview::{Details, EngineStatus, Overview, Wish, WorkerStatus};
use crate::wire::snapshot::Snapshot;

pub mod ledger;
pub mod shared;
pub mod upstream;

/// Who gives publications their place.
#[derive(Debug)]
pub enum Order<S> {
    /// This process.
    Own(Own),
    /// A supervisor, for all of its workers.
    Upstream(Upstream<S>),
    /// An engine, for several machines.
    Shared(Box<Shared<S>>),
}

/// What there is to hear.
#[derive(Debug)]
pub enum Heard {
    /// The next publication.
    Publication(Publication),
    /// The answer to a question.
    Answer(Ticket, Answer),
    /// The line of publications goes on so.
    Line(Continuation),
    /// The supervisor wants something of the server.
    Instruction(Instruction),
    /// The supervisor wants to know what was counted.
    MetricsWanted,
    /// It wants to know more than that, for this inquiry.
    DetailsWanted(u64, Wish),
    /// A connection to the engine is wanted.
    Connect(Wanted),
    /// Those to the engine were lost, and are there again.
    Reconnected,
}

/// What a supervisor wants of one of its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Serve: all that was published has come.
    Serve,
    /// Stop listening.
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
    /// Hand over.
    Moving(Moving),
    /// End at once, without a word to anybody: the connections are another process's, and the supervisor is gone.
    Vanish,
}

/// What a worker does while the whole server hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    /// Find a moment in which no request is half read.
    WindUp,
    /// Hear nobody any more.
    Hold,
    /// Send all connections.
    Move {
        /// Until then, in nanoseconds of CLOCK_MONOTONIC.
        by: i64,
        /// In this format.
        format: u32,
    },
    /// Leave them for a later start.
    Park {
        /// In this format.
        format: u32,
    },
    /// Part with them.
    Commit,
    /// Go on.
    Resume,
}

/// The order of a process that is the whole server.
#[derive(Debug)]
pub struct Own {
    ledger: Ledger,
    heard: VecDeque<Heard>,
}

impl<S: Socket> Order<S> {
    /// Of this process, behind a position of an epoch.
    pub fn own(ledger: Ledger) -> Self {
        Self::Own(Own { ledger, heard: VecDeque::new() })
    }

    /// Of several machines.
    pub fn shared(terms: EngineTerms, now: Now) -> Self {
        Self::Shared(Box::new(Shared::new(terms, now)))
    }

    /// Whether it is one of several workers that asks.
    pub fn has_supervisor(&self) -> bool {
        matches!(self, Self::Upstream(_))
    }

    /// Asks something. The answer bears the ticket.
    pub fn ask(&mut self, ticket: Ticket, question: Question, now: Now) {
        match self {
            Self::Own(own) => own.ask(ticket, question, now),
            Self::Upstream(upstream) => upstream.ask(ticket, question),
            Self::Shared(shared) => shared.ask(ticket, question, now),
        }
    }

    /// What there is to hear next. Call until `None`.
    pub fn poll(&mut self, now: Now) -> Option<Heard> {
        match self {
            Self::Own(own) => own.heard.pop_front(),
            Self::Upstream(upstream) => upstream.poll(now),
            Self::Shared(shared) => shared.poll(now),
        }
    }

    /// Publishes the periodic notification, unless a supervisor does, or another machine has during this period.
    pub fn notify(&mut self, clients: usize, period: Duration, now: Now) {
        match self {
            Self::Own(Own { ledger, heard }) => {
                heard.push_back(Heard::Publication(ledger.notify(clients, now)));
            }
            Self::Upstream(_) => {}
            Self::Shared(shared) => shared.notify(clients, period, now),
        }
    }

    /// Whether publishers have to wait until what they have sent is taken.
    pub fn is_congested(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Upstream(upstream) => upstream.is_congested(),
            Self::Shared(shared) => shared.engine.is_congested(),
        }
    }

    /// Whether there is something to do that no event will announce.
    pub fn has_work(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Upstream(upstream) => upstream.has_work(),
            Self::Shared(shared) => shared.engine.has_work(false),
        }
    }

    /// Whether there may be something to take in.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Upstream(upstream) if upstream.is_unread())
    }

    /// When there is something to do, though nothing has come: to try again what has failed for want of memory, or whatever the
    /// engine is to be asked.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Own(_) => None,
            Self::Upstream(upstream) => upstream.next_retry(),
            Self::Shared(shared) => shared.engine.next_deadline(),
        }
    }

    /// Whether nobody is to be let in yet: what was published before is still to be read.
    pub fn is_beginning(&self) -> bool {
        self.engine().is_some_and(|engine| !engine.may_serve())
    }

    /// Whether it is known which id is the newest: not before all has been read once that the engine held.
    pub fn knows_newest(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Upstream(upstream) => upstream.knows_newest(),
            Self::Shared(shared) => shared.engine.has_read_all(),
        }
    }

    /// The engine, if there is one.
    pub fn engine(&self) -> Option<&Engine<S, Ticket>> {
        match self {
            Self::Shared(shared) => Some(&shared.engine),
            Self::Own(_) | Self::Upstream(_) => None,
        }
    }

    /// A socket to the engine is ready.
    pub fn on_engine_ready(&mut self, line: EngineLine) {
        if let Self::Shared(shared) = self {
            shared.on_ready(line);
        }
    }

    /// A connection to the engine that was wanted is there, or cannot be.
    pub fn on_connected(&mut self, wanted: &Wanted, socket: Result<S, String>, now: Now) {
        if let Self::Shared(shared) = self {
            shared.engine.on_connected(wanted, socket, now.instant);
        }
    }

    /// The supervisor's socket is ready.
    pub fn on_ready(&mut self) {
        self.upstream_mut().into_iter().for_each(Upstream::on_ready);
    }

    /// Takes in what the supervisor or the engine has said, for `poll`: not while so much of what it said before has still to
    /// reach its subscribers that it `is_behind`.
    pub fn take_in(&mut self, is_behind: bool, scratch: &mut [u8], now: Now) {
        match self {
            Self::Own(_) => {}
            Self::Upstream(upstream) => upstream.take_in(is_behind, scratch, now.instant),
            Self::Shared(shared) => shared.engine.take_in(is_behind, scratch, now),
        }
    }

    /// Sends the supervisor or the engine what waits for it, and the number of clients.
    pub fn flush(&mut self, clients: usize, now: Now) {
        match self {
            Self::Own(_) => {}
            Self::Upstream(upstream) => upstream.flush(clients, now.instant),
            Self::Shared(shared) => shared.flush(clients, now),
        }
    }

    /// Asks the supervisor with whom to leave. Whether there is one to ask.
    pub fn ask_how_to_leave(&mut self) -> bool {
        self.upstream_mut().is_some_and(Upstream::ask_how_to_leave)
    }

    /// Tells the supervisor that an operator wants the whole server to leave. Whether there is one to tell.
    pub fn pass_on_drain(&mut self, caller: &str) -> bool {
        self.upstream_mut().map(|upstream| upstream.pass_on_drain(caller)).is_some()
    }

    /// Tells the supervisor that this process no longer listens.
    pub fn tell_closed(&mut self) {
        self.upstream_mut().into_iter().for_each(Upstream::tell_closed);
    }

    /// Tells the supervisor what was counted, if there is one to tell.
    pub fn tell_metrics(&mut self, metrics: impl FnOnce() -> Metrics) {
        if let Self::Upstream(upstream) = self {
            upstream.tell_metrics(metrics().into());
        }
    }

    /// Tells the supervisor what it has wished for.
    pub fn tell_details(&mut self, inquiry: u64, metrics: Metrics, details: Details) {
        let (metrics, details) = (metrics.into(), details.into());
        self.say(&ToSupervisor::Details { inquiry, metrics, details });
    }

    /// Tells the supervisor how far handing over is, if there is one to tell.
    pub fn say(&mut self, message: &ToSupervisor) {
        self.upstream_mut().into_iter().for_each(|upstream| upstream.say(message));
    }

    /// Serves only once it says so itself: connections of a predecessor's are to be taken up first.
    pub fn take_up_first(&mut self) {
        self.upstream_mut().into_iter().for_each(Upstream::begin_taking_up);
    }

    /// Whether it does not serve yet for that.
    pub fn takes_up_first(&self) -> bool {
        self.upstream().is_some_and(Upstream::takes_up_first)
    }

    /// Whether those can be taken up: all that was published before has come.
    pub fn may_take_up(&self) -> bool {
        self.upstream().is_some_and(Upstream::may_take_up)
    }

    /// What a successor needs to go on in the same epoch; a worker's is the supervisor's to leave. All that was positioned
    /// must be in the history.
    pub fn snapshot(&self, line: &Line, now: Now) -> Option<Snapshot> {
        match self {
            Self::Own(own) => Some(own.ledger.snapshot(line, now)),
            // The answers to keys are the engine's to keep.
            Self::Shared(_) => Some(ledger::legacy(line, now)),
            Self::Upstream(_) => None,
        }
    }

    /// Periodic notifications so far, and the position before the first that was given since this server began to count; `newest` is
    /// that of the last. A worker's are its supervisor's, and notifications of several machines their engine's.
    pub fn counted(&self, newest: Position) -> Option<(u64, Position)> {
        match self {
            Self::Own(own) => Some(own.ledger.counted()),
            Self::Shared(shared) => Some((0, newest.saturating_sub(shared.heard))),
            Self::Upstream(_) => None,
        }
    }

    /// Goes on counting from there. Its position must be known already.
    pub fn go_on_counting(&mut self, notifications: u64, begun: Position, newest: Position) {
        match self {
            Self::Own(own) => own.ledger.go_on_counting(notifications, begun),
            Self::Shared(shared) => shared.heard = newest.saturating_sub(begun),
            Self::Upstream(_) => {}
        }
    }

    /// Goes on where a predecessor stopped; gives back what was published lately. To be called ahead of everything else.
    pub fn restore(&mut self, snapshot: Snapshot, limits: HistoryLimits, now: Now) -> Line {
        let (ledger, line) = Ledger::restore(snapshot, limits, now);
        match self {
            Self::Shared(shared) => shared.engine.go_on_behind(line.newest_id()),
            Self::Own(_) | Self::Upstream(_) => *self = Self::own(ledger),
        }
        line
    }

    fn upstream(&self) -> Option<&Upstream<S>> {
        match self {
            Self::Own(_) | Self::Shared(_) => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }

    fn upstream_mut(&mut self) -> Option<&mut Upstream<S>> {
        match self {
            Self::Own(_) | Self::Shared(_) => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }
}

impl Own {
    fn ask(&mut self, ticket: Ticket, question: Question, now: Now) {
        let Self { ledger, heard } = self;
        let answer = match question {
            Question::Publish(submission) => {
                let publish = |publication| heard.push_back(Heard::Publication(publication));
                Answer::Published(ledger.submit(submission, now, publish))
            }
            Question::Pass => Answer::Passed,
            Question::Sync => Answer::Synced,
            Question::Overview(_, known) => own_overview(*known, ledger.published(), None),
        };
        heard.push_back(Heard::Answer(ticket, answer));
    }
}

/// All there is to say about a server that is this process alone.
fn own_overview(known: Known, publications: u64, engine: Option<EngineStatus>) -> Answer {
    let Known { metrics, details, drain, since_unix_ms } = known;
    let worker = WorkerStatus { number: None, pid: std::process::id(), metrics, details };
    let since_unix_ms = Some(since_unix_ms);
    let workers = vec![worker];
    Answer::Overview(
        Overview { drain, publications, workers, engine, since_unix_ms, ..Overview::default() }.into(),
    )
}

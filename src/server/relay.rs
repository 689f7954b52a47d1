//! The supervisor's half of publishing: gives every publication its position, and brings all workers the same
//! publications in the same order. Owns no poll and starts no process: sockets are handed to it.
//! Invariant: nobody waits for a worker that takes nothing. It is reported, and replaced by its supervisor.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::policy::history::HistoryLimits;
use crate::policy::line::{Continuation, Continuity, Line};
use crate::policy::roster::WorkerId;
use crate::server::clock::Now;
use crate::server::link::{Link, Taken};
use crate::server::order::ledger::Ledger;
use crate::server::relay::member::{CatchUp, Member};
use crate::server::relay::publications::Publications;
use crate::server::socket::Socket;
use crate::wire::link::{ToSupervisor, ToWorker};
use crate::wire::metrics::Metrics;
use crate::wire::overview::{Draining, WorkerStatus};

mod event;
mod inquiries;
mod member;
mod moving;
mod overview;
mod publications;
mod sharing;

pub use event::WorkerEvent;
use inquiries::Inquiries;
use moving::Pause;
use sharing::Sharing;

const SCRATCH_BYTES: usize = 64 * 1024;

/// What waits for the slowest worker, or is published in one turn, before no more publications are taken from any.
const CONGESTED_BYTES: usize = 4 * 1024 * 1024;

/// How long a worker that takes nothing keeps the others waiting.
const STALL_LIMIT: Duration = Duration::from_secs(1);

/// What waits at most for a worker that takes nothing, or else it is reported as stuck. One that takes something, however
/// slowly, keeps the publishers waiting instead.
const STUCK_BYTES: usize = 64 * 1024 * 1024;

/// Positions, keeps and hands on.
#[derive(Debug)]
pub struct Relay<S> {
    order: Ledger,
    publications: Publications,
    limits: HistoryLimits,
    members: BTreeMap<WorkerId, Member<S>>,
    /// The worker that is listened to first in the next turn, as there was no room for it in this one.
    put_off: Option<WorkerId>,
    events: Vec<(WorkerId, WorkerEvent)>,
    scratch: Box<[u8]>,
    /// The whole server is leaving: nothing more is positioned.
    is_closed: bool,
    draining: Option<Draining>,
    pause: Pause,
    inquiries: Inquiries,
    /// When a worker was told to serve first, in milliseconds since 1970.
    since_unix_ms: Option<i64>,
    /// What workers that have ended had counted.
    past: Metrics,
    /// The engine that gives the order instead, if one does.
    sharing: Option<Box<Sharing<S>>>,
}

/// How much was done of what a worker has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    All,
    /// The rest waits for the next turn.
    Part,
    /// There is something that is no message.
    Garbled,
}

impl<S: Socket> Relay<S> {
    /// A new history of this epoch, and no workers.
    pub fn new(epoch: u32, limits: HistoryLimits) -> Self {
        Self {
            order: Ledger::new(epoch, 0),
            publications: Publications::new(Line::empty(epoch, limits)),
            limits,
            members: BTreeMap::new(),
            put_off: None,
            events: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            is_closed: false,
            draining: None,
            pause: Pause::default(),
            inquiries: Inquiries::default(),
            since_unix_ms: None,
            past: Metrics::default(),
            sharing: None,
        }
    }

    /// Takes in a worker of this number and process; it is told the history and then that it may serve.
    pub fn admit(&mut self, id: WorkerId, number: u32, pid: u32, socket: S) {
        let member = Member {
            link: Link::new(socket),
            told: CatchUp::New,
            clients: 0,
            status: WorkerStatus { number: Some(number), pid, ..WorkerStatus::default() },
            is_unread: false,
            is_gone: false,
            has_ended: false,
            is_deaf: false,
            is_there: false,
            is_ready: false,
            taken_up: 0,
        };
        self.members.insert(id, member);
    }

    /// A worker has ended. What it said before that counts.
    pub fn forget(&mut self, id: WorkerId, now: Now) {
        if let Some(member) = self.members.get_mut(&id) {
            (member.is_unread, member.has_ended) = (true, true);
            while self.members.get(&id).is_some_and(|member| member.is_unread && !member.is_gone) {
                self.read(id, now);
            }
        }
        if let Some(member) = self.members.remove(&id) {
            self.past.add_totals(&member.status.metrics);
        }
    }

    /// What has happened since the last call.
    pub fn take_events(&mut self) -> Vec<(WorkerId, WorkerEvent)> {
        std::mem::take(&mut self.events)
    }

    /// Whether there is something to do that no event will announce.
    pub fn has_work(&self, now: Instant) -> bool {
        let is_congested = self.is_congested(now);
        let mut present = self.members.values().filter(|member| !member.is_gone);
        self.publications.has_batch()
            || self.has_engine_work(now)
            || present.any(|member| member.wants_settling(self.known()) || member.is_unread && !is_congested)
    }

    /// When there is something to do, though nothing has happened.
    pub fn deadline(&self) -> Option<Instant> {
        let present = self.members.values().filter(|member| !member.is_gone);
        let engine = self.sharing.as_ref().and_then(|sharing| sharing.engine.next_deadline());
        let engine = engine.filter(|_| self.pause.hears_engine());
        let deadlines = engine.into_iter().chain(self.inquiries.deadline());
        present.filter_map(|member| member.link.retry_at()).chain(deadlines).min()
    }

    /// Tells one worker something.
    pub fn tell(&mut self, id: WorkerId, message: &ToWorker<'_>) {
        if let Some(member) = self.members.get_mut(&id).filter(|member| !member.is_deaf) {
            member.link.send(message);
        }
    }

    /// Tells all workers something.
    pub fn tell_all(&mut self, message: &ToWorker<'_>) {
        for member in self.members.values_mut().filter(|member| !member.is_deaf) {
            member.link.send(message);
        }
    }

    /// Says nothing more to a worker, and does not listen to it either: it notices, and leaves.
    pub fn cut(&mut self, id: WorkerId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.hang_up();
        }
    }

    /// Nothing more is positioned: what comes is refused.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Publishes the periodic notification, unless another machine has during this period.
    pub fn publish_periodic(&mut self, period: Duration, now: Now) {
        let clients = self.clients();
        if let Some(sharing) = &mut self.sharing {
            sharing.engine.count(clients);
            return sharing.engine.notify(period, now);
        }
        let publication = self.order.notify(clients, now);
        self.publications.push(publication, now);
    }

    /// The line of publications goes on so, here and in all workers. These tell their clients where there is a gap; it is counted
    /// here, once.
    pub fn go_on_with(&mut self, continuation: Continuation) -> Continuity {
        let continuity = self.publications.go_on(continuation);
        self.members.values_mut().for_each(Member::begin_again);
        self.past.gaps += u64::from(continuity.is_gap());
        continuity
    }

    /// A worker's socket is ready. What it had no room for is written at once; what it says is read by `listen`.
    pub fn on_ready(&mut self, id: WorkerId, now: Now) {
        if let Some(member) = self.members.get_mut(&id) {
            member.is_unread = true;
            if member.flush(now) {
                self.events.push((id, WorkerEvent::Alive));
            }
        }
    }

    /// Takes what the workers have said, unless too much waits for some of them. A worker that is not listened to then, or
    /// could not be told anything, is not to blame for its silence.
    pub fn listen(&mut self, now: Now) {
        for (id, member) in self.members.iter_mut().filter(|(_, member)| !member.is_gone) {
            if member.link.retry_at().is_some() {
                self.events.push((*id, WorkerEvent::Alive));
            }
            member.is_unread |= member.link.take_retry(now.instant);
        }
        let unread = self.members.iter().filter(|(_, member)| member.is_unread && !member.is_gone);
        let mut unread: Vec<WorkerId> = unread.map(|(id, _)| *id).collect();
        // Otherwise the first one could take all the room there is, turn after turn.
        if let Some(next) = self.put_off.take() {
            let next = unread.partition_point(|id| *id < next);
            unread.rotate_left(next);
        }
        for id in unread {
            if self.is_congested(now.instant) {
                self.put_off.get_or_insert(id);
                self.events.push((id, WorkerEvent::Alive));
            } else {
                self.read(id, now);
            }
        }
    }

    /// Hands on what was published, and writes to each worker what it takes.
    pub fn settle(&mut self, now: Now) {
        self.flush_engine(now);
        self.answer_inquiries(now);
        self.publications.forget_old(now);
        self.publications.end_turn();
        let (batch, known) = (self.publications.take_batch(), self.known());
        for (id, member) in self.members.iter_mut().filter(|(_, member)| !member.is_deaf) {
            if member.told == CatchUp::Live && !batch.is_empty() {
                member.link.send_encoded(batch.clone());
            }
            member.bring(known, self.publications.line(), now);
            if member.flush(now) {
                self.events.push((*id, WorkerEvent::Alive));
            }
            let takes_nothing =
                member.link.stalled_since().is_some_and(|since| now.instant >= since + STALL_LIMIT);
            if takes_nothing && member.link.queued_bytes() > STUCK_BYTES {
                self.events.push((*id, WorkerEvent::Stuck));
            }
        }
    }

    /// Whether too much waits for the engine, or for some worker.
    fn is_congested(&self, now: Instant) -> bool {
        let is_engine_full = self.sharing.as_ref().is_some_and(|sharing| sharing.engine.is_congested());
        is_engine_full || self.is_behind(now)
    }

    /// Whether too much of what was published waits for some worker, or to be handed on.
    fn is_behind(&self, now: Instant) -> bool {
        let keeps_waiting = |member: &Member<S>| {
            member.told == CatchUp::Live
                && !member.is_deaf
                && member.link.queued_bytes() > CONGESTED_BYTES
                && member.link.stalled_since().is_none_or(|since| now < since + STALL_LIMIT)
        };
        self.publications.is_full() || self.members.values().any(keeps_waiting)
    }

    fn read(&mut self, id: WorkerId, now: Now) {
        self.events.push((id, WorkerEvent::Alive));
        // What an earlier turn has left of what was taken goes first.
        let (mut heard, mut taken) = (self.hear(id, now), Taken::Some);
        if heard == Heard::All
            && let Some(member) = self.members.get_mut(&id)
        {
            taken = member.link.take(&mut self.scratch, now.instant);
            heard = self.hear(id, now);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        member.is_unread = taken == Taken::Some || heard == Heard::Part;
        let is_over = taken == Taken::Last || (member.is_deaf && taken == Taken::All);
        if heard == Heard::Garbled || (heard == Heard::All && is_over) {
            member.hang_up();
            self.events.push((id, WorkerEvent::Lost));
        }
    }

    /// Does what a worker has said, of what was taken, until this turn is full.
    fn hear(&mut self, id: WorkerId, now: Now) -> Heard {
        let Some(member) = self.members.get_mut(&id) else { return Heard::All };
        let has_ended = member.has_ended;
        let mut inbox = member.link.open_inbox();
        let heard = loop {
            if self.publications.is_full() && !has_ended {
                break Heard::Part;
            }
            match inbox.next() {
                Ok(Some(message)) => self.on_message(id, message, now),
                Ok(None) => break Heard::All,
                Err(_) => break Heard::Garbled,
            }
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.link.close_inbox(inbox);
        }
        heard
    }

    fn on_message(&mut self, id: WorkerId, message: ToSupervisor, now: Now) {
        let is_full = self.publications.is_full();
        let message = self.put_off(id, message).and_then(|message| self.pass_on(id, message, now));
        let Some(message) = message else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        match message {
            ToSupervisor::There => member.is_there = true,
            ToSupervisor::TookUp(count) => member.taken_up = count,
            ToSupervisor::Ready if self.pause.admits_nobody => member.is_ready = true,
            ToSupervisor::WoundUp
            | ToSupervisor::Held
            | ToSupervisor::Moved { .. }
            | ToSupervisor::NotMoved(_) => self.on_said(id, message),
            ToSupervisor::Ready => {
                self.since_unix_ms.get_or_insert(now.wall.as_millisecond());
                member.link.send(&ToWorker::Serve);
                self.events.push((id, WorkerEvent::Ready));
            }
            ToSupervisor::Closed => self.events.push((id, WorkerEvent::Closed)),
            ToSupervisor::Signalled => self.events.push((id, WorkerEvent::Signalled)),
            ToSupervisor::Beat => {}
            ToSupervisor::Drain(caller) => self.events.push((id, WorkerEvent::AskedToLeave(caller))),
            ToSupervisor::Metrics(metrics) => member.status.metrics = *metrics,
            ToSupervisor::Overview => {
                let overview = self.overview(now.instant);
                self.tell(id, &ToWorker::Overview(Box::new(overview)));
            }
            ToSupervisor::Inquire(wish) => self.inquire(id, wish, now),
            ToSupervisor::Details { inquiry, metrics, details } => {
                member.status.metrics = *metrics;
                self.inquiries.on_details(inquiry, id, *details);
            }
            ToSupervisor::Clients(count) => member.clients = usize::try_from(count).unwrap_or(usize::MAX),
            ToSupervisor::Sync => self.tell_synced(id),
            ToSupervisor::Publish(_) if self.is_closed => member.link.send(&ToWorker::Refused),
            // There is no later turn for it, and nobody left to be told that it was published.
            ToSupervisor::Publish(_) if is_full && member.has_ended => {}
            ToSupervisor::Publish(submission) => {
                let publish = |publication| self.publications.push(publication, now);
                let published = self.order.submit(submission, now, publish);
                member.link.send(&ToWorker::Published(published));
            }
        }
    }

    fn hand_on(&mut self) {
        if !self.publications.has_batch() {
            return;
        }
        let batch = self.publications.take_batch();
        for member in
            self.members.values_mut().filter(|member| member.told == CatchUp::Live && !member.is_deaf)
        {
            member.link.send_encoded(batch.clone());
        }
    }
}

#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod tests;

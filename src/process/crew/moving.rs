//! A crew that is handed over to another supervisor's, and one that takes over. What is said to the other supervisor is left
//! to the caller.

use std::time::Instant;

use super::{Crew, Signal};
use crate::policy::handover::crew::{CrewPredecessor, CrewStep};
use crate::policy::handover::{Heard, Predecessor};
use crate::policy::roster::WorkerId;
use crate::server::socket::Socket;
use crate::wire::handover::image::Whole;
use crate::wire::handover::times::Moment;
use crate::wire::link::ToWorker;
use crate::wire::metrics::{Handover, Metrics};
use crate::wire::snapshot::Snapshot;

impl<S: Socket> Crew<S> {
    /// Whether the whole server leaves.
    pub fn is_leaving(&self) -> bool {
        self.roster.is_leaving()
    }

    /// Whether it is about to be handed over.
    pub fn is_handed_over(&self) -> bool {
        self.handover.is_some()
    }

    /// Begins to hand everything over. Nobody serves from here on who does not yet.
    pub fn hand_over(&mut self, own: Predecessor) {
        self.relay.admit_nobody();
        self.leaving_alone = self.roster.leaving_alone().collect();
        let moving = self.roster.serving().chain(self.leaving_alone.iter().copied());
        self.handover = Some(CrewPredecessor::new(own, moving));
    }

    /// Begins to leave everything for a later start, by this time.
    pub fn park(&mut self, deadline: Instant) {
        self.is_parking = true;
        self.hand_over(Predecessor::for_a_later_start(self.now.instant, deadline));
    }

    /// The workers whose connections are to move, in the order of their channels.
    pub fn moving(&self) -> Vec<WorkerId> {
        self.handover.iter().flat_map(CrewPredecessor::workers).collect()
    }

    /// Connections that have moved, and those that could not.
    pub fn counted_moved(&self) -> (u64, u64) {
        self.handover.as_ref().map(CrewPredecessor::counted).unwrap_or_default()
    }

    /// The successor has said something.
    pub fn on_heard(&mut self, heard: Heard) {
        let now = self.now.instant;
        if let Some(handover) = &mut self.handover {
            handover.on_heard(heard, now);
        }
    }

    /// Something could not be done.
    pub fn on_handover_failed(&mut self, why: String) {
        if let Some(handover) = &mut self.handover {
            handover.on_failed(why);
        }
    }

    /// What to do next about it. The workers have been told what there is to tell them; left to the caller is:
    ///
    /// * `Offer`: to send what is listened on;
    /// * `Move`: a channel for each worker, `cut`, to send how everything stands, and `sent`;
    /// * `Commit`: to say so, and `part`; or else `on_handover_failed`;
    /// * `GiveUp`: to tell the successor, and `go_on`.
    pub fn poll_handover(&mut self) -> Option<CrewStep> {
        let is_leaving = self.roster.is_leaving();
        let handover = self.handover.as_mut()?;
        let leaving = self.roster.leaving_alone().filter(|worker| self.leaving_alone.contains(worker));
        let there: Vec<WorkerId> = self.roster.serving().chain(leaving).collect();
        let gone: Vec<WorkerId> = handover.workers().filter(|worker| !there.contains(worker)).collect();
        for worker in gone {
            if self.is_parking {
                handover.do_without(worker);
                // In case that its process is still there.
                self.relay.tell(worker, &ToWorker::Resume);
            } else {
                handover.on_gone(worker);
            }
        }
        if is_leaving {
            handover.on_leaving();
        }
        let step = handover.poll(self.now.instant)?;
        let word = match step {
            CrewStep::WindUp => ToWorker::WindUp,
            CrewStep::Hold => ToWorker::Hold,
            _ => return Some(step),
        };
        self.moving().into_iter().for_each(|worker| self.relay.tell(worker, &word));
        Some(step)
    }

    /// Positions nothing more, and tells the workers to move until then. How everything stands but for them, and what was
    /// published.
    pub fn cut(&mut self, at: Moment, deadline: Instant, format: u32) -> (Whole, Snapshot) {
        self.cut_by(&ToWorker::Move { by: at.monotonic(deadline), format }, at)
    }

    /// The same, and tells them to park.
    pub fn cut_to_park(&mut self, at: Moment, format: u32) -> (Whole, Snapshot) {
        self.cut_by(&ToWorker::Park { format }, at)
    }

    fn cut_by(&mut self, word: &ToWorker<'_>, at: Moment) -> (Whole, Snapshot) {
        let moving = self.moving();
        self.relay.cut_off(&moving, word);
        let (notifications, begun) = self.relay.counted_publications();
        let whole = Whole {
            notifications,
            begun: Some(begun),
            next_notification: self.notify.map(|(_, due)| at.monotonic(due)),
            ..Whole::default()
        };
        (whole, self.relay.snapshot_at_cut(self.now))
    }

    /// How everything stands was sent.
    pub fn sent(&mut self) {
        self.handover.iter_mut().for_each(CrewPredecessor::moving);
    }

    /// What all workers have counted.
    pub fn counted(&self) -> Metrics {
        self.relay.counted()
    }

    /// Everything is the successor's: the workers are told so, and have only to end. What was asked meanwhile of the whole server
    /// is the successor's to do.
    pub fn part(&mut self) -> Vec<Signal> {
        self.moving().into_iter().for_each(|worker| self.relay.tell(worker, &ToWorker::Commit));
        (self.handover, self.notify) = (None, None);
        self.relay.part(self.now);
        self.roster.part(self.now.instant);
        std::mem::take(&mut self.put_off)
    }

    /// All leave, as after a signal, since this one asks for it.
    pub fn leave(&mut self, caller: &'static str) {
        self.obey(Signal::Leave(caller));
    }

    /// A hand-over has come to nothing: the workers go on as if nothing had been.
    pub fn go_on(&mut self, failed: Handover) {
        self.relay.past().handovers.count(failed);
        self.resume();
    }

    /// The workers go on as if nothing had been.
    pub fn resume(&mut self) {
        self.moving().into_iter().for_each(|worker| self.relay.tell(worker, &ToWorker::Resume));
        (self.handover, self.is_parking) = (None, false);
        self.relay.go_on(self.now);
        self.take_events();
        std::mem::take(&mut self.put_off).into_iter().for_each(|signal| self.obey(signal));
    }

    /// Workers that are started now take up a predecessor's connections.
    pub fn await_predecessor(&mut self) {
        self.is_taking_over = true;
        self.relay.await_history();
    }

    /// How many workers there are, or are about to be.
    pub fn workers(&self) -> usize {
        self.roster.workers()
    }

    /// Starts those again that have ended before anybody served.
    pub fn start_failed_again(&mut self) {
        self.roster.start_failed_again(self.now.instant);
    }

    /// How many workers have said that they are there, and how many that they could serve.
    pub fn waiting(&self) -> (usize, usize) {
        self.relay.waiting()
    }

    /// Connections that those have taken up who could serve.
    pub fn taken_up(&self) -> u64 {
        self.relay.taken_up()
    }

    /// Goes on where the predecessor stopped: the workers are told the history from here on.
    pub fn take_over(&mut self, whole: &Whole, snapshot: Snapshot, at: Moment) {
        self.relay.restore(snapshot, self.now);
        self.relay.begin_history();
        if let Some(begun) = whole.begun {
            self.relay.go_on_counting_publications(whole.notifications, begun);
        }
        if let (Some((period, due)), Some(next)) = (&mut self.notify, whole.next_notification) {
            *due = at.instant(next).min(self.now + *period);
        }
    }

    /// All is this crew's: it serves, and goes on counting.
    pub fn succeed(&mut self, counted: Option<&Metrics>, completed: Handover) {
        self.is_taking_over = false;
        counted.into_iter().for_each(|counted| self.relay.go_on_counting(counted));
        self.relay.past().handovers.count(completed);
        self.roster.succeed(self.now.instant);
        self.relay.let_serve(self.now);
        self.take_events();
    }

    /// Whether the order is this crew's to add to. What a successor published before its workers have taken everybody up, those
    /// would never hear.
    pub(super) fn may_publish(&self) -> bool {
        !self.is_cut() && !self.is_taking_over
    }

    /// Whether nobody is heard for now.
    pub(super) fn is_cut(&self) -> bool {
        self.handover.as_ref().is_some_and(CrewPredecessor::is_held)
    }

    /// Nobody is to blame for the silence that was asked for.
    pub(super) fn excuse_held(&mut self) {
        if self.is_cut() {
            self.moving().into_iter().for_each(|worker| self.roster.on_heard(worker));
        }
    }
}

//! What a worker wants to know about all of them: each is asked, and whoever does not answer in time is left out. Answers keep
//! the order of the questions.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Member, Relay};
use crate::policy::roster::WorkerId;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::wire::link::ToWorker;
use crate::wire::overview::{Details, Wish};

/// How long workers are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many inquiries may be under way: to one more, nobody is asked.
const MOST: usize = 64;

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    under_way: VecDeque<Inquiry>,
    so_far: u64,
}

#[derive(Debug)]
struct Inquiry {
    number: u64,
    asker: WorkerId,
    wish: Wish,
    until: Instant,
    /// Who has been asked, and what was answered.
    asked: BTreeMap<WorkerId, Option<Details>>,
}

impl Inquiries {
    /// When one of them is answered with what there is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.front().map(|first| first.until)
    }

    /// A worker has told what was wished for.
    pub(super) fn on_details(&mut self, number: u64, worker: WorkerId, details: Details) {
        let inquiry = self.under_way.iter_mut().find(|inquiry| inquiry.number == number);
        let Some(inquiry) = inquiry else { return };
        let Some(asked) = inquiry.asked.get_mut(&worker) else { return };
        *asked = Some(details);
        if let Wish::Connections(page) = inquiry.wish {
            let told = inquiry.asked.values_mut().flatten();
            page.share(&mut told.map(|details| &mut details.connections).collect::<Vec<_>>());
        }
    }
}

impl<S: Socket> Relay<S> {
    /// Asks all workers what this one wants to know of them.
    pub(super) fn inquire(&mut self, asker: WorkerId, wish: Wish, now: Now) {
        let inquiries = &mut self.inquiries;
        inquiries.so_far += 1;
        let number = inquiries.so_far;
        let is_one_too_many = inquiries.under_way.len() == MOST;
        let mut asked = BTreeMap::new();
        for (id, member) in self.members.iter_mut().filter(|(_, member)| member.answers() && !is_one_too_many)
        {
            member.link.send(&ToWorker::Tell { inquiry: number, wish });
            asked.insert(*id, None);
        }
        inquiries.under_way.push_back(Inquiry { number, asker, wish, until: now + PATIENCE, asked });
    }

    /// Answers those to which all there is has come, or whose time is over.
    pub(super) fn answer_inquiries(&mut self, now: Now) {
        while self.inquiries.under_way.front().is_some_and(|first| self.is_answered(first, now.instant)) {
            let Some(first) = self.inquiries.under_way.pop_front() else { return };
            let mut overview = self.overview(now.instant);
            for (id, worker) in self.members.keys().zip(&mut overview.workers) {
                worker.details = first.asked.get(id).cloned().flatten();
            }
            self.tell(first.asker, &ToWorker::Found(overview.into()));
        }
    }

    fn is_answered(&self, inquiry: &Inquiry, now: Instant) -> bool {
        let answers = |id| self.members.get(id).is_some_and(Member::answers);
        let is_waited_for = |(id, told): (_, &Option<Details>)| told.is_none() && answers(id);
        inquiry.until <= now || !inquiry.asked.iter().any(is_waited_for)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::server::far_end::FarEnd;
    use crate::server::relay::tests::{relay_with, turn};
    use crate::wire::connection_id::ConnectionId;
    use crate::wire::connections::{ConnectionStatus, Connections, Page};
    use crate::wire::link::{self, ToSupervisor};
    use crate::wire::metrics::Metrics;
    use crate::wire::overview::Overview;
    use crate::wire::topics::Topics;

    /// What a worker was asked, and what it was told.
    fn told(end: &RefCell<FarEnd>) -> (Vec<u64>, Vec<Overview>) {
        let (octets, mut told) = (std::mem::take(&mut end.borrow_mut().taken), (vec![], vec![]));
        let mut input = &octets[..];
        while let Some(message) = link::next::<ToWorker<'_>>(&mut input).unwrap() {
            match message {
                ToWorker::Tell { inquiry, .. } => told.0.push(inquiry),
                ToWorker::Found(overview) => told.1.push(*overview),
                ToWorker::Line(_) | ToWorker::CaughtUp => {}
                other => panic!("told {other:?}"),
            }
        }
        told
    }

    fn details(inquiry: u64, count: u64) -> ToSupervisor {
        let metrics = Metrics { connections_total: count, ..Metrics::default() };
        let details = Details { topics: Topics { count, ..Topics::default() }, ..Details::default() };
        ToSupervisor::Details { inquiry, metrics: metrics.into(), details: details.into() }
    }

    fn counts(overview: &Overview) -> Vec<Option<u64>> {
        overview.workers.iter().map(|worker| Some(worker.details.as_ref()?.topics.count)).collect()
    }

    #[test]
    fn all_are_asked_and_whoever_does_not_answer_is_waited_for_half_a_second() {
        let now = Now::read();
        let (mut relay, ends) = relay_with(3, now);
        ends[0].borrow_mut().say(&ToSupervisor::Inquire(Wish::Topics));
        relay.on_ready(0, now);
        turn(&mut relay, now);
        for (id, end) in (0..2).zip(&ends) {
            assert_eq!(told(end), (vec![1], vec![]));
            end.borrow_mut().say(&details(1, 10 + u64::from(id)));
            relay.on_ready(id, now);
        }
        turn(&mut relay, now);
        assert_eq!((told(&ends[0]), relay.deadline()), ((vec![], vec![]), Some(now + PATIENCE)));
        turn(&mut relay, Now { instant: now + PATIENCE, ..now });
        let (_, found) = told(&ends[0]);
        assert_eq!(counts(&found[0]), [Some(10), Some(11), None]);
        assert_eq!((found[0].sum().connections_total, relay.deadline()), (21, None));
    }

    #[test]
    fn of_a_list_no_more_is_kept_than_a_page_however_many_workers_have_told_theirs() {
        let now = Now::read();
        let (mut relay, ends) = relay_with(3, now);
        let page = Page { limit: 2, after: None };
        ends[0].borrow_mut().say(&ToSupervisor::Inquire(Wish::Connections(page)));
        relay.on_ready(0, now);
        turn(&mut relay, now);
        for ((worker, end), number) in (0..).zip(&ends).zip([5, 1, 3]) {
            let client =
                |number| ConnectionStatus { id: ConnectionId { epoch: 1, number }, ..<_>::default() };
            let list = vec![client(number), client(number + 5)];
            let details =
                Details { connections: Connections { list, is_truncated: false }, ..<_>::default() };
            let metrics = Box::default();
            end.borrow_mut().say(&ToSupervisor::Details { inquiry: 1, metrics, details: details.into() });
            relay.on_ready(worker, now);
            let kept = relay.inquiries.under_way.iter().flat_map(|one| one.asked.values().flatten());
            assert!(kept.map(|details| details.connections.list.len()).sum::<usize>() <= 2);
            turn(&mut relay, now);
        }
        let (_, found) = told(&ends[0]);
        let lists = found[0].workers.iter().filter_map(|worker| Some(&worker.details.as_ref()?.connections));
        let numbers =
            |list: &Connections| list.list.iter().map(|client| client.id.number).collect::<Vec<_>>();
        assert_eq!(lists.map(numbers).collect::<Vec<_>>(), [vec![], vec![1], vec![3]]);
    }

    #[test]
    fn one_that_is_gone_is_not_waited_for_and_answers_keep_their_order() {
        let now = Now::read();
        let (mut relay, ends) = relay_with(2, now);
        (0..2).for_each(|_| ends[0].borrow_mut().say(&ToSupervisor::Inquire(Wish::Topics)));
        (1..=2).rev().for_each(|number| ends[0].borrow_mut().say(&details(number, number)));
        relay.on_ready(0, now);
        turn(&mut relay, now);
        assert_eq!(told(&ends[0]), (vec![1, 2], vec![]));
        relay.cut(1);
        turn(&mut relay, now);
        let (_, found) = told(&ends[0]);
        assert_eq!(found.iter().map(counts).collect::<Vec<_>>(), [[Some(1), None], [Some(2), None]]);
    }
}

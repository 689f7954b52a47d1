//! What there is to say about this process for those who watch the server, beside what it has counted.

use super::Peers;
use super::register::kind;
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::question::Known;
use crate::server::socket::Socket;
use crate::wire::connections::{ConnectionStatus, Connections, Page};
use crate::wire::metrics::Metrics;
use crate::wire::overview::{Details, HistoryStatus, Wish};
use crate::wire::topics::{self, Topics};

impl<S: Socket> Peers<S> {
    /// The numbers as they are now.
    pub fn metrics(&mut self, now: Now) -> Metrics {
        let outbox_bytes = self.connections.iter().map(|(_, connection)| connection.queued().0).sum();
        let mut metrics = self.counts.read(outbox_bytes, self.compressor.done(), now);
        (self.terms.footprint)(&mut metrics.process);
        metrics
    }

    /// What is wished for beside them.
    pub fn details(&self, wish: Wish) -> Details {
        match wish {
            Wish::Counted => Details::default(),
            Wish::Topics => Details { topics: self.topics(), ..Details::default() },
            Wish::Connections(page) => Details { connections: self.list(page), ..Details::default() },
        }
    }

    /// The server is served from now on.
    pub fn begin_serving(&mut self, now: Now) {
        self.counts.on_serving(now);
    }

    /// All that is known here.
    pub(super) fn known(&mut self, wish: Wish, now: Now) -> Known {
        Known {
            metrics: self.metrics(now),
            details: Some(self.details(wish)),
            drain: self.reports.drain(),
            since_unix_ms: self.counts.since_unix_ms(),
        }
    }

    /// How full the history is.
    pub(super) fn history_status(&self, now: Now) -> HistoryStatus {
        let (history, limits) = (self.feed.history(), self.terms.history);
        let positions = history.positions();
        let oldest = history.after(positions.start() - 1).next();
        HistoryStatus {
            publications: (positions.end() + 1).saturating_sub(*positions.start()),
            publications_limit: limits.publications as u64,
            bytes: history.held_bytes() as u64,
            bytes_limit: limits.bytes as u64,
            oldest_unix_ms: oldest.map(|(_, oldest)| now.unix_ms_of(oldest.at)),
        }
    }

    /// So many of the clients.
    fn list(&self, page: Page) -> Connections {
        let clients = self.connections.iter().filter(|(_, connection)| connection.is_client);
        let keys = clients.map(|(key, _)| key).collect();
        let (keys, is_truncated) = page.cut(keys, |key| self.register.id(*key));
        Connections { list: keys.into_iter().map(|key| self.connection_status(key)).collect(), is_truncated }
    }

    fn connection_status(&self, key: usize) -> ConnectionStatus {
        let connection = &self.connections[key];
        let member = connection.member.as_deref();
        ConnectionStatus {
            id: self.register.id(key),
            peer: self.peer(key),
            forwarded: self.register.forwarded(key).map(|address| address.to_string()),
            kind: kind(connection.is_stream()).to_owned(),
            since_unix_ms: self.register.since_unix_ms(key),
            topics: self.feed.filters(key).count() as u64,
            outbox_bytes: connection.queued().0 as u64,
            subject: member.and_then(|member| member.identity.subject.as_deref()).map(shown),
            tls: connection.its_socket().agreed().map(|agreed| agreed.version.to_owned()),
        }
    }

    fn topics(&self) -> Topics {
        let audiences = self.feed.audiences();
        let count = audiences.len() as u64;
        let topics = audiences.map(|(filter, subscribers)| (Filter::as_str(filter), subscribers as u64));
        Topics::most(count, topics, topics::NAMED)
    }
}

/// What is shown of a subject, which may fill a whole token.
fn shown(subject: &str) -> String {
    const MOST_CHARS: usize = 200;
    match subject.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &subject[..end]),
        None => subject.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::{House, compressing, seconds};
    use super::*;
    use crate::wire::metrics::Rates;

    #[test]
    fn what_happens_is_told_by_the_second_and_forgotten_ten_seconds_later() {
        let mut house = House::with("");
        let listeners = [0; 4].map(|_| house.connect(&compressing("notifications")));
        house.run_for(seconds(100));
        house.turn();
        (0..20).for_each(|_| house.publish());
        house.ends[listeners[0]].borrow_mut().is_closed = true;
        house.step(&[listeners[0]]);
        let rates = Rates { publications: 2.0, deliveries: 8.0, connects: 0.0, disconnects: 0.1 };
        assert_eq!(house.peers.metrics(house.now()).rates, rates);
        house.run_for(seconds(12));
        house.turn();
        let metrics = house.peers.metrics(house.now());
        assert_eq!((metrics.rates, metrics.deliveries), (Rates::default(), 80));
    }

    #[test]
    fn no_more_is_shown_of_a_subject_than_a_line_takes() {
        assert_eq!([shown("ada"), shown(&"ä".repeat(200))], ["ada".to_owned(), "ä".repeat(200)]);
        assert_eq!(shown(&"ä".repeat(201)), "ä".repeat(200) + "…");
    }

    #[test]
    fn what_a_worker_has_heard_before_it_serves_does_not_count() {
        let mut house = House::with("");
        house.publish();
        house.peers.begin_serving(house.now());
        assert_eq!(house.peers.metrics(house.now()).rates, Rates::default());
    }

    #[test]
    fn topics_are_told_with_their_listeners_and_the_history_with_its_oldest() {
        let mut house = House::with("--history-size 2");
        for topic in ["a", "b", "b", "c/*"] {
            house.connect(&compressing(topic));
        }
        assert_eq!(house.peers.details(Wish::Counted), Details::default());
        let topics = house.peers.details(Wish::Topics).topics;
        assert_eq!((topics.count, topics.most_heard[0].clone()), (3, ("b".to_owned(), 2)));
        assert_eq!(house.peers.history_status(house.now()).oldest_unix_ms, None);
        house.publish();
        house.elapsed += seconds(3);
        house.publish();
        let status = house.peers.history_status(house.now());
        let begin = house.now().wall.as_millisecond();
        assert_eq!((status.publications, status.publications_limit), (2, 2));
        assert_eq!(status.oldest_unix_ms, Some(begin - 3000));
    }
}

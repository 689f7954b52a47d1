//! What there is to say about the whole server, from what its workers have told.

use std::borrow::Cow;
use std::time::Instant;

use super::{Member, Relay};
use crate::server::clock::Now;
use crate::server::peers::leaving;
use crate::server::socket::Socket;
use crate::wire::metrics::Metrics;
use crate::wire::overview::{Draining, Overview};

impl<S: Socket> Relay<S> {
    /// All there is to say about the whole server.
    pub fn overview(&self, now: Instant) -> Overview {
        let status = |member: &Member<S>| {
            let mut status = member.status.clone();
            status.metrics.connections = member.clients as u64;
            status
        };
        let sharing = self.sharing.as_ref();
        Overview {
            drain: self.draining.clone(),
            publications: sharing.map_or(self.order.published(), |sharing| sharing.heard),
            workers: self.members.values().map(status).collect(),
            past: self.past.clone(),
            engine: sharing.map(|sharing| sharing.engine.status(now)),
            since_unix_ms: self.since_unix_ms,
            ..Overview::default()
        }
    }

    /// The whole server is about to leave, until then at the latest, since this one has asked for it.
    pub fn announce_drain(&mut self, now: Now, deadline: Instant, origin: Cow<'static, str>) {
        leaving::mention(&origin);
        self.draining = Some(Draining {
            origin,
            since_unix_ms: now.wall.as_millisecond(),
            deadline_unix_ms: now.unix_ms_until(deadline),
            clients_then: self.clients() as u64,
        });
    }

    /// Clients of all workers together.
    pub fn clients(&self) -> usize {
        self.members.values().map(|member| member.clients).sum()
    }

    /// What all workers have counted, also those that have ended.
    pub fn counted(&self) -> Metrics {
        let mut counted = self.past.clone();
        self.members.values().for_each(|member| counted.add_totals(&member.status.metrics));
        counted
    }

    /// Goes on with what another process has counted.
    pub fn go_on_counting(&mut self, counted: &Metrics) {
        self.past.add_totals(counted);
    }

    /// What belongs to no worker, to be counted here.
    pub fn past(&mut self) -> &mut Metrics {
        &mut self.past
    }
}

//! Decides when each client is to reconnect, and when one that has not is closed: evenly, so that whoever takes them over
//! has no stampede. While the server serves, that is by the age of each connection; once it leaves, everyone is to go.
//! Reads no clock and sends nothing.

use std::time::{Duration, Instant};

use crate::policy::moments::Moments;

/// How far a connection's age may differ from what is set, either way, when its client is to reconnect.
const AGE_JITTER: f64 = 0.1;

/// How long before its moment a client hears that its connection is old, a tenth of that age at most. Told at the moment
/// itself, it could be closed before it has begun to move.
const AHEAD: Duration = Duration::from_secs(5);

/// How clients are asked to reconnect.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectTerms {
    /// Once the server leaves, their moments are spread over this time.
    pub spread: Duration,
    /// How long after its moment a client that is still there is closed; `None` for never.
    pub close_after: Option<Duration>,
    /// The age of a connection at which its moment comes while the server serves; `None` for no age.
    pub max_age: Option<Duration>,
}

/// Why clients are asked to reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectReason {
    /// The server leaves.
    ServerRestart,
    /// Their connections are old.
    ConnectionAge,
}

impl ReconnectReason {
    /// As clients are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerRestart => "server_restart",
            Self::ConnectionAge => "connection_age",
        }
    }
}

/// The moments of all clients: of those who have not been told, and the ends of those who have.
#[derive(Debug)]
pub struct ReconnectNotices {
    terms: ReconnectTerms,
    occasion: Occasion,
    /// The moment of each who has not been told yet.
    untold: Moments,
    /// When each who has been told is closed, if that is asked for.
    closings: Moments,
    random: u64,
}

/// What one client is told.
#[derive(Debug, PartialEq, Eq)]
pub struct ReconnectNotice {
    /// The caller's name for it.
    pub client: usize,
    /// How long from now its moment comes.
    pub after: Duration,
    /// How long from now it is closed at the latest; `None` when it may stay.
    pub deadline: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Occasion {
    /// Connections reach this age.
    Age(Duration),
    /// The server leaves, and by the deadline everyone has to be gone anyway.
    Leaving { begun: Instant, deadline: Instant },
}

impl ReconnectNotices {
    /// For a server that serves; `None` when connections may be of any age. The seed makes the moments differ from those
    /// of other servers.
    pub fn by_age(terms: ReconnectTerms, seed: u64) -> Option<Self> {
        terms.max_age.map(|age| Self::on(Occasion::Age(age), terms, seed))
    }

    /// For a server that leaves: gives each of these clients, named in ascending order, a moment in an equal share of the
    /// time, at random within the share. The seed makes the shares of several servers differ.
    pub fn new(terms: ReconnectTerms, clients: &[usize], now: Instant, deadline: Instant, seed: u64) -> Self {
        // No moment comes when nobody is left to reconnect.
        let spread = terms.spread.min(deadline.saturating_duration_since(now));
        let terms = ReconnectTerms { spread, ..terms };
        let mut notices = Self::on(Occasion::Leaving { begun: now, deadline }, terms, seed);
        let count = clients.len() as f64;
        let moment = |(rank, client): (usize, &usize)| {
            let share = (rank as f64 + notices.next_random()) / count;
            (*client, now + terms.spread.mul_f64(share))
        };
        notices.untold = clients.iter().enumerate().map(moment).collect();
        notices
    }

    fn on(occasion: Occasion, terms: ReconnectTerms, seed: u64) -> Self {
        // xorshift stands still at zero.
        let random = seed | 1;
        Self { terms, occasion, untold: Moments::default(), closings: Moments::default(), random }
    }

    /// Why they are asked to reconnect.
    pub fn reason(&self) -> ReconnectReason {
        match self.occasion {
            Occasion::Age(_) => ReconnectReason::ConnectionAge,
            Occasion::Leaving { .. } => ReconnectReason::ServerRestart,
        }
    }

    /// Adds a client that has just connected. When the server leaves already, it gets any moment.
    pub fn join(&mut self, client: usize, now: Instant) {
        let moment = self.moment(now);
        self.untold.set(client, moment);
    }

    /// The moment of somebody who has come now, be it that it is not taken in.
    pub fn moment(&mut self, now: Instant) -> Instant {
        let random = self.next_random();
        match self.occasion {
            Occasion::Age(age) => now + age.mul_f64(1.0 + AGE_JITTER * (2.0 * random - 1.0)),
            Occasion::Leaving { begun, .. } => (begun + self.terms.spread.mul_f64(random)).max(now),
        }
    }

    /// This client is to be closed then, and not as others are: it cannot move before that.
    pub fn close_at(&mut self, client: usize, at: Instant) {
        self.closings.set(client, at);
    }

    /// The moment of a client that has not been told yet, and when one is closed that has.
    pub fn times_of(&self, client: usize) -> [Option<Instant>; 2] {
        [self.untold.of(client), self.closings.of(client)]
    }

    /// Adds a client that has been one elsewhere, with the times that it had there. One that had none is new here.
    pub fn join_again(&mut self, client: usize, [moment, closing]: [Option<Instant>; 2], now: Instant) {
        if moment.is_none() && closing.is_none() {
            return self.join(client, now);
        }
        moment.into_iter().for_each(|at| self.untold.set(client, at));
        closing.into_iter().for_each(|at| self.closings.set(client, at));
    }

    /// The client has departed: its name may pass on to another.
    pub fn forget(&mut self, client: usize) {
        self.untold.remove(client);
        self.closings.remove(client);
    }

    /// The next notice to send. Call until `None`.
    pub fn next_notice(&mut self, now: Instant) -> Option<ReconnectNotice> {
        let (moment, client) = self.untold.first().filter(|(moment, _)| self.notice_time(*moment) <= now)?;
        self.untold.remove(client);
        // Told late, it is to reconnect at once, and has as long for it as all others.
        let moment = moment.max(now);
        let closing = self.terms.close_after.map(|after| moment + after);
        if let Some(at) = closing {
            self.closings.set(client, at);
        }
        let last = match self.occasion {
            Occasion::Age(_) => closing,
            Occasion::Leaving { deadline, .. } => Some(deadline),
        };
        let left = |at: Instant| at.saturating_duration_since(now);
        Some(ReconnectNotice { client, after: left(moment), deadline: last.map(left) })
    }

    /// The next client to be closed because it has not reconnected in time.
    pub fn next_closing(&mut self, now: Instant) -> Option<usize> {
        let (_, client) = self.closings.first().filter(|(at, _)| *at <= now)?;
        self.closings.remove(client);
        Some(client)
    }

    /// When the next notice is to be sent, or the next client closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        let notice = self.untold.first().map(|(moment, _)| self.notice_time(moment));
        notice.into_iter().chain(self.closings.first().map(|(at, _)| at)).min()
    }

    /// When the client with this moment is told.
    fn notice_time(&self, moment: Instant) -> Instant {
        match self.occasion {
            Occasion::Age(age) => moment - AHEAD.min(age / 10),
            Occasion::Leaving { begun, .. } => begun,
        }
    }

    /// In [0, 1): xorshift64, whose upper bits are random enough to keep clients apart.
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
#[path = "reconnect_notices_tests.rs"]
mod tests;

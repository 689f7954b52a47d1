//! Everything that is measured in one go: hand-overs one after the other, while clients hear, talk, come and leave.

use std::thread;
use std::time::Duration;

use super::common::figures::{Spread, grouped};
use super::common::machine::Cores;
use super::common::urgency::Urgency;
use super::extent::Plan;
use super::loads::Loads;
use super::orders::Heard;
use super::prober::Prober;
use super::server::{HandedOver, Server, Standing};
use super::visitors::Visitors;

/// Between two hand-overs.
const PAUSE: Duration = Duration::from_millis(400);

/// What came out.
pub struct Rung {
    pub plan: Plan,
    /// As the log says it: how long nobody was read from.
    pub silent_ms: Spread,
    /// As a client sees it: the slowest echo of each hand-over.
    pub echo_ms: Spread,
    /// That time, for each connection.
    pub us_a_connection: f64,
    /// Connections that moved, of the hand-over with the fewest, and that did not, of all.
    pub moved: u64,
    pub stayed: u64,
    /// What `slackwater_handover_seconds` says of the last one.
    pub metric_ms: Option<f64>,
    pub heard: Heard,
    pub visits: u64,
    pub slowest_visit_ms: f64,
    pub before: Standing,
    pub after: Standing,
    /// Bytes that the last successor has held at most.
    pub peak: u64,
}

impl Rung {
    pub fn measure(plan: Plan, cores: Option<Cores>, urgency: Urgency) -> Self {
        let clients = plan.clients;
        let say = |what: &str| eprintln!("{} clients, {}: {what} …", grouped(clients as f64, 0), plan.name);
        let mut server = Server::start(plan.workers, cores);
        let mut loads = Loads::start(&plan, server.address);
        let mut prober = Prober::start(server.address, plan.workers, urgency);
        say("they connect");
        loads.connect(&plan);
        loads.remember(plan.past);
        let before = server.standing();
        loads.begin();
        let visitors = Visitors::begin(server.address, plan.traffic.visits_per_second);
        say("they are handed over");
        let (mut handed_over, mut echoes): (Vec<HandedOver>, Vec<f64>) = Default::default();
        for _ in 0..plan.handovers {
            thread::sleep(PAUSE);
            let (done, slowest) = prober.during(|| server.hand_over());
            handed_over.push(done);
            echoes.push(slowest);
        }
        thread::sleep(PAUSE);
        say("what was heard");
        let (visits, slowest_visit_ms) = visitors.end();
        let heard = loads.end();
        if heard.faults.is_none() {
            // The history is as full as before, of the same.
            loads.remember(plan.past);
        }
        let after = server.standing();
        let silent_ms = Spread::of(handed_over.iter().map(|done| done.milliseconds as f64));
        let rung = Self {
            plan,
            silent_ms,
            echo_ms: Spread::of(echoes.into_iter()),
            us_a_connection: silent_ms.median * 1e3 / clients as f64,
            moved: handed_over.iter().map(|done| done.connections).min().unwrap_or_default(),
            stayed: handed_over.iter().map(|done| done.stayed).sum(),
            metric_ms: after.metric("slackwater_handover_seconds").map(|seconds| seconds * 1e3),
            heard,
            visits,
            slowest_visit_ms,
            before,
            after,
            peak: server.peak(),
        };
        if rung.heard.faults.is_none() {
            rung.check();
        }
        rung
    }

    /// What was counted before is counted still, and nothing else is left behind.
    fn check(&self) {
        let count = |standing: &Standing, name| standing.metric(name).unwrap_or_default();
        let change = |name| count(&self.after, name) - count(&self.before, name);
        let visits = self.visits as f64;
        let published = self.heard.published + self.plan.past.publications as u64;
        assert_eq!(change("slackwater_publications_total"), published as f64, "publications");
        assert_eq!(change("slackwater_connections_total"), visits, "connections that were made");
        let uncounted = visits - change("slackwater_disconnects_total");
        // Who was about to leave stays to the end where it was, and is counted there.
        assert!((0.0..=self.stayed as f64).contains(&uncounted), "{uncounted} departures are not counted");
        assert_eq!(change("slackwater_connections_active"), 0.0, "connections");
        assert_eq!(change("slackwater_event_streams"), 0.0, "event streams");
        assert!(change("slackwater_messages_sent_total") >= self.heard.deliveries as f64, "messages");
        assert_eq!(change("slackwater_handovers_total"), self.plan.handovers as f64, "hand-overs");
        assert_eq!(self.before.descriptors, self.after.descriptors, "descriptors");
    }

    /// What is said of it while it is measured, and in tables.
    pub fn name(&self) -> String {
        format!("{} clients", grouped(self.plan.clients as f64, 0))
    }
}

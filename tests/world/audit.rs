//! What a server says of itself, against what its clients have heard: each publication was compressed at most once in each
//! process, and only for somebody; and the bytes of a history are those of what is in it.

use std::collections::BTreeSet;

use crate::ear::{Heard, Id};
use crate::truth::{Truth, matches};
use crate::verdict::{Entry, Form, Record, Tally};
use crate::worker::{Place, Worker};
use crate::world::World;

/// The sum over all processes of a server.
const COMPRESSED: &str = "slackwater_messages_compressed_total ";

/// A publication at a process.
type Compressed = BTreeSet<(u32, u64)>;

impl World {
    /// How many messages the last server has compressed, as it says.
    pub fn ask_for_compressed(&mut self) -> usize {
        self.ask_for(COMPRESSED)
    }

    /// What the last server says that it has counted.
    pub fn ask_for(&mut self, counter: &str) -> usize {
        let text = self.scrape();
        let count = text.lines().find_map(|line| line.strip_prefix(counter));
        count.and_then(|count| count.parse().ok()).expect("it is counted")
    }

    /// All that the last server says of itself.
    pub fn scrape(&mut self) -> String {
        if self.setup.workers > 0 {
            // Workers tell their numbers whenever they are asked whether they live.
            self.run_for(2 * self.setup.healthcheck);
        }
        let line = self.connect_to_any("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        self.calm_down();
        let mut line = line.borrow_mut();
        line.take(usize::MAX);
        line.end();
        let [(_, Heard::Response { status: 200, body, .. })] = &line.ear.heard[..] else {
            panic!("no metrics: {:?}", line.ear.heard)
        };
        String::from_utf8_lossy(body).into_owned()
    }

    /// Whether the last server can have compressed so many.
    pub fn audit(&self, compressed: usize, tally: &mut Tally) {
        let [reign] = self.reigns.as_slice() else { panic!("old servers stay") };
        let records = || {
            let all = self.subscribers.iter().flat_map(|subscriber| &subscriber.records);
            all.filter(|record| record.place.reign == reign.number)
        };
        // What was counted goes on with who has moved.
        let before = self.subscribers.iter().flat_map(|subscriber| &subscriber.records);
        let before = before.filter(|record| self.handovers[1] > 0 && record.place.reign != reign.number);
        let (mut surely, mut perhaps) = (Compressed::new(), Compressed::new());
        for record in records() {
            // What others have counted who are killed nobody knows.
            if reign.workers.iter().any(|worker| worker.place == record.place) {
                surely.extend(record.heard_deflated());
            }
            perhaps.extend(record.may_have_heard_deflated(&self.truth));
        }
        // Whatever was handed over, the next process compresses anew for those who still have to be brought it.
        let processes = 1 + self.handovers[1];
        let by_others: usize = before.map(|record| record.may_have_heard_deflated(&self.truth).count()).sum();
        // Who hears through one process now may have heard through several.
        let together = if self.handovers[1] > 0 { self.subscribers.len() } else { 1 };
        let (least, most) = (surely.len(), perhaps.len() * processes * together + by_others);
        assert!((least..=most).contains(&compressed), "compressed {compressed}, not {least} to {most}");
        tally.compressed += compressed;
        tally.shared += records().map(|record| record.heard_deflated().count()).sum::<usize>() - least;
    }
}

impl Record {
    fn heard_deflated(&self) -> impl Iterator<Item = (u32, u64)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Publication(id, _, Form::Deflated) => Some((self.place.id, id.position)),
            _ => None,
        })
    }

    /// What it may have been sent: all that it listened to at any time, from where it came in.
    fn may_have_heard_deflated(&self, truth: &Truth) -> impl Iterator<Item = (u32, u64)> {
        let Place { id, epoch, .. } = self.place;
        let from = self.asked.as_deref().and_then(Id::read).filter(|asked| asked.epoch == epoch);
        let from = match self.entries.first() {
            Some(Entry::Welcome { last, resumed: false, .. }) => last.position,
            _ => from.map_or(0, |asked| asked.position),
        };
        let filters = self.filters.iter().chain(self.commands.iter().map(|command| &command.filter));
        let filters: Vec<&String> = filters.collect();
        let all = truth.order(epoch).iter().zip(1..).skip(usize::try_from(from).expect("few"));
        let deflated = all.filter(move |(publication, _)| {
            publication.is_deflated_for(self.window)
                && filters.iter().any(|filter| matches(filter, &publication.topic))
        });
        deflated.map(move |(_, position)| (id, position))
    }
}

impl Worker {
    /// What its history counts is what it has, and no more than it may have.
    pub fn audit_history(&self) {
        let history = self.server.history();
        let oldest = *history.positions().start();
        let bytes: usize = history.after(oldest - 1).map(|(_, kept)| kept.held_bytes()).sum();
        assert_eq!(history.held_bytes(), bytes, "history counts otherwise");
        let most = self.history_bytes;
        assert!(bytes <= most, "{bytes} bytes in a history that may have {most}");
    }
}

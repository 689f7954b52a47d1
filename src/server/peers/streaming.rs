//! What event streams are told: how they begin, that they are to be asked for later, and when to come back once they end.
//! What is published reaches them as it does all clients.

use std::time::Duration;

use super::Peers;
use super::conversation::share;
use crate::http::answer::Delay;
use crate::http::routes::Stage;
use crate::policy::reconnect_notices::ReconnectReason;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::wire::event_stream;
use crate::wire::messages::ServerMessage;
use crate::wire::request::Request;
use crate::wire::response::Exchange;
use crate::wire::subscriptions::Subscriptions;

/// After which time a client comes back whose stream has ended, at the earliest and at the latest. Browsers wait for three to
/// five seconds by themselves, and after a crash all of them for the same time.
const RECONNECTION: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// After which time whoever is one too many tries again.
const CROWDED: Duration = Duration::from_secs(5);

impl<S: Socket> Peers<S> {
    /// Makes a connection an event stream: its head, an id to resume from, what it missed or that there is a gap. Whoever only
    /// asks how it would begin is told that.
    pub(super) fn stream(&mut self, key: usize, request: &Request, exchange: Exchange, now: Now) {
        let exchange = Exchange { keep_alive: false, ..exchange };
        if exchange.head_only {
            return self.respond(key, event_stream::response(""), exchange, now);
        }
        let asked = Subscriptions::read_of_stream(request);
        for filter in &asked.filters {
            let subscribed = self.feed.subscribe(key, filter, None);
            debug_assert!(subscribed.is_ok(), "there are no more than a connection may have");
        }
        let resumes = asked.last_event_id.map(|id| self.resume(&id, now));
        let id = match resumes {
            None => Some(self.feed.newest()),
            // Its own, as what it missed is still to come.
            Some(Some(position)) => self.feed.id_up_to(position),
            // That comes with the gap: a client that has heard of one has heard of the other.
            Some(None) => None,
        };
        let opening = event_stream::opening(reconnection(key), id);
        self.connections[key].stream(event_stream::response(opening), &exchange, now);
        self.note_joined(key, request, now);
        match resumes {
            None => {}
            Some(Some(position)) => self.begin_replay(key, position, now),
            Some(None) => {
                let gap = ServerMessage::Gap { timestamp: now.wall, last_event_id: None };
                self.connections[key].send_block(event_stream::gap(&gap, Some(self.feed.newest())));
            }
        }
        self.give_moment(key, now);
    }

    /// Tells the client of an event stream to come back later. It is counted as if it had been refused.
    pub(super) fn postpone(&mut self, key: usize, delay: Delay, exchange: Exchange, now: Now) {
        let is_leaving = self.stage() == Stage::Leaving;
        let wait = match delay {
            Delay::TooMany(seconds) => Duration::from_secs(seconds) + share(RECONNECTION[1], key),
            Delay::Crowded => CROWDED + share(RECONNECTION[1], key),
            Delay::Starting => reconnection(key),
            Delay::Leaving { .. } => self.moment_of_newcomer(now).max(reconnection(key)),
        };
        match delay {
            Delay::TooMany(_) => self.note_refused_peer(key, now),
            _ if is_leaving => self.counts.on_refused("/events", "draining"),
            Delay::Starting => self.counts.on_refused("/events", "starting"),
            _ => self.counts.on_refused("/events", "connection_limit"),
        }
        let id = matches!(delay, Delay::Leaving { resumes: false }).then(|| self.feed.newest());
        let response = event_stream::response(event_stream::opening(wait, id));
        self.respond(key, response, Exchange { keep_alive: false, ..exchange }, now);
    }

    /// A stream that was handed all that is pending is about to end: says when its client is to come back, and why, if there is
    /// something to say about that; and up to which id it has heard all, if it has.
    pub(super) fn say_when_to_return(&mut self, key: usize, reason: Option<ReconnectReason>, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (reconnection, heard) = (reconnection(key), connection.heard(Some(self.feed.newest())));
        connection.send_block(match reason {
            None => event_stream::retry(reconnection, heard),
            Some(reason) => {
                let notice = ServerMessage::Reconnect {
                    reason: reason.name(),
                    after_ms: milliseconds(reconnection),
                    deadline_ms: Some(0),
                    timestamp: now.wall,
                    // It is that of the event.
                    last_event_id: None,
                };
                event_stream::reconnect(&notice, reconnection, heard)
            }
        });
    }
}

/// After which time the client with this key comes back.
fn reconnection(key: usize) -> Duration {
    let [earliest, latest] = RECONNECTION;
    earliest + share(latest - earliest, key)
}

/// As messages have it.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "streaming_tests.rs"]
mod tests;

//! What is said to whom: requests become answers, WebSockets or publications, and events become replies.
//! Nothing here touches a socket: all of it ends in outboxes.

use std::time::Duration;

use log::warn;

use super::reading::READ_BUDGET;
use super::waiting::Waited;
use super::{Mode, Peers};
use crate::frame::{Frame, Kind};
use crate::http::answer::Answer;
use crate::http::door::Door;
use crate::http::origin::{Origins, Stranger};
use crate::http::routes::{self, Conditions, Stage};
use crate::policy::hub::{MAX_SUBSCRIPTIONS, TooMany};
use crate::policy::mentions::{FORGET_AFTER, Mention};
use crate::policy::sequencer::Position;
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::server::terms::{Service, Terms};
use crate::wire::commands::{Command, read_command};
use crate::wire::extensions::Compression;
use crate::wire::messages::{PROTOCOL, ServerMessage};
use crate::wire::request::{Method, Request};
use crate::wire::request_buffer::Next;
use crate::wire::response::{Exchange, Response, switching_protocols};
use crate::wire::subscriptions::Subscriptions;
use crate::wire::upgrade::Acceptance;
use crate::wire::websocket::Event;

impl<S: Socket> Peers<S> {
    /// Answers the requests that are whole, as long as the peer takes the answers.
    pub(super) fn converse(&mut self, key: usize, now: Now) {
        while !self.must_stop_reading(key) && self.is_announced(key, now) {
            let limits = self.terms.limits;
            let too_many = self.retry_after(key, now);
            let (stage, door) = (self.stage(), self.door_of(key));
            let conditions = conditions(&self.terms, stage, self.connections.len(), door, too_many, now);
            let connection = &mut self.connections[key];
            let is_behind_others = connection.awaited.any();
            let is_secured = connection.its_socket().agreed().is_some();
            let Some(requests) = connection.requests() else { return };
            let mut shared_with = None;
            let next = requests.next(|request| {
                request.is_secured = is_secured;
                shared_with = routes::shared_with(request, conditions);
                routes::wish(request, conditions)
            });
            let request = match next {
                Ok(Next::Request(request)) => request,
                Ok(Next::Continue) if is_behind_others => return self.go_on_later(key),
                Ok(Next::Continue) => return connection.go_on(now + limits.handshake),
                Ok(Next::More) if !requests.has_begun() => return,
                Ok(Next::More) => return connection.expect_head(now + limits.handshake),
                Err(refusal) => {
                    self.counts.on_rejected(refusal.label());
                    if is_behind_others {
                        return self.refuse_later(key, refusal, shared_with);
                    }
                    return connection.refuse(refusal, shared_with, now, &limits);
                }
            };
            self.count_for_client(key, &request, now);
            self.answer(key, request, Waited::Not, now);
            self.leave_to_proxy(key, now);
        }
    }

    /// Answers one request: with a response, a WebSocket or a publication; some only once others have been answered, or once all
    /// has come that was published before it, unless it has `waited` for that.
    pub(super) fn answer(&mut self, key: usize, mut request: Box<Request>, waited: Waited, now: Now) {
        let conditions = self.conditions(key, now);
        if self.is_behind_others(key, &mut request, conditions) {
            return self.answer_later(key, request);
        }
        if self.must_sync_first(&request, conditions, waited) {
            return self.sync_first(key, request);
        }
        let too_many = conditions.too_many;
        let is_one_too_many = too_many.is_some() && request.path != "/healthz";
        let tries_token = routes::tries_token(&request, conditions.access);
        let exchange = Exchange {
            now: now.wall,
            head_only: request.method == Method::Head,
            keep_alive: request.keep_alive && !conditions.crowded && too_many.is_none(),
            takes_chunks: request.takes_chunks,
            shared_with: routes::shared_with(&request, conditions),
            // Whoever is refused for its address is counted for that.
            counted_as: routes::counted_as(&request)
                .filter(|_| too_many.is_none() && conditions.door != Door::Redirect),
        };
        let is_order = request.path == "/drain";
        let forwarded_for = request.fields.forwarded_for.as_ref().filter(|_| is_order).cloned();
        match routes::answer(request, &self.site, conditions) {
            Answer::Respond(response) => {
                if is_one_too_many {
                    self.note_refused_peer(key, now);
                }
                if tries_token && response.is_unauthorized() {
                    self.note_wrong_token(now);
                }
                self.respond(key, response, exchange, now);
            }
            Answer::Stranger(stranger, response) => {
                exchange.counted_as.into_iter().for_each(|path| self.counts.on_refused(path, "origin"));
                self.mention(&stranger, now);
                self.respond(key, response, Exchange { counted_as: None, ..exchange }, now);
            }
            Answer::Refuse(refusal) => {
                self.counts.on_rejected(refusal.label());
                self.connections[key].refuse(refusal, None, now, &self.terms.limits);
            }
            Answer::Challenge(challenge) => {
                let response = self.prove(&challenge, now);
                self.respond(key, response, exchange, now);
            }
            Answer::Report(report) => self.report(key, report, exchange, now),
            Answer::Drain => {
                let address = self.whereabouts(key, forwarded_for.as_deref());
                self.waiting.ask_for_drain(format!("POST /drain from {address}"));
                let response = Response::new(202, "application/json", r#"{"status":"draining"}"#);
                self.respond(key, response, exchange, now);
            }
            Answer::Upgrade { acceptance, compression, request, identity } => {
                self.identify(key, identity, now);
                self.open(key, &acceptance, compression, &request, now);
            }
            Answer::Stream { request, identity } => {
                self.identify(key, identity, now);
                self.stream(key, &request, exchange, now);
            }
            Answer::Postpone(delay) => self.postpone(key, delay, exchange, now),
            Answer::Publish(request) => self.publish_request(key, request, exchange, now),
        }
    }

    /// Queues a response, unless the peer is gone, and counts a refusal. A leaving server keeps no connection alive.
    pub(super) fn respond(&mut self, key: usize, response: Response, exchange: Exchange, now: Now) {
        if let Some(path) = exchange.counted_as.filter(|_| response.is_refusal()) {
            let reason = match (self.stage(), path, response.label()) {
                (Stage::Leaving, "/ws", _) | (Stage::Leaving, _, "connection_limit") => "draining",
                (Stage::Starting, "/ws", "connection_limit") => "starting",
                (_, _, label) => label,
            };
            self.counts.on_refused(path, reason);
        }
        // What it has asked already is answered first.
        let may_stay = self.mode == Mode::Serving || self.connections[key].awaited.any();
        let exchange = Exchange { keep_alive: exchange.keep_alive && may_stay, ..exchange };
        self.connections[key].respond(response, &exchange, now, &self.terms.limits);
    }

    /// Says in the log that a page is not let in, unless that was said lately.
    fn mention(&mut self, stranger: &Stranger, now: Now) {
        match self.mentions.mention(stranger.to_string(), now.instant) {
            Mention::New(line) => warn!("{line}"),
            Mention::OneTooMany => warn!(
                "Refused pages of still other origins: they are counted, and named again in {} minutes",
                FORGET_AFTER.as_secs() / 60
            ),
            Mention::Known => {}
        }
    }

    /// Logs, now and then, that tokens are tried.
    fn note_wrong_token(&mut self, now: Now) {
        if let Some(count) = self.wrong_tokens.add(now.instant) {
            warn!(
                "Refused with a token that is not --publish-token, at /publish, /drain, /status or /metrics: {count}; \
                 slackwater_requests_rejected_total counts them"
            );
        }
    }

    fn conditions(&self, key: usize, now: Now) -> Conditions<'_> {
        let too_many = self.retry_after(key, now);
        conditions(&self.terms, self.stage(), self.connections.len(), self.door_of(key), too_many, now)
    }

    pub(super) fn stage(&self) -> Stage {
        match self.mode {
            Mode::Leaving | Mode::Farewell => Stage::Leaving,
            Mode::Serving | Mode::SteppingDown if !self.knows_newest => Stage::Starting,
            Mode::Serving | Mode::SteppingDown => Stage::Serving,
        }
    }

    fn door_of(&self, key: usize) -> Door {
        self.connections[key].door
    }

    /// Takes in what a WebSocket sends, and replies.
    pub(super) fn hear(&mut self, key: usize, bytes: &[u8], now: Now) {
        self.connections[key].on_heard(now, &self.terms.limits);
        match self.is_put_off(key) {
            true => self.unheard.keep(key, bytes),
            false => self.hear_out(key, bytes, now),
        }
    }

    /// Takes in what a WebSocket has sent, as far as it is not held back.
    pub(super) fn hear_out(&mut self, key: usize, mut bytes: &[u8], now: Now) {
        let limits = self.terms.limits;
        let inflated_before = self.inflater.cost();
        while let Some(event) =
            self.connections[key].next_event(&mut bytes, &limits.rules, &mut self.inflater)
        {
            let connection = &mut self.connections[key];
            let is_message = matches!(event, Event::Text(_) | Event::Binary(_));
            match (event, self.terms.service) {
                (Event::Ended(ending), _) if connection.awaited.any() => self.end_later(key, ending),
                (Event::Ended(ending), _) => connection.end(ending, now),
                // Like all that comes, it has shown already that the peer is there.
                (Event::Pong, _) => {}
                (Event::Text(text), Service::Notifications) => self.reply_to(key, &text, now),
                (Event::Text(text), Service::Echo) => {
                    connection.send_back(Kind::Text, text.as_bytes(), &mut self.compressor, now, &limits);
                }
                (Event::Binary(octets), _) => {
                    connection.send_back(Kind::Binary, &octets, &mut self.compressor, now, &limits);
                }
            }
            let is_held_back = is_message
                && self.held_back.as_mut().is_some_and(|held_back| held_back.on_message(key, now.instant));
            if is_held_back || is_message && self.must_wait_after(key, inflated_before) {
                return self.unheard.keep(key, bytes);
            }
        }
    }

    /// Whether inflating what a client has sent has cost so much that the rest has to wait: for another turn, or until the client
    /// has taken its answers.
    fn must_wait_after(&self, key: usize, inflated_before: u64) -> bool {
        self.inflater.has_cost_since(inflated_before, READ_BUDGET)
            || self.inflater.has_cost_since(inflated_before, 1) && self.must_wait(key)
    }

    /// Makes a connection a client: 101, the welcome, what it missed, and what it has sent behind its handshake.
    fn open(
        &mut self,
        key: usize,
        acceptance: &Acceptance,
        compression: Option<Compression>,
        request: &Request,
        now: Now,
    ) {
        let first_ping = self.terms.limits.ping_interval.map(|interval| now + share(interval, key));
        let response = switching_protocols(acceptance, compression);
        let rest = self.connections[key].open(response, compression, first_ping);
        if compression.is_some() {
            self.counts.on_compression_agreed();
        }
        self.note_joined(key, request, now);
        if self.terms.service == Service::Notifications {
            self.welcome(key, request, now);
            self.give_moment(key, now);
        }
        self.hear(key, &rest, now);
    }

    /// The position behind which whoever has heard this last can be brought all that it missed.
    pub(super) fn resume(&mut self, last_event_id: &str, now: Now) -> Option<Position> {
        let position = last_event_id.parse().ok().and_then(|id| self.feed.resume(id, now.instant));
        self.counts.on_resumption(position.is_some());
        position
    }

    fn welcome(&mut self, key: usize, request: &Request, now: Now) {
        let limits = self.terms.limits;
        let timestamp = now.wall;
        let asked = Subscriptions::read(request);
        let mut errors: Vec<(&'static str, String, Option<String>)> =
            asked.refused.into_iter().map(|(topic, why)| ("bad_topic", why, topic)).collect();
        for filter in &asked.filters {
            if let Err(TooMany) = self.feed.subscribe(key, filter, None) {
                let topic = filter.as_str();
                errors.push(("too_many_topics", one_too_many(topic), Some(topic.to_owned())));
            }
        }
        let resumes_after = asked.last_event_id.and_then(|id| self.resume(&id, now));
        let connection = &mut self.connections[key];
        let filters: Vec<&str> = self.feed.filters(key).map(Filter::as_str).collect();
        let welcome = ServerMessage::Welcome {
            protocol: PROTOCOL,
            message: "Connected to WebSocket server",
            timestamp,
            connection_id: &self.register.id(key).to_string(),
            topics: &filters,
            last_event_id: self.feed.newest(),
            resumed: resumes_after.is_some(),
            ping_interval_ms: limits
                .ping_interval
                .map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
        };
        connection.send(welcome.to_frame(), now, &limits);
        for (code, message, topic) in &errors {
            self.counts.on_command_refused("subscribe", code);
            connection.send(refused("subscribe", code, message, topic.as_deref(), now), now, &limits);
        }
        if let Some(position) = resumes_after {
            self.begin_replay(key, position, now);
        }
    }

    fn reply_to(&mut self, key: usize, text: &str, now: Now) {
        let (limits, timestamp) = (self.terms.limits, now.wall);
        let command = match read_command(text) {
            Command::Publish(publish) => return self.publish_command(key, publish, now),
            Command::Refresh(token) => return self.refresh(key, &token.0, now),
            command => command,
        };
        // What is queued ahead of these replies does not count against the peer.
        let follows_pending = matches!(command, Command::Subscribe(_) | Command::Unsubscribe(_));
        let reply = match command {
            Command::Echo => {
                // While much waits for it the id would be no news, and would let the answers to one read take up too much.
                let takes_answers = !self.connections[key].must_pause(&limits);
                let last_event_id = takes_answers.then(|| self.heard_by(key)).flatten();
                let message = &format!("Server received: {text}");
                ServerMessage::Echo { message, timestamp, last_event_id }.to_frame()
            }
            Command::Subscribe(filter) if !self.may_subscribe(key, &filter) => {
                self.counts.on_command_refused("subscribe", "forbidden");
                let message = format!("{:?} may not be heard", filter.as_str());
                refused("subscribe", "forbidden", &message, Some(filter.as_str()), now)
            }
            Command::Subscribe(filter) => match self.subscribe(key, &filter, now) {
                Ok(()) => ServerMessage::Subscribed { topic: filter.as_str(), timestamp }.to_frame(),
                Err(TooMany) => {
                    self.counts.on_command_refused("subscribe", "too_many_topics");
                    let topic = filter.as_str();
                    refused("subscribe", "too_many_topics", &one_too_many(topic), Some(topic), now)
                }
            },
            Command::Unsubscribe(filter) => {
                self.unsubscribe(key, &filter, now);
                ServerMessage::Unsubscribed { topic: filter.as_str(), timestamp }.to_frame()
            }
            Command::Refused { command, code, message, topic } => {
                self.counts.on_command_refused(command, code);
                refused(command, code, &message, topic.as_deref(), now)
            }
            Command::Publish(_) | Command::Refresh(_) => unreachable!("these are answered elsewhere"),
        };
        let connection = &mut self.connections[key];
        if follows_pending {
            connection.send_behind_pending(reply, now, &limits);
        } else {
            connection.send(reply, now, &limits);
        }
    }
}

fn one_too_many(topic: &str) -> String {
    format!("{topic:?} is one topic too many: a connection has at most {MAX_SUBSCRIPTIONS}")
}

/// Tells a client that a command is not carried out.
fn refused(command: &str, code: &str, message: &str, topic: Option<&str>, now: Now) -> Frame {
    let timestamp = now.wall;
    ServerMessage::Error { code, message, command, topic, reference: None, timestamp }.to_frame()
}

/// A part of a period, another one for each key, and evenly for any number of keys (the golden ratio).
pub(super) fn share(period: Duration, key: usize) -> Duration {
    period.mul_f64(((key + 1) as f64 * 0.618_033_988_749_895).fract())
}

fn conditions(
    terms: &Terms,
    stage: Stage,
    connections: usize,
    door: Door,
    too_many: Option<u64>,
    now: Now,
) -> Conditions<'_> {
    let operators = terms.operators.as_ref();
    Conditions {
        door,
        has_admin: operators.is_some(),
        redirect: terms.redirect,
        stage,
        crowded: door != Door::Admin && terms.concurrency.is_some_and(|most| connections > most),
        access: operators.unwrap_or(&terms.access),
        origins: Origins { allowed: &terms.allowed_origins, reach: &terms.access.reach },
        too_many,
        auth: terms.auth.as_deref(),
        now: now.wall,
        max_publish_bytes: terms.max_publish_bytes,
        compresses: terms.compresses,
    }
}

#[cfg(test)]
#[path = "redirecting_tests.rs"]
mod redirecting_tests;

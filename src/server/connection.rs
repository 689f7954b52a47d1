//! One peer: its socket, its outbox and the phase it is in. Decides nothing about others and never logs.
//! Invariant: what the peer is told goes through the outbox; only `flush` writes to the socket.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::Frame;
use crate::http::door::Door;
use crate::policy::addresses::Address;
use crate::policy::replay::Replay;
use crate::server::clock::Now;
use crate::server::limits::Limits;
use crate::server::peers::Member;
use crate::server::socket::{Received, Socket};
use crate::wire::deflate::Inflater;
use crate::wire::ending::Ending;
use crate::wire::extensions::Compression;
use crate::wire::outbox::{Flush, Outbox};
use crate::wire::refusal::Refusal;
use crate::wire::request::Request;
use crate::wire::request_buffer::RequestBuffer;
use crate::wire::response::{Exchange, Response};
use crate::wire::websocket::{Event, Rules, Session};

use answers::Awaited;
use closing::Closing;
pub(super) use standing::{Owner, Sender, Standing};

mod answers;
mod closing;
mod deadlines;
mod moving;
mod pending;
mod standing;
mod streaming;

/// How long a peer that has been told of the end is read from and waited for (RFC 6455 §7.1.1): closing TCP over
/// unread bytes would reset it, and the close frame could be lost.
const LINGER: Duration = Duration::from_secs(1);

/// Responses that may wait for one HTTP peer before its next request is read.
const PIPELINED_BYTES: usize = 64 * 1024;

/// One peer.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    outbox: Outbox,
    phase: Phase,
    /// When this phase's limit is reached: head, keep-alive, ping, pong or linger.
    expires: Option<Instant>,
    /// Bytes that its socket has been handed and that were not seen to be taken at the last look.
    in_flight: u32,
    /// By when a slow peer will have read what its socket has taken so far. Boxed: few are slow.
    reads_until: Option<Box<Instant>>,
    /// Whose it is, where addresses are counted and it has one.
    pub(super) address: Option<Address>,
    /// While it is brought what it missed: until then a fan-out passes it by.
    pub(super) replay: Option<Box<Replay>>,
    pub(super) reading: Reading,
    /// Whether it has published: then it waits while too much is pending.
    pub(super) publishes: bool,
    /// Whether it waits in the list of those to be settled.
    pub(super) dirty: bool,
    /// Whether it counts as a client: from the upgrade until it has departed.
    pub(super) is_client: bool,
    /// Where it came in.
    pub(super) door: Door,
    /// Whether it is counted among those of its address.
    pub(super) standing: Standing,
    /// What was asked for it and is not answered yet.
    pub(super) awaited: Awaited,
    /// Who it is, if it has shown a token. Boxed: where none are expected nobody has.
    pub(super) member: Option<Box<Member>>,
}

/// Where a connection is on its way.
#[derive(Debug)]
enum Phase {
    /// HTTP. `served`: between requests, no longer before the first. `sender`: who says whose the requests are.
    Request { buffer: Box<RequestBuffer>, served: bool, sender: Sender },
    /// A WebSocket. `pinged`: when, while nothing was heard since; `expires` is set once the socket has taken the ping.
    /// `ahead`: bytes up to the ping that the peer's system had not taken then.
    Open { session: Session, pinged: Option<Instant>, ahead: u32 },
    /// An event stream, and when it was last sent something; `expires` is when it has to be sent something again.
    Stream { sent: Instant, is_chunked: bool },
    /// Being told of its ending, or told already. Boxed: it is brief, and would make each idle client larger.
    Closing(Box<Closing>),
}

/// What is known of unread bytes, edge-triggered as events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Read until it would block: the next event announces more.
    Awaited,
    /// Stopped by the budget, and listed to be read on.
    Listed,
    /// Stopped until the peer has taken its responses.
    Paused,
    /// Stopped until what was published has reached its subscribers.
    Congested,
    /// Stopped until it may send messages again.
    HeldBack,
    /// Stopped until its earlier requests have been answered.
    Unanswered,
}

/// The phases, as far as bytes are told apart by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    WebSocket,
    /// What it sends means nothing.
    EventStream,
    NoMore,
}

impl Speaks {
    /// Whether it is a client's, which hears what is published.
    pub(super) fn is_client(self) -> bool {
        matches!(self, Self::WebSocket | Self::EventStream)
    }
}

impl<S: Socket> Connection<S> {
    /// A peer that has just been accepted.
    pub(super) fn new(socket: S, expires: Instant) -> Self {
        Self {
            socket,
            outbox: Outbox::default(),
            phase: Phase::Request { buffer: Box::default(), served: false, sender: Sender::Client },
            expires: Some(expires),
            in_flight: 0,
            reads_until: None,
            address: None,
            replay: None,
            reading: Reading::Awaited,
            publishes: false,
            dirty: false,
            is_client: false,
            door: Door::Public,
            standing: Standing::Uncounted,
            awaited: Awaited::default(),
            member: None,
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Received {
        self.socket.receive(scratch)
    }

    /// Whether reading so little shows that there is no more for now.
    pub(super) fn is_emptied_by(&self, count: usize, scratch: &[u8]) -> bool {
        count < scratch.len() && self.socket.is_emptied_by_short_reads()
    }

    /// How to understand what it sends.
    pub(super) fn speaks(&self) -> Speaks {
        match self.phase {
            Phase::Request { .. } => Speaks::Http,
            Phase::Open { .. } => Speaks::WebSocket,
            Phase::Stream { .. } => Speaks::EventStream,
            Phase::Closing(_) => Speaks::NoMore,
        }
    }

    /// Whether what it sends next is better left in its socket until it has taken more of the answers. One read of a
    /// WebSocket's shortest messages is answered with less than seven eighths of the default limit.
    pub(super) fn must_pause(&self, limits: &Limits) -> bool {
        let most = match self.phase {
            Phase::Request { .. } => PIPELINED_BYTES.min(limits.outbox_bytes),
            Phase::Open { .. } => limits.outbox_bytes / 8,
            Phase::Stream { .. } | Phase::Closing(_) => return false,
        };
        self.outbox.queued_bytes() >= most
    }

    /// The requests so far, while it speaks HTTP.
    pub(super) fn requests(&mut self) -> Option<&mut RequestBuffer> {
        match &mut self.phase {
            Phase::Request { buffer, .. } => Some(buffer),
            _ => None,
        }
    }

    /// Takes a request back that cannot be answered yet: it comes next again.
    pub(super) fn put_back(&mut self, request: Box<Request>) {
        if let Some(requests) = self.requests() {
            requests.put_back(request);
        }
    }

    /// The next event in `input`; `None` once it is used up.
    pub(super) fn next_event(
        &mut self,
        input: &mut &[u8],
        rules: &Rules,
        inflater: &mut Inflater,
    ) -> Option<Event> {
        match &mut self.phase {
            Phase::Open { session, .. } => session.next(input, rules, inflater, &mut self.outbox),
            _ => None,
        }
    }

    /// Queues a response, and the end of the connection behind it unless it is kept alive.
    pub(super) fn respond(&mut self, response: Response, exchange: &Exchange, now: Now, limits: &Limits) {
        if self.speaks() != Speaks::Http {
            return;
        }
        let (head, body) = response.encode(exchange);
        for part in [head, body].into_iter().filter(|part| !part.is_empty()) {
            self.outbox.push_unbounded(part);
        }
        if !exchange.keep_alive {
            return self.end(Ending::Answered, now);
        }
        if let Phase::Request { served, .. } = &mut self.phase {
            *served = true;
            self.expires = Some(now + limits.keep_alive);
        }
    }

    /// Refuses a request that cannot be answered, and ends. It may be a page of another origin that is told so.
    pub(super) fn refuse(
        &mut self,
        refusal: Refusal,
        shared_with: Option<Box<str>>,
        now: Now,
        limits: &Limits,
    ) {
        let (status, what) = refusal.status();
        let exchange = Exchange::last(now.wall, shared_with);
        self.respond(Response::error(status, &what), &exchange, now, limits);
    }

    /// A request has begun that follows another: it has as long as a first one.
    pub(super) fn expect_head(&mut self, by: Instant) {
        if let Phase::Request { served, .. } = &mut self.phase
            && std::mem::take(served)
        {
            self.expires = Some(by);
        }
    }

    /// Becomes a WebSocket, whose messages may be compressed or not; gives back the bytes that came behind the handshake.
    pub(super) fn open(
        &mut self,
        response: Bytes,
        compression: Option<Compression>,
        first_ping: Option<Instant>,
    ) -> Vec<u8> {
        let open = Phase::Open { session: Session::new(compression), pinged: None, ahead: 0 };
        let Phase::Request { buffer, .. } = std::mem::replace(&mut self.phase, open) else {
            unreachable!("only a request can be upgraded");
        };
        self.outbox.push_unbounded(response);
        // No frame, not even a close, means anything before the 101 and the responses ahead of it.
        self.outbox.promise();
        self.expires = first_ping;
        self.is_client = true;
        buffer.into_rest()
    }

    /// Tells a peer that waits before it sends the body to go on: it has as long as for a head.
    pub(super) fn go_on(&mut self, by: Instant) {
        self.expect_head(by);
        self.outbox.push_unbounded(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"));
    }

    /// Queues a frame for a WebSocket. A peer too slow to take it is ended.
    pub(super) fn send(&mut self, frame: Frame, now: Now, limits: &Limits) {
        if self.speaks() == Speaks::WebSocket
            && self.outbox.push(frame.into_bytes(), limits.outbox_bytes).is_err()
        {
            self.end(Ending::TooSlow, now);
        }
    }

    /// Begins the ending; only the first one counts. The peer is told behind what it has begun to receive.
    pub(super) fn end(&mut self, ending: Ending, now: Now) {
        if self.speaks() == Speaks::NoMore {
            return;
        }
        match ending.keeps_queue() {
            true => self.send_last_chunk(),
            false => self.outbox.abandon(),
        }
        if let Some(close) = ending.close_frame()
            && self.speaks() == Speaks::WebSocket
        {
            self.outbox.push_unbounded(close.into_bytes());
        }
        // A response may take its time as long as it makes progress. What TLS itself has still to say may not.
        let is_response = ending == Ending::Answered && !self.outbox.is_empty();
        self.expires = (!is_response).then(|| now + LINGER);
        self.phase = Phase::Closing(Box::new(Closing::new(ending, self.is_stream(), now)));
        if ending == Ending::SocketFailed {
            self.give_up();
        }
    }

    /// The peer has ended its side of the stream. It may still read: what it has sent before is answered, and what it was
    /// promised to be brought is.
    pub(super) fn on_finished(&mut self, now: Now) {
        let counts = self.has_finished_asking() && self.replay.is_none();
        match self.speaks() {
            Speaks::NoMore => {}
            _ if !counts => return,
            Speaks::Http if !self.outbox.is_empty() => self.end(Ending::Answered, now),
            Speaks::Http | Speaks::WebSocket | Speaks::EventStream => self.end(Ending::Gone, now),
        }
        if let Phase::Closing(closing) = &mut self.phase {
            closing.peer_finished = true;
        }
    }

    /// The socket is dead, or not worth waiting for any longer: nothing more is sent or heard.
    pub(super) fn give_up(&mut self) {
        self.outbox.clear();
        if let Phase::Closing(closing) = &mut self.phase {
            (closing.told, closing.given_up) = (true, true);
        }
    }

    /// Writes what the socket takes; behind the last word of an ending it ends our side of the stream.
    pub(super) fn flush(&mut self, now: Now, limits: &Limits) {
        let queued_bytes = self.outbox.queued_bytes();
        let flushed = self.outbox.flush_to(&mut self.socket, now.instant);
        let written = u32::try_from(queued_bytes - self.outbox.queued_bytes()).unwrap_or(u32::MAX);
        self.in_flight = self.in_flight.saturating_add(written);
        if let (Phase::Stream { sent, .. }, 1..) = (&mut self.phase, written) {
            *sent = now.instant;
        }
        match flushed {
            Ok(Flush::Blocked) => return self.on_blocked(now),
            Ok(Flush::Emptied { pace }) => self.on_emptied(pace, now, limits),
            Err(_) => {
                self.end(Ending::SocketFailed, now);
                return self.give_up();
            }
        }
        if let Phase::Closing(closing) = &mut self.phase
            && !closing.told
        {
            match self.socket.finish() {
                Ok(()) => closing.told = true,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.give_up(),
            }
            self.expires = Some(now + LINGER);
            self.look();
        }
    }

    /// Bytes and messages that wait.
    pub(super) fn queued(&self) -> (usize, usize) {
        let pieces = if self.is_stream() { 2 } else { 1 };
        (self.outbox.queued_bytes(), self.outbox.queued_messages().div_ceil(pieces))
    }

    /// Whether the peer takes nothing at the moment; the next event announces that it does.
    pub(super) fn is_stalled(&self) -> bool {
        self.outbox.stalled_since().is_some() || self.socket.has_unsent()
    }

    /// Whether settling it would change something: there is room to write into, or an ending to carry on.
    pub(super) fn wants_settling(&self) -> bool {
        self.ending().is_some()
            || self.socket.has_unsent()
            || !self.outbox.is_empty() && self.outbox.stalled_since().is_none()
    }

    /// Whether it is between two requests.
    pub(super) fn is_idle_http(&self) -> bool {
        !self.awaited.any()
            && matches!(&self.phase, Phase::Request { buffer, served: true, .. } if buffer.is_empty())
    }

    /// How it ends, once it does.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.closing().map(|closing| closing.ending)
    }
}

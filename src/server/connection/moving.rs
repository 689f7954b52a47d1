//! A connection as it is handed over to another process, and as one that was handed over goes on.

use bytes::Bytes;

use super::{Connection, Phase, Sender, Standing};
use crate::http::door::Door;
use crate::policy::addresses::Address;
use crate::server::socket::{Handshake, Socket};
use crate::wire::extensions::Compression;
use crate::wire::handover::Damaged;
use crate::wire::handover::record::{self, EventStream, Http, Piece, Proxy, Record, WebSocket};
use crate::wire::handover::times::Moment;
use crate::wire::outbox::Outbox;
use crate::wire::request_buffer::RequestBuffer;
use crate::wire::websocket::Session;

impl<S: Socket> Connection<S> {
    /// Its socket.
    pub(in crate::server) fn its_socket(&self) -> &S {
        &self.socket
    }

    /// Its socket, to be registered or not.
    pub(in crate::server) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Whether it can be handed over as it stands: it is not about to end, nor in the midst of a request.
    pub(in crate::server) fn can_move(&self) -> bool {
        !self.awaited.any()
            && self.socket.can_move()
            && match &self.phase {
                Phase::Request { buffer, .. } => buffer.is_between_bodies(),
                Phase::Open { .. } | Phase::Stream { .. } => true,
                Phase::Closing(_) => false,
            }
    }

    /// Whether it waits for an answer that others give.
    pub(in crate::server) fn awaits_answer(&self) -> bool {
        self.awaited.any()
    }

    /// What is still to be written to it.
    pub(in crate::server) fn queue(&self) -> impl Iterator<Item = &Bytes> {
        self.outbox.frames()
    }

    /// Whether more of a request has to come, or of a handshake.
    pub(in crate::server) fn is_half_read(&self) -> bool {
        self.socket.handshake() == Handshake::UnderWay
            || matches!(&self.phase, Phase::Request { buffer, .. } if !buffer.is_between_bodies())
    }

    /// How much it is in the midst of: half of a message or a request, and what it has not taken but for what others have not,
    /// either.
    pub(in crate::server) fn bytes_to_move(&self, is_shared: impl Fn(&Bytes) -> bool) -> usize {
        let read = match &self.phase {
            Phase::Request { buffer, .. } => buffer.unread_bytes(),
            Phase::Open { session, .. } => session.unfinished_bytes(),
            Phase::Stream { .. } | Phase::Closing(_) => 0,
        };
        read + self.socket.bytes_to_move()
            + self.queue().filter(|octets| !is_shared(octets)).map(Bytes::len).sum::<usize>()
    }

    /// How it stands, if it can be handed over so. What others know of it is not in it. `piece` says how what is still to be
    /// written to it is written.
    ///
    /// # Errors
    /// Those of `piece`.
    pub(in crate::server) fn pack<E>(
        &self,
        at: Moment,
        piece: impl FnMut(&Bytes) -> Result<Piece, E>,
    ) -> Result<Option<Record>, E> {
        let phase = match &self.phase {
            _ if self.awaited.any() || !self.socket.can_move() => None,
            Phase::Request { buffer, served, sender } => buffer.pack().map(|http| {
                record::Phase::Http(Http { served: *served, proxy: pack_sender(*sender), ..http })
            }),
            Phase::Open { session, pinged, ahead } => Some(record::Phase::WebSocket(WebSocket {
                compression: session.compression().map(Compression::pack),
                unfinished: session.unfinished(),
                pinged: pinged.map(|pinged| at.monotonic(pinged)),
                ahead: *ahead,
            })),
            Phase::Stream { sent, is_chunked } => Some(record::Phase::EventStream(EventStream {
                sent: at.monotonic(*sent),
                is_chunked: *is_chunked,
            })),
            Phase::Closing(_) => None,
        };
        let Some(phase) = phase else { return Ok(None) };
        Ok(Some(Record {
            expires: self.expires.map(|expires| at.monotonic(expires)),
            in_flight: self.in_flight,
            reads_until: self.reads_until.as_deref().map(|until| at.monotonic(*until)),
            outbox: self.outbox.pack(at, piece)?,
            address: self.address.map(Address::number),
            standing: match self.standing {
                Standing::Uncounted => None,
                Standing::Counted => Some(record::Standing::Counted),
                Standing::Refused => Some(record::Standing::Refused),
                Standing::RefusedRequest => Some(record::Standing::RefusedRequest),
            },
            publishes: self.publishes,
            is_admin: self.door == Door::Admin,
            redirects: self.door == Door::Redirect,
            tls: self.socket.pack(),
            ..Record::of(phase)
        }))
    }

    /// One that goes on as it stood.
    ///
    /// # Errors
    /// When none can stand so.
    pub(in crate::server) fn unpack(
        record: Record,
        socket: S,
        at: Moment,
        shared: &[Bytes],
    ) -> Result<Self, Damaged> {
        let door = Self::door_of(&record);
        let outbox = record.outbox.map(|outbox| Outbox::unpack(outbox, at, shared)).transpose()?;
        let address = record.address.map(|number| Address::from_number(number).ok_or(Damaged)).transpose()?;
        let phase = match record.phase {
            record::Phase::Http(http) => Phase::Request {
                served: http.served,
                sender: unpack_sender(http.proxy.as_ref())?,
                buffer: Box::new(RequestBuffer::unpack(http)),
            },
            record::Phase::WebSocket(websocket) => Phase::Open {
                session: Session::resumed(
                    websocket.compression.map(Compression::unpack).transpose()?,
                    websocket.unfinished,
                )?,
                pinged: websocket.pinged.map(|pinged| at.instant(pinged)),
                ahead: websocket.ahead,
            },
            record::Phase::EventStream(EventStream { sent, is_chunked }) => {
                Phase::Stream { sent: at.instant(sent), is_chunked }
            }
        };
        let mut connection = Self::new(socket, at.instant);
        connection.is_client = matches!(phase, Phase::Open { .. } | Phase::Stream { .. });
        connection.expires = record.expires.map(|expires| at.instant(expires));
        connection.phase = phase;
        connection.in_flight = record.in_flight;
        connection.reads_until = record.reads_until.map(|until| Box::new(at.instant(until)));
        connection.outbox = outbox.unwrap_or_default();
        connection.standing = match record.standing.filter(|_| address.is_some()) {
            None => Standing::Uncounted,
            Some(record::Standing::Counted) => Standing::Counted,
            Some(record::Standing::Refused) => Standing::Refused,
            Some(record::Standing::RefusedRequest) => Standing::RefusedRequest,
        };
        connection.address = address;
        connection.publishes = record.publishes;
        connection.door = door;
        Ok(connection)
    }

    /// Where one has come in.
    pub(in crate::server) fn door_of(record: &Record) -> Door {
        match (record.is_admin, record.redirects) {
            (true, _) => Door::Admin,
            (false, true) => Door::Redirect,
            (false, false) => Door::Public,
        }
    }
}

fn pack_sender(sender: Sender) -> Option<Proxy> {
    let proxy = |address: Option<std::net::IpAddr>, is_unannounced| Proxy {
        address: address.map(|address| address.to_string()),
        is_unannounced,
    };
    match sender {
        Sender::Client => None,
        Sender::Proxy(address) => Some(proxy(address, false)),
        Sender::Unannounced(address) => Some(proxy(address, true)),
    }
}

fn unpack_sender(proxy: Option<&Proxy>) -> Result<Sender, Damaged> {
    let Some(proxy) = proxy else { return Ok(Sender::Client) };
    let address = proxy.address.as_deref().map(str::parse).transpose().map_err(|_| Damaged)?;
    Ok(if proxy.is_unannounced { Sender::Unannounced(address) } else { Sender::Proxy(address) })
}

//! One connection of `listen`: from the handshake to the welcome, then what comes, until it ends or is to be left for another.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message as Frame, WebSocket};

use super::Message;
use crate::process::commands::far_end::{Failure, FarEnd, Line, PATIENCE, refusal};
use crate::server::clock::Now;

/// How often a server pings that does not say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// What is added to two pings before a server counts as gone.
const GRACE: Duration = Duration::from_secs(5);

/// A connection that has been welcomed.
pub(super) struct Session {
    socket: WebSocket<Line>,
    heard_at: Instant,
    silence: Duration,
    /// Whether the server was asked for a sign of life since.
    is_asked: bool,
    moves_at: Option<Instant>,
    token_may_change: bool,
}

/// What came.
pub(super) enum Heard {
    /// Nothing that matters here.
    Nothing,
    /// A message.
    Text(String),
}

/// How a connection has ended.
pub(super) enum Ended {
    /// It is of use to come back.
    Return(String),
    /// It is of use to come back later.
    BackOff(String),
    /// It is of no use.
    Stop(String),
}

impl Session {
    /// Connects, and waits for the welcome.
    pub(super) fn open(
        far_end: &FarEnd,
        topics: &[String],
        place: Option<&str>,
    ) -> Result<(Self, Message<'static>), Failure> {
        let url = &far_end.reach().url;
        let mut query: Vec<String> = topics
            .iter()
            .map(|topic| format!("topic={}", utf8_percent_encode(topic, NON_ALPHANUMERIC)))
            .collect();
        query.extend(place.map(|id| format!("last_event_id={}", utf8_percent_encode(id, NON_ALPHANUMERIC))));
        // The scheme is that of what is spoken inside; TLS is beneath.
        let target = format!("ws://{}{}/ws?{}", url.authority, url.prefix, query.join("&"));
        let unusable =
            |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot ask for {target}: {why}"));
        let mut request = target.as_str().into_client_request().map_err(|why| unusable(&why))?;
        let agent = HeaderValue::from_static(concat!("slackwater/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert("User-Agent", agent);
        if let Some(token) = far_end.token()? {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.reveal())).map_err(|why| unusable(&why))?;
            value.set_sensitive(true);
            request.headers_mut().insert("Authorization", value);
        }
        let line = far_end.dial()?;
        let (mut socket, _) = tungstenite::client(request, line).map_err(no_handshake)?;
        let until = Now::read().instant + PATIENCE;
        loop {
            let text = match socket.read() {
                Ok(Frame::Text(text)) => text,
                Ok(Frame::Close(frame)) => return Err(closed_early(frame.as_ref())),
                Ok(_) if Now::read().instant < until => continue,
                Ok(_) => return Err(Failure::Unreachable("the server sends no welcome".to_owned())),
                Err(why) => return Err(Failure::Unreachable(format!("the server sends no welcome: {why}"))),
            };
            let Some(welcome) = Message::welcome(&text) else {
                return Err(Failure::Refused(
                    "the server sends something else than a welcome: is this a Slackwater server?".to_owned(),
                ));
            };
            let interval = welcome.ping_interval_ms.map_or(PING_INTERVAL, Duration::from_millis);
            let session = Self {
                socket,
                heard_at: Now::read().instant,
                silence: interval.saturating_mul(2).saturating_add(GRACE),
                is_asked: false,
                moves_at: None,
                token_may_change: far_end.reach().token_file.is_some(),
            };
            return Ok((session, welcome));
        }
    }

    /// What comes within this time.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Heard, Ended> {
        let lost = |why: &dyn std::fmt::Display| Ended::Return(format!("The connection was lost: {why}"));
        self.socket.get_ref().wait_at_most(wait).map_err(|why| lost(&why))?;
        match self.socket.read() {
            Ok(Frame::Close(frame)) => {
                let ended = self.closed(frame.as_ref());
                // What is owed is the answer to the close.
                let _ = self.socket.flush();
                Err(ended)
            }
            Ok(frame) => {
                self.heard_at = Now::read().instant;
                self.is_asked = false;
                match frame {
                    Frame::Text(text) => Ok(Heard::Text(text.as_str().to_owned())),
                    _ => Ok(Heard::Nothing),
                }
            }
            Err(Error::Io(why))
                if matches!(
                    why.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                let silent_for = self.heard_at.elapsed();
                if silent_for > self.silence {
                    return Err(lost(&"nothing came for too long"));
                }
                // A server may have been told to ping nobody.
                if silent_for > self.silence / 2 && !self.is_asked {
                    self.is_asked = true;
                    self.socket.send(Frame::Ping(Vec::new().into())).map_err(|why| lost(&why))?;
                }
                Ok(Heard::Nothing)
            }
            Err(why) => Err(lost(&why)),
        }
    }

    /// Another connection is to be opened in its place, in so much time.
    pub(super) fn move_after(&mut self, wait: Duration) {
        self.moves_at = Now::read().instant.checked_add(wait);
    }

    /// Whether that time has come.
    pub(super) fn is_to_move(&self) -> bool {
        self.moves_at.is_some_and(|at| at <= Now::read().instant)
    }

    /// Ends it. What still comes is for nobody.
    pub(super) fn leave(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.socket.close(Some(goodbye));
        let _ = self.socket.flush();
    }

    fn closed(&self, frame: Option<&CloseFrame>) -> Ended {
        let Some(frame) = frame else { return Ended::Return("The server closed the connection".to_owned()) };
        let code = u16::from(frame.code);
        let why = said(frame);
        match code {
            1002 | 1003 | 1007..=1009 | 4500..=4999 => Ended::Stop(why),
            1011 | 1013 => Ended::BackOff(why),
            4004 if !self.token_may_change => Ended::Stop("the token has expired".to_owned()),
            _ => Ended::Return(why),
        }
    }
}

impl Message<'_> {
    /// The welcome, for longer than its text.
    fn welcome(text: &str) -> Option<Message<'static>> {
        let welcome: Message<'_> = serde_json::from_str(text).ok()?;
        (welcome.kind == "welcome").then_some(Message { data: None, ..welcome })
    }
}

fn said(frame: &CloseFrame) -> String {
    let reason = super::clean(&frame.reason);
    format!("The server closed the connection with {}: {reason}", u16::from(frame.code))
}

fn closed_early(frame: Option<&CloseFrame>) -> Failure {
    let why = frame.map_or_else(|| "the server closed the connection".to_owned(), said);
    Failure::Busy(why, 1)
}

fn no_handshake<S: tungstenite::handshake::HandshakeRole>(error: HandshakeError<S>) -> Failure {
    match error {
        HandshakeError::Failure(Error::Http(response)) => {
            let field = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let retry_after = field("retry-after").and_then(|seconds| seconds.parse().ok());
            let body = response.body().as_deref().unwrap_or_default();
            refusal(response.status().as_u16(), field("location"), retry_after, body)
        }
        HandshakeError::Failure(Error::Io(why)) => {
            Failure::Unreachable(format!("no answer to the opening handshake: {why}"))
        }
        HandshakeError::Failure(why) => Failure::Refused(format!("no WebSocket there: {why}")),
        HandshakeError::Interrupted(_) => {
            Failure::Unreachable("no answer to the opening handshake".to_owned())
        }
    }
}

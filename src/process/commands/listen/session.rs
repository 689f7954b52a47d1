//! One connection of `listen`: from the handshake to the welcome, then what comes, until it ends or is to be left for another.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Error, Message as Frame, WebSocket};

use super::Message;
use crate::process::commands::exchange::Answer;
use crate::process::commands::far_end::{Failure, FarEnd, Line, PATIENCE};
use crate::server::clock::Now;

/// How often a server pings that does not say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// What is added to two pings before a server counts as gone.
const GRACE: Duration = Duration::from_secs(5);

/// How long a server that does not read keeps whoever leaves.
const GOODBYE: Duration = Duration::from_secs(1);

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
    /// Connects, and waits for the welcome, until then.
    pub(super) fn open(
        far_end: &FarEnd,
        topics: &[String],
        place: Option<&str>,
        until: Instant,
    ) -> Result<(Self, Message<'static>), Failure> {
        let mut query: Vec<String> = topics
            .iter()
            .map(|topic| format!("topic={}", utf8_percent_encode(topic, NON_ALPHANUMERIC)))
            .collect();
        query.extend(place.map(|id| format!("last_event_id={}", utf8_percent_encode(id, NON_ALPHANUMERIC))));
        let key = generate_key();
        let head = format!(
            "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            far_end.head("GET", &format!("/ws?{}", query.join("&")))?
        );
        let mut line = far_end.dial(until)?;
        let mut answer = far_end.ask(&mut line, &head, b"")?;
        if answer.status != 101 {
            // The status says enough where the rest does not come.
            let body = far_end.body(&mut line, &mut answer).unwrap_or_default();
            return Err(match (answer.status, far_end.refusal(&answer, &body)) {
                (200, _) => Failure::Refused(
                    "the server answers 200 in place of a WebSocket: is this a Slackwater server?".to_owned(),
                ),
                (426, Failure::Refused(why)) => Failure::Refused(format!(
                    "{why}; a proxy in between that lets no WebSocket through brings this about, too"
                )),
                (_, failure) => failure,
            });
        }
        if !agrees(&answer, &key) {
            return Err(Failure::Refused(
                "the server agrees to something else than the WebSocket that it was asked for: is this a Slackwater server?".to_owned(),
            ));
        }
        let mut socket = WebSocket::from_partially_read(line, answer.rest, Role::Client, None);
        loop {
            let text = match socket.read() {
                Ok(Frame::Text(text)) => text,
                Ok(Frame::Close(frame)) => return Err(closed_early(frame.as_ref())),
                Ok(_) => continue,
                Err(why) => {
                    return Err(Failure::Unreachable(format!(
                        "the server sends no welcome: {}",
                        in_words(&why)
                    )));
                }
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
        let lost = |why: &str| Ended::Return(format!("The connection was lost: {why}"));
        self.wait_at_most(wait);
        match self.socket.read() {
            Ok(Frame::Close(frame)) => {
                let ended = self.closed(frame.as_ref());
                self.wait_at_most(GOODBYE);
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
            Err(Error::Io(why)) if matches!(why.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                let silent_for = self.heard_at.elapsed();
                if silent_for > self.silence {
                    return Err(lost("nothing came for too long"));
                }
                // A server may have been told to ping nobody.
                if silent_for > self.silence / 2 && !self.is_asked {
                    self.is_asked = true;
                    self.wait_at_most(PATIENCE);
                    self.socket.send(Frame::Ping(Vec::new().into())).map_err(|why| lost(&in_words(&why)))?;
                }
                Ok(Heard::Nothing)
            }
            // It would come again.
            Err(why @ Error::Capacity(_)) => Err(Ended::Stop(in_words(&why))),
            Err(why) => Err(lost(&in_words(&why))),
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
        self.wait_at_most(GOODBYE);
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.socket.close(Some(goodbye));
        let _ = self.socket.flush();
    }

    /// Bounds what is read and written next, all together.
    fn wait_at_most(&mut self, wait: Duration) {
        self.socket.get_mut().wait_until(Now::read().instant + wait);
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

/// Whether it is the WebSocket that was asked for with this key, and nothing more (RFC 6455 §4.1).
fn agrees(answer: &Answer, key: &str) -> bool {
    answer.says("upgrade", "websocket")
        && answer.says("connection", "upgrade")
        && answer.field("sec-websocket-accept") == Some(&*derive_accept_key(key.as_bytes()))
        && answer.field("sec-websocket-extensions").is_none()
        && answer.field("sec-websocket-protocol").is_none()
}

/// What has become of a connection, for people.
fn in_words(why: &Error) -> String {
    match why {
        Error::Io(why) if why.kind() == ErrorKind::TimedOut => "nothing came in time".to_owned(),
        Error::Io(why) => why.to_string(),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "it ended without a close frame, as where a process or a proxy is killed".to_owned()
        }
        Error::Capacity(_) => "a message came that is too long to be taken".to_owned(),
        _ => "something came that no WebSocket may carry (RFC 6455)".to_owned(),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

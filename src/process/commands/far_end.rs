//! The server that `publish` and `listen` speak to: how it is reached, by TCP, a Unix socket or TLS, and what it is shown. Every wait
//! is bounded.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use super::{fail, tell};
use crate::config::command::reach::Reach;
use crate::config::secret::Secret;
use crate::process::secrets;

#[cfg(feature = "tls")]
use self::trust::Trust;

#[cfg(feature = "tls")]
mod trust;

/// How long the server may take to be reached, and to say something.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is nothing more to be done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or a file, says no.
    Refused(String),
    /// The command line asks for what cannot be.
    Usage(String),
    /// The server is not there, or does not answer. To try again may help.
    Unreachable(String),
    /// The server has no time now, and may have in so many seconds.
    Busy(String, u64),
    /// Nobody reads what is printed.
    Unread,
}

impl Failure {
    /// Says what has failed, and ends.
    pub(super) fn end(self) -> ExitCode {
        match self {
            Self::Refused(why) => fail(1, why),
            Self::Usage(why) => fail(2, why),
            Self::Unreachable(why) | Self::Busy(why, _) => fail(3, why),
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

/// How a server is reached.
#[derive(Debug)]
pub(super) struct FarEnd {
    reach: Reach,
    #[cfg(feature = "tls")]
    trust: Option<Trust>,
}

impl FarEnd {
    /// By what the command line says.
    ///
    /// # Errors
    /// When TLS is asked for and cannot be spoken.
    pub(super) fn new(reach: Reach) -> Result<Self, Failure> {
        if let Some(path) = &reach.token_file {
            secrets::of_readers("token", path).iter().for_each(tell);
        }
        #[cfg(feature = "tls")]
        {
            let trust = reach.url.is_secured.then(|| Trust::open(reach.ca_file.as_deref())).transpose();
            let trust = trust.map_err(|why| Failure::Refused(reach.sources.locate(&why)))?;
            Ok(Self { trust, reach })
        }
        #[cfg(not(feature = "tls"))]
        match reach.url.is_secured {
            false => Ok(Self { reach }),
            true => Err(Failure::Usage(
                "this program was built without TLS: give --url with http://, or build it with the feature tls".to_owned(),
            )),
        }
    }

    /// What is asked for there.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub(super) fn token(&self) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.reach.token_file else { return Ok(self.reach.token.clone()) };
        secrets::read_shown_token(path).map(Some).map_err(|why| {
            let why = self.reach.sources.locate(&why.to_string());
            Failure::Refused(why)
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) fn dial(&self) -> Result<Line, Failure> {
        let line = self.connect().map_err(|why| {
            let place = match &self.reach.uds {
                Some(path) => path.display().to_string(),
                None => self.reach.url.shown(),
            };
            Failure::Unreachable(format!("cannot reach {place}: {why}"))
        })?;
        self.secure(line)
    }

    fn connect(&self) -> io::Result<Line> {
        if let Some(path) = &self.reach.uds {
            let line = Line::Unix(UnixStream::connect(path)?);
            line.wait_at_most(PATIENCE)?;
            return Ok(line);
        }
        let url = &self.reach.url;
        let mut last = io::Error::other("the name has no address");
        for address in (url.host.as_str(), url.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    let line = Line::Tcp(stream);
                    line.wait_at_most(PATIENCE)?;
                    return Ok(line);
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    #[cfg(feature = "tls")]
    fn secure(&self, line: Line) -> Result<Line, Failure> {
        match (&self.trust, line) {
            (Some(trust), Line::Tcp(stream)) => trust.secure(stream, &self.reach.url.host),
            (_, line) => Ok(line),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)] // As where there is TLS.
    fn secure(&self, line: Line) -> Result<Line, Failure> {
        Ok(line)
    }
}

/// A connection to the server.
#[derive(Debug)]
pub(super) enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Line {
    /// Bounds how long a read, and a write, may take; not for ever, and not for no time at all.
    pub(super) fn wait_at_most(&self, wait: Duration) -> io::Result<()> {
        let wait = Some(wait.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(wait).and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(wait).and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream
                .sock
                .set_read_timeout(wait)
                .and_then(|()| stream.sock.set_write_timeout(Some(PATIENCE))),
        }
    }
}

impl Read for Line {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(room),
            Self::Unix(stream) => stream.read(room),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// What a server says is wrong, in the JSON of its answer; of anybody else's answer nothing is shown.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let why = answer.get("error")?.as_str()?;
    Some(why.chars().take(1000).map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// What a status means that is no success.
pub(super) fn refusal(status: u16, location: Option<&str>, retry_after: Option<u64>, body: &[u8]) -> Failure {
    let why = reason(body).unwrap_or_else(|| "it gives no reason: is this a Slackwater server?".to_owned());
    match status {
        301 | 302 | 307 | 308 => {
            let place: String =
                location.unwrap_or("another address").chars().filter(|c| !c.is_control()).take(200).collect();
            Failure::Refused(format!("the server is elsewhere: give its address with --url, {place}"))
        }
        429 | 502 | 503 | 504 => {
            Failure::Busy(format!("the server answers {status}: {why}"), retry_after.unwrap_or(1))
        }
        _ => Failure::Refused(format!("the server answers {status}: {why}")),
    }
}

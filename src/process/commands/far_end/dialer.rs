//! How a server is reached, whoever asks: where it is, what its connections begin with, and who has to vouch for it.

use std::io::{self, Write};
use std::time::Instant;

use super::bounded::Bounded;
use super::line::Line;
#[cfg(feature = "tls")]
use super::trust::Terms;
use super::{Failure, Trust};
use crate::config::Place;

/// Opens connections to one server.
#[derive(Debug)]
pub(in crate::process::commands) struct Dialer {
    at: Place,
    #[cfg(feature = "tls")]
    terms: Option<Terms>,
    /// Whether each connection has to begin as the PROXY protocol has it.
    is_announced: bool,
}

impl Dialer {
    /// To a server there; by TLS if it is said who has to vouch for it.
    ///
    /// # Errors
    /// When TLS cannot be spoken.
    pub(in crate::process::commands) fn new(
        at: Place,
        trust: Option<Trust>,
        is_announced: bool,
    ) -> Result<Self, Failure> {
        #[cfg(feature = "tls")]
        {
            let host = match &at {
                Place::Ip(host, _) => host,
                Place::Path(_) => "localhost",
            };
            let terms = trust.map(|trust| Terms::new(trust, host)).transpose()?;
            Ok(Self { at, terms, is_announced })
        }
        #[cfg(not(feature = "tls"))]
        trust.map_or(Ok(Self { at, is_announced }), |_| {
            Err(Failure::Usage(
                "this program was built without TLS: give --url with http://, or build it with the feature tls".to_owned(),
            ))
        })
    }

    /// Connects. All that is waited for, now and on the connection, ends then.
    ///
    /// # Errors
    /// Why there is no connection; `InvalidData` where another attempt would fare no better.
    pub(in crate::process::commands) fn dial(&self, until: Instant) -> io::Result<Line> {
        let mut socket = Bounded::connect(&self.at, until)?;
        if self.is_announced {
            // The specification of the PROXY protocol, §2.1: whoever asks for its own sake.
            socket.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        #[cfg(feature = "tls")]
        if let Some(terms) = &self.terms {
            return Ok(Line::Tls(Box::new(terms.secure(socket)?)));
        }
        Ok(Line::Plain(socket))
    }
}

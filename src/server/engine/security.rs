//! In what way a connection to the engine is made: by its socket alone, or by TLS. Opens none, and decides nothing.

#[cfg(feature = "tls")]
mod trust;

#[cfg(feature = "tls")]
use self::trust::Trust;
use crate::config::engine::EngineFlags;
use crate::server::certificate::CertificateError;
use crate::server::socket::Stream;
use crate::server::transport::Transport;

/// The way that the configuration names.
#[derive(Debug)]
pub struct EngineSecurity {
    #[cfg(feature = "tls")]
    trust: Option<Trust>,
}

impl EngineSecurity {
    /// Reads what is needed for it.
    ///
    /// # Errors
    /// What is wrong with which file, and the mend.
    #[cfg(feature = "tls")]
    pub fn open(flags: &EngineFlags) -> Result<Self, CertificateError> {
        Ok(Self { trust: Trust::open(flags)? })
    }

    /// There is but one where TLS was left out of the program.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "tls"))]
    pub fn open(_: &EngineFlags) -> Result<Self, CertificateError> {
        Ok(Self {})
    }

    /// Goes on by a socket to this host in this way.
    ///
    /// # Errors
    /// Why that cannot be.
    #[cfg(feature = "tls")]
    pub fn apply(&mut self, socket: Stream, host: &str) -> Result<Transport<Stream>, String> {
        match &mut self.trust {
            Some(trust) => Ok(Transport::TlsClient(Box::new(trust.secure(socket, host)?))),
            None => Ok(Transport::Plain(socket)),
        }
    }

    /// The same.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "tls"))]
    pub fn apply(&mut self, socket: Stream, _: &str) -> Result<Transport<Stream>, String> {
        Ok(Transport::Plain(socket))
    }
}

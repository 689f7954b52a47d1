//! The files that are looked at while a server serves: those with the keys of tokens and with the certificate. What has changed
//! in them holds for whoever comes from then on.

use std::time::Instant;

use crate::config::Config;
use crate::http::keys::VerifyingKeys;
use crate::server::StartError;
use crate::server::certificate::CertificateFile;
use crate::server::clock::Now;
use crate::server::doors::Doors;
use crate::server::key_file::KeyFile;
use crate::server::socket::Stream;
use crate::server::transport::{Security, Transport};
use crate::server::turn::Turn;

pub mod keeper;

/// Those there are.
#[derive(Debug)]
pub(super) struct Lookout {
    keys: Option<KeyFile>,
    certificate: Option<CertificateFile>,
    /// Whether operators are shown the certificate, too.
    secures_admin: bool,
}

impl Lookout {
    /// Reads those of this configuration: the keys by which tokens are verified, if they are, and the files.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(super) fn begin(config: &Config, now: Now) -> Result<(Option<VerifyingKeys>, Self), StartError> {
        let (keys, file) = KeyFile::open_or(&config.auth, &config.last_good, now.instant)?.unzip();
        let certificate = CertificateFile::open_or(&config.ssl, &config.last_good, now)?;
        Ok((keys, Self { keys: file.flatten(), certificate, secures_admin: config.ssl.admin_ssl }))
    }

    /// Has the certificate shown, if there is one, to those who come in.
    pub(super) fn secure(&self, turn: &mut Turn<Transport<Stream>>, doors: &mut Doors) {
        turn.show_certificate(self.certificate.as_ref().and_then(CertificateFile::not_after));
        let security = self.certificate.as_ref().map(Security::from).unwrap_or_default();
        doors.secure(security, self.secures_admin);
    }

    /// When to look at one of them next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let keys = self.keys.as_ref().map(KeyFile::next_look);
        let certificate = self.certificate.as_ref().map(CertificateFile::next_look);
        keys.into_iter().chain(certificate).min()
    }

    /// Looks at those whose time it is.
    pub(super) fn look(&mut self, now: Now, turn: &mut Turn<Transport<Stream>>, doors: &mut Doors) {
        if let Some(keys) = self.keys.as_mut().and_then(|file| file.look(now.instant)) {
            turn.replace_keys(keys);
        }
        if self.certificate.as_mut().and_then(|file| file.look(now)).is_some() {
            self.secure(turn, doors);
        }
    }
}

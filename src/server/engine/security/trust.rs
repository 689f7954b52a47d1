//! Who has to vouch for the engine, and what it is shown itself: read at the start, and again with a connection once the files have
//! changed. What cannot be used any more changes nothing: it is told of once, and what was read before stays.

use std::path::PathBuf;

use log::{info, warn};
use rustls::pki_types::ServerName;

use crate::config::engine::{Encryption, EngineFlags};
use crate::server::certificate::CertificateError;
use crate::server::certificate::pem::{self, Flaw};
use crate::server::tls_client::TlsClient;
use crate::server::watch::{Content, Named, Watch};
use crate::wire::tls::{Authorities, ClientTerms, TermsError};

/// The files as they were last seen, and what was read there.
#[derive(Debug)]
pub(super) struct Trust {
    files: Files,
    watch: Watch,
    terms: ClientTerms,
}

/// Those that the configuration names.
#[derive(Debug, Clone)]
struct Files {
    /// The system knows some, too.
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    /// In the certificate's without one.
    key: Option<PathBuf>,
}

impl Trust {
    /// What this configuration names; `None` where TLS is not spoken with the engine.
    ///
    /// # Errors
    /// What is wrong with which file, and the mend.
    pub(super) fn open(flags: &EngineFlags) -> Result<Option<Self>, CertificateError> {
        if flags.url.as_ref().is_none_or(|url| url.encryption == Encryption::None) {
            return Ok(None);
        }
        let files = Files {
            authorities: flags.engine_cacert.clone(),
            certificate: flags.engine_cert.clone(),
            key: flags.engine_key.clone(),
        };
        let (watch, terms) = Watch::open(files.named(), |read| files.terms(read))?;
        Ok(Some(Self { files, watch, terms }))
    }

    /// Speaks TLS over a socket to this host.
    ///
    /// # Errors
    /// When no certificate could be this host's, or there is no randomness.
    pub(super) fn secure<S>(&mut self, socket: S, host: &str) -> Result<TlsClient<S>, String> {
        self.look();
        // The dot at the end of a name says that it is whole (RFC 1034 §3.1), and no certificate has it.
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned());
        let name = name.map_err(|_| format!("no certificate can be for a host of the name {host}"))?;
        TlsClient::new(socket, &self.terms, name).map_err(|why| why.to_string())
    }

    /// Whether something else holds from now on.
    fn look(&mut self) -> bool {
        match self.watch.look(|read| self.files.terms(read)) {
            Some(Ok(terms)) => {
                self.terms = terms;
                info!(
                    "Read the certificates for the engine again: they hold for this connection and later ones"
                );
                return true;
            }
            Some(Err(why)) => warn!("Not using what was changed: {why}; what was read before stays"),
            None => {}
        }
        false
    }
}

impl Files {
    fn named(&self) -> Vec<Named> {
        let files = [
            ("--engine-cacert", &self.authorities),
            ("--engine-cert", &self.certificate),
            ("--engine-key", &self.key),
        ];
        files.into_iter().filter_map(|(flag, path)| Some(Named::new(flag, path.as_deref()?))).collect()
    }

    /// Of what was read in them.
    fn terms(&self, read: &[Content]) -> Result<ClientTerms, CertificateError> {
        let mut read = read.iter();
        let authorities = match self.authorities.as_ref().and_then(|_| read.next()) {
            Some((file, octets)) => authorities(octets).map_err(|why| file.fault(&why))?,
            None => system()?,
        };
        let Some((certificate, octets)) = read.next() else {
            return ClientTerms::new(authorities, None)
                .map_err(|why| CertificateError::of("TLS to the engine", &why));
        };
        let (key, key_octets) = read.next().map_or((certificate, octets), |(key, octets)| (key, octets));
        let chain = pem::chain(octets).map_err(|why| certificate.fault(&words(why)))?;
        let (private, _) = pem::private_key(key_octets, None).map_err(|why| key.fault(&words(why)))?;
        ClientTerms::new(authorities, Some((chain, private))).map_err(|why| match why {
            TermsError::Certificate => certificate.fault(&why),
            TermsError::Apart | TermsError::Key => key.fault(&why),
        })
    }
}

fn authorities(octets: &[u8]) -> Result<Authorities, String> {
    const NONE: &str = "there is no certificate in it that can be used: give a file with those of the authorities that vouch for the engine";
    let certificates = pem::chain(octets).map_err(|why| match why {
        Flaw::NoCertificate | Flaw::Request => NONE.to_owned(),
        why => why.to_string(),
    })?;
    Authorities::new(certificates).ok_or_else(|| NONE.to_owned())
}

/// Those that the system trusts, or whoever has set its variables.
fn system() -> Result<Authorities, CertificateError> {
    let found = rustls_native_certs::load_native_certs();
    Authorities::new(found.certs).ok_or_else(|| {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        let mend =
            "install them (ca-certificates), or name those that vouch for the engine with --engine-cacert";
        CertificateError::of("the certificates that the system trusts", &format_args!("{why}; {mend}"))
    })
}

/// What is wrong with a file, in words that fit these flags.
fn words(flaw: Flaw) -> String {
    let words = match flaw {
        Flaw::NoCertificate => {
            "there is no certificate in it: give a file with this server's, followed by those of the authorities in between"
        }
        Flaw::NoKey => {
            "there is no private key in it: give a file with one as --engine-key, or add it to the certificate's"
        }
        Flaw::NoPassword | Flaw::FormerEncryption | Flaw::UnknownEncryption => {
            "the private key in it is encrypted: decrypt a copy with 'openssl pkey -in FILE -out OTHER', and give that"
        }
        flaw => return flaw.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;

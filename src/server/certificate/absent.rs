//! Stands where TLS was left out of the program: there is no certificate, and nothing that a client could be shown. The flags are
//! refused as they are read.

use std::convert::Infallible;
use std::time::Instant;

use jiff::Timestamp;

use crate::config::last_good::LastGood;
use crate::config::ssl::{SslFlags, TicketSecret};
use crate::server::clock::Now;
use crate::server::watch::{Check, Named};

/// There is none.
pub type CertificateError = Infallible;

/// There are none.
#[derive(Debug, Clone)]
pub struct ServerTerms(());

/// There is none.
#[derive(Debug)]
pub enum CertificateFile {}

#[allow(missing_docs)] // As where there is one.
impl CertificateFile {
    #[allow(clippy::missing_errors_doc)]
    pub fn open(_: &SslFlags, _: Now) -> Result<Option<Self>, CertificateError> {
        Ok(None)
    }

    #[allow(clippy::missing_errors_doc)]
    pub fn open_or(_: &SslFlags, _: &LastGood, _: Now) -> Result<Option<Self>, CertificateError> {
        Ok(None)
    }

    pub fn terms(&self) -> ServerTerms {
        match *self {}
    }

    pub fn not_after(&self) -> Option<Timestamp> {
        match *self {}
    }

    pub fn ticket_secret(&self) -> Option<&TicketSecret> {
        match *self {}
    }

    pub fn description(&self) -> String {
        match *self {}
    }

    pub fn warnings(&self, _: Timestamp) -> Vec<String> {
        match *self {}
    }

    pub fn next_look(&self) -> Instant {
        match *self {}
    }

    pub fn look(&mut self, _: Now) -> Option<ServerTerms> {
        match *self {}
    }
}

/// There are none.
pub(super) fn checks(_: &SslFlags) -> Vec<(Vec<Named>, Check)> {
    vec![]
}

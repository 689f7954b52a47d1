//! The certificate that is shown to clients, its key, and what session tickets are made by: read at the start, and again when they
//! have changed. What cannot be used any more changes nothing: it is told of once, and what was read before stays.
//!
//! A certificate and its key may be two files, which are replaced one after the other. While they do not belong together they are
//! looked at again, and those before are shown.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use log::{info, warn};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::time_provider::DefaultTimeProvider;

use self::about::{About, Standing};
use self::pem::Flaw;
use crate::config::last_good::LastGood;
use crate::config::ssl::{SslFlags, TicketSecret};
use crate::server::clock::Now;
use crate::server::regular_file::rights::{of_readers, of_writers};
use crate::server::ticket_secret;
use crate::server::watch::{Check, Content, LOOK_INTERVAL, Named, Opened, Watch};
use crate::wire::tls::{TermsError, Tickets};

mod about;
pub(super) mod pem;

pub use crate::server::watch::FileError as CertificateError;
pub use crate::wire::tls::ServerTerms;

/// Random bytes that tickets are made by. nginx has 48 or 80 of them in such a file.
const TICKET_FILE_BYTES: std::ops::RangeInclusive<usize> = 32..=1024;

/// The files as they were last seen, and what was read there.
#[derive(Debug)]
pub struct CertificateFile {
    flags: SslFlags,
    shown: Shown,
    /// Of the certificate and its key.
    pair: Watch,
    tickets: Arc<Tickets>,
    /// By what these are made, unless that is in a file.
    secret: Option<TicketSecret>,
    ticket_file: Option<Watch>,
    /// As what was last said of how long the certificate is valid.
    standing: Standing,
    /// What was last said of who else can read or change the files, which also changes without what they hold.
    rights: Vec<String>,
    next_look: Instant,
}

/// What clients are shown.
#[derive(Debug)]
struct Shown {
    terms: ServerTerms,
    about: About,
    is_password_in_vain: bool,
}

impl CertificateFile {
    /// What this configuration names; `None` where TLS is not spoken.
    ///
    /// # Errors
    /// What is wrong with which file, and the mend.
    pub fn open(flags: &SslFlags, now: Now) -> Result<Option<Self>, CertificateError> {
        Self::open_or(flags, &LastGood::default(), now)
    }

    /// The same, with what the files held when they could last be used where they cannot be now, of which is warned.
    ///
    /// # Errors
    /// What is wrong with which file, and the mend.
    pub fn open_or(
        flags: &SslFlags,
        last_good: &LastGood,
        now: Now,
    ) -> Result<Option<Self>, CertificateError> {
        if !flags.is_on() {
            return Ok(None);
        }
        let (tickets, secret, ticket_file) = open_tickets(flags, last_good)?;
        let Opened { watch: pair, made: shown, fault } =
            Watch::open_or(pair_files(flags), last_good, |files| show(flags, files, &tickets))?;
        fault.iter().for_each(warn_of_pair);
        let standing = shown.about.standing(now.wall);
        let next_look = now.instant + LOOK_INTERVAL;
        let (flags, rights) = (flags.clone(), rights(flags));
        Ok(Some(Self { flags, shown, pair, tickets, secret, ticket_file, standing, rights, next_look }))
    }

    /// What holds for each client that comes now.
    pub fn terms(&self) -> ServerTerms {
        self.shown.terms.clone()
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.shown.about.not_after()
    }

    /// By what tickets are made, for workers and successors, unless they have that from a file.
    pub fn ticket_secret(&self) -> Option<&TicketSecret> {
        self.secret.as_ref()
    }

    /// What is shown, for people.
    pub fn description(&self) -> String {
        format!("the certificate in {}{}", self.path(), self.shown.about)
    }

    /// What is wrong with it though it can be shown, and who else can read or change the files.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let of_validity = self.shown.about.standing(now).warning(&self.path());
        let of_password = self
            .shown
            .is_password_in_vain
            .then(|| "--ssl-keyfile-password is given in vain: the private key is not encrypted".to_owned());
        of_validity.into_iter().chain(of_password).chain(rights(&self.flags)).collect()
    }

    /// When to look at the files next.
    pub fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Looks at them, if it is time to; gives back what holds for each client that comes from now on, if that is something else.
    pub fn look(&mut self, now: Now) -> Option<ServerTerms> {
        if now.instant < self.next_look {
            return None;
        }
        self.next_look = now.instant + LOOK_INTERVAL;
        let has_other_tickets = self.look_at_tickets();
        let has_other_pair = self.look_at_pair(now.wall);
        let rights = rights(&self.flags);
        rights.iter().filter(|told| !self.rights.contains(told)).for_each(|told| warn!("{told}"));
        self.rights = rights;
        let standing = self.shown.about.standing(now.wall);
        if standing != std::mem::replace(&mut self.standing, standing) {
            standing.warning(&self.path()).iter().for_each(|warning| warn!("{warning}"));
        }
        (has_other_tickets || has_other_pair).then(|| self.terms())
    }

    fn look_at_tickets(&mut self) -> bool {
        let Some(read) = self.ticket_file.as_mut().and_then(|file| file.look(make_tickets)) else {
            return false;
        };
        match read {
            Ok(tickets) => {
                self.tickets = Arc::new(tickets.after(&self.tickets));
                self.shown.terms = self.shown.terms.with_tickets(self.tickets.clone());
                info!(
                    "Read --ssl-ticket-keyfile again: session tickets are made by it from now on, and those before are accepted \
                     for as long as they last"
                );
                true
            }
            Err(why) => {
                warn_of_tickets(&why);
                false
            }
        }
    }

    fn look_at_pair(&mut self, now: Timestamp) -> bool {
        let (flags, tickets) = (&self.flags, &self.tickets);
        let Some(read) = self.pair.look(|files| show(flags, files, tickets)) else { return false };
        let is_over = |shown: &Shown| matches!(shown.about.standing(now), Standing::Over(_));
        match read {
            Ok(shown) if is_over(&shown) && !is_over(&self.shown) => {
                warn!(
                    "Not showing the certificate that was changed, {}{}: it has ended already; clients are shown the one read \
                     before. Put one there that is valid",
                    self.path(),
                    shown.about
                );
                false
            }
            Ok(shown) => {
                self.shown = shown;
                self.standing = self.shown.about.standing(now);
                self.rights = rights(&self.flags);
                info!("From now on clients are shown {}", self.description());
                self.warnings(now).iter().for_each(|warning| warn!("{warning}"));
                true
            }
            Err(why) => {
                warn_of_pair(&why);
                false
            }
        }
    }

    fn path(&self) -> String {
        self.flags.ssl_certfile.iter().map(|path| path.display().to_string()).collect()
    }
}

fn warn_of_tickets(why: &CertificateError) {
    warn!("Not making session tickets by what was changed: {why}; what was read before stays");
}

fn warn_of_pair(why: &CertificateError) {
    warn!(
        "Not showing the certificate that was changed: {why}; clients are shown the one read before, and the files are read again in {} s",
        LOOK_INTERVAL.as_secs()
    );
}

/// The files that this configuration names, those together that are used together, each with what refuses them.
pub(super) fn checks(flags: &SslFlags) -> Vec<(Vec<Named>, Check)> {
    if !flags.is_on() {
        return vec![];
    }
    // Whether a certificate can be shown does not depend on tickets.
    let (flags, tickets) = (flags.clone(), Arc::new(tickets_of(&[])));
    let ticket_file = ticket_file(&flags)
        .map(|file| -> (_, Check) { (vec![file], Box::new(|files| make_tickets(files).map(drop))) });
    let files = pair_files(&flags);
    let pair: (_, Check) = (files, Box::new(move |files| show(&flags, files, &tickets).map(drop)));
    [pair].into_iter().chain(ticket_file).collect()
}

/// The file with the certificate, and that with the key, if that is another.
fn pair_files(flags: &SslFlags) -> Vec<Named> {
    let files = [("--ssl-certfile", &flags.ssl_certfile), ("--ssl-keyfile", &flags.ssl_keyfile)];
    files.into_iter().filter_map(|(flag, path)| Some(Named::new(flag, path.as_deref()?))).collect()
}

fn ticket_file(flags: &SslFlags) -> Option<Named> {
    flags.ssl_ticket_keyfile.as_deref().map(|path| Named::new("--ssl-ticket-keyfile", path))
}

/// Who else can read or change the files, for people.
fn rights(flags: &SslFlags) -> Vec<String> {
    let key = flags.key_place().and_then(|(_, path)| of_readers("private key", path));
    // Everybody is shown a certificate.
    let certificate = flags.ssl_keyfile.as_ref().and(flags.ssl_certfile.as_deref());
    let certificate = certificate.and_then(|path| of_writers("certificate", path));
    let tickets = flags.ssl_ticket_keyfile.as_deref();
    let tickets = tickets.and_then(|path| of_readers("key of session tickets", path));
    key.into_iter().chain(certificate).chain(tickets).collect()
}

/// Makes of the files what clients are shown: of the certificate's, which has the key, too, if it is the only one.
fn show(flags: &SslFlags, files: &[Content], tickets: &Arc<Tickets>) -> Result<Shown, CertificateError> {
    let [(certificate, octets), ..] = files else { unreachable!("there is a certificate") };
    let (key, key_octets) = files.last().map_or((certificate, octets), |(key, octets)| (key, octets));
    let chain = pem::chain(octets).map_err(|why| certificate.fault(&why))?;
    let about = About::of(&chain);
    let password = flags.ssl_keyfile_password.as_ref().map(|password| password.reveal().as_bytes());
    let (private, protection) = pem::private_key(key_octets, password).map_err(|why| match why {
        Flaw::WrongPassword => key.fault(&format_args!("{why} of --ssl-keyfile-password")),
        why => key.fault(&why),
    })?;
    let terms = ServerTerms::new(chain.clone(), private.clone_key(), tickets.clone());
    let terms = terms.map_err(|why| match why {
        TermsError::Certificate => certificate.fault(&why),
        TermsError::Key => key.fault(&why),
        TermsError::Apart => match place_of_own(&chain, &private, tickets) {
            Some(place) => certificate.fault(&format_args!(
                "the private key belongs to certificate {place} of the {} in it: put that first, which is the server's, and behind \
                 it those of the authorities in between, each before the one that vouches for it",
                chain.len()
            )),
            None => key.fault(&why),
        },
    })?;
    let is_password_in_vain = password.is_some() && protection == pem::Protection::None;
    Ok(Shown { terms, about, is_password_in_vain })
}

/// Which certificate of a chain belongs to this key, counted from 1, if one does.
fn place_of_own(
    chain: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'static>,
    tickets: &Arc<Tickets>,
) -> Option<usize> {
    let is_own = |certificate: &CertificateDer<'static>| {
        ServerTerms::new(vec![certificate.clone()], private.clone_key(), tickets.clone()).is_ok()
    };
    chain.iter().position(is_own).map(|index| index + 1)
}

type OpenedTickets = (Arc<Tickets>, Option<TicketSecret>, Option<Watch>);

fn open_tickets(flags: &SslFlags, last_good: &LastGood) -> Result<OpenedTickets, CertificateError> {
    if let Some(file) = ticket_file(flags) {
        let Opened { watch, made: tickets, fault } = Watch::open_or(vec![file], last_good, make_tickets)?;
        fault.iter().for_each(warn_of_tickets);
        return Ok((Arc::new(tickets), None, Some(watch)));
    }
    let secret = flags.ticket_secret.clone().map_or_else(ticket_secret::draw, Ok);
    let secret =
        secret.map_err(|why| CertificateError::of("the system's randomness for session tickets", &why))?;
    Ok((Arc::new(tickets_of(&secret.0)), Some(secret), None))
}

fn make_tickets(files: &[Content]) -> Result<Tickets, CertificateError> {
    let [(file, octets), ..] = files else { unreachable!("there is a file") };
    if TICKET_FILE_BYTES.contains(&octets.len()) {
        return Ok(tickets_of(octets));
    }
    Err(file.fault(&format_args!(
        "it holds {} bytes; give {} to {} random ones, as 'openssl rand -out FILE 80' writes them",
        octets.len(),
        TICKET_FILE_BYTES.start(),
        TICKET_FILE_BYTES.end()
    )))
}

fn tickets_of(secret: &[u8]) -> Tickets {
    Tickets::new(secret, Arc::new(DefaultTimeProvider))
}

#[cfg(test)]
#[path = "certificate/certificate_tests.rs"]
mod tests;

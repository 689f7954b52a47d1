//! `slackwater check`: reads a configuration and all that it names, as a server would that starts; says what that would do,
//! and what is dangerous about it. It listens on nothing and changes nothing.

use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

use super::{BAD_USAGE, FAILED, fail, print, tell};
use crate::config::Config;
use crate::config::command::CheckRequest;
use crate::config::health::{Health, HealthUrl};
use crate::process::contradictions::{self, Doors};
use crate::process::dangers::{self, Findings};
use crate::process::remarks::{self, Remark};
use crate::process::{handover, listeners, parking, raise_open_files, secrets};
use crate::server::certificate::CertificateFile;
use crate::server::clock::Now;
use crate::server::descriptors::{OpenFiles, room_for_clients};
use crate::server::engine::security::EngineSecurity;
use crate::server::key_file::KeyFile;
use crate::server::prospect::Prospect;
use crate::server::state_file::{Found, StateFile};

mod health;

/// What has been found.
#[derive(Debug, Default)]
struct Report {
    remarks: Vec<Remark>,
    /// Why the server would not start.
    faults: Vec<String>,
}

/// Prints what would be, the warnings last. Exit codes: 0 if the server would start, 2 if not, and where it is to be strict
/// also for a warning; 3 if this cannot be printed. Asks for a server's health instead, if that is what is wanted.
pub fn run(request: CheckRequest) -> ExitCode {
    let url = request.health.map(|health| match health {
        Health::OfThis => HealthUrl::of(&request.config),
        Health::Of(url) => Ok(url),
    });
    match url {
        Some(Ok(url)) => return health::run(url),
        Some(Err(why)) => return fail(BAD_USAGE, why),
        None => {}
    }
    raise_open_files();
    let report = Report::of(request.config, std::env::vars_os().map(|(name, _)| name));
    let warnings = report.remarks.iter().filter(|remark| matches!(remark, Remark::Danger(_))).count();
    if let Err(why) = print(&report.lines(warnings)) {
        return fail(FAILED, format_args!("cannot print the report: {why}"));
    }
    report.faults.iter().for_each(|fault| tell(format_args!("error: {fault}")));
    if !report.faults.is_empty() {
        return ExitCode::from(BAD_USAGE);
    }
    if request.strict && warnings > 0 {
        return fail(BAD_USAGE, "with --strict there is to be no warning");
    }
    ExitCode::SUCCESS
}

impl Report {
    /// Of this configuration, in an environment with variables of these names.
    fn of(config: Config, variables: impl Iterator<Item = OsString>) -> Self {
        let sources = config.sources.clone();
        let Self { remarks, faults } = Self::found(config, variables);
        Self {
            remarks: remarks.into_iter().map(|remark| remark.located(&sources)).collect(),
            faults: faults.iter().map(|fault| sources.locate(fault)).collect(),
        }
    }

    fn found(mut config: Config, variables: impl Iterator<Item = OsString>) -> Self {
        let mut report = Self { remarks: remarks::of_variables(variables), faults: vec![] };
        report.remarks.extend(remarks::of_file(&config));
        // First, before anything that is opened gets its number.
        let inherited = listeners::prospect_of_inherited(&config);
        let files = OpenFiles::read();
        let token = secrets::read_publish_token(&mut config);
        report.keep(token);
        let secret = secrets::read_auth_secret(&mut config.auth);
        let keys = match report.keep(secret) {
            Some(()) => report.keep(KeyFile::open(&config.auth, Now::read().instant)).flatten(),
            None => None,
        };
        let keys = keys.map(|(keys, _)| keys);
        let now = Now::read();
        let certificate = report.keep(CertificateFile::open(&config.ssl, now)).flatten();
        report.remarks.extend(certificate.iter().flat_map(|file| remarks::of_certificate(file, now.wall)));
        let password = secrets::read_engine_password(&mut config.engine);
        report.keep(password);
        report.keep(EngineSecurity::open(&config.engine));
        report.remarks.extend(secrets::of_others(&config));
        let public =
            inherited.and_then(|inherited| inherited.map_or_else(|| listeners::prospect(&config), Ok));
        let public = report.keep(public);
        let admin = report.keep(listeners::prospect_of_admin(&config)).flatten();
        let redirect = report.keep(listeners::prospect_of_redirect(&config)).flatten();
        let handover = report.keep(handover::prospect(&config)).flatten();
        let state = config.state_file.as_deref().map(|path| StateFile::open(path)?.found());
        let state = state.and_then(|found| report.keep(found));
        report.faults.extend(contradictions::all(
            &config,
            &Doors {
                public: public.as_ref(),
                admin: admin.as_ref(),
                redirect: redirect.as_ref(),
                handover: handover.as_ref(),
            },
            &files,
        ));
        // What would not start would do nothing.
        let (Some(public), true) = (public, report.faults.is_empty()) else { return report };
        let (address, admin) = (public.address(), admin.as_ref().map(Prospect::address));
        report.remarks.push(Remark::Fact(format!("Would serve {}", remarks::serving(&config, address))));
        report.remarks.extend(redirect.as_ref().map(Prospect::address).map(remarks::redirecting));
        report.remarks.extend(admin.map(|admin| remarks::operators(&config, admin)));
        report.remarks.extend(remarks::engine(&config));
        report.remarks.extend(remarks::of_access(&config, address, admin));
        report.remarks.extend(remarks::of_webroot(&config));
        report.remarks.extend(parking::is_in_vain(&config).map(|why| Remark::Note(why.to_owned())));
        let keys = keys.as_ref();
        report
            .remarks
            .extend(dangers::all(&config, &Findings { address, admin, keys, room: room_for_clients() }));
        report.remarks.extend(state.map(|found| match found {
            Found::Unusable { .. } => Remark::Danger(found.to_string()),
            Found::Snapshot { .. } | Found::Nothing { .. } => Remark::Fact(found.to_string()),
        }));
        report
    }

    /// What was read, or notes why it could not be.
    fn keep<T>(&mut self, read: Result<T, impl Display>) -> Option<T> {
        read.map_err(|why| self.faults.push(why.to_string())).ok()
    }

    fn lines(&self, warnings: usize) -> String {
        let mut sorted: Vec<&Remark> = self.remarks.iter().collect();
        sorted.sort_by_key(|remark| match remark {
            Remark::Fact(_) => 0,
            Remark::Note(_) => 1,
            Remark::Danger(_) => 2,
        });
        let mut lines: String = sorted.iter().map(|remark| format!("{remark}\n")).collect();
        match warnings {
            _ if !self.faults.is_empty() => {}
            0 => lines.push_str("The server would start\n"),
            1 => lines.push_str("The server would start, with one warning\n"),
            several => lines.push_str(&format!("The server would start, with {several} warnings\n")),
        }
        lines
    }
}

//! A process that serves: alone, or as one of a supervisor's.

use std::process::ExitCode;

use signal_hook::consts::{SIGTTIN, SIGTTOU};

use crate::config::Config;
use crate::ffi;
use crate::policy::drain::Step;
use crate::process::listeners;
use crate::process::program::Inheritance;
use crate::process::progress_bar::ProgressBar;
use crate::process::{RunError, announce, exit_code, loop_failed, service_manager};
use crate::server::control::{SIGNALS, Signals, take_signals};
use crate::server::state_file::StateFile;
use crate::server::{Server, Service, StartError, Watched};

/// Serves alone until told to leave.
///
/// # Errors
/// Why it could not start.
pub fn serve(config: &Config) -> Result<ExitCode, RunError> {
    let inherited = listeners::inherit(config)?;
    let signals = hear_signals()?;
    let state_file = config.state_file.as_deref().map(StateFile::open).transpose()?;
    let listening = inherited.map_or_else(|| listeners::open(config, false), Ok)?;
    let admin = listeners::open_admin(config)?;
    let admin_address = admin.as_ref().map(|admin| admin.address().clone());
    let mut server = Server::over(listening, admin, config, Service::Notifications)?;
    server.obey_signals(signals)?;
    state_file.map_or(Ok(()), |state_file| server.take_over(state_file))?;
    announce(config, server.address(), admin_address.as_ref());
    let mut progress_bar = ProgressBar::default();
    let mut is_told = false;
    Ok(run(server, |watched| match watched {
        Watched::Step(step) => {
            service_manager::on_step(step);
            is_told |= matches!(step, Step::Waiting { .. });
            if matches!(step, Step::Complete(_)) {
                progress_bar.hide();
            }
        }
        Watched::Turn { clients, remaining } => {
            progress_bar.show(clients, remaining);
            // The first report may be long in coming, if the drain begins with a delay.
            if !std::mem::replace(&mut is_told, true) {
                service_manager::draining(clients, remaining);
            }
        }
        Watched::Trim => {}
    }))
}

/// Serves as one of a supervisor's workers until told to leave, or until the supervisor is gone.
///
/// # Errors
/// Why it could not start.
pub fn serve_inherited(config: &Config, inheritance: &Inheritance) -> Result<ExitCode, RunError> {
    let listening = listeners::all_inherited(&inheritance.listeners)?.expect("a worker is given a listener");
    let admin = listeners::all_inherited(&inheritance.admin)?;
    let supervisor = listeners::take(inheritance.supervisor)?;
    let signals = hear_signals()?;
    let mut server = Server::worker(listening, admin, supervisor.into(), config)?;
    server.obey_signals(signals)?;
    Ok(run(server, |_| {}))
}

/// Takes the signals, whatever the parent of this process has done to them. Those for the number of workers mean
/// nothing here, and by default they would stop the process.
fn hear_signals() -> Result<Signals, StartError> {
    [SIGTTIN, SIGTTOU].into_iter().for_each(ffi::ignore);
    let signals = take_signals()?;
    ffi::unblock(&SIGNALS)?;
    Ok(signals)
}

fn run(server: Server, mut watch: impl FnMut(Watched<'_>)) -> ExitCode {
    let watch = |watched: Watched<'_>| {
        if matches!(watched, Watched::Trim) {
            ffi::trim_heap();
        }
        watch(watched);
    };
    match server.run(watch) {
        Ok(outcome) => exit_code(outcome),
        Err(why) => loop_failed(&why),
    }
}

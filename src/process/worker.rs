//! A process that serves: alone, or as one of a supervisor's.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use log::{debug, info, warn};
use signal_hook::consts::{SIGTTIN, SIGTTOU};

use crate::config::Config;
use crate::config::last_good::LastGood;
use crate::config::ssl::TicketSecret;
use crate::ffi;
use crate::http::door::Door;
use crate::policy::drain::Step;
use crate::process::former::Former;
use crate::process::handover::{self, Approach, Inheritance, SuccessionError, SuccessorProcess};
use crate::process::listeners::{self, Listening};
use crate::process::parking;
use crate::process::program::{self, Program};
use crate::process::progress_bar::ProgressBar;
use crate::process::{RunError, announce, exit_code, loop_failed, service_manager, serving};
use crate::server::bound_socket::BoundSocket;
use crate::server::control::{SIGNALS, Signals, take_signals};
use crate::server::entrances::Entrances;
use crate::server::handover::Means;
use crate::server::handover::channel::Channel;
use crate::server::lookout::keeper;
use crate::server::state_file::StateFile;
use crate::server::ticket_secret;
use crate::server::{Server, Service, StartError, Watched};

/// Begins to serve alone, and gives back what does so until told to leave. With the way to the process that has started this one as
/// its successor, if one has.
///
/// # Errors
/// Why it could not start.
pub fn serve(
    mut config: Config,
    from_parent: Option<&OwnedFd>,
) -> Result<impl FnOnce() -> ExitCode + use<>, RunError> {
    let approach = Approach::begin(&config, from_parent)?;
    // With the same arguments, but not with the same descriptors: what that one was given comes another way.
    let inherited = if approach.is_own() { None } else { listeners::inherit(&config)? };
    let parked = if approach.is_own() { vec![] } else { parking::find() };
    let signals = hear_signals()?;
    let state_file = config.state_file.as_deref().map(StateFile::open).transpose()?;
    let inheritance = handover::inherit(&config, approach)?;
    config.ssl.ticket_secret = inheritance.as_ref().and_then(|inheritance| inheritance.tickets.clone());
    let config = &config;
    let mut server = match inheritance {
        Some(inheritance) => {
            if !parked.is_empty() {
                parking::closed(&"another process hands over");
            }
            parking::forget(parked);
            take_over(config, inherited, inheritance, signals, state_file)?
        }
        None => begin(config, inherited, parked, signals, state_file)?,
    };
    parking::store(config).into_iter().for_each(|store| server.park_in(store));
    match Program::own(config) {
        Ok(program) => {
            let status = serving(server.address());
            server.succeed_by(Box::new(SuccessorProcess::new(program, status)));
        }
        Err(why) => debug!("There is no program to hand over to: {why}"),
    }
    let (admin, redirect) = (server.address_of(Door::Admin), server.address_of(Door::Redirect));
    announce(config, server.address(), admin, redirect);
    let mut progress_bar = ProgressBar::default();
    let (mut is_told, mut is_replaced) = (false, false);
    let watch = move |watched: Watched<'_>| match watched {
        // What this process still does is nothing to the service manager.
        Watched::HandedOver => is_replaced = true,
        Watched::Step(_) | Watched::Turn { .. } if is_replaced => {}
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
        Watched::Parked(connections) => service_manager::parked(connections),
        Watched::Trim => {}
    };
    Ok(|| run(server, watch))
}

/// Begins to serve: nobody is connected yet but those who were parked.
fn begin(
    config: &Config,
    inherited: Option<BoundSocket>,
    parked: Vec<Channel>,
    signals: Signals,
    state_file: Option<StateFile>,
) -> Result<Server, RunError> {
    let path = handover::open(config)?;
    let mut server = match parking::go_on(config, inherited.as_ref(), state_file.as_ref(), parked)? {
        Some(mut server) => {
            state_file.into_iter().for_each(|state_file| server.leave_state_in(state_file));
            server
        }
        None => {
            let entrances = Entrances {
                public: inherited.map_or_else(|| listeners::open(config, false), Ok)?,
                admin: listeners::open_admin(config)?,
                redirect: listeners::open_redirect(config)?,
            };
            let mut server = Server::over(entrances, config, Service::Notifications)?;
            state_file.map_or(Ok(()), |state_file| server.take_over(state_file))?;
            server
        }
    };
    server.obey_signals(signals)?;
    path.map_or(Ok(()), |path| server.await_successor_at(path)).map_err(StartError::Poll)?;
    Ok(server)
}

/// Goes on where another process stops, on its sockets where these are what is to be listened on. Whatever fails, that one goes
/// on itself.
fn take_over(
    config: &Config,
    inherited: Option<BoundSocket>,
    inheritance: Inheritance,
    signals: Signals,
    state_file: Option<StateFile>,
) -> Result<Server, RunError> {
    let Inheritance { is_own, mut taking, pid, workers, slots, admin, redirect, path, files, .. } =
        inheritance;
    let public = BoundSocket::join(slots.into_values());
    let mut unheeded = vec![];
    let prepare = || -> Result<Server, RunError> {
        let entrances = Entrances {
            public: listeners::adopt(config, inherited, public, is_own)?,
            admin: listeners::adopt_admin(config, admin, is_own)?,
            redirect: listeners::adopt_redirect(config, redirect, is_own)?,
        };
        if let Some(former) = Former::told().filter(|_| is_own) {
            let (admin, redirect) = (entrances.admin.as_ref(), entrances.redirect.as_ref());
            unheeded = former.unheeded(config, Listening { public: &entrances.public, admin, redirect })?;
        }
        let mut server = Server::over(entrances, config, Service::Notifications)?;
        server.obey_signals(signals)?;
        let path = handover::adopt(config, path)?;
        path.map_or(Ok(()), |path| server.await_successor_at(path)).map_err(StartError::Poll)?;
        state_file.into_iter().for_each(|state_file| server.leave_state_in(state_file));
        Ok(server)
    };
    let mut server = prepare().inspect_err(|why| taking.decline(&config.sources.locate(&why.to_string())))?;
    let opened = taking.open_parts(workers.unwrap_or(0));
    opened.inspect_err(|why| taking.decline(&why.to_string())).map_err(SuccessionError::TakeOver)?;
    let count = taking.finish(&mut server).map_err(SuccessionError::TakeOver)?;
    // Those of sockets that nobody listens on any more go now.
    files.iter().filter(|file| !server.own_file(file)).for_each(|file| drop(fs::remove_file(file)));
    info!("Took over {count} connections from process {pid}");
    unheeded.iter().for_each(|unheeded| warn!("{unheeded}"));
    Ok(server)
}

/// Begins to serve as one of a supervisor's workers, and gives back what does so until told to leave, or until the supervisor is gone.
///
/// # Errors
/// Why it could not start.
pub fn serve_inherited(
    config: Config,
    inheritance: &program::Inheritance,
) -> Result<impl FnOnce() -> ExitCode + use<>, RunError> {
    let entrances = Entrances {
        public: listeners::all_inherited(&inheritance.listeners)?.expect("a worker is given a listener"),
        admin: listeners::all_inherited(&inheritance.admin)?,
        redirect: listeners::all_inherited(&inheritance.redirect)?,
    };
    let supervisor = listeners::take(inheritance.supervisor)?;
    let signals = hear_signals()?;
    let taken = |fd: i32| listeners::take(fd).map(OwnedFd::from);
    let origin = inheritance.origin.clone().map(|origin| origin.try_map(taken)).transpose()?;
    let means = Means { line: taken(inheritance.line)?, origin };
    let mut server = Server::worker(entrances, supervisor.into(), means, &config)?;
    // With it what it was told of files.
    drop(config);
    server.obey_signals(signals)?;
    Ok(|| run(server, |_| {}))
}

/// By what session tickets are made, as this process was told by its supervisor, if it was.
///
/// # Errors
/// When it was told something else.
pub fn ticket_secret(inheritance: &program::Inheritance) -> Result<Option<TicketSecret>, RunError> {
    let socket = inheritance.tickets.map(listeners::take).transpose()?;
    Ok(socket.map(ticket_secret::hear).transpose().map_err(StartError::Poll)?)
}

/// What files held when they could last be used, as this process was told by its supervisor, if it was.
///
/// # Errors
/// When it was told something else.
pub fn last_good(inheritance: &program::Inheritance) -> Result<LastGood, RunError> {
    let socket = inheritance.last_good.map(listeners::take).transpose()?;
    Ok(socket
        .map(|socket| keeper::hear(socket.into()))
        .transpose()
        .map_err(StartError::Poll)?
        .unwrap_or_default())
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

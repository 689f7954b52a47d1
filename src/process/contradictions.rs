//! Where a configuration contradicts itself or the limit on open files, so that no server starts by it: what a server finds out
//! when it tries. Decides by what has been found out; opens nothing.

use std::path::Path;

use crate::config::Config;
use crate::process::listeners::{OpenError, workers_within};
use crate::server::descriptors::OpenFiles;
use crate::server::prospect::Prospect;

/// What a server opens before its first connection, beside what it listens on: for its event loop (epoll(7)) and for signals.
const OF_A_SERVER: usize = 5;

/// What a supervisor opens before its first worker.
const OF_A_SUPERVISOR: usize = 4;

/// Where a server would listen: for clients, operators, those who are redirected, and successors.
#[derive(Debug, Clone, Copy)]
pub struct Doors<'a> {
    /// What could be found out of each.
    pub public: Option<&'a Prospect>,
    /// Those that there are to be.
    pub admin: Option<&'a Prospect>,
    /// None where nobody is to be redirected.
    pub redirect: Option<&'a Prospect>,
    /// None where that is not asked for.
    pub handover: Option<&'a Prospect>,
}

/// All of it, in the words of a server that would not start.
pub fn all(config: &Config, doors: &Doors<'_>, files: &OpenFiles) -> Vec<String> {
    let Doors { public, admin, redirect, handover } = *doors;
    let clash = public.zip(admin).and_then(|(public, admin)| of_doors(public, admin));
    let redirected = redirect.and_then(|redirect| of_redirect(redirect, &[public, admin]));
    let others = [public, admin];
    let successors = handover.and_then(|handover| of_successors(handover, &others));
    let state = config.state_file.as_deref().and_then(|path| of_state_file(path, &[public, admin, handover]));
    let files = public.and_then(|public| of_open_files(config, public, doors, files));
    clash.into_iter().chain(redirected).chain(successors).chain(state).chain(files).collect()
}

fn of_doors(public: &Prospect, admin: &Prospect) -> Option<String> {
    let taken = admin.clash(public)?;
    let why = format!("{taken}: clients would be served there, on {}", public.address());
    Some(OpenError::Admin(why).to_string())
}

fn of_redirect(redirect: &Prospect, doors: &[Option<&Prospect>]) -> Option<String> {
    let taken = doors.iter().flatten().find_map(|door| redirect.clash(door))?;
    let why = format!("{taken}: the server would listen there for others; choose another port");
    Some(OpenError::Redirect(why).to_string())
}

fn of_successors(handover: &Prospect, doors: &[Option<&Prospect>]) -> Option<String> {
    let taken = doors.iter().flatten().find_map(|door| handover.clash(door))?;
    Some(format!(
        "cannot listen at --handover, {taken}: the server would listen on a socket there for others; choose another path"
    ))
}

fn of_state_file(path: &Path, doors: &[Option<&Prospect>]) -> Option<String> {
    let is_taken = doors.iter().flatten().any(|door| door.is_at(path));
    is_taken.then(|| {
        format!(
            "cannot keep the state in --state-file {}: the server would listen on a socket there; choose another path",
            path.display()
        )
    })
}

fn of_open_files(config: &Config, public: &Prospect, doors: &Doors<'_>, files: &OpenFiles) -> Option<String> {
    let raise = "raise it (ulimit -n, LimitNOFILE=)";
    let (sockets, limit) = (public.sockets(), files.limit);
    let others = [doors.admin, doors.redirect, doors.handover];
    let once = files.open + others.iter().flatten().map(|door| door.sockets()).sum::<usize>();
    let workers = usize::from(config.workers);
    if workers == 1 {
        let needed = once + OF_A_SERVER + sockets;
        return (needed > limit).then(|| {
            format!("cannot set up the event loop: the limit on open files is {limit}, and {needed} are needed; {raise}")
        });
    }
    let startable = workers_within(limit, once + OF_A_SUPERVISOR, sockets);
    (startable < workers).then(|| {
        format!(
            "cannot start {workers} workers: the limit on open files, {limit}, is enough for {startable}; {raise} or lower --workers"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::server::prospect::{of_host, of_path};

    fn contradictions(flags: &str, limit: usize) -> Vec<String> {
        let args = ["slackwater"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
        let config = Config::read(args).unwrap();
        let public = match &config.uds {
            Some(path) => of_path(path),
            None => of_host(&config.host, config.port),
        };
        let admin = config.admin.as_ref().map(|_| of_host("127.0.0.1", 8001).unwrap());
        let (public, handover) =
            (public.unwrap(), config.handover.handover.as_deref().map(|path| of_path(path).unwrap()));
        let redirect = config.redirect.http_redirect.map(|port| of_host(&config.host, port).unwrap());
        let doors = Doors {
            public: Some(&public),
            admin: admin.as_ref(),
            redirect: redirect.as_ref(),
            handover: handover.as_ref(),
        };
        all(&config, &doors, &OpenFiles { limit, open: 3 })
    }

    #[test]
    fn the_limit_on_open_files_is_enough_for_a_loop_and_its_sockets_or_for_every_worker() {
        for (flags, needed) in [
            ("", 9),
            ("--admin 127.0.0.1:8001", 10),
            ("--handover handover", 10),
            ("--workers 2", 25),
            ("--workers 50", 169),
        ] {
            assert_eq!(contradictions(flags, needed), [""; 0], "{flags}");
            assert_eq!(contradictions(flags, needed - 1).len(), 1, "{flags}");
        }
        assert_eq!(
            contradictions("--workers 50", 100),
            [
                "cannot start 50 workers: the limit on open files, 100, is enough for 27; raise it (ulimit -n, LimitNOFILE=) or lower --workers"
            ]
        );
        assert!(contradictions("--workers 2", 19)[0].contains("is enough for 0;"));
    }

    #[test]
    fn successors_come_in_where_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let flags = |handover: &str| format!("--uds {path}/x --handover {path}/{handover}");
        assert!(contradictions(&flags("./x"), 100)[0].contains("choose another path"));
        assert_eq!(contradictions(&flags("y"), 100), [""; 0]);
        let state = format!("{} --state-file {path}/./y", flags("y"));
        assert!(contradictions(&state, 100)[0].starts_with("cannot keep the state"));
    }

    #[test]
    fn the_state_file_is_no_socket_of_the_servers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let flags = |state: &str| format!("--uds {path}/x --state-file {path}/{state}");
        assert!(contradictions(&flags("./x"), 100)[0].contains("choose another path"));
        assert_eq!(contradictions(&flags("y"), 100), [""; 0]);
    }
}

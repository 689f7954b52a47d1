//! Asks a server by HTTP whether it is well: for containers, in which there is no shell and no curl. One question and the line
//! that answers it is all that is read; whoever answers late, or with something else, is not well.

use std::process::ExitCode;
use std::time::Duration;

use crate::config::Place;
use crate::config::health::HealthUrl;
use crate::process::commands::exchange::{self, NoAnswer};
use crate::process::commands::far_end::{Dialer, Trust};
use crate::process::commands::{FAILED, fail, print};
use crate::server::clock::Now;

/// In which everything has to be done, from the look-up of the name on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints one line. Exit codes: 0 if the answer's status is one of success, 1 if not or if there is none, 3 if this cannot be
/// printed.
pub fn run(url: HealthUrl) -> ExitCode {
    let name = url.to_string();
    let (line, code) = match ask(url) {
        Ok(status) if (200..300).contains(&status) => {
            (format!("healthy: {name} answers {status}"), ExitCode::SUCCESS)
        }
        Ok(status) => (format!("not healthy: {name} answers {status}"), ExitCode::FAILURE),
        Err(why) => (format!("not healthy: {name}: {why}"), ExitCode::FAILURE),
    };
    match print(&(line + "\n")) {
        Ok(()) => code,
        Err(why) => fail(FAILED, format_args!("cannot print the answer: {why}")),
    }
}

/// The status that is answered, once the head is whole, or why there is none. A body may be missing.
fn ask(url: HealthUrl) -> Result<u16, String> {
    let until = Now::read().instant + PATIENCE;
    let host = match &url.at {
        Place::Ip(host, port) if host.contains(':') => format!("[{host}]:{port}"),
        Place::Ip(host, port) => format!("{host}:{port}"),
        Place::Path(_) => "localhost".to_owned(),
    };
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slackwater/{}\r\nConnection: close\r\n\r\n",
        url.target,
        env!("CARGO_PKG_VERSION")
    );
    let dialer = Dialer::new(url.at, url.is_secured.then_some(Trust::Anybody), url.is_announced)
        .map_err(|why| why.to_string())?;
    let connection = dialer.dial(until).map_err(NoAnswer::Io);
    match connection.and_then(|mut line| exchange::ask(&mut line, &head, b"")) {
        Ok(answer) => Ok(answer.status),
        Err(why) if why.is_late() => Err(format!("no answer in {} s", PATIENCE.as_secs())),
        Err(why) => Err(why.to_string()),
    }
}

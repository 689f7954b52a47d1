//! A server on a free port, in a thread of its own, that is ended when the test lets go of it.
//! A server that panics, fails or does not end fails the test.
//!
//! With `SLACKWATER_TEST_TLS` set to 1.2 or 1.3, each speaks TLS, and the tests speak to a bridge before it.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::{env, fs, process, thread};

use slackwater::config::Config;
use slackwater::policy::drain::Outcome;
use slackwater::server::{Handle, Server, Service};
use support::PATIENCE;
use support::bridge::{Before, Bridge};
use support::client::Client;
use support::tls::{Identity, Version};

/// Unless a test says otherwise, nothing is said unasked.
const DEFAULTS: [(&str, &str); 3] =
    [("--port", "0"), ("--notify-interval", "0"), ("--ws-ping-interval", "0")];

/// A running server.
pub struct Running {
    /// Where it is spoken to in plain.
    pub address: SocketAddr,
    /// Where it listens itself.
    pub door: SocketAddr,
    handle: Handle,
    outcomes: Receiver<io::Result<Outcome>>,
    has_ended: bool,
    bridge: Option<Bridge>,
}

/// Which version of TLS is spoken, if it is.
fn version() -> Option<Version> {
    match env::var("SLACKWATER_TEST_TLS").as_deref() {
        Err(_) => None,
        Ok("1.2") => Some(Version::Tls12),
        Ok("1.3") => Some(Version::Tls13),
        Ok(other) => panic!("SLACKWATER_TEST_TLS is {other}, not 1.2 or 1.3"),
    }
}

/// What the servers are identified by, and the file that it is in. Drawn once.
fn identity() -> &'static (Identity, PathBuf) {
    static IDENTITY: OnceLock<(Identity, PathBuf)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let identity = Identity::generate();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("identity-{}.pem", process::id()));
        fs::write(&path, &identity.pem).expect("the folder is there");
        (identity, path)
    })
}

impl Running {
    /// By which scheme a page of its own was loaded.
    pub fn scheme(&self) -> &'static str {
        if self.bridge.is_some() { "https" } else { "http" }
    }

    /// Starts a server with these flags, as on the command line.
    pub fn with(flags: &str) -> Self {
        Self::offering(Service::Notifications, flags)
    }

    /// Starts a server that sends back what it hears.
    pub fn echo_with(flags: &str) -> Self {
        Self::offering(Service::Echo, flags)
    }

    fn offering(service: Service, flags: &str) -> Self {
        let defaults = DEFAULTS.into_iter().filter(|(flag, _)| !flags.contains(flag));
        let defaults = defaults.flat_map(|(flag, value)| [flag, value]);
        let notice = ["--no-drain-notice"].into_iter().filter(|_| !flags.contains("--drain-spread"));
        let args = ["slackwater"].into_iter().chain(defaults).chain(notice).chain(flags.split_whitespace());
        let identity = version().map(|version| (version, identity()));
        let certificate = identity.map(|(_, (_, path))| ["--ssl-certfile".into(), path.into()]);
        let args = args.map(OsString::from).chain(certificate.into_iter().flatten());
        let config = Config::read(args).expect("the flags are good");
        let ((ready, started), (ended, outcomes)) = (channel(), channel());
        thread::spawn(move || {
            let server = Server::bind(&config, service).expect("the port is free");
            let address = server.address().ip().expect("it listens on TCP");
            ready.send((address, server.handle())).expect("that is waited for");
            ended.send(server.run(|_| {}))
        });
        let (door, handle) = started.recv_timeout(PATIENCE).expect("the server starts");
        let before = match flags.contains("--proxy-protocol") {
            true => Before::ProxyProtocol,
            false => Before::Nothing,
        };
        let bridge =
            identity.map(|(version, (identity, _))| Bridge::to(door, identity.client(version), before));
        let address = bridge.as_ref().map_or(door, |bridge| bridge.address);
        Self { address, door, handle, outcomes, has_ended: false, bridge }
    }

    /// A client that has been welcomed.
    pub fn client(&self) -> Client {
        self.client_at("/ws")
    }

    /// A client that asks for this, and has been welcomed.
    pub fn client_at(&self, target: &str) -> Client {
        Client::join(self.address, target)
    }

    /// Waits until what was done to the server has reached it, and only so many are still connected.
    pub fn settle(&self, left: usize) {
        self.bridge.iter().for_each(|bridge| bridge.settle(left));
    }

    /// Does what a signal does.
    pub fn signal(&self) {
        self.handle.leave();
    }

    /// Waits for its end.
    pub fn outcome(&mut self) -> Outcome {
        let outcome = self.outcomes.recv_timeout(PATIENCE).expect("the server ends, and without a panic");
        self.has_ended = true;
        outcome.expect("the event loop works")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.signal();
            self.signal();
            if !thread::panicking() {
                self.outcome();
            }
        }
    }
}

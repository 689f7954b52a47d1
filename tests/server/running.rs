//! A server on a free port, in a thread of its own, that is ended when the test lets go of it.
//! A server that panics, fails or does not end fails the test.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use slackwater::config::Config;
use slackwater::policy::drain::Outcome;
use slackwater::server::{Handle, Server, Service};
use support::PATIENCE;
use support::client::Client;

/// Unless a test says otherwise, nothing is said unasked.
const DEFAULTS: [(&str, &str); 3] =
    [("--port", "0"), ("--notify-interval", "0"), ("--ws-ping-interval", "0")];

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    handle: Handle,
    outcomes: Receiver<io::Result<Outcome>>,
    has_ended: bool,
}

impl Running {
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
        let config = Config::read(args.map(OsString::from)).expect("the flags are good");
        let ((ready, started), (ended, outcomes)) = (channel(), channel());
        thread::spawn(move || {
            let server = Server::bind(&config, service).expect("the port is free");
            let address = server.address().ip().expect("it listens on TCP");
            ready.send((address, server.handle())).expect("that is waited for");
            ended.send(server.run(|_| {}))
        });
        let (address, handle) = started.recv_timeout(PATIENCE).expect("the server starts");
        Self { address, handle, outcomes, has_ended: false }
    }

    /// A client that has been welcomed.
    pub fn client(&self) -> Client {
        self.client_at("/ws")
    }

    /// A client that asks for this, and has been welcomed.
    pub fn client_at(&self, target: &str) -> Client {
        Client::join(self.address, target)
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

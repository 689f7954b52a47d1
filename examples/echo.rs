//! A bare echo on the server's own wire and loop, for conformance suites such as Autobahn|Testsuite: the same
//! opcode, the same payload, nothing unasked. Says on standard output where it listens, and takes the server's flags.

use std::error::Error;

use slackwater::config::Config;
use slackwater::server::control::take_signals;
use slackwater::server::{Server, Service};

fn main() -> Result<(), Box<dyn Error>> {
    let defaults =
        ["echo", "--port=0", "--ws-max-size=16777216", "--outbox-limit=67108864", "--ws-ping-interval=0"];
    let config = Config::read(defaults.map(Into::into).into_iter().chain(std::env::args_os().skip(1)))?;
    let signals = take_signals()?;
    let mut server = Server::bind(&config, Service::Echo)?;
    server.obey_signals(signals)?;
    println!("listening on {}://{}", if config.ssl.is_on() { "wss" } else { "ws" }, server.address());
    server.run(|_| {})?;
    Ok(())
}

//! Signals and the in-process handle become one closed enum.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::{Interest, Registry, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
pub use signal_hook_mio::v1_0::Signals;

/// What a process that serves obeys.
pub const SIGNALS: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// What the outside world may ask of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Leave: the first time gently, the second time at once. With whoever asks, in words.
    Leave(&'static str),
    /// The same, and the first time park all connections.
    Park,
    /// Hand over to the program that is on disk.
    HandOver,
}

/// Asks from another thread what a signal asks from another process.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: Sender<Control>,
    waker: Arc<Waker>,
}

impl Handle {
    /// As SIGTERM does. A server that has ended already is no error.
    pub fn leave(&self) {
        let _ = self.sender.send(Control::Leave("the program that runs it"));
        let _ = self.waker.wake();
    }
}

/// Takes SIGTERM, SIGINT and SIGHUP from now on, for a server to hear of: to be called before anything listens, as from
/// then on whoever has started this process may think that it serves.
///
/// # Errors
/// As `sigaction(2)`.
pub fn take_signals() -> io::Result<Signals> {
    Signals::new(SIGNALS)
}

/// A signal that asks a server to leave, as operators know it.
pub fn name_of(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGHUP => "SIGHUP, as the terminal has gone",
        _ => "SIGTERM",
    }
}

/// Where controls come from.
pub(super) struct Controls {
    receiver: Receiver<Control>,
    handle: Handle,
    signals: Option<Signals>,
    /// What has come and was only looked at.
    ahead: Vec<Control>,
    /// Whether somebody has started it at a terminal: when that is closed, it is to leave, too.
    is_at_terminal: bool,
    /// Whether SIGTERM means to park.
    parks: bool,
}

impl Controls {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let handle = Handle { sender, waker: Arc::new(Waker::new(registry, token)?) };
        Ok(Self {
            receiver,
            handle,
            signals: None,
            ahead: vec![],
            is_at_terminal: io::stdin().is_terminal(),
            parks: false,
        })
    }

    /// Has SIGTERM mean from now on that all connections are to be parked. SIGINT, a terminal's, never means that.
    pub(super) fn park_at_signal(&mut self) {
        self.parks = true;
    }

    /// Hears of these signals, also of those that have come since they were taken.
    pub(super) fn listen_to(
        &mut self,
        mut signals: Signals,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        registry.register(&mut signals, token, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// All that has come since the last call.
    pub(super) fn take(&mut self) -> Vec<Control> {
        let ahead = std::mem::take(&mut self.ahead);
        let signals = self.signals.iter_mut().flat_map(|signals| signals.pending());
        let meant = signals.map(|signal| match signal {
            SIGHUP if !self.is_at_terminal => Control::HandOver,
            SIGTERM if self.parks => Control::Park,
            signal => Control::Leave(name_of(signal)),
        });
        ahead.into_iter().chain(meant).chain(self.receiver.try_iter()).collect()
    }

    /// Whether it is asked to leave. No event announces any more what was seen here: it is to be taken.
    pub(super) fn look_whether_to_leave(&mut self) -> bool {
        self.ahead = self.take();
        self.ahead.iter().any(|control| matches!(control, Control::Leave(_) | Control::Park))
    }

    /// Whether there is something that was only looked at.
    pub(super) fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }
}

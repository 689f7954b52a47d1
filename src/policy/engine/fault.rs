//! Why a machine parts with its engine, and tries again.

use std::time::Duration;

use thiserror::Error;

use crate::policy::engine::cursor::Disorder;
use crate::policy::sequencer::PublicationId;

/// Why a generation came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// No connection, or no longer.
    #[error("{0}")]
    Connection(String),
    /// The other end has closed the connection.
    #[error("it has closed the connection")]
    Closed,
    /// It does not answer.
    #[error("it has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    /// The handshake of TLS does not come to its end.
    #[error("its handshake of TLS was not over in {} s: is TLS spoken there? Plain Redis says nothing to it", .0.as_secs())]
    Unsecured(Duration),
    /// It answers with an error.
    #[error("it answers {0:?}")]
    Refused(String),
    /// Its stream holds what no machine has put there: an id.
    #[error(
        "its stream holds {0}, an id that no machine gives: is the key used for something else? Choose another --engine-name, or \
         delete the key"
    )]
    Foreign(String),
    /// One of its keys, these in words, holds what no machine has put there.
    #[error(
        "it answers WRONGTYPE, since {0} holds something else: choose another --engine-name, or delete the key"
    )]
    WrongType(String),
    /// One of the sentinels that know where it is.
    #[error("sentinel {name}: {fault}")]
    Sentinel {
        /// Its host and port, as configured.
        name: String,
        /// What is wrong with it.
        fault: Box<Fault>,
    },
    /// What it answers is not what was asked for.
    #[error("it answers otherwise than Redis does: {0}")]
    Garbled(String),
    /// It cannot do what is needed.
    #[error("it is {product} {version}, and Redis 7.0 or Valkey 8 is the oldest that can be used")]
    TooOld {
        /// As it calls itself.
        product: String,
        /// As it says.
        version: String,
    },
    /// It follows another.
    #[error("it is a replica, and only its master can be written to")]
    Replica,
    /// No sentinel knows the master.
    #[error("it does not know this master")]
    Unknown,
    /// What was asked for is kept by another node of a cluster.
    #[error("the key is kept by {0}:{1}")]
    Moved(String, u16),
    /// The sentinels have made another the master.
    #[error("{0}:{1} is the master now")]
    Replaced(String, u16),
    /// Another machine has begun another epoch.
    #[error("another epoch has begun")]
    Superseded,
    /// The stream is not there any more.
    #[error("its stream is gone")]
    Gone,
    /// It gives ids again that it has given before, though it has not started again: the stream was put back in an earlier state.
    #[error("its stream was set back behind {0}, which is known here")]
    SetBack(PublicationId),
    /// An older entry behind a newer one.
    #[error(transparent)]
    Disorder(#[from] Disorder),
}

impl Fault {
    /// The same, with `show` of each of the words that are not this server's own.
    #[must_use]
    pub fn with_words(&self, show: &impl Fn(&str) -> String) -> Self {
        match self {
            Self::Connection(why) => Self::Connection(show(why)),
            Self::Refused(why) => Self::Refused(show(why)),
            Self::Garbled(what) => Self::Garbled(show(what)),
            Self::Foreign(id) => Self::Foreign(show(id)),
            Self::TooOld { product, version } => {
                Self::TooOld { product: show(product), version: show(version) }
            }
            Self::Moved(host, port) => Self::Moved(show(host), *port),
            Self::Replaced(host, port) => Self::Replaced(show(host), *port),
            Self::Sentinel { name, fault } => {
                Self::Sentinel { name: name.clone(), fault: fault.with_words(show).into() }
            }
            Self::Closed
            | Self::Silent(_)
            | Self::Unsecured(_)
            | Self::Replica
            | Self::Unknown
            | Self::WrongType(_)
            | Self::Superseded
            | Self::Gone
            | Self::SetBack(_)
            | Self::Disorder(_) => self.clone(),
        }
    }
}

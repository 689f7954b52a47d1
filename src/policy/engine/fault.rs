//! Why a machine parts with its engine, and tries again.

use std::time::Duration;

use thiserror::Error;

use crate::policy::engine::cursor::Disorder;

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
    /// It answers with an error.
    #[error("it answers {0:?}")]
    Refused(String),
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
    #[error("the sentinel does not know this master")]
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
    /// An older entry behind a newer one.
    #[error(transparent)]
    Disorder(#[from] Disorder),
}

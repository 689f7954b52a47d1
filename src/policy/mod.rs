//! The room that decides: no sockets, no clock, no files, no logging. It is told the time and answers with values.

pub mod addresses;
pub mod drain;
pub mod expiries;
pub mod feed;
pub mod fingerprint;
pub mod handover;
pub mod heard;
pub mod history;
pub mod hub;
pub mod idempotency;
pub mod mentions;
pub mod message_limit;
pub mod moments;
pub mod parking;
pub mod period;
pub mod positions;
pub mod rate;
pub mod reconnect_notices;
pub mod replay;
pub mod rights;
pub mod roster;
pub mod sequencer;
pub mod tally;
pub mod topic;
pub mod topic_index;

//! The room that speaks: bytes in, bytes out. No sockets and no clock; what it needs of either it is handed.

pub mod authority;
pub mod body;
pub mod commands;
pub mod ending;
pub mod event_stream;
pub mod exposition;
pub mod forwarding;
pub mod head;
pub mod link;
pub mod messages;
pub mod metrics;
pub mod object;
pub mod outbox;
pub mod overview;
pub mod proxy_protocol;
pub mod publish;
pub mod published;
pub mod refusal;
pub mod request;
pub mod request_buffer;
pub mod response;
pub mod snapshot;
pub mod subscriptions;
pub mod target;
pub mod upgrade;
pub mod websocket;

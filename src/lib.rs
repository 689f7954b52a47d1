//! Slackwater: a small self-hosted real-time notification server that can be redeployed without its clients
//! noticing. Many mostly idle clients hold a WebSocket open, hear every notification once, in order, and are let go
//! gently when the server stops. One process is one thread: a mio poll loop that owns a slab of connections.

pub mod frame;
pub mod policy;
pub mod wire;

//! The room that answers HTTP: which request does what, who may ask for it, and what is served. It moves no bytes and knows
//! no connection: a request comes in whole, and an answer goes out.

pub mod access;
pub mod answer;
pub mod auth;
pub mod challenge;
pub mod credentials;
pub mod door;
pub mod forwarded;
pub mod host;
pub mod keys;
pub mod minting;
pub mod origin;
pub mod redirect;
pub mod report;
pub mod routes;
pub mod site;
pub mod token;

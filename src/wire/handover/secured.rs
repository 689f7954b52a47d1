//! How TLS stands on a connection, as it is handed over with it. What is in a session is not known here: a program that was built without
//! TLS reads this, too, and sees that it cannot go on with it.

use minicbor::{Decode, Encode};

use crate::wire::octets::Octets;

/// TLS on one connection.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Tls {
    /// The client has said nothing: it may as well have connected just now.
    #[n(0)]
    Awaited,
    /// A proxy says first, in plain, who has connected,
    #[n(1)]
    Preamble {
        /// and has said this of it. It was handed on.
        #[cbor(n(0), with = "minicbor::bytes")]
        said: Vec<u8>,
    },
    /// The two have agreed on keys.
    #[n(2)]
    Open(#[n(0)] Open),
}

/// A session that is open, and what is on its way through it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Open {
    /// `wire::tls::Exported`.
    #[n(0)]
    pub session: Octets,
    /// What is encrypted, and was not taken by the socket yet.
    #[cbor(n(1), default, with = "minicbor::bytes")]
    pub unsent: Vec<u8>,
    /// Whether the first octet that is still to be written is the last one that has been encrypted.
    #[cbor(n(2), default)]
    pub owes_byte: bool,
    /// What was read and not decrypted,
    #[cbor(n(3), default, with = "minicbor::bytes")]
    pub ciphertext: Vec<u8>,
    /// and what was decrypted ahead of that and not heard.
    #[cbor(n(4), default, with = "minicbor::bytes")]
    pub plaintext: Vec<u8>,
}

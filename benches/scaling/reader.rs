//! Clients that look at every octet. All of them hear a publication in the same octets: for whom they are new takes them
//! apart, and sees that they say what was published; all others compare.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::common::channel::Channel;
use super::common::encoding::Encoding;
use super::common::subscriber::{Inbound, position_of};

/// The publication that the clients are hearing.
#[derive(Debug)]
pub struct Edition {
    encoding: Encoding,
    position: u64,
    /// What was published.
    data: String,
    /// As it comes; empty until the first client has heard it.
    octets: Vec<u8>,
    /// What all clients have taken of it.
    pub wire_bytes: u64,
}

/// What keeps a stream alive on which nothing comes: a comment, in a chunk.
const COMMENT: &[u8] = b"3\r\n:\n\n\r\n";

/// A publication, as far as it matters here.
#[derive(Deserialize)]
struct Publication<'a> {
    id: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Edition {
    /// A publication that nobody has heard yet.
    pub fn new(encoding: Encoding, position: u64, data: String) -> Self {
        Self { encoding, position, data, octets: Vec::new(), wire_bytes: 0 }
    }

    /// Takes the publication from `input`, if all of it is there. Comments, which keep a stream alive, are passed over.
    fn take(&mut self, input: &mut &[u8]) -> bool {
        while self.octets.is_empty() {
            let Some(said) = self.encoding.first(input) else { return false };
            let (octets, rest) = input.split_at(said.length);
            if !said.json.is_empty() {
                self.check(&said.json, said.id.as_deref());
                self.octets = octets.to_vec();
                break;
            }
            *input = rest;
        }
        while let Some(rest) = input.strip_prefix(COMMENT) {
            *input = rest;
        }
        if COMMENT.starts_with(input) {
            return false;
        }
        let Some(rest) = input.strip_prefix(&*self.octets) else {
            assert!(self.octets.starts_with(input), "all clients hear the same octets");
            return false;
        };
        self.wire_bytes += self.octets.len() as u64;
        *input = rest;
        true
    }

    fn check(&self, json: &[u8], id: Option<&str>) {
        let publication: Publication = serde_json::from_slice(json).expect("a publication comes");
        assert_eq!(publication.data.get(), self.data, "what comes is what was published");
        assert_eq!(position_of(publication.id.as_bytes()), self.position, "each comes in its order");
        assert!(id.is_none_or(|id| id == publication.id), "the event and the message have one id");
    }
}

/// One client.
pub struct Reader<C> {
    inbound: Inbound<C>,
    /// The position of the newest publication that it has heard.
    heard: u64,
}

impl<C: Channel> Reader<C> {
    /// One that has been greeted, and told the position of the newest publication.
    pub fn new(channel: C, heard: u64) -> Self {
        Self { inbound: Inbound::new(channel), heard }
    }

    /// What it hears by.
    pub fn channel(&self) -> &C {
        &self.inbound.channel
    }

    /// Reads what has come, and says how many publications that were: one or none.
    pub fn read(&mut self, scratch: &mut [u8], edition: &mut Edition) -> u64 {
        let before = self.heard;
        let room = scratch.len();
        while let Some(mut rest) = self.inbound.read(scratch) {
            // Less than there was room for: the socket is empty (epoll(7)).
            let is_emptied = rest.len() < room;
            while edition.take(&mut rest) {
                self.heard += 1;
                assert_eq!(self.heard, edition.position, "each publication is heard once and in order");
            }
            self.inbound.keep(rest);
            if is_emptied {
                break;
            }
        }
        self.heard - before
    }
}

//! Peers that are in the midst of something while one process ends and another goes on.

use std::net::SocketAddr;

use support::HEALTHZ;
use support::frames::{frame, text};
use support::peer::Peer;

/// Whose first message has been answered, and the next been read in part.
pub struct Half {
    peer: Peer,
    rest: Vec<u8>,
    expected: String,
}

impl Half {
    /// One for each place in which a message may be cut.
    pub fn all(address: SocketAddr) -> Vec<Self> {
        let long = "x".repeat(65_536);
        let mut all = vec![];
        for message in ["short", &"m".repeat(500), &long] {
            let whole = text(message);
            for cut in [1, 3, 5, 7, 9, 13, whole.len() - 1].into_iter().filter(|cut| *cut < whole.len()) {
                all.push(Self::of(address, &whole[..cut], &whole[cut..], message));
            }
        }
        // A fragment ends within a character.
        let fragments = [frame(0x01, [b'a', 0xe2, 0x82]), frame(0x80, [0xac])];
        all.push(Self::of(address, &fragments[0], &fragments[1], "a€"));
        all
    }

    fn of(address: SocketAddr, part: &[u8], rest: &[u8], message: &str) -> Self {
        let mut peer = Peer::connect(address).upgraded();
        // Read together: once the first is answered, the beginning of the second has been read.
        peer.send([&text("first"), part].concat());
        assert_eq!(peer.message()["message"], "Server received: first");
        Self { peer, rest: rest.to_vec(), expected: format!("Server received: {message}") }
    }

    pub fn say_rest(&mut self) {
        self.peer.send(&self.rest);
    }

    pub fn assert_answered(mut self) {
        assert_eq!(self.peer.message()["message"], self.expected.as_str());
    }
}

/// Who speaks HTTP: between two requests, within the head of one, and ahead of the first.
pub struct Requesting {
    kept: Peer,
    within: Peer,
    silent: Peer,
}

impl Requesting {
    pub fn begin(address: SocketAddr) -> Self {
        let [mut kept, mut within, silent] = [(); 3].map(|()| Peer::connect(address));
        kept.send(HEALTHZ);
        within.send([HEALTHZ, &HEALTHZ[..20]].concat());
        [&mut kept, &mut within].into_iter().for_each(|peer| assert_eq!(peer.response().status, 200));
        Self { kept, within, silent }
    }

    pub fn assert_answered(mut self) {
        self.within.send(&HEALTHZ[20..]);
        self.kept.send(HEALTHZ);
        self.silent.send(HEALTHZ);
        for mut peer in [self.kept, self.within, self.silent] {
            assert_eq!(peer.response().status, 200);
        }
    }
}

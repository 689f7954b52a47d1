//! What many or mad peers cost: places, and nobody else anything. What memory they cost is in `program/memory.rs`.

use super::*;

#[test]
fn beyond_the_limit_of_connections_all_but_the_health_check_is_told_503() {
    let server = Running::with("--limit-concurrency 2");
    let _two = [server.client(), server.client()];
    for request in [HANDSHAKE, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut third = Peer::connect(server.address);
        third.send(request);
        let response = third.response();
        let fields = ["Retry-After", "Connection"].map(|name| response.field(name));
        assert_eq!((response.status, fields), (503, [Some("5"), Some("close")]));
        assert_eq!(third.rest(), b"");
    }
    let mut third = Peer::connect(server.address);
    third.send(HEALTHZ);
    assert_eq!(third.response().status, 200);
}

#[test]
fn a_place_that_is_given_up_can_be_taken() {
    let server = Running::with("--limit-concurrency 1");
    let began = Instant::now();
    let mut places_taken = 0;
    while places_taken < 20 {
        let mut peer = Peer::connect(server.address);
        peer.send(HANDSHAKE);
        // The one before counts until the server has seen the end of its stream.
        if peer.head().status == 101 {
            peer.send(frame(CLOSE, ""));
            assert_eq!(peer.close_code(), None);
            places_taken += 1;
        }
        assert!(began.elapsed() < PATIENCE, "the place stays taken");
    }
}

#[test]
fn resets_at_any_moment_are_survived() {
    let server = Running::with("--notify-interval 0.01 --outbox-limit 65536");
    let mut survivor = server.client();
    for round in 0..40 {
        reset(Peer::connect(server.address));
        let mut half = Peer::connect(server.address);
        half.send(&HANDSHAKE[..round]);
        reset(half);
        let mut unread = Peer::connect(server.address);
        unread.send(HANDSHAKE);
        reset(unread);
        reset(Peer::connect(server.address).upgraded());
        let mut deaf = Peer::with_little_room(server.address).upgraded();
        deaf.send(text("x").repeat(100 * round));
        reset(deaf);
        let mut violator = Peer::connect(server.address).upgraded();
        violator.send(frame(0x83, ""));
        reset(violator);
    }
    survivor.say("still here");
    while survivor.hear()["type"] != "echo" {}
    hear_until_active(&mut survivor, 1);
}

#[test]
fn a_client_that_vanishes_without_a_close_is_forgotten() {
    let server = Running::with("--notify-interval 0.1");
    let mut survivor = server.client();
    let halves = [Peer::connect(server.address).upgraded(), Peer::connect(server.address).upgraded()];
    halves[0].finish();
    hear_until_active(&mut survivor, 2);
    drop(halves);
    hear_until_active(&mut survivor, 1);
}

/// Numbers that look random, the same ones for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_be_bytes()).take(count / 8).flatten().collect()
    }

    /// Garbage of several kinds: raw, behind a handshake, as frames of any header, a damaged handshake.
    fn stream(&mut self) -> Vec<u8> {
        let garbage = {
            let count = self.below(2000);
            self.octets(count)
        };
        match self.below(4) {
            0 => garbage,
            1 => [HANDSHAKE.as_bytes(), &garbage].concat(),
            2 => {
                let frames = garbage.chunks(50).map(|chunk| frame(chunk[0] & 0x8f, &chunk[1..]));
                [HANDSHAKE.as_bytes(), &frames.collect::<Vec<_>>().concat()].concat()
            }
            _ => {
                let mut damaged = HANDSHAKE.as_bytes().to_vec();
                let place = self.below(damaged.len());
                damaged[place] = self.next().to_be_bytes()[0];
                [damaged, garbage].concat()
            }
        }
    }
}

#[test]
fn garbage_never_ends_the_server() {
    let server = Running::with("");
    for seed in 0..1000 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut peer = Peer::connect(server.address);
        let stream = random.stream();
        for piece in stream.chunks(1 + random.below(700)) {
            // The server may have had enough already.
            let _ = peer.socket.write_all(piece);
        }
        if random.below(3) == 0 {
            reset(peer);
        } else {
            peer.finish();
            peer.rest();
        }
    }
    assert_serves(&server);
}

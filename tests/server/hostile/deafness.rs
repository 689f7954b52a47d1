//! Clients that do not read, do not answer, or speak without end: they are cut, and nobody else notices.

use super::*;

#[test]
fn a_client_that_does_not_read_what_it_asks_for_is_cut_by_lag_and_nobody_else_notices() {
    let server = Running::with("--outbox-limit 16384 --notify-interval 0.1");
    let mut bystander = server.client();
    let first = number_of(&bystander.hear());
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text(&"x".repeat(2000)).repeat(1000));
    assert_eq!(deaf.close_code(), Some(4001));
    let heard = [(); 5].map(|()| number_of(&bystander.hear()));
    assert_eq!(heard, [1, 2, 3, 4, 5].map(|further| first + further));
}

#[test]
fn a_client_that_takes_nothing_is_cut_by_time_and_nobody_else_notices() {
    let server = Running::with("--write-timeout 0.3 --notify-interval 0.05");
    let mut bystander = server.client();
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text("x").repeat(MUCH_TO_ECHO));
    let (stalled, first) = (Instant::now(), number_of(&bystander.hear()));
    let mut heard = vec![];
    // What its system has taken at first is seen, and gives it the same time again.
    while stalled.elapsed() < Duration::from_millis(900) {
        heard.push(number_of(&bystander.hear()));
    }
    assert_eq!(deaf.close_code(), Some(4001));
    assert_eq!(heard, (first + 1..=first + heard.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_client_that_never_reads_again_is_forgotten() {
    let server = Running::with("--write-timeout 0.1 --notify-interval 0.1");
    let mut deaf = Peer::with_little_room(server.address).upgraded();
    deaf.send(text("x").repeat(MUCH_TO_ECHO));
    let mut bystander = server.client();
    hear_until_active(&mut bystander, 1);
    assert!(deaf.socket.take_error().is_ok(), "it is still there, and deaf");
}

#[test]
fn who_asks_for_pages_and_does_not_read_them_is_cut_by_time() {
    let server = Running::with("--write-timeout 0.1 --limit-concurrency 1");
    let mut deaf = Peer::with_little_room(server.address);
    deaf.send("GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400));
    assert_eq!(deaf.response().status, 200);
    let status = || {
        let mut peer = Peer::connect(server.address);
        peer.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        peer.response().status
    };
    let began = Instant::now();
    while status() != 200 {
        assert!(began.elapsed() < PATIENCE, "the deaf one still holds its place");
    }
}

#[test]
fn a_client_without_pongs_is_told_4003() {
    let server = Running::with("--ws-ping-interval 0.1 --ws-ping-timeout 0.2");
    let began = Instant::now();
    let mut peer = Peer::connect(server.address).upgraded();
    assert_eq!(peer.frame().first, PING);
    peer.send(text("talking shows that somebody is there"));
    assert_eq!(peer.message()["type"], "echo");
    assert_eq!(peer.frame().first, PING, "and who is there is pinged again");
    assert_eq!(peer.close_code(), Some(4003));
    assert_waited(began, 400);
}

#[test]
fn a_loud_client_does_not_keep_others_waiting() {
    let server = Running::with("");
    let (mut loud, mut quiet) =
        (Peer::connect(server.address).upgraded(), Peer::connect(server.address).upgraded());
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pongs = frame(0x8a, [b'x'; 125]).repeat(1000);
            while !enough.load(Ordering::Relaxed) {
                loud.send(&pongs);
            }
        });
        for _ in 0..100 {
            quiet.send(text("hello"));
            assert_eq!(quiet.message()["message"], "Server received: hello");
        }
        enough.store(true, Ordering::Relaxed);
    });
}

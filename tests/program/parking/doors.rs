//! What was listened on is listened on again, and who waits there is served: whatever it is, and unless the next start is to listen
//! elsewhere.

use std::net::TcpListener;

use support::HEALTHZ;
use support::peer::Peer;
use support::publisher::Publisher;

use super::server::Service;
use crate::door::Door;
use crate::operating::redirecting::{Certified, plain};
use crate::process::address_in;

#[test]
fn a_socket_of_the_service_managers_is_listened_on_beside_what_was_parked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let manager = super::manager::Manager::new(1);
    let mut service = Service::idle(manager, "--port 1");
    service.go_on_with(&[&listener]);
    assert_eq!(service.address(), address);
    let mut client = service.client();
    for _ in 0..2 {
        service.park();
        let mut waiting = Peer::connect(address);
        waiting.send(HEALTHZ);
        service.go_on_with(&[&listener]);
        assert_eq!(service.address(), address);
        assert_eq!(waiting.response().status, 200);
        client.echo("x");
    }
}

#[test]
fn a_unix_socket_and_one_for_operators_go_on_with_their_files() {
    let manager = super::manager::Manager::new(1);
    let folder = manager.folder();
    let [public, admin] = ["public", "admin"].map(|name| folder.join(name));
    let flags = format!("--uds {} --admin {}", public.display(), admin.display());
    let mut service = Service::idle(manager, &flags);
    service.go_on();
    let [clients, operators] = [&public, &admin].map(|path| Door::Unix(path.clone()));
    for _ in 0..2 {
        assert_eq!((clients.get("/healthz").status, operators.get("/readyz").status), (200, 200));
        service.park();
        assert!(public.exists() && admin.exists());
        service.go_on();
    }
    assert_eq!((clients.get("/healthz").status, operators.get("/readyz").status), (200, 200));
    service.process().signal("INT");
    assert_eq!(service.end().0, Some(0));
    assert!(!public.exists() && !admin.exists(), "they go with the last");
}

#[test]
fn who_waits_to_be_redirected_is_by_the_next_start() {
    let certified = Certified::new();
    for workers in ["", "--workers 2"] {
        let mut service = Service::start(&format!("{} {workers}", certified.redirecting()));
        let Door::Ip(address) = plain(service.process()) else { panic!("it has a port") };
        for _ in 0..2 {
            service.park();
            let mut waiting = Peer::connect(address);
            waiting.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
            service.go_on();
            let answer = waiting.response();
            let location = format!("https://a.example:{}/x", service.address().port());
            assert_eq!((answer.status, answer.field("location")), (301, Some(&*location)), "{workers}");
        }
    }
}

#[test]
fn a_next_start_that_listens_elsewhere_goes_on_with_the_connections() {
    let mut service = Service::start("");
    let before = service.address();
    let mut client = service.client();
    service.park();
    service.flags = "--host 127.0.0.2".to_owned();
    service.go_on();
    let after = address_in(&service.process().line("Serving the page on"));
    assert_eq!(after.ip().to_string(), "127.0.0.2");
    client.echo("x");
    Publisher::connect(after).publish("from elsewhere");
    assert_eq!(client.hear_data(), "from elsewhere");
    assert!(std::net::TcpStream::connect(before).is_err(), "nobody listens there any more");
}

#[test]
fn a_next_start_may_have_other_limits_and_more() {
    let mut service = Service::start("--ws-per-message-deflate");
    let mut client = service.client();
    service.park();
    service.flags = "--limit-concurrency 1 --max-publish-size 10 --handover-timeout 1".to_owned();
    service.go_on();
    client.echo("x");
    let mut newcomer = Peer::connect(service.address());
    newcomer.send(support::HANDSHAKE);
    assert_eq!(newcomer.head().status, 503);
}

#[test]
fn a_path_for_successors_is_free_for_the_next_start() {
    let manager = super::manager::Manager::new(1);
    let path = manager.folder().join("handover");
    let flags = format!("--handover {}", path.display());
    let mut service = Service::idle(manager, &flags);
    service.go_on();
    let mut client = service.client();
    for _ in 0..2 {
        service.park();
        assert!(!path.exists());
        service.go_on();
        assert!(path.exists());
        client.echo("x");
    }
}

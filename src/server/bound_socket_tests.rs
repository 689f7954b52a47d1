//! What is listened on where a name has several addresses.

use std::net::{TcpListener, TcpStream};

use super::*;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_name_is_listened_on_at_all_of_its_addresses_and_at_one_port() {
    for shared in [false, true] {
        let bound = BoundSocket::bind_all(&addresses(&["127.0.0.2:0", "127.0.0.3:0"]), 8, shared).unwrap();
        let [Address::Ip(one), Address::Ip(other)] = bound.addresses() else { panic!() };
        assert_eq!((one.to_string(), one.port()), (format!("127.0.0.2:{}", other.port()), other.port()));
        for address in [one, other] {
            TcpStream::connect(address).unwrap();
        }
        if shared {
            let again = bound.bind_again(8).unwrap();
            assert_eq!(again.addresses(), bound.addresses());
        }
        assert_eq!(bound.share().unwrap().sockets().len(), 2);
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_left_out_unless_it_is_the_only_one() {
    let bound = BoundSocket::bind_all(&addresses(&["192.0.2.1:0", "127.0.0.1:0"]), 8, true).unwrap();
    assert_eq!(bound.addresses().len(), 1);
    let refused = BoundSocket::bind_all(&addresses(&["192.0.2.1:0", "198.51.100.1:0"]), 8, true).unwrap_err();
    assert!(refused.to_string().starts_with("cannot listen on 192.0.2.1:0"), "{refused}");
}

/// Who holds an address, that address, and a free one with the same port.
fn one_address_of_two_in_use() -> (TcpListener, SocketAddr, SocketAddr) {
    loop {
        let holder = TcpListener::bind("127.0.0.3:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let free = SocketAddr::from(([127, 0, 0, 2], taken.port()));
        if TcpListener::bind(free).is_ok() {
            return (holder, taken, free);
        }
    }
}

#[test]
fn one_address_in_use_is_refused_though_the_other_is_free() {
    let (_holder, taken, free) = one_address_of_two_in_use();
    for shared in [false, true] {
        let refused = BoundSocket::bind_all(&[free, taken], 8, shared).unwrap_err().to_string();
        assert!(refused.contains(&taken.to_string()) && refused.contains("--port"), "{refused}");
    }
}

#[test]
fn the_address_that_others_can_reach_stands_for_all() {
    let both = addresses(&["127.0.0.1:0", "0.0.0.0:0"]);
    // The same port of both cannot be had at once: they are bound one by one.
    let [one, other] = [both[0], both[1]].map(|address| BoundSocket::bind_all(&[address], 8, false).unwrap());
    let reachable = other.address().clone();
    let bound = BoundSocket::join([one, other]).unwrap();
    assert_eq!(bound.address(), &reachable);
    assert!(!bound.address().is_loopback());
}

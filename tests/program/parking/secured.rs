//! Connections over TLS are parked with their sessions.

use super::server::Service;
use crate::secured::{Guests, House};

#[test]
fn clients_over_tls_are_parked_in_the_midst_of_everything_with_one_process_or_several() {
    for workers in [1, 2] {
        let house = House::new();
        let mut service = Service::start(&format!("{} --workers {workers}", house.flags()));
        let guests = Guests::invite(&house, service.address());
        service.restart();
        house.publish("over");
        guests.assert_gone_on(&house, "over");
    }
}

//! By which door somebody has come in is known to whoever goes on with the connection.

use super::*;
use crate::http::door::Door;

#[test]
fn whoever_is_redirected_goes_on_being_redirected_and_nothing_else() {
    let mut house = House::with("");
    let head = "GET /healthz HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let who = house.connect_by(Door::Redirect, None, [head, &head[..9]].concat());
    assert_eq!(house.hand_over(""), 0);
    house.say(who, &head[9..]);
    let told = house.told(who);
    assert_eq!(told.matches("HTTP/1.1 301 Moved Permanently\r\n").count(), 2, "{told}");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 2, "{told}");
}

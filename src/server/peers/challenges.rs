//! What a certificate authority is given that asks at the port of plain HTTP, and that somebody is told if it cannot be given.
//! How the file is read is for `webroot`.

use log::warn;

use super::Peers;
use crate::http::challenge::Challenge;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::server::webroot::Withheld;
use crate::wire::response::Response;

impl<S: Socket> Peers<S> {
    /// The answer to this challenge.
    pub(super) fn prove(&mut self, challenge: &Challenge, now: Now) -> Response {
        let read =
            self.terms.webroot.as_ref().map_or(Err(Withheld::Absent), |webroot| webroot.read(challenge));
        match read {
            Ok(content) => return Response::new(200, "text/plain", content),
            Err(Withheld::Absent) => {}
            Err(Withheld::Denied(why)) => {
                if self.unreadable_challenges.add(now.instant).is_some() {
                    warn!("{why}");
                }
            }
        }
        Response::error(404, "not found")
    }
}

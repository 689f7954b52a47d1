//! Who the clients are that have shown a token: what they may, and until when.

use std::io;
use std::time::Instant;

use jiff::Timestamp;

use super::Peers;
use super::moving::parse;
use crate::http::token::Identity;
use crate::policy::expiries::Expiries;
use crate::policy::rights::Rights;
use crate::policy::topic::Filter;
use crate::server::clock::Now;
use crate::server::socket::Socket;
use crate::wire::ending::Ending;
use crate::wire::handover::Damaged;
use crate::wire::handover::record;

/// A client that has shown a token.
#[derive(Debug)]
pub(in crate::server) struct Member {
    pub(super) identity: Identity,
    /// When it is nobody any more, by the steady clock.
    expires: Option<Instant>,
}

impl Member {
    /// As it is handed over to another process.
    pub(super) fn pack(&self) -> record::Member {
        let [subscribe, publish] = self
            .identity
            .rights
            .granted()
            .map(|filters| filters.iter().map(|filter| filter.as_str().to_owned()).collect::<Vec<_>>());
        record::Member {
            subject: self.identity.subject.clone(),
            expires_unix_ms: self.identity.expires.map(Timestamp::as_millisecond),
            subscribe,
            publish,
        }
    }

    /// The client has gone, or its token no longer counts.
    pub(super) fn forget(&self, key: usize, expiries: &mut Expiries) {
        self.expires.into_iter().for_each(|at| expiries.remove(key, at));
    }
}

impl<S: Socket> Peers<S> {
    /// This is who a connection is from now on; one that had no token is nobody.
    pub(super) fn identify(&mut self, key: usize, identity: Option<Box<Identity>>, now: Now) {
        let member = &mut self.connections[key].member;
        member.take().into_iter().for_each(|member| member.forget(key, &mut self.expiries));
        let Some(identity) = identity else { return };
        let expires = identity.expires.and_then(|at| now.instant_at(at));
        expires.into_iter().for_each(|at| self.expiries.add(key, at));
        self.connections[key].member = Some(Box::new(Member { identity: *identity, expires }));
    }

    /// This is who a connection was in another process.
    pub(super) fn identify_again(&mut self, key: usize, member: record::Member, now: Now) -> io::Result<()> {
        let expires = member.expires_unix_ms.map(Timestamp::from_millisecond).transpose();
        let identity = Identity {
            subject: member.subject,
            expires: expires.map_err(|_| io::Error::other(Damaged))?,
            rights: Rights::new(parse(&member.subscribe)?, parse(&member.publish)?),
        };
        self.identify(key, Some(Box::new(identity)), now);
        Ok(())
    }

    /// Whether it may listen to this. Where no tokens are expected everybody may listen to everything.
    pub(super) fn may_subscribe(&self, key: usize, filter: &Filter) -> bool {
        let Some(auth) = &self.terms.auth else { return true };
        let member = self.connections[key].member.as_deref();
        auth.rights_of(member.map(|member| &member.identity)).may_subscribe(filter)
    }

    /// Closes those whose token had expired when all that had arrived was read: a new one may have been among it.
    pub(super) fn close_expired(&mut self, now: Now, heard_until: Instant) {
        while let Some(key) = self.expiries.take_expired(heard_until) {
            // What a fan-out under way has not brought yet goes ahead of the close.
            self.hand_pending(key, now);
            self.say_when_to_return(key, None, now);
            let connection = &mut self.connections[key];
            connection.end(Ending::Expired, now);
            self.agenda.mark_swept_up(key, connection);
        }
    }
}

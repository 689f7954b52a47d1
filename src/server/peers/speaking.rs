//! What a client does with its token while it is connected: it publishes, and shows a new one in time.

use serde_json::value::RawValue;

use super::{Mode, Peers};
use crate::http::token::Identity;
use crate::policy::idempotency::Scope;
use crate::policy::topic::{Filter, TopicName};
use crate::server::clock::Now;
use crate::server::question::Answer;
use crate::server::socket::Socket;
use crate::wire::commands::{Json, Publication, Publish, Unreadable};
use crate::wire::messages::ServerMessage;

/// For programs and for people.
type Reason = (&'static str, String);

/// What the answer to a publication bears, so that the client knows what it is for.
#[derive(Debug)]
pub(super) struct Spoken {
    /// As the client has named it.
    pub(super) reference: Option<Json>,
    /// Where it publishes to, unless it names nothing that could be repeated.
    pub(super) topic: Option<String>,
}

impl<S: Socket> Peers<S> {
    /// Publishes for a client whose token grants it; it is answered once the publication has its position.
    pub(super) fn publish_command(&mut self, key: usize, publish: Publish, now: Now) {
        let Publish { reference, publication } = publish;
        let publication = match publication {
            Ok(publication) => publication,
            Err(Unreadable { code, message, topic }) => {
                return self.tell_unpublished(key, &(code, message), &Spoken { reference, topic }, now);
            }
        };
        let spoken = Spoken { reference, topic: Some(publication.topic.as_str().to_owned()) };
        if let Err(why) = self.check_publication(key, &publication) {
            return self.tell_unpublished(key, &why, &spoken, now);
        }
        self.connections[key].publishes = true;
        let member = self.connections[key].member.as_deref();
        let subject = member.and_then(|member| member.identity.subject.as_deref());
        let submission = publication.into_submission(Scope::of_subject(subject));
        self.submit_spoken(key, submission, spoken);
    }

    fn check_publication(&self, key: usize, publication: &Publication) -> Result<(), Reason> {
        let size = publication.data.0.get().len();
        if !self.may_publish(key, &publication.topic) {
            let topic = publication.topic.as_str();
            Err(("forbidden", format!("no token grants to publish to {topic:?}")))
        } else if size > self.terms.max_publish_bytes {
            let most = self.terms.max_publish_bytes;
            let why =
                format!("the field \"data\" has {size} bytes, {most} are the most (--max-publish-size)");
            Err(("too_large", why))
        } else if matches!(self.mode, Mode::Leaving | Mode::Farewell) {
            Err(restarting())
        } else {
            Ok(())
        }
    }

    fn may_publish(&self, key: usize, topic: &TopicName) -> bool {
        let member = self.connections[key].member.as_deref();
        member.is_some_and(|member| member.identity.rights.may_publish(topic))
    }

    /// Tells a client what has become of what it has published.
    pub(super) fn tell_speaker(&mut self, key: usize, answer: Answer, spoken: &Spoken, now: Now) {
        let published = match answer {
            Answer::Published(Ok(published)) => published.ids().next().ok_or_else(restarting),
            Answer::Published(Err(why)) => Err((why.code(), why.to_string())),
            _ => Err(restarting()),
        };
        match published {
            Ok(id) => {
                let reference = raw(spoken);
                self.tell(key, &ServerMessage::Published { id, reference, timestamp: now.wall }, now);
            }
            Err(why) => self.tell_unpublished(key, &why, spoken, now),
        }
    }

    fn tell_unpublished(&mut self, key: usize, (code, message): &Reason, spoken: &Spoken, now: Now) {
        self.counts.on_command_refused("publish", code);
        let (command, topic, timestamp) = ("publish", spoken.topic.as_deref(), now.wall);
        let reference = raw(spoken);
        self.tell(key, &ServerMessage::Error { code, message, command, topic, reference, timestamp }, now);
    }

    /// Lets a client be known by a new token of the same subject. What that does not grant is heard no longer.
    pub(super) fn refresh(&mut self, key: usize, token: &str, now: Now) {
        let identity = match self.check_refresh(key, token, now) {
            Ok(identity) => identity,
            Err((code, message)) => {
                self.counts.on_command_refused("refresh", code);
                let (command, timestamp) = ("refresh", now.wall);
                let (topic, reference, message) = (None, None, &*message);
                let error = ServerMessage::Error { code, message, command, topic, reference, timestamp };
                return self.tell(key, &error, now);
            }
        };
        let expires = identity.expires;
        self.identify(key, Some(Box::new(identity)), now);
        let filters: Vec<Filter> = self.feed.filters(key).cloned().collect();
        for filter in filters.iter().filter(|filter| !self.may_subscribe(key, filter)).collect::<Vec<_>>() {
            self.unsubscribe(key, filter, now);
            let topic = filter.as_str();
            self.tell(key, &ServerMessage::Unsubscribed { topic, timestamp: now.wall }, now);
        }
        self.tell(key, &ServerMessage::Refreshed { expires, timestamp: now.wall }, now);
    }

    fn check_refresh(&self, key: usize, token: &str, now: Now) -> Result<Identity, Reason> {
        let member = self.connections[key].member.as_deref();
        let (Some(auth), Some(member)) = (&self.terms.auth, member) else {
            return Err((
                "forbidden",
                "this connection has no token to refresh: connect with one".to_owned(),
            ));
        };
        let identity = auth.verify(token, now.wall).map_err(|fault| ("bad_token", fault.to_string()))?;
        if identity.subject == member.identity.subject {
            Ok(identity)
        } else {
            Err(("bad_token", "the token is of another subject (sub): connect with it".to_owned()))
        }
    }

    /// Says something behind what is pending, which does not count against the peer.
    fn tell(&mut self, key: usize, message: &ServerMessage<'_>, now: Now) {
        self.connections[key].send_behind_pending(message.to_frame(), now, &self.terms.limits);
    }
}

fn restarting() -> Reason {
    ("restarting", "the server is restarting".to_owned())
}

fn raw(spoken: &Spoken) -> Option<&RawValue> {
    spoken.reference.as_ref().map(|json| &*json.0)
}

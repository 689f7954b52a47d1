//! What the engine says: answers, and the entries of its stream, which become publications here.

use std::time::Instant;

use jiff::Timestamp;
use log::{Level, info, log, warn};

use super::{Engine, Expected, Given, News, PageOf};
use crate::policy::engine::cursor::Taken;
use crate::policy::engine::fault::Fault;
use crate::policy::engine::refusals::{Write, is_of_all_writes};
use crate::policy::engine::step::{Greeting, Line};
use crate::policy::epochs::Epochs;
use crate::policy::history::Publication;
use crate::policy::line::Continuation;
use crate::server::clock::Now;
use crate::server::engine::conversation::Conversation;
use crate::server::socket::Socket;
use crate::wire::engine::entry::{Content, Entry, news, page};
use crate::wire::engine::publishing::outcome;
use crate::wire::engine::{Matter, answer};
use crate::wire::messages;
use crate::wire::published::{Published, Unpublished};
use crate::wire::resp::reply::Reply;

impl<S: Socket, K> Engine<S, K> {
    /// Takes an answer.
    pub(super) fn hear(&mut self, expected: Expected, reply: Reply, now: Now) -> Result<(), Fault> {
        let matter = expected.matter();
        self.hear_answer(expected, reply, now).map_err(|fault| match fault {
            Fault::Refused(why) if is_wrong_type(&why) => {
                Fault::WrongType(self.terms.speaker.keys_of(matter))
            }
            fault => fault,
        })
    }

    fn hear_answer(&mut self, expected: Expected, reply: Reply, now: Now) -> Result<(), Fault> {
        let at = now.instant;
        match expected {
            Expected::Master => match answer::master(&reply)? {
                None => return Err(Fault::Unknown),
                master => self.course.on_master(master, at),
            },
            Expected::Greeting => {
                let greeting = answer::greeting(&reply)?;
                let [product, version] =
                    [&greeting.product, &greeting.version].map(|words| self.terms.speaker.show(words));
                self.greeting = Some(Greeting { product, version, ..greeting.clone() });
                self.course.on_greeting(greeting, at);
            }
            Expected::Done => answer::done(&reply)?,
            Expected::Anything => {}
            Expected::Begun => {
                let (begun, evicts) = answer::begun(&reply)?;
                if let Some(policy) = evicts.map(|policy| self.terms.speaker.show(&policy)) {
                    warn!(
                        "The engine {} may evict what is published, or what tells retries (maxmemory-policy {policy}): set it to noeviction",
                        self.terms.name
                    );
                }
                self.course.on_begun(begun);
            }
            Expected::Page(most) => {
                let entries = page(reply)?;
                self.page = Some(PageOf {
                    is_full: entries.len() >= most,
                    is_old: !self.course.has_read_all(),
                    entries: entries.into_iter(),
                });
            }
            Expected::News => {
                self.page = Some(PageOf { entries: news(reply)?.into_iter(), is_full: false, is_old: false });
            }
            Expected::Tail => {
                let newest = answer::id(&reply)?.or(self.course.newest());
                newest.into_iter().for_each(|newest| self.course.on_tail(newest, at));
            }
            Expected::Beat(known) => match answer::beaten(&reply) {
                Err(Fault::Refused(why)) => {
                    let why = self.words(&why, Matter::Machines);
                    self.on_refused(Write::Beat, &why, at);
                }
                answer => {
                    let (beaten, refused) = answer?;
                    match refused.map(|why| self.words(&why, Matter::Machines)) {
                        Some(why) => self.on_refused(Write::Beat, &why, at),
                        None => self.on_beat_taken(),
                    }
                    self.course.on_beat(beaten, known, at);
                }
            },
            Expected::Notified(known) => match answer::id(&reply) {
                Err(Fault::Refused(why)) => {
                    let why = self.words(&why, Matter::Notification);
                    self.on_refused(Write::Notification, &why, at);
                }
                id => match id? {
                    Some(id) if id <= known => return Err(Fault::SetBack(known)),
                    id => id.into_iter().for_each(|id| self.course.on_positioned(id, at)),
                },
            },
            Expected::Published { number, sent } => match outcome(&reply, sent) {
                Ok(outcome) => {
                    match &outcome {
                        Ok(_) => self.refusals.on_published(),
                        Err(Unpublished::EngineRefused(why)) => {
                            let why = self.words(why, Matter::Publication);
                            self.on_refused(Write::Publication, &why, at);
                        }
                        Err(_) => {}
                    }
                    let newest = outcome.iter().flat_map(Published::ids).max();
                    newest.into_iter().for_each(|id| self.course.on_positioned(id, at));
                    self.on_outcome(number, outcome);
                }
                Err(fault) => {
                    // It is where no machine reads any more, and may be heard by one that starts.
                    let is_there = matches!(fault, Fault::SetBack(_));
                    let unpublished = if is_there { Unpublished::Unknown } else { Unpublished::EngineDown };
                    self.on_outcome(number, Err(unpublished));
                    return Err(fault);
                }
            },
            Expected::Confirmed(count) => {
                self.writer.iter_mut().for_each(Conversation::go_on);
                let is_confirmed = answer::replicas(&reply)? > 0;
                for (number, outcome) in self.unconfirmed.drain(..count.min(self.unconfirmed.len())) {
                    let outcome =
                        if is_confirmed { outcome } else { outcome.and(Err(Unpublished::Unconfirmed)) };
                    self.owed.answer(number, Given::Published(outcome));
                }
            }
        }
        Ok(())
    }

    /// The engine has said what has become of a submission; a replica may have to confirm it.
    fn on_outcome(&mut self, number: u64, outcome: Result<Published, Unpublished>) {
        let outcome = outcome.map_err(|why| match why {
            Unpublished::EngineRefused(why) => {
                Unpublished::EngineRefused(self.words(&why, Matter::Publication))
            }
            why => why,
        });
        if self.terms.wait_ms.is_some() {
            self.unconfirmed.push_back((number, outcome));
        } else {
            self.owed.answer(number, Given::Published(outcome));
        }
    }

    /// What the engine has said to a question about this, as it may be shown.
    fn words(&self, why: &str, matter: Matter) -> String {
        if is_wrong_type(why) {
            return format!("WRONGTYPE: {} holds something else", self.terms.speaker.keys_of(matter));
        }
        self.terms.speaker.show(why)
    }

    /// Something is refused, and the engine is there all the same. It is asked again and again, and logged as a warning once.
    fn on_refused(&mut self, write: Write, why: &str, at: Instant) {
        let (is_news, name) = (self.refusals.on_refused(write, why, at), &self.terms.name);
        let what = match write {
            _ if is_of_all_writes(why) => "all that is written, and so publishers are refused",
            Write::Publication => "a publication",
            Write::Beat => "to note this machine, so that its clients are not counted",
            Write::Notification => "the periodic notification, so that nobody hears it",
        };
        let hint = match why.starts_with("NOPERM") {
            true => " (docs/several-machines.md names all that its user needs to be allowed)",
            false => "",
        };
        let level = if is_news { Level::Warn } else { Level::Debug };
        log!(level, "The engine {name} refuses {what}: {why}{hint}");
    }

    /// It has noted this machine.
    fn on_beat_taken(&mut self) {
        if self.refusals.on_beat() {
            info!("The engine {} takes again what it has refused", self.terms.name);
        }
    }

    /// Takes the next entry of the stream.
    pub(super) fn take(&mut self, entry: Entry, is_old: bool, now: Now) {
        match self.course.take(entry.id, entry.content.kind()) {
            Ok(Taken::Known) => {}
            Ok(Taken::Next) => self.publish(entry, is_old, now),
            Ok(Taken::Changed(continuation)) => {
                if matches!(entry.content, Content::Alien) {
                    warn!(
                        "The engine {} holds an entry that no machine has written, {}",
                        self.terms.name, entry.id
                    );
                }
                self.go_on(continuation);
                self.publish(entry, is_old, now);
            }
            Err(fault) => {
                self.page = None;
                self.fail(Line::Reader, fault, now.instant);
            }
        }
    }

    fn publish(&mut self, entry: Entry, is_old: bool, now: Now) {
        let id = entry.id;
        let wall = |at_unix_ms| Timestamp::from_millisecond(at_unix_ms).unwrap_or(now.wall);
        let (topic, message, at_unix_ms) = match entry.content {
            Content::Data { topic, data, at_unix_ms } => {
                let message = messages::data(id, &topic, &data, wall(at_unix_ms));
                (topic, message, at_unix_ms)
            }
            Content::Periodic { number, clients, at_unix_ms } => {
                let (topic, message) = messages::periodic(id, number, clients, wall(at_unix_ms));
                (topic, message, at_unix_ms)
            }
            Content::Begin { .. } | Content::Alien => return,
        };
        // The clocks of machines differ: what is heard as it is published is as old as that.
        let at = if is_old { now.instant_of(at_unix_ms) } else { now.instant };
        self.news.push_back(News::Publication(Publication { topic, message, at }));
    }

    /// The line goes on so. What was there before anybody could listen, since not all had been read, is simply where it begins.
    pub(super) fn go_on(&mut self, continuation: Continuation) {
        let continuation = match continuation {
            Continuation::Restart(id) if !self.course.has_read_all() => {
                Continuation::Begin { epochs: Epochs::new(id, id.position()), newest: id.position() }
            }
            continuation => {
                match &continuation {
                    Continuation::Epoch { epoch, after, is_lossy: false } => {
                        info!("Epoch {epoch:08x} begins behind {after}");
                    }
                    Continuation::Epoch { epoch, after, is_lossy: true } => {
                        warn!("Epoch {epoch:08x} begins behind {after}: publications that followed are lost");
                    }
                    Continuation::Restart(id) => {
                        warn!("Publications may be missing: the stream goes on behind {id}");
                    }
                    Continuation::Begin { .. } => {}
                }
                continuation
            }
        };
        self.news.push_back(News::Line(continuation));
    }
}

impl Expected {
    /// What was asked about.
    fn matter(&self) -> Matter {
        match self {
            Self::Begun => Matter::Epoch,
            Self::Beat(_) => Matter::Machines,
            Self::Notified(_) => Matter::Notification,
            Self::Published { .. } => Matter::Publication,
            _ => Matter::Stream,
        }
    }
}

/// Whether a key holds what is not to be there: which one, the engine does not say.
fn is_wrong_type(why: &str) -> bool {
    why.starts_with("WRONGTYPE ")
}

//! Topics and their subscribers: decides who hears what next. It hands publications on in *passes*: one pass visits all
//! subscribers of the channels that have any pending, one by one, so that the caller can stop between any two, and a
//! fan-out to very many never keeps a handshake waiting. Never sees a socket.
//!
//! Each subscriber carries the position up to which it has heard. A visit hands it everything beyond, of all its
//! channels, so that "once and in order" is one comparison, a second visit does no harm, and what is published during
//! a pass leaves in the same write. Joining and leaving cost the same however many listen to a channel: each subscriber
//! knows its place in each of its channels.

use std::collections::HashMap;

use slab::Slab;

use crate::message::Message;
use crate::policy::sequencer::Position;
use crate::policy::topic::{Filter, TopicName, prefixes_of};

/// Filters that one subscriber may have.
pub const MAX_SUBSCRIPTIONS: usize = 128;

/// A publication's place among those pending in a channel. A list that grows has room for as many again.
const ENTRY_BYTES: usize = 2 * size_of::<(Position, Message)>();

/// What identifies a subscriber to the caller.
pub type SubscriberKey = u32;

type ChannelId = u32;

/// Filters, their subscribers, and the publications that some of them may not have heard yet.
#[derive(Debug, Default)]
pub struct Hub {
    channels: Slab<Channel>,
    /// By their key.
    subscribers: Vec<Subscriber>,
    by_filter: HashMap<Filter, ChannelId>,
    /// While this is zero, `publish` need not look for prefixes.
    prefix_channels: usize,
    newest: Position,
    pass: Pass,
    /// The pass that follows: channels with publications that the present one may have missed.
    next: NextPass,
}

/// One filter and those who listen to it.
#[derive(Debug)]
struct Channel {
    filter: Filter,
    subscribers: Vec<SubscriberKey>,
    pending: Vec<(Position, Message)>,
    /// Whether it is in the pass that follows.
    is_next: bool,
}

/// One walk over the subscribers of some channels. Those of a channel are visited from the last to the first: a newcomer is
/// added at the end, and the place of one that leaves is taken by the last one, which has been visited already.
#[derive(Debug, Default)]
struct Pass {
    channels: Vec<ChannelId>,
    /// The subscribers of the last channel before this place are still to be visited.
    unvisited: usize,
    /// What everyone visited has heard when the pass ends.
    upto: Position,
    done: Vec<ChannelId>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct NextPass {
    channels: Vec<ChannelId>,
    bytes: usize,
}

/// What a subscriber listens to and how far it has heard.
#[derive(Debug, Default)]
struct Subscriber {
    heard: Position,
    channels: Channels,
}

/// The channels of one subscriber. Most have one, and need no memory for it.
#[derive(Debug, Default)]
enum Channels {
    #[default]
    None,
    One(Seat),
    #[allow(clippy::box_collection)] // A third of the size, for the many that have one channel.
    Many(Box<Vec<Seat>>),
}

/// A channel, and a subscriber's place among those who listen to it.
#[derive(Debug, Clone, Copy)]
struct Seat {
    channel: ChannelId,
    place: u32,
}

/// The subscriber has `MAX_SUBSCRIPTIONS` already.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Hub {
    /// A hub whose next publication follows this position.
    pub fn new(newest: Position) -> Self {
        Self { newest, ..Self::default() }
    }

    /// The position of the newest publication.
    pub fn newest(&self) -> Position {
        self.newest
    }

    /// Bytes of memory that pending publications take: those that some subscriber may still have to hear.
    pub fn pending_bytes(&self) -> usize {
        self.pass.bytes + self.next.bytes
    }

    /// Adds a filter; `false` when it was there already. The subscriber then hears what is published from now on: whatever
    /// is pending for it in other channels must have been handed to it before.
    ///
    /// # Errors
    /// `TooMany` when there is no room for it.
    pub fn subscribe(&mut self, key: SubscriberKey, filter: &Filter) -> Result<bool, TooMany> {
        if self.find(key, filter).is_some() {
            return Ok(false);
        }
        if self.seats(key).len() == MAX_SUBSCRIPTIONS {
            return Err(TooMany);
        }
        let id = self.by_filter.get(filter).copied().unwrap_or_else(|| self.open_channel(filter));
        let subscribers = &mut self.channels[id as usize].subscribers;
        let place = u32::try_from(subscribers.len()).expect("keys are no wider");
        subscribers.push(key);
        if self.subscribers.len() <= key as usize {
            self.subscribers.resize_with(key as usize + 1, Subscriber::default);
        }
        let subscriber = &mut self.subscribers[key as usize];
        subscriber.channels.push(Seat { channel: id, place });
        subscriber.heard = self.newest;
        Ok(true)
    }

    /// Takes a filter away; `false` when it was not there.
    pub fn unsubscribe(&mut self, key: SubscriberKey, filter: &Filter) -> bool {
        let Some(seat) = self.find(key, filter) else { return false };
        self.subscribers[key as usize].channels.remove(seat.channel);
        self.leave_channel(seat);
        true
    }

    /// Takes all filters away: the subscriber has gone.
    pub fn forget(&mut self, key: SubscriberKey) {
        let Some(subscriber) = self.subscribers.get_mut(key as usize) else { return };
        for seat in std::mem::take(&mut subscriber.channels).as_slice() {
            self.leave_channel(*seat);
        }
    }

    /// The filters of a subscriber.
    pub fn filters(&self, key: SubscriberKey) -> impl Iterator<Item = &Filter> {
        self.seats(key).iter().map(|seat| &self.channels[seat.channel as usize].filter)
    }

    /// What is listened to, and by how many.
    pub fn audiences(&self) -> impl ExactSizeIterator<Item = (&Filter, usize)> {
        self.channels.iter().map(|(_, channel)| (&channel.filter, channel.subscribers.len()))
    }

    /// Takes the publication behind the newest, to be heard by all who listen now.
    pub fn publish(&mut self, topic: &TopicName, message: &Message) {
        self.newest += 1;
        let mut entries = usize::from(self.add_pending(topic.as_str(), message));
        if self.prefix_channels > 0 {
            for prefix in prefixes_of(topic) {
                entries += usize::from(self.add_pending(&prefix, message));
            }
        }
        if entries > 0 {
            self.next.bytes += message.held_bytes() + entries * ENTRY_BYTES;
        }
    }

    /// What follows this position is lost, whoever has heard it: the next publication follows this one, and all who listen hear
    /// it. The bytes that were pending count until their pass has ended.
    pub fn rewind(&mut self, position: Position) {
        self.newest = self.newest.min(position);
        self.pass.upto = self.pass.upto.min(position);
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.heard = subscriber.heard.min(position));
        for (_, channel) in &mut self.channels {
            channel.pending.retain(|(pending, _)| *pending <= position);
        }
    }

    /// The next publication follows this position, and nothing is pending ahead of it.
    pub fn restart(&mut self, position: Position) {
        self.rewind(0);
        (self.newest, self.pass.upto) = (position, position);
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.heard = position);
    }

    /// Whether somebody may still have to be visited.
    pub fn has_pending(&self) -> bool {
        !self.pass.channels.is_empty() || !self.pass.done.is_empty() || !self.next.channels.is_empty()
    }

    /// The next subscriber to visit: hand it what `pending_for` says. Call until `None`; then all have heard all.
    pub fn next_subscriber(&mut self) -> Option<SubscriberKey> {
        loop {
            let Some(id) = self.pass.channels.last() else {
                if !self.begin_pass() {
                    return None;
                }
                continue;
            };
            // A channel may have been closed meanwhile, or have lost subscribers.
            let subscribers = self.channels.get(*id as usize).map_or(&[][..], |channel| &channel.subscribers);
            self.pass.unvisited = self.pass.unvisited.min(subscribers.len());
            if let Some(last) = self.pass.unvisited.checked_sub(1) {
                self.pass.unvisited = last;
                return Some(subscribers[last]);
            }
            self.pass.done.extend(self.pass.channels.pop());
            self.pass.unvisited = usize::MAX;
        }
    }

    /// What a subscriber has not heard yet, oldest first; from here on it counts as having heard it.
    pub fn pending_for(&mut self, key: SubscriberKey) -> Vec<(Position, Message)> {
        let Some(subscriber) = self.subscribers.get_mut(key as usize) else { return Vec::new() };
        let heard = std::mem::replace(&mut subscriber.heard, self.newest);
        if heard == self.newest {
            return Vec::new();
        }
        let seats = subscriber.channels.as_slice();
        let pending = seats.iter().flat_map(|seat| &self.channels[seat.channel as usize].pending);
        let mut unheard: Vec<_> = pending.filter(|(position, _)| *position > heard).cloned().collect();
        if seats.len() > 1 {
            unheard.sort_unstable_by_key(|(position, _)| *position);
            unheard.dedup_by_key(|(position, _)| *position);
        }
        unheard
    }

    /// Whether `pending_for` would hand a subscriber anything: in each channel the newest is the last.
    pub fn has_pending_for(&self, key: SubscriberKey) -> bool {
        let heard = self.subscribers.get(key as usize).map(|subscriber| subscriber.heard);
        let newest = |seat: &Seat| Some(self.channels[seat.channel as usize].pending.last()?.0);
        self.seats(key).iter().any(|seat| newest(seat) > heard)
    }

    /// Counts everything up to here as heard by a subscriber.
    pub fn set_heard(&mut self, key: SubscriberKey, position: Position) {
        if let Some(subscriber) = self.subscribers.get_mut(key as usize) {
            subscriber.heard = position;
        }
    }

    /// Gives back the memory that a departed crowd needed.
    pub fn shrink(&mut self) {
        let is_here = |subscriber: &Subscriber| !subscriber.channels.as_slice().is_empty();
        self.subscribers.truncate(self.subscribers.iter().rposition(is_here).map_or(0, |last| last + 1));
        self.subscribers.shrink_to_fit();
        self.renumber();
        self.by_filter.shrink_to_fit();
        self.channels.iter_mut().for_each(|(_, channel)| channel.subscribers.shrink_to_fit());
    }

    /// Gives the channels new ids without gaps: those that are left may be the last of very many.
    fn renumber(&mut self) {
        let channels = std::mem::take(&mut self.channels);
        let ids: HashMap<ChannelId, ChannelId> = channels
            .into_iter()
            .map(|(id, channel)| (number(id), number(self.channels.insert(channel))))
            .collect();
        // A pass may still name closed channels: they get an id that no channel has.
        let renumber = |id: &mut ChannelId| *id = ids.get(id).copied().unwrap_or(ChannelId::MAX);
        self.by_filter.values_mut().for_each(renumber);
        self.subscribers
            .iter_mut()
            .for_each(|l| l.channels.as_mut_slice().iter_mut().for_each(|seat| renumber(&mut seat.channel)));
        [&mut self.pass.channels, &mut self.pass.done, &mut self.next.channels]
            .into_iter()
            .flatten()
            .for_each(renumber);
    }

    fn seats(&self, key: SubscriberKey) -> &[Seat] {
        self.subscribers.get(key as usize).map_or(&[], |subscriber| subscriber.channels.as_slice())
    }

    fn find(&self, key: SubscriberKey, filter: &Filter) -> Option<Seat> {
        let id = self.by_filter.get(filter)?;
        self.seats(key).iter().find(|seat| seat.channel == *id).copied()
    }

    fn open_channel(&mut self, filter: &Filter) -> ChannelId {
        let channel = Channel {
            filter: filter.clone(),
            subscribers: Vec::with_capacity(1),
            pending: Vec::new(),
            is_next: false,
        };
        let id = number(self.channels.insert(channel));
        self.by_filter.insert(filter.clone(), id);
        self.prefix_channels += usize::from(filter.is_prefix());
        id
    }

    fn leave_channel(&mut self, seat: Seat) {
        let channel = &mut self.channels[seat.channel as usize];
        channel.subscribers.swap_remove(seat.place as usize);
        // The last subscriber has taken the place.
        if let Some(moved) = channel.subscribers.get(seat.place as usize) {
            self.subscribers[*moved as usize].channels.move_to(seat);
        }
        if channel.subscribers.is_empty() {
            let filter = self.channels.remove(seat.channel as usize).filter;
            self.by_filter.remove(&filter);
            self.prefix_channels -= usize::from(filter.is_prefix());
        }
    }

    /// Whether there is such a channel.
    fn add_pending(&mut self, filter: &str, message: &Message) -> bool {
        let Some(id) = self.by_filter.get(filter) else { return false };
        let channel = &mut self.channels[*id as usize];
        channel.pending.push((self.newest, message.clone()));
        if !std::mem::replace(&mut channel.is_next, true) {
            self.next.channels.push(*id);
        }
        true
    }

    /// Ends a pass, forgets what all have heard, and begins the next one if anything is pending for it.
    fn begin_pass(&mut self) -> bool {
        for id in std::mem::take(&mut self.pass.done) {
            if let Some(channel) = self.channels.get_mut(id as usize) {
                channel.pending.retain(|(position, _)| *position > self.pass.upto);
                channel.pending.shrink_to_fit();
            }
        }
        let next = std::mem::take(&mut self.next);
        for id in &next.channels {
            if let Some(channel) = self.channels.get_mut(*id as usize) {
                channel.is_next = false;
            }
        }
        let NextPass { channels, bytes } = next;
        self.pass = Pass { channels, unvisited: usize::MAX, upto: self.newest, done: Vec::new(), bytes };
        !self.pass.channels.is_empty()
    }
}

impl Channels {
    fn as_slice(&self) -> &[Seat] {
        match self {
            Self::None => &[],
            Self::One(seat) => std::slice::from_ref(seat),
            Self::Many(seats) => seats,
        }
    }

    fn push(&mut self, seat: Seat) {
        match self {
            Self::None => *self = Self::One(seat),
            Self::One(first) => *self = Self::Many(vec![*first, seat].into()),
            Self::Many(seats) => seats.push(seat),
        }
    }

    fn remove(&mut self, channel: ChannelId) {
        match self {
            Self::None => {}
            Self::One(_) => *self = Self::None,
            Self::Many(seats) => seats.retain(|seat| seat.channel != channel),
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Seat] {
        match self {
            Self::None => &mut [],
            Self::One(seat) => std::slice::from_mut(seat),
            Self::Many(seats) => seats,
        }
    }

    /// Notes a new place in a channel.
    fn move_to(&mut self, seat: Seat) {
        for own in self.as_mut_slice().iter_mut().filter(|own| own.channel == seat.channel) {
            own.place = seat.place;
        }
    }
}

fn number(id: usize) -> ChannelId {
    ChannelId::try_from(id).expect("channels are fewer than subscribers times filters")
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;

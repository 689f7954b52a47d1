//! Facts about the hub, told by subscribers that note what they are handed.

use super::*;

/// A hub, and the payloads that reached each of its subscribers.
#[derive(Default)]
struct Room {
    hub: Hub,
    heard: Vec<Vec<String>>,
}

impl Room {
    fn join(&mut self, filters: &[&str]) -> SubscriberKey {
        let key = SubscriberKey::try_from(self.heard.len()).unwrap();
        self.heard.push(vec![]);
        filters.iter().for_each(|filter| assert_eq!(self.subscribe(key, filter), Ok(true)));
        key
    }

    fn subscribe(&mut self, key: SubscriberKey, filter: &str) -> Result<bool, TooMany> {
        self.visit(key);
        self.hub.subscribe(key, &Filter::parse(filter).unwrap())
    }

    fn unsubscribe(&mut self, key: SubscriberKey, filter: &str) -> bool {
        self.hub.unsubscribe(key, &Filter::parse(filter).unwrap())
    }

    fn publish(&mut self, topic: &str, text: &str) {
        self.hub.publish(&TopicName::parse(topic).unwrap(), &Message::new(text.as_bytes(), 1));
    }

    fn visit(&mut self, key: SubscriberKey) {
        let has_pending = self.hub.has_pending_for(key);
        let pending = self.hub.pending_for(key);
        assert_eq!((has_pending, self.hub.has_pending_for(key)), (!pending.is_empty(), false));
        for (_, message) in pending {
            self.heard[key as usize].push(String::from_utf8(message.json().to_vec()).unwrap());
        }
    }

    fn visit_next(&mut self) -> bool {
        let next = self.hub.next_subscriber();
        next.into_iter().for_each(|key| self.visit(key));
        next.is_some()
    }

    fn visit_all(&mut self) {
        while self.visit_next() {}
    }

    fn heard(&self, key: SubscriberKey) -> Vec<&str> {
        self.heard[key as usize].iter().map(String::as_str).collect()
    }
}

#[test]
fn every_subscriber_hears_every_publication_once_in_order_however_they_interleave() {
    let mut room = Room::default();
    let keys: Vec<SubscriberKey> = (0..7).map(|_| room.join(&["a"])).collect();
    let mut published = 0;
    for _ in 0..5 {
        for _ in 0..3 {
            published += 1;
            room.publish("a", &published.to_string());
            room.visit_next();
            room.visit_next();
        }
        room.visit_all();
    }
    let all: Vec<String> = (1..=published).map(|n: u32| n.to_string()).collect();
    keys.iter().for_each(|key| assert_eq!(room.heard(*key), all));
}

#[test]
fn a_subscriber_hears_its_topics_and_no_others_each_once() {
    let mut room = Room::default();
    let plain = room.join(&["orders/1"]);
    let wide = room.join(&["orders/*", "orders/1", "*"]);
    room.publish("orders/1", "one");
    room.publish("orders/2", "two");
    room.publish("other", "three");
    room.visit_all();
    assert_eq!(room.heard(plain), ["one"]);
    assert_eq!(room.heard(wide), ["one", "two", "three"]);
}

#[test]
fn whoever_joins_late_hears_only_what_follows() {
    let mut room = Room::default();
    let early = room.join(&["a"]);
    room.publish("a", "before");
    let late = room.join(&["a"]);
    let other = room.join(&["b"]);
    room.publish("b", "unheard");
    assert_eq!(room.subscribe(other, "a"), Ok(true));
    room.publish("a", "after");
    room.visit_all();
    assert_eq!(room.heard(early), ["before", "after"]);
    assert_eq!(room.heard(late), ["after"]);
    assert_eq!(room.heard(other), ["unheard", "after"]);
}

#[test]
fn what_is_lost_in_the_middle_of_a_pass_reaches_nobody_else_and_what_comes_instead_reaches_all() {
    for (cut, first, second) in
        (0..4).flat_map(|cut| (0..36).map(move |visits| (cut, visits / 6, visits % 6)))
    {
        let mut room = Room::default();
        let keys: Vec<SubscriberKey> = (0..5).map(|_| room.join(&["a"])).collect();
        let wide = room.join(&["a", "*"]);
        room.publish("a", "1");
        room.publish("a", "2");
        (0..first).for_each(|_| _ = room.visit_next());
        room.publish("a", "3");
        (0..second).for_each(|_| _ = room.visit_next());
        let before = room.heard.clone();
        room.hub.rewind(cut);
        room.publish("a", "new");
        room.visit_all();
        for key in keys.into_iter().chain([wide]) {
            let mut expected: Vec<String> = before[key as usize].clone();
            let kept = ["1", "2", "3"].into_iter().take(usize::try_from(cut).unwrap()).skip(expected.len());
            expected.extend(kept.chain(["new"]).map(str::to_owned));
            assert_eq!(room.heard(key), expected, "cut at {cut} after {first} and {second} visits");
        }
        assert_eq!(
            (room.hub.newest(), room.hub.pending_bytes(), room.hub.has_pending()),
            (cut + 1, 0, false)
        );
    }
}

#[test]
fn where_a_hub_begins_anew_nothing_is_pending_and_all_hear_what_follows() {
    for visits in 0..3 {
        let mut room = Room::default();
        let keys: Vec<SubscriberKey> = (0..3).map(|_| room.join(&["a"])).collect();
        ["1", "2"].into_iter().for_each(|text| room.publish("a", text));
        (0..visits).for_each(|_| _ = room.visit_next());
        room.publish("a", "3");
        room.hub.restart(1);
        room.publish("a", "new");
        room.visit_all();
        let unvisited = keys.into_iter().filter(|key| room.heard(*key) == ["new"]).count();
        assert_eq!((unvisited, room.hub.newest()), (3 - visits, 2));
        assert!(
            room.heard.iter().all(|heard| matches!(heard.len(), 1 | 3) && heard.last().unwrap() == "new")
        );
    }
}

#[test]
fn leaving_in_the_middle_of_a_pass_takes_nothing_from_the_others() {
    for leaver in 0..5 {
        for visited in 0..5 {
            let mut room = Room::default();
            let keys: Vec<SubscriberKey> = (0..5).map(|_| room.join(&["a"])).collect();
            room.publish("a", "x");
            (0..visited).for_each(|_| assert!(room.visit_next()));
            room.hub.forget(keys[leaver]);
            room.visit_all();
            for key in keys.iter().filter(|key| **key as usize != leaver) {
                assert_eq!(room.heard(*key), ["x"], "leaver {leaver} after {visited} visits");
            }
        }
    }
}

#[test]
fn subscribing_twice_and_unsubscribing_twice_change_nothing() {
    let mut room = Room::default();
    let key = room.join(&["a"]);
    assert_eq!(room.subscribe(key, "a"), Ok(false));
    assert!(room.unsubscribe(key, "a") && !room.unsubscribe(key, "a"));
    room.publish("a", "x");
    room.visit_all();
    assert_eq!(room.heard(key), [""; 0]);
}

#[test]
fn a_subscriber_has_a_bounded_number_of_filters() {
    let mut room = Room::default();
    let key = room.join(&[]);
    for n in 0..MAX_SUBSCRIPTIONS {
        assert_eq!(room.subscribe(key, &format!("t{n}")), Ok(true));
    }
    assert_eq!(room.subscribe(key, "one-more"), Err(TooMany));
    assert!(room.unsubscribe(key, "t7"));
    assert_eq!(room.subscribe(key, "one-more"), Ok(true));
}

#[test]
fn what_is_pending_counts_once_with_a_place_in_each_channel_that_has_it() {
    let mut room = Room::default();
    room.join(&["a/b", "a/*"]);
    room.join(&["*", "c/*"]);
    room.publish("a/b", "x");
    room.publish("b", "x");
    assert_eq!(room.hub.pending_bytes(), 2 * Message::new(b"x", 1).held_bytes() + 4 * ENTRY_BYTES);
}

#[test]
fn what_all_have_heard_and_what_nobody_listens_to_is_forgotten() {
    let mut room = Room::default();
    let key = room.join(&["a", "b/*"]);
    room.publish("a", "x");
    room.publish("nobody", "listens");
    assert!(room.hub.has_pending() && room.hub.pending_bytes() > 0);
    room.visit_all();
    assert!(!room.hub.has_pending() && room.hub.pending_bytes() == 0);
    assert!(room.hub.channels.iter().all(|(_, channel)| channel.pending.capacity() == 0));
    room.hub.forget(key);
    assert!(room.hub.channels.is_empty() && room.hub.by_filter.is_empty() && room.hub.prefix_channels == 0);
    assert_eq!(room.hub.newest(), 2);
}

#[test]
fn joining_and_leaving_in_any_order_leaves_every_subscriber_what_it_listens_to() {
    use proptest::prelude::*;
    let acts = prop::collection::vec((0..6u32, 0..5usize, 0..3u8), 0..60);
    proptest!(|(acts in acts)| {
        let mut room = Room { heard: vec![vec![]; 6], ..Room::default() };
        let mut wanted: Vec<Vec<String>> = vec![vec![]; 6];
        for (key, topic, act) in acts {
            let (topic, wanted) = (format!("t{topic}"), &mut wanted[key as usize]);
            let is_there = wanted.contains(&topic);
            match act {
                0 => {
                    assert_eq!(room.subscribe(key, &topic), Ok(!is_there));
                    wanted.extend((!is_there).then_some(topic));
                }
                1 => {
                    assert_eq!(room.unsubscribe(key, &topic), is_there);
                    wanted.retain(|other| *other != topic);
                }
                _ => {
                    room.hub.forget(key);
                    wanted.clear();
                }
            }
        }
        (0..5).for_each(|n| room.publish(&format!("t{n}"), &format!("t{n}")));
        room.visit_next();
        room.hub.shrink();
        room.visit_all();
        for (key, wanted) in wanted.iter_mut().enumerate() {
            wanted.sort();
            prop_assert_eq!(&room.heard[key], wanted);
        }
    });
}

#[test]
fn the_memory_that_a_crowd_needed_is_given_back_while_a_few_stay() {
    let mut room = Room::default();
    let first = room.join(&["all", "own/first"]);
    let keys: Vec<SubscriberKey> = (0..2000).map(|n| room.join(&["all", &format!("own/{n}")])).collect();
    room.subscribe(first, "own/last").unwrap();
    room.publish("own/1999", "unheard");
    keys.into_iter().for_each(|key| room.hub.forget(key));
    room.hub.shrink();
    assert!(room.hub.subscribers.capacity() < 10 && room.hub.channels.capacity() < 10);
    assert!(room.hub.by_filter.capacity() < 10 && room.hub.channels[0].subscribers.capacity() < 10);
    ["own/first", "own/last", "own/1"].iter().for_each(|topic| room.publish(topic, topic));
    room.visit_all();
    assert_eq!(room.heard(first), ["own/first", "own/last"]);
}

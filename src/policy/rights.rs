//! What somebody may hear and publish: permissions, not subscriptions. Where they come from is not known here.

use crate::policy::idempotency::Scope;
use crate::policy::topic::{Filter, TopicName};

/// What is granted. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// What may be listened to.
    subscribe: Box<[Filter]>,
    /// What may be published to.
    publish: Box<[Filter]>,
}

/// Who publishes by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// What it may.
    pub rights: Rights,
    /// Among whose keys its own count.
    pub scope: Scope,
}

impl Rights {
    /// Grants all that these match, and nothing else.
    pub fn new(subscribe: Vec<Filter>, publish: Vec<Filter>) -> Self {
        Self { subscribe: subscribe.into(), publish: publish.into() }
    }

    /// Whether this may be listened to. One pattern has to grant all of it: `orders/*` is granted by `orders/*` and `*`, not
    /// by `orders/7`.
    pub fn may_subscribe(&self, filter: &Filter) -> bool {
        self.subscribe.iter().any(|granted| granted.covers(filter))
    }

    /// Whether this may be published to.
    pub fn may_publish(&self, topic: &TopicName) -> bool {
        self.publish.iter().any(|granted| granted.matches(topic))
    }

    /// What may be listened to, and what may be published to.
    pub fn granted(&self) -> [&[Filter]; 2] {
        [&self.subscribe, &self.publish]
    }

    /// Whether there is anything that may be listened to.
    pub fn hears_anything(&self) -> bool {
        !self.subscribe.is_empty()
    }

    /// Whether there is anything that may be published to.
    pub fn publishes_anything(&self) -> bool {
        !self.publish.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filters(patterns: &str) -> Vec<Filter> {
        patterns.split_whitespace().map(|pattern| Filter::parse(pattern).unwrap()).collect()
    }

    #[test]
    fn nothing_wider_than_what_is_granted_may_be_heard() {
        let wanted = ["*", "a", "a/*", "a/", "a/1", "a/1/*", "a/1/x", "b", "ab", "ab/*", "A/1"]
            .map(|name| (name, name));
        for (granted, allowed) in [
            ("", ""),
            ("*", "* a a/* a/ a/1 a/1/* a/1/x b ab ab/* A/1"),
            ("a", "a"),
            ("a/*", "a/* a/ a/1 a/1/* a/1/x"),
            ("a/1", "a/1"),
            ("a/1/*", "a/1/* a/1/x"),
            ("a/1 b", "a/1 b"),
            ("a a/*", "a a/* a/ a/1 a/1/* a/1/x"),
        ] {
            let rights = Rights::new(filters(granted), vec![]);
            for (name, filter) in wanted.map(|(name, text)| (name, Filter::parse(text).unwrap())) {
                let is_allowed = allowed.split(' ').any(|allowed| allowed == name);
                assert_eq!(rights.may_subscribe(&filter), is_allowed, "{granted:?} grants {name}");
            }
            assert_eq!(rights.hears_anything(), !granted.is_empty());
        }
    }

    #[test]
    fn who_may_hear_may_not_publish_for_that_reason_and_the_other_way_round() {
        let rights = Rights::new(filters("a/* news"), filters("a/7 chat/*"));
        let may_publish = |name| rights.may_publish(&TopicName::parse(name).unwrap());
        for (name, allowed) in
            [("a/7", true), ("a/8", false), ("news", false), ("chat/1/x", true), ("chat", false)]
        {
            assert_eq!(may_publish(name), allowed, "{name}");
        }
        assert!(!rights.may_subscribe(&filters("chat/*")[0]));
        assert!(!Rights::default().publishes_anything() && rights.publishes_anything());
    }

    /// Few letters, so that names often begin alike.
    fn name() -> impl Strategy<Value = String> {
        "[ab/]{1,6}"
    }

    fn filter() -> impl Strategy<Value = Filter> {
        prop_oneof![name(), name().prop_map(|name| name + "/*"), Just("*".to_owned())]
            .prop_map(|text| Filter::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn every_topic_of_a_granted_filter_is_matched_by_a_pattern_of_the_claim(
            claim in prop::collection::vec(filter(), 0..4),
            wanted in filter(),
            rest in name(),
        ) {
            let rights = Rights::new(claim.clone(), claim.clone());
            if rights.may_subscribe(&wanted) {
                let topic = TopicName::parse(&wanted.as_str().replace('*', &rest)).unwrap();
                prop_assert!(wanted.matches(&topic));
                prop_assert!(claim.iter().any(|pattern| pattern.matches(&topic)), "{topic}");
                prop_assert!(rights.may_publish(&topic));
            }
        }

        #[test]
        fn a_filter_that_one_pattern_matches_in_full_is_granted(
            pattern in filter(),
            below in name(),
        ) {
            let rights = Rights::new(vec![pattern.clone()], vec![]);
            let narrower = Filter::parse(&pattern.as_str().replace('*', &below)).unwrap();
            prop_assert!(rights.may_subscribe(&pattern) && rights.may_subscribe(&narrower));
        }
    }
}

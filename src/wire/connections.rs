//! The list of clients that operators are shown, a page at a time and in the order of their ids.

use serde::{Deserialize, Serialize};

use crate::wire::connection_id::ConnectionId;

/// How many a page has at most, and how many unless it is said.
pub const MOST: u32 = 1000;
const USUAL: u32 = 100;

/// Which part of the list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// So many clients at most.
    pub limit: u32,
    /// Those behind this one; all, where there is none.
    pub after: Option<ConnectionId>,
}

/// What is to be told of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// As its welcome has told it.
    pub id: ConnectionId,
    /// The other end of its socket.
    pub peer: String,
    /// Whose it is, if it has come by a proxy that is believed.
    pub forwarded: Option<String>,
    /// `WebSocket` or `event stream`.
    pub kind: String,
    /// In milliseconds since 1970.
    pub since_unix_ms: i64,
    /// How many topics it listens to.
    pub topics: u64,
    /// Bytes that wait for it.
    pub outbox_bytes: u64,
    /// The subject of its token.
    pub subject: Option<String>,
    /// The version of TLS that it speaks.
    pub tls: Option<String>,
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// In the order of their ids.
    pub list: Vec<ConnectionStatus>,
    /// Whether there are more behind these.
    pub is_truncated: bool,
}

impl Page {
    /// Reads `?connections[=LIMIT][&after=ID]`; `None` if the query has nothing of the kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &[u8]) -> Option<Result<Self, String>> {
        let fields = || form_urlencoded::parse(query);
        let value = |name: &str| fields().find(|(key, _)| key == name).map(|(_, value)| value);
        let limit = match value("connections")?.as_ref() {
            "" => Ok(USUAL),
            text => text.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
                format!("connections is how many to list, from 1 to {MOST}: behind the last one, go on with after=ID")
            }),
        };
        let after = value("after").map(|id| id.parse::<ConnectionId>()).transpose();
        let after = after.map_err(|_| "after is the id of a connection, such as c1d493a8-17".to_owned());
        Some(limit.and_then(|limit| after.map(|after| Self { limit, after })))
    }

    /// The first of these that belong to it, and whether there are more.
    pub fn cut<T>(self, mut all: Vec<T>, id: impl Fn(&T) -> ConnectionId) -> (Vec<T>, bool) {
        all.retain(|one| self.after.is_none_or(|after| id(one) > after));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let is_truncated = all.len() > limit;
        if is_truncated {
            all.select_nth_unstable_by_key(limit, &id);
            all.truncate(limit);
        }
        all.sort_unstable_by_key(id);
        (all, is_truncated)
    }

    /// Drops from the lists of several what is not of this page, so that together they are no longer than one.
    pub fn share(self, lists: &mut [&mut Connections]) {
        let ids = lists.iter().flat_map(|part| &part.list).map(|client| client.id).collect();
        let (ids, is_truncated) = self.cut(ids, |id| *id);
        let Some(last) = ids.last().filter(|_| is_truncated) else { return };
        for part in lists {
            let length = part.list.partition_point(|client| client.id <= *last);
            part.is_truncated |= length < part.list.len();
            part.list.truncate(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<Result<Page, String>> {
        Page::read(query.as_bytes())
    }

    #[test]
    fn a_page_has_a_hundred_unless_it_is_said_and_a_thousand_at_most() {
        let id = ConnectionId { epoch: 0xa, number: 7 };
        assert_eq!(read("connections"), Some(Ok(Page { limit: 100, after: None })));
        assert_eq!(read("connections=1000&after=a-7"), Some(Ok(Page { limit: 1000, after: Some(id) })));
        assert_eq!(read("other=connections"), None);
        for fault in ["connections=1001", "connections=0", "connections=x", "connections&after=x"] {
            assert!(read(fault).is_some_and(|page| page.is_err()), "{fault}");
        }
    }

    #[test]
    fn the_lists_of_several_are_together_no_longer_than_a_page() {
        let list = |numbers: &[u32]| {
            let id = |number: &u32| ConnectionId { epoch: 1, number: *number };
            let client = |number| ConnectionStatus { id: id(number), ..ConnectionStatus::default() };
            Connections { list: numbers.iter().map(client).collect(), is_truncated: false }
        };
        let [mut first, mut second, mut third] = [list(&[1, 4, 5]), list(&[2]), list(&[])];
        Page { limit: 3, after: None }.share(&mut [&mut first, &mut second, &mut third]);
        assert_eq!(first, Connections { is_truncated: true, ..list(&[1, 4]) });
        assert_eq!((second, third), (list(&[2]), list(&[])));
    }

    #[test]
    fn a_page_begins_behind_the_last_one_and_says_whether_there_is_another() {
        let ids = [5, 3, 1, 4, 2].map(|number| ConnectionId { epoch: 1, number });
        let cut = |limit, after: u32| {
            let after = (after > 0).then_some(ConnectionId { epoch: 1, number: after });
            let (page, is_truncated) = Page { limit, after }.cut(ids.to_vec(), |id| *id);
            (page.iter().map(|id| id.number).collect::<Vec<_>>(), is_truncated)
        };
        assert_eq!(cut(2, 0), (vec![1, 2], true));
        assert_eq!(cut(2, 2), (vec![3, 4], true));
        assert_eq!(cut(2, 4), (vec![5], false));
        assert_eq!(cut(5, 0), (vec![1, 2, 3, 4, 5], false));
    }
}

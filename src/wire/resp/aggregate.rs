//! An aggregate of which a part may have come. It takes memory for the values that have come, not for those that are announced.

use crate::wire::resp::make_room;
use crate::wire::resp::reply::Reply;

/// What consists of other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Array,
    Set,
    Push,
    Map,
    /// What is said about the reply that follows.
    Attributes,
}

/// As much as has come of it.
#[derive(Debug)]
pub struct Aggregate {
    values: Values,
    /// How many values are still to come, keys included.
    left: usize,
}

#[derive(Debug)]
enum Values {
    List(Kind, Vec<Reply>),
    Pairs { whole: Vec<(Reply, Reply)>, key: Option<Reply> },
    Dropped,
}

impl Kind {
    /// How many values there are to an announced length; `None` if there cannot be as many.
    pub fn values(self, length: usize) -> Option<usize> {
        match self {
            Self::Array | Self::Set | Self::Push => Some(length),
            Self::Map | Self::Attributes => length.checked_mul(2),
        }
    }
}

impl Aggregate {
    pub fn new(kind: Kind, left: usize) -> Self {
        let values = match kind {
            Kind::Array | Kind::Set | Kind::Push => Values::List(kind, Vec::new()),
            Kind::Map => Values::Pairs { whole: Vec::new(), key: None },
            Kind::Attributes => Values::Dropped,
        };
        Self { values, left }
    }

    pub fn is_whole(&self) -> bool {
        self.left == 0
    }

    pub fn is_push(&self) -> bool {
        matches!(self.values, Values::List(Kind::Push, _))
    }

    /// Takes the next of its values.
    pub fn push(&mut self, value: Reply) {
        match &mut self.values {
            Values::List(_, list) => {
                make_room(list, 1, self.left);
                list.push(value);
            }
            Values::Pairs { whole, key } => match key.take() {
                None => *key = Some(value),
                Some(key) => {
                    make_room(whole, 1, self.left.div_ceil(2));
                    whole.push((key, value));
                }
            },
            Values::Dropped => {}
        }
        self.left -= 1;
    }

    /// What it has become; `None` for attributes.
    pub fn into_value(self) -> Option<Reply> {
        match self.values {
            Values::List(Kind::Set, list) => Some(Reply::Set(list)),
            Values::List(Kind::Push, list) => Some(Reply::Push(list)),
            Values::List(_, list) => Some(Reply::Array(list)),
            Values::Pairs { whole, .. } => Some(Reply::Map(whole)),
            Values::Dropped => None,
        }
    }
}

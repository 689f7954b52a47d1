//! All that any engine has ever written, lost or not: what must be heard between two ids is told from here.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::ear::Id;

/// What an entry says, field by field.
pub type Fields = Rc<Vec<String>>;

/// Every entry, by its id.
#[derive(Debug, Default)]
pub struct Chronicle {
    written: BTreeMap<Id, Fields>,
    /// An engine was set back: it gives ids again, which nobody may hear. What was given first counts.
    pub repeats: bool,
}

impl Chronicle {
    /// Something was written.
    pub fn note(&mut self, id: Id, fields: &Fields) {
        let first = self.written.entry(id).or_insert_with(|| fields.clone());
        assert!(self.repeats || Rc::ptr_eq(first, fields), "{id} was given twice");
    }

    /// The topic of a publication; `None` where something else was written, or nothing.
    pub fn topic(&self, id: Id) -> Option<&str> {
        match self.written.get(&id)?.first()?.as_str() {
            "t" => Some(&self.written[&id][1]),
            "n" => Some("notifications"),
            _ => None,
        }
    }

    /// What tells a publication from others.
    pub fn token(&self, id: Id) -> Option<u64> {
        let fields = self.written.get(&id).filter(|fields| fields[0] == "t")?;
        let data: Value = serde_json::from_str(&fields[3]).expect("data is JSON");
        data["n"].as_u64()
    }

    /// When a periodic notification was written, in milliseconds since 1970.
    pub fn periodic_at(&self, id: Id) -> Option<u64> {
        let fields = self.written.get(&id).filter(|fields| fields[0] == "n")?;
        fields[5].parse().ok()
    }

    /// All publications that were ever written, with their tokens.
    pub fn tokens(&self) -> impl Iterator<Item = (Id, u64)> {
        self.written.keys().filter_map(|id| Some((*id, self.token(*id)?)))
    }

    /// All ids of the line that ends with `last`, behind `first`; `None` if `first` is not on it.
    pub fn between(&self, mut first: Id, last: Id) -> Option<Vec<Id>> {
        // A beginning names what it follows, which may go on in another epoch if this one is lost.
        while first.position == 0
            && let Some(before) = self.precedes(first.epoch)
        {
            first = before;
        }
        let (mut ids, mut end) = (Vec::new(), last);
        loop {
            let start = if end.epoch == first.epoch { first.position } else { 0 };
            if start > end.position {
                return None;
            }
            ids.extend((start + 1..=end.position).rev().map(|position| Id { position, ..end }));
            if end.epoch == first.epoch {
                ids.reverse();
                return Some(ids);
            }
            end = self.precedes(end.epoch)?;
        }
    }

    /// The line that ends with this id, as far as it goes back.
    pub fn line(&self, last: Id) -> Vec<Id> {
        let (mut ids, mut end) = (Vec::new(), Some(last));
        while let Some(last) = end {
            ids.extend((1..=last.position).rev().map(|position| Id { position, ..last }));
            end = self.precedes(last.epoch);
        }
        ids.reverse();
        ids
    }

    /// Each epoch with what it follows, for whoever looks for a fault.
    pub fn epochs(&self) -> Vec<(Id, &str)> {
        let begins = self.written.iter().filter(|(id, _)| id.position == 0);
        begins.map(|(id, fields)| (*id, &fields[3][..])).collect()
    }

    /// The last id ahead of an epoch.
    fn precedes(&self, epoch: u32) -> Option<Id> {
        let begin = self.written.get(&Id { epoch, position: 0 })?;
        read(&begin[3])
    }
}

/// As the stream has it: `<epoch>-<position>`, in decimal.
pub fn read(text: &str) -> Option<Id> {
    let (epoch, position) = text.split_once('-')?;
    Some(Id { epoch: epoch.parse().ok()?, position: position.parse().ok()? })
}

/// The same, written.
pub fn written(id: Id) -> String {
    format!("{}-{}", id.epoch, id.position)
}

//! Judges what a subscriber has heard on one of its connections against the truth: every publication that it listened
//! to once and in order, from where it resumed or, if it was not resumed, from where the welcome says.

use std::time::Duration;

use crate::compression::Window;
use crate::ear::Id;
use crate::truth::{Publication, Truth, matches};
use crate::worker::Place;

/// What a subscriber asked for while it was connected.
#[derive(Debug, Clone)]
pub struct Command {
    pub filter: String,
    pub subscribes: bool,
    /// The newest position when it was sent.
    pub earliest: u64,
    /// The newest position when the server had surely read it.
    pub latest: Option<u64>,
}

/// How a publication has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Deflated,
}

/// What was heard, as far as it is judged.
#[derive(Debug)]
pub enum Entry {
    Welcome {
        last: Id,
        resumed: bool,
        topics: Vec<String>,
    },
    Publication(Id, Vec<u8>, Form),
    /// The answer to the command of this number.
    Answer(usize),
    Close(Option<u16>),
}

/// One connection of a subscriber.
#[derive(Debug, Default)]
pub struct Record {
    pub place: Place,
    /// What it gave as the last id that it had heard.
    pub asked: Option<String>,
    /// What it listened to from the start.
    pub filters: Vec<String>,
    /// What it has agreed on, if its messages may be compressed.
    pub window: Option<Window>,
    pub commands: Vec<Command>,
    pub entries: Vec<Entry>,
    /// When the server read its handshake.
    pub at: Duration,
    /// What may wait for it outside of the history.
    pub outbox_bytes: usize,
    /// It did not always take what there was at once.
    pub was_slow: bool,
    /// When it left of its own accord it had heard all that there was up to here, if the server kept its promise.
    pub upto: Option<u64>,
    /// The newest position when the server said farewell.
    pub farewell: Option<u64>,
    pub has_closed: bool,
}

/// What has happened, to be sure that something did.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub resumed: usize,
    pub refused: usize,
    pub unknown_epochs: usize,
    pub long_replays: usize,
    pub overlaps: usize,
    pub commands: usize,
    pub commands_in_replay: usize,
    /// Publications that had been made before a command was sent, and waited in history until after its answer.
    pub overtaken: usize,
    pub too_slow: usize,
    pub farewells: usize,
    pub publications: usize,
    pub deflated: usize,
    /// Plain for somebody whose window is too small.
    pub too_long: usize,
    /// Plain for somebody who has agreed on compression, since that is of no use.
    pub useless: usize,
    /// Publications that the last servers have compressed.
    pub compressed: usize,
    /// Heard compressed by one more than the first.
    pub shared: usize,
}

/// A filter that is listened to behind a position, which is known only to lie between two.
struct Listening {
    filter: String,
    earliest: u64,
    latest: u64,
}

/// The walk along a record.
struct Walk<'a> {
    truth: &'a Truth,
    epoch: u32,
    filters: Vec<Listening>,
    /// All up to here has been accounted for.
    reached: u64,
}

impl Walk<'_> {
    fn at(&self, position: u64) -> &Publication {
        let id = Id { epoch: self.epoch, position };
        self.truth.get(id).unwrap_or_else(|| panic!("{id} was never published"))
    }

    /// Nothing that had to be heard lies between what was heard and this position.
    fn skip_to(&mut self, position: u64) {
        for skipped in self.reached + 1..=position {
            let topic = &self.at(skipped).topic;
            let missed = self
                .filters
                .iter()
                .find(|f| skipped > f.latest && matches(&f.filter, topic))
                .map(|f| &f.filter);
            assert_eq!(missed, None, "position {skipped} of {topic} was not heard before {position}");
        }
        self.reached = self.reached.max(position);
    }

    fn hear(&mut self, position: u64, payload: &[u8], tally: &mut Tally) {
        assert!(position > self.reached, "position {position} was heard behind {}", self.reached);
        self.skip_to(position - 1);
        let topic = self.at(position).topic.clone();
        assert!(
            self.at(position).payload == payload,
            "position {position} was heard otherwise by the witness"
        );
        let mut admitting: Vec<&mut Listening> =
            self.filters.iter_mut().filter(|f| position > f.earliest && matches(&f.filter, &topic)).collect();
        tally.overlaps += usize::from(admitting.len() > 1);
        match admitting.as_mut_slice() {
            [] => panic!("position {position} of {topic} is not listened to"),
            // From here on it must be complete.
            [only] => only.latest = only.latest.min(position - 1),
            _ => {}
        }
        self.reached = position;
    }
}

impl Record {
    /// Whether so much was published between these positions that some of it may have waited in history, since it did not
    /// take all at once.
    fn may_lag(&self, truth: &Truth, from: u64, upto: u64) -> bool {
        // As the server counts: the header and the place in the queue, and what else may wait there.
        let bytes = |position| {
            truth.get(Id { epoch: self.place.epoch, position }).map_or(0, |one| one.payload.len() + 10 + 64)
        };
        self.was_slow && (from + 1..=upto).map(bytes).sum::<usize>() + 2000 > self.outbox_bytes
    }

    /// Whether a publication has come to it as it is to come to it.
    fn judge_form(&self, form: Form, publication: &Publication, tally: &mut Tally) {
        let is_deflated = publication.is_deflated_for(self.window);
        assert_eq!(form == Form::Deflated, is_deflated, "{publication:?}: {self:?}");
        let is_agreed = self.window.is_some();
        tally.deflated += usize::from(is_deflated);
        tally.too_long += usize::from(is_agreed && publication.deflates && !is_deflated);
        tally.useless += usize::from(is_agreed && publication.payload.len() >= 256 && !publication.deflates);
    }

    /// Judges it, and counts what was special about it.
    pub fn judge(&self, truth: &Truth, tally: &mut Tally) {
        let mut entries = self.entries.iter();
        let Some(first) = entries.next() else { return };
        let Entry::Welcome { last, resumed, topics } = first else {
            panic!("the first thing heard was {first:?}");
        };
        assert_eq!((last.epoch, topics), (self.place.epoch, &self.filters));
        let asked = self.asked.as_deref().and_then(Id::read);
        let must = asked.map_or(Some(false), |asked| truth.reaches(asked, *last, self.at));
        assert!(must.is_none_or(|must| must == *resumed), "resumed: {resumed}, {self:?}");
        tally.resumed += usize::from(*resumed);
        tally.refused += usize::from(!resumed && asked.is_some_and(|asked| asked.epoch == last.epoch));
        tally.unknown_epochs += usize::from(asked.is_some_and(|asked| asked.epoch != last.epoch));

        let from = asked.filter(|_| *resumed).map_or(last.position, |asked| asked.position);
        let listening = |filter: &String| Listening { filter: filter.clone(), earliest: from, latest: from };
        let filters = self.filters.iter().map(listening).collect();
        let mut walk = Walk { truth, epoch: self.place.epoch, filters, reached: from };
        let may_replay = *resumed && from < last.position;
        let (mut replayed_bytes, mut asked_at) = (0, 0);
        for entry in entries {
            match entry {
                Entry::Welcome { .. } => panic!("a second welcome"),
                Entry::Publication(id, payload, form) => {
                    assert_eq!(id.epoch, self.place.epoch);
                    self.judge_form(*form, walk.at(id.position), tally);
                    walk.hear(id.position, payload, tally);
                    tally.overtaken += usize::from(!may_replay && id.position <= asked_at);
                    replayed_bytes += if id.position <= last.position { payload.len() } else { 0 };
                }
                Entry::Answer(nth) => {
                    let command = &self.commands[*nth];
                    tally.commands += 1;
                    tally.commands_in_replay += usize::from(may_replay && walk.reached < last.position);
                    asked_at = command.earliest;
                    let latest = command.latest.expect("it has been answered");
                    if !may_replay && !self.may_lag(truth, from, latest) {
                        // What came before it has been handed out before it was answered.
                        walk.skip_to(command.earliest);
                    }
                    walk.filters.retain(|f| f.filter != command.filter || command.subscribes);
                    if command.subscribes && walk.filters.iter().all(|f| f.filter != command.filter) {
                        walk.filters.push(Listening {
                            filter: command.filter.clone(),
                            earliest: command.earliest,
                            latest,
                        });
                    }
                }
                Entry::Close(Some(1012)) => {
                    tally.farewells += 1;
                    if let Some(newest) = self.farewell.filter(|_| !may_replay)
                        && !self.may_lag(truth, from, newest)
                    {
                        walk.skip_to(newest);
                    }
                }
                Entry::Close(Some(4001)) => {
                    tally.too_slow += 1;
                    // Who takes all at once is let go only where history has forgotten what comes next.
                    assert!(self.was_slow || truth.forgets(), "it was not slow: {self:?}");
                }
                Entry::Close(code) => assert!(self.has_closed, "ended with {code:?}"),
            }
        }
        tally.long_replays += usize::from(replayed_bytes > 64 * 1024);
        if let Some(upto) = self.upto {
            walk.skip_to(upto);
        }
    }
}

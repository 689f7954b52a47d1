//! Judges what a subscriber has heard on one of its connections against the truth: every publication that it listened
//! to once and in order, from where it resumed or, if it was not resumed, from where the welcome says.

use std::time::Duration;

use crate::compression::Window;
use crate::ear::Id;
use crate::event_stream::in_one_line;
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
    Event,
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
    /// How a stream begins.
    Primed(Option<Id>),
    /// Something up to here may have been missed.
    Gap(Id),
    /// It has heard all up to here, as it was told.
    Mark(Id),
    /// A stream was told when to come back.
    Parting,
    /// A stream was told that it is whole.
    Complete,
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
    pub is_stream: bool,
    pub commands: Vec<Command>,
    pub entries: Vec<Entry>,
    /// When the server read its handshake.
    pub at: Duration,
    /// The newest position before and after the turn in which it did.
    pub newest: [u64; 2],
    /// The server did not leave then.
    pub is_let_in: bool,
    /// The server has ended it.
    pub was_ended: bool,
    /// It has, without a word.
    pub was_cut: bool,
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
    /// Parted with though no server has said so, nor they.
    pub cut: usize,
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
    pub events: usize,
    pub resumed_streams: usize,
    pub gaps: usize,
    /// Streams that a leaving server has told to come back later, before they began.
    pub postponed: usize,
    pub partings: usize,
    /// Streams that were told that they have heard all up to somewhere.
    pub marks: usize,
    /// Streams that were ended without a word.
    pub slow_streams: usize,
}

/// A filter that is listened to behind a position, which is known only to lie between two.
struct Listening {
    filter: String,
    earliest: u64,
    latest: u64,
}

/// Where a connection begins: what follows has to be all behind `from`.
struct Beginning<'a> {
    from: u64,
    /// The newest position then, at the latest.
    newest: u64,
    resumed: bool,
    entries: &'a [Entry],
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

    fn hear(&mut self, position: u64, payload: &[u8], form: Form, tally: &mut Tally) {
        assert!(position > self.reached, "position {position} was heard behind {}", self.reached);
        self.skip_to(position - 1);
        let topic = self.at(position).topic.clone();
        let truth = &self.at(position).payload;
        let is_true = match form {
            Form::Event => in_one_line(truth) == payload,
            Form::Plain | Form::Deflated => truth == payload,
        };
        assert!(is_true, "position {position} was heard otherwise by the witness");
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
            let bytes = |one: &Publication| one.payload.len() + if self.is_stream { 200 } else { 74 };
            truth.get(Id { epoch: self.place.epoch, position }).map_or(0, bytes)
        };
        self.was_slow && (from + 1..=upto).map(bytes).sum::<usize>() + 2000 > self.outbox_bytes
    }

    /// Whether a publication has come to it as it is to come to it.
    fn judge_form(&self, form: Form, publication: &Publication, tally: &mut Tally) {
        let is_deflated = publication.is_deflated_for(self.window);
        assert_eq!(form == Form::Deflated, is_deflated, "{publication:?}: {self:?}");
        assert_eq!(form == Form::Event, self.is_stream);
        tally.events += usize::from(self.is_stream);
        let is_agreed = self.window.is_some();
        tally.deflated += usize::from(is_deflated);
        tally.too_long += usize::from(is_agreed && publication.deflates && !is_deflated);
        tally.useless += usize::from(is_agreed && publication.payload.len() >= 256 && !publication.deflates);
    }

    /// Whether it was rightly resumed, or told that it was not; `None` where it was told too little.
    fn judge_beginning(&self, truth: &Truth, tally: &mut Tally) -> Option<Beginning<'_>> {
        let (first, rest) = self.entries.split_first()?;
        let asked = self.asked.as_deref().and_then(Id::read);
        let [earliest, latest] = self.newest.map(|position| Id { epoch: self.place.epoch, position });
        // Between which two the newest was then.
        let (resumed, newest, entries) = match (first, rest) {
            (Entry::Welcome { last, resumed, topics }, entries) => {
                assert_eq!((last.epoch, topics), (self.place.epoch, &self.filters));
                (*resumed, [*last; 2], entries)
            }
            (Entry::Primed(None), [Entry::Gap(newest), entries @ ..]) => {
                tally.gaps += 1;
                (false, [*newest; 2], entries)
            }
            // It has read no more, or there was no more.
            (Entry::Primed(None), entries) => {
                assert!(
                    self.asked.is_some() && matches!(entries, [] | [Entry::Complete]),
                    "neither an id nor a gap: {self:?}"
                );
                tally.postponed += usize::from(self.was_ended);
                assert!(!self.was_ended || self.was_slow || !self.is_let_in, "it was sent away: {self:?}");
                return None;
            }
            (Entry::Primed(Some(newest)), entries) if self.asked.is_none() => (false, [*newest; 2], entries),
            (Entry::Primed(id), entries) => {
                assert_eq!(*id, asked, "it is resumed from elsewhere: {self:?}");
                tally.resumed_streams += 1;
                let at_least = asked.map_or(earliest, |asked| earliest.max(asked).min(latest));
                (true, [at_least, latest], entries)
            }
            _ => panic!("the first thing heard was {first:?}"),
        };
        assert!(newest.iter().all(|id| id.epoch == self.place.epoch));
        let is_then = |id: Id| (earliest.position..=latest.position).contains(&id.position);
        assert!(!self.is_stream || newest.into_iter().all(is_then), "not {earliest} to {latest}: {self:?}");
        let must =
            newest.map(|newest| asked.map_or(Some(false), |asked| truth.reaches(asked, newest, self.at)));
        let is_right = must[0] != must[1] || must[0].is_none_or(|must| must == resumed);
        assert!(is_right, "resumed: {resumed}, {self:?}");
        let epoch = self.place.epoch;
        tally.resumed += usize::from(resumed);
        tally.refused += usize::from(!resumed && asked.is_some_and(|asked| asked.epoch == epoch));
        tally.unknown_epochs += usize::from(asked.is_some_and(|asked| asked.epoch != epoch));
        let newest = newest[1].position;
        let from = asked.filter(|_| resumed).map_or(newest, |asked| asked.position);
        Some(Beginning { from, newest, resumed, entries })
    }

    /// Judges it, and counts what was special about it.
    pub fn judge(&self, truth: &Truth, tally: &mut Tally) {
        tally.cut += usize::from(self.was_cut);
        let Some(Beginning { from, newest, resumed, entries }) = self.judge_beginning(truth, tally) else {
            return;
        };
        let listening = |filter: &String| Listening { filter: filter.clone(), earliest: from, latest: from };
        let filters = self.filters.iter().map(listening).collect();
        let mut walk = Walk { truth, epoch: self.place.epoch, filters, reached: from };
        let may_replay = resumed && from < newest;
        let (mut replayed_bytes, mut asked_at, mut has_parted) = (0, 0, false);
        let was_postponed = !self.is_let_in && matches!(entries, [] | [Entry::Complete]);
        for entry in entries {
            match entry {
                Entry::Welcome { .. } | Entry::Primed(_) | Entry::Gap(_) => panic!("a second welcome"),
                Entry::Publication(id, payload, form) => {
                    assert_eq!(id.epoch, self.place.epoch);
                    self.judge_form(*form, walk.at(id.position), tally);
                    walk.hear(id.position, payload, *form, tally);
                    tally.overtaken += usize::from(!may_replay && id.position <= asked_at);
                    replayed_bytes += if id.position <= newest { payload.len() } else { 0 };
                }
                Entry::Answer(nth) => {
                    let command = &self.commands[*nth];
                    tally.commands += 1;
                    tally.commands_in_replay += usize::from(may_replay && walk.reached < newest);
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
                Entry::Mark(id) => {
                    assert_eq!(id.epoch, self.place.epoch);
                    tally.marks += usize::from(id.position > walk.reached);
                    assert!(id.position >= walk.reached, "it is sent back to {id}: {self:?}");
                    walk.skip_to(id.position);
                }
                Entry::Close(Some(1012)) | Entry::Parting => {
                    tally.farewells += usize::from(!self.is_stream);
                    tally.partings += usize::from(self.is_stream);
                    has_parted = true;
                    // A slow stream may have been told at a moment of its own, and take that in only behind the farewell to all. It comes
                    // back to where it was then.
                    let may_be_earlier = self.is_stream && self.was_slow;
                    if let Some(newest) = self.farewell.filter(|_| !may_replay && !may_be_earlier)
                        && !self.may_lag(truth, from, newest)
                    {
                        walk.skip_to(newest);
                    }
                }
                Entry::Complete => assert!(has_parted || was_postponed, "it was cut: {self:?}"),
                Entry::Close(Some(4001)) => {
                    tally.too_slow += 1;
                    // Who takes all at once is let go only where history has forgotten what comes next.
                    assert!(self.was_slow || truth.forgets(), "it was not slow: {self:?}");
                }
                Entry::Close(code) => assert!(self.has_closed, "ended with {code:?}"),
            }
        }
        if self.is_stream && self.was_ended && !self.was_cut && !has_parted && !was_postponed {
            tally.slow_streams += 1;
            assert!(self.was_slow || truth.forgets(), "ended without a word: {self:?}");
        }
        tally.long_replays += usize::from(replayed_bytes > 64 * 1024);
        if let Some(upto) = self.upto {
            walk.skip_to(upto);
        }
    }
}

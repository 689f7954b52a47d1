//! Whether all were told what there was, by what the engines have written: one order, nothing twice, and nothing missing without a
//! word.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slackwater::policy::engine::marks::PATIENCE;

use crate::ear::Id;
use crate::fleet::author::{Author, Outcome};
use crate::fleet::chronicle::Chronicle;
use crate::fleet::listener::{Hearing, Listener, Said};
use crate::truth::matches;

/// What was judged, to be sure that something was.
#[derive(Debug, Default)]
pub struct Tally {
    pub heard: usize,
    pub gaps: usize,
    pub resumed: usize,
    pub not_resumed: usize,
    /// Those of them who asked for what the engine still has, and were not waited for.
    pub in_vain: usize,
    pub answered: usize,
    pub refused: usize,
    pub unknown: usize,
    /// Answered with ids, and not there any more.
    pub lost: usize,
    pub retried: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        let Self { heard, gaps, resumed, not_resumed, in_vain, answered, refused, unknown, lost, retried } =
            other;
        self.heard += heard;
        self.gaps += gaps;
        self.resumed += resumed;
        self.not_resumed += not_resumed;
        self.in_vain += in_vain;
        self.answered += answered;
        self.refused += refused;
        self.unknown += unknown;
        self.lost += lost;
        self.retried += retried;
    }
}

/// The end of the line, and all there ever was.
pub struct Judge<'a> {
    pub chronicle: &'a Chronicle,
    pub newest: Id,
    /// Publications that were acknowledged and that the engines have lost, if some machine still knows of each.
    pub lost: Vec<Id>,
    /// No machine forgets what the engine has.
    pub forgets_nothing: bool,
}

impl Judge<'_> {
    /// What one was told on each connection.
    pub fn hears(&self, listener: &Listener, tally: &mut Tally) {
        for hearing in &listener.hearings {
            self.hear(hearing, tally);
        }
    }

    fn hear(&self, hearing: &Hearing, tally: &mut Tally) {
        // Up to where it has heard all, if that is known.
        let mut upto: Option<Id> = None;
        // From where it would have been told what is lost, rather than not brought it where it has resumed.
        let mut live: Option<Id> = None;
        let mut newest_heard: Option<Id> = None;
        for said in &hearing.said {
            match said {
                Said::Resumed => {
                    upto = Some(hearing.asked.expect("it has asked for it"));
                    tally.resumed += 1;
                }
                Said::From(id) => {
                    assert!(id.epoch > 0, "the machine does not know what was published: {hearing:?}");
                    upto = Some(*id);
                    live = upto;
                    tally.not_resumed += usize::from(hearing.asked.is_some());
                    tally.in_vain += usize::from(self.is_in_vain(hearing));
                }
                Said::Publication(id) => {
                    tally.heard += 1;
                    assert!(newest_heard < Some(*id), "{id} was heard behind {newest_heard:?}: {hearing:?}");
                    let topic = self.chronicle.topic(*id).expect("somebody has published it");
                    let is_wanted = hearing.filters.iter().any(|filter| matches(filter, topic));
                    assert!(is_wanted, "{id} is of {topic}: {hearing:?}");
                    if let Some(before) = upto {
                        let missed = self.missed(hearing, before, *id);
                        assert_eq!(missed, [*id], "behind {before}: {hearing:?}");
                    }
                    (upto, newest_heard) = (Some(*id), Some(*id));
                }
                Said::Gap(id) => {
                    tally.gaps += 1;
                    (upto, live) = (*id, *id);
                }
                Said::Mark(id) => {
                    self.has_heard_all(hearing, upto, *id);
                    (upto, live) = (Some(*id), live.or(Some(*id)));
                }
            }
        }
        if !hearing.is_past {
            assert!(!hearing.said.is_empty(), "nobody has welcomed it: {hearing:?}");
            self.has_heard_all(hearing, upto, self.newest);
            live.into_iter().for_each(|since| self.was_told(hearing, since));
        }
    }

    /// Whether it asked for what the engine has still, and was told too early that it is not there.
    fn is_in_vain(&self, hearing: &Hearing) -> bool {
        let (came, told) = hearing.times;
        let waited = told.is_some_and(|told| told >= came + PATIENCE);
        let asked = hearing.asked.filter(|_| !waited);
        self.forgets_nothing
            && asked.is_some_and(|asked| self.chronicle.between(asked, self.newest).is_some())
    }

    /// Since then it has missed nothing that is lost: it would have been told of a gap, though maybe not at once.
    fn was_told(&self, hearing: &Hearing, since: Id) {
        let is_missed = |id: &Id| since < *id && id.epoch < self.newest.epoch && self.wants(hearing, *id);
        let missed = self.lost.iter().find(|id| is_missed(id));
        assert!(missed.is_none(), "{missed:?} is lost, and nobody has said so: {hearing:?}");
    }

    fn wants(&self, hearing: &Hearing, id: Id) -> bool {
        let topic = self.chronicle.topic(id);
        topic.is_some_and(|topic| hearing.filters.iter().any(|filter| matches(filter, topic)))
    }

    fn has_heard_all(&self, hearing: &Hearing, after: Option<Id>, upto: Id) {
        let missed = after
            .filter(|after| *after < upto)
            .map(|after| self.missed(hearing, after, upto))
            .unwrap_or_default();
        assert!(missed.is_empty(), "{missed:?} is missing behind {after:?}, ahead of {upto}: {hearing:?}");
    }

    /// What it has to hear behind one id up to another.
    fn missed(&self, hearing: &Hearing, after: Id, upto: Id) -> Vec<Id> {
        let Some(ids) = self.chronicle.between(after, upto) else {
            let epochs = self.chronicle.epochs();
            panic!("{after} does not precede {upto}, and nobody was told: {hearing:?}, {epochs:?}")
        };
        ids.into_iter().filter(|id| self.wants(hearing, *id)).collect()
    }

    /// What one was answered.
    pub fn answers(&self, author: &Author, tally: &mut Tally) {
        let line: BTreeSet<Id> = self.chronicle.line(self.newest).into_iter().collect();
        let mut on_line: HashMap<u64, Vec<Id>> = HashMap::new();
        for id in &line {
            self.chronicle
                .token(*id)
                .into_iter()
                .for_each(|token| on_line.entry(token).or_default().push(*id));
        }
        let mut ever: BTreeMap<u64, usize> = BTreeMap::new();
        self.chronicle.tokens().for_each(|(_, token)| *ever.entry(token).or_default() += 1);
        for request in &author.requests {
            let outcomes = || request.outcomes.iter().map(|(_, outcome)| outcome);
            for outcome in outcomes() {
                match outcome {
                    Outcome::Published(ids) => {
                        tally.answered += 1;
                        let told = ids.iter().map(|id| {
                            let topic = self.chronicle.topic(*id).unwrap_or_default();
                            (topic.to_owned(), self.chronicle.token(*id).unwrap_or_default())
                        });
                        assert_eq!(told.collect::<Vec<_>>(), request.drafts, "{request:?}");
                        tally.lost += ids.iter().filter(|id| !line.contains(id)).count();
                    }
                    Outcome::Refused => tally.refused += 1,
                    Outcome::Unknown | Outcome::Cut => tally.unknown += 1,
                }
            }
            let is_refused = outcomes().all(|outcome| *outcome == Outcome::Refused);
            let ever = request.drafts.iter().filter(|(_, token)| ever.contains_key(token)).count();
            assert!(!is_refused || ever == 0, "it was said that nothing was published: {request:?}");
            tally.retried += usize::from(request.has_key && request.outcomes.len() > 1);
            let found: Vec<usize> =
                request.drafts.iter().map(|(_, token)| on_line.get(token).map_or(0, Vec::len)).collect();
            assert!(found.iter().all(|count| *count <= 1), "published twice: {request:?}");
            // Where an engine was set back, what it gave again may end amid a batch.
            let is_whole = self.chronicle.repeats || found.iter().all(|count| *count == found[0]);
            assert!(is_whole, "all or nothing: {request:?} {found:?}");
        }
    }
}

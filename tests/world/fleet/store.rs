//! What an engine keeps, and what the commands and scripts that are sent to it make of that: the same as Redis and the scripts do.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use crate::ear::Id;
use crate::fleet::answer::Answer;
use crate::fleet::chronicle::{Chronicle, Fields, read, written};

const LOWER: &str = "ERR The ID specified in XADD is equal or smaller than the target stream top item";

/// A machine's report counts for so long.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// All keys of one name. Cloned for a replica, and for what is on disk.
#[derive(Debug, Clone, Default)]
pub struct Store {
    pub stream: Option<Stream>,
    /// The epoch and the replication line of which it is.
    epoch: Option<(u32, String)>,
    /// What that epoch follows.
    after: Option<Id>,
    /// The newest epoch of which it was said that something is lost.
    lossy: u32,
    /// Payload and ids behind each key of publishers, and until when.
    remembered: BTreeMap<String, (Duration, String)>,
    lease: Option<Duration>,
    notifications: u64,
    machines: BTreeMap<String, (Duration, usize)>,
    /// How often something was written.
    pub writes: u64,
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub entries: Vec<(Id, Fields)>,
    /// The last id that was given, whether its entry is still there or not.
    last: Id,
}

/// What a command may look at beside what is kept.
pub struct Context<'a> {
    pub chronicle: &'a mut Chronicle,
    /// Since 1970.
    pub time: Duration,
    /// The replication line.
    pub line: &'a str,
}

impl Store {
    /// The newest entry.
    pub fn newest(&self) -> Option<Id> {
        self.stream.as_ref()?.entries.last().map(|(id, _)| *id)
    }

    /// `XADD key NOMKSTREAM MAXLEN ~ kept epoch-* …`.
    pub fn add(&mut self, arguments: &[String], context: &mut Context<'_>) -> Answer {
        let [_, nomkstream, maxlen, _, kept, id, fields @ ..] = arguments else { panic!("{arguments:?}") };
        assert_eq!((&nomkstream[..], &maxlen[..]), ("NOMKSTREAM", "MAXLEN"));
        if self.stream.is_none() {
            return Answer::Null;
        }
        let epoch = id.strip_suffix("-*").expect("a position is given by the engine");
        match self.append(epoch, kept, fields.to_vec(), context) {
            Ok(id) => Answer::Bulk(written(id)),
            Err(why) => Answer::Error(why.into()),
        }
    }

    fn append(
        &mut self,
        epoch: &str,
        kept: &str,
        fields: Vec<String>,
        context: &mut Context<'_>,
    ) -> Result<Id, &'static str> {
        let (epoch, kept): (u32, usize) =
            (epoch.parse().expect("an epoch"), kept.parse().expect("a number of entries"));
        let stream = self.stream.as_mut().expect("it was looked for");
        let id = match stream.last {
            last if last.epoch == epoch => Id { epoch, position: last.position + 1 },
            last if last.epoch > epoch => return Err(LOWER),
            // So it does: only a beginning may have this position.
            _ => Id { epoch, position: 0 },
        };
        self.push(id, fields, context);
        // Whole nodes of a hundred go.
        let stream = self.stream.as_mut().expect("it was looked for");
        while stream.entries.len() >= kept + 100 {
            stream.entries.drain(..100);
        }
        Ok(id)
    }

    fn push(&mut self, id: Id, fields: Vec<String>, context: &mut Context<'_>) {
        let fields = Rc::new(fields);
        context.chronicle.note(id, &fields);
        let stream = self.stream.get_or_insert(Stream { entries: vec![], last: id });
        stream.last = id;
        stream.entries.push((id, fields));
        self.writes += 1;
    }

    /// Entries from this id on, or behind it.
    pub fn entries(&self, mut is_wanted: impl FnMut(Id) -> bool, count: usize) -> Vec<Answer> {
        let entries = self.stream.iter().flat_map(|stream| &stream.entries);
        let wanted = entries.filter(|(id, _)| is_wanted(*id)).take(count);
        let fields = |fields: &Fields| Answer::Array(fields.iter().map(Answer::bulk).collect());
        wanted.map(|(id, of)| Answer::Array(vec![Answer::Bulk(written(*id)), fields(of)])).collect()
    }

    /// `begin.lua`.
    pub fn begin(&mut self, arguments: &[String], context: &mut Context<'_>) -> Answer {
        let known = read(&arguments[0]).expect("an id");
        let entries = self.stream.iter().flat_map(|stream| &stream.entries);
        let kept = entries.map(|(id, _)| *id).take_while(|id| *id <= known).last();
        let newest = self.newest();
        let last = newest.map_or(0, |id| id.epoch);
        let (epoch, line) = self.epoch.clone().unwrap_or_default();
        let is_gone = match kept {
            Some(kept) => kept != known,
            None => known.epoch < epoch && self.after.is_some_and(|after| after < known),
        };
        let is_set_back = !arguments[2].is_empty() && known.epoch == epoch;
        let is_lost = is_gone && known.position > 0 && self.lossy < known.epoch;
        let answer = |epoch: u32, id: Id| {
            Answer::Array(vec![Answer::Integer(epoch.into()), Answer::Bulk(written(id)), Answer::bulk("")])
        };
        if let Some(newest) = newest
            && epoch > 0
            && line == context.line
            && last <= epoch
            && known.epoch <= epoch
            && !is_lost
            && !is_set_back
        {
            return answer(epoch, newest);
        }
        let seconds = u32::try_from(context.time.as_secs()).expect("before 2106");
        let salt: u32 = arguments[1].parse().expect("a number");
        let epoch = (epoch.max(known.epoch).max(last) + 1 + salt % 8192).max(seconds + salt);
        let id = Id { epoch, position: 0 };
        let newest = newest.filter(|_| !is_set_back);
        let after = newest.map(written).unwrap_or_default();
        let lost = if is_lost { &arguments[0] } else { "" };
        let fields = ["begin", context.line, "after", &after, "lost", lost].map(str::to_owned);
        self.push(id, fields.into(), context);
        self.lossy = self.lossy.max(if is_lost { known.epoch } else { 0 });
        (self.epoch, self.after) = (Some((epoch, context.line.to_owned())), newest);
        answer(epoch, id)
    }

    /// `machines.lua`.
    fn clients_of_all(&mut self, machine: &str, clients: &str, time: Duration) -> usize {
        self.machines.insert(machine.to_owned(), (time, clients.parse().expect("a number")));
        self.machines.retain(|_, (at, _)| time - *at <= REPORT_LIMIT);
        self.writes += 1;
        self.machines.values().map(|(_, clients)| clients).sum()
    }

    /// `beat.lua`.
    pub fn beat(&mut self, arguments: &[String], context: &Context<'_>) -> Answer {
        self.clients_of_all(&arguments[0], &arguments[1], context.time);
        match (&self.stream, &self.epoch) {
            (None, _) => Answer::Null,
            (Some(_), epoch) => {
                let epoch =
                    epoch.as_ref().filter(|(_, line)| line == context.line).map_or(0, |(epoch, _)| *epoch);
                let newest = self.newest().map(written).unwrap_or_default();
                Answer::Array(vec![Answer::Integer(epoch.into()), Answer::Bulk(newest), Answer::bulk("")])
            }
        }
    }

    /// `notify.lua`.
    pub fn notify(&mut self, arguments: &[String], context: &mut Context<'_>) -> Answer {
        let [machine, clients, within, epoch, kept, at] = arguments else { panic!("{arguments:?}") };
        let total = self.clients_of_all(machine, clients, context.time);
        if self.stream.is_none() || self.lease.is_some_and(|until| until > context.time) {
            return Answer::Null;
        }
        self.lease = Some(context.time + Duration::from_millis(within.parse().expect("milliseconds")));
        self.notifications += 1;
        let (number, total) = (self.notifications.to_string(), total.to_string());
        let fields = ["n", &number, "c", &total, "at", at].map(str::to_owned);
        match self.append(epoch, kept, fields.into(), context) {
            Ok(id) => Answer::Bulk(written(id)),
            Err(why) => Answer::Error(format!("{why} script: on @user_script:1.")),
        }
    }

    /// `tail.lua`.
    pub fn tail(&self) -> Answer {
        self.newest().map_or(Answer::Null, |id| Answer::Bulk(written(id)))
    }

    /// `publish.lua`.
    pub fn publish(&mut self, keys: &[String], arguments: &[String], context: &mut Context<'_>) -> Answer {
        let [epoch, kept, at, ttl, request, heard, publications @ ..] = arguments else {
            panic!("{arguments:?}")
        };
        let heard: u64 = heard.parse().expect("a position");
        let until = context.time + Duration::from_millis(ttl.parse().expect("milliseconds"));
        self.remembered.retain(|_, (until, _)| *until > context.time);
        let ids = |ids: String| Answer::Array(vec![Answer::bulk("ids"), Answer::Bulk(ids)]);
        let conflict = |number: usize| {
            Answer::Array(vec![
                Answer::bulk("conflict"),
                Answer::Integer(i64::try_from(number).expect("few")),
            ])
        };
        if !request.is_empty()
            && let Some((_, first)) = self.remembered.get(&keys[1])
        {
            return if first[..32] == **request { ids(first[33..].to_owned()) } else { conflict(0) };
        }
        // The payload behind each key, and the id if it is a retry.
        let mut known: HashMap<usize, (String, Option<String>)> = HashMap::new();
        let number = |key: &str| key.parse::<usize>().ok().map(|number| number - 1);
        for (nth, publication) in publications.chunks(4).enumerate() {
            let Some(key) = number(&publication[2]) else { continue };
            let first = self.remembered.get(&keys[key]);
            let first = first.map(|(_, first)| (first[..32].to_owned(), Some(first[33..].to_owned())));
            let known = known.entry(key).or_insert_with(|| first.unwrap_or((publication[3].clone(), None)));
            if known.0 != publication[3] {
                return conflict(nth + 1);
            }
        }
        if self.stream.is_none() {
            return Answer::Array(vec![Answer::bulk("gone")]);
        }
        let (mut given, mut is_first): (Vec<Id>, bool) = (Vec::new(), true);
        for publication in publications.chunks(4) {
            let key = number(&publication[2]);
            if let Some((_, Some(run))) = key.and_then(|key| known.get(&key)) {
                given.push(read(run.strip_suffix("+1").expect("it is one")).expect("an id"));
                continue;
            }
            let fields = ["t", &publication[0], "d", &publication[1], "at", at].map(str::to_owned);
            let id = match self.append(epoch, kept, fields.into(), context) {
                Ok(id) => id,
                Err(why) => return Answer::Error(format!("{why} script: on @user_script:1.")),
            };
            if std::mem::take(&mut is_first) && id.position <= heard {
                self.stream.as_mut().expect("it was looked for").entries.pop();
                return Answer::Array(vec![Answer::bulk("set back")]);
            }
            given.push(id);
            if let Some(key) = key {
                let (payload, run) = known.get_mut(&key).expect("it was looked for");
                *run = Some(written(id) + "+1");
                let text = format!("{payload} {}+1", written(id));
                self.remembered.insert(keys[key].clone(), (until, text));
            }
        }
        let runs = given.chunk_by(|a, b| a.epoch == b.epoch && a.position + 1 == b.position);
        let runs: Vec<String> = runs.map(|run| format!("{}+{}", written(run[0]), run.len())).collect();
        let runs = runs.join(" ");
        if !request.is_empty() {
            self.remembered.insert(keys[1].clone(), (until, format!("{request} {runs}")));
        }
        ids(runs)
    }
}

//! One server of an engine: a master, or what has been one. It executes what comes in the order in which it comes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::fleet::answer::Answer;
use crate::fleet::chronicle::{Chronicle, read};
use crate::fleet::connection::{Blocked, Connection};
use crate::fleet::store::{Context, Store};
use crate::world::BEGINNING;

const BEGIN: &str = include_str!("../../../src/wire/engine/begin.lua");
const BEAT: &str = include_str!("../../../src/wire/engine/beat.lua");
const NOTIFY: &str = include_str!("../../../src/wire/engine/notify.lua");
const TAIL: &str = include_str!("../../../src/wire/engine/tail.lua");
const PUBLISH: &str = include_str!("../../../src/wire/engine/publish.lua");

/// States that are kept for a replica and for what is on disk.
const KEPT_STATES: usize = 60;

/// What a server is to those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Master,
    /// It refuses what would be written.
    Replica,
}

#[derive(Debug)]
pub struct Node {
    pub store: Store,
    /// Its replication line: another after each restart or change of the master.
    pub line: String,
    pub role: Role,
    /// It does nothing until then (SIGSTOP).
    pub stopped_until: Duration,
    /// It answers `LOADING` until then.
    pub loads_until: Duration,
    /// It refuses what would be written until then (`OOM`).
    pub is_full_until: Duration,
    /// How far its replica lags behind; it has none without.
    pub lag: Option<Duration>,
    /// Earlier states, each with when it was reached.
    states: VecDeque<(Duration, Store)>,
    pub connections: Vec<Connection>,
    /// How often it was asked how far the stream reaches.
    pub tails: usize,
}

impl Node {
    pub fn new(store: Store, line: String, at: Duration) -> Self {
        Self {
            states: [(at, store.clone())].into(),
            store,
            line,
            role: Role::Master,
            stopped_until: Duration::ZERO,
            loads_until: Duration::ZERO,
            is_full_until: Duration::ZERO,
            lag: None,
            connections: Vec::new(),
            tails: 0,
        }
    }

    /// What its replica has.
    pub fn replicated(&self, at: Duration) -> Option<&Store> {
        let has_it =
            |(since, _): &&(Duration, Store)| since.saturating_add(self.lag.unwrap_or_default()) <= at;
        self.lag?;
        self.states.iter().rev().find(has_it).or(self.states.front()).map(|(_, store)| store)
    }

    /// What it had so many changes ago.
    pub fn earlier(&self, changes: usize) -> Store {
        let nth = self.states.len().saturating_sub(changes + 1);
        self.states[nth].1.clone()
    }

    /// What it keeps is changed by somebody else.
    pub fn change(&mut self, change: impl FnOnce(&mut Store), at: Duration) {
        change(&mut self.store);
        self.store.writes += 1;
        self.remember(at);
    }

    /// Whether something has come that it has not looked at.
    pub fn is_awake(&self, at: Duration) -> bool {
        let has_event =
            |connection: &Connection| connection.pipe.borrow().has_event(crate::pipe::Side::Worker);
        self.stopped_until <= at && self.connections.iter().any(has_event)
    }

    /// When it does something by itself.
    pub fn next_time(&self, at: Duration) -> Option<Duration> {
        if self.stopped_until > at {
            return Some(self.stopped_until);
        }
        let due = |connection: &Connection| match connection.blocked.as_ref()? {
            Blocked::Read { until, .. } => Some(*until),
            Blocked::Wait { writes, until } => {
                let lag = self.lag.unwrap_or(Duration::MAX);
                let reached = self.states.iter().find(|(_, store)| store.writes >= *writes);
                let confirmed = reached.map(|(since, _)| since.saturating_add(lag));
                Some(confirmed.unwrap_or(*until).min(*until))
            }
        };
        self.connections.iter().filter_map(due).min()
    }

    /// Executes what has come.
    pub fn turn(&mut self, chronicle: &mut Chronicle, at: Duration) {
        if self.stopped_until > at {
            return;
        }
        let mut connections = std::mem::take(&mut self.connections);
        connections.iter_mut().for_each(Connection::read);
        // Whatever one of them writes, another that is blocked may be told of at once.
        while connections.iter_mut().any(|connection| self.go_on(connection, chronicle, at)) {}
        connections.iter_mut().for_each(Connection::flush);
        connections.retain(|connection| !(connection.is_over && connection.commands.is_empty()));
        self.connections = connections;
    }

    /// Whether a connection had something to do.
    fn go_on(&mut self, connection: &mut Connection, chronicle: &mut Chronicle, at: Duration) -> bool {
        if connection.blocked.is_some() {
            let Some(answer) = self.unblock(connection, at) else {
                // Nobody is left to be answered.
                return connection.is_over && connection.blocked.take().is_some();
            };
            connection.blocked = None;
            connection.answer(&answer);
            return true;
        }
        let Some(command) = connection.commands.pop_front() else { return false };
        if let Some(answer) = self.execute(connection, &command, chronicle, at) {
            connection.answer(&answer);
        }
        self.remember(at);
        true
    }

    fn unblock(&self, connection: &Connection, at: Duration) -> Option<Answer> {
        match connection.blocked.as_ref()? {
            Blocked::Read { after, count, until } => {
                let entries = self.store.entries(|id| id > *after, *count);
                let found = (!entries.is_empty())
                    .then(|| Answer::Map(vec![(Answer::bulk("{fleet}:stream"), Answer::Array(entries))]));
                found.or((*until <= at).then_some(Answer::Null))
            }
            Blocked::Wait { writes, until } => {
                let has_all = self.replicated(at).is_some_and(|store| store.writes >= *writes);
                (has_all || *until <= at).then_some(Answer::Integer(has_all.into()))
            }
        }
    }

    /// The answer, unless it has to wait for something.
    fn execute(
        &mut self,
        connection: &mut Connection,
        command: &[String],
        chronicle: &mut Chronicle,
        at: Duration,
    ) -> Option<Answer> {
        let name = command[0].as_str();
        if name == "HELLO" {
            return Some(self.greet());
        }
        if self.loads_until > at {
            return Some(Answer::Error("LOADING Redis is loading the dataset in memory".into()));
        }
        let script = if name == "EVAL" { command[1].as_str() } else { "" };
        let writes = name == "XADD" || name == "EVAL" && !script.contains(TAIL);
        let tail = if name == "EVAL" { " script: on @user_script:1." } else { "" };
        if writes && self.role == Role::Replica {
            let why = "READONLY You can't write against a read only replica.";
            return Some(Answer::Error(format!("{why}{tail}")));
        }
        if writes && self.is_full_until > at {
            let why = "OOM command not allowed when used memory > 'maxmemory'.";
            return Some(Answer::Error(format!("{why}{tail}")));
        }
        let line = self.line.clone();
        let mut context = Context { chronicle, time: since_1970(at), line: &line };
        let number = |nth: usize| command[nth].parse::<usize>().expect("a number");
        Some(match name {
            "XADD" => self.store.add(&command[1..], &mut context),
            "XRANGE" => {
                let from = read(&command[2]);
                Answer::Array(self.store.entries(|id| from.is_none_or(|from| id >= from), number(5)))
            }
            "XREAD" => {
                let until = at + Duration::from_millis(number(4) as u64);
                let after = read(&command[7]).expect("an id");
                connection.blocked = Some(Blocked::Read { after, count: number(2), until });
                return None;
            }
            "WAIT" => {
                let until = at + Duration::from_millis(number(2) as u64);
                connection.blocked = Some(Blocked::Wait { writes: self.store.writes, until });
                return None;
            }
            "EVAL" => {
                let (keys, arguments) = command[3..].split_at(number(2));
                match script {
                    script if script == BEGIN => self.store.begin(arguments, &mut context),
                    script if script == TAIL => {
                        self.tails += 1;
                        let asks_again = |command: &Vec<String>| command.get(1).is_some_and(|it| it == TAIL);
                        assert!(!connection.commands.iter().any(asks_again), "one question at a time");
                        self.store.tail()
                    }
                    script if script == PUBLISH => self.store.publish(keys, arguments, &mut context),
                    script if script.ends_with(BEAT) => self.store.beat(arguments, &context),
                    script if script.ends_with(NOTIFY) => self.store.notify(arguments, &mut context),
                    _ => panic!("an unknown script: {script}"),
                }
            }
            _ => Answer::Error(format!("ERR unknown command '{name}'")),
        })
    }

    fn greet(&self) -> Answer {
        let role = if self.role == Role::Master { "master" } else { "replica" };
        let fields = [("server", "redis"), ("version", "7.0.15"), ("mode", "standalone"), ("role", role)];
        let pair = |(name, value): (&str, &str)| (Answer::bulk(name), Answer::bulk(value));
        Answer::Map(fields.into_iter().map(pair).collect())
    }

    fn remember(&mut self, at: Duration) {
        if self.states.back().is_none_or(|(_, newest)| newest.writes != self.store.writes) {
            self.states.push_back((at, self.store.clone()));
            self.states.drain(..self.states.len().saturating_sub(KEPT_STATES));
        }
    }
}

fn since_1970(at: Duration) -> Duration {
    Duration::from_secs(u64::try_from(BEGINNING.as_second()).expect("later")) + at
}

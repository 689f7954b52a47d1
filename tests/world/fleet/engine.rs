//! The engine of several machines: its servers, who is the master, and what befalls them. It loses and forgets, and never reorders.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::engine::step::{Line, Target};
use slackwater::server::engine::Wanted;

use crate::fleet::chronicle::Chronicle;
use crate::fleet::connection::Connection;
use crate::fleet::draw_pace;
use crate::fleet::node::{Node, Role};
use crate::fleet::store::Store;
use crate::pipe::{Pipe, Side};
use crate::random::Random;

/// What is left of a server that starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Everything,
    /// All but the last changes.
    AllBut(usize),
    Nothing,
}

/// Whether a master that was replaced knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It is gone.
    Dead,
    /// It follows the new one.
    Follows,
    /// It takes what comes, for so long: all of that is lost.
    Lives(Duration),
}

pub struct Engine {
    random: Random,
    pub nodes: Vec<Node>,
    /// Who is the master, for whoever connects.
    pub master: usize,
    pub chronicle: Chronicle,
    /// Nobody can connect before.
    pub is_down_until: Duration,
    /// When connections to a server are cut.
    ends: Vec<(Duration, usize)>,
    /// Each attempt to connect, and of which machine.
    pub attempts: Vec<(Duration, usize)>,
}

impl Engine {
    pub fn new(random: Random) -> Self {
        let mut engine = Self {
            random,
            nodes: Vec::new(),
            master: 0,
            chronicle: Chronicle::default(),
            is_down_until: Duration::ZERO,
            ends: Vec::new(),
            attempts: Vec::new(),
        };
        let line = engine.another_line();
        engine.nodes.push(Node::new(Store::default(), line, Duration::ZERO));
        engine
    }

    pub fn master(&mut self) -> &mut Node {
        &mut self.nodes[self.master]
    }

    fn another_line(&mut self) -> String {
        self.random.bytes(20).iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// A machine connects.
    pub fn connect(
        &mut self,
        machine: usize,
        wanted: &Wanted,
        at: Duration,
    ) -> Result<Rc<RefCell<Pipe>>, String> {
        if wanted.line == Line::Writer {
            self.attempts.push((at, machine));
        }
        assert_eq!(wanted.target, Target::Configured);
        if self.is_down_until > at && self.random.chance(50) {
            return Err("connection refused".into());
        }
        let (up, down) = (draw_pace(&mut self.random), draw_pace(&mut self.random));
        let pipe = Pipe::new(self.random.fork(), up, down);
        if self.is_down_until > at {
            // It is known only when it is used.
            drop(Pipe::end(&pipe, Side::Worker));
            return Ok(pipe);
        }
        let master = self.master;
        self.nodes[master].connections.push(Connection::new(machine, wanted.line, pipe.clone()));
        Ok(pipe)
    }

    /// It executes what has come, and what is due happens.
    pub fn turn(&mut self, at: Duration) {
        for (_, node) in self.ends.extract_if(.., |(end, _)| *end <= at).collect::<Vec<_>>() {
            self.cut_all(node);
        }
        for node in &mut self.nodes {
            node.turn(&mut self.chronicle, at);
        }
    }

    pub fn is_awake(&self, at: Duration) -> bool {
        self.nodes.iter().any(|node| node.is_awake(at))
    }

    pub fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        self.nodes.iter().flat_map(|node| &node.connections).map(|connection| &connection.pipe)
    }

    pub fn next_time(&self, at: Duration) -> Option<Duration> {
        let of_nodes = self.nodes.iter().filter_map(|node| node.next_time(at));
        of_nodes.chain(self.ends.iter().map(|(end, _)| *end)).min()
    }

    /// Connections to a server are cut, all of them.
    pub fn cut_all(&mut self, node: usize) {
        for connection in std::mem::take(&mut self.nodes[node].connections) {
            connection.cut(self.random.chance(50));
        }
    }

    /// One connection to the master is cut, or all of one machine.
    pub fn cut_some(&mut self, machine: Option<usize>) {
        let is_of = |connection: &Connection| machine.is_none_or(|machine| connection.machine == machine);
        let connections = &mut self.nodes[self.master].connections;
        let mut chosen: Vec<usize> =
            (0..connections.len()).rev().filter(|nth| is_of(&connections[*nth])).collect();
        if machine.is_none() && !chosen.is_empty() {
            chosen = vec![self.random.pick(&chosen)];
        }
        for nth in chosen {
            let connection = connections.remove(nth);
            connection.cut(self.random.chance(50));
        }
    }

    /// The master is killed, is gone for so long, and then loads for as long.
    pub fn restart(&mut self, left: Left, gone: Duration, at: Duration) {
        self.cut_all(self.master);
        let line = self.another_line();
        let store = match left {
            Left::Everything => self.master().store.clone(),
            Left::AllBut(changes) => self.master().earlier(changes),
            Left::Nothing => Store::default(),
        };
        let lag = self.master().lag;
        let mut node = Node::new(store, line, at + gone);
        (node.loads_until, node.lag) = (at + gone + gone, lag);
        let master = self.master;
        self.nodes[master] = node;
        self.is_down_until = at + gone;
    }

    /// Its replica becomes the master, with what it has.
    pub fn fail_over(&mut self, old: Replaced, at: Duration) {
        let line = self.another_line();
        let (lag, before) = (self.master().lag, self.master);
        let store = self.master().replicated(at).expect("it has a replica").clone();
        let mut node = Node::new(store, line, at);
        node.lag = lag;
        self.nodes.push(node);
        self.master = self.nodes.len() - 1;
        let replaced = &mut self.nodes[before];
        replaced.lag = None;
        match old {
            Replaced::Dead => self.cut_all(before),
            Replaced::Follows => {
                replaced.role = Role::Replica;
                // A reader that is blocked is told so, and cut off; others find out when they write.
                for nth in (0..replaced.connections.len()).rev() {
                    if replaced.connections[nth].blocked.is_some() {
                        replaced.connections.remove(nth).cut(false);
                    }
                }
            }
            Replaced::Lives(lives) => self.ends.push((at + lives, before)),
        }
    }
}

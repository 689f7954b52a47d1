//! One machine: a process that is all of it, or a supervisor and its workers. Only the first of them talks to the engine.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slackwater::policy::engine::step::Line as EngineLine;
use slackwater::policy::fingerprint::Fingerprint;
use slackwater::policy::roster::{Doing, Exit, Sight, Step, Times, WorkerId};
use slackwater::process::crew::{Arrived, Crew, CrewTerms};
use slackwater::server::clock::Now;
use slackwater::server::engine::{EngineTerms, Wanted};
use slackwater::wire::engine::Speaker;

use crate::draw::HOUR;
use crate::fleet::draw_pace;
use crate::fleet::engine::Engine;
use crate::fleet::process::Process;
use crate::pipe::{Pipe, Side};
use crate::random::Random;
use crate::reign::Setup;
use crate::spin::Spin;
use crate::wire::Wire;

pub struct Machine {
    pub number: usize,
    setup: Setup,
    crew: Option<Crew<Wire>>,
    pub processes: Vec<Process>,
    /// By which each worker is linked.
    children: Vec<(WorkerId, Rc<RefCell<Pipe>>)>,
    exits: Vec<(WorkerId, Exit)>,
    is_new: bool,
    /// Its connections to the engine.
    engine: Vec<(EngineLine, Rc<RefCell<Pipe>>)>,
    /// Deeds by connections that are no more.
    past_deeds: usize,
    spin: Spin,
    /// It takes no turn until then.
    pub stopped_until: Duration,
}

/// What is the same for all machines.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// Entries of the stream.
    pub kept: usize,
    pub wait_ms: Option<u32>,
}

impl Machine {
    pub fn new(number: usize, setup: &Setup, sharing: Sharing, random: &mut Random, now: Now) -> Self {
        let mut setup = setup.clone();
        setup.terms.epoch = 1 + u32::try_from(number).expect("few");
        let terms = EngineTerms {
            speaker: Speaker::new("fleet", Fingerprint::of([number.to_string().as_bytes()]), sharing.kept),
            name: "fleet".into(),
            sentinels: vec![],
            page: random.pick(&[10, 128]),
            wait_ms: sharing.wait_ms,
            seed: random.below(usize::MAX) as u64,
        };
        let (mut crew, mut processes) = (None, Vec::new());
        if setup.workers > 0 {
            let times = Times {
                healthcheck: setup.healthcheck,
                drain_delay: Duration::ZERO,
                grace: setup.patience,
                report_interval: HOUR,
            };
            let Setup { workers, notify_interval, .. } = setup;
            let (epoch, history) = (setup.terms.epoch, setup.terms.history);
            let mut one = Crew::new(CrewTerms { workers, epoch, history, times, notify_interval }, now);
            one.share_order(terms);
            crew = Some(one);
        } else {
            let mut process = Process::new(0, None, setup.terms.clone(), now);
            process.turn.share_order(terms);
            process.turn.notify_every(setup.notify_interval);
            processes.push(process);
        }
        Self {
            number,
            setup,
            crew,
            processes,
            children: Vec::new(),
            exits: Vec::new(),
            is_new: true,
            engine: Vec::new(),
            past_deeds: 0,
            spin: Spin::default(),
            stopped_until: Duration::ZERO,
        }
    }

    /// Those of its processes that let somebody in.
    pub fn serving(&mut self) -> Vec<&mut Process> {
        self.processes.iter_mut().filter(|process| process.serves()).collect()
    }

    pub fn pipes(&self) -> impl Iterator<Item = &Rc<RefCell<Pipe>>> {
        let children = self.children.iter().map(|(_, pipe)| pipe);
        children.chain(self.engine.iter().map(|(_, pipe)| pipe))
    }

    pub fn is_awake(&self, (now, at): (Instant, Duration)) -> bool {
        if self.stopped_until > at {
            return false;
        }
        let has_event = |pipe: &Rc<RefCell<Pipe>>| pipe.borrow().has_event(Side::Supervisor);
        self.is_new
            || !self.exits.is_empty()
            || self.pipes().any(has_event)
            || self.crew.as_ref().and_then(next_time).is_some_and(|at| at <= now)
            || self.processes.iter().any(|process| process.is_awake(now))
    }

    pub fn next_time(&self) -> Option<Instant> {
        let of_processes = self.processes.iter().filter_map(Process::next_time);
        of_processes.chain(self.crew.as_ref().and_then(next_time)).min()
    }

    /// A turn of each process that is awake.
    pub fn turn(&mut self, (now, at): (Now, Duration), engine: &mut Engine, random: &mut Random) {
        if self.stopped_until > at {
            return;
        }
        if self.crew.is_some() {
            self.supervise((now, at), engine, random);
            for process in &mut self.processes {
                if process.is_awake(now.instant) {
                    process.take_turn(&[], 0, now, random, |_| panic!("only the supervisor connects"));
                }
            }
            return;
        }
        let ready = self.take_ready();
        let process = &mut self.processes[0];
        if ready.is_empty() && !process.is_awake(now.instant) && !self.is_new {
            return;
        }
        self.is_new = false;
        let deeds = deeds_of(&self.engine) + self.past_deeds;
        let (number, lines, past) = (self.number, &mut self.engine, &mut self.past_deeds);
        process
            .take_turn(&ready, deeds, now, random, |wanted| connect(number, wanted, engine, lines, past, at));
    }

    fn take_ready(&self) -> Vec<EngineLine> {
        let take = |(line, pipe): &(EngineLine, Rc<RefCell<Pipe>>)| {
            pipe.borrow_mut().take_event(Side::Supervisor).then_some(*line)
        };
        self.engine.iter().filter_map(take).collect()
    }

    fn supervise(&mut self, (now, at): (Now, Duration), engine: &mut Engine, random: &mut Random) {
        let lines = self.take_ready();
        let crew = self.crew.as_mut().expect("it has one");
        let has_event =
            |(_, pipe): &&(WorkerId, Rc<RefCell<Pipe>>)| pipe.borrow_mut().take_event(Side::Supervisor);
        let ready: Vec<WorkerId> = self.children.iter().filter(has_event).map(|(id, _)| *id).collect();
        let is_due = next_time(crew).is_some_and(|at| at <= now.instant);
        let is_woken = self.is_new || is_due || !self.exits.is_empty();
        if !is_woken && ready.is_empty() && lines.is_empty() {
            return;
        }
        self.is_new = false;
        let ended = std::mem::take(&mut self.exits);
        self.children.retain(|(id, _)| !ended.iter().any(|(other, _)| other == id));
        crew.handle(Arrived { ready, signals: vec![], ended, engine: lines }, now);
        while let Some(step) = self.crew.as_mut().and_then(Crew::poll) {
            self.take(step, random);
        }
        let crew = self.crew.as_mut().expect("it has one");
        crew.settle();
        let wanted = crew.take_wanted();
        let is_connected = !wanted.is_empty();
        for wanted in wanted {
            let socket = connect(self.number, &wanted, engine, &mut self.engine, &mut self.past_deeds, at);
            crew.on_connected(&wanted, socket);
        }
        let children = self.children.iter().map(|(_, pipe)| pipe.borrow().deeds(Side::Supervisor));
        let deeds = children.sum::<usize>() + deeds_of(&self.engine) + self.past_deeds;
        self.spin.on_turn(deeds, crew.next_timeout() == Some(Duration::ZERO) && !is_connected);
    }

    fn take(&mut self, step: Step, random: &mut Random) {
        match step {
            Step::Start { worker, .. } => self.start(worker, random),
            Step::Look { worker } => {
                let sight = Sight { doing: Doing::Runnable, worked: Duration::ZERO, stirred: 0 };
                self.crew.iter_mut().for_each(|crew| crew.on_seen(worker, Some(sight)));
            }
            Step::Withdraw { worker, .. } | Step::Kill { worker, .. } => self.kill(worker),
            Step::GiveUp { .. } | Step::Drain(_) => panic!("nobody has asked for {step:?}"),
            _ => {}
        }
    }

    fn start(&mut self, id: WorkerId, random: &mut Random) {
        let crew = self.crew.as_mut().expect("it has one");
        let (up, down) = (draw_pace(random), draw_pace(random));
        let pipe = Pipe::new(random.fork(), up, down);
        crew.admit(id, id, id, Wire::Pipe(Pipe::end(&pipe, Side::Supervisor)));
        self.children.push((id, pipe.clone()));
        self.processes.push(Process::new(id, Some(pipe), self.setup.terms.clone(), crew.now()));
    }

    /// The process of a worker is killed.
    pub fn kill(&mut self, id: WorkerId) {
        let Some(nth) = self.processes.iter().position(|process| process.id == id) else { return };
        self.processes.swap_remove(nth).die();
        self.exits.push((id, Exit::Signal(9)));
    }

    /// All of it is killed.
    pub fn die(self) {
        drop(self.crew);
        self.processes.into_iter().for_each(Process::die);
    }
}

fn next_time(crew: &Crew<Wire>) -> Option<Instant> {
    crew.next_timeout().map(|timeout| crew.now() + timeout)
}

fn deeds_of(engine: &[(EngineLine, Rc<RefCell<Pipe>>)]) -> usize {
    engine.iter().map(|(_, pipe)| pipe.borrow().deeds(Side::Supervisor)).sum()
}

fn connect(
    machine: usize,
    wanted: &Wanted,
    engine: &mut Engine,
    lines: &mut Vec<(EngineLine, Rc<RefCell<Pipe>>)>,
    past: &mut usize,
    at: Duration,
) -> Result<Wire, String> {
    let former = lines.extract_if(.., |(line, _)| *line == wanted.line).collect::<Vec<_>>();
    *past += deeds_of(&former);
    let pipe = engine.connect(machine, wanted, at)?;
    lines.push((wanted.line, pipe.clone()));
    Ok(Wire::Pipe(Pipe::end(&pipe, Side::Supervisor)))
}

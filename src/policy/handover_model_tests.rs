//! Both machines and what is on its way between them, in every order of events: messages that are lost, come twice, out of order or
//! damaged, processes that die or hang at any step, and time that passes whenever it likes.
//!
//! What the two machines are used for is as in `server::handover`: what cannot be sent, since the other end is closed, is an
//! error. What was sent is in the other's queue until the other closes its end, also that of one that hangs (unix(7),
//! SOCK_SEQPACKET); so nothing happens to a Commit once it is sent, but that the successor dies before it has read it. A successor that has
//! everything and gives up all the same closes its end first, and then looks whether a Commit had come.

use std::collections::HashSet;

use super::successor::*;
use super::*;

/// Two batches.
const CONNECTIONS: usize = BATCH + 50;

/// Losses, doublings, damages and deaths in one life.
const FAULTS: usize = 2;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Serves, in the case of the predecessor; waits to, in that of the successor.
    Own,
    /// Serves.
    Serves,
    /// Has handed over, and finishes what is left.
    Committed,
    /// It no longer takes part, and its end is closed.
    Out,
    Dead,
}

#[derive(Debug, Clone)]
struct World {
    start: Instant,
    /// Moments that have passed: winding up is over, the predecessor's deadline, that of the successor.
    passed: u32,
    predecessor: Predecessor,
    successor: Successor,
    /// What each of them does.
    old: Doing,
    new: Doing,
    to_predecessor: Vec<Heard>,
    to_successor: Vec<Told>,
    faults: usize,
    commits: usize,
    /// The successor has died with all that was its own.
    died_serving: bool,
}

impl World {
    fn new(faults: usize) -> Self {
        let start = Instant::now();
        let hello = Heard::Hello { oldest: 1, newest: 1, most_descriptors: u64::MAX };
        Self {
            start,
            passed: 0,
            predecessor: Predecessor::new([1, 1], 1, start + PATIENCE),
            successor: Successor::Greeting,
            old: Doing::Own,
            new: Doing::Own,
            to_predecessor: vec![hello],
            to_successor: vec![],
            faults,
            commits: 0,
            died_serving: false,
        }
    }

    fn now(&self) -> Instant {
        let moments = [Duration::ZERO, WINDING_UP, PATIENCE, 2 * PATIENCE];
        self.start + moments[self.passed as usize]
    }

    /// Whether its end of the channel is open.
    fn is_open(doing: Doing) -> bool {
        matches!(doing, Doing::Own)
    }

    /// Everything that may happen next.
    fn next(&self) -> Vec<Self> {
        let mut all = vec![];
        let mut may = |happens: &dyn Fn(&mut Self) -> bool| {
            let mut next = self.clone();
            all.extend(happens(&mut next).then_some(next));
        };
        may(&|world| world.predecessor_goes_on());
        may(&|world| world.predecessor_hears());
        may(&|world| world.successor_goes_on());
        may(&|world| world.successor_is_told());
        may(&|world| world.successor_waits_no_longer());
        may(&|world| {
            world.passed < 3 && {
                world.passed += 1;
                true
            }
        });
        if self.faults == 0 {
            return all;
        }
        let mut may_fail = |fails: &dyn Fn(&mut Self) -> bool| {
            let mut next = Self { faults: self.faults - 1, ..self.clone() };
            all.extend(fails(&mut next).then_some(next));
        };
        may_fail(&|world| {
            world.old != Doing::Dead && {
                world.old = Doing::Dead;
                true
            }
        });
        may_fail(&|world| {
            let died = !matches!(world.new, Doing::Dead | Doing::Out);
            world.died_serving |= died && world.commits > 0;
            world.new = Doing::Dead;
            died
        });
        may_fail(&|world| {
            world.old == Doing::Own && {
                world.predecessor.on_failed("no memory".to_owned());
                true
            }
        });
        may_fail(&|world| {
            // From then on it only waits.
            world.new == Doing::Own && world.successor != Successor::Prepared && {
                world.tell_predecessor(Heard::Failed("no memory".to_owned()));
                world.new = Doing::Out;
                true
            }
        });
        for nth in 0..self.to_predecessor.len() {
            for spoiled in spoiled(&self.to_predecessor, nth, Heard::Garbled) {
                may_fail(&|world| {
                    world.to_predecessor.clone_from(&spoiled);
                    true
                });
            }
        }
        for nth in (0..self.to_successor.len()).filter(|nth| self.to_successor[*nth] != Told::Commit) {
            for spoiled in spoiled(&self.to_successor, nth, Told::Garbled) {
                may_fail(&|world| {
                    world.to_successor.clone_from(&spoiled);
                    true
                });
            }
        }
        all
    }

    fn tell_successor(&mut self, told: Told) {
        if Self::is_open(self.new) {
            self.to_successor.push(told);
        }
    }

    fn tell_predecessor(&mut self, heard: Heard) {
        if Self::is_open(self.old) {
            self.to_predecessor.push(heard);
        }
    }

    fn predecessor_goes_on(&mut self) -> bool {
        if self.old != Doing::Own {
            return false;
        }
        let Some(step) = self.predecessor.poll(self.now(), || false) else { return false };
        match step {
            Step::Offer { .. } => self.tell_successor(Told::Sockets),
            Step::Cut => {
                self.tell_successor(Told::Image { connections: CONNECTIONS as u64 });
                self.predecessor.moving(CONNECTIONS);
            }
            Step::Batch(count) => self.tell_successor(Told::Batch(count)),
            Step::Commit if Self::is_open(self.new) => {
                self.tell_successor(Told::Commit);
                self.commits += 1;
                self.old = Doing::Committed;
            }
            // It cannot be sent, and so nothing was handed over.
            Step::Commit => self.old = Doing::Serves,
            Step::GiveUp(_) => {
                self.tell_successor(Told::Abort(None));
                self.old = Doing::Serves;
            }
        }
        true
    }

    fn predecessor_hears(&mut self) -> bool {
        if self.old != Doing::Own {
            return false;
        }
        let heard = match self.to_predecessor.is_empty() {
            false => self.to_predecessor.remove(0),
            true if Self::is_open(self.new) => return false,
            true => Heard::Ended,
        };
        self.predecessor.on_heard(heard, self.now());
        true
    }

    fn successor_goes_on(&mut self) -> bool {
        let task = if self.new == Doing::Own { self.successor.poll() } else { None };
        if task == Some(Task::TakeUp) {
            self.tell_predecessor(Heard::Prepared);
        }
        task.is_some()
    }

    fn successor_is_told(&mut self) -> bool {
        // It goes on first.
        if self.new != Doing::Own || self.successor.clone().poll().is_some() {
            return false;
        }
        let told = match self.to_successor.is_empty() {
            false => self.to_successor.remove(0),
            true if Self::is_open(self.old) => return false,
            true => Told::Ended,
        };
        match self.successor.on_told(told) {
            Ok(Task::Prepare) => self.tell_predecessor(Heard::Ready),
            Ok(Task::Acknowledge(count)) => self.tell_predecessor(Heard::Taken(count)),
            Ok(Task::Serve) => self.new = Doing::Serves,
            Ok(Task::Read | Task::TakeUp) => {}
            Err(_) => self.successor_gives_up(),
        }
        true
    }

    /// Its clock began to run at another time than the predecessor's.
    fn successor_waits_no_longer(&mut self) -> bool {
        let waits = self.new == Doing::Own;
        if waits {
            self.successor_gives_up();
        }
        waits
    }

    /// It closes its end, and then looks at what had come by then.
    fn successor_gives_up(&mut self) {
        let rest = std::mem::take(&mut self.to_successor);
        let is_its_own = self.successor == Successor::Prepared && rest.contains(&Told::Commit);
        self.new = if is_its_own { Doing::Serves } else { Doing::Out };
    }

    fn check(&self) {
        let old_serves = matches!(self.old, Doing::Own | Doing::Serves);
        let new_serves = self.new == Doing::Serves;
        assert!(!(old_serves && new_serves), "both serve: {self:#?}");
        assert!(!new_serves || self.commits == 1, "nobody has said so: {self:#?}");
        assert!(self.commits <= 1 && (self.commits == 0 || !old_serves), "{self:#?}");
        if self.old == Doing::Own {
            assert!(
                self.predecessor.next_deadline() <= self.start + PATIENCE,
                "it waits for ever: {self:#?}"
            );
        }
    }

    /// Once nothing happens any more.
    fn check_end(&self) {
        let is_over = |doing| doing != Doing::Own;
        assert!(is_over(self.old) && is_over(self.new), "somebody waits for ever: {self:#?}");
        let lives = |doing| matches!(doing, Doing::Serves | Doing::Committed);
        let serves = [self.old, self.new].into_iter().filter(|doing| *doing == Doing::Serves).count();
        let expected = usize::from(lives(self.old) || lives(self.new));
        assert!(serves == expected || self.died_serving, "nobody serves: {self:#?}");
    }
}

/// Every world that comes of one with so many faults: how many ends have been seen, and how many of them with a successor that serves.
fn explore(faults: usize) -> [usize; 2] {
    let first = World::new(faults);
    let (mut seen, mut open, mut ends) = (HashSet::new(), vec![first], [0, 0]);
    while let Some(world) = open.pop() {
        world.check();
        let next = world.next();
        // Only faults are left, which need not be.
        if next.iter().all(|next| next.faults < world.faults) {
            world.check_end();
            ends = [ends[0] + 1, ends[1] + usize::from(world.new == Doing::Serves)];
        }
        open.extend(next.into_iter().filter(|next| seen.insert(format!("{next:?}"))));
    }
    ends
}

#[test]
fn without_a_fault_it_comes_to_its_end_one_way_or_the_other() {
    let [ends, served] = explore(0);
    assert!(served > 0 && ends > served, "{served} of {ends}");
}

#[test]
fn there_are_never_two_that_serve_and_never_none_while_one_lives() {
    let [ends, served] = explore(FAULTS);
    assert!(ends > 500 && served > 10, "{served} of {ends}");
}

/// What is under way, with one message spoiled: it is lost, garbled, doubled, or overtakes another.
fn spoiled<T: Clone>(under_way: &[T], nth: usize, garbled: T) -> Vec<Vec<T>> {
    let with = |instead: &[T]| [&under_way[..nth], instead, &under_way[nth + 1..]].concat();
    let twice = [under_way[nth].clone(), under_way[nth].clone()];
    let mut all = vec![with(&[]), with(&[garbled]), with(&twice)];
    if nth > 0 {
        let mut swapped = under_way.to_vec();
        swapped.swap(nth - 1, nth);
        all.push(swapped);
    }
    all
}

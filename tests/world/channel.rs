//! The way between a process that hands over and the one that takes over: words come late, one by one and in order, and what was
//! sent is there though its sender has ended.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::handover::Heard;

use crate::random::Random;
use crate::socket::VirtualSocket;

/// What the one that hands over says.
#[derive(Debug)]
pub enum Word {
    Sockets,
    /// How everything stands, with so many connections that follow.
    Image {
        octets: Vec<u8>,
        connections: u64,
    },
    Batch(Vec<VirtualSocket>),
    /// All is yours: so many connections have moved, and this was counted.
    Commit {
        moved: u64,
        counted: Option<String>,
    },
    Abort,
}

/// How far both are, for whatever is to happen then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    Greeted,
    Offered,
    /// The successor could serve.
    Ready,
    WindUp,
    Hold,
    Move,
    /// A worker has sent its connections.
    Sent,
    /// A worker of the successor's has taken some up.
    TakenUp,
    /// All of them have.
    Prepared,
    Commit,
    Serve,
    GivenUp,
}

pub const ALL_PASSED: [Passed; 12] = [
    Passed::Greeted,
    Passed::Offered,
    Passed::Ready,
    Passed::WindUp,
    Passed::Hold,
    Passed::Move,
    Passed::Sent,
    Passed::TakenUp,
    Passed::Prepared,
    Passed::Commit,
    Passed::Serve,
    Passed::GivenUp,
];

/// Both directions of it.
#[derive(Debug)]
pub struct Channel {
    random: Random,
    /// How long a word takes at most.
    delay: Duration,
    to_predecessor: VecDeque<(Duration, Heard)>,
    to_successor: VecDeque<(Duration, Word)>,
    is_predecessor_gone: bool,
    is_successor_gone: bool,
    /// What was sent is served where it was sent to; when that is heard.
    serves_at: Option<Duration>,
    pub passed: Vec<Passed>,
}

impl Channel {
    pub fn new(random: Random, delay: Duration) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            random,
            delay,
            to_predecessor: VecDeque::new(),
            to_successor: VecDeque::new(),
            is_predecessor_gone: false,
            is_successor_gone: false,
            serves_at: None,
            passed: Vec::new(),
        }))
    }

    /// How long something takes that goes this way now.
    pub fn draw_delay(&mut self) -> Duration {
        let most = usize::try_from(self.delay.as_micros()).expect("short");
        Duration::from_micros(self.random.below(most + 1) as u64)
    }

    pub fn pass(&mut self, passed: Passed) {
        if !self.passed.contains(&passed) {
            self.passed.push(passed);
        }
    }

    pub fn has_passed(&self, passed: Passed) -> bool {
        self.passed.contains(&passed)
    }

    pub fn tell_predecessor(&mut self, heard: Heard, now: Duration) {
        let due = now + self.draw_delay();
        let due = self.to_predecessor.back().map_or(due, |(last, _)| due.max(*last));
        if !self.is_predecessor_gone {
            self.to_predecessor.push_back((due, heard));
        }
    }

    pub fn tell_successor(&mut self, word: Word, now: Duration) -> io::Result<()> {
        if self.is_successor_gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let due = now + self.draw_delay();
        let due = self.to_successor.back().map_or(due, |(last, _)| due.max(*last));
        self.to_successor.push_back((due, word));
        Ok(())
    }

    /// What has come for the one that hands over.
    pub fn hear(&mut self, now: Duration) -> Option<Heard> {
        let heard = take_due(&mut self.to_predecessor, now);
        let is_over = self.is_successor_gone && self.to_predecessor.is_empty();
        heard.or(is_over.then_some(Heard::Ended))
    }

    /// Says that what has come is served.
    pub fn say_serving(&mut self, now: Duration) {
        self.serves_at = Some(now + self.draw_delay());
    }

    /// Whether what was sent is served; `Some(false)` once it never will be.
    pub fn is_served(&self, now: Duration) -> Option<bool> {
        match self.serves_at {
            Some(at) => (at <= now).then_some(true),
            None => self.is_successor_gone.then_some(false),
        }
    }

    /// What has come for the one that takes over; an error if nothing more does.
    pub fn be_told(&mut self, now: Duration) -> Result<Option<Word>, ()> {
        let word = take_due(&mut self.to_successor, now);
        let is_over = self.is_predecessor_gone && self.to_successor.is_empty();
        if word.is_none() && is_over { Err(()) } else { Ok(word) }
    }

    pub fn leave_predecessor(&mut self) {
        self.is_predecessor_gone = true;
        self.to_predecessor.clear();
    }

    /// The successor's end is closed; what had been sent to it by then.
    pub fn leave_successor(&mut self) -> Vec<Word> {
        self.is_successor_gone = true;
        self.to_successor.drain(..).map(|(_, word)| word).collect()
    }

    pub fn is_successor_gone(&self) -> bool {
        self.is_successor_gone
    }

    /// Whether something was said to the one that hands over.
    pub fn has_answer(&self, now: Duration) -> bool {
        self.to_predecessor.front().is_some_and(|(due, _)| *due <= now)
    }

    /// Whether there is something for the one that hands over.
    pub fn wakes_predecessor(&self, now: Duration) -> bool {
        self.to_predecessor.front().map_or(self.is_successor_gone, |(due, _)| *due <= now)
    }

    /// The same for the one that takes over.
    pub fn wakes_successor(&self, now: Duration) -> bool {
        self.to_successor.front().map_or(self.is_predecessor_gone, |(due, _)| *due <= now)
    }

    /// When the next word arrives.
    pub fn next_time(&self) -> Option<Duration> {
        let to_predecessor = self.to_predecessor.front().map(|(due, _)| *due);
        let to_successor = self.to_successor.front().map(|(due, _)| *due);
        to_predecessor.into_iter().chain(to_successor).chain(self.serves_at).min()
    }

    pub fn hurry(&mut self) {
        self.delay = Duration::ZERO;
    }
}

/// The end of the one that hands over, which is closed when it is dropped.
#[derive(Debug)]
pub struct GivingEnd(pub Rc<RefCell<Channel>>);

impl Drop for GivingEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().leave_predecessor();
    }
}

/// The other end.
#[derive(Debug)]
pub struct TakingEnd(pub Rc<RefCell<Channel>>);

impl Drop for TakingEnd {
    fn drop(&mut self) {
        let unheard = self.0.borrow_mut().leave_successor();
        drop(unheard);
    }
}

/// The next thing that has arrived by now.
fn take_due<T>(under_way: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<T> {
    under_way.front().is_some_and(|(due, _)| *due <= now).then(|| under_way.pop_front())?.map(|(_, it)| it)
}

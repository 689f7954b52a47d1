//! The virtual socket pair between a supervisor and a worker: bounded, late, in pieces, at a speed of its own in either
//! direction. Events are edge-triggered, as epoll's are: bytes or an end have arrived, or there is room again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::rc::Rc;
use std::time::Duration;

use crate::random::Random;

/// Whose end of the pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Supervisor,
    Worker,
}

/// How the bytes of one direction travel.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Written and not read yet, at most.
    pub capacity: usize,
    /// What arrives at once, at most.
    pub piece: usize,
    /// Until the next piece arrives, at most.
    pub delay: Duration,
    /// Of a hundred reads or writes, so many fail for want of memory: nobody is told when there is some again.
    pub shortage: usize,
}

impl Pace {
    /// Nothing is held up.
    pub const PROMPT: Self = Self { capacity: 1 << 40, piece: 1 << 40, delay: Duration::ZERO, shortage: 0 };

    pub fn draw(random: &mut Random) -> Self {
        Self {
            capacity: random.pick(&[60, 1000, 20_000, 200_000, 200_000]),
            piece: random.pick(&[60, 1000, 100_000]),
            delay: Duration::from_micros(random.pick(&[0, 0, 500, 5000, 30_000])),
            shortage: random.pick(&[0, 0, 2, 20]),
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Flow {
    pace: Pace,
    /// On the way.
    sent: VecDeque<u8>,
    /// To be read.
    arrived: VecDeque<u8>,
    /// When the next piece arrives.
    next: Option<Duration>,
    /// Nothing arrives before.
    held_until: Duration,
    /// The writer was told to wait and has not been woken since.
    is_blocked: bool,
    /// The writer is gone.
    has_ended: bool,
    /// The most bytes that the writer has had at once.
    most_offered: usize,
}

impl Flow {
    fn new(pace: Pace) -> Self {
        let (sent, arrived) = (VecDeque::new(), VecDeque::new());
        Self {
            pace,
            sent,
            arrived,
            next: None,
            held_until: Duration::ZERO,
            is_blocked: false,
            has_ended: false,
            most_offered: 0,
        }
    }

    /// So many bytes arrive. Slice by slice, as there may be many.
    fn bring(&mut self, count: usize) {
        let (front, back) = self.sent.as_slices();
        let from_front = count.min(front.len());
        self.arrived.extend(&front[..from_front]);
        self.arrived.extend(&back[..count - from_front]);
        self.sent.drain(..count);
    }

    fn under_way(&self) -> usize {
        self.sent.len() + self.arrived.len()
    }
}

/// Both directions.
#[derive(Debug)]
pub struct Pipe {
    random: Random,
    up: Flow,
    down: Flow,
    supervisor_edge: bool,
    worker_edge: bool,
    /// What is done at this end fails, as if the other were gone.
    broken: Option<Side>,
    /// Of a hundred reads or writes at each side, so many more fail for want of memory.
    short: [usize; 2],
    /// How often each side has received or sent something.
    deeds: [usize; 2],
}

impl Pipe {
    pub fn new(mut random: Random, up: Pace, down: Pace) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            random: random.fork(),
            up: Flow::new(up),
            down: Flow::new(down),
            // Registration announces that a socket is writable.
            supervisor_edge: true,
            worker_edge: true,
            broken: None,
            short: [0; 2],
            deeds: [0; 2],
        }))
    }

    pub fn end(pipe: &Rc<RefCell<Self>>, side: Side) -> PipeEnd {
        PipeEnd { pipe: pipe.clone(), side }
    }

    /// Whether an event waits at this end.
    pub fn has_event(&self, side: Side) -> bool {
        if side == Side::Supervisor { self.supervisor_edge } else { self.worker_edge }
    }

    /// The event was not taken yet.
    pub fn wake(&mut self, side: Side) {
        *self.edge(side) = true;
    }

    pub fn take_event(&mut self, side: Side) -> bool {
        std::mem::take(self.edge(side))
    }

    /// Lets arrive what is due.
    pub fn carry(&mut self, now: Duration) {
        for reader in [Side::Supervisor, Side::Worker] {
            loop {
                let (random, flow) = self.toward(reader);
                let delay = flow.pace.delay;
                let mut until_next = || random.below(usize::try_from(delay.as_micros()).expect("short") + 1);
                if flow.sent.is_empty() {
                    flow.next = None;
                    break;
                }
                let next = flow.next.unwrap_or_else(|| now + Duration::from_micros(until_next() as u64));
                let at = next.max(flow.held_until);
                flow.next = Some(at);
                if at > now {
                    break;
                }
                flow.next = Some(at + Duration::from_micros(until_next() as u64));
                let most = flow.sent.len().min(flow.pace.piece);
                let piece = random.within(1..most + 1);
                flow.bring(piece);
                *self.edge(reader) = true;
            }
        }
    }

    /// When the next bytes arrive.
    pub fn next_time(&self) -> Option<Duration> {
        [self.up.next, self.down.next].into_iter().flatten().min()
    }

    /// From here on nothing is held up.
    pub fn hurry(&mut self) {
        for flow in [&mut self.up, &mut self.down] {
            flow.pace = Pace { capacity: flow.pace.capacity.max(100_000), ..Pace::PROMPT };
            flow.next = None;
        }
        (self.supervisor_edge, self.worker_edge) = (true, true);
    }

    /// Nothing of what is written to this side arrives before.
    pub fn hold_toward(&mut self, reader: Side, until: Duration) {
        self.toward(reader).1.held_until = until;
    }

    /// So little can be written to this side before it reads.
    pub fn narrow_toward(&mut self, reader: Side, capacity: usize) {
        self.toward(reader).1.pace.capacity = capacity;
    }

    /// Of a hundred reads and writes at this end, so many fail for want of memory.
    pub fn run_short(&mut self, side: Side, percent: usize) {
        self.short[side as usize] = percent;
    }

    /// From here on reads and writes at this end fail for good.
    pub fn break_at(&mut self, side: Side) {
        self.broken = Some(side);
        *self.edge(side) = true;
    }

    /// The process at this end was killed: what it had written arrives, or only the beginning of it.
    pub fn lose_what_was_sent(&mut self, side: Side) {
        let (random, flow) = self.from(side);
        let kept = random.below(flow.sent.len() + 1);
        flow.bring(kept);
        flow.sent.clear();
    }

    /// Everything that the supervisor has written and nobody has read.
    pub fn take_all(&mut self) -> Vec<u8> {
        self.down.bring(self.down.sent.len());
        std::mem::take(&mut self.down.arrived).into()
    }

    /// The most bytes that this side has had to write at once.
    pub fn most_offered(&self, side: Side) -> usize {
        if side == Side::Supervisor { self.down.most_offered } else { self.up.most_offered }
    }

    /// How often this side has received or sent something.
    pub fn deeds(&self, side: Side) -> usize {
        self.deeds[side as usize]
    }

    fn edge(&mut self, side: Side) -> &mut bool {
        if side == Side::Supervisor { &mut self.supervisor_edge } else { &mut self.worker_edge }
    }

    fn from(&mut self, writer: Side) -> (&mut Random, &mut Flow) {
        (&mut self.random, if writer == Side::Supervisor { &mut self.down } else { &mut self.up })
    }

    fn toward(&mut self, reader: Side) -> (&mut Random, &mut Flow) {
        self.from(reader.other())
    }
}

impl Side {
    fn other(self) -> Self {
        if self == Self::Supervisor { Self::Worker } else { Self::Supervisor }
    }
}

/// One end.
#[derive(Debug)]
pub struct PipeEnd {
    pipe: Rc<RefCell<Pipe>>,
    side: Side,
}

impl PipeEnd {
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.broken == Some(self.side) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let short = pipe.short[self.side as usize];
        let (random, flow) = pipe.toward(self.side);
        if random.chance(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.chance(flow.pace.shortage.max(short)) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let most = buffer.len().min(flow.arrived.len());
        if most == 0 {
            let has_ended = flow.has_ended && flow.sent.is_empty();
            return if has_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = if random.chance(30) { random.within(1..most + 1) } else { most };
        flow.arrived.read_exact(&mut buffer[..count])?;
        if flow.is_blocked && flow.pace.capacity.saturating_sub(flow.under_way()) * 3 >= flow.pace.capacity {
            flow.is_blocked = false;
            *pipe.edge(self.side.other()) = true;
        }
        pipe.deeds[self.side as usize] += 1;
        Ok(count)
    }

    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.toward(self.side).1.has_ended || pipe.broken == Some(self.side) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let short = pipe.short[self.side as usize];
        let (random, flow) = pipe.from(self.side);
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        assert_ne!(wanted, 0, "an empty write means nothing");
        flow.most_offered = flow.most_offered.max(wanted);
        if random.chance(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.chance(flow.pace.shortage.max(short)) {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let room = flow.pace.capacity.saturating_sub(flow.under_way());
        if room == 0 {
            flow.is_blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = room.min(wanted);
        let taken = if random.chance(20) { random.within(1..most + 1) } else { most };
        let mut left = taken;
        for slice in slices {
            let count = left.min(slice.len());
            flow.sent.extend(&slice[..count]);
            left -= count;
        }
        pipe.deeds[self.side as usize] += 1;
        Ok(taken)
    }
}

impl PipeEnd {
    /// Nothing more comes from this end.
    pub fn end(&self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.from(self.side).1.has_ended = true;
        *pipe.edge(self.side.other()) = true;
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.end();
    }
}

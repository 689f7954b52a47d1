//! One connection to an engine, as the engine has it: commands come in pieces, and answers leave as there is room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use slackwater::policy::engine::step::Line;
use slackwater::wire::resp::decoder::{Decoder, Limits};
use slackwater::wire::resp::reply::Reply;

use crate::ear::Id;
use crate::fleet::answer::Answer;
use crate::pipe::{Pipe, PipeEnd, Side};

/// What a connection waits for before its next command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// `XREAD BLOCK`.
    Read { after: Id, count: usize, until: Duration },
    /// `WAIT`.
    Wait { writes: u64, until: Duration },
}

#[derive(Debug)]
pub struct Connection {
    pub machine: usize,
    /// What the machine has it for.
    pub line: Line,
    pub pipe: Rc<RefCell<Pipe>>,
    end: PipeEnd,
    decoder: Decoder,
    pub commands: VecDeque<Vec<String>>,
    out: Vec<u8>,
    pub blocked: Option<Blocked>,
    /// The machine has ended its side.
    pub is_over: bool,
}

impl Connection {
    pub fn new(machine: usize, line: Line, pipe: Rc<RefCell<Pipe>>) -> Self {
        Self {
            machine,
            line,
            end: Pipe::end(&pipe, Side::Worker),
            pipe,
            decoder: Decoder::new(Limits::default()),
            commands: VecDeque::new(),
            out: Vec::new(),
            blocked: None,
            is_over: false,
        }
    }

    /// Takes what has come.
    pub fn read(&mut self) {
        self.pipe.borrow_mut().take_event(Side::Worker);
        let mut scratch = [0; 4096];
        loop {
            let count = match self.end.read(&mut scratch) {
                Ok(0) => break self.is_over = true,
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break self.is_over = true,
            };
            let mut input = &scratch[..count];
            while let Some(command) = self.decoder.next(&mut input).expect("machines speak RESP") {
                let Reply::Array(parts) = command else { panic!("{command:?}") };
                self.commands.push_back(parts.iter().map(text).collect());
            }
        }
    }

    pub fn answer(&mut self, answer: &Answer) {
        answer.write(&mut self.out);
    }

    /// Writes what there is room for.
    pub fn flush(&mut self) {
        while !self.out.is_empty() && !self.is_over {
            match self.end.write(&[IoSlice::new(&self.out)]) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_over = true,
            }
        }
    }

    /// It is cut off: the machine finds its end, or that it was reset.
    pub fn cut(self, is_reset: bool) {
        if is_reset {
            self.pipe.borrow_mut().break_at(Side::Supervisor);
        }
    }
}

fn text(part: &Reply) -> String {
    let Reply::Bulk(octets) = part else { panic!("{part:?}") };
    String::from_utf8(octets.to_vec()).expect("machines send text")
}

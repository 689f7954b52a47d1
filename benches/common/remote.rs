//! A part of the bench that runs in a process of its own: it is told what to do in one line, and answers in one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The process; it ends when the bench lets go of it.
pub struct Remote {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    /// This program again, with these arguments. It shares the core of who starts it.
    pub fn start(args: &[&str]) -> Self {
        Self::start_through(&[], args)
    }

    /// As `start`, by way of a program that becomes it, such as chrt(1).
    pub fn start_through(by_way_of: &[&str], args: &[&str]) -> Self {
        let bench = std::env::current_exe().expect("a running program has a path");
        let bench = bench.to_str().expect("the path of the bench is text");
        let words: Vec<&str> = by_way_of.iter().chain(&[bench]).chain(args).copied().collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a part of this bench starts");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, answers }
    }

    /// Tells it something; it may be long in answering.
    pub fn tell(&mut self, order: &impl Serialize) {
        let line = serde_json::to_string(order).expect("orders serialise");
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}").expect("the other part of this bench lives");
    }

    /// Waits for its answer.
    pub fn answer<A: DeserializeOwned>(&mut self) -> A {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the other part of this bench can be read");
        assert!(!line.is_empty(), "the other part of this bench has failed");
        serde_json::from_str(&line).expect("answers are what was asked for")
    }

    /// Tells it something and waits for the answer.
    pub fn ask<A: DeserializeOwned>(&mut self, order: &impl Serialize) -> A {
        self.tell(order);
        self.answer()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

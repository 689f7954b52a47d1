//! `slackwater listen`: prints what is published, each notification once, and comes back where the connection ends. It moves to another
//! server by resuming there from what it printed last, and reads no more of the old connection from then on: so nothing is missed, and
//! nothing comes twice.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use self::session::{Ended, Heard, Session};
use super::far_end::{Failure, FarEnd, PATIENCE};
use super::{is_closed, tell};
use crate::config::command::listen::ListenRequest;
use crate::policy::topic::Filter;
use crate::server::clock::Now;

mod session;

/// How often it is looked whether somebody has pressed Ctrl-C, and whether anybody still reads.
const LOOK: Duration = Duration::from_millis(200);

/// The first attempt to come back is made within this time, and each failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The ids that are remembered, so that what comes again is not printed again.
const HEARD_IDS: usize = 1000;

/// Prints. Exit codes: 0 after the count, Ctrl-C or when nobody reads, 1 refused or closed for good, 2 for what cannot be asked for, 3
/// when the server could not be reached at first.
pub fn run(request: ListenRequest) -> ExitCode {
    let listened = Listener::new(request).and_then(|mut listener| listener.listen());
    listened.map_or_else(Failure::end, |()| ExitCode::SUCCESS)
}

struct Listener {
    far_end: FarEnd,
    topics: Vec<String>,
    /// Behind which all is still to be printed.
    place: Option<String>,
    heard: VecDeque<String>,
    prints_json: bool,
    left: Option<u64>,
    is_told_to_end: Arc<AtomicBool>,
    /// A signal ends the process at once then, since what is waited for there looks at nothing else. A connection that is there, as
    /// during a move, is left without a goodbye.
    is_opening: Arc<AtomicBool>,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Listen,
    End,
}

impl Listener {
    fn new(request: ListenRequest) -> Result<Self, Failure> {
        for topic in &request.topic {
            Filter::parse(topic).map_err(|why| {
                Failure::Usage(format!(
                    "{topic:?} is no topic: {why}, as orders/7, or a pattern as 'orders/*'"
                ))
            })?;
        }
        if is_closed() {
            return Err(Failure::Refused("standard output is closed".to_owned()));
        }
        let is_told_to_end = Arc::new(AtomicBool::new(false));
        let is_opening = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 0, Arc::clone(&is_opening))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&is_told_to_end)))
                .map_err(|why| Failure::Refused(format!("cannot wait for signals: {why}")))?;
        }
        Ok(Self {
            far_end: FarEnd::new(request.reach)?,
            topics: request.topic,
            place: request.last_event_id.filter(|id| !id.is_empty()),
            heard: VecDeque::new(),
            prints_json: request.json,
            left: request.count,
            is_told_to_end,
            is_opening,
        })
    }

    fn listen(&mut self) -> Result<(), Failure> {
        let (mut failures, mut was_there) = (0, false);
        loop {
            let opened = self.open();
            let (why, at_least) = match opened {
                Ok((session, welcome)) => {
                    was_there = true;
                    self.greet(&welcome);
                    let began = Now::read().instant;
                    let ended = self.follow(session)?;
                    // Whoever is sent away at once, again and again, does not hammer.
                    failures = if began.elapsed() > Duration::from_secs(5) { 0 } else { failures + 1 };
                    match ended {
                        None => return Ok(()),
                        Some(Ended::Stop(why)) => return Err(Failure::Refused(why)),
                        Some(Ended::Return(why)) => (why, Duration::ZERO),
                        Some(Ended::BackOff(why)) => (why, Duration::from_secs(2)),
                    }
                }
                Err(Failure::Unreachable(why)) if was_there => {
                    failures += 1;
                    (why, Duration::ZERO)
                }
                Err(Failure::Busy(why, seconds)) => {
                    failures += 1;
                    (why, Duration::from_secs(seconds))
                }
                Err(failure) => return Err(failure),
            };
            let pause = at_least.max(drawn_pause(failures));
            tell(format_args!("{why}; trying again in {:.1} s", pause.as_secs_f64()));
            if self.wait(pause) == Next::End {
                return Ok(());
            }
        }
    }

    fn open(&self) -> Result<(Session, Message<'static>), Failure> {
        let until = Now::read().instant + PATIENCE;
        self.is_opening.store(true, Ordering::SeqCst);
        let opened = Session::open(&self.far_end, &self.topics, self.place.as_deref(), until);
        self.is_opening.store(false, Ordering::SeqCst);
        opened
    }

    /// Prints what comes until the connection ends; `None` if that is all.
    fn follow(&mut self, mut session: Session) -> Result<Option<Ended>, Failure> {
        let mut failures = 0;
        loop {
            if self.is_over() {
                session.leave();
                return Ok(None);
            }
            if session.is_to_move() {
                match self.open() {
                    Ok((successor, welcome)) => {
                        std::mem::replace(&mut session, successor).leave();
                        failures = 0;
                        tell("Moved to another connection, as the server asked");
                        self.greet(&welcome);
                    }
                    Err(Failure::Usage(why)) => return Err(Failure::Usage(why)),
                    // This connection is there as yet.
                    Err(_) => {
                        failures += 1;
                        session.move_after(drawn_pause(failures));
                    }
                }
            }
            match session.next(LOOK) {
                Ok(Heard::Nothing) => {}
                Ok(Heard::Text(text)) => {
                    if self.hear(&text, &mut session)? == Next::End {
                        session.leave();
                        return Ok(None);
                    }
                }
                Err(ended) => return Ok(Some(ended)),
            }
        }
    }

    fn greet(&mut self, welcome: &Message<'_>) {
        let topics: Vec<String> = welcome.topics.iter().flatten().map(|topic| clean(topic)).collect();
        tell(format_args!("Listening to {} at {}", topics.join(", "), self.far_end.shown()));
        let resumed = welcome.resumed == Some(true);
        if self.place.is_some() && !resumed {
            tell("The server cannot say what was published meanwhile: something may be missing");
        }
        if !resumed {
            self.place = welcome.last_event_id.clone().or(self.place.take());
        }
    }

    fn hear(&mut self, text: &str, session: &mut Session) -> Result<Next, Failure> {
        let Ok(message) = serde_json::from_str::<Message<'_>>(text) else { return Ok(Next::Listen) };
        match &*message.kind {
            "notification" => return self.notify(&message, text),
            "reconnect" => session.move_after(Duration::from_millis(message.after_ms.unwrap_or_default())),
            "gap" => {
                tell("The servers have lost something: publications may be missing");
                self.place = message.last_event_id.clone().or(self.place.take());
            }
            "error" => tell(format_args!("error: {}", clean(message.message.as_deref().unwrap_or_default()))),
            _ => {}
        }
        Ok(Next::Listen)
    }

    fn notify(&mut self, message: &Message<'_>, text: &str) -> Result<Next, Failure> {
        if let Some(id) = &message.id {
            if self.heard.contains(id) {
                return Ok(Next::Listen);
            }
            self.heard.push_back(id.clone());
            if self.heard.len() > HEARD_IDS {
                self.heard.pop_front();
            }
        }
        let line = if self.prints_json { one_line(text) } else { message.shown() };
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(why) if why.kind() == ErrorKind::BrokenPipe => return Err(Failure::Unread),
            Err(why) => return Err(Failure::Refused(format!("cannot print what was published: {why}"))),
        }
        self.place = message.id.clone().or(self.place.take());
        self.left = self.left.map(|left| left - 1);
        Ok(if self.left == Some(0) { Next::End } else { Next::Listen })
    }

    /// Whether somebody wants an end of it, or nobody reads any longer.
    fn is_over(&self) -> bool {
        let stdout = io::stdout();
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        let is_unread = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && polled[0].revents().contains(PollFlags::ERR);
        is_unread || self.is_told_to_end.load(Ordering::Relaxed)
    }

    fn wait(&self, pause: Duration) -> Next {
        let until = Now::read().instant + pause;
        while !self.is_over() {
            let left = until.saturating_duration_since(Now::read().instant);
            if left.is_zero() {
                return Next::Listen;
            }
            thread::sleep(left.min(LOOK));
        }
        Next::End
    }
}

/// What the server says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    message: Option<String>,
    topics: Option<Vec<String>>,
    resumed: Option<bool>,
    last_event_id: Option<String>,
    ping_interval_ms: Option<u64>,
    after_ms: Option<u64>,
}

/// What is null is there, too.
fn present<'a, D: Deserializer<'a>>(value: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

impl Message<'_> {
    /// What was published, in one line: a text as it is, if all of it can be seen, and anything else as JSON.
    fn shown(&self) -> String {
        let Some(data) = self.data else { return clean(self.message.as_deref().unwrap_or_default()) };
        let text: Option<String> = serde_json::from_str(data.get()).ok();
        text.filter(|text| !text.contains(char::is_control)).unwrap_or_else(|| one_line(data.get()))
    }
}

/// JSON without its line breaks, which are as good as spaces in it (RFC 8259 §2).
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Text of the server's without what could steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Between nothing and what so many failures in a row are worth, so that a crowd does not come back at once.
fn drawn_pause(failures: u32) -> Duration {
    let most = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE);
    let share = super::drawn().unwrap_or(u64::MAX / 2) as f64 / u64::MAX as f64;
    most.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_one_line_that_steers_no_terminal() {
        for (json, shown) in [
            (r#"{"type":"notification","data":"a \"b\" ö"}"#, "a \"b\" ö"),
            (r#"{"type":"notification","data":"a\nb"}"#, r#""a\nb""#),
            (r#"{"type":"notification","data":"\u001b[31m"}"#, r#""\u001b[31m""#),
            ("{\"type\":\"notification\",\"data\":{\"n\":\n 1.0}}", "{\"n\":  1.0}"),
            (r#"{"type":"notification","data":null}"#, "null"),
            (r#"{"type":"notification","message":"Periodic #7"}"#, "Periodic #7"),
        ] {
            assert_eq!(serde_json::from_str::<Message<'_>>(json).unwrap().shown(), shown, "{json}");
        }
    }

    #[test]
    fn pauses_grow_up_to_half_a_minute() {
        for failures in [0, 1, 7, 100, u32::MAX] {
            assert!(drawn_pause(failures) <= LONGEST_PAUSE);
        }
    }
}

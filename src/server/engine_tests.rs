//! Facts about the way to an engine: a script on the other ends of its connections.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::policy::fingerprint::Fingerprint;
use crate::policy::idempotency::Scope;
use crate::server::far_end::{FarEnd, Wire};
use crate::wire::engine::Credentials;
use crate::wire::overview::{EngineState, EngineStatus};
use crate::wire::publish;

const GREETING: &str =
    "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
const BEGUN: &str = "*3\r\n:7\r\n$3\r\n7-0\r\n$0\r\n\r\n";
const PAGE: &str = "*1\r\n*2\r\n$3\r\n7-0\r\n*6\r\n$5\r\nbegin\r\n$1\r\na\r\n$5\r\nafter\r\n$0\r\n\r\n$4\r\nlost\r\n$0\r\n\r\n";
const FIRST: &str = "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*6\r\n$1\r\nt\r\n$1\r\na\r\n$1\r\nd\r\n$1\r\n1\r\n$2\r\nat\r\n$1\r\n1\r\n";
const BEATEN: &str = "*3\r\n:7\r\n$3\r\n7-0\r\n$0\r\n\r\n";

const SECOND: Duration = Duration::from_secs(1);

/// The way to an engine, the other ends of its connections, and what has been heard.
struct Way {
    engine: Engine<Wire, usize>,
    ends: [Rc<RefCell<FarEnd>>; 3],
    published: Vec<Result<Published, Unpublished>>,
    now: Now,
}

impl Way {
    /// To an engine that has not said anything.
    fn new(change: impl FnOnce(&mut EngineTerms)) -> Self {
        let speaker = Speaker::new("slackwater", Fingerprint([0; 16]), 1000);
        let name = "redis://here".to_owned();
        let mut terms = EngineTerms { speaker, name, sentinels: vec![], page: 100, wait_ms: None, seed: 1 };
        change(&mut terms);
        let now = Now::read();
        let ends = [(); 3].map(|()| FarEnd::open());
        let mut way = Self { engine: Engine::new(terms, now), ends, published: vec![], now };
        way.turn();
        way
    }

    /// To one that is there and has nothing to tell.
    fn up(change: impl FnOnce(&mut EngineTerms)) -> Self {
        let mut way = Self::new(change);
        for (line, reply) in [
            (Line::Writer, GREETING),
            (Line::Writer, BEGUN),
            (Line::Reader, GREETING),
            (Line::Reader, PAGE),
            (Line::Writer, BEATEN),
        ] {
            way.say(line, reply);
        }
        assert_eq!(way.status().state.word(), "up");
        way.asked();
        way
    }

    fn end(&self, line: Line) -> Rc<RefCell<FarEnd>> {
        self.ends[line as usize].clone()
    }

    /// The engine says this.
    fn say(&mut self, line: Line, reply: &str) {
        self.end(line).borrow_mut().said.extend(reply.as_bytes());
        self.engine.on_ready(line);
        self.turn();
    }

    fn turn(&mut self) {
        self.engine.take_in(false, &mut [0; 4096], self.now);
        while let Some(news) = self.engine.poll(self.now) {
            match news {
                News::Connect(wanted) => {
                    let socket = Ok(Wire(self.end(wanted.line)));
                    self.engine.on_connected(&wanted, socket, self.now.instant);
                }
                News::Published(_, outcome) => self.published.push(outcome),
                _ => {}
            }
        }
        self.engine.flush(self.now.instant);
    }

    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.turn();
    }

    fn publish(&mut self) {
        let drafts = publish::read(None, &[], b"hi", 100).expect("text");
        self.engine.submit(0, Submission { key: None, scope: Scope::OPERATORS, drafts }, self.now);
        self.turn();
    }

    /// The commands that the writer has sent since it was looked at last.
    fn asked(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.end(Line::Writer).borrow_mut().taken);
        let text = String::from_utf8(sent).expect("text");
        let commands = text.split("\r\n*").map(|command| command.split("\r\n").nth(2).unwrap_or_default());
        commands.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn status(&self) -> EngineStatus {
        self.engine.status(self.now.instant)
    }
}

fn id(position: u64) -> String {
    let id = format!("7-{position}");
    format!("${}\r\n{id}\r\n", id.len())
}

#[test]
fn what_is_published_while_a_replica_is_waited_for_goes_out_together_and_waits_once() {
    let mut way = Way::up(|terms| terms.wait_ms = Some(100));
    way.publish();
    assert_eq!(way.asked(), ["XADD", "WAIT"]);
    way.say(Line::Writer, &id(1));
    (0..50).for_each(|_| way.publish());
    assert_eq!((way.asked().len(), way.published.len()), (0, 0));
    way.say(Line::Writer, ":1\r\n");
    assert!(matches!(way.published[..], [Ok(_)]));
    assert_eq!(way.asked(), [vec!["XADD"; 50], vec!["WAIT"]].concat());
    way.say(Line::Writer, &(2..52).map(id).collect::<String>());
    way.say(Line::Writer, ":0\r\n");
    assert_eq!(way.published[1..], [const { Err(Unpublished::Unconfirmed) }; 50]);
    assert_eq!(way.asked(), [""; 0]);
}

#[test]
fn what_waits_for_a_replica_makes_publishers_wait_once_it_is_much() {
    let mut way = Way::up(|terms| terms.wait_ms = Some(100));
    let drafts = |size| publish::read(None, &[], "x".repeat(size).as_bytes(), size).expect("text");
    for _ in 0..6 {
        let drafts = drafts(1024 * 1024);
        way.engine.submit(0, Submission { key: None, scope: Scope::OPERATORS, drafts }, way.now);
        way.turn();
    }
    assert!(way.engine.is_congested());
    way.say(Line::Writer, &format!("{}:1\r\n", id(1)));
    assert!(!way.engine.is_congested());
}

#[test]
fn an_engine_that_owes_an_answer_lags_also_where_nothing_is_known_to_be_published() {
    for (wait_ms, patience) in [(None, SECOND), (Some(2000), 3 * SECOND)] {
        let mut way = Way::up(|terms| terms.wait_ms = wait_ms);
        way.publish();
        way.wait(patience);
        assert_eq!((way.status().state.word(), way.status().lag_seconds), ("up", 0.0));
        way.wait(SECOND);
        assert_eq!(
            (way.status().state.word(), way.status().lag_seconds),
            ("up", (patience + SECOND).as_secs_f64())
        );
        way.say(Line::Writer, &id(1));
        way.say(Line::Reader, FIRST);
        wait_ms.into_iter().for_each(|_| way.say(Line::Writer, ":1\r\n"));
        assert_eq!((way.status().state.word(), way.status().lag_seconds), ("up", 0.0));
    }
}

#[test]
fn whoever_sends_pushes_without_end_is_given_up_also_while_it_is_greeted_and_as_a_sentinel() {
    for (line, sentinels) in
        [(Line::Writer, vec![]), (Line::Locator, vec!["one:1".to_owned(), "two:2".to_owned()])]
    {
        let mut way = Way::new(|terms| terms.sentinels = sentinels);
        for _ in 0..4 {
            way.say(line, ">2\r\n+invalidate\r\n_\r\n");
            assert_eq!(way.status().state, EngineState::Down { why: None });
            way.wait(SECOND);
        }
        way.say(line, ">2\r\n+invalidate\r\n_\r\n");
        way.wait(SECOND);
        let EngineState::Down { why: Some(why) } = way.status().state else { panic!("{:?}", way.status()) };
        assert!(why.ends_with("it has not answered for 5 s"), "{why}");
    }
}

const PASSWORD: &str = "s\"cr/t";

/// All that is said of an engine that answers this to whatever is said to it.
fn told_of(line: Line, replies: &[String]) -> String {
    let mut way = Way::new(|terms| {
        let known = Credentials { user: Some("bob".to_owned()), password: Some(PASSWORD.to_owned()) };
        terms.speaker = terms.speaker.clone().known_by(known, 0).asking_for("main".to_owned());
        if line == Line::Locator {
            terms.sentinels = vec!["one:1".to_owned()];
        }
    });
    for reply in replies {
        way.say(line, reply);
    }
    (0..2).for_each(|_| way.publish());
    for reply in replies.iter().skip(2) {
        way.say(line, reply);
    }
    format!("{:?} {:?}", way.status(), way.published)
}

#[test]
fn whatever_a_peer_gives_back_of_what_it_is_sent_the_password_is_not_told() {
    let hello = format!("HELLO 3 AUTH bob {PASSWORD}");
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let echo = format!("*2\r\n{}{}", bulk("HELLO"), bulk(PASSWORD));
    let greeting = |product: &str, version: &str| {
        let fields = ["server", product, "version", version, "role", "master"].map(bulk).concat();
        format!("%3\r\n{fields}")
    };
    let begun = |newest: &str, evicts: &str| format!("*3\r\n:7\r\n{}{}", bulk(newest), bulk(evicts));
    let escaped = "s%22cr%2ft";
    let mut openings = vec![
        vec![echo.clone()],
        vec![bulk(PASSWORD)],
        vec![format!("+{hello}\r\n")],
        vec![format!("-ERR unknown command {hello}\r\n")],
        vec![format!("-ERR no {hello} {escaped}\r\n")],
        vec![format!("-ERR {}{PASSWORD}\r\n", "x".repeat(190))],
        vec![format!("-{PASSWORD} {hello}\r\n")],
        vec![format!("-MOVED 1 {PASSWORD}:7\r\n")],
        vec![greeting(PASSWORD, "7.0.1")],
        vec![greeting(PASSWORD, "6.0.1")],
        vec![greeting("redis", &format!("7.0.{PASSWORD}"))],
    ];
    for second in [echo.clone(), format!("+{hello}\r\n"), format!("-ERR {hello}\r\n"), begun(PASSWORD, "")] {
        openings.push(vec![GREETING.to_owned(), second]);
    }
    for third in [echo, format!("-ERR {hello}\r\n"), format!("+{hello}\r\n")] {
        openings.push(vec![GREETING.to_owned(), begun("7-0", PASSWORD), third]);
    }
    for line in [Line::Writer, Line::Locator] {
        for replies in &openings {
            let told = told_of(line, replies);
            let part = told.contains("cr/t") || told.contains("cr%2") || told.contains("xs");
            assert!(
                !part && told.contains("cannot be used now") | told.contains("Down"),
                "{replies:?}: {told}"
            );
        }
    }
}

#[test]
fn a_publisher_is_told_in_the_engines_words_but_without_the_password_and_which_key_is_to_be_looked_at() {
    let refused = |reply: &str| {
        let mut way = Way::up(|terms| {
            let known = Credentials { user: None, password: Some("secret".to_owned()) };
            terms.speaker = terms.speaker.clone().known_by(known, 0);
        });
        way.publish();
        way.say(Line::Writer, reply);
        way.published.pop().expect("an answer").expect_err("refused").to_string()
    };
    let told = refused("-OOM command not allowed, secret. script: 78cc, on @user_script:9.\r\n");
    assert!(told.ends_with(r#"answers "OOM command not allowed, ***.""#), "{told}");
    let told = refused("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    assert!(told.contains("{slackwater}:stream or {slackwater}:key:\u{2026}"), "{told}");
}

#[test]
fn of_several_sentinels_it_is_said_which_one_does_not_answer() {
    let mut way = Way::new(|terms| terms.sentinels = vec!["one:1".to_owned(), "two:2".to_owned()]);
    let mut told = vec![];
    for _ in 0..2 {
        way.end(Line::Locator).borrow_mut().is_closed = true;
        way.engine.on_ready(Line::Locator);
        way.turn();
        told.push(way.status().state);
        way.end(Line::Locator).borrow_mut().is_closed = false;
        way.wait(20 * SECOND);
    }
    let down =
        |name| EngineState::Down { why: Some(format!("sentinel {name}: it has closed the connection")) };
    assert_eq!(told, [down("one:1"), down("two:2")]);
}

const FULL: &str = "OOM command not allowed when used memory > 'maxmemory'.";

#[test]
fn an_engine_that_refuses_what_is_written_is_not_up_until_it_takes_it_again() {
    let mut way = Way::up(|_| {});
    way.publish();
    way.say(Line::Writer, &format!("-{FULL}\r\n"));
    let refuses = EngineState::Refuses { epoch: 7, why: FULL.to_owned() };
    assert_eq!(way.status().state, refuses);
    for (reply, state) in [(BEATEN, refuses), (BEATEN, EngineState::Up { epoch: 7 })] {
        way.wait(5 * SECOND);
        way.say(Line::Writer, reply);
        way.say(Line::Reader, "_\r\n");
        assert_eq!(way.status().state, state);
    }
}

#[test]
fn where_a_machine_cannot_be_noted_it_is_found_out_all_the_same_whether_the_stream_is_gone_or_anothers() {
    let denied = "$54\r\nNOPERM this user may not script: 7, on @user_script:9.\r\n";
    for (far, word) in [(":7\r\n$3\r\n7-0\r\n", "up"), (":8\r\n$3\r\n8-0\r\n", "down")] {
        let mut way = Way::up(|_| {});
        way.wait(5 * SECOND);
        way.say(Line::Writer, &format!("*3\r\n{far}{denied}"));
        assert_eq!(way.status().state.word(), word, "{:?}", way.status());
    }
}

#[test]
fn what_is_published_before_it_is_known_whether_the_engine_is_there_waits_for_that_in_its_order() {
    let mut way = Way::new(|_| {});
    way.publish();
    way.publish();
    way.say(Line::Writer, GREETING);
    assert_eq!((way.published.len(), way.engine.is_congested()), (0, true));
    for (line, reply) in [(Line::Writer, BEGUN), (Line::Reader, GREETING), (Line::Reader, PAGE)] {
        way.say(line, reply);
    }
    assert_eq!((way.published.len(), way.engine.is_congested()), (0, false));
    let asked = way.asked();
    assert_eq!(asked.iter().filter(|command| *command == "XADD").count(), 2, "{asked:?}");
    way.say(Line::Writer, &[&id(1), &id(2), BEATEN].concat());
    assert!(matches!(way.published[..], [Ok(_), Ok(_)]), "{:?}", way.published);
}

#[test]
fn what_waits_for_an_engine_that_is_not_there_is_refused_and_nothing_waits_any_more() {
    let mut way = Way::new(|_| {});
    way.publish();
    assert_eq!(way.published, []);
    way.wait(6 * SECOND);
    assert_eq!((&way.published[..], way.engine.is_congested()), (&[Err(Unpublished::EngineDown)][..], false));
    way.publish();
    assert_eq!(way.published, [const { Err(Unpublished::EngineDown) }; 2]);
}

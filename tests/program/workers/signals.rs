//! What whoever starts the server has done to its signals, and signals that mean nothing to a process that serves.

use std::process::Command;

use super::crew::Crew;
use super::program::Program;
use crate::process::{BINARY, signal};

#[test]
fn signals_that_were_blocked_at_the_start_are_obeyed() {
    for workers in ["1", "2"] {
        let blocked = "--block-signal=TERM,INT,HUP,CHLD,TTIN,TTOU";
        let crew = Crew::spawn(Command::new("env").args([blocked, BINARY, "--workers", workers]));
        if workers == "2" {
            // Nothing but its end wakes the supervisor.
            signal(crew.process(1, 1), "KILL");
            crew.process(1, 2);
        }
        crew.signal("TERM");
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn signals_for_the_number_of_workers_do_not_stop_a_process_that_serves() {
    for workers in [1, 2] {
        let crew = Crew::start(&format!("--workers {workers}"));
        let serving = match workers {
            1 => vec![crew.pid()],
            _ => vec![crew.process(1, 1), crew.process(2, 1)],
        };
        let mut clients: Vec<_> = (0..4).map(|_| crew.client()).collect();
        for process in serving {
            signal(process, "TTIN");
            signal(process, "TTOU");
        }
        clients.iter_mut().for_each(|client| client.echo("x"));
        drop(clients);
        crew.signal("TERM");
        assert_eq!(crew.end().0, Some(0));
    }
}

#[test]
fn signals_to_all_do_not_stop_or_end_a_worker_that_is_being_started() {
    let program = Program::new();
    program.replace(&format!(r#"for s in HUP TTIN TTOU; do kill -$s $$; done; exec {BINARY} "$@""#));
    let crew = Crew::spawn(&mut program.command("--workers 2"));
    assert_eq!(crew.met(), [crew.process(1, 1), crew.process(2, 1)].into());
    crew.signal("TERM");
    assert_eq!(crew.end().0, Some(0));
}

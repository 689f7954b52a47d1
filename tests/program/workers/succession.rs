//! A server that leaves and the next one, with workers: the history goes on in the state file.

use std::fs;
use std::process::Command;

use support::client::Client;
use support::publisher::Publisher;

use super::crew::Crew;
use crate::process::BINARY;

#[test]
fn a_successor_goes_on_in_the_same_epoch_whatever_the_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let start = |port: u16, workers: usize| {
        let (port, workers) = (port.to_string(), workers.to_string());
        let mut command = Command::new(BINARY);
        command
            .args(["--port", &port, "--workers", &workers, "--drain-check-interval", "3600"])
            .arg("--state-file")
            .arg(&state);
        Crew::spawn(&mut command)
    };
    let mut old = start(0, 2);
    let address = old.address();
    let first = Publisher::connect(address).publish("0");
    for (round, (old_workers, workers)) in [(2, 2), (2, 3), (3, 1), (1, 2)].into_iter().enumerate() {
        let mut loyal = Client::join(address, "/ws?topic=nothing");
        old.signal("TERM");
        // Each says one or the other once it listens no more.
        old.until("everyone's farewell", |lines| {
            let is_deaf = |line: &&String| line.contains("Waiting for ") || line.contains("All WebSocket");
            (lines.iter().filter(is_deaf).count() == old_workers).then_some(())
        });
        assert!(state.exists());
        let new = start(address.port(), workers);
        assert!(!state.exists(), "it is used once");
        let id = Publisher::connect(address).publish(&format!("{}", round + 1));
        let epoch_of = |id: &str| id.split_once('-').unwrap().0.to_owned();
        assert_eq!(epoch_of(&id), epoch_of(&first));
        for pid in if workers == 1 { vec![new.pid()] } else { new.children() } {
            loop {
                let mut client = Client::resume(address, &first);
                assert_eq!(client.welcome["resumed"], true);
                for missed in 1..=round + 1 {
                    assert_eq!(client.hear_data(), missed.to_string());
                }
                if new.server_of(client.stream()) == pid {
                    break;
                }
            }
        }
        loyal.echo("x");
        loyal.leave();
        assert_eq!(old.end().0, Some(0));
        old = new;
    }
    old.signal("KILL");
    drop(old);
    assert!(!state.exists(), "a crash is never taken for a redeploy");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_state_is_left_behind_by_a_supervisor_that_has_no_descriptors_for_more_workers() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 30; exec \"$0\" \"$@\"", BINARY]);
    command.args(["--port", "0", "--workers", "2", "--state-file"]).arg(&state);
    let crew = Crew::spawn(&mut command);
    let mut workers = 2;
    // Beyond the first that cannot be started each would take a descriptor for what it were to listen on.
    for refused in 0..8 {
        while crew.lines().iter().filter(|line| line.contains("cannot start ")).count() <= refused {
            crew.signal("TTIN");
            workers += 1;
            let (started, failed) = (format!("worker {workers} "), format!("as worker {workers}:"));
            crew.until("one more worker, or none", |lines| {
                lines.iter().any(|line| line.contains(&started) || line.contains(&failed)).then_some(())
            });
        }
    }
    crew.signal("TERM");
    let (code, lines) = crew.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(state.exists(), "{lines:#?}");
}

//! `serve`, by its name and without it.

use std::process::Command;

use crate::process::{BINARY, Process, run};

#[test]
fn serve_by_its_name_is_what_the_program_does_anyway_also_with_workers() {
    for workers in ["1", "2"] {
        let server = Process::start(&format!("serve --workers {workers}"));
        server.client().leave();
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0));
    }
}

#[test]
fn a_misspelt_sub_command_is_bad_usage_and_is_not_shown() {
    for (args, said) in [
        (&["serv"][..], "did you mean"),
        (&["serve", "serv"], "did you mean"),
        (&["token", "tok-en"], "unexpected argument"),
    ] {
        let (code, stderr) = run(Command::new(BINARY).args(args));
        let given = format!("{:?}", args[args.len() - 1]).replace('"', "'");
        assert!(code == Some(2) && stderr.contains(said), "{stderr}");
        assert!(!stderr.contains(&given), "{stderr}");
    }
}

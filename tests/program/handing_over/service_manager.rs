//! What a service manager is told of a hand-over, as sd_notify(3) has it: that the server is about to be replaced, then who it is,
//! and that this one is ready; or that all stays as it was.

use std::process::Command;

use super::server::Server;
use crate::process::{BINARY, Process};
use crate::service_manager::Manager;
use crate::workers::program::Program;

fn hear_reloading(manager: &Manager) {
    let told = manager.hear();
    let [reloading, since] = &told[..] else { panic!("{told:?}") };
    assert_eq!(reloading, "RELOADING=1");
    let since: u64 = since.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!((since as f64 / 1e6 - uptime).abs() < 60.0, "{since} µs is no time of this machine's");
}

#[test]
fn the_successor_is_named_by_the_predecessor_before_it_says_that_it_is_ready() {
    let manager = Manager::new();
    let server = Server::of(manager.start(""));
    let address = manager.hear_ready();
    for _ in 0..2 {
        let pid = server.hand_over();
        hear_reloading(&manager);
        assert_eq!(manager.hear(), [format!("MAINPID={pid}")]);
        assert_eq!(manager.hear_ready(), address);
    }
    assert_eq!(server.leave().0, Some(0));
    assert_eq!(manager.hear(), ["STOPPING=1", "STATUS=All connections closed"]);
    assert_eq!(manager.forget_rest(), 0);
}

/// The parent of a process (proc_pid_status(5)).
fn parent_of(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

#[test]
fn the_successor_is_nobody_s_child_but_the_service_manager_s_before_it_is_named() {
    for workers in [1, 2] {
        let (manager, program) = (Manager::new(), Program::new());
        let mut command = program.command(&format!("--workers {workers}"));
        let server = Server::of(Process::spawn(command.env("NOTIFY_SOCKET", manager.path())));
        manager.hear_ready();
        let gate = program.gate_for_all();
        server.tell("HUP");
        let door = gate.reached();
        let started = server.line(" to hand over to");
        let pid: u32 = started.split(' ').find_map(|word| word.parse().ok()).unwrap();
        // A service manager would not wait for it at a stop.
        assert_ne!(parent_of(pid), server.pid(), "{started}");
        program.mark("real");
        drop(door);
        assert_eq!(server.handed_over(), pid);
        hear_reloading(&manager);
        assert_eq!(manager.hear(), [format!("MAINPID={pid}")]);
        manager.hear_ready();
        assert_eq!(server.leave().0, Some(0));
    }
}

#[test]
fn where_nothing_comes_of_it_the_old_server_is_ready_as_before() {
    for workers in [1, 2] {
        let (manager, program) = (Manager::new(), Program::new());
        let mut command = program.command(&format!("--workers {workers}"));
        let server = Server::of(Process::spawn(command.env("NOTIFY_SOCKET", manager.path())));
        let address = manager.hear_ready();
        program.replace("exit 7");
        server.tell("HUP");
        server.failed(1);
        hear_reloading(&manager);
        assert_eq!(manager.hear_ready(), address);
        program.remove();
        server.tell("HUP");
        server.failed(2);
        hear_reloading(&manager);
        assert_eq!(manager.hear_ready(), address);
        assert_eq!(server.leave().0, Some(0));
    }
}

#[test]
fn a_second_start_becomes_the_service_though_nobody_has_asked_for_a_reload() {
    let manager = Manager::new();
    let path = manager.path().with_file_name("handover");
    let flags = format!("--handover {}", path.display());
    let first = manager.start(&flags);
    let address = manager.hear_ready();
    let port = first.address().port();
    let mut command = Command::new(BINARY);
    command.args(format!("{flags} --port {port}").split_whitespace()).env("NOTIFY_SOCKET", manager.path());
    let second = Process::spawn(&mut command);
    assert_eq!(manager.hear(), [format!("MAINPID={}", second.pid())]);
    assert_eq!(manager.hear_ready(), address);
    assert_eq!(first.end().0, Some(0));
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
}

//! The rooms keep their arrows: reads the sources, not the compiler's mind.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the lowest to the highest; each may use itself and those before it.
const ROOMS: [&str; 7] = ["frame", "message", "policy", "wire", "http", "server", "process"];

/// What the rooms that decide, speak and answer may not name: sockets, clocks, files, logging.
const OUTSIDE: [&str; 8] =
    ["std::net", "std::fs", "mio", "socket2", "log::", "::now()", "std::thread", "std::env"];

struct Source {
    path: PathBuf,
    room: String,
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => walk(&path, found),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = vec![];
    walk(&root, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let first = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            Source { path, room, lines: text.lines().map(str::to_owned).collect() }
        })
        .collect()
}

/// The lines before the unit tests, which may use a clock to make one up.
fn shipped(source: &Source) -> impl Iterator<Item = &str> {
    let is_test_file = source.path.to_str().unwrap().ends_with("_tests.rs");
    let lines = source.lines.iter().map(String::as_str).filter(|line| !line.trim_start().starts_with("//"));
    lines.take_while(move |line| !is_test_file && *line != "#[cfg(test)]")
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|name| *name == room)
}

#[test]
fn no_arrow_points_back() {
    for source in sources() {
        let Some(own) = rank(&source.room) else { continue };
        for line in &source.lines {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_leaf =
                    matches!(used.as_str(), "config" | "ffi" | "proc_stat") && own >= rank("server").unwrap();
                let types = ["crate::config::secret::Secret", "crate::config::origins::AllowedOrigin"];
                let is_type = source.room == "http" && types.iter().any(|name| line.contains(name));
                let allowed = is_leaf || is_type || rank(&used).is_some_and(|used| used <= own);
                assert!(allowed, "{} uses {used}: {line}", source.path.display());
            }
        }
    }
}

/// Which other files of a room each of its files uses, tests aside. A module and what is in the folder of its name count
/// as one.
fn uses_within(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (folder, prefix) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), format!("crate::{room}::"));
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.room == room) {
        let file = source.path.strip_prefix(&folder).unwrap().iter().next().unwrap().to_str().unwrap();
        let file = file.trim_end_matches(".rs");
        if file == "mod" || source.path.to_str().unwrap().ends_with("_tests.rs") {
            continue;
        }
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let used = shipped(source).flat_map(|line| line.split(prefix.as_str()).skip(1)).map(name);
        uses.entry(file.to_owned()).or_default().extend(used.filter(|used: &String| used != file));
    }
    uses
}

#[test]
fn what_decides_speaks_or_answers_is_used_in_one_direction_only() {
    for room in ["policy", "wire", "http"] {
        let mut uses = uses_within(room);
        assert!(uses.len() > 2, "{room} has no files");
        // What uses none of those that are left, or is used by none, is in no circle.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            let used: BTreeSet<String> = uses.values().flatten().cloned().collect();
            uses.retain(|file, others| used.contains(file) && !others.is_disjoint(&left));
            if uses.len() == left.len() {
                break;
            }
        }
        assert!(uses.is_empty(), "files of {room} use each other in a circle: {uses:?}");
    }
}

#[test]
fn a_leaf_uses_no_room() {
    for source in sources().iter().filter(|source| rank(&source.room).is_none()) {
        let is_entrance = matches!(source.room.as_str(), "main" | "lib");
        let uses =
            source.lines.iter().any(|line| line.contains("use crate::") && !line.contains("crate::config"));
        assert!(is_entrance || !uses, "{} uses a room", source.path.display());
    }
}

#[test]
fn what_decides_speaks_or_answers_names_no_clock_socket_or_log() {
    for source in
        sources().iter().filter(|source| rank(&source.room) < rank("server") && rank(&source.room).is_some())
    {
        for line in shipped(source) {
            let named = OUTSIDE.iter().find(|name| line.contains(**name));
            assert!(named.is_none(), "{} names {}: {line}", source.path.display(), named.unwrap());
        }
    }
}

#[test]
fn a_turn_knows_no_poll_no_listener_and_no_file() {
    let is_of_the_turn = |source: &&Source| {
        let path = source.path.to_str().unwrap();
        let parts = ["server/turn", "server/peers", "server/connection", "server/relay", "process/crew"];
        parts.iter().any(|part| path.contains(part))
    };
    let all = sources();
    let of_the_turn: Vec<&Source> = all.iter().filter(is_of_the_turn).collect();
    assert!(of_the_turn.len() > 3);
    for source in of_the_turn {
        let names =
            ["mio", "socket2", "::listener::", "::listeners", "state_file", "std::fs", "process::Command"];
        let named = shipped(source).find(|line| names.iter().any(|name| line.contains(name)));
        assert_eq!(named, None, "{}", source.path.display());
    }
}

#[test]
fn peers_know_neither_who_keeps_the_order_nor_whether_the_hub_and_the_history_agree() {
    for source in sources().iter().filter(|source| source.path.to_str().unwrap().contains("server/peers")) {
        let names = ["server::order", "Ledger", "Upstream", "ToSupervisor", "Hub::", "Sequencer"];
        let named = shipped(source).find(|line| names.iter().any(|name| line.contains(name)));
        assert_eq!(named, None, "{}", source.path.display());
    }
}

#[test]
fn the_clock_of_the_loop_is_read_in_one_place() {
    let readers =
        sources().iter().filter(|source| shipped(source).any(|line| line.contains("Instant::now"))).count();
    assert_eq!(readers, 1);
}

#[test]
fn every_file_says_what_it_is_for_and_hides_no_second_noun() {
    for source in sources() {
        let path = source.path.display();
        assert!(source.lines[0].starts_with("//! "), "{path} does not open with what it is for");
        assert!(source.lines.len() <= 400, "{path} has {} lines", source.lines.len());
    }
}

#[test]
fn all_unsafe_code_is_in_one_file() {
    let is_unsafe = |source: &&Source| shipped(source).any(|line| line.contains("unsafe {"));
    let files: Vec<PathBuf> = sources().iter().filter(is_unsafe).map(|source| source.path.clone()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.ends_with("src/ffi.rs"), "{}", file.display());
}

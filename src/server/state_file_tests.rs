//! What becomes of state files, and of all else that is found at their path.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::policy::epochs::Epochs;

fn snapshot() -> Snapshot {
    Snapshot { epochs: Epochs::of(7), newest: 3, publications: vec![], answers: vec![] }
}

/// A folder, and the state file in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    (folder, path)
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refusal(path: &Path) -> String {
    StateFile::open(path).unwrap_err().to_string()
}

#[test]
fn what_was_written_is_taken_once() {
    let (folder, path) = place();
    let file = StateFile::open(&path).unwrap();
    assert_eq!(names(&folder), [""; 0], "looking leaves nothing behind");
    file.write(&snapshot()).unwrap();
    assert_eq!(names(&folder), ["state"], "nothing is left beside it");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.take().unwrap(), Some(Ok(snapshot())));
    assert_eq!(file.take().unwrap(), None);
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn a_damaged_file_is_left_where_it_is_until_it_is_written_over() {
    let (_folder, path) = place();
    let damaged = [FAMILY, b"1\nand so on"].concat();
    fs::write(&path, &damaged).unwrap();
    let file = StateFile::open(&path).unwrap();
    assert_eq!(file.take().unwrap(), Some(Err(SnapshotError::Damaged)));
    assert_eq!(fs::read(&path).unwrap(), damaged);
    file.write(&snapshot()).unwrap();
    assert_eq!(file.take().unwrap(), Some(Ok(snapshot())));
}

#[test]
fn a_link_is_followed_to_its_file_and_stays() {
    let (folder, path) = place();
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("hop", &path).unwrap();
    symlink("real/state", folder.path().join("hop")).unwrap();
    let file = StateFile::open(&path).unwrap();
    for _ in 0..2 {
        file.write(&snapshot()).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("hop"));
        assert!(fs::symlink_metadata(folder.path().join("real/state")).unwrap().is_file());
        assert_eq!(StateFile::open(&path).unwrap().take().unwrap(), Some(Ok(snapshot())));
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(!path.exists(), "the file behind the link is taken away");
    }
    let circle = folder.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(refusal(&circle).contains("symbolic links"), "{}", refusal(&circle));
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let (folder, _) = place();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("config.json"), "{}").unwrap();
    fs::write(at("short"), "s").unwrap();
    fs::create_dir(at("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    let _listener = UnixListener::bind(at("socket")).unwrap();
    symlink("config.json", at("link")).unwrap();
    let before = names(&folder);
    for (path, why) in [
        (at("config.json"), "it is not a state file of this program"),
        (at("short"), "it is not a state file of this program"),
        (at("link"), "it is not a state file of this program"),
        (at("folder"), "it is no regular file"),
        (at("fifo"), "it is no regular file"),
        (at("socket"), "it is no regular file"),
        (PathBuf::from("/dev/null"), "it is no regular file"),
        (PathBuf::from("/dev/zero"), "it is no regular file"),
    ] {
        let message = format!(
            "cannot keep the state in --state-file {}: {why}; give a path where nothing is yet",
            path.display()
        );
        assert_eq!(refusal(&path), message);
    }
    assert_eq!(names(&folder), before);
    assert_eq!(fs::read(at("config.json")).unwrap(), b"{}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let (folder, path) = place();
    for path in [&folder.path().join("none/state"), Path::new("/proc/state"), &path.join("..")] {
        let message = refusal(path);
        assert!(message.ends_with("give a path in a folder that this user can write to"), "{message}");
    }
}

#[test]
fn an_empty_file_is_nothing() {
    let (_folder, path) = place();
    File::create(&path).unwrap();
    let file = StateFile::open(&path).unwrap();
    assert_eq!(file.take().unwrap(), None);
    File::create(&path).unwrap();
    file.write(&snapshot()).unwrap();
    assert_eq!(file.take().unwrap(), Some(Ok(snapshot())));
}

#[test]
fn what_came_to_the_path_meanwhile_is_not_written_over() {
    let (folder, path) = place();
    let file = StateFile::open(&path).unwrap();
    fs::write(&path, "somebody's").unwrap();
    assert!(matches!(file.write(&snapshot()), Err(Unfit::Foreign)));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    fs::remove_file(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert!(matches!(file.write(&snapshot()), Err(Unfit::Special)));
    assert_eq!(names(&folder), ["state"]);
}

#[test]
fn what_a_killed_process_was_writing_is_taken_away_by_the_next() {
    let (folder, path) = place();
    let draft = folder.path().join(".state.new");
    let half = &snapshot().encode()[..30];
    for left in [half, b""] {
        let file = StateFile::open(&path).unwrap();
        fs::write(&draft, left).unwrap();
        assert!(StateFile::open(&path).is_ok());
        assert_eq!(
            fs::read(&draft).unwrap(),
            left,
            "whoever only looks leaves it to whoever may be writing it"
        );
        file.write(&snapshot()).unwrap();
        assert_eq!(names(&folder), ["state"]);
        fs::write(&draft, left).unwrap();
        assert_eq!(file.take_up().unwrap(), Some(snapshot()));
        assert_eq!(names(&folder), [""; 0]);
    }
}

#[test]
fn what_is_not_ours_where_the_state_is_written_first_is_left_alone() {
    let (folder, path) = place();
    let draft = folder.path().join(".state.new");
    let other = folder.path().join("other");
    let file = StateFile::open(&path).unwrap();
    fs::write(&other, "somebody's").unwrap();
    type Plant = fn(&Path, &Path) -> io::Result<()>;
    let plants: [(Plant, &str); 4] = [
        (|from, to| symlink(from, to), "it is no regular file"),
        (|from, to| fs::copy(from, to).map(|_| ()), "it is not a state file of this program"),
        (|from, to| fs::hard_link(from, to), "it is not a state file of this program"),
        (|_, to| fs::create_dir(to), "it is no regular file"),
    ];
    for (plant, why) in plants {
        plant(&other, &draft).unwrap();
        let message = format!(
            "cannot keep the state in --state-file {}: it is written to {} first, and that is not its own: {why}; take that \
             away, or give another path",
            path.display(),
            draft.display()
        );
        assert_eq!(refusal(&path), message);
        assert_eq!(file.take_up().unwrap_err().to_string(), message);
        assert!(matches!(file.write(&snapshot()), Err(Unfit::Draft { .. })));
        assert_eq!(names(&folder), [".state.new", "other"]);
        assert_eq!(fs::read(&other).unwrap(), b"somebody's");
        fs::remove_file(&draft).or_else(|_| fs::remove_dir(&draft)).unwrap();
    }
}

#[test]
fn another_history_that_was_left_there_meanwhile_is_not_written_over() {
    let (folder, path) = place();
    let file = StateFile::open(&path).unwrap();
    for (epoch, newest, stays) in [(8, 1, true), (8, 3, true), (7, 4, true), (7, 3, false), (7, 2, false)] {
        let there = Snapshot { epochs: Epochs::of(epoch), newest, publications: vec![], answers: vec![] };
        fs::write(&path, there.encode()).unwrap();
        assert_eq!(matches!(file.write(&snapshot()), Err(Unfit::Another)), stays, "{epoch} {newest}");
        let left = if stays { there } else { snapshot() };
        assert_eq!(fs::read(&path).unwrap(), left.encode());
        assert_eq!(names(&folder), ["state"]);
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
    let (folder, path) = place();
    let file = StateFile::open(&path).unwrap();
    file.write(&snapshot()).unwrap();
    fs::create_dir(folder.path().join("gone")).unwrap();
    let gone = StateFile::open(&folder.path().join("gone/state")).unwrap();
    fs::remove_dir(folder.path().join("gone")).unwrap();
    assert!(gone.write(&snapshot()).is_err());
    assert_eq!(names(&folder), ["state"]);
}

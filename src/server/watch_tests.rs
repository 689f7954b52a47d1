//! Files in a folder of the tests' own.

use std::fs;

use super::*;

struct Watched {
    watch: Watch,
    paths: [PathBuf; 2],
    _folder: tempfile::TempDir,
}

impl Watched {
    /// Two files with these texts.
    fn over(texts: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        paths.iter().zip(texts).for_each(|(path, text)| fs::write(path, text).unwrap());
        let (watch, made) = Watch::open(named(&paths), joined).unwrap();
        assert_eq!(made, texts.join("|"));
        Self { watch, paths, _folder: folder }
    }

    fn look(&mut self) -> Option<Made<String>> {
        self.watch.look(joined)
    }
}

fn named(paths: &[PathBuf]) -> Vec<Named> {
    paths.iter().map(|path| Named::new("--file", path)).collect()
}

/// The texts of files, of which none may be bad.
fn joined(files: &[Content]) -> Made<String> {
    let text = |(file, octets): &Content| match str::from_utf8(octets) {
        Ok("bad") => Err(file.fault(&"it is bad")),
        text => Ok(text.unwrap().to_owned()),
    };
    files.iter().map(text).collect::<Made<Vec<_>>>().map(|texts| texts.join("|"))
}

#[test]
fn what_is_written_again_as_it_was_is_nothing_new() {
    let mut watched = Watched::over(["one", "two"]);
    let [path, other] = watched.paths.clone();
    fs::write(&path, "one").unwrap();
    assert_eq!(watched.look(), None);
    fs::remove_file(&path).unwrap();
    assert!(watched.look().unwrap().is_err());
    fs::write(&path, "one").unwrap();
    assert_eq!(watched.look(), None);
    fs::write(&other, "three").unwrap();
    assert_eq!(watched.look(), Some(Ok("one|three".to_owned())));
}

#[test]
fn what_goes_from_one_file_to_the_other_is_something_else() {
    let mut watched = Watched::over(["on", "etwo"]);
    for (path, text) in watched.paths.iter().zip(["one", "two"]) {
        fs::write(path, text).unwrap();
    }
    assert_eq!(watched.look(), Some(Ok("one|two".to_owned())));
}

#[test]
fn a_fault_is_told_once_for_as_long_as_the_file_stays_as_it_is() {
    let mut watched = Watched::over(["one", "two"]);
    for _ in 0..2 {
        fs::write(&watched.paths[1], "bad").unwrap();
        let why = watched.look().unwrap().unwrap_err();
        assert!(why.to_string().ends_with("b: it is bad"), "{why}");
        assert_eq!(watched.look(), None);
        fs::write(&watched.paths[1], "two").unwrap();
        assert_eq!(watched.look(), None);
    }
}

/// What both files last held.
fn last_good(texts: [&str; 2]) -> LastGood {
    let mut last_good = LastGood::default();
    ["--a", "--b"].iter().zip(texts).for_each(|(flag, text)| last_good.keep(flag, text.as_bytes()));
    last_good
}

#[test]
fn who_begins_with_a_bad_file_goes_on_with_what_was_last_good_and_is_told_of_the_fault_once() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    fs::write(&a, "new").unwrap();
    let files = || vec![Named::new("--a", &a), Named::new("--b", &b)];
    for bad in [None, Some("bad")] {
        bad.map_or(Ok(()), |text| fs::write(&b, text)).unwrap();
        let Opened { mut watch, made, fault } =
            Watch::open_or(files(), &last_good(["one", "two"]), joined).unwrap();
        assert_eq!(made, "one|two", "both are as they were together");
        assert!(fault.unwrap().to_string().starts_with("cannot use --b "));
        assert_eq!(watch.look(joined), None);
        fs::write(&b, "next").unwrap();
        assert_eq!(watch.look(joined), Some(Ok("new|next".to_owned())));
        let opened = Watch::open_or(files(), &last_good(["one", "two"]), joined).unwrap();
        assert!(opened.fault.is_none() && opened.made == "new|next");
    }
}

#[test]
fn without_anything_good_a_bad_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let files = || vec![Named::new("--a", &folder.path().join("a"))];
    for former in [LastGood::default(), last_good(["bad", "two"])] {
        let why = Watch::open_or(files(), &former, joined).unwrap_err();
        assert!(why.to_string().contains("No such file"), "{why}");
    }
}

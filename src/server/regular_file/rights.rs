//! Who on this machine can read or change a file, by its mode, and the mend. Opens no file; whether anybody is told is for others to say.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who can read or change a secret that is nobody's but the owner's, if somebody can.
pub fn of_readers(what: &str, path: &Path) -> Option<String> {
    let (mode, path) = (mode(path), path.display());
    // To read it, a group is how orchestrators hand a file to whom it is for.
    let may = match mode & 0o006 {
        0 => return of_group(what, mode, &path.to_string()),
        0o004 => "read",
        0o002 => "change",
        _ => "read and change",
    };
    Some(format!(
        "Everyone on this machine may {may} the {what} in {path} (mode {mode:04o}): chmod 600 {path}"
    ))
}

/// Who can change what everybody may read, if somebody can.
pub fn of_writers(what: &str, path: &Path) -> Option<String> {
    let (mode, path) = (mode(path), path.display());
    if mode & 0o002 != 0 {
        return Some(format!(
            "Everyone on this machine may change the {what} in {path} (mode {mode:04o}): chmod o-w {path}"
        ));
    }
    of_group(what, mode, &path.to_string())
}

fn of_group(what: &str, mode: u32, path: &str) -> Option<String> {
    (mode & 0o020 != 0).then(|| {
        format!("Everyone in its group may change the {what} in {path} (mode {mode:04o}): chmod g-w {path}")
    })
}

/// None of anything but a file: whoever took the rights of /dev/null from others would harm the whole machine.
fn mode(path: &Path) -> u32 {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file);
    metadata.map_or(0, |metadata| metadata.permissions().mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    /// What is said of a secret and of what everybody may read, with this mode.
    fn told(mode: u32) -> [Option<String>; 2] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let without_path = |text: String| text.replace(&file.path().display().to_string(), "F");
        [of_readers("key", file.path()), of_writers("key", file.path())].map(|told| told.map(without_path))
    }

    #[test]
    fn a_secret_is_for_its_owner_and_read_by_a_group_at_most() {
        for (mode, who) in [
            (0o400, None),
            (0o600, None),
            (0o640, None),
            (0o644, Some("Everyone on this machine may read the key in F (mode 0644): chmod 600 F")),
            (0o602, Some("Everyone on this machine may change the key in F (mode 0602): chmod 600 F")),
            (
                0o646,
                Some("Everyone on this machine may read and change the key in F (mode 0646): chmod 600 F"),
            ),
            (0o660, Some("Everyone in its group may change the key in F (mode 0660): chmod g-w F")),
        ] {
            assert_eq!(told(mode)[0].as_deref(), who, "{mode:o}");
        }
        assert_eq!(of_readers("key", Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn of_what_is_no_file_nothing_is_said() {
        let null = Path::new("/dev/null");
        assert_eq!([of_readers("token", null), of_writers("token", null)], [None, None]);
    }

    #[test]
    fn what_everybody_may_read_is_changed_by_its_owner_alone() {
        for (mode, who) in [
            (0o644, None),
            (0o646, Some("Everyone on this machine may change the key in F (mode 0646): chmod o-w F")),
            (0o664, Some("Everyone in its group may change the key in F (mode 0664): chmod g-w F")),
        ] {
            assert_eq!(told(mode)[1].as_deref(), who, "{mode:o}");
        }
    }
}

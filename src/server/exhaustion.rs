//! What a process or the machine can run out of, and what to do about it.

use std::io;

/// What to do about an error that says that something has run out; empty for any other.
pub fn mend(why: &io::Error) -> &'static str {
    match why.raw_os_error() {
        Some(libc::EMFILE) => "raise the limit on open files (ulimit -n) to serve more",
        Some(libc::ENFILE) => "raise the machine's limit on open files (/proc/sys/fs/file-max) to serve more",
        // epoll_ctl(2)
        Some(libc::ENOSPC) => {
            "raise the limit on watched descriptors (/proc/sys/fs/epoll/max_user_watches) to serve more"
        }
        Some(libc::ENOMEM | libc::ENOBUFS) => "the machine is out of memory: give it more, or less to do",
        _ => "",
    }
}

/// The error, with its mend where there is one.
pub fn with_mend(why: &io::Error) -> String {
    let mend = mend(why);
    if mend.is_empty() { why.to_string() } else { format!("{why}; {mend}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_mend_and_none_that_does_not_help() {
        for (code, part) in [
            (libc::EMFILE, "ulimit -n"),
            (libc::ENFILE, "file-max"),
            (libc::ENOSPC, "max_user_watches"),
            (libc::ENOBUFS, "memory"),
        ] {
            assert!(mend(&io::Error::from_raw_os_error(code)).contains(part), "{code}");
        }
        for code in [libc::ENETDOWN, libc::EPERM, libc::EINVAL] {
            assert_eq!(mend(&io::Error::from_raw_os_error(code)), "");
        }
    }
}

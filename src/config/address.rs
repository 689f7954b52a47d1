//! Where somebody listens, as it is written: hosts, ports and paths.

use std::path::PathBuf;

use super::hints;

/// Where somebody listens, or is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a name or an address, without brackets, and a port.
    Ip(String, u16),
    /// At a Unix socket.
    Path(PathBuf),
}

/// Reads a host, whose address may stand in brackets, as in a URL.
pub(super) fn host(text: &str) -> Result<String, String> {
    if let Some(mend) = hints::host(text) {
        return Err(mend);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    Ok(bare.filter(|bare| bare.contains(':')).unwrap_or(text).to_owned())
}

/// Reads an address as HOST:PORT or, with a slash in it, as a path.
pub(super) fn admin_address(text: &str) -> Result<Place, String> {
    if let Some(mend) = hints::without_scheme(text) {
        return Err(mend);
    }
    if text.contains('/') {
        return Ok(Place::Path(PathBuf::from(text)));
    }
    let (name, port) = text.rsplit_once(':').unwrap_or(("", ""));
    match (name, port.parse()) {
        ("", _) | (_, Err(_)) => {
            Err("give HOST:PORT, such as 127.0.0.1:9000, or the path of a Unix socket".to_owned())
        }
        (name, Ok(port)) => Ok(Place::Ip(host(name)?, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_stand_in_brackets() {
        for (text, expected) in [
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[fe80::1%eth0]", "fe80::1%eth0"),
            ("[x]", "[x]"),
            ("[::1", "[::1"),
        ] {
            assert_eq!(host(text).unwrap(), expected);
        }
        for text in ["[::1]:9000", "::1:9000"] {
            assert_eq!(admin_address(text), Ok(Place::Ip("::1".to_owned(), 9000)));
        }
    }

    #[test]
    fn the_address_for_operators_is_no_url() {
        for (text, mend) in [
            ("http://127.0.0.1:9000", "give 127.0.0.1:9000 alone, without http://"),
            ("https://[::1]:9000/status", "give [::1]:9000 alone, without https://"),
            ("unix:///run/admin", "give /run/admin alone, without unix:"),
            ("unix:/run/admin", "give /run/admin alone, without unix:"),
        ] {
            assert_eq!(admin_address(text), Err(mend.to_owned()));
        }
        assert_eq!(admin_address("http:/x"), Ok(Place::Path("http:/x".into())));
    }
}

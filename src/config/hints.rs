//! What people write by the habits of other programs (nginx, gunicorn, HAProxy, redis-server), each with what is to be written here.
//! Of what was given only ports and addresses are shown: anything else may be a secret.

use std::ffi::OsString;
use std::net::IpAddr;

use super::authority::{is_host, read_port, split_port};

/// What a habit stands for.
#[derive(Debug, Clone, Copy)]
enum Meant {
    /// A host, a port, or both.
    Address,
    /// A flag, with what stands for its value.
    Flag(&'static str),
    /// Something else, in words.
    Words(&'static str),
}

const SERVICE: &str =
    "the program stays in the foreground: let systemd, a container or a shell ('&') put it in the background";

const HABITS: &[(&[&str], Meant)] = &[
    (&["-p", "-b", "--bind", "--listen", "-l", "--address", "--addr", "-a", "-H"], Meant::Address),
    (&["--socket", "--unix", "--unix-socket", "--unixsocket"], Meant::Flag("--uds <PATH>")),
    (&["-c", "-f", "--conf", "--config-file"], Meant::Flag("--config <FILE>")),
    (&["-w"], Meant::Flag("--workers <N>")),
    (
        &["--cert", "--certfile", "--tls-cert", "--ssl-cert", "--tls-cert-file", "--tls", "--ssl"],
        Meant::Flag("--ssl-certfile <PATH>"),
    ),
    (
        &["--key", "--keyfile", "--tls-key", "--ssl-key", "--tls-key-file"],
        Meant::Flag("--ssl-keyfile <PATH>"),
    ),
    (&["-v", "--verbose", "--debug"], Meant::Flag("--log-level debug")),
    (&["-q", "--quiet", "--silent"], Meant::Flag("--log-level warning")),
    (&["-d", "-D", "--daemon", "--daemonize"], Meant::Words(SERVICE)),
    (&["-t"], Meant::Words("to have the configuration looked at: slackwater check")),
    (
        &["-s"],
        Meant::Words(
            "to have a newer program or configuration take over: kill -HUP the process; to have it leave: kill it",
        ),
    ),
    (&["--threads"], Meant::Words("each process has one thread: give '--workers <N>' for several processes")),
];

/// What people write behind a flag that switches something on; a number may be a port.
const TRUTHS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

/// What to say about an argument that `clap` does not know, if it is a habit.
pub(super) fn explain(unknown: &str, args: &[OsString]) -> Option<String> {
    let name = unknown.split('=').next().unwrap_or(unknown);
    if TRUTHS.contains(&name.to_ascii_lowercase().as_str()) {
        return Some(format!(
            "'{name}' stands behind no flag that takes it: what switches something on takes it behind '=', as --park={name}"
        ));
    }
    if !name.starts_with('-') {
        return flags(name).map(|flags| format!("'{name}' stands behind no flag: give {flags}"));
    }
    let (_, meant) = HABITS.iter().find(|(names, _)| names.contains(&name))?;
    let mend = match meant {
        Meant::Flag(flag) => format!("give '{flag}'"),
        Meant::Words(words) => (*words).to_owned(),
        Meant::Address => {
            let unnamed =
                if name == "-p" { "'--port <PORT>'" } else { "'--host <HOST>' and '--port <PORT>'" };
            let unnamed = if name == "-H" { "'--host <HOST>'" } else { unnamed };
            format!(
                "give {}",
                value(name, args).and_then(|value| flags(&value)).unwrap_or_else(|| unnamed.to_owned())
            )
        }
    };
    Some(format!("there is no flag '{name}': {mend}"))
}

/// The keys of a configuration file that are meant by this one, if it is a habit.
pub(super) fn keys(key: &str) -> Option<String> {
    let flag = format!("--{key}");
    let (_, meant) = HABITS.iter().find(|(names, _)| names.contains(&flag.as_str()))?;
    match meant {
        Meant::Address => Some("host and port".to_owned()),
        Meant::Flag(flag) => {
            flag.split([' ', '=']).next().map(|flag| flag.trim_start_matches('-').to_owned())
        }
        Meant::Words(_) => None,
    }
}

/// What the address of a door is to be given as, if a URL stands in its place.
pub(super) fn without_scheme(text: &str) -> Option<String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Some(format!("give {path} alone, without unix:"));
    }
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split('/').next().filter(|it| !it.is_empty()).unwrap_or("HOST:PORT");
    Some(format!("give {authority} alone, without {scheme}://"))
}

/// What a host is to be given as, if something else stands in its place.
pub(super) fn host(text: &str) -> Option<String> {
    let bare = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    if text.is_empty() {
        return Some("give a name or an address, such as 127.0.0.1, or 0.0.0.0 or :: for all".to_owned());
    }
    if text.starts_with('/') || text.starts_with("unix:") {
        return Some("a path is given with '--uds <PATH>'".to_owned());
    }
    if text == "*" {
        return Some("give 0.0.0.0 for all addresses of IPv4, or :: for all".to_owned());
    }
    let Some((host, port)) = address(bare.unwrap_or(text)) else {
        return bare.map(|_| "give a name or an address alone, and no URL".to_owned());
    };
    match port {
        None if bare.is_some() && !host.is_empty() => {
            Some(format!("give a name or an address alone, {host}"))
        }
        Some(port) if host.is_empty() => Some(format!("give a port with '--port {port}'")),
        Some(port) => Some(format!("give a port with a flag of its own: '--host {host} --port {port}'")),
        None => None,
    }
}

/// The value that this flag was given.
fn value(name: &str, args: &[OsString]) -> Option<String> {
    let texts: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let place = texts.iter().position(|text| text.starts_with(name))?;
    let rest = texts[place].strip_prefix(name)?;
    let value = if rest.is_empty() { *texts.get(place + 1)? } else { rest.trim_start_matches('=') };
    Some(value.to_owned())
}

/// The flags by which an address is given, if it is one, or a part of it.
fn flags(text: &str) -> Option<String> {
    let text =
        ["http://", "https://", "tcp://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    if read_port(text).is_some() {
        return Some(format!("'--port {text}'"));
    }
    match address(text.trim_end_matches('/'))? {
        ("", Some(port)) => Some(format!("'--port {port}'")),
        ("", None) => None,
        (host, Some(port)) => Some(format!("'--host {host} --port {port}'")),
        (host, None) => Some(format!("'--host {host}'")),
    }
}

/// Whether it names a server, and can be nothing else.
pub(super) fn is_address(text: &str) -> bool {
    flags(text).is_some()
}

/// A host and a port, if that can be nothing else: addresses, names with a dot, and this machine's.
fn address(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        Some(port) => Some(read_port(port)?),
        None => None,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name =
        host.is_empty() || host == "localhost" || host == "*" || host.contains('.') && is_host(host);
    let is_address = bare.is_some_and(|bare| bare.parse::<IpAddr>().is_ok());
    let host = if host == "*" { "0.0.0.0" } else { bare.filter(|_| is_address).unwrap_or(host) };
    (is_name || is_address).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn said(line: &str) -> String {
        let args = ["slackwater"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        Config::read(args).unwrap_err().to_string()
    }

    #[test]
    fn a_habit_of_another_program_is_answered_with_the_flag_to_use() {
        for (line, expected) in [
            ("-p 8080", "there is no flag '-p': give '--port 8080'"),
            ("-p8080", "give '--port 8080'"),
            ("-p=8080", "give '--port 8080'"),
            ("-p sekrit", "give '--port <PORT>'"),
            ("-H 0.0.0.0", "give '--host 0.0.0.0'"),
            ("-b 0.0.0.0:8080", "give '--host 0.0.0.0 --port 8080'"),
            ("--bind=:8080", "give '--port 8080'"),
            ("--listen [::1]:8080", "give '--host ::1 --port 8080'"),
            ("--listen *:8080", "give '--host 0.0.0.0 --port 8080'"),
            ("--addr sekrit", "give '--host <HOST>' and '--port <PORT>'"),
            ("--address example.com", "give '--host example.com'"),
            ("8080", "'8080' stands behind no flag: give '--port 8080'"),
            (":8080", "give '--port 8080'"),
            ("localhost:8080", "give '--host localhost --port 8080'"),
            ("0.0.0.0", "give '--host 0.0.0.0'"),
            ("--cert x.pem", "'--cert': give '--ssl-certfile <PATH>'"),
            ("--tls-cert=x.pem", "give '--ssl-certfile <PATH>'"),
            ("--key x.pem", "give '--ssl-keyfile <PATH>'"),
            ("--socket /run/x", "give '--uds <PATH>'"),
            ("-c x.toml", "give '--config <FILE>'"),
            ("--conf x.toml", "give '--config <FILE>'"),
            ("-v", "give '--log-level debug'"),
            ("-vv", "give '--log-level debug'"),
            ("--verbose", "give '--log-level debug'"),
            ("-q", "give '--log-level warning'"),
            ("-d", "stays in the foreground"),
            ("--daemon", "stays in the foreground"),
            ("-t", "slackwater check"),
        ] {
            let said = said(line);
            assert!(said.contains(expected) && said.lines().count() == 1, "{line}: {said}");
            assert!(!said.contains("sekrit"), "{said}");
        }
    }

    #[test]
    fn a_host_is_given_without_its_port_and_without_a_scheme() {
        for (text, expected) in [
            ("localhost:8080", "'--host localhost --port 8080'"),
            ("[::1]:8080", "'--host ::1 --port 8080'"),
            ("http://localhost", "give a name or an address alone, localhost"),
            ("https://example.com:8443/", "'--host example.com --port 8443'"),
            (":8080", "'--port 8080'"),
            ("/run/x.sock", "'--uds <PATH>'"),
            ("unix:x.sock", "'--uds <PATH>'"),
            ("*", "0.0.0.0"),
            ("http://x/", "give a name or an address alone, and no URL"),
            ("http://x:8080/", "give a name or an address alone, and no URL"),
            ("redis://x", "give a name or an address alone, and no URL"),
        ] {
            let said = said(&format!("--host {text}"));
            assert!(said.contains(expected), "{text}: {said}");
        }
        for text in ["localhost", "::1", "[::1]", "0.0.0.0", "example.com", "fe80::1%eth0"] {
            assert_eq!(host(text), None, "{text}");
        }
        assert!(host("").is_some_and(|mend| mend.starts_with("give a name or an address, such as")));
    }
}

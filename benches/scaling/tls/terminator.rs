//! Proxies that end TLS in front of a server that speaks none: nginx and HAProxy, where they are installed.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use super::credentials::{Credentials, KeyKind};
use crate::common::machine::Cores;
use crate::common::program::Program;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminator {
    Nginx,
    Haproxy,
}

impl Terminator {
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Haproxy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// As it calls itself; none, where it is not installed.
    pub fn version(self) -> Option<String> {
        let said = Command::new(self.command()).arg("-v").stdin(Stdio::null()).output().ok()?;
        let said = [said.stdout, said.stderr].concat();
        let line = String::from_utf8_lossy(&said).lines().next()?.to_owned();
        let number =
            line.split([' ', '/', '-']).find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(format!("{} {number}", self.name()))
    }

    /// In front of this server, for so many clients; it shares the server's core.
    pub fn start(
        self,
        server: SocketAddr,
        clients: usize,
        credentials: &Credentials,
        cores: Option<Cores>,
    ) -> Program {
        let address = free_address().expect("there is a port left");
        // Each client is a connection to both sides. nginx cuts those that are silent when few more are allowed.
        let connections = 3 * clients + 1_000;
        let folder = credentials.folder().join(format!("{}-{}", self.command(), address.port()));
        fs::create_dir(&folder).expect("there can be a directory");
        let text = match self {
            Self::Nginx => nginx(address, server, connections, credentials, &folder),
            Self::Haproxy => haproxy(address, server, connections, credentials),
        };
        let file = folder.join("configuration");
        fs::write(&file, text).expect("a file can be written");
        let (file, folder) = (file.display().to_string(), folder.display().to_string());
        let args = match self {
            Self::Nginx => vec!["-c", &file, "-p", &folder, "-e", "stderr"],
            Self::Haproxy => vec!["-db", "-f", &file],
        };
        Program::at(address, cores, self.command(), args)
    }
}

/// One that was free a moment ago: neither of them chooses one by itself.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// What docs/proxies.md advises, without what forwards addresses: there are connections that are kept for publications.
fn nginx(
    address: SocketAddr,
    server: SocketAddr,
    connections: usize,
    credentials: &Credentials,
    folder: &Path,
) -> String {
    let (certificate, key) = (credentials.certificate(KeyKind::P256), credentials.key(KeyKind::P256));
    let (certificate, key, folder) = (certificate.display(), key.display(), folder.display());
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile {connections};
pid {folder}/pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream slackwater {{
        server {server};
        keepalive 4;
    }}
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    server {{
        listen {address} ssl backlog=1024;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        keepalive_requests 1000000;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 1h;
        proxy_send_timeout 1h;
        location / {{
            proxy_pass http://slackwater;
        }}
    }}
}}
"
    )
}

fn haproxy(address: SocketAddr, server: SocketAddr, connections: usize, credentials: &Credentials) -> String {
    let both = credentials.both(KeyKind::P256);
    format!(
        "global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend clients
    bind {address} ssl crt {both} alpn http/1.1 backlog 1024
    default_backend slackwater
backend slackwater
    server one {server}
",
        both = both.display()
    )
}

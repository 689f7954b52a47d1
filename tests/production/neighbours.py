"""Runs the programs that stand around a server in production, with the files of packaging/: on free ports, everything
they write in a folder of the test's, ended by their pid."""
import os
import re
import signal
import subprocess
from pathlib import Path

from programs import PATIENCE, Program, free_port

PACKAGING = Path(os.environ["PACKAGING"])
README = PACKAGING.parent / "README.md"
DOCS = PACKAGING.parent / "docs"

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/slackwater.conf;
}}
"""


def quoted(language):
    """What the guide to proxies shows in this language, to be pasted."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / "proxies.md").read_text(), re.MULTILINE | re.DOTALL)
    return text


def adapted(text, changes):
    """A file of packaging/, or what is pasted instead, with other ports and times. Each text that is replaced must stand
    in it."""
    for old, new in changes.items():
        text, count = re.subn(rf"{re.escape(old)}(?![0-9])", lambda _: new, text)
        assert count, f"{old!r} does not stand in {text}"
    return text


class Neighbour(Program):
    """A program that is told to leave in the end. `with Neighbour(port, folder, *command) as it: ...`"""

    def __init__(self, port, folder, *command):
        super().__init__(port, folder)
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}/ws"
        self.run(*command)

    def end(self):
        # For a quick end: HAProxy and nginx let go of their clients at once.
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def __exit__(self, *_):
        self.end()


def nginx(folder, changes, text=None, port=None):
    """nginx with packaging/nginx.conf, or with this text."""
    folder.mkdir(parents=True)
    port = port or free_port()
    text = adapted(text or (PACKAGING / "nginx.conf").read_text(), {
        "listen 80;": f"listen 127.0.0.1:{port};", "/var/log/nginx": str(folder), **changes})
    (folder / "slackwater.conf").write_text(text)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    # It speaks to standard error before it has read where else.
    return Neighbour(port, folder, "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")


def haproxy(folder, changes, text=None):
    """HAProxy with packaging/haproxy.cfg, or with this text."""
    folder.mkdir(parents=True)
    port = free_port()
    text = adapted(text or (PACKAGING / "haproxy.cfg").read_text(), {"bind :80": f"bind 127.0.0.1:{port}", **changes})
    (folder / "haproxy.cfg").write_text(text)
    return Neighbour(port, folder, "haproxy", "-db", "-f", str(folder / "haproxy.cfg"))


def caddy(folder, changes, text=None):
    """Caddy with packaging/Caddyfile, or with this text: without TLS, for which it would ask an authority."""
    folder.mkdir(parents=True)
    port = free_port()
    text = adapted(text or (PACKAGING / "Caddyfile").read_text(), {
        "events.example.com {": f"http://:{port} {{\n\tbind 127.0.0.1", **changes})
    (folder / "Caddyfile").write_text("{\n\tauto_https off\n\tadmin off\n\tgrace_period 1s\n}\n" + text)
    # What it keeps, it keeps there.
    return Neighbour(port, folder, "env", f"HOME={folder}", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}",
                     "caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))


def prometheus(folder, *targets):
    """Prometheus with packaging/prometheus-alerts.yml, that asks these often."""
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "prometheus.yml").write_text(f"""
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}
rule_files: [{PACKAGING}/prometheus-alerts.yml]
scrape_configs:
  - job_name: slackwater
    static_configs: [{{ targets: {list(targets)} }}]
""")
    return Neighbour(port, folder, "prometheus", f"--config.file={folder}/prometheus.yml",
                     f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}")

"""What the guides say of all this is what is in packaging/, at /metrics and in --help."""
import json
import os
import re
import subprocess
import urllib.request

import pytest

from client import connected
from neighbours import DOCS, PACKAGING
from slackwater import Slackwater

PROXIES, MONITORING, FLAGS = [(DOCS / name).read_text() for name in ("proxies.md", "monitoring.md", "flags.md")]


@pytest.mark.parametrize("name, language", [("nginx.conf", "nginx"), ("haproxy.cfg", "haproxy"), ("Caddyfile", "caddy")])
def test_the_guide_quotes_the_file_without_its_comments(name, language):
    lines = [line for line in (PACKAGING / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    assert f"```{language}\n" + "\n".join(lines).strip() + "\n```\n" in PROXIES


def test_the_guide_names_every_metric_with_its_type():
    with Slackwater() as server:
        text = urllib.request.urlopen(f"{server.http}/metrics").read().decode()
    rows = {name: row for row in MONITORING.splitlines() if row.startswith("| `")
            for name in re.findall(r"`((?:slackwater|process)_\w+)`", row)}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        assert f"| {kind} |" in rows.get(name, "not there"), name


def shape(value):
    """What a value has, and not what it says: the fields of objects, and those of each entry of a list."""
    match value:
        case dict():
            return {(key, *rest) for key, inner in value.items() for rest in shape(inner) or [()]}
        case list():
            return {path for inner in value for path in shape(inner)}
    return set()


def test_the_guide_shows_the_status_as_it_is():
    [shown] = [json.loads(text) for text in re.findall(r'^```json\n(\{"status".*?)^```$', MONITORING, re.MULTILINE | re.DOTALL)]
    with Slackwater() as server, connected(server.ws, 1):
        told = json.load(urllib.request.urlopen(f"{server.http}/status"))
    assert shape(shown) <= shape(told)


def flags_of_help():
    """The rows that docs/flags.md needs by what `--help` says, each as the heading that it stands below and how it begins."""
    told = subprocess.run([os.environ["SLACKWATER_BIN"], "--help"], capture_output=True, text=True, check=True).stdout
    for heading, flags in re.findall(r"^(\w.*):\n((?:(?: .*)?\n)+)", told, re.MULTILINE):
        for said in re.split(r"^ {2,6}(?:-\w, )?(?=--)", flags, flags=re.MULTILINE)[1:]:
            flag = re.sub(r"[<>]", "", said.partition("\n")[0].strip())
            if variable := re.search(r"^ +\[env: (\w+)=?.*\]\n(?: +\[default: (.*)\]\n)?", said, re.MULTILINE):
                default = f" `{variable[2]}` |" if variable[2] else ""
                yield f"## {heading}", f"| `{flag}` | `{variable[1]}` |{default}"


def test_the_guide_has_a_row_for_every_flag_and_none_for_others():
    rows = [(section.partition("\n")[0], row) for section in re.split(r"^(?=## )", FLAGS, flags=re.MULTILINE)
            for row in re.findall(r"^\| `--.*$", section, re.MULTILINE)]
    wanted = list(flags_of_help())
    assert wanted
    for heading, beginning in wanted:
        assert any(at == heading and row.startswith(beginning) for at, row in rows), (
            f"write into docs/flags.md, below {heading!r}, what the flag sets:\n{beginning} …")
    for heading, row in rows:
        assert any(at == heading and row.startswith(beginning) for at, beginning in wanted), (
            f"take out of docs/flags.md, below {heading!r}, what --help does not have:\n{row}")
        assert len(row.rsplit(" | ", 1)[1]) > len("| |"), f"say in docs/flags.md what it sets:\n{row}"

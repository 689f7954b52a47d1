"""What the guides say of all this is what is in packaging/, at /metrics and in --help."""
import os
import re
import subprocess
import urllib.request

import pytest

from neighbours import DOCS, PACKAGING
from slackwater import Slackwater

OPERATING = (DOCS / "operating.md").read_text()


@pytest.mark.parametrize("name, language", [("nginx.conf", "nginx"), ("haproxy.cfg", "haproxy")])
def test_the_guide_quotes_the_file_without_its_comments(name, language):
    lines = [line for line in (PACKAGING / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    assert f"```{language}\n" + "\n".join(lines).strip() + "\n```\n" in OPERATING


def test_the_guide_names_every_metric_with_its_type():
    with Slackwater() as server:
        text = urllib.request.urlopen(f"{server.http}/metrics").read().decode()
    rows = {name: row for row in OPERATING.splitlines() if row.startswith("| `")
            for name in re.findall(r"`((?:slackwater|process)_\w+)`", row)}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        assert f"| {kind} |" in rows.get(name, "not there"), name


def test_the_guide_names_every_flag_and_no_other():
    told = subprocess.run([os.environ["SLACKWATER_BIN"], "--help"], capture_output=True, text=True, check=True).stdout
    [table] = re.findall(r"^## Flags$(.*)", (DOCS / "flags.md").read_text(), re.MULTILINE | re.DOTALL)
    named = {flag for row in table.splitlines() if row.startswith("| `--")
             for flag in re.findall(r"`(--[a-z-]+)", row.split("|")[1])}
    assert named == set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", told, re.MULTILINE))

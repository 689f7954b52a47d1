"""Every code block of the README and the guides has somebody who judges it: a block in a language without a judge fails, and so
does a command that nobody runs and nobody has given a reason for."""
import json
import os
import re
import subprocess
import tempfile
import tomllib

import pytest
import yaml

import guides
from neighbours import PACKAGING

# Who runs the blocks of a guide: the test that types them.
PLAYED = {"README.md", "clients.md", "publishing.md", "tokens.md", "operating.md", "redeploying.md", "several-machines.md"}  # test_typed.py
PLAYED |= {"internet.md", "event-streams.md"}  # test_internet.py, test_events.py
# How the commands begin that are not run, and why. They are read by the shell all the same, and their flags are looked up.
NOT_RUN = {
    "websocat ": "Debian has no websocat; what it shows is compared with what a client hears, by test_typed.py",
    "docker ": "there is no container engine where the tests run",
    "systemd-run ": "it needs systemd as the first process",
    "install target/release/slackwater ": "it would install into the machine that tests; tests/release installs the package",
    "apt install ./slackwater_": "it would install into the machine that tests; tests/release does so in a fresh Debian",
    "sha256sum ": "tests/release checks the sums of what .ci/release has built",
    "tar -xzf slackwater-": "as the line before it",
    "sudo install slackwater-": "as the line before it",
    "cargo install ": "it compiles the program once more; what it installs is what cargo build builds",
    "cargo run --release --example documents": "as the line before it; .ci/release runs the example, and tests/release judges what it writes",
    "cp packaging/slackwater.service ": "as the line before it; tests/packaging lets systemd-analyze judge the units",
    "systemctl ": "it needs systemd as the first process",
    "slackwater --engine rediss://": "the engine by TLS is tests/engine/test_tls.py",
}


def shell(text):
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, timeout=20)


def javascript(text):
    subprocess.run(["node", "--input-type=module", "--check"], input=text, text=True, check=True, timeout=20)


def console(block):
    for command, _ in block.steps():
        shell(command)
        is_left = any(command.startswith(beginning) for beginning in NOT_RUN)
        assert is_left or block.path.name in PLAYED, (
            f"nobody runs {command!r}: let a test of test_typed.py type it, and name the guide in PLAYED, or say in NOT_RUN why not")


def text_of(block):
    """What somebody sees. A message is JSON, and a line of the log looks like one."""
    for line in block.text.splitlines():
        if line.startswith(("→", "←")):
            assert "type" in json.loads(line[1:])
        elif "[" in line and line[:4].isdigit():
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(DEBUG|INFO|WARNING|ERROR)\] \w", line), line


def unit(block):
    """Each line of a drop-in is a comment, the name of a section, or a setting."""
    for line in block.text.splitlines():
        assert re.fullmatch(r"#.*|\[\w+\]|\w+=.*|", line), line


def configuration(block):
    """A file of which the server says that it would start with it."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(block.text)
        file.flush()
        told("check", "--config", file.name)


def is_run_whole(block):
    """Who runs it takes what the guide to proxies shows."""
    assert block.path.name == "proxies.md"


JUDGES = {
    "console": console,
    "sh": lambda block: shell(block.text),
    "text": text_of,
    "json": lambda block: json.loads(block.text),
    "toml": lambda block: tomllib.loads(block.text),  # Read by the server in its unit tests.
    "yaml": lambda block: list(yaml.safe_load_all(block.text)),
    "ini": unit,
    "js": lambda block: javascript(block.text),  # Those of clients and streams are run by Node and Chromium.
    "html": lambda block: [javascript(script) for script in re.findall(r"<script.*?>(.*?)</script>", block.text, re.DOTALL)],
    "python": lambda block: compile(block.text, str(block), "exec"),  # Run by test_typed.py and test_events.py.
    "toml": configuration,
    "nginx": is_run_whole,  # By nginx and by HAProxy in test_strangers.py, by Caddy in test_caddy.py.
    "haproxy": is_run_whole,
    "caddy": is_run_whole,
}


@pytest.mark.parametrize("block", guides.ALL, ids=str)
def test_every_block_is_judged(block):
    JUDGES[block.language](block)


def test_nothing_is_left_out_that_no_guide_shows():
    commands = [command for block in guides.ALL if block.language == "console" for command, _ in block.steps()]
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in commands), beginning


def told(*command):
    return subprocess.run([os.environ["SLACKWATER_BIN"], *command], capture_output=True, text=True, check=True).stdout


def test_every_flag_and_every_variable_that_the_texts_name_is_there():
    """Also in the files of packaging/; flags of others' programs stand with their program in front."""
    known = "".join(told(*command) for command in [["--help"], *(["help", name] for name in ["token", "check", "publish", "listen"])])
    flags, variables = set(re.findall(r"--[a-z][a-z-]+", known)), set(re.findall(r"SLACKWATER_[A-Z_]+", known))
    for path in [*guides.GUIDES, *(file for file in PACKAGING.iterdir() if file.is_file())]:
        text = path.read_text()
        assert set(re.findall(r"SLACKWATER_[A-Z]+(?:_[A-Z]+)*", text)) <= variables, path
        for command in re.findall(r"(?:\$ |\$\(|&& |`)slackwater((?: [^`|&\n]*(?:\\\n)?)*)", text):
            assert set(re.findall(r"--[a-z][a-z-]+", command)) <= flags, (path, command)

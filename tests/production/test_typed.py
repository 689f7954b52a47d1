"""What the README and the guides show, typed as it stands: what is seen is what they say, but for times, ids and numbers of
processes. Guides that need more than one machine with curl have a test of their own."""
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

import guides
from client import connect, connected, next_message
from guides import like
from neighbours import DOCS, README
from programs import free_port, wait_until
from slackwater import PATIENCE, Slackwater
from test_blocks import NOT_RUN
from test_internet import certify
from tokens import KEYS
from typist import Typist

# The README's is typed in the test of the guide to redeploying: it needs somebody who is connected.
HANGUP = "kill -HUP "


def console(path, *beginnings):
    """The blocks of a guide in which something is typed; those that begin so, if it is said how."""
    found = [block for block in guides.blocks(path) if block.language == "console"]
    return [block for block in found if not beginnings or block.text.startswith(tuple(f"$ {start}" for start in beginnings))]


def assert_seen(typist):
    """All that a guide shows was seen, in its order; more may have been where `…` stands, and of a server that goes on."""
    for number, (command, wanted, _) in enumerate(typist.seen):
        def lines():
            return [like(line) for line in typist.output(number)]
        expected = [like(line) for line in wanted if line != "…"]
        if (typist.folder / f"{number}.log").exists():
            wait_until(lambda: set(expected) <= set(lines()), lambda: f"{expected} of {command}:\n{typist.said()}")
        elif expected:
            assert lines() == expected, command


def test_the_readme_shows_what_is_seen(tmp_path):
    certify(tmp_path)
    changes = {"--port 443": f"--port {free_port()}", "--host 0.0.0.0": "--host 127.0.0.1"}
    with Typist(tmp_path, console(README), left_out=(*NOT_RUN, HANGUP), changes=changes) as typist:
        assert_seen(typist)
        # Nothing is dangerous about the server on a public host.
        assert not [line for line in typist.output(len(typist.seen) - 1) if "[WARNING]" in line]


def test_the_guide_to_publishing_shows_what_is_seen(tmp_path):
    with Slackwater("--notify-interval", "0") as server, connected(f"{server.ws}?topic=*", 1) as [ws]:
        with Typist(tmp_path, console(DOCS / "publishing.md"), changes={":8000": f":{server.port}"}) as typist:
            assert_seen(typist)
        [shown] = [json.loads(block.text) for block in guides.blocks(DOCS / "publishing.md") if block.language == "json"]
        next_message(ws)
        assert same_fields(next_message(ws), shown)


def same_fields(message, shown):
    """Whether a message is what a guide shows of it, in the same order; a later server may say more."""
    varies = {"id", "timestamp", "connection_id", "last_event_id"}
    return [(key, key in varies or message[key]) for key in message if key in shown] == [
        (key, key in varies or value) for key, value in shown.items()]


def test_the_guide_to_clients_shows_what_is_heard():
    [shown] = console(DOCS / "clients.md", "websocat")
    [(_, [welcome, hello, echo])] = shown.steps()
    with Slackwater("--notify-interval", "0") as server, connect(server.ws) as ws:
        assert same_fields(next_message(ws), json.loads(welcome))
        ws.send(f"{hello}\n")
        assert same_fields(next_message(ws), json.loads(echo))


def test_the_program_in_python_reconnects(tmp_path):
    # The other one, of the project's own client, is run by tests/client/python.
    [program] = [block.text for block in guides.blocks(DOCS / "clients.md")
                 if block.language == "python" and "import slackwater" not in block.text]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Slackwater("--notify-interval", "0"))
        printed = (tmp_path / "printed").open("w+")
        program = subprocess.Popen([sys.executable, "-uc", program.replace(":8000", f":{server.port}")], stdout=printed, stderr=printed,
                                   env={**os.environ, "NO_PROXY": "*"})
        stack.callback(program.wait)
        stack.callback(program.kill)

        def welcomes():
            return (tmp_path / "printed").read_text().count("'type': 'welcome'")
        wait_until(lambda: welcomes() == 1, (tmp_path / "printed").read_text)
        server.kill()
        stack.enter_context(Slackwater("--notify-interval", "0", port=server.port))
        wait_until(lambda: welcomes() == 2, (tmp_path / "printed").read_text)


def test_the_guide_to_tokens_makes_the_token_that_it_shows(tmp_path):
    blocks = [*console(DOCS / "tokens.md"), guides.Block(README, 0, "console", "$ echo $token\n")]
    with Typist(tmp_path, blocks) as typist:
        claims = typist.seen[-1][2][0].split(".")[1]
        made = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    [shown] = [json.loads(block.text) for block in guides.blocks(DOCS / "tokens.md") if block.language == "json"]
    assert made.pop("exp") and shown.pop("exp")
    assert {key: made[key] for key in shown} == shown


def test_the_guide_to_operating_shows_what_check_says(tmp_path):
    # Without those keys of the file that verify no signature here.
    keys = [key for key in json.loads((KEYS / "jwks.json").read_text())["keys"] if key.get("use") != "enc" and key.get("crv") != "X25519"]
    files = {"jwks.json": json.dumps({"keys": keys})}
    with Typist(tmp_path, console(DOCS / "operating.md"), files, NOT_RUN, env={"SLACKWATER_PORT": "8000"}) as typist:
        assert_seen(typist)


def test_the_guide_to_redeploying_shows_what_is_logged(tmp_path, monkeypatch):
    program = tmp_path / "usr/local/bin/slackwater"
    program.parent.mkdir(parents=True)
    for path in [program, tmp_path / "slackwater.new"]:
        shutil.copy(os.environ["SLACKWATER_BIN"], path)
    monkeypatch.setenv("SLACKWATER_BIN", str(program))
    texts = [block.text for path in (DOCS / "redeploying.md", README) for block in guides.blocks(path) if block.language == "text"]
    shown = [line for text in texts for line in text.splitlines() if "Z [INFO] " in line and "hand" in text and "Shutdown" not in text]
    with Slackwater("--notify-interval", "0") as server, connected(server.ws, 3):
        # Of those that are found this one: the machine may have others.
        found = f'$ pgrep() {{ command pgrep "$@" | grep -x {server.pid}; }}\n'
        typed = [guides.Block(README, 0, "console", found), *console(DOCS / "redeploying.md", "cp ")]
        with Typist(tmp_path, typed, changes={"/usr/local/bin": str(program.parent)}):
            server.pid = int(server.wait_for(r".*Handed over 3 connections to process (\d+)")[1])
        server.wait_for(r".*Serving the page", 2)
        log = {like(line).replace(f":{server.port}", ":8000").replace(str(program.parent), "/usr/local/bin") for line in server.log}
        assert shown and {like(line).removeprefix("TIME ") for line in shown} <= log


def test_the_readme_hangs_up_on_servers_and_on_no_other_command():
    [find] = {re.search(r"\$\((pgrep .*)\)", block.text)[1] for path in (README, DOCS / "redeploying.md")
              for block in console(path) if "pgrep" in block.text}
    with Slackwater() as server:
        listen = [os.environ["SLACKWATER_BIN"], "listen", "--url", server.http]
        with subprocess.Popen(listen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as listener:
            try:
                found = subprocess.run(["sh", "-c", find], capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.split()
                assert str(server.pid) in found and str(listener.pid) not in found
            finally:
                listener.kill()


def test_a_second_server_takes_over_as_the_guide_to_redeploying_has_it(tmp_path):
    with Typist(tmp_path, console(DOCS / "redeploying.md", "slackwater "), changes={"/run/slackwater": str(tmp_path)}) as typist:
        wait_until(lambda: any("Handed over 0 connections" in line for line in typist.output(0)), typist.said)


def test_the_guide_to_workers_shows_what_is_logged(tmp_path):
    with (Typist(tmp_path, console(DOCS / "several-machines.md", "slackwater --workers")) as typist,
          connected(f"ws://127.0.0.1:{typist.port}/ws", 1)):
        assert_seen(typist)


def test_the_guide_to_several_machines_shows_what_is_seen(tmp_path):
    engine, second = free_port(), free_port()
    typed = console(DOCS / "several-machines.md", "redis-server ", "curl ")
    changes = {"redis-server": f"redis-server --port {engine} --bind 127.0.0.1", "redis://127.0.0.1": f"redis://127.0.0.1:{engine}",
               "--port 8001": f"--port {second}", ":8001": f":{second}"}
    try:
        with Typist(tmp_path, typed, changes=changes, env={"SLACKWATER_NOTIFY_INTERVAL": "0"}) as typist:
            assert_seen(typist)
    finally:
        subprocess.run(["redis-cli", "-p", str(engine), "shutdown", "nosave"], check=True, timeout=PATIENCE)

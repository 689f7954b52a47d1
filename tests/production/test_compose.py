"""What packaging/compose.yaml would start, without containers: the same programs with the same configuration, on ports of this
machine, and a Redis for the Valkey."""
import contextlib
import json
import re
import shlex
import urllib.request

import pytest
import yaml

from client import connected, heard
from neighbours import PACKAGING, Neighbour, haproxy
from programs import free_port, wait_until
from slackwater import Slackwater

TOKEN = "a-token"
PASSWORD = "a-password"


@pytest.fixture
def services():
    text = (PACKAGING / "compose.yaml").read_text()
    values = {"SLACKWATER_PUBLISH_TOKEN": TOKEN, "ENGINE_PASSWORD": PASSWORD}
    return yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]*}", lambda name: values[name[1]], text))["services"]


def engine(command, folder):
    folder.mkdir()
    port = free_port()
    program, *arguments = shlex.split(command)
    assert program == "valkey-server"
    return Neighbour(port, folder, "redis-server", *arguments, "--port", str(port), "--dir", str(folder))


def machine(environment, engine, admin):
    here = {"SLACKWATER_HOST": "127.0.0.1", "SLACKWATER_ADMIN": f"127.0.0.1:{admin}",
            "SLACKWATER_ENGINE": environment["SLACKWATER_ENGINE"].replace("@engine:6379", f"@127.0.0.1:{engine.port}")}
    return Slackwater("--notify-interval=0", *(
        f"--{name.removeprefix('SLACKWATER_').lower().replace('_', '-')}={here.get(name, value)}"
        for name, value in environment.items() if name != "SLACKWATER_PORT"))


def ready(admin):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz") as answer:
        return json.loads(answer.read())


def test_what_is_published_by_the_proxy_is_heard_on_both_machines(services, tmp_path, post):
    names, admins, publishers = ["one", "two"], [free_port(), free_port()], free_port()
    with contextlib.ExitStack() as started:
        stream = started.enter_context(engine(services["engine"]["command"], tmp_path / "engine"))
        machines = [started.enter_context(machine(services[name]["environment"], stream, admin))
                    for name, admin in zip(names, admins)]
        for admin in admins:
            wait_until(lambda: ready(admin) == {"status": "ready", "engine": "up"}, lambda: f"it is {ready(admin)}")
        changes = {"bind :9000": f"bind 127.0.0.1:{publishers}"}
        for name, server, admin in zip(names, machines, admins):
            changes[f"{name}:8000 port 9000"] = f"127.0.0.1:{server.port} port {admin}"
            changes[f"{name}:9000"] = f"127.0.0.1:{admin}"
        text = (PACKAGING / "haproxy-engine.cfg").read_text().replace("bind :8000", "bind :80")
        proxy = started.enter_context(haproxy(tmp_path / "haproxy", changes, text))
        # Each newcomer to the machine that has fewest.
        clients = started.enter_context(connected(proxy.ws, 2))
        for server in machines:
            server.wait_for(r"\[INFO\] Client connected. Total connections: 1")
        ids = [post(publishers, number, TOKEN)[1]["id"] for number in range(4)]
        assert [heard(client, 4) for client in clients] == [[0, 1, 2, 3]] * 2 and ids == sorted(ids)
        assert post(publishers, "x")[0] == 401 and post(publishers, "x", TOKEN, "/drain")[0] == 404


def test_a_machine_is_not_stopped_before_its_drain_is_over(services):
    for name in ("one", "two"):
        environment = services[name]["environment"]
        drain = sum(float(environment[f"SLACKWATER_{part}"]) for part in ("DRAIN_DELAY", "TIMEOUT_GRACEFUL_SHUTDOWN"))
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= drain + 2

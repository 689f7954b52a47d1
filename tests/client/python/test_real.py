"""The client and the real server: at a redeploy, a crash and a hand-over, with tokens, and when it reads too slowly."""
import asyncio
import functools
import os
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

import slackwater
from server import PATIENCE, Slackwater
from slackwater import Refused, Stopped
from world import told

SECRET = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[3]


def in_real_time(story):
    """Runs it to its end, in bounded time and with nothing left behind."""
    @functools.wraps(story)
    def run(*arguments, **named):
        wrongs = []

        async def watched():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: wrongs.append(context))
            async with asyncio.timeout(2 * PATIENCE):
                await story(*arguments, **named)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(watched())
        assert not wrongs, wrongs
    return run


def client(server, *topics, **options):
    return slackwater.connect(server.ws, **{"topics": topics or ["tides"], "proxy": None, **options})


async def heard(client, count):
    return [(await anext(client))["data"] for _ in range(count)]


def granting(subscribe=(), publish=(), lasts=600, **claims):
    rights = {"subscribe": list(subscribe), "publish": list(publish)}
    return jwt.encode({"sub": "ada", "exp": time.time() + lasts, "slackwater": rights, **claims}, SECRET, algorithm="HS256")


@in_real_time
async def test_at_a_redeploy_it_moves_and_hears_everything_once_and_in_order(tmp_path):
    flags = ("--state-file", str(tmp_path / "state"), "--drain-spread", "0")
    with Slackwater(*flags) as old:
        async with client(old) as hearing:
            old.publish("tides", 1, 2)
            assert await heard(hearing, 2) == [1, 2]
            old.signal()
            old.wait_for(r"\[INFO\] Waiting for 1 connections")
            with Slackwater(*flags, port=old.port) as new:
                new.publish("tides", 3, 4)
                kinds = []
                while "moved" not in kinds:
                    kinds.append((await hearing.receive())["type"])
                assert "reconnecting" not in kinds and "gap" not in kinds
                new.publish("tides", 5)
                assert await heard(hearing, 3) == [3, 4, 5]
                assert await asyncio.to_thread(old.exit_code) == 0


@in_real_time
async def test_a_cut_connection_is_resumed_and_a_restart_with_state_as_well(tmp_path):
    flags = ("--state-file", str(tmp_path / "state"), "--no-drain-notice", "--timeout-graceful-shutdown", "0.1")
    with Slackwater(*flags) as old:
        async with client(old) as hearing:
            old.publish("tides", 1)
            assert await heard(hearing, 1) == [1]
            old.signal()
            await asyncio.to_thread(old.exit_code)
            with Slackwater(*flags, port=old.port) as new:
                new.publish("tides", 2)
                assert await told(hearing, "resumed")
                assert await heard(hearing, 1) == [2]


@in_real_time
async def test_after_a_crash_a_gap_is_told(tmp_path):
    with Slackwater() as old:
        async with client(old) as hearing:
            [last] = old.publish("tides", 1)
            assert await heard(hearing, 1) == [1]
            old.kill()
            with Slackwater(port=old.port) as new:
                assert (await told(hearing, "gap"))["from"] == last
                new.publish("tides", 2)
                assert await heard(hearing, 1) == [2]


@in_real_time
async def test_a_hand_over_goes_unnoticed():
    with Slackwater() as server:
        async with client(server) as hearing:
            welcome = await hearing.receive()
            assert await asyncio.to_thread(server.hand_over) == 0
            server.publish("tides", 1)
            assert (welcome["type"], (await hearing.receive())["type"]) == ("welcome", "notification")


@in_real_time
async def test_topics_are_added_and_taken_away_and_nonsense_is_refused():
    with Slackwater() as server:
        async with client(server) as hearing:
            await hearing.subscribe("orders/*")
            await hearing.unsubscribe("tides")
            with pytest.raises(Refused, match="bad_topic"):
                await hearing.subscribe("no topic")
            server.publish("tides", 1)
            server.publish("orders/7", 2)
            assert (await heard(hearing, 1), hearing.topics) == ([2], ["orders/*"])


@in_real_time
async def test_whoever_may_publish_does_and_hears_the_id():
    with Slackwater("--auth-secret", SECRET) as server:
        async with client(server, token=granting(["tides"], ["tides"])) as both:
            id = await both.publish("tides", {"ö": [1, None]}, id="mine")
            assert await both.publish("tides", {"ö": [1, None]}, id="mine") == id
            notification = await anext(both)
            assert (notification["id"], notification["topic"], notification["data"]) == (id, "tides", {"ö": [1, None]})
            with pytest.raises(Refused, match="forbidden"):
                await both.publish("orders", 1)
            with pytest.raises(Refused, match="forbidden"):
                await both.subscribe("orders")
            with pytest.raises(Refused, match="too_large"):
                await both.publish("tides", "x" * 100_000)
            with pytest.raises(Stopped, match="1009"):
                await anext(both)


@pytest.mark.parametrize("token, stopped", [
    (None, "401: a token is needed"), ("a.b.c", "401: "), (granting(["orders"]), "403: ")])
@in_real_time
async def test_whoever_may_not_hear_it_is_told_why_at_once(token, stopped):
    with Slackwater("--auth-secret", SECRET) as server:
        with pytest.raises(Stopped, match=stopped):
            async with client(server, token=token):
                pass


@in_real_time
async def test_a_token_is_refreshed_on_the_open_connection_in_time():
    async def get_token():
        given.append(granting(["tides"], lasts=3 if len(given) == 0 else 600))
        return given[-1]

    given = []
    with Slackwater("--auth-secret", SECRET) as server:
        async with client(server, get_token=get_token) as hearing:
            welcome = await hearing.receive()
            while len(given) < 2:
                await asyncio.sleep(0.05)
            await hearing.unsubscribe("orders")  # Answered behind the refresh.
            server.publish("tides", 1)
            assert [(await hearing.receive())["type"], welcome["type"], len(given)] == ["notification", "welcome", 2]


@in_real_time
async def test_a_string_that_expires_stops_the_client():
    with Slackwater("--auth-secret", SECRET) as server:
        async with client(server, token=granting(["tides"], lasts=1)) as hearing:
            with pytest.raises(Stopped, match="4004"):
                await anext(hearing)


@in_real_time
async def test_over_tls_it_hears_whom_its_context_trusts(tmp_path):
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=tides", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    with Slackwater("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)) as server:
        assert server.ws.startswith("wss:")
        async with client(server, ssl=ssl.create_default_context(cafile=certificate)) as hearing:
            await hearing.subscribe("orders")
            assert hearing.topics == ["tides", "orders"]


@in_real_time
async def test_one_connection_too_many_waits_until_there_is_room():
    with Slackwater("--limit-per-ip", "1") as server:
        first = client(server)
        await first.__aenter__()
        second = asyncio.create_task(client(server).__aenter__())
        await asyncio.sleep(0.2)
        assert not second.done()
        await first.__aexit__()
        await (await second).__aexit__()


@in_real_time
async def test_whoever_reads_too_slowly_is_cut_off_and_hears_everything_all_the_same():
    # 44 MB: more than sockets hold.
    with Slackwater("--write-timeout", "0.5", "--history-size", "4000", "--history-bytes", "200000000") as server:
        async with client(server, max_queue=5, compression=None) as hearing:
            for start in range(0, 2200, 10):
                await asyncio.to_thread(server.publish, "tides", *([n, "x" * 20_000] for n in range(start, start + 10)))
            await asyncio.to_thread(server.wait_for, r"\[INFO\] Client disconnected")
            messages = [await hearing.receive()]
            while sum(message["type"] == "notification" for message in messages) < 2200:
                messages.append(await hearing.receive())
        assert [message["data"][0] for message in messages if message["type"] == "notification"] == list(range(2200))
        assert "reconnecting" in [message["type"] for message in messages]
        assert "gap" not in [message["type"] for message in messages]


def programs(path):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / path).read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "import slackwater" in block]


@pytest.mark.parametrize("path, rows", [
    ("client/python/README.md", [("tides", ["tides 1"]), ("tides", ["heard 1"]), (None, ["published ", "heard {'metres': 3.2}"])]),
    ("docs/clients.md", [("notifications", ["notifications 1"])])])
@in_real_time
async def test_the_programs_of_the_guides_do_what_they_say(path, rows, tmp_path):
    (tmp_path / "token").write_text(granting(["tides"], ["tides"]) + "\n")
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    for program, (topic, said) in zip(programs(path), rows, strict=True):
        with Slackwater(*(() if topic else ("--auth-secret", SECRET))) as server:
            program = re.sub(r"(localhost|127\.0\.0\.1):8000", f"127.0.0.1:{server.port}", program)
            process = subprocess.Popen([sys.executable, "-u", "-X", "dev", "-c", program], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=environment)
            try:
                if topic:
                    while await asyncio.to_thread(server.connections) == 0:
                        await asyncio.sleep(0.02)
                    server.publish(topic, 1)
                for words in said:
                    assert (await asyncio.to_thread(process.stdout.readline)).startswith(words)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()

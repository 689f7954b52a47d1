"""docs/asyncapi.yaml beside what the server sends: all that it can say is brought about, and every message has to be one that stands there,
with no field that does not; and nothing stands there that it does not say."""
import contextlib
import json
import os

import pytest
import requests
from jsonschema import Draft7Validator

from client import connect
from engines import engine, flush
from messages import ASYNCAPI, COMMANDS, Judge, validator
from slackwater import PATIENCE, Slackwater
from streams import address, by_httpx
from tokens import BY_SECRET, bearer, granting

TOKENS = ("--notify-interval", "0.2", "--max-publish-size", "1000", *BY_SECRET)


class Listener:
    """A client on a WebSocket. All that it hears is judged, and what it says is a command of the document."""

    def __init__(self, ws, judge):
        self.ws, self.judge = ws, judge

    def hear(self, name, **fields):
        """The next message of that name with these values; others are judged, too."""
        while True:
            message = json.loads(self.ws.recv(timeout=PATIENCE))
            if self.judge.take(message) == name and fields.items() <= message.items():
                return message

    def say(self, kind, **fields):
        command = {"type": kind, **fields}
        assert validator(kind, strict=True).is_valid(command), command
        self.ws.send(json.dumps(command))

    def is_refused(self, code, said, **fields):
        self.ws.send(json.dumps(said))
        assert self.hear("error", code=code, **fields)


@contextlib.contextmanager
def listening(judge, url, **options):
    with connect(url, **options) as ws:
        listener = Listener(ws, judge)
        assert judge.take(json.loads(ws.recv(timeout=PATIENCE))) == "welcome"
        yield listener


def test_everything_that_is_said_on_a_websocket_is_in_the_document_and_nothing_else(tmp_path):
    judge = Judge("websocket")
    rights = ["chat/*", "notifications"]
    token = granting(*rights, publish=["chat/*"])
    with Slackwater(*TOKENS, "--ws-ping-interval", "0") as server:
        with listening(judge, f"{server.ws}?topic=chat/7&topic=notifications", **bearer(token)) as it:
            it.hear("periodic")
            it.ws.send("hello")
            it.hear("echo")
            it.say("subscribe", topic="chat/*")
            it.hear("subscribed", topic="chat/*")
            it.say("unsubscribe", topic="chat/*")
            it.hear("unsubscribed", topic="chat/*")
            for ref in (1, "one"):
                it.say("publish", topic="chat/7", data={"text": ["hi", None]}, id="m-1", ref=ref)
                it.hear("published", ref=ref)
            it.say("publish", topic="chat/7", data=None)
            it.hear("publication", data=None)
            it.is_refused("bad_message", {"type": "dance"}, command="other")
            it.is_refused("bad_message", {"type": "unsubscribe"}, command="unsubscribe")
            it.is_refused("bad_topic", {"type": "subscribe", "topic": "a b"}, command="subscribe", topic="a b")
            it.is_refused("forbidden", {"type": "subscribe", "topic": "secrets"}, topic="secrets")
            it.is_refused("id_conflict", {"type": "publish", "topic": "chat/7", "data": 2, "id": "m-1", "ref": 7}, ref=7)
            it.is_refused("too_large", {"type": "publish", "topic": "chat/7", "data": "x" * 1000})
            it.is_refused("bad_token", {"type": "refresh", "token": "x"}, command="refresh")
            for number in range(130):
                it.ws.send(json.dumps({"type": "subscribe", "topic": f"chat/{number}"}))
            it.hear("error", code="too_many_topics")
            # Without what it does not grant any longer.
            it.say("refresh", token=granting("chat/*", publish=["chat/*"]))
            it.hear("unsubscribed", topic="notifications")
            it.hear("refreshed")
            server.signal()
            it.hear("reconnect", reason="server_restart")
            it.is_refused("restarting", {"type": "publish", "topic": "chat/7", "data": 3})
    with Slackwater(*TOKENS, "--max-connection-age", "1", "--drain-spread", "0") as server, listening(judge, server.ws, **bearer(token)) as it:
        it.hear("reconnect", reason="connection_age")
    with engine(tmp_path) as redis, Slackwater(*TOKENS, "--engine", f"redis://127.0.0.1:{redis.port}") as server:
        server.wait_for(r"\[INFO\] .*engine")
        with listening(judge, f"{server.ws}?topic=chat/7", **bearer(token)) as it:
            it.say("publish", topic="chat/7", data=1)
            it.hear("publication")
            flush(redis)
            it.hear("gap")
            redis.kill()
            it.is_refused("engine_unavailable", {"type": "publish", "topic": "chat/7", "data": 3})
    assert list(judge.unseen()) == []


EVENTS = {"publication": "message", "periodic": "message", "reconnect": "reconnect", "gap": "gap"}


def test_everything_that_is_said_on_an_event_stream_is_in_the_document_and_nothing_else():
    judge = Judge("stream")
    for flags in [("--max-connection-age", "1"), ()]:
        with Slackwater("--notify-interval", "0.2", "--drain-spread", "0", *flags) as server:
            with by_httpx(address(server, "chat/7", "notifications", after="0000000e-7")) as said:
                # What has no data says where to go on, and when.
                events = (event for event in said if event.data)
                requests.post(f"{server.http}/publish?topic=chat/7", "hello", timeout=PATIENCE)
                heard = [judge_event(judge, next(events))]
                if not flags:
                    server.signal()
                heard += [judge_event(judge, event) for event in events]
            assert heard[-1] == "reconnect"
    # The id of the event itself says that.
    assert set(judge.unseen()) == {("reconnect", "last_event_id"), ("gap", "last_event_id")}


def judge_event(judge, event):
    message = json.loads(event.data)
    name = judge.take(message)
    assert (event.event, event.id) == (EVENTS[name], message.get("id", event.id))
    return name


def test_the_document_is_one_of_asyncapi():
    """By the schema of its authors."""
    schema = json.loads(open(os.environ["ASYNCAPI_SCHEMA"]).read())
    errors = sorted(Draft7Validator(schema).iter_errors(ASYNCAPI), key=lambda error: list(error.path))
    assert [f"{list(error.path)}: {error.message[:300]}" for error in errors] == []


def test_every_message_of_the_document_is_of_a_channel_and_of_an_operation():
    told = {ref["$ref"].split("/")[-1] for operation in ASYNCAPI["operations"].values()
            for ref in [*operation["messages"], *operation.get("reply", {}).get("messages", [])]}
    said = {name for channel in ASYNCAPI["channels"].values() for name in channel["messages"]}
    assert told == said == set(ASYNCAPI["components"]["messages"])
    assert COMMANDS <= said


@pytest.mark.parametrize("name", sorted(ASYNCAPI["components"]["messages"]))
def test_a_message_may_have_more_fields(name):
    assert "additionalProperties" not in ASYNCAPI["components"]["messages"][name]["payload"]

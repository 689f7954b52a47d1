"""docs/protocol.md beside what the server does: each message has the fields that stand there, in their order, and may have more."""
import json
import re

import guides
from client import connect, hear
from neighbours import DOCS
from slackwater import PATIENCE, Slackwater
from tokens import BY_SECRET, bearer, granting

PROTOCOL = (DOCS / "protocol.md").read_text()
# It takes an engine that loses what it had: tests/engine.
UNSEEN = {"gap"}


def shown():
    """Each message of the page, with null for what is not spelt out."""
    for text in re.findall(r'`(\{"type":.*?\})`', PROTOCOL):
        yield json.loads(re.sub(r":[T…](?=[,}])", ":null", text))


def heard():
    """One message of each type, and both kinds of `notification`."""
    rights = ["orders/*", "notifications", "chat/7"]
    with Slackwater("--notify-interval", "0.2", *BY_SECRET) as server:
        with connect(f"{server.ws}?topic=orders/*&topic=notifications", **bearer(granting(*rights, publish=["orders/7"]))) as ws:
            yield hear(ws, "welcome")
            yield hear(ws, "notification")
            for command in ["hello", '{"type":"subscribe","topic":"chat/7"}', '{"type":"unsubscribe","topic":"chat/7"}',
                            '{"type":"subscribe","topic":"a b"}', json.dumps({"type": "refresh", "token": granting(*rights, publish=["orders/7"])}),
                            '{"type":"publish","topic":"orders/7","data":{"state":"paid"},"id":"m-1","ref":1}']:
                ws.send(command)
            for kind in ["echo", "subscribed", "unsubscribed", "error", "refreshed"]:
                yield hear(ws, kind)
            # In whichever order they come.
            kinds = set()
            while kinds != {"published", "orders/7"}:
                message = json.loads(ws.recv(timeout=PATIENCE))
                if kind := {message.get("topic"), message["type"]} & {"published", "orders/7"}:
                    kinds |= kind
                    yield message
            server.signal()
            yield hear(ws, "reconnect")


def kind(message):
    return message["type"] + (" of data" if "data" in message else "")


def test_each_message_has_the_fields_that_the_page_shows():
    sent = {kind(message): list(message) for message in heard()}
    commands = {"subscribe", "unsubscribe", "publish", "refresh"}
    answers = [message for message in shown() if message["type"] not in commands]
    assert {kind(message) for message in answers} == sent.keys() | UNSEEN
    for message in answers:
        if message["type"] not in UNSEEN:
            assert [field for field in sent[kind(message)] if field in message] == list(message)


def exchanges():
    """What the guides show of a conversation, each command with its answer."""
    for block in guides.ALL:
        if block.language == "text" and block.text.startswith("→"):
            yield from re.findall(r"^→ (.*)\n← (.*)$", block.text, re.MULTILINE)


def test_each_command_is_answered_as_the_guides_show():
    token = granting("orders/*", publish=["chat/7"])
    with Slackwater("--notify-interval", "0", *BY_SECRET) as server, connect(f"{server.ws}?topic=orders/7", **bearer(token)) as ws:
        hear(ws, "welcome")
        shown = list(exchanges())
        assert len(shown) >= 4
        for command, answer in shown:
            ws.send(command.replace("eyJ…", token))
            told, answer = json.loads(ws.recv(timeout=PATIENCE)), json.loads(answer)
            varies = {"timestamp", "expires", "id"}
            assert [(field, field in varies or told[field]) for field in told if field in answer] == [
                (field, field in varies or value) for field, value in answer.items()], command

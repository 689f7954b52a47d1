"""docs/asyncapi.yaml as a judge of messages: what each of them may be, and which have been seen.

Knows the document; nothing of how a server is brought to say something.
"""
import copy
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

ASYNCAPI = yaml.safe_load((Path(__file__).parent.parent.parent / "docs" / "asyncapi.yaml").read_text())
COMMANDS = {"subscribe", "unsubscribe", "publish", "refresh", "text"}


def names(channel):
    """The messages that the document has for a channel, but those of clients."""
    return set(ASYNCAPI["channels"][channel]["messages"]) - COMMANDS


def payload(name):
    return ASYNCAPI["components"]["messages"][name]["payload"]


def values(name, field):
    """The values that the document lists for a field."""
    return set(payload(name)["properties"][field]["x-values"])


def validator(name, strict=False):
    """Of a message; a strict one takes no field that the document does not name."""
    schema = {**copy.deepcopy(payload(name)), "components": ASYNCAPI["components"]}
    if strict:
        schema["additionalProperties"] = False
    return Draft7Validator(schema)


class Judge:
    """Takes whatever comes on a channel."""

    def __init__(self, channel):
        self.channel = channel
        self.validators = {name: validator(name, strict=True) for name in names(channel)}
        self.seen = {name: [] for name in self.validators}

    def take(self, message):
        """Notes a message, which has to be one of the document, and one only. Which it is."""
        fitting = [name for name, it in self.validators.items() if it.is_valid(message)]
        assert len(fitting) == 1, (message, fitting, {
            name: [error.message for error in it.iter_errors(message)] for name, it in self.validators.items()})
        for field, value in message.items():
            known = payload(fitting[0])["properties"][field].get("x-values")
            assert known is None or value in known, f"{field} has the value {value!r}, which the document does not list"
        self.seen[fitting[0]].append(message)
        return fitting[0]

    def unseen(self):
        """What the document has and nobody has said: messages, optional fields, and values."""
        for name, messages in self.seen.items():
            for field, schema in payload(name)["properties"].items():
                said = [message[field] for message in messages if field in message]
                if not said:
                    yield name, field
                yield from ((name, field, value) for value in schema.get("x-values", []) if value not in said)

"""Publishes as programs do, over a connection that is kept."""
import contextlib
import http.client
import json

from slackwater import PATIENCE

JSON, NDJSON = "application/json", "application/x-ndjson"


class Publisher:
    """One connection at a time. After an answer that closes it, or `close`, the next publication opens another."""

    def __init__(self, server):
        self.http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)

    def post(self, body, content_type=JSON, key=None):
        """The answer: its status, its header fields and its JSON. A body of several pieces is sent in chunks."""
        headers = {"Content-Type": content_type, **({"Idempotency-Key": key} if key else {})}
        self.http.request("POST", "/publish", body.encode() if isinstance(body, str) else body, headers)
        answer = self.http.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def publish(self, topic, *data):
        """Publishes these one behind the other in one batch. Their ids."""
        status, _, answer = self.post(json.dumps([{"topic": topic, "data": datum} for datum in data]))
        assert status == 200, answer
        return answer["ids"]

    def close(self):
        self.http.close()


def publish(server, topic, *data):
    """The same over a connection of its own."""
    with contextlib.closing(Publisher(server)) as publisher:
        return publisher.publish(topic, *data)

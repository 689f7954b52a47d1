"""The real server, as the Python and curl judges start it. Its module has the name of the package under test, so it is loaded by
its place."""
import importlib.util
import json
import urllib.request
from pathlib import Path

_spec = importlib.util.spec_from_file_location("server_program", Path(__file__).parents[2] / "foreign/slackwater.py")
_program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_program)
PATIENCE = _program.PATIENCE
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Slackwater(_program.Slackwater):
    """One server process, without periodic notifications."""

    def __init__(self, *flags, port=0):
        super().__init__("--notify-interval", "0", *flags, port=port)

    def publish(self, topic, *data):
        """Publishes these one behind the other. Their ids."""
        body = json.dumps([{"topic": topic, "data": datum} for datum in data]).encode()
        request = urllib.request.Request(f"{self.http}/publish", body, {"Content-Type": "application/json"})
        with _direct.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)["ids"]

    def connections(self):
        """How many are there."""
        with _direct.open(f"{self.http}/status", timeout=PATIENCE) as answer:
            return json.load(answer)["connections"]

    def kill(self):
        super().kill()
        with self._news:
            self._news.wait_for(lambda: self.ended, PATIENCE)

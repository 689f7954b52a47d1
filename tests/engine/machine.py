"""One machine of several: a server with workers that shares an engine with others. Knows how it is started, how it says that it
has its engine, and how it is killed."""
import contextlib
import http.client
import json
import os
import signal

from programs import wait_until
from slackwater import PATIENCE, Slackwater


class Machine(Slackwater):
    """`with Machine("A", url, workers=2) as machine: ...`"""

    def __init__(self, name, url, *flags, workers, notify_interval="0"):
        self.name = name
        several = ("--workers", str(workers)) if workers > 1 else ()
        super().__init__("--engine", url, "--notify-interval", notify_interval, *several, *flags)

    def get(self, path):
        """The status, and the JSON that comes with it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def says_up(self):
        """Whether it is ready, and has its engine."""
        status, answer = self.get("/readyz")
        return (status, answer.get("engine")) == (200, "up")

    def says_down(self):
        """Whether it is ready all the same, and says that its engine is gone."""
        status, answer = self.get("/readyz")
        return status == 200 and answer.get("engine") == "down"

    def await_refusing(self):
        """It has its engine, which takes nothing, and says why."""
        def refuses():
            status, answer = self.get("/readyz")
            return (status, answer.get("engine")) == (200, "refuses") and self.get("/status")[1]["engine"].get("error")
        return wait_until(refuses, lambda: f"{self.name} is not refused: {self.get('/readyz')}\n{self.story()}")

    def await_up(self):
        wait_until(self.says_up, lambda: f"{self.name} is not up: {self.get('/readyz')}\n{self.story()}")

    def await_down(self):
        wait_until(self.says_down, lambda: f"{self.name} is not down: {self.get('/readyz')}\n{self.story()}")

    def story(self):
        """Its log, without the coming and going of clients."""
        return "\n".join(line for line in self.log if "] Client " not in line)

    def signal_all(self, number):
        """All its processes, at once."""
        for pid in [self.pid, *children(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self):
        self.signal_all(signal.SIGSTOP)

    def go_on(self):
        self.signal_all(signal.SIGCONT)

    def die(self):
        self.signal_all(signal.SIGKILL)
        self.process.wait()

    def __exit__(self, *why):
        self.die()
        super().__exit__(*why)


def children(pid):
    with contextlib.suppress(FileNotFoundError):
        with open(f"/proc/{pid}/task/{pid}/children") as listed:
            return [int(child) for child in listed.read().split()]
    return []

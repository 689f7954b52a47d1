"""Runs programs of others beside the server: on free ports, everything they write in a folder of the test's, ended by their pid.

Knows how a program is started and awaited; nothing of what it is.
"""
import contextlib
import random
import socket
import subprocess
import time

PATIENCE = 20  # seconds that any awaited fact may take


def wait_until(is_so, why, patience=PATIENCE):
    """Asks until the answer is true, and returns it. `why` says what is missing, or finds it out."""
    deadline = time.monotonic() + patience
    while True:
        if answer := is_so():
            return answer
        assert time.monotonic() < deadline, why() if callable(why) else f"waited for this: {why}"
        time.sleep(0.01)


def free_port():
    """A port below those that the kernel gives to outgoing connections, so that it is still free a moment later."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """A process that listens on a port. It can be started again in the same place."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder
        self.process = None

    def run(self, *command):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        try:
            wait_until(self._is_there, lambda: f"{command[0]} does not answer:\n{self.said()}")
        except BaseException:
            self.kill()
            raise

    def _is_there(self):
        assert self.process.poll() is None, self.said()
        return self.answers()

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True

    def said(self):
        return (self.folder / "log").read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

"""Runs the real server for the Python and curl judges: on a port of its own choice, ended by its pid, also when it has
handed over to another process.

Knows how the server is started, how it logs and how it ends; it speaks neither HTTP nor WebSocket.
"""
import contextlib
import itertools
import os
import re
import select
import signal
import subprocess
import threading
import time

PATIENCE = 10  # seconds that any awaited fact may take
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\[(?:DEBUG|INFO|WARNING|ERROR)\] .*)")


class Slackwater:
    """One server process. `with Slackwater("--notify-interval", "0.5") as server: ...`"""

    def __init__(self, *flags, port=0):
        # A setting of the one who runs the tests must not become a default of the server.
        env = {k: v for k, v in os.environ.items() if not k.startswith("SLACKWATER_") and k != "WEB_CONCURRENCY"}
        where = [] if "--fd" in flags else ["--port", str(port)]
        self.process = subprocess.Popen(
            [os.environ["SLACKWATER_BIN"], *where, *flags],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        self.pid = self.process.pid  # of the process that serves
        self.handovers = 0
        self.ended = None   # when it ended, by time.monotonic()
        self._lines, self._begun = [], b""
        self._news = threading.Condition()
        os.set_blocking(self.process.stderr.fileno(), False)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            serving = self.wait_for(r".*ws(s?)://[\d.]+:(\d+)/ws")
        except AssertionError:
            self.kill()
            raise
        secure, self.port = serving[1], int(serving[2])
        self.http = f"http{secure}://127.0.0.1:{self.port}"
        self.ws = f"ws{secure}://127.0.0.1:{self.port}/ws"

    @property
    def log(self):
        """All that it has said until now, without the timestamps: what it said before it answered somebody is among it."""
        with self._news:
            self._read()
            return list(self._lines)

    def _read(self):
        """Reads what is there. Whether more may come."""
        with self._news, contextlib.suppress(BlockingIOError):
            while chunk := not self.process.stderr.closed and os.read(self.process.stderr.fileno(), 65536):
                *lines, self._begun = (self._begun + chunk).split(b"\n")
                for line in map(bytes.decode, lines):
                    stamped = LOG_LINE.fullmatch(line)
                    self._lines.append(stamped[1] if stamped else f"NOT A LOG LINE: {line!r}")
                self._news.notify_all()
            return False
        return True

    def _listen(self):
        readable = select.poll()
        readable.register(self.process.stderr, select.POLLIN)
        while readable.poll() and self._read():
            pass
        self.process.wait()
        with self._news:
            self.process.stderr.close()
            self.ended = time.monotonic()
            self._news.notify_all()

    def wait_for(self, pattern, nth=1):
        """Waits until a log line begins with the pattern, or so many do, and returns the last one's match."""
        def found():
            matches = filter(None, (re.match(pattern, line) for line in self._lines))
            return next(itertools.islice(matches, nth - 1, None), None)
        with self._news:
            self._news.wait_for(lambda: found() or self.ended, PATIENCE)
            assert found(), f"waited for {pattern!r}; the log:\n" + "\n".join(self.log)
            return found()

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def hand_over(self):
        """Has the program on disk take over everything, and waits until it serves. How many connections could not move."""
        self.signal(signal.SIGHUP)
        self.handovers += 1
        # Two processes write into one log.
        told = self.wait_for(r"\[INFO\] Handed over \d+ connections to process (\d+): .* ms; (\d+)", self.handovers)
        self.wait_for(r"\[INFO\] Took over", self.handovers)
        self.pid = int(told[1])
        return int(told[2])

    def exit_code(self):
        """Waits for all processes to end. The code is that of the one that was started first."""
        with self._news:
            assert self._news.wait_for(lambda: self.ended, PATIENCE), "still running; the log:\n" + "\n".join(self.log)
        return self.process.returncode

    def kill(self):
        if self.pid != self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        odd = [line for line in self.log if line.startswith("NOT A LOG LINE")]
        assert not odd, odd

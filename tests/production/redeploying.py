"""Those who are not to notice a redeploy: newcomers that come all the time, and clients that move when asked to."""
import contextlib
import threading
import time

from client import connect, hear, next_message
from slackwater import PATIENCE


def epoch(welcome):
    """Tells one server's history from another's."""
    return welcome["last_event_id"].split("-")[0]


class Newcomers:
    """Clients that connect one behind the other, are welcomed and leave. `with Newcomers(url) as newcomers: ...`"""

    def __init__(self, url, at_once=2):
        self.url = url
        self.welcomes = []  # when, by time.monotonic(), and what
        self.errors = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._come, daemon=True) for _ in range(at_once)]

    def _come(self):
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                with connect(self.url) as ws:
                    self.welcomes.append((begun, hear(ws, "welcome")))
            except Exception as why:  # noqa: BLE001: whatever it is, a newcomer got it
                self.errors.append((begun, repr(why)))
            self._stop.wait(0.005)

    def wait_for(self, is_wanted):
        """Waits for a newcomer whose welcome is so."""
        deadline = time.monotonic() + PATIENCE
        seen = 0
        while True:
            news = self.welcomes[seen:]
            seen += len(news)
            if any(is_wanted(welcome) for _, welcome in news):
                return
            assert time.monotonic() < deadline, f"no such newcomer of {seen}; errors: {self.errors}"
            time.sleep(0.005)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Waits for those who are on their way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextlib.contextmanager
def moved(ws, url, last_event_id):
    """Waits until a client is asked to move, and does: it keeps its connection until the new one has its welcome. The
    new connection, its welcome, and what it was asked."""
    hint = hear(ws, "reconnect")
    time.sleep(hint["after_ms"] / 1000)
    with connect(f"{url}?last_event_id={last_event_id}") as new:
        welcome = next_message(new)
        assert welcome["type"] == "welcome"
        ws.close()
        yield new, welcome, hint

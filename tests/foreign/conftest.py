"""The server that the tests share when they need nothing special of it."""
import pytest

from slackwater import Slackwater


@pytest.fixture(scope="module")
def server():
    with Slackwater("--notify-interval", "0") as server:
        yield server
        server.signal()
        assert server.exit_code() == 0

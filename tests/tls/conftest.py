"""The servers that the tests share when they need nothing special of one, by the kind of their key."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from authority import AUTHORITY, KINDS
from renewal import Renewal
from slackwater import Slackwater


def serving(kind, *flags):
    return Slackwater("--notify-interval", "0", *AUTHORITY.identity(kind).flags, *flags)


@pytest.fixture(scope="session")
def servers():
    """One for each kind of key; at the end they leave in peace."""
    with serving("ec") as ec, serving("rsa") as rsa:
        yield {"ec": ec, "rsa": rsa}
        for server in (ec, rsa):
            server.signal()
            assert server.exit_code() == 0


@pytest.fixture(params=list(KINDS))
def each(request, servers):
    """One server after the other."""
    server = servers[request.param]
    server.kind = request.param
    return server


@pytest.fixture
def server(servers):
    return servers["ec"]


@pytest.fixture(scope="session", autouse=True)
def renewal(tmp_path_factory):
    """Goes on while the others run."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit(Renewal, tmp_path_factory.mktemp("renewal"))

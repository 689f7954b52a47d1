"""One WebSocket and what was agreed on it. Knows nothing of other connections, of topics wished for later, or of when to connect."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

Message: TypeAlias = dict[str, Any]

OPENING = 10.0  # seconds until the welcome: a network that swallows packets would keep a handshake pending for minutes
STABLE_AFTER = 5.0  # seconds: what ends sooner counts as a failure, or a server that keeps crashing is hammered
# In seconds: a silent network is noticed within half a minute, and a peer that does not close is let go of.
SOCKET: Message = {"ping_interval": 20, "ping_timeout": 10, "close_timeout": 1, "max_size": 2**24}
STOP_CODES = {1002, 1003, 1007, 1008, 1009}  # a bug or a policy: the next attempt would end the same way

_quiet = logging.getLogger("slackwater.websockets")
_quiet.setLevel(logging.INFO)  # At DEBUG websockets logs the header with the token.


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Connection:
    """Made by `dial`."""

    socket: ClientConnection
    patience: asyncio.Timeout  # ends it when that is up
    topics: list[str]  # named in its address
    place: str | None  # where it was asked to go on from
    welcome: Message
    token: str | None = None
    expires: float = 0.0  # by the loop's clock; in the past if the token never does, or it is not known when
    brings: bool = False  # publications, though it is no longer the present connection
    since: float = field(default_factory=now)

    @property
    def resumed(self) -> bool:
        """Whether all that was missed follows."""
        return self.place is not None and self.welcome.get("resumed") is True

    @property
    def is_stable(self) -> bool:
        return now() - self.since >= STABLE_AFTER

    def show(self, token: str | None, server_time: Any) -> None:
        """The token counts from now on, by the server's clock: that of this machine may be wrong."""
        self.token, self.expires = token, 0.0
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            self.expires = now() + float(claims(token)["exp"]) - datetime.fromisoformat(server_time).timestamp()


@asynccontextmanager
async def dial(url: str, topics: list[str], place: str | None, token: str | None, options: Message) -> AsyncIterator[Connection]:
    """A connection that has its welcome, and is closed behind the block. The token goes along in a header, and is in no address."""
    query = urlencode({"topic": topics, "last_event_id": place or ""}, doseq=True)
    headers = {**options.get("additional_headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    options = SOCKET | {"logger": _quiet} | options | {"additional_headers": headers, "open_timeout": None}
    async with asyncio.timeout(OPENING) as patience:
        socket = await connect(f"{url}{'&' if '?' in url else '?'}{query}", **options)
        try:
            while (welcome := await hear(socket))["type"] != "welcome":
                pass
            patience.reschedule(None)
            connection = Connection(socket, patience, topics, place, welcome)
            connection.show(token, welcome.get("timestamp"))
            yield connection
        finally:
            await socket.close()


async def hear(socket: ClientConnection) -> Message:
    """The next message. What is none goes unheard."""
    while True:
        with suppress(ValueError):
            message = json.loads(await socket.recv())
            if isinstance(message, dict) and isinstance(message.get("type"), str):
                return message


def ending(error: Exception) -> tuple[int, str, float]:
    """The close code or status, the reason, and in how many seconds the server wants to be asked again."""
    match error:
        case InvalidStatus(response=response):
            reason, after = str(error), response.headers.get("Retry-After", "")
            with suppress(ValueError, TypeError, KeyError):
                reason = json.loads(response.body or b"")["error"]
            return response.status_code, reason, float(after) if after.isdecimal() else 0.0
        case ConnectionClosed(rcvd=close) if close:
            return close.code, close.reason, 0.0
        case ConnectionClosed(sent=close) if close and close.code in STOP_CODES:  # It is the server that broke the protocol.
            return close.code, close.reason, 0.0
    return 1006, str(error) or type(error).__name__, 0.0


def claims(token: str | None) -> Message:
    """What a token says, not verified by anybody; nothing if it cannot be read."""
    with suppress(IndexError, ValueError):
        said = json.loads(base64.urlsafe_b64decode((token or "").split(".")[1] + "=="))
        return said if isinstance(said, dict) else {}
    return {}

"""One WebSocket and what was agreed on it. Knows nothing of other connections, of topics wished for later, or of when to connect."""

import asyncio
import base64
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Message: TypeAlias = dict[str, Any]

OPENING = 10.0  # seconds until the welcome: a network that swallows packets would keep a handshake pending for minutes
STABLE_AFTER = 5.0  # seconds: what ends sooner counts as a failure, or a server that keeps crashing is hammered
# In seconds: a silent network is noticed within half a minute, and a peer that does not close is let go of.
SOCKET: Message = {"ping_interval": 20, "ping_timeout": 10, "close_timeout": 1, "max_size": 2**24}

_quiet = logging.getLogger("slackwater.websockets")
_quiet.setLevel(logging.INFO)  # At DEBUG websockets logs the header with the token.


@dataclass(eq=False)
class Connection:
    """Made by `dial`."""

    socket: ClientConnection
    topics: frozenset[str]  # wished for when the address was written
    place: str | None  # where it was asked to go on from
    welcome: Message
    token: str | None
    left: float = 0.0  # seconds that the token counted when that was told; none if that is never or not known
    brings: bool = False  # publications, though it is no longer the present connection
    mover: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    successor: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def resumed(self) -> bool:
        """Whether all that was missed follows."""
        return self.place is not None and self.welcome.get("resumed") is True

    @property
    def is_stable(self) -> bool:
        return asyncio.get_running_loop().time() - self.since >= STABLE_AFTER

    async def say(self, text: str) -> None:
        """Sends it, unless the connection has ended."""
        with suppress(ConnectionClosed):
            await self.socket.send(text)

    def show(self, token: str | None, server_time: Any, expires: Any) -> None:
        """The token counts from now on. Both times are the server's: this machine's clock may be wrong."""
        self.token, self.left = token, 0.0
        with suppress(TypeError, ValueError, OverflowError):
            self.left = _seconds(expires) - _seconds(server_time)


async def dial(address: str, topics: frozenset[str], place: str | None, token: str | None, options: Message) -> Connection:
    """A connection that has its welcome. The token goes along in a header, and is in no address."""
    headers = {**options.get("additional_headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    options = SOCKET | {"logger": _quiet} | options | {"additional_headers": headers, "open_timeout": None}
    async with asyncio.timeout(OPENING):
        socket = await connect(address, **options)
        try:
            while (welcome := await hear(socket))["type"] != "welcome":
                pass
        except BaseException:
            socket.transport.abort()
            raise
    connection = Connection(socket, topics, place, welcome, token)
    connection.show(token, welcome.get("timestamp"), claims(token).get("exp"))
    return connection


async def hear(socket: ClientConnection) -> Message:
    """The next message. What is none goes unheard."""
    while True:
        with suppress(ValueError):
            message = json.loads(await socket.recv())
            if isinstance(message, dict) and isinstance(message.get("type"), str):
                return message


def claims(token: str | None) -> Message:
    """What a token says, not verified by anybody; nothing if it cannot be read."""
    with suppress(IndexError, ValueError):
        said = json.loads(base64.urlsafe_b64decode((token or "").split(".")[1] + "=="))
        return said if isinstance(said, dict) else {}
    return {}


def _seconds(time: Any) -> float:
    return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else float(time)

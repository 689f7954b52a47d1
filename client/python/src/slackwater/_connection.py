"""One WebSocket: what it hears, how it has ended, and what the token says that is shown on it. Knows nothing of other connections,
of topics, or of when to connect."""

import asyncio
import base64
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from websockets import ClientConnection, ConnectionClosed, InvalidStatus

Message: TypeAlias = dict[str, Any]

STOP_CODES = {1002, 1003, 1007, 1008, 1009}  # a bug or a policy: the next attempt would end the same way

_quiet = logging.getLogger("slackwater.websockets")
_quiet.setLevel(logging.INFO)  # At DEBUG websockets logs the header with the token.
# In seconds: a silent network is noticed within half a minute, and a peer that does not close is let go of.
OPTIONS: Message = {"ping_interval": 20, "ping_timeout": 10, "close_timeout": 1, "max_size": 2**24, "logger": _quiet}


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Connection:
    """One that has had its welcome."""

    socket: ClientConnection
    patience: asyncio.Timeout  # ends it when that is up
    stable_at: float  # by the loop's clock
    brings: bool = True  # publications


async def hear(socket: ClientConnection) -> Message:
    """The next message. What is none goes unheard."""
    while True:
        with suppress(ValueError):
            message = json.loads(await socket.recv())
            if isinstance(message, dict) and isinstance(message.get("type"), str):
                return message


def ending(error: Exception) -> tuple[int, str, float]:
    """The close code or status, the reason, and in how many seconds the server wants to be asked again."""
    code, reason, after = 1006, str(error) or type(error).__name__, ""
    if isinstance(error, InvalidStatus):
        code, after = error.response.status_code, error.response.headers.get("Retry-After", "")
        with suppress(ValueError, TypeError, KeyError):
            reason = json.loads(error.response.body or b"")["error"]
    # What this end has said counts where the server broke the protocol, and not where the network broke.
    elif isinstance(error, ConnectionClosed) and (close := error.rcvd or error.sent) and (error.rcvd or close.code in STOP_CODES):
        code, reason = close.code, close.reason
    return code, reason, float(after) if after.isdecimal() else 0.0


def shown(token: str | None, server_time: Any) -> tuple[Any, float]:
    """Whose token it is, and when it expires by the loop's clock: in the past if it never does, or that cannot be read. Nobody has
    verified it. The server's clock is what counts, for that of this machine may be wrong."""
    with suppress(AttributeError, LookupError, TypeError, ValueError, OverflowError):
        claims = json.loads(base64.urlsafe_b64decode((token or "").split(".")[1] + "=="))
        return claims.get("sub"), now() + float(claims["exp"]) - datetime.fromisoformat(server_time).timestamp()
    return None, 0.0

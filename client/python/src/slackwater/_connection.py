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

STOP_CODES = {301, 308, 1002, 1003, 1007, 1008, 1009}  # moved, a bug or a policy: the next attempt would end the same way
# What the client looks at without asking whether it is there: strings, and a list of topics.
PROMISED = {"welcome": "topics", "notification": "id", "published": "id", "subscribed": "topic", "error": "code"}

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
    """The next message. What is none goes unheard, and so does what lacks what its type promises. What is nested too deep for
    Python to read may be a publication, so it is told as a gap."""
    while True:
        try:
            message: Message = json.loads(await socket.recv())
            promised = message[PROMISED.get(kind := message["type"], "type")]
            if isinstance(promised, list if kind == "welcome" else str):
                return message
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            if isinstance(error, RecursionError):
                return {"type": "gap"}


def ending(error: Exception) -> tuple[int, str, float]:
    """The close code or status, the reason, and in how many seconds the server wants to be asked again."""
    code, reason, after = 1006, str(error) or type(error).__name__, ""
    refused = error if isinstance(error, InvalidStatus) else error.__context__  # By a redirect that is not to be followed.
    if isinstance(refused, InvalidStatus):
        code, headers = refused.response.status_code, refused.response.headers
        after, where = headers.get("Retry-After", ""), headers.get("Location", "").partition("?")[0]
        with suppress(ValueError, TypeError, KeyError):
            reason = f"it redirects to {where}" if where else json.loads(refused.response.body or b"")["error"]
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

"""Tokens as PyJWT mints them, and how `websockets` shows them."""
import time
from pathlib import Path

import jwt

SECRET = "0123456789abcdef0123456789abcdef"
KEYS = Path(__file__).parent.parent / "keys"
BY_SECRET = ("--auth-secret", SECRET)

# What a client adds to its handshake: options of `connect`, and what goes behind the address.
WAYS = {
    "Authorization": lambda token: ({"additional_headers": {"Authorization": f"Bearer {token}"}}, ""),
    "cookie": lambda token: ({"additional_headers": {"Cookie": f"theme=dark; slackwater_token={token}"}}, ""),
    "sub-protocol": lambda token: ({"subprotocols": ["slackwater", f"slackwater.token.{token}"]}, ""),
    "query": lambda token: ({}, f"?token={token}"),
}


def claims(subscribe=(), publish=(), lasts=600, **others):
    """Claims that grant this, for so many seconds."""
    rights = {"subscribe": list(subscribe), "publish": list(publish)}
    return {"sub": "ada", "exp": time.time() + lasts, "slackwater": rights, **others}


def granting(*subscribe, publish=(), lasts=600, **others):
    """A token that grants this."""
    return jwt.encode(claims(subscribe, publish, lasts, **others), SECRET, algorithm="HS256")


def bearer(token):
    """The same by the first of the ways."""
    return WAYS["Authorization"](token)[0]

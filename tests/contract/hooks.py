"""What schemathesis has to be told beside the document: how NDJSON is sent, and that no two requests are meant to be the same one."""
import itertools
import json

import schemathesis

numbers = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    return "".join(json.dumps(line) + "\n" for line in value).encode() if isinstance(value, list) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key that has been used for something else is refused, as it should be."""
    if key := case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = f"{next(numbers)} {key}"[:255]

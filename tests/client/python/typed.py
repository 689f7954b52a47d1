"""A program of a user's who has mypy read it with `--strict`: against the types of the package that is installed. Not run."""
import asyncio

import slackwater


async def token() -> str:
    return "a.b.c"


async def main() -> None:
    async with slackwater.connect("ws://localhost:8000/ws", topics=("tides",), get_token=token, max_queue=10) as client:
        await client.subscribe("orders/*")
        try:
            id: str = await client.publish("tides", [1, None])
        except slackwater.Refused as refused:
            print(refused.code, refused.message)
        else:
            print(id, client.topics, client.last_event_id)
        async for notification in client:
            print(notification["data"])
        message: slackwater.Message = await client.receive()
        print(message)


asyncio.run(main())

"""A client of a Slackwater server that brings every publication once and in order, or tells that some may be missing: it
connects again by itself, goes on where it was, and moves to another server when asked to, without a gap.

Each connection is a task, `_live`, from the attempt to the end, and starts the next one. Invariants: only `_take` makes a
connection the present one; beside it there is at most one attempt, which is the newest task. `_place`, where the next connection
goes on, moves behind a publication when that is put into the queue; `last_event_id` only when it is taken from there."""

import asyncio
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from random import random
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import websockets.uri

from ._connection import OPTIONS, STOP_CODES, Connection, Message, ending, hear, now, shown

__all__ = ["Client", "Message", "Refused", "Stopped", "connect"]

# Seconds: the first retry comes within so many; each failure in a row doubles that, up to the cap; what a server may ask for.
BASE_DELAY, MAX_DELAY, MAX_RETRY_AFTER = 0.5, 30.0, 3600.0
# Seconds until the welcome, for a network that swallows packets would keep a handshake pending for minutes; until an end counts as
# no failure, for a server that keeps crashing would be hammered; and that the old connection is heard after a move, if it may
# bring what the new one cannot.
OPENING, STABLE_AFTER, LINGER = 10.0, 5.0, 2.0
HEARD_IDS = 1000  # remembered, so that what a server brings again is not heard again
TOKEN_TIMEOUT, REFRESH_PAUSE = 30.0, 1.0  # seconds
DEFAULT_TOPIC = "notifications"  # what the server takes a connection that names no topic to mean
# After a close that asks for back-off the delay is drawn as after so many failures.
BACK_OFF_CODES, BACK_OFF_FAILURES, TOO_BIG, TOO_SLOW, EXPIRED = {1011, 1013}, 4, 1009, 4001, 4004


class Refused(Exception):
    """The server did not do it: `code` is that of its answer, `not_connected`, or `unanswered` when it may have been done."""

    def __init__(self, code: str | int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Stopped(Refused):
    """The next attempt would end the same way: `code` is the close code, or the status of HTTP."""


class Client:
    """Entered by `async with`, which waits for the first welcome; iterate over it for notifications, or call `receive` for all
    messages and events in order.

    Without `topics` it hears the default one, with an empty list none. `get_token` is awaited before each connection and before
    the token expires; it goes before `token`. At `max_queue` messages that nobody has taken the client stops to read: the
    server holds back, lets go in the end (4001), and the client resumes once there is room. Any other options, such as
    `ssl` and `proxy`, go to `websockets.asyncio.client.connect`."""

    def __init__(self, url: str, *, topics: Iterable[str] | None = None, token: str | None = None,
                 get_token: Callable[[], Awaitable[str]] | None = None, last_event_id: str | None = None,
                 max_queue: int = 1024, **options: Any) -> None:
        self._url = re.sub("^http", "ws", url)
        websockets.uri.parse_uri(self._url)
        if isinstance(topics, str) or (get_token is not None and not callable(get_token)):
            raise TypeError("topics are a list of strings, and get_token is a function")
        named = parse_qs(urlsplit(url).query).get("topic", [])
        self._topics = dict.fromkeys([*named, *(topics if topics is not None else () if named else (DEFAULT_TOPIC,))])
        self._place = self.last_event_id = last_event_id or None  # of what was taken last
        self._token, self._get_token = _checked(token) if token else None, get_token
        self._headers, self._options = dict(options.pop("additional_headers", ())), OPTIONS | options
        self._queue: asyncio.Queue[tuple[Message, str | None] | Exception] = asyncio.Queue()
        self._max_queue, self._room, self._entered = max_queue, asyncio.Event(), asyncio.Event()
        self._heard: dict[str, None] = {}
        # Who waits, for which answer, and on which connection; that to a subscription may come on any.
        self._answers: dict[asyncio.Future[Message], tuple[tuple[str, str], Connection | None]] = {}
        self._refs, self._failures, self._is_opening = itertools.count(1), 0, False
        self._connection: Connection | None = None
        self._end: Exception | None = Refused("not_connected", "the client has not been entered")

    @property
    def topics(self) -> list[str]:
        """The topics listened to, without those that the server has refused or taken away."""
        return list(self._topics)

    async def __aenter__(self) -> Self:
        """Waits for as long as it takes. Raises `Stopped`."""
        # Once only.
        self._end, self._main = self._end if self._entered.is_set() else None, asyncio.create_task(self._run())
        async with AsyncExitStack() as failing:
            failing.push_async_exit(self)
            await self._entered.wait()
            if self._end is not None:
                raise self._end
            failing.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._main.cancel()
        await asyncio.wait({self._main})

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while (message := await self.receive())["type"] != "notification":
            pass
        return message

    async def receive(self) -> Message:
        """The next message of the server's, or event: `reconnecting`, `resumed`, `gap`, `moving`, `moved`, `token_error`. Raises
        `Stopped` behind the last one, and `StopAsyncIteration` when the user has left."""
        item = await self._queue.get()
        if isinstance(item, Exception):
            self._queue.put_nowait(item)
            raise item
        message, self.last_event_id = item
        self._room.set()
        return message

    async def subscribe(self, topic: str) -> None:
        """Listens to a topic; returns when the server says so, be it on the next connection. Raises `Refused`, and `Stopped` if no
        other connection follows."""
        await self._ask(("subscribed", topic), {"type": "subscribe", "topic": topic}, None)

    async def unsubscribe(self, topic: str) -> None:
        """Listens to a topic no longer; what is under way still arrives until this returns. Whoever waits in `subscribe` is told
        `Refused` (`unsubscribed`)."""
        self._topics.pop(topic, None)
        self._doubt(None, ("subscribed", topic), "unsubscribed")
        if self._connection is not None:
            await self._ask(("unsubscribed", topic), {"type": "unsubscribe", "topic": topic}, self._connection)

    async def publish(self, topic: str, data: Any, *, id: str | None = None) -> str:
        """Publishes, if the token grants it; returns its id. With an `id`, trying again does no harm. Raises `Refused`."""
        if self._connection is None:
            raise Refused("not_connected", "not connected")
        ref = f"slackwater-{next(self._refs)}"
        command = {"type": "publish", "topic": topic, "data": data, "ref": ref} | ({} if id is None else {"id": id})
        return str((await self._ask(("published", ref), command, self._connection))["id"])

    async def _ask(self, key: tuple[str, str], command: Message, connection: Connection | None) -> Message:
        """The answer, of that connection or of any."""
        if self._end is not None:
            raise self._end
        # No lone surrogates: they cannot be sent, and would end the connection.
        text = json.dumps(command, ensure_ascii=False, allow_nan=False).encode().decode()
        self._answers[future := asyncio.get_running_loop().create_future()] = key, connection
        self._room.set()  # It may lie behind more than is taken.
        try:
            if self._connection is not None:
                with suppress(websockets.ConnectionClosed):  # Which `_live` sees to.
                    await self._connection.socket.send(text)
            return await asyncio.shield(future)
        finally:
            self._answers.pop(future, None)

    def _doubt(self, connection: Connection | None, key: tuple[str, str] | None = None, code: str = "unanswered") -> None:
        """It will not answer any more; nobody will if there is none. What was too big is the first that was not answered."""
        name = "too_large" if connection and connection.socket.close_code == TOO_BIG else code
        for future in [it for it, (asked, on) in self._answers.items() if key in (None, asked) and connection in (None, on)]:
            del self._answers[future]
            future.set_exception(self._end or Refused(name, "there was no answer before the end"))
            name = code

    async def _run(self) -> None:
        """Lives until the server says not to come back. Leaves nothing behind."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._newest = self._tasks.create_task(self._live(0.0))
        except* Exception as ended:
            self._end = ended.exceptions[0]
        finally:
            self._queue.put_nowait(self._end or StopAsyncIteration())
            self._end, self._connection = self._end or Refused("not_connected", "the client has been left"), None
            self._entered.set()
            self._doubt(None)

    def _try(self, delay: float, **why: Any) -> None:
        """Makes an attempt after so many seconds, in place of any other, and tells of it."""
        self._put({"type": "moving" if self._connection else "reconnecting", **why, "delay": delay})
        if self._newest is not asyncio.current_task():
            self._newest.cancel()
        self._newest, self._is_opening = self._tasks.create_task(self._live(delay)), False

    async def _live(self, delay: float) -> None:
        """A connection from the attempt to its end. Its token goes along in a header, and is in no address."""
        await asyncio.sleep(delay)
        self._is_opening, connection = True, None
        try:
            token = await self._new_token()
            place = self._place if self._topics else None  # Whoever listens to nothing misses nothing.
            query = urlencode({"topic": [*self._topics] or DEFAULT_TOPIC, "last_event_id": place or ""}, doseq=True)
            address = f"{self._url}{'&' if '?' in self._url else '?'}{query}"
            headers = self._headers | ({"Authorization": f"Bearer {token}"} if token else {})
            async with asyncio.timeout(OPENING) as patience, AsyncExitStack() as leaving:
                socket = await websockets.connect(address, additional_headers=headers, **self._options)
                leaving.push_async_callback(socket.close)
                while (welcome := await hear(socket))["type"] != "welcome":
                    pass
                patience.reschedule(None)
                connection = Connection(socket, patience, now() + STABLE_AFTER)
                leaving.callback(self._doubt, connection)
                leaving.callback(self._tasks.create_task(self._refresh(connection, token, welcome.get("timestamp"))).cancel)
                await self._take(connection, welcome, place)
                await self._read(connection)
        except (OSError, EOFError, websockets.WebSocketException, Refused) as end:
            if connection in (None, self._connection):  # It has not been left.
                self._follow(connection, end)

    def _follow(self, connection: Connection | None, end: Exception) -> None:
        """Sees to what comes after the present connection, or after an attempt that came to none. Raises `Stopped`."""
        code, reason, retry_after = ending(end)
        self._is_opening = self._is_opening and connection is not None
        if connection is not None:
            self._connection, self._failures = None, self._failures if now() < connection.stable_at else 0
        is_refused = 400 <= code < 500 and code not in (408, 425, 429) and not (code == 401 and self._get_token)
        if code in STOP_CODES or 4500 <= code < 5000 or is_refused or (code == EXPIRED and not self._get_token):
            if self._connection is None:
                raise Stopped(code, reason) from end
            return  # It stays until it ends.
        failures = max(self._failures, BACK_OFF_FAILURES) if code in BACK_OFF_CODES else self._failures
        # Who has read too slowly is alone: there is no crowd to keep apart from.
        delay = (0.0 if code == TOO_SLOW and failures == 0 else _draw(failures)) + min(retry_after, MAX_RETRY_AFTER)
        self._failures = failures + 1
        if self._is_opening:  # That is the next attempt.
            return self._put({"type": "reconnecting", "code": code, "reason": reason, "delay": 0.0})
        logging.getLogger("slackwater").warning("connecting again in %.1f s: %s %s", delay, code, reason)
        self._try(delay, code=code, reason=reason)

    async def _take(self, connection: Connection, welcome: Message, place: str | None) -> None:
        """This is the present connection from now on, and asked to go on from the place. The one before it closes: at once, unless
        answers may be under way to it, or publications that nobody else brings."""
        old, before = self._connection, self._place
        granted, is_resumed = {*map(str, welcome["topics"])}, place is not None and welcome.get("resumed") is True
        self._connection, self._is_opening = connection, False
        if old is not None:
            self._failures += now() < old.stable_at
            old.brings = not is_resumed
            old.patience.reschedule(now() + (LINGER if old.brings or self._answers else 0.0))
            self._put({"type": "moved"})
        # Resumed, the place stays where it is until what was missed has come: this connection may end before.
        self._place = before if is_resumed else welcome.get("last_event_id")
        # Asked for again, a topic that is not granted would have the next connection refused as a whole.
        self._topics = {topic: None for topic in self._topics if topic in granted}
        self._put(welcome)
        if place is not None:
            self._put({"type": "resumed" if is_resumed else "gap", "from": before, "to": welcome.get("last_event_id")})
        self._entered.set()
        # What has changed since the address was written; and no topics at all cannot be written there.
        commands = [("unsubscribe", topic) for topic in granted - self._topics.keys()]
        commands += [("subscribe", topic) for (answer, topic), _ in self._answers.values() if answer == "subscribed"]
        for command, topic in commands:
            await connection.socket.send(json.dumps({"type": command, "topic": topic}))

    async def _read(self, connection: Connection) -> None:
        """Hears a connection until it ends. Beyond the limit it hears on only for answers, up to as much again."""
        while True:
            message = await hear(connection.socket)
            while message["type"] == "notification" and self._queue.qsize() >= self._max_queue * (2 if self._answers else 1):
                self._doubt(None)
                self._room.clear()
                await self._room.wait()
            self._hear(connection, message)

    def _hear(self, connection: Connection, message: Message) -> None:
        kind, topic, is_present = message["type"], str(message.get("topic", "")), connection is self._connection
        if kind == "notification":
            # Without topics it is on the default one.
            if connection.brings and self._topics and (id := message["id"]) not in self._heard:
                self._heard[id], self._place = None, id if is_present else self._place
                self._put(message)
                # While a successor opens nothing is forgotten, for it will bring all that was heard in the meantime once more.
                while len(self._heard) > HEARD_IDS and not self._is_opening:
                    del self._heard[next(iter(self._heard))]
            return
        # The answer that somebody waits for: that to "subscribe" is "subscribed", or an error.
        answer = str(message.get("command")).rstrip("e") + "ed" if kind == "error" else kind
        if answer == "subscribed" and (not is_present or ("unsubscribed", topic) in dict(self._answers.values())):
            return  # It is asked for again on the present one, or was taken back.
        if kind == "subscribed":
            self._topics[topic] = None
            if self._is_opening:  # The successor would not bring what is published on it until then.
                self._try(0.0)
        elif is_present and answer.endswith("subscribed"):
            self._topics.pop(topic, None)
        if who := next((it for it, (key, _) in self._answers.items() if key == (answer, message.get("ref", topic))), None):
            del self._answers[who]
            refused = Refused(message["code"], message.get("message", "")) if kind == "error" else None
            return who.set_exception(refused) if refused else who.set_result(message)
        if not is_present:
            return
        before, newest = self._place, message.get("last_event_id")
        # After a gap what was heard last may be lost: no server would know how to go on from there. At a `reconnect` all up to its
        # id has come, and where the topics are quiet the history may soon not reach back to what was heard last.
        self._place = newest if kind in ("gap", "reconnect") and isinstance(newest, str) and newest else before
        self._put(message | ({"from": before, "to": newest} if kind == "gap" else {}))
        if kind == "reconnect":
            slot = min(_span(message.get("after_ms"), random() * MAX_DELAY), _span(message.get("deadline_ms"), float("inf")))
            self._failures = self._failures if now() < connection.stable_at else 0
            # A server that asks everybody to leave at once, and is found again each time, must not be hammered.
            self._try(max(slot, _draw(self._failures) if self._failures else 0.0))

    def _put(self, message: Message) -> None:
        """Keeps it until it is taken. Where nothing is taken only so much else is kept."""
        if message["type"] in ("notification", "gap") or self._queue.qsize() < 2 * self._max_queue:
            self._queue.put_nowait((message, self._place))

    async def _refresh(self, connection: Connection, token: str | None, server_time: Any) -> None:
        """Shows a new token in time before the one that was shown expires."""
        failures, (subject, expires) = 0, shown(token, server_time)
        while self._get_token and (left := expires - now()) > 0:
            # Between 75 and 90 % of the time that is left, so that not all clients ask at once.
            await asyncio.sleep(max(REFRESH_PAUSE, _draw(failures - 1) if failures else left * (0.75 + 0.15 * random())))
            try:
                token = await self._new_token()
                if shown(token, server_time)[0] != subject:
                    return await connection.socket.close()  # Whoever is somebody else connects anew.
                answer = await self._ask(("refreshed", ""), {"type": "refresh", "token": token}, connection)
                failures, (_, expires) = 0, shown(token, answer.get("timestamp"))
            except Refused as error:
                self._put({"type": "token_error", "error": error})
                failures += 1

    async def _new_token(self) -> str | None:
        try:
            return _checked(await asyncio.wait_for(self._get_token(), TOKEN_TIMEOUT)) if self._get_token else self._token
        except (Exception, asyncio.CancelledError) as error:
            # What is cancelled may be this task, or only what the function waits for.
            is_over = (task := asyncio.current_task()) and task.cancelling()
            raise asyncio.CancelledError if is_over else Refused("no_token", f"get_token gave none: {error!r}") from error


connect = Client


def _draw(failures: int) -> float:
    return random() * min(MAX_DELAY, BASE_DELAY * 2.0 ** min(failures, 10))


def _span(ms: Any, otherwise: float) -> float:
    return ms / 1000.0 if isinstance(ms, (int, float)) and 0 <= ms < 1e15 else otherwise


def _checked(token: str) -> str:
    """Whitespace around it does not count. The error does not show it."""
    if not re.fullmatch(r"[!-~]+", token := token.strip()):
        raise ValueError("the token cannot be one")
    return token

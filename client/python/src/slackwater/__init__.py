"""A client of a Slackwater server that brings every publication once and in order, or tells that some may be missing: it
connects again by itself, goes on where it was, and moves to another server when asked to, without a gap.

Invariants: only `_take` makes a connection the present one. `_place`, where the next connection goes on, moves behind a
publication when that is put into the queue; `last_event_id` only when it is taken from there."""

import asyncio
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from random import random
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.uri import parse_uri

from ._connection import Connection, Message, claims, dial, hear

__all__ = ["Client", "Message", "Refused", "Stopped", "connect"]

BASE_DELAY, MAX_DELAY = 0.5, 30.0  # seconds: the first retry comes within; each failure in a row doubles it, up to the cap
BACK_OFF_FAILURES = 4  # after a close that asks for back-off the delay is drawn as after this many
HEARD_IDS = 1000  # remembered, so that what a server brings again is not heard again
LINGER = 2.0  # seconds that the old connection is heard after a move, if it may bring what the new one cannot
TOKEN_TIMEOUT, REFRESH_TIMEOUT, REFRESH_PAUSE, MAX_RETRY_AFTER = 30.0, 10.0, 1.0, 3600.0  # seconds
REFRESH_FROM, REFRESH_SPREAD = 0.75, 0.15  # of the time that a token has left: not all clients at once
REFUSALS = {"bad_token", "forbidden"}  # of a refresh, with neither a topic nor a ref
DEFAULT_TOPIC = "notifications"  # what the server takes a connection that names no topic to mean
STOP_CODES, BACK_OFF_CODES, TOO_BIG, TOO_SLOW, EXPIRED = {1002, 1003, 1007, 1008, 1009}, {1011, 1013}, 1009, 4001, 4004
PASSING_STATUSES = {408, 425, 429}  # the others below 500 come again

_log = logging.getLogger("slackwater")
_T = TypeVar("_T")


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
    the token expires; it goes before `token`. At `max_queue` notifications that nobody has taken the client stops to read: the
    server holds back, lets go in the end (4001), and the client resumes once there is room. Any other options, such as
    `ssl` and `proxy`, go to `websockets.asyncio.client.connect`."""

    def __init__(self, url: str, *, topics: Iterable[str] | None = None, token: str | None = None,
                 get_token: Callable[[], Awaitable[str]] | None = None, last_event_id: str | None = None,
                 max_queue: int = 1024, **options: Any) -> None:
        self._url = re.sub("^http", "ws", url)
        parse_uri(self._url)
        if isinstance(topics, str) or (get_token is not None and not callable(get_token)):
            raise TypeError("topics are a list of strings, and get_token is a function")
        named = parse_qs(urlsplit(url).query).get("topic", [])
        self._topics = dict.fromkeys([*named, *(topics if topics is not None else () if named else (DEFAULT_TOPIC,))])
        self._place = self.last_event_id = last_event_id or None  # of what was taken last
        self._token, self._get_token, self._options = _checked(token) if token else None, get_token, options
        self._queue: asyncio.Queue[tuple[Message, str | None] | Exception] = asyncio.Queue()
        self._max_queue, self._unread, self._room = max_queue, 0, asyncio.Event()
        self._heard: dict[str, None] = {}
        self._answers: dict[str, tuple[asyncio.Future[Message], Connection | None]] = {}
        self._refs, self._failures, self._is_opening, self._entered = itertools.count(1), 0, False, asyncio.Event()
        self._connection: Connection | None = None
        self._end: Exception | None = None
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def topics(self) -> list[str]:
        """The topics listened to, without those that the server has refused or taken away."""
        return list(self._topics)

    async def __aenter__(self) -> Self:
        """Waits for as long as it takes. Raises `Stopped`."""
        self._main = asyncio.create_task(self._run())
        try:
            await self._entered.wait()
            if self._end is not None:
                raise self._end
        except BaseException:
            await self.__aexit__()
            raise
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
        self._unread -= message["type"] == "notification"
        self._room.set()
        return message

    async def subscribe(self, topic: str) -> None:
        """Listens to a topic; returns when the server says so, be it on the next connection. Raises `Refused`."""
        await self._ask(f"subscribed {topic}", {"type": "subscribe", "topic": topic})

    async def unsubscribe(self, topic: str) -> None:
        """Listens to a topic no longer; what is under way still arrives until this returns."""
        self._topics.pop(topic, None)
        if self._connection is not None:
            await self._ask(f"unsubscribed {topic}", {"type": "unsubscribe", "topic": topic})

    async def publish(self, topic: str, data: Any, *, id: str | None = None) -> str:
        """Publishes, if the token grants it; returns its id. With an `id`, trying again does no harm. Raises `Refused`."""
        if self._connection is None:
            raise Refused("not_connected", "not connected")
        ref = f"slackwater-{next(self._refs)}"
        command = {"type": "publish", "topic": topic, "data": data, "ref": ref} | ({} if id is None else {"id": id})
        return str((await self._ask(ref, command))["id"])

    async def _ask(self, key: str, command: Message) -> Message:
        """The answer. That to `subscribe` may come on another connection."""
        if self._end is not None:
            raise Refused("not_connected", "not connected") from self._end
        text = json.dumps(command, ensure_ascii=False, allow_nan=False)
        is_new = key not in self._answers
        future, _ = self._answers.setdefault(key, (asyncio.get_running_loop().create_future(), self._connection))
        self._room.set()  # It may lie behind more than is taken.
        if is_new and self._connection is not None:
            await self._connection.say(text)
        answer = await asyncio.shield(future)
        if answer["type"] == "error":
            raise Refused(answer["code"], answer["message"])
        return answer

    def _doubt(self, connection: Connection | None, code: int = 0) -> None:
        """It will not answer any more; nobody will if there is none. What was too big is the first that was not answered."""
        for key, (future, asked) in list(self._answers.items()):
            if connection is None or (asked is connection and not key.startswith("subscribed ")):
                del self._answers[key]
                name = "too_large" if code == TOO_BIG else "unanswered"
                future.set_result({"type": "error", "code": name, "message": "there was no answer before the end"})
                code = 0

    async def _run(self) -> None:
        """One connection after the other, until the server says not to come back. Leaves nothing behind."""
        arrived: Connection | Exception | None = None
        try:
            while True:
                arrived = arrived or await self._arrive()
                if isinstance(arrived, Connection):
                    arrived = await self._stay(arrived)
                else:
                    event, self._failures = self._judge(arrived, self._failures)
                    _log.warning("connecting again in %.1f s: %s %s", event["delay"], event["code"], event["reason"])
                    self._put({"type": "reconnecting", **event})
                    arrived = await asyncio.sleep(event["delay"], None)
        except Exception as end:
            self._end = end
        finally:
            self._end, self._connection = self._end or StopAsyncIteration(), None
            self._queue.put_nowait(self._end)
            self._entered.set()
            self._doubt(None)
            for task in self._tasks:
                task.cancel()
            closing = (connection.socket.close() for connection in self._open)
            await asyncio.gather(*self._tasks, *closing, return_exceptions=True)

    async def _arrive(self) -> Connection | Exception:
        """Another connection, or why there is none."""
        try:
            token = await self._new_token()
            # Whoever listens to nothing misses nothing.
            topics, place = frozenset(self._topics), self._place if self._topics else None
            query = urlencode([*(("topic", topic) for topic in self._topics or (DEFAULT_TOPIC,)), ("last_event_id", place or "")])
            address = f"{self._url}{'&' if '?' in self._url else '?'}{query}"
            connection = await dial(address, topics, place, token, self._options)
        except (OSError, EOFError, WebSocketException, Refused) as error:
            return error
        self._open.add(connection)
        return connection

    async def _stay(self, connection: Connection) -> Connection | Exception:
        """Lives with a connection until it ends or its successor is there: what to go on with."""
        self._take(connection)
        reader, refresher = self._spawn(self._read(connection)), self._spawn(self._refresh(connection))
        await asyncio.wait({reader, connection.successor}, return_when=asyncio.FIRST_COMPLETED)
        refresher.cancel()
        self._failures = 0 if connection.is_stable else self._failures
        if connection.successor.done():
            successor: Connection = connection.successor.result()
            self._failures += not connection.is_stable
            self._spawn(self._part(connection, reader, successor.resumed))
            self._put({"type": "moved"})
            return successor
        end, self._connection = reader.result(), None
        self._doubt(connection, _ending(end)[0])
        if not self._is_opening:
            connection.mover.cancel()
            return end
        event, self._failures = self._judge(end, self._failures)
        self._put({"type": "reconnecting", **event, "delay": 0.0})
        arrived: Connection | Exception = await connection.successor  # That is the next attempt.
        return arrived

    def _take(self, connection: Connection) -> None:
        """This is the present connection from now on."""
        self._connection, self._is_opening = connection, False
        welcome, before, asked = connection.welcome, self._place, connection.topics or {DEFAULT_TOPIC}
        granted, to = set(welcome.get("topics", asked)), welcome.get("last_event_id")
        # Resumed, the place stays where it is until what was missed has come: this connection may end before.
        self._place = before if connection.resumed else to
        for topic in asked - granted:  # Asked for again, it would have the next connection refused as a whole.
            self._topics.pop(topic, None)
        self._put(welcome)
        if connection.place is not None:
            self._put({"type": "resumed" if connection.resumed else "gap", "from": before, "to": to})
        # What has changed since the address was written; and no topics at all cannot be written there.
        awaited = {key.removeprefix("subscribed ") for key in self._answers if key.startswith("subscribed ")}
        for command, topics in (("unsubscribe", granted - self._topics.keys()), ("subscribe", self._topics.keys() - granted | awaited)):
            for topic in topics:
                self._spawn(connection.say(json.dumps({"type": command, "topic": topic})))
        self._entered.set()

    async def _read(self, connection: Connection) -> Exception:
        """Hears a connection until it ends: how it has. Beyond the limit it hears on only for answers, up to as much again."""
        try:
            while True:
                while self._unread >= self._max_queue * (2 if self._answers else 1):
                    self._doubt(None)
                    self._room.clear()
                    await self._room.wait()
                self._hear(connection, await hear(connection.socket))
        except ConnectionClosed as end:
            self._open.discard(connection)
            return end

    def _hear(self, connection: Connection, message: Message) -> None:
        kind, topic, ref, is_present = message["type"], message.get("topic", ""), message.get("ref"), connection is self._connection
        if kind == "notification":
            if (is_present or connection.brings) and self._is_new(message.get("id")):
                self._place = message.get("id", self._place) if is_present else self._place
                self._put(message)
            return
        if is_present and kind == "subscribed":
            self._topics[topic] = None
        elif is_present and kind in ("unsubscribed", "error") and message.get("command") != "publish":
            self._topics.pop(topic, None)
        keys = [ref, f"{'subscribed' if kind == 'error' else kind} {topic}", kind]
        if kind == "error" and not topic and ref is None:  # A topic that is none may not be named; answers come in order.
            keys += ["refreshed"] if message.get("code") in REFUSALS else [key for key in self._answers if "subscribed " in key]
        if is_present and self._is_opening and kind == "subscribed" and not connection.successor.done():
            self._move_from(connection, {"after_ms": 0})  # The successor would not bring what was published on it until then.
        for key in keys:
            if key in self._answers:
                return self._answers.pop(key)[0].set_result(message)
        if not is_present:
            return
        if kind == "gap":  # What was heard last may be lost: no server would know how to go on from there.
            message = {**message, "from": self._place, "to": message.get("last_event_id")}
            self._place = message["to"] or self._place
        self._put(message)
        if kind == "reconnect":
            self._move_from(connection, message)

    def _is_new(self, id: str | None) -> bool:
        if not self._topics or id in self._heard:  # Without topics it is on the default one.
            return False
        if id is not None:
            self._heard[id] = None
        # While a successor opens nothing is forgotten, for it will bring all that was heard in the meantime once more.
        while len(self._heard) > HEARD_IDS and not self._is_opening:
            del self._heard[next(iter(self._heard))]
        return True

    def _put(self, message: Message) -> None:
        """Keeps it until it is taken. Where nothing is taken only so much else is kept."""
        self._unread += message["type"] == "notification"
        if message["type"] in ("notification", "gap") or self._queue.qsize() < 2 * self._max_queue:
            self._queue.put_nowait((message, self._place))

    def _move_from(self, connection: Connection, hint: Message) -> None:
        """In place of any other move."""
        connection.mover.cancel()
        self._is_opening = False
        connection.mover = self._spawn(self._move(connection, hint))

    async def _move(self, connection: Connection, hint: Message) -> None:
        """Opens the successor, and tries again while none is had: the connection stays meanwhile."""
        slot = min(_span(hint.get("after_ms"), random() * MAX_DELAY), _span(hint.get("deadline_ms"), float("inf")))
        # A server that asks everybody to leave at once, and is found again each time, must not be hammered.
        is_crowd = self._failures > 0 and not connection.is_stable
        failures, event = 0, {"delay": max(slot, _draw(self._failures) if is_crowd else 0)}
        while True:
            self._put({"type": "moving", **event})
            await asyncio.sleep(event["delay"])
            self._is_opening = True
            arrived = await self._arrive()
            if isinstance(arrived, Connection) or self._connection is not connection:
                return connection.successor.set_result(arrived)
            self._is_opening = False
            try:
                event, failures = self._judge(arrived, failures)
            except Stopped:
                return  # It stays until it ends.

    async def _part(self, old: Connection, reader: asyncio.Task[Exception], resumed: bool) -> None:
        """Closes it: at once, unless answers may be under way to it, or publications that nobody else brings."""
        old.brings = not resumed
        if old.brings or any(asked is old for _, asked in self._answers.values()):
            await asyncio.wait({reader}, timeout=LINGER)
        await old.socket.close()
        self._doubt(old)

    async def _refresh(self, connection: Connection) -> None:
        """Shows a new token in time before the one that was shown expires."""
        failures, expires = 0, asyncio.get_running_loop().time() + connection.left
        while self._get_token and (left := expires - asyncio.get_running_loop().time()) > 0:
            share = REFRESH_FROM + REFRESH_SPREAD * random()
            await asyncio.sleep(max(REFRESH_PAUSE, _draw(failures - 1) if failures else left * share))
            try:
                token = await self._new_token()
                if token == connection.token:
                    continue
                if claims(token).get("sub") != claims(connection.token).get("sub"):
                    return await connection.socket.close()  # Whoever is somebody else connects anew.
                async with asyncio.timeout(REFRESH_TIMEOUT):
                    answer = await self._ask("refreshed", {"type": "refresh", "token": token})
                connection.show(token, answer.get("timestamp"), answer.get("expires"))
                failures, expires = 0, asyncio.get_running_loop().time() + connection.left
            except (Refused, TimeoutError) as error:
                self._answers.pop("refreshed", None)
                self._put({"type": "token_error", "error": error})
                failures += 1

    async def _new_token(self) -> str | None:
        if self._get_token is None:
            return self._token
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT):
                return _checked(await self._get_token())
        except Exception as error:
            raise Refused("no_token", f"get_token gave none: {error!r}") from error

    def _judge(self, error: Exception, failures: int) -> tuple[Message, int]:
        """What to tell of an ending, with the delay of the next attempt, and the failures in a row by then. Raises `Stopped`."""
        code, reason, retry_after = _ending(error)
        is_refused = 400 <= code < 500 and code not in PASSING_STATUSES and not (code == 401 and self._get_token)
        if code in STOP_CODES or 4500 <= code < 5000 or is_refused or (code == EXPIRED and not self._get_token):
            raise Stopped(code, reason) from error
        failures = max(failures, BACK_OFF_FAILURES) if code in BACK_OFF_CODES else failures
        # Who has read too slowly is alone: there is no crowd to keep apart from.
        delay = 0.0 if code == TOO_SLOW and failures == 0 else _draw(failures)
        return {"code": code, "reason": reason, "delay": delay + min(retry_after, MAX_RETRY_AFTER)}, failures + 1

    def _spawn(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


connect = Client


def _ending(error: Exception) -> tuple[int, str, float]:
    """The close code or status, the reason, and in how many seconds the server wants to be asked again."""
    if isinstance(error, InvalidStatus):
        response, reason = error.response, str(error)
        with suppress(ValueError, TypeError, KeyError):
            reason = json.loads(response.body or b"")["error"]
        after = response.headers.get("Retry-After", "")
        return response.status_code, reason, float(after) if after.isdecimal() else 0.0
    if isinstance(error, ConnectionClosed) and error.rcvd:
        return error.rcvd.code, error.rcvd.reason, 0.0
    if isinstance(error, ConnectionClosed) and error.sent and error.sent.code in STOP_CODES:
        return error.sent.code, error.sent.reason, 0.0
    return 1006, str(error) or type(error).__name__, 0.0


def _draw(failures: int) -> float:
    return random() * min(MAX_DELAY, BASE_DELAY * 2.0 ** min(failures, 10))


def _span(ms: Any, otherwise: float) -> float:
    return ms / 1000.0 if isinstance(ms, (int, float)) and ms >= 0 else otherwise


def _checked(token: str) -> str:
    """Whitespace around it does not count. The error does not show it."""
    if not re.fullmatch(r"[!-~]+", token := token.strip()):
        raise ValueError("the token cannot be one")
    return token

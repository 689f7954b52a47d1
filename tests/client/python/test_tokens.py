"""What the client does with a token: when it asks for one, how it shows it, and what becomes of one that is refused or expires."""
import asyncio
import base64
import itertools
import json
import logging

import pytest

import slackwater
from slackwater import Stopped
from world import Server, in_virtual_time, now, told

SERVER_TIME = 1_893_456_000  # 2030-01-01, the time of each welcome
REFRESHED = {"type": "refreshed", "expires": "2030-01-01T01:00:00.000Z", "timestamp": "2030-01-01T00:00:00.000Z"}


def token(lasts, sub="ada", nth=itertools.count()):
    claims = {"sub": sub, "exp": SERVER_TIME + lasts, "jti": next(nth)}
    return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".sig"


def issuer(*tokens):
    """A function that gives these, then the last one again and again; and raises what is an error."""
    given = itertools.chain(tokens, itertools.repeat(tokens[-1]))

    async def give():
        give.asked += 1
        answer = next(given)
        if isinstance(answer, BaseException):
            raise answer
        return answer
    give.asked = 0
    return give


@in_virtual_time
async def test_a_token_goes_along_in_the_header_and_in_no_address_and_whitespace_around_it_does_not_count():
    async with Server() as server, server.client(token=" a.b.c\n"):
        line = await server.line(0)
        assert line.token == "a.b.c"
        assert "a.b.c" not in line.socket.request.path


@pytest.mark.parametrize("secret", ["sekrit with spaces", "sekrit\nsekrit", "sékrit"])
def test_what_cannot_be_a_token_is_refused_at_once_in_words_that_do_not_show_it(secret):
    with pytest.raises(ValueError) as refused:
        slackwater.connect("ws://localhost", token=secret)
    assert "krit" not in str(refused.value)


@in_virtual_time
async def test_no_token_is_in_a_log_or_an_event(caplog):
    caplog.set_level(logging.DEBUG)
    secret = token(100)
    async with Server() as server, server.client(get_token=issuer(secret)) as client:
        (await server.line(0)).breaks()
        events = [await client.receive() for _ in range(3)]
    said = [str(record.getMessage()) for record in caplog.records if not record.name.startswith("websockets.server")]
    assert said and secret not in f"{said} {events} {client!r} {client.__dict__['_queue']}"


@in_virtual_time
async def test_the_function_is_asked_before_each_connection():
    give = issuer("a.b.c", "d.e.f")
    async with Server() as server, server.client(get_token=give, token="unused"):
        (await server.line(0)).breaks()
        await server.line(1)
        assert [line.token for line in server.lines] == ["a.b.c", "d.e.f"]


@pytest.mark.parametrize("failing", [RuntimeError("no session"), asyncio.CancelledError(), None, "", "a b"])
@in_virtual_time
async def test_a_function_that_fails_is_asked_again_with_the_usual_back_off_and_the_client_says_so(failing):
    async with Server() as server, server.client(get_token=issuer(failing, failing, "a.b.c")) as client:
        for delay in (0.25, 0.5):
            event = await told(client, "reconnecting")
            assert (event["delay"], event["reason"].startswith("no_token: get_token gave none")) == (delay, True)
        assert server.lines[0].token == "a.b.c"


@in_virtual_time
async def test_a_function_that_never_answers_is_given_up_after_half_a_minute():
    async def never():
        await asyncio.Event().wait()

    async with Server() as server:
        began = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(40), server.client(get_token=never):
                pass
        assert (now() - began, server.attempts) == (40, [])


@pytest.mark.parametrize("words", [RuntimeError("interrupted"), asyncio.CancelledError()])
@in_virtual_time
async def test_whoever_leaves_while_the_function_is_asked_has_left_whatever_it_says_of_that(words):
    async def give():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise words from None

    async with Server() as server:
        client = server.client(get_token=give)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), client:
                pass
        with pytest.raises(StopAsyncIteration):
            await client.receive()
        assert server.attempts == []


@in_virtual_time
async def test_a_refused_handshake_asks_for_another_token():
    async with Server() as server:
        server.refusals = [(401, {}, {"error": "the token has expired (exp)"})] * 2
        async with server.client(get_token=issuer("a.b.c", "d.e.f", "g.h.i")):
            assert [line.token for line in server.lines] == ["g.h.i"]


# In time


@pytest.mark.parametrize("dice, share", [(0, 0.75), (0.5, 0.825), (0.999, 0.89985)])
@in_virtual_time
async def test_a_new_token_is_shown_between_three_quarters_and_nine_tenths_of_the_time_without_reconnecting(
        dice, share, monkeypatch):
    monkeypatch.setattr(slackwater, "random", lambda: dice)
    first, second, third = token(3600), token(3600), token(9000)
    async with Server() as server, server.client(get_token=issuer(first, second, third)):
        began, line = now(), await server.line(0)
        await server.until(lambda: line.said)
        assert now() - began == pytest.approx(3600 * share, abs=1)
        assert line.said == [{"type": "refresh", "token": second}]
        await line.says(REFRESHED)
        began = now()
        await server.until(lambda: len(line.said) == 2)
        assert now() - began == pytest.approx(3600 * share, abs=1)
        assert (line.said[1]["token"], len(server.lines)) == (third, 1)


@in_virtual_time
async def test_a_refused_refresh_is_told_and_tried_again_ever_more_slowly_while_the_old_token_counts(monkeypatch):
    monkeypatch.setattr(slackwater, "random", lambda: 0.999)
    tokens = [token(3600) for _ in range(9)]
    async with Server() as server, server.client(get_token=issuer(*tokens)) as client:
        line, times = await server.line(0), []
        for nth in range(8):
            await server.until(lambda: len(line.said) > nth)
            times.append(now())
            await line.says({"type": "error", "code": "bad_token", "message": "the token has expired (exp)", "command": "refresh"})
            event = await told(client, "token_error")
            assert str(event["error"]) == "bad_token: the token has expired (exp)"
        assert [round(later - sooner) for sooner, later in zip(times, times[1:])] == [1, 1, 2, 4, 8, 16, 30]
        assert len(server.lines) == 1


@in_virtual_time
async def test_no_token_is_asked_for_in_place_of_one_whose_connection_has_ended():
    give = issuer(*(token(3600) for _ in range(9)))
    async with Server() as server, server.client(get_token=give):
        (await server.line(0)).breaks()
        line = await server.line(1)
        await server.until(lambda: line.said)
        await asyncio.sleep(60)
        assert give.asked == 3


@in_virtual_time
async def test_whoever_is_somebody_else_connects_anew_and_goes_on_where_it_was():
    async with Server() as server, server.client(get_token=issuer(token(3600), token(7200, sub="bob"))):
        line = await server.line(1)
        assert (server.lines[0].said, server.lines[0].closed, line.place) == ([], 1000, "e-7")


@pytest.mark.parametrize("given", ["abc", "a.b.c", "a.!.c", token("x" and 0).replace("exp", "nbf"), "a.bnVsbA.c"])
@in_virtual_time
async def test_nobody_is_asked_in_place_of_a_token_that_does_not_expire_or_cannot_be_read(given):
    give = issuer(given)
    async with Server() as server, server.client(get_token=give):
        await asyncio.sleep(86_400)
        assert (give.asked, len(server.lines)) == (1, 1)


@in_virtual_time
async def test_when_the_token_has_expired_the_client_comes_back_with_another_one_and_goes_on_where_it_was():
    async with Server() as server, server.client(get_token=issuer("a.b.c", "d.e.f")):
        line = await server.line(0)
        await line.closes(4004, "token expired")
        line = await server.line(1)
        assert (line.token, line.place) == ("d.e.f", "e-7")


@in_virtual_time
async def test_a_string_that_has_expired_stops_the_client():
    async with Server() as server, server.client(token="a.b.c") as client:
        await (await server.line(0)).closes(4004, "token expired")
        with pytest.raises(Stopped, match="4004: token expired"):
            await anext(client)


@in_virtual_time
async def test_a_client_that_moves_shows_a_new_token_on_the_new_connection():
    async with Server() as server, server.client(get_token=issuer("a.b.c", "d.e.f")):
        await (await server.line(0)).says({"type": "reconnect", "after_ms": 1000, "deadline_ms": None})
        assert (await server.line(1)).token == "d.e.f"


@in_virtual_time
async def test_a_subscription_that_is_refused_during_a_refresh_is_no_refusal_of_the_token():
    async with Server() as server, server.client(get_token=issuer(token(3600), token(7200), token(9000))):
        line = await server.line(0)
        await server.until(lambda: line.said)
        await line.says({"type": "error", "code": "forbidden", "message": "no", "command": "subscribe", "topic": "tides"}, REFRESHED)
        began = now()
        await server.until(lambda: len(line.said) == 2)
        assert now() - began > 2000

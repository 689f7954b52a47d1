"""When the client comes back, after how long, and when not: told by a server that says what the test says, in virtual time."""
import asyncio

import pytest

import slackwater
from slackwater import Stopped
from world import Server, heard, in_virtual_time, now, told


@in_virtual_time
async def test_each_publication_comes_once_and_in_order_over_a_cut():
    async with Server() as server, server.client() as client:
        first = await server.line(0)
        await first.brings("e-8", "e-9")
        assert await heard(client, 2) == ["e-8", "e-9"]
        first.breaks()
        second = await server.line(1)
        assert (first.place, second.place, second.topics) == (None, "e-9", ["tides"])
        await second.brings("e-9", "e-10")
        assert await heard(client, 1) == ["e-10"]


@in_virtual_time
async def test_the_delay_is_drawn_below_a_ceiling_that_doubles_from_half_a_second_to_30_s():
    async with Server() as server:
        server.refusals = [(503, {}, {})] * 9
        async with server.client():
            waits = [later - sooner for sooner, later in zip(server.attempts, server.attempts[1:])]
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15])


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 4500, 4999])
@in_virtual_time
async def test_codes_that_name_a_bug_or_a_policy_stop_the_client(code):
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.brings("e-8")
        await line.closes(code, "no")
        assert await heard(client, 1) == ["e-8"], "what came before is taken first"
        for _ in range(2):
            with pytest.raises(Stopped) as stopped:
                await anext(client)
        assert (stopped.value.code, stopped.value.message, len(server.attempts)) == (code, "no", 1)


@pytest.mark.parametrize("code, delay", [
    (1000, 0.25), (1001, 0.25), (1012, 0.25), (4003, 0.25), (4004, None), (4499, 0.25), (4001, 0), (1011, 4), (1013, 4)])
@in_virtual_time
async def test_every_other_code_reconnects_in_its_time(code, delay):
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.closes(code, "later")
        if delay is None:  # A token that has expired, and nobody to ask for another.
            with pytest.raises(Stopped):
                await anext(client)
            return
        assert await told(client, "reconnecting") == {
            "type": "reconnecting", "code": code, "reason": "later", "delay": delay}
        await server.line(1)
        assert server.attempts[1] - server.attempts[0] == pytest.approx(delay, abs=0.01)


@in_virtual_time
async def test_a_connection_that_ends_soon_goes_on_with_the_back_off_and_one_that_lasts_starts_it_afresh():
    async with Server() as server, server.client() as client:
        for nth, (lasts, delay) in enumerate([(0, 0.25), (4.9, 0.5), (0, 1), (5, 0.25), (0, 0.5)]):
            line = await server.line(nth)
            await asyncio.sleep(lasts)
            await line.closes(1012)
            assert (await told(client, "reconnecting"))["delay"] == delay


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@in_virtual_time
async def test_a_refused_handshake_stops_it_in_the_words_of_the_server(status):
    async with Server() as server:
        server.refusals = [(status, {}, {"error": "the token is no JWT"})]
        with pytest.raises(Stopped, match=f"^{status}: the token is no JWT$"):
            async with server.client(token="a.b.c"):
                pass


@pytest.mark.parametrize("status", [429, 503])
@in_virtual_time
async def test_a_server_that_names_a_time_is_asked_again_then_and_not_by_all_at_once(status):
    async with Server() as server:
        server.refusals = [(status, {"Retry-After": "7"}, {"error": "too many"})]
        async with server.client() as client:
            assert await told(client, "reconnecting") == {
                "type": "reconnecting", "code": status, "reason": "too many", "delay": 7.25}


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize("headers, where", [
    ({"Location": "https://new.example/ws?topic=tides"}, "it redirects to https://new.example/ws"), ({}, "HTTP 30")])
@in_virtual_time
async def test_an_address_that_has_moved_for_good_to_where_no_websocket_is_stops_it_and_says_where_to(status, headers, where):
    async with Server() as server:
        server.refusals = [(status, headers, {})]
        with pytest.raises(Stopped, match=f"^{status}: .*{where}"):
            async with server.client():
                pass


@in_virtual_time
async def test_a_redirect_to_another_websocket_is_followed_and_one_that_is_for_now_is_tried_again():
    async with Server() as server:
        server.refusals = [(301, {"Location": server.url}, {}), (302, {"Location": "http://sorry.example/"}, {})]
        async with server.client() as client:
            event = await told(client, "reconnecting")
            assert (event["code"], event["reason"]) == (302, "it redirects to http://sorry.example/")
            assert len(server.attempts) == 3


@in_virtual_time
async def test_a_welcome_that_does_not_resume_is_a_gap_and_the_new_place():
    async with Server() as server, server.client() as client:
        await (await server.line(0)).brings("e-8")
        server.resumes, server.newest = False, "f-3"
        await heard(client, 1)
        server.lines[0].breaks()
        assert await told(client, "gap") == {"type": "gap", "from": "e-8", "to": "f-3"}
        assert client.last_event_id == "f-3"
        server.lines[1].breaks()
        assert (await server.line(2)).place == "f-3"


@in_virtual_time
async def test_a_welcome_that_resumes_leaves_the_place_until_what_was_missed_has_come():
    async with Server() as server, server.client() as client:
        (await server.line(0)).breaks()
        server.newest = "e-9"
        assert await told(client, "resumed") == {"type": "resumed", "from": "e-7", "to": "e-9"}
        (await server.line(1)).breaks()
        assert (await server.line(2)).place == "e-7"


@in_virtual_time
async def test_a_gap_on_the_way_is_told_in_its_order_and_is_the_new_place():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.brings("e-8")
        await line.says({"type": "gap", "timestamp": "T", "last_event_id": "f-1"})
        await line.brings("f-2")
        kinds = [(await client.receive())["type"] for _ in range(4)]
        assert kinds == ["welcome", "notification", "gap", "notification"]
        await line.says({"type": "gap", "timestamp": "T"})
        assert await told(client, "gap") == {"type": "gap", "timestamp": "T", "from": "f-2", "to": None}
        line.breaks()
        assert (await server.line(1)).place == "f-2"


@in_virtual_time
async def test_the_last_event_id_is_that_of_what_was_taken_and_a_later_client_goes_on_from_there():
    async with Server() as server:
        async with server.client() as client:
            await (await server.line(0)).brings("e-8", "e-9", "e-10")
            assert await heard(client, 2) == ["e-8", "e-9"]
        async with server.client(last_event_id=client.last_event_id) as client:
            assert server.lines[1].place == "e-9"
            assert await told(client, "resumed")


@in_virtual_time
async def test_the_ids_that_are_remembered_are_bounded():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.brings(*(f"e-{n}" for n in range(1500)), "e-1499", "e-499", "e-0")
        assert await heard(client, 1502) == [*(f"e-{n}" for n in range(1500)), "e-499", "e-0"]
        assert len(client._heard) <= 1000


@in_virtual_time
async def test_what_is_no_message_and_what_is_of_a_kind_to_come_harms_nobody():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.says(7, None, [], {}, {"type": 7}, {"type": "novelty"})
        await line.socket.send("no JSON")
        await line.socket.send(b"\x00")
        await line.brings("e-8")
        assert [(await client.receive())["type"] for _ in range(3)] == ["welcome", "novelty", "notification"]


PROPER = [{"type": "welcome", "topics": ["tides"], "later": [1]}, {"type": "gap", "last_event_id": 7},
          {"type": "reconnect", "after_ms": 10**400, "deadline_ms": {}}, {"type": "unsubscribed", "topic": {}},
          {"type": "later", "topic": ["x"]}, {"type": "later", "ref": {}}, {"type": "error", "code": "later"},
          {"type": "error", "code": "later", "command": ["subscribe"]},
          {"type": "error", "code": "later", "command": "unsubscribe", "topic": ["x"]}]
LACKING = [{"type": "welcome", "topics": None}, {"type": "notification"}, {"type": "notification", "id": ["x"]},
           {"type": "published"}, {"type": "error", "message": "m"}, {"type": "subscribed", "topic": ["x"]}]


@pytest.mark.parametrize("odd", PROPER + LACKING)
@in_virtual_time
async def test_a_message_of_an_unexpected_shape_ends_no_client(odd):
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await told(client, "welcome")
        await line.says(odd)
        await line.brings("e-8")
        assert (await client.receive())["type"] == (odd["type"] if odd in PROPER else "notification")
        assert (await heard(client, 1) if odd in PROPER else ["e-8"]) == ["e-8"]
        assert client.topics == ["tides"]


@in_virtual_time
async def test_a_welcome_without_topics_is_waited_for_no_longer_than_none():
    async with Server() as server:
        server.welcome = {"topics": None, "later": {}}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30), server.client():
                pass
        assert len(server.attempts) == 3


@in_virtual_time
async def test_what_is_nested_too_deep_to_be_read_is_told_as_a_gap():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        await line.socket.send('{"type":"notification","id":"e-8","topic":"tides","data":' + "[" * 30_000 + "]" * 30_000 + "}")
        assert await told(client, "gap") == {"type": "gap", "from": "e-7", "to": None}
        await line.brings("e-9")
        assert await heard(client, 1) == ["e-9"]


# Silence


@in_virtual_time
async def test_a_network_that_goes_silent_is_noticed_within_half_a_minute():
    async with Server() as server, server.pinging_client() as client:
        line = await server.line(0)
        await asyncio.sleep(100)
        line.falls_silent()
        began = now()
        assert (await told(client, "reconnecting"))["code"] == 1006
        assert 10 <= now() - began <= 31
        await (await server.line(1)).brings("e-8")
        assert await heard(client, 1) == ["e-8"]


@in_virtual_time
async def test_a_quiet_server_that_answers_is_not_taken_for_a_silent_network():
    async with Server() as server, server.pinging_client():
        await asyncio.sleep(3600)
        assert len(server.attempts) == 1


@pytest.mark.parametrize("how", ["no welcome", "no handshake"])
@in_virtual_time
async def test_a_server_that_does_not_welcome_is_given_up_after_ten_seconds(how):
    async with Server() as server:
        server.welcomes = False
        writers = []
        mute = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        url = server.url if how == "no welcome" else f"ws://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        began = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30), slackwater.connect(url, proxy=None) as client:
                pass
        mute.close()
        for writer in writers:
            writer.close()
        assert now() - began == pytest.approx(30)
        assert len(server.attempts) == (3 if how == "no welcome" else 0)


# Leaving


async def everything(client):
    return [notification async for notification in client]


@in_virtual_time
async def test_leaving_closes_with_1000_and_ends_the_iteration():
    async with Server() as server:
        async with server.client() as client:
            iterating = asyncio.create_task(everything(client))
            await asyncio.sleep(1)
        await server.until(lambda: server.lines[0].closed == 1000)
        assert await iterating == []
        with pytest.raises(StopAsyncIteration):
            await anext(client)
        with pytest.raises(slackwater.Refused, match="not_connected"):
            await client.publish("tides", 1)
        with pytest.raises(slackwater.Refused, match="not_connected"):
            await client.subscribe("orders")


@pytest.mark.parametrize("when", range(40))
@in_virtual_time
async def test_whenever_the_user_cancels_nothing_is_left_behind(when):
    async def live():
        async with server.client() as client:
            async for _ in client:
                server.lines[-1].breaks()

    async with Server() as server:
        server.newest = "e-8"
        user = asyncio.create_task(live())
        for _ in range(when):
            await asyncio.sleep(0)
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user


@in_virtual_time
async def test_a_wait_for_the_next_notification_may_be_cut_short_and_taken_up_again():
    async with Server() as server, server.client() as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(client), 5)
        await server.lines[0].brings("e-8")
        assert await heard(client, 1) == ["e-8"]


@in_virtual_time
async def test_an_exit_does_not_wait_long_for_a_silent_network():
    async with Server() as server:
        async with server.client():
            (await server.line(0)).falls_silent()
            began = now()
        assert now() - began <= 1.1


# The address


@pytest.mark.parametrize("behind, options, asked", [
    ("", {"topics": None}, ["notifications"]),
    ("?topic=orders&x=1", {"topics": None}, ["orders"]),
    ("", {"topics": ["a/*", "b"]}, ["a/*", "b"]),
    ("", {"topics": []}, ["notifications"])])
@in_virtual_time
async def test_the_topics_are_those_of_the_address_and_those_that_are_given(behind, options, asked):
    async with Server() as server:
        server.url = server.url.replace("ws:", "http:") + behind
        async with server.client(**options) as client:
            assert sorted(set((await server.line(0)).topics)) == asked
            assert client.topics == (asked if options["topics"] != [] else [])


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(Exception, match="ftp"):
        slackwater.connect("ftp://nowhere")

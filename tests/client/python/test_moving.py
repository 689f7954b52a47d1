"""How the client moves to the server that it is asked to move to: make before break, and it stays while there is none."""
import asyncio

import pytest

from slackwater import Stopped
from world import Server, heard, in_virtual_time, now, told

HINT = {"type": "reconnect", "reason": "server_restart", "after_ms": 17_250, "deadline_ms": 1_800_000}


async def hinted(server, nth=0, **times):
    """The line of a connection that has lasted, and has just been asked to move."""
    line = await server.line(nth)
    await asyncio.sleep(60)
    await line.says({**HINT, **times})
    return line


@in_virtual_time
async def test_at_the_hinted_time_a_second_connection_is_made_and_only_then_the_first_one_closed():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        await old.brings("e-8")
        began = now()
        new = await server.line(1)
        assert (new.place, old.closed) == ("e-8", None)
        assert now() - began == pytest.approx(17.25, abs=0.1)
        await server.until(lambda: old.closed == 1000)
        await new.brings("e-8", "e-9")
        assert await heard(client, 2) == ["e-8", "e-9"]
        assert len(server.lines) == 2


@pytest.mark.parametrize("newest, place", [("e-90", "e-90"), (None, "e-8"), ("", "e-8"), (7, "e-8")])
@in_virtual_time
async def test_where_the_topics_are_quiet_the_next_connection_goes_on_from_the_id_that_the_hint_names(newest, place):
    async with Server() as server, server.client() as client:
        await (await server.line(0)).brings("e-8")
        await hinted(server, last_event_id=newest)
        assert (await server.line(1)).place == place
        await heard(client, 1)
        assert client.last_event_id == "e-8", "not before the hint has been taken"
        await told(client, "reconnect")
        assert client.last_event_id == place


@in_virtual_time
async def test_the_old_connection_is_heard_until_the_new_welcome_and_what_the_new_one_repeats_is_not_heard_again():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        await old.brings("e-8")
        assert await heard(client, 1) == ["e-8"]
        await new.brings("unheard before its welcome")
        await new.says({"type": "welcome", "topics": ["tides"], "last_event_id": "e-8", "resumed": True})
        await new.brings("e-8", "e-9")
        assert await heard(client, 1) == ["e-9"]


@in_virtual_time
async def test_however_much_is_heard_while_the_successor_opens_it_is_heard_once():
    async with Server() as server, server.client(max_queue=10_000) as client:
        old, ids = await hinted(server), [f"e-{n}" for n in range(8, 1508)]
        server.welcomes = False
        new = await server.line(1)
        await old.brings(*ids)
        assert await heard(client, len(ids)) == ids
        await new.says({"type": "welcome", "topics": ["tides"], "last_event_id": "e-1507", "resumed": True})
        await new.brings(*ids, "e-1508")
        assert await heard(client, 1) == ["e-1508"]


@in_virtual_time
async def test_the_user_is_told_of_a_move_in_its_order_and_of_no_ending():
    async with Server() as server, server.client() as client:
        await hinted(server)
        await server.line(1)
        messages = [await client.receive() for _ in range(6)]
        assert [message["type"] for message in messages] == ["welcome", "reconnect", "moving", "moved", "welcome", "resumed"]
        assert messages[2] == {"type": "moving", "delay": 17.25}


@pytest.mark.parametrize("times, delay", [
    ({"after_ms": 0}, 0), ({"after_ms": 5000, "deadline_ms": 2000}, 2), ({"deadline_ms": None}, 17.25),
    ({"after_ms": None}, 15), ({"after_ms": "soon"}, 15), ({"after_ms": -1}, 15)])
@in_virtual_time
async def test_a_time_beyond_the_deadline_is_the_deadline_and_one_that_is_none_is_drawn_within_half_a_minute(times, delay):
    async with Server() as server, server.client() as client:
        await hinted(server, **times)
        assert (await told(client, "moving"))["delay"] == delay


@in_virtual_time
async def test_a_second_hint_replaces_the_time_of_the_first():
    async with Server() as server, server.client():
        old = await hinted(server)
        await asyncio.sleep(10)
        began = now()
        await old.says({**HINT, "after_ms": 30_000})
        await server.line(1)
        assert now() - began == pytest.approx(30, abs=0.1)
        await asyncio.sleep(60)
        assert len(server.lines) == 2


@in_virtual_time
async def test_a_successor_that_leaves_as_well_is_left_in_the_same_way():
    async with Server() as server, server.client() as client:
        await hinted(server)
        second = await hinted(server, 1)
        third = await server.line(2)
        await server.until(lambda: second.closed == 1000)
        await third.brings("e-8")
        assert await heard(client, 1) == ["e-8"]


@in_virtual_time
async def test_servers_that_each_ask_a_new_connection_to_leave_at_once_are_not_hammered():
    async with Server() as server, server.client():
        for nth in range(6):
            await (await server.line(nth)).says({**HINT, "after_ms": 0})
        waits = [later - sooner for sooner, later in zip(server.attempts, server.attempts[1:])]
        assert waits == pytest.approx([0, 0.5, 1, 2, 4], abs=0.1)


@in_virtual_time
async def test_a_connection_that_has_lasted_moves_at_the_hinted_time_however_hard_it_was_to_get():
    async with Server() as server:
        server.refusals = [(503, {}, {})] * 3
        async with server.client() as client:
            await hinted(server, after_ms=0)
            assert (await told(client, "moving"))["delay"] == 0


@in_virtual_time
async def test_a_successor_that_does_not_know_the_place_takes_over_and_what_the_old_one_still_brings_is_heard_once():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.resumes, server.newest = False, "f-1"
        new = await server.line(1)
        assert (await told(client, "gap"))["to"] == "f-1"
        began = now()
        await new.brings("f-2")
        assert await heard(client, 1) == ["f-2"]
        await old.brings("e-8", "e-8", "e-9")
        assert await heard(client, 2) == ["e-8", "e-9"]
        await server.until(lambda: old.closed == 1000)
        assert now() - began == pytest.approx(2, abs=0.1)
        new.breaks()
        assert (await server.line(2)).place == "f-2"


@in_virtual_time
async def test_an_answer_that_is_under_way_is_awaited_on_the_old_connection():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        publishing = asyncio.create_task(client.publish("tides", 1))
        await server.until(lambda: old.said)
        await new.says({"type": "welcome", "topics": ["tides"], "last_event_id": "e-7", "resumed": True})
        await told(client, "moved")
        await asyncio.sleep(1.5)
        await old.brings("e-9")
        await old.says({"type": "published", "id": "e-8", "ref": old.said[0]["ref"]})
        assert await publishing == "e-8"
        await server.until(lambda: old.closed == 1000)
        await new.brings("e-8", "e-9")
        assert await heard(client, 2) == ["e-8", "e-9"], "in their order, which the old one does not keep"


# No successor


@in_virtual_time
async def test_while_no_successor_answers_the_old_connection_stays_and_attempts_follow_with_the_usual_back_off():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.refusals = [(503, {}, {})] * 4
        new = await server.line(1)
        waits = [later - sooner for sooner, later in zip(server.attempts[1:], server.attempts[2:])]
        assert waits == pytest.approx([0.25, 0.5, 1, 2], abs=0.1)
        await server.until(lambda: old.closed == 1000)
        await new.brings("e-8")
        assert await heard(client, 1) == ["e-8"]


@in_virtual_time
async def test_a_successor_that_says_not_to_come_back_is_not_tried_again_and_the_old_connection_stays():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.refusals = [(403, {}, {})]
        await asyncio.sleep(3600)
        await old.brings("e-8")
        assert await heard(client, 1) == ["e-8"]
        assert (len(server.attempts), old.closed) == (2, None)


@in_virtual_time
async def test_a_successor_without_a_welcome_is_given_up_after_ten_seconds():
    async with Server() as server, server.client():
        old = await hinted(server)
        server.welcomes = False
        await server.line(1)
        server.welcomes = True
        await server.line(2)
        assert server.attempts[2] - server.attempts[1] == pytest.approx(10.25, abs=0.1)
        await server.until(lambda: old.closed == 1000)


@in_virtual_time
async def test_when_the_old_connection_ends_before_the_hinted_time_the_reconnect_is_the_usual_one():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        await old.closes(1012)
        assert (await told(client, "reconnecting"))["delay"] == 0.25
        await server.line(1)
        await asyncio.sleep(60)
        assert len(server.lines) == 2, "the move is forgotten"


@in_virtual_time
async def test_when_the_old_connection_ends_while_the_successor_is_opening_that_is_the_attempt():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        await old.closes(1012)
        assert (await told(client, "reconnecting"))["delay"] == 0
        await new.says({"type": "welcome", "topics": ["tides"], "last_event_id": "e-8", "resumed": True})
        await new.brings("e-8")
        assert await heard(client, 1) == ["e-8"]
        await asyncio.sleep(3600)
        assert len(server.lines) == 2


@in_virtual_time
async def test_an_attempt_that_was_a_successor_and_fails_is_followed_by_the_usual_reconnect():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        await old.closes(1012)
        await told(client, "reconnecting")
        new.breaks()
        server.welcomes = True
        assert (await told(client, "reconnecting"))["delay"] == 0.5, "the second failure in a row"
        await (await server.line(2)).brings("e-8")
        assert await heard(client, 1) == ["e-8"]


@in_virtual_time
async def test_when_the_old_connection_ends_with_a_code_that_stops_the_successor_is_closed_too():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        await old.closes(1008)
        with pytest.raises(Stopped):
            await anext(client)
        await server.until(lambda: new.closed)
        assert len(server.attempts) == 2


@in_virtual_time
async def test_a_topic_subscribed_to_during_the_move_is_asked_of_the_successor_from_the_start():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        stale = await server.line(1)
        server.welcomes = True
        subscribing = asyncio.create_task(client.subscribe("orders"))
        await server.until(lambda: old.said)
        await old.says({"type": "subscribed", "topic": "orders"})
        await subscribing
        began = now()
        await server.until(lambda: stale.closed)
        new = await server.line(2)
        assert now() - began == pytest.approx(0, abs=0.1)
        assert new.topics == ["tides", "orders"]
        await server.until(lambda: old.closed)


@in_virtual_time
async def test_a_subscription_under_way_during_the_move_counts_when_the_successor_says_so():
    async with Server() as server, server.client() as client:
        old = await hinted(server)
        server.welcomes = False
        new = await server.line(1)
        subscribing = asyncio.create_task(client.subscribe("orders"))
        await server.until(lambda: old.said)
        await new.says({"type": "welcome", "topics": ["tides"], "last_event_id": "e-7", "resumed": True})
        await server.until(lambda: new.said)
        await old.says({"type": "subscribed", "topic": "orders"})
        await asyncio.sleep(1)
        assert (new.said, subscribing.done()) == (old.said, False)
        await new.says({"type": "subscribed", "topic": "orders"})
        await subscribing
        assert client.topics == ["tides", "orders"]


@pytest.mark.parametrize("phase", ["waiting for its time", "opening", "lingering"])
@in_virtual_time
async def test_leaving_during_a_move_closes_every_connection(phase):
    async with Server() as server:
        async with server.client():
            await hinted(server)
            if phase == "opening":
                server.welcomes = False
            server.resumes = False
            if phase != "waiting for its time":
                await server.line(1)
                await asyncio.sleep(0.5)
        await server.until(lambda: all(line.closed for line in server.lines))

"""What the client asks of the server, and what it does while nobody takes what it hears."""
import asyncio

import pytest

from slackwater import Refused, Stopped, connect
from world import Server, heard, in_virtual_time, told


async def answered(server, line, asking, *answers):
    """Runs what is asked, and answers it so."""
    task = asyncio.ensure_future(asking)
    await server.until(lambda: line.said)
    said = line.said.pop(0)
    await line.says(*answers, *([] if answers else [{"type": f"{said['type']}d", "topic": said["topic"]}]))
    return said, await task


@in_virtual_time
async def test_subscribing_lasts_until_the_server_says_so_and_holds_on_the_next_connection():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        said, _ = await answered(server, line, client.subscribe("orders/*"))
        assert said == {"type": "subscribe", "topic": "orders/*"}
        assert client.topics == ["tides", "orders/*"]
        said, _ = await answered(server, line, client.unsubscribe("tides"))
        assert said == {"type": "unsubscribe", "topic": "tides"}
        line.breaks()
        assert (await server.line(1)).topics == ["orders/*"]


@pytest.mark.parametrize("answer", [
    {"type": "error", "code": "forbidden", "message": "no", "command": "subscribe", "topic": "orders"},
    {"type": "error", "code": "bad_topic", "message": "no", "command": "subscribe", "topic": "orders"}])
@in_virtual_time
async def test_a_topic_that_is_refused_is_told_so_and_not_asked_for_again(answer):
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        with pytest.raises(Refused, match="no") as refused:
            await answered(server, line, client.subscribe("orders"), answer)
        assert refused.value.code == answer["code"]
        line.breaks()
        assert (await server.line(1)).topics == client.topics == ["tides"]


@in_virtual_time
async def test_subscribing_waits_for_the_next_connection_too():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        subscribing = asyncio.create_task(client.subscribe("orders"))
        await server.until(lambda: line.said)
        line.breaks()
        line = await server.line(1)
        assert line.topics == ["tides"], "not before it is known that it is granted: or nothing would be"
        await answered(server, line, subscribing)
        assert client.topics == ["tides", "orders"]


@pytest.mark.parametrize("by", ["unsubscribe", "timeout"])
@pytest.mark.parametrize("when", ["away", "asked"])
@in_virtual_time
async def test_a_subscription_that_waits_can_be_taken_back(by, when):
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        if when == "away":
            line.breaks()
            await told(client, "reconnecting")
        subscribing = asyncio.create_task(asyncio.wait_for(client.subscribe("orders"), 0.1 if by == "timeout" else 9))
        await (asyncio.sleep(0) if when == "away" else server.until(lambda: line.said))
        leaving = asyncio.create_task(client.unsubscribe("orders") if by == "unsubscribe" else asyncio.sleep(0))
        with pytest.raises(TimeoutError if by == "timeout" else Refused, match=None if by == "timeout" else "unsubscribed"):
            await subscribing
        line.breaks()
        await asyncio.wait({leaving})
        assert leaving.exception() is None or leaving.exception().code == "unanswered"
        line = await server.line(1)
        await asyncio.sleep(1)
        assert (line.topics, line.said, client.topics, client._answers) == (["tides"], [], ["tides"], {})


@in_virtual_time
async def test_an_answer_to_a_subscription_that_was_taken_back_does_not_bring_it_back():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        asked = [asyncio.create_task(ask("orders")) for ask in (client.subscribe, client.unsubscribe, client.subscribe)]
        await server.until(lambda: len(line.said) == 3)
        await line.says({"type": "subscribed", "topic": "orders"}, {"type": "unsubscribed", "topic": "orders"})
        await asked[1]
        assert ([task.done() for task in asked], client.topics) == ([True, True, False], ["tides"])
        await line.says({"type": "subscribed", "topic": "orders"})
        await asked[2]
        assert (asked[0].exception().code, client.topics) == ("unsubscribed", ["tides", "orders"])


@in_virtual_time
async def test_of_two_who_wait_for_the_same_topic_one_may_give_up():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        impatient, patient = (asyncio.create_task(asyncio.wait_for(client.subscribe("orders"), wait)) for wait in (1, 9))
        with pytest.raises(TimeoutError):
            await impatient
        await line.says({"type": "subscribed", "topic": "orders"})
        await patient
        assert client.topics == ["tides", "orders"]


@in_virtual_time
async def test_before_it_is_entered_nothing_is_asked_for_in_vain():
    async with Server() as server:
        client = server.client()
        for asking in (client.subscribe("orders"), client.publish("tides", 1)):
            with pytest.raises(Refused, match="not_connected"):
                await asking
        await client.unsubscribe("tides")
        async with client:
            assert client.topics == []


@in_virtual_time
async def test_a_client_that_has_been_left_is_not_entered_again():
    async with Server() as server:
        async with server.client() as client:
            pass
        with pytest.raises(Refused, match="not_connected: the client has been left"):
            async with client:
                pass


@in_virtual_time
async def test_a_topic_that_the_welcome_does_not_grant_or_the_server_takes_away_is_not_asked_for_again():
    async with Server() as server:
        server.welcome = {"topics": ["tides", "orders"]}
        async with server.client(topics=["tides", "orders", "secret"]) as client:
            assert client.topics == ["tides", "orders"]
            line = await server.line(0)
            await line.says({"type": "unsubscribed", "topic": "orders"})
            await told(client, "unsubscribed")
            line.breaks()
            assert (await server.line(1)).topics == ["tides"]


@in_virtual_time
async def test_whoever_listens_to_nothing_is_kept_from_the_default_topic_and_from_what_it_missed():
    async with Server() as server, server.client(topics=[]) as client:
        for nth in range(2):
            line = await server.line(nth)
            await server.until(lambda: line.said)
            assert (line.topics, line.place) == (["notifications"], None)
            assert line.said == [{"type": "unsubscribe", "topic": "notifications"}]
            await line.brings("e-8")
            line.breaks()
            await told(client, "reconnecting")
        assert client._queue.qsize() == 0


@in_virtual_time
async def test_a_publication_is_answered_by_its_ref_whatever_the_order():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        both = asyncio.gather(client.publish("tides", {"n": 1}), client.publish("tides", "ö", id="mine"))
        await server.until(lambda: len(line.said) == 2)
        first, second = line.said
        assert first == {"type": "publish", "topic": "tides", "data": {"n": 1}, "ref": first["ref"]}
        assert second == {"type": "publish", "topic": "tides", "data": "ö", "ref": second["ref"], "id": "mine"}
        await line.says({"type": "published", "id": "e-9", "ref": second["ref"]},
                        {"type": "published", "id": "e-8", "ref": first["ref"]})
        assert await both == ["e-8", "e-9"]


@in_virtual_time
async def test_a_publication_that_is_refused_or_not_answered_or_cannot_be_sent_is_told_so():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        for end, code in [("answer", "forbidden"), ("break", "unanswered"), ("gone", "not_connected")]:
            if end == "gone":
                await told(client, "reconnecting")
            publishing = asyncio.create_task(client.publish("tides", 1))
            if end != "gone":
                await server.until(lambda: line.said)
                ref = line.said.pop()["ref"]
                if end == "answer":
                    await line.says({"type": "error", "code": "forbidden", "message": "no", "command": "publish", "ref": ref})
                else:
                    line.breaks()
            with pytest.raises(Refused) as refused:
                await publishing
            assert refused.value.code == code


@in_virtual_time
async def test_a_publication_over_the_limit_of_the_server_is_told_to_be_too_large():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        publishing = [asyncio.create_task(client.publish("tides", "x" * 1000)) for _ in range(2)]
        await server.until(lambda: len(line.said) == 2)
        await line.closes(1009)
        for task, code in zip(publishing, ["too_large", "unanswered"]):
            with pytest.raises(Refused, match=code):
                await task
        with pytest.raises(Stopped):
            await anext(client)


@in_virtual_time
async def test_what_is_no_json_is_refused_at_once_and_leaves_nothing_awaited():
    async with Server() as server, server.client() as client:
        for data in (float("nan"), object(), "\ud800"):
            with pytest.raises((ValueError, TypeError)):
                await client.publish("tides", data)
        assert (client._answers, len(server.lines), server.lines[0].said) == ({}, 1, [])


# A slow consumer


@in_virtual_time
async def test_whoever_takes_nothing_holds_the_server_back_and_hears_everything_later():
    async with Server() as server, server.client(max_queue=10) as client:
        line = await server.line(0)
        ids = [f"e-{n}" for n in range(500)]
        sending = asyncio.create_task(line.brings(*ids))
        await asyncio.sleep(5)
        assert client._queue.qsize() == 10
        assert await heard(client, 500) == ids
        await sending


@in_virtual_time
async def test_a_connection_that_ends_while_nothing_is_taken_is_followed_by_another_once_something_is():
    async with Server() as server, server.client(max_queue=10) as client:
        line = await server.line(0)
        await line.brings(*(f"e-{n}" for n in range(15)))
        await line.closes(4001, "too slow")
        await asyncio.sleep(3600)
        assert (client._queue.qsize(), len(server.lines)) == (10, 1)
        assert await heard(client, 15) == [f"e-{n}" for n in range(15)]
        assert (await server.line(1)).place == "e-14"


@in_virtual_time
async def test_publishing_from_within_the_iteration_finds_its_answer_behind_what_is_not_taken_yet():
    async with Server() as server, server.client(max_queue=10) as client:
        line = await server.line(0)
        await line.brings(*(f"e-{n}" for n in range(15)))
        await heard(client, 1)
        published = {"type": "published", "id": "e-15"}
        publishing = asyncio.create_task(client.publish("tides", 1))
        await server.until(lambda: line.said)
        await line.says({**published, "ref": line.said[0]["ref"]})
        assert await publishing == "e-15"


@in_virtual_time
async def test_an_answer_behind_more_than_twice_the_limit_is_given_up_and_memory_stays_bounded():
    async with Server() as server, server.client(max_queue=10) as client:
        line = await server.line(0)
        sending = asyncio.create_task(line.brings(*(f"e-{n}" for n in range(500))))
        with pytest.raises(Refused, match="unanswered"):
            await client.publish("tides", 1)
        await asyncio.sleep(5)
        assert client._queue.qsize() == 20
        assert len(await heard(client, 500)) == 500
        await sending


@in_virtual_time
async def test_events_that_nobody_takes_are_bounded():
    async with Server() as server, server.client(max_queue=10, topics=[]):
        for nth in range(100):
            (await server.line(nth)).breaks()


@pytest.mark.parametrize("options", [{"topics": "tides"}, {"get_token": "eyJ"}])
def test_what_is_no_list_of_topics_and_no_function_is_refused_at_once(options):
    with pytest.raises(TypeError):
        connect("ws://localhost:8000/ws", **options)


# The end


@in_virtual_time
async def test_whoever_waits_when_the_server_says_not_to_come_back_is_told_its_code_and_reason():
    async with Server() as server, server.client() as client:
        line = await server.line(0)
        waiting = [asyncio.create_task(client.subscribe("orders")), asyncio.create_task(anext(client))]
        await server.until(lambda: line.said)
        line.breaks()
        server.refusals = [(403, {}, {"error": "not from there"})]
        for task in [*waiting, asyncio.create_task(client.subscribe("news"))]:
            with pytest.raises(Stopped, match="403: not from there"):
                await task


@in_virtual_time
async def test_a_subscription_that_waits_when_the_user_leaves_is_told_so():
    async with Server() as server:
        async with server.client() as client:
            subscribing = asyncio.create_task(client.subscribe("orders"))
            await server.until(lambda: server.lines[0].said)
        with pytest.raises(Refused, match="not_connected"):
            await subscribing

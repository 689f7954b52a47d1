"""What Python's clients notice of a server that hands over to another process: nothing. They keep their connections, and hear
everything once and in order."""
import contextlib
import json

import pytest

from client import connect, echo, heard, hears_nothing_more, listening, next_message
from publisher import Publisher
from slackwater import Slackwater
from streams import WAYS, address, publications

QUIET = ("--notify-interval", "0")
TIMES = 3


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one process", "two workers"])
def flags(request):
    return *QUIET, *request.param


def connections(server):
    """How many clients have ever come."""
    return sum("Client connected" in line for line in server.log)


def positions(messages):
    [epoch] = {message["id"].split("-")[0] for message in messages}
    return epoch, [int(message["id"].split("-")[1]) for message in messages]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_client_stays_through_three_hand_overs_and_hears_all_once_and_in_order(compression, flags):
    with (Slackwater(*flags, "--ws-per-message-deflate") as server,
          listening(server, "orders", compression=compression) as (ws, welcome),
          contextlib.closing(Publisher(server)) as publisher):
        messages = []
        for n in range(TIMES):
            publisher.publish("orders", [n, "before"], "x" * 1000)
            assert server.hand_over() == 0
            publisher.publish("orders", [n, "after"])
            messages += [next_message(ws) for _ in range(3)]
            assert echo(ws, f"after {n}") and hears_nothing_more(ws)
        expected = [datum for n in range(TIMES) for datum in ([n, "before"], "x" * 1000, [n, "after"])]
        assert [message["data"] for message in messages] == expected
        epoch, numbers = positions(messages)
        first = int(welcome["last_event_id"].split("-")[1]) + 1
        assert (epoch, numbers) == (welcome["last_event_id"].split("-")[0], list(range(first, first + 3 * TIMES)))
        assert connections(server) == 1


def test_a_message_in_fragments_may_be_begun_with_one_process_and_ended_with_the_next(flags):
    with Slackwater(*flags) as server, connect(server.ws) as ws:
        assert next_message(ws)["type"] == "welcome"

        def fragments():
            yield "half"
            assert server.hand_over() == 0
            yield " and half"

        ws.send(fragments())
        assert next_message(ws)["message"] == "Server received: half and half"


def test_a_publisher_keeps_its_connection(flags):
    with Slackwater(*flags) as server, contextlib.closing(Publisher(server)) as publisher:
        publisher.publish("orders", 0)
        socket = publisher.http.sock
        for n in range(TIMES):
            assert server.hand_over() == 0
            publisher.publish("orders", n)
            # It would connect again without a word.
            assert publisher.http.sock is socket


def test_a_retry_with_the_same_key_is_known_to_the_next_process(flags):
    with (Slackwater(*flags) as server, listening(server, "orders") as (ws, _),
          contextlib.closing(Publisher(server)) as publisher):
        body = json.dumps({"topic": "orders", "data": "once"})
        first = publisher.post(body, key="a key")
        server.hand_over()
        assert publisher.post(body, key="a key")[2] == first[2]
        assert heard(ws, 1) == ["once"] and hears_nothing_more(ws)


def test_who_comes_later_resumes_where_it_was_before_the_hand_over(flags):
    with Slackwater(*flags) as server, contextlib.closing(Publisher(server)) as publisher:
        ids = publisher.publish("orders", 1, 2)
        server.hand_over()
        publisher.publish("orders", 3)
        with listening(server, "orders", after=ids[0]) as (ws, welcome):
            assert welcome["resumed"] is True and heard(ws, 2) == [2, 3]


@pytest.mark.parametrize("way", WAYS)
def test_an_event_stream_goes_on(way, flags):
    with (Slackwater(*flags) as server, way(address(server, "orders")) as events,
          contextlib.closing(Publisher(server)) as publisher):
        messages = []
        for n in range(TIMES):
            publisher.publish("orders", [n, "before"])
            server.hand_over()
            publisher.publish("orders", [n, "after"])
            messages += publications(events, 2)
        assert [message["data"] for message in messages] == [[n, word] for n in range(TIMES) for word in ("before", "after")]
        assert connections(server) == 1

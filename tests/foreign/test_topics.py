"""Who hears which topic: asked for at connecting or later, by name or by prefix, once and in the order of publishing."""
import contextlib
import json
import random

import pytest

from client import hear, heard, hears_nothing_more, listening, next_message
from publisher import Publisher, publish
from slackwater import Slackwater

MOST = 128  # topics of one connection


def command(ws, kind, topic):
    """Sends a command. The answer."""
    ws.send(json.dumps({"type": kind, "topic": topic}))
    return next_message(ws)


def subscribe(ws, topic):
    answer = command(ws, "subscribe", topic)
    assert (answer["type"], answer["topic"]) == ("subscribed", topic)


def unsubscribe(ws, topic):
    answer = command(ws, "unsubscribe", topic)
    assert (answer["type"], answer["topic"]) == ("unsubscribed", topic)


def publish_to(server, *topics):
    """Publishes to each its own name."""
    for topic in topics:
        publish(server, topic, topic)


def test_who_names_no_topic_hears_the_default_one(server):
    with listening(server) as (ws, welcome):
        assert welcome["topics"] == ["notifications"]
        publish_to(server, "orders", "notifications")
        assert heard(ws, 1) == ["notifications"]


def test_who_names_topics_hears_those_and_not_the_default_one(server):
    with listening(server, "orders", "chat:lobby") as (ws, welcome), listening(server, "orders") as (other, _):
        assert welcome["topics"] == ["orders", "chat:lobby"]
        publish_to(server, "chat:lobby", "notifications", "order", "orders", "orders/1", "ORDERS", "chat:lobby")
        assert heard(ws, 3) == ["chat:lobby", "orders", "chat:lobby"]
        assert heard(other, 1) == ["orders"]
        assert hears_nothing_more(ws) and hears_nothing_more(other)


def test_a_topic_named_twice_is_heard_once(server):
    with listening(server, "orders", "orders") as (ws, welcome):
        assert welcome["topics"] == ["orders"]
        subscribe(ws, "orders")
        publish_to(server, "orders")
        assert heard(ws, 1) == ["orders"]
        assert hears_nothing_more(ws)
        unsubscribe(ws, "orders")
        publish_to(server, "orders")
        assert hears_nothing_more(ws)


def test_subscribing_begins_with_what_is_published_afterwards(server):
    with listening(server) as (ws, _):
        publish(server, "orders", "before")
        subscribe(ws, "orders")
        publish(server, "orders", "after")
        assert heard(ws, 1) == ["after"]
        publish_to(server, "notifications")
        assert heard(ws, 1) == ["notifications"]


def test_unsubscribing_ends_it_and_subscribing_again_does_not_bring_it_back(server):
    with listening(server, "orders", "audit") as (ws, _):
        unsubscribe(ws, "orders")
        publish(server, "orders", "meanwhile")
        subscribe(ws, "orders")
        publish(server, "orders", "again")
        publish_to(server, "audit")
        assert heard(ws, 2) == ["again", "audit"]
        unsubscribe(ws, "never/subscribed")
        assert hears_nothing_more(ws)


def test_who_has_left_all_topics_hears_nothing_and_is_served(server):
    with listening(server) as (ws, _):
        unsubscribe(ws, "notifications")
        publish_to(server, "notifications")
        assert hears_nothing_more(ws)
        subscribe(ws, "notifications")
        publish_to(server, "notifications")
        assert heard(ws, 1) == ["notifications"]


def test_a_prefix_stands_for_all_below_and_not_for_itself(server):
    with listening(server, "orders/*") as (ws, welcome), listening(server, "orders/eu/*") as (deeper, _), \
            listening(server, "*") as (everything, _):
        assert welcome["topics"] == ["orders/*"]
        topics = ["orders/7", "orders", "orders/eu", "orders/eu/9/paid", "orders2/7", "order/s", "x", "orders/"]
        publish_to(server, *topics)
        assert heard(ws, 4) == ["orders/7", "orders/eu", "orders/eu/9/paid", "orders/"]
        assert heard(deeper, 1) == ["orders/eu/9/paid"]
        assert heard(everything, len(topics)) == topics
        assert all(map(hears_nothing_more, (ws, deeper, everything)))


def test_what_several_filters_match_is_heard_once(server):
    with listening(server, "orders/7", "orders/*", "*", "orders/eu/*", "orders") as (ws, _):
        publish_to(server, "orders/7", "orders/eu/1", "orders", "elsewhere")
        assert heard(ws, 4) == ["orders/7", "orders/eu/1", "orders", "elsewhere"]
        assert hears_nothing_more(ws)
        # Each of them is left on its own.
        unsubscribe(ws, "*")
        unsubscribe(ws, "orders/7")
        publish_to(server, "orders/7", "elsewhere", "orders")
        assert heard(ws, 2) == ["orders/7", "orders"]
        unsubscribe(ws, "orders/*")
        publish_to(server, "orders/7", "orders/eu/1")
        assert heard(ws, 1) == ["orders/eu/1"]
        assert hears_nothing_more(ws)


def test_one_object_to_several_topics_is_heard_once_for_each_of_them(server):
    with listening(server, "orders/*", "audit") as (ws, _), listening(server, "audit") as (other, _):
        with contextlib.closing(Publisher(server)) as publisher:
            body = json.dumps({"topics": ["audit", "orders/1", "elsewhere", "orders/2"], "data": 7})
            status, _, answer = publisher.post(body)
        told = [hear(ws, "notification") for _ in range(3)]
        assert [(message["topic"], message["data"]) for message in told] == [("audit", 7), ("orders/1", 7), ("orders/2", 7)]
        assert status == 200 and [message["id"] for message in told] == [answer["ids"][n] for n in (0, 1, 3)]
        assert heard(other, 1) == [7]
        assert hears_nothing_more(ws) and hears_nothing_more(other)


@pytest.mark.parametrize("topic", ["or ders", "orders*", "orders/*/paid", "**", "ö", "x" * 129])
def test_a_bad_topic_is_an_error_and_the_others_are_heard(server, topic):
    with listening(server, topic, "orders") as (ws, welcome):
        assert welcome["topics"] == ["orders"]
        assert next_message(ws)["type"] == "error"
        answer = command(ws, "subscribe", topic)
        assert (answer["type"], answer["code"]) == ("error", "bad_topic")
        answer = command(ws, "unsubscribe", topic)
        assert (answer["type"], answer["code"]) == ("error", "bad_topic")
        publish_to(server, "notifications", "orders")
        assert heard(ws, 1) == ["orders"]


def test_who_names_only_bad_topics_hears_nothing_but_the_error(server):
    with listening(server, "or ders") as (ws, welcome):
        assert welcome["topics"] == []
        assert next_message(ws)["code"] == "bad_topic"
        publish_to(server, "notifications")
        assert hears_nothing_more(ws)


@pytest.mark.parametrize("text", [
    '{"type":"subscribe"}', '{"type":"subscribe","topic":7}', '{"type":"subscribe","topic":null}',
    '{"type":"subscribe","topic":["a"]}', '{"type":"publish","topic":"orders"}', '{"type":1}'])
def test_a_command_that_is_none_is_an_error_and_changes_nothing(server, text):
    with listening(server, "orders") as (ws, _):
        ws.send(text)
        answer = next_message(ws)
        assert (answer["type"], answer["code"]) == ("error", "bad_message")
        publish_to(server, "orders")
        assert heard(ws, 1) == ["orders"]


def test_a_connection_has_at_most_128_topics(server):
    with listening(server) as (ws, _):
        for n in range(MOST - 1):
            subscribe(ws, f"t/{n}")
        assert command(ws, "subscribe", "one/too/many")["type"] == "error"
        assert command(ws, "subscribe", "t/*")["type"] == "error"
        subscribe(ws, "t/0")  # which it has already
        publish_to(server, "one/too/many", "t/126", "notifications")
        assert heard(ws, 2) == ["t/126", "notifications"]
        unsubscribe(ws, "t/126")
        subscribe(ws, "one/too/many")
        publish_to(server, "t/126", "one/too/many")
        assert heard(ws, 1) == ["one/too/many"]


def test_that_holds_for_those_named_at_connecting(server):
    with listening(server, *(f"t/{n}" for n in range(MOST + 2))) as (ws, welcome):
        assert welcome["topics"] == [f"t/{n}" for n in range(MOST)]
        errors = [next_message(ws) for _ in range(2)]
        assert [error["type"] for error in errors] == ["error"] * 2
        publish_to(server, "t/129", "t/127", "t/128")
        assert heard(ws, 1) == ["t/127"]
        assert hears_nothing_more(ws)


def test_across_topics_the_order_is_that_of_publishing(server):
    rng = random.Random(3)
    topics = [f"{top}/{n}" for top in "abc" for n in range(4)]
    with listening(server, *topics) as (by_name, _), listening(server, "a/*", "b/*", "b/1", "c/*") as (by_prefix, _):
        published, n = [], 0
        while n < 600:
            topic, count = rng.choice(topics), rng.randint(1, 5)
            published += zip(publish(server, topic, *range(n, n + count)), range(n, n + count))
            n += count
        for ws in (by_name, by_prefix):
            told = [hear(ws, "notification") for _ in published]
            assert [(message["id"], message["data"]) for message in told] == published
            assert hears_nothing_more(ws)


def test_the_periodic_notification_is_in_the_same_order_and_only_for_its_topic():
    with Slackwater("--notify-interval", "0.1") as server, listening(server, "*") as (ws, _), \
            listening(server, "orders") as (other, _):
        periodic = hear(ws, "notification")
        assert periodic["topic"] == "notifications" and "data" not in periodic
        [id] = publish(server, "orders", 1)
        told = [hear(ws, "notification") for _ in range(5)]
        assert [(message["id"], message["topic"]) for message in told if "data" in message] == [(id, "orders")]
        assert heard(other, 1) == [1]
        assert hears_nothing_more(other)

"""What curl publishes, and what listeners hear of it; what it may not publish, and what it is told."""
import contextlib
import http.client
import json
import socket

import pytest

from client import connected, hear, heard, hears_nothing_more, listening, next_message
from curl import curl, run_curl
from slackwater import PATIENCE, Slackwater

QUIET = ("--notify-interval", "0", "--no-drain-notice")
NDJSON = ("--header", "Content-Type: application/x-ndjson")
STDIN = ("--data-binary", "@-")


@pytest.fixture
def listener(server):
    """Hears the default topic, orders and what is below it."""
    with listening(server, "notifications", "orders", "orders/*") as (ws, _):
        yield ws


def post(server, *arguments, query="", stdin=b""):
    return curl(f"{server.http}/publish{query}", *arguments, stdin=stdin)


def publications(ws, count):
    """The topics and the data of the next messages."""
    return [(message["topic"], message["data"]) for message in (next_message(ws) for _ in range(count))]


def ids(ws, count):
    return [hear(ws, "notification")["id"] for _ in range(count)]


def test_a_bare_text_is_heard_as_a_string_on_the_default_topic(server, listener):
    answer = post(server, "--data", "hello")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    message = next_message(listener)
    assert list(message) == ["type", "id", "topic", "data", "timestamp"]
    assert (message["type"], message["topic"], message["data"]) == ("notification", "notifications", "hello")
    assert answer.json == {"id": message["id"]}


def test_a_text_stays_a_text_whatever_it_looks_like(server, listener):
    for text in ["5", "Grüße, 世界 🌊", ' "quoted"\n\\ ']:
        assert post(server, *STDIN, stdin=text.encode()).status == 200
        assert publications(listener, 1) == [("notifications", text)]
    for text in ['{"topic":"orders","data":1}', "[1]"]:
        assert post(server, *STDIN, stdin=text.encode()).status == 415, "as a form it is more likely a mistake"
        assert post(server, "-H", "Content-Type: text/plain", *STDIN, stdin=text.encode()).status == 200
        assert publications(listener, 1) == [("notifications", text)]


def test_a_json_object_names_its_topic(server, listener):
    answer = post(server, "--json", '{"topic":"orders","data":{"n":[1,null,"ö"]}}')
    message = next_message(listener)
    assert (message["topic"], message["data"]) == ("orders", {"n": [1, None, "ö"]})
    assert answer.json == {"id": message["id"]}


def test_the_data_is_heard_as_it_was_written(server, listener):
    post(server, "--json", '{"data": {"n":  12345678901234567890.10, "n": "\\u00f6"}}')
    assert '"data":{"n":  12345678901234567890.10, "n": "\\u00f6"}' in listener.recv(timeout=PATIENCE)


def test_one_object_is_published_to_each_of_its_topics(server, listener):
    answer = post(server, "--json", '{"topics":["orders/1","elsewhere","notifications"],"data":7}')
    told = [next_message(listener) for _ in range(2)]
    assert [(message["topic"], message["data"]) for message in told] == [("orders/1", 7), ("notifications", 7)]
    assert len(set(answer.json["ids"])) == 3
    assert [answer.json["ids"][n] for n in (0, 2)] == [message["id"] for message in told]


def test_an_array_is_published_in_its_order(server, listener):
    answer = post(server, "--json", '[{"topic":"orders","data":1},{"data":2},{"topic":"orders/x","data":3}]')
    assert answer.json["ids"] == ids(listener, 3)
    assert post(server, "--json", '[{"data":4}]').json["ids"] == ids(listener, 1)  # a list of one is a list


def test_so_are_lines(server, listener):
    answer = post(server, *NDJSON, *STDIN, stdin=b'{"topic":"orders","data":1}\n\n{"data":2}\r\n{"data":3}')
    told = [next_message(listener) for _ in range(3)]
    assert [(message["topic"], message["data"]) for message in told] == [
        ("orders", 1), ("notifications", 2), ("notifications", 3)]
    assert answer.json["ids"] == [message["id"] for message in told]


def test_a_topic_in_the_query_makes_the_body_the_data(server, listener):
    assert "id" in post(server, "--data", "raw & text", query="?topic=orders").json
    assert "id" in post(server, "--json", '{"topic":"not here","x":[1]}', query="?topic=orders%2F7").json
    assert len(post(server, "--data", "both", query="?topic=orders&topic=orders/8").json["ids"]) == 2
    assert len(post(server, *NDJSON, *STDIN, query="?topic=orders", stdin=b"1\n2\n").json["ids"]) == 2
    assert publications(listener, 6) == [
        ("orders", "raw & text"), ("orders/7", {"topic": "not here", "x": [1]}),
        ("orders", "both"), ("orders/8", "both"), ("orders", 1), ("orders", 2)]


def test_a_chunked_body_is_put_together(server, listener):
    text = "".join(f"line {n}\n" for n in range(20_000))  # several reads
    assert post(server, "--header", "Transfer-Encoding: chunked", *STDIN, stdin=text.encode()).status == 200
    assert publications(listener, 1) == [("notifications", text)]


def test_who_waits_for_100_is_told_to_go_on(server, listener):
    told = run_curl(f"{server.http}/publish", "--include", "--header", "Expect: 100-continue",
                    "--expect100-timeout", str(2 * PATIENCE), *STDIN, stdin=b"x" * 200_000)
    assert told.startswith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert publications(listener, 1) == [("notifications", "x" * 200_000)]


def test_one_connection_serves_many_publications(server, listener):
    publish = f"{server.http}/publish"
    told = run_curl("--data", "again", "--write-out", " %{http_code} after %{num_connects}\n", publish, publish, publish)
    assert [line.split(" ", 1)[1] for line in told.splitlines()] == ["200 after 1", "200 after 0", "200 after 0"]
    assert heard(listener, 3) == ["again"] * 3


def test_a_request_with_a_known_key_is_answered_again_and_published_once(server, listener):
    keyed = ("--header", "Idempotency-Key: request-1")
    first = post(server, *keyed, "--json", '[{"data":"once"},{"data":"once more"}]')
    again = post(server, *keyed, "--json", '[{"data":"once"},{"data":"once more"}]')
    assert (again.status, again.json) == (200, first.json)
    assert post(server, *keyed, "--data", "whatever it holds now").status == 422
    post(server, "--data", "sentinel")
    assert heard(listener, 3) == ["once", "once more", "sentinel"]


def test_an_object_with_a_known_id_is_answered_again_and_published_once(server, listener):
    first = post(server, "--json", '{"id":"object-1","data":"once"}')
    assert post(server, "--json", '{"id":"object-1","data":"once"}').json == first.json
    two = post(server, "--json", '{"id":"object-2","topics":["orders","elsewhere"],"data":"to two"}').json["ids"]
    batch = '[{"data":"new"},{"id":"object-1","data":"once"},{"id":"object-2","topics":["orders","elsewhere"],"data":"to two"},{"id":"object-3","data":"newer"}]'
    mixed = post(server, "--json", batch).json["ids"]
    assert mixed[1:4] == [first.json["id"], *two]
    repeated = post(server, *NDJSON, "--data", '{"id":"object-3","data":"newer"}')
    assert repeated.json == {"ids": [mixed[4]]}
    # A key of a request is not an id of an object.
    post(server, "--header", "Idempotency-Key: object-3", "--data", "sentinel")
    assert heard(listener, 5) == ["once", "to two", "new", "newer", "sentinel"]


def test_a_refused_publication_does_not_use_its_key_up(server, listener):
    keyed = ("--header", "Idempotency-Key: request-2")
    assert post(server, *keyed, "--json", '[{"id":"object-4","data":1},{"topic":"a b","data":2}]').status == 422
    assert post(server, *keyed, "--json", '{"id":"object-4","data":"mended"}').status == 200
    assert heard(listener, 1) == ["mended"]


@pytest.mark.parametrize("last, status", [
    ('{"topic":"orders","data":}', 400), ('{"topic":"orders"}', 400), ('{"topic":"or ders","data":3}', 422),
    ('{"topic":"orders","data":3,"ID":1}', 400), ('{"id":"","data":3}', 400)])
@pytest.mark.parametrize("is_array", [True, False], ids=["array", "lines"])
def test_a_batch_is_published_whole_or_not_at_all(server, listener, is_array, last, status):
    objects = ['{"topic":"orders","data":1}', '{"id":"in vain","data":2}', last]
    refused = (post(server, "--json", f"[{','.join(objects)}]") if is_array
               else post(server, *NDJSON, "--data-binary", "\n".join(objects)))
    assert refused.status == status
    assert refused.json["error"]
    post(server, "--data", "sentinel")
    assert heard(listener, 1) == ["sentinel"]


JSON = ("--header", "Content-Type: application/json")


@pytest.mark.parametrize("arguments, body, where", [
    (JSON, '{"topic":"orders",\n "data": }', "line 2, octet 10"),
    (JSON, '[{"data":1},\n\n{"data":2},,]', "line 3, octet 12"),
    (JSON, '{"data":1', "line 1, octet 9"),
    (JSON, '{"topic":"orders"}', "line 1, octet 1"),
    (NDJSON, '{"data":1}\n{"data":2}\n{"data":x}\n', "line 3, octet 9"),
    (NDJSON, '{"data":1}\n\n\n{"data":2}{"data":3}\n', "line 4, octet 11"),
])
def test_bad_json_is_told_by_line_and_octet(server, arguments, body, where):
    answer = post(server, *arguments, *STDIN, stdin=body.encode())
    assert answer.status == 400
    assert answer.json["error"].startswith(f"{where}: ") and '{"topic":"orders/7"' in answer.json["error"], answer.json


def test_json_that_curl_sends_as_a_form_is_told_the_line_to_use(server, listener):
    for query in ["", "?topic=orders"]:
        answer = post(server, "--data", '{"state":"paid"}', query=query)
        assert answer.status == 415 and "curl --json '{" in answer.json["error"], answer.json
    post(server, "--data", "sentinel")
    assert heard(listener, 1) == ["sentinel"]


@pytest.mark.parametrize("arguments, body", [
    ((), b""), (JSON, b""), (JSON, b"[]"), (NDJSON, b"\n\n"), ((), b"\xff\xfe"), (JSON, b'{"data":"\xff"}'),
    (JSON, b'{"topic":"a","topics":["b"],"data":1}'), (JSON, b'{"topics":[],"data":1}'), (JSON, b"1"),
    (("--header", "Idempotency-Key: " + "k" * 256), b"text"), (JSON, b'{"id":"%s","data":1}' % (b"k" * 256)),
], ids=["empty", "empty JSON", "empty array", "empty lines", "not UTF-8", "JSON not in UTF-8", "topic and topics",
        "no topics", "no object", "long key", "long id"])
def test_what_else_is_bad_is_a_400_that_says_why(server, arguments, body):
    answer = post(server, *arguments, *STDIN, stdin=body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]


@pytest.mark.parametrize("topic", ["", "or ders", "ördung", "orders/*", "*", "a,b", "x" * 129, "a\\u0000b"])
def test_a_bad_topic_is_a_422(server, topic):
    assert post(server, "--json", '{"topic":"%s","data":1}' % topic).status == 422
    assert post(server, "--json", '{"topics":["orders","%s"],"data":1}' % topic).status == 422
    assert post(server, "--data", "x", query="?topic=" + "".join(f"%{octet:02x}" for octet in topic.encode())).status == 422


def test_a_good_topic_is_of_letters_digits_and_a_few_signs(server):
    for topic in ["x" * 128, "a", "Az09._-:/"]:
        with listening(server, topic) as (ws, welcome):
            assert welcome["topics"] == [topic]
            assert post(server, "--data", "x", query=f"?topic={topic}").status == 200
            assert publications(ws, 1) == [(topic, "x")]


@pytest.mark.parametrize("how", [(), ("--header", "Transfer-Encoding: chunked"), ("--header", "Expect:")],
                         ids=["announced", "chunked", "sent at once"])
def test_a_body_over_the_limit_is_a_413(how):
    with Slackwater(*QUIET, "--max-publish-size", "1000") as server:
        assert post(server, *STDIN, stdin=b"x" * 1000).status == 200
        for size in (1001, 2_000_000):
            answer = post(server, *how, *STDIN, stdin=b"x" * size)
            assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_get_is_not_the_method(server):
    answer = curl(f"{server.http}/publish")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert isinstance(answer.json, dict)


def bearer(token):
    return ("--header", f"Authorization: Bearer {token}")


@pytest.mark.parametrize("is_file", [False, True], ids=["flag", "file"])
def test_a_token_guards_it(tmp_path, is_file):
    (tmp_path / "token").write_text("s3cret/Token+=\n")
    (tmp_path / "token").chmod(0o600)
    flags = ["--publish-token-file", tmp_path / "token"] if is_file else ["--publish-token", "s3cret/Token+="]
    with Slackwater(*QUIET, "--host", "0.0.0.0", *flags) as server, listening(server) as (ws, _):
        wrong = ["s3cret", "s3cret/Token+=x", "S3CRET/TOKEN+="]
        for without in [(), bearer(""), ("--user", "a:s3cret/Token+="), ("--header", "Expect: 100-continue")]:
            answer = post(server, *without, "--data", "forged")
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        for shown in map(bearer, wrong):
            answer = post(server, *shown, "--data", "forged")
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        # A page of any origin may publish, as it has the token.
        foreign = ("--header", "Origin: https://pages.example")
        assert post(server, *bearer("s3cret/Token+="), *foreign, "--data", "permitted").status == 200
        assert heard(ws, 1) == ["permitted"]
        # In the arguments everyone on the machine can read it. That wrong ones were tried is said, too.
        warnings = [line for line in server.log if line.startswith("[WARNING]")]
        tried = [line for line in warnings if "Refused with a token" in line]
        assert (len(tried), len(warnings)) == (1, 1 if is_file else 2)
        assert not any("s3cret" in line.lower() for line in server.log)


def test_without_a_token_others_than_this_machine_cannot_publish():
    with Slackwater(*QUIET, "--host", "0.0.0.0") as server, listening(server) as (ws, _):
        server.wait_for(r"\[WARNING\] Publishing is off.*--publish-token")
        for authorised in [(), bearer("guess")]:
            answer = post(server, *authorised, "--data", "forged")
            assert answer.status == 403
            assert "--publish-token" in answer.json["error"]
        assert hears_nothing_more(ws)


def test_a_page_of_another_origin_cannot_publish(server, listener):
    own = server.http
    assert post(server, "--header", f"Origin: {own}", "--data", "own").status == 200
    rebound = ("--header", f"Host: pages.example:{server.port}", "--header", f"Origin: http://pages.example:{server.port}")
    for foreign in [("--header", "Origin: https://pages.example"), ("--header", "Origin: null"), rebound]:
        assert post(server, *foreign, "--data", "forged").status == 403
    assert heard(listener, 1) == ["own"]
    assert hears_nothing_more(listener)


def test_a_publication_that_is_not_whole_when_the_server_leaves_is_refused():
    with Slackwater(*QUIET) as server, connected(server.ws, 1) as [ws], \
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as kept, \
            socket.create_connection(("127.0.0.1", server.port), PATIENCE) as fresh:
        kept.request("POST", "/publish", b"first")
        assert kept.getresponse().read()
        kept.putrequest("POST", "/publish")
        kept.putheader("Content-Length", "6")
        kept.endheaders(b"sec")
        assert heard(ws, 1) == ["first"] and hears_nothing_more(ws)  # so the half of it has been read by now
        server.signal()
        server.wait_for(r"\[INFO\] Waiting for 1 connections")
        kept.send(b"ond")
        answer = kept.getresponse()
        assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")
        assert json.loads(answer.read())["error"]
        fresh.sendall(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nthird")
        refusal = fresh.makefile("rb").read()
        assert refusal.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in refusal
        assert hears_nothing_more(ws)


def test_a_kept_connection_without_a_request_is_let_go_when_the_server_leaves():
    with Slackwater(*QUIET, "--timeout-keep-alive", "60") as server, connected(server.ws, 1), \
            socket.create_connection(("127.0.0.1", server.port), PATIENCE) as kept:
        kept.sendall(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nfirst")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
        server.signal()
        assert kept.recv(4096) == b""

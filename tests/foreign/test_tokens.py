"""Tokens that PyJWT has minted, as `websockets` and curl show them: to one process, and to two workers that are one server."""
import contextlib
import json
import os
import subprocess
import time

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from client import address, connect, echo, hear, hears_nothing_more, listening, next_message
from curl import curl
from slackwater import PATIENCE, Slackwater
from tokens import BY_SECRET, KEYS, SECRET, WAYS, bearer, claims, granting

QUIET = ("--notify-interval", "0", "--no-drain-notice")
SIGNERS = {
    "HS256": (SECRET, BY_SECRET),
    "RS256": ((KEYS / "rsa.pem").read_text(), ("--auth-key-file", str(KEYS / "rsa.pub.pem"))),
    "ES256": ((KEYS / "ec.pem").read_text(), ("--auth-key-file", str(KEYS / "ec.pub.pem"))),
    "EdDSA": ((KEYS / "ed.pem").read_text(), ("--auth-key-file", str(KEYS / "ed.pub.pem"))),
}
# Twice as many as there are workers, and more: some of them are with each.
CROWD = 8


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def workers(request):
    return "--workers", request.param


@pytest.fixture(scope="module")
def guarded(workers):
    with Slackwater(*QUIET, *workers, *BY_SECRET, "--publish-token", "for-operators") as server:
        yield server


@pytest.fixture
def ears(guarded):
    """Those who hear everything."""
    with crowd(guarded, lambda _: granting("*"), "*") as ears:
        yield ears


@contextlib.contextmanager
def crowd(server, token, *topics):
    """Clients of these topics, each with its own token."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(listening(server, *topics, **bearer(token(n))))[0] for n in range(CROWD)]


def refused(url, **options):
    """What a client is told that is not let in: the status, WWW-Authenticate, and why."""
    with pytest.raises(InvalidStatus) as refused, connect(url, **options):
        pass
    response = refused.value.response
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, response.headers["WWW-Authenticate"], json.loads(response.body)["error"]


def tell(ws, command):
    """Gives a command; the answer to it."""
    ws.send(json.dumps(command))
    answer = next_message(ws)
    answer.pop("timestamp")
    return answer


def end_of(ws):
    """The close frame that the client was sent, first."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            assert next_message(ws)["type"] == "reconnect"
    assert closed.value.rcvd_then_sent is True
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_token_of_each_algorithm_lets_in_by_each_way(workers, algorithm):
    key, flags = SIGNERS[algorithm]
    token = jwt.encode(claims(["orders/*"]), key, algorithm=algorithm)
    forged = ".".join([*token.split(".")[:2], "A" * len(token.split(".")[2])])
    with Slackwater(*QUIET, *workers, *flags) as server:
        for way in WAYS.values():
            options, query = way(token)
            with connect(f"{server.ws}{query or '?'}&topic=orders/7", **options) as ws:
                assert hear(ws, "welcome")["topics"] == ["orders/7"]
                assert ws.subprotocol == ("slackwater" if "subprotocols" in options else None)
            options, query = way(forged)
            assert refused(f"{server.ws}{query}", **options) == (
                401, 'Bearer error="invalid_token"', "the token's signature is wrong")


def test_who_is_not_let_in_is_told_which_check_has_failed(guarded):
    assert refused(guarded.ws) == (401, "Bearer", "a token is needed")
    unsigned = jwt.encode(claims(["*"]), None, algorithm="none")
    longer = jwt.encode(claims(["*"]), SECRET * 2, algorithm="HS512")
    for token, check in [(unsigned, "no JWT"), (longer, "(alg)"), (granting("*", lasts=-1), "(exp)"),
                         (granting("*", nbf=time.time() + 600), "(nbf)"), (granting("*", aud="others"), "(aud)"),
                         (granting("or ders"), "(slackwater)")]:
        status, challenge, why = refused(guarded.ws, **bearer(token))
        assert (status, challenge) == (401, 'Bearer error="invalid_token"')
        assert check in why
    for topic in ["orders", "*", "orders/*&topic=news"]:
        status, challenge, why = refused(f"{guarded.ws}?topic={topic}", **bearer(granting("orders/*")))
        assert (status, challenge) == (403, 'Bearer error="insufficient_scope"')
        assert "does not grant" in why


def test_each_is_closed_with_4004_when_its_token_expires_and_not_before(guarded):
    expires = time.time() + 3
    with (crowd(guarded, lambda n: granting("*", exp=expires + n / 10)) as brief,
          connect(guarded.ws, **bearer(granting("*"))) as ws):
        for n, client in enumerate(brief):
            assert end_of(client) == (4004, "the token has expired")
            assert time.time() >= expires + n / 10 - 0.001  # Times are milliseconds to the server.
        assert echo(ws, "still here")


def test_a_refresh_keeps_a_client_that_its_first_token_would_not(guarded):
    expires = time.time() + 3
    with crowd(guarded, lambda _: granting("*", exp=expires)) as [other, *refreshed]:
        for ws in refreshed:
            answer = tell(ws, {"type": "refresh", "token": granting("*", exp=4_000_000_000)})
            assert answer == {"type": "refreshed", "expires": "2096-10-02T07:06:40.000Z"}
            answer = tell(ws, {"type": "refresh", "token": granting("*", sub="eve")})
            assert (answer["type"], answer["code"]) == ("error", "bad_token")
        assert end_of(other)[0] == 4004
        assert all(echo(ws, "still here") for ws in refreshed)


def test_a_refresh_with_less_rights_ends_what_they_no_longer_allow(guarded):
    narrow = granting("a/1", publish=["b"])
    with crowd(guarded, lambda _: granting("*", publish=["*"]), "a/*", "a/1", "b") as clients:
        for ws in clients:
            ended = [tell(ws, {"type": "refresh", "token": narrow}), next_message(ws)]
            assert [(told["type"], told["topic"]) for told in ended] == [("unsubscribed", "a/*"), ("unsubscribed", "b")]
            assert next_message(ws)["type"] == "refreshed"
            assert tell(ws, {"type": "subscribe", "topic": "b"})["code"] == "forbidden"
            assert tell(ws, {"type": "publish", "topic": "a/1", "data": 0})["code"] == "forbidden"
        published = tell(clients[0], {"type": "publish", "topic": "b", "data": "no longer heard"})
        assert published["type"] == "published"
        operators = ["--header", "Authorization: Bearer for-operators"]
        for topic in ["a/2", "a/1"]:
            assert curl(f"{guarded.http}/publish?topic={topic}", "--data", topic, *operators).status == 200
        assert [next_message(ws)["data"] for ws in clients] == ["a/1"] * CROWD
        assert all(hears_nothing_more(ws) for ws in clients)


def test_what_a_client_publishes_all_hear_with_the_id_that_it_is_told(guarded, ears):
    token = granting("news", publish=["chat/*"])
    with connect(address(guarded, "news"), **bearer(token)) as ws:
        hear(ws, "welcome")
        for ref in ["r", 7]:
            command = {"type": "publish", "topic": "chat/7", "data": {"text": "hi"}, "ref": ref, "id": f"m-{ref}"}
            published = tell(ws, command)
            assert published == {"type": "published", "id": published["id"], "ref": ref}
            assert tell(ws, command) == published, "a retry publishes nothing"
            for ear in ears:
                heard = next_message(ear)
                assert (heard["id"], heard["topic"], heard["data"]) == (published["id"], "chat/7", {"text": "hi"})
        for topic, code in [("chat", "forbidden"), ("news", "forbidden"), ("chat/*", "bad_topic")]:
            answer = tell(ws, {"type": "publish", "topic": topic, "data": 0, "ref": topic})
            assert (answer["type"], answer["code"], answer["ref"]) == ("error", code, topic)
    assert all(hears_nothing_more(ear) for ear in ears)


def test_curl_publishes_what_its_token_grants(guarded, ears):
    token = granting(publish=["chat/*"])

    def post(body, *fields, query=""):
        answer = curl(f"{guarded.http}/publish{query}", "--json", json.dumps(body), *fields)
        return answer.status, answer.headers.get("www-authenticate")

    def shown(token):
        return "--header", f"Authorization: Bearer {token}"

    invalid, insufficient = (401, 'Bearer error="invalid_token"'), (403, 'Bearer error="insufficient_scope"')
    assert post({"topic": "chat/1", "data": 1}, *shown(token)) == (200, None)
    assert post({"topic": "chat/1", "data": 2}, query=f"?token={token}&topic=chat/1") == (200, None)
    assert post([{"topic": "chat/1", "data": 0}, {"topic": "news", "data": 0}], *shown(token)) == insufficient
    assert post({"topic": "chat/1", "data": 0}, *shown(granting("*"))) == insufficient
    assert post({"topic": "chat/1", "data": 0}, *shown(granting(publish=["*"], lasts=-1))) == invalid
    # Without one, or with a cookie, which browsers send by themselves, the operators' is needed.
    assert post({"topic": "chat/1", "data": 0}) == (401, "Bearer")
    assert post({"topic": "chat/1", "data": 0}, "--cookie", f"slackwater_token={token}") == (401, "Bearer")
    for ear in ears:
        assert next_message(ear)["data"] == 1
        assert next_message(ear)["data"] == {"topic": "chat/1", "data": 2}
        assert hears_nothing_more(ear)


def test_a_leaving_server_refreshes_and_expires_and_ends_with_the_last(workers):
    flags = ("--notify-interval", "0", *workers, *BY_SECRET, "--drain-spread", "0")
    brief = time.time() + 3
    with Slackwater(*flags) as server, crowd(server, lambda _: granting("*", exp=brief)) as [*clients, refreshed]:
        server.signal()
        server.wait_for(r"\[INFO\] Graceful shutdown initiated")
        assert hear(refreshed, "reconnect")["reason"] == "server_restart"
        later = granting("*", publish=["*"], exp=brief + 1)
        assert tell(refreshed, {"type": "refresh", "token": later})["type"] == "refreshed"
        answer = tell(refreshed, {"type": "publish", "topic": "a", "data": 0, "ref": 1})
        assert (answer["code"], answer["ref"]) == ("restarting", 1)
        assert [end_of(ws)[0] for ws in clients] == [4004] * len(clients)
        assert echo(refreshed, "still here")
        assert end_of(refreshed)[0] == 4004
        # All have left by themselves, as far as the drain is concerned.
        assert server.exit_code() == 0


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_what_the_command_mints_another_library_verifies(tmp_path, algorithm):
    name = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}.get(algorithm)
    file = tmp_path / "secret"
    file.write_text((KEYS / f"{name}.pem").read_text() if name else SECRET)
    file.chmod(0o600)
    signed_by = ("--signing-key-file", str(file), "--key-id", name) if name else ("--auth-secret-file", str(file))
    command = [os.environ["SLACKWATER_BIN"], "token", *signed_by, "--sub", "ada", "--auth-audience", "us", "--auth-issuer", "we",
               "--subscribe", "orders/*,news", "--publish", "chat/7", "--expires", "1h"]
    minted = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    token = minted.stdout.removesuffix("\n")
    key = (KEYS / f"{name}.pub.pem").read_text() if name else SECRET
    verified = jwt.decode(token, key, algorithms=[algorithm], audience="us", issuer="we",
                          options={"require": ["sub", "exp", "iat"]})
    assert (verified["sub"], verified["exp"] - verified["iat"]) == ("ada", 3600)
    assert verified["slackwater"] == {"subscribe": ["orders/*", "news"], "publish": ["chat/7"]}
    assert jwt.get_unverified_header(token).get("kid") == name

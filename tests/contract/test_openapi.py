"""docs/openapi.yaml beside what the server does: schemathesis makes requests of it, good ones and bad ones, and every answer has to
be one that stands there, with its fields and of its schema."""
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import openapi_spec_validator
import pytest
import requests
import schemathesis
import urllib3
import yaml
from jsonschema import Draft202012Validator

from client import connect, connected
from engines import engine
from programs import wait_until
from slackwater import PATIENCE, Slackwater
from tokens import BY_SECRET, granting

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "openapi.yaml"
SCHEMA = schemathesis.openapi.from_path(DOCUMENT)
OPENAPI = yaml.safe_load(DOCUMENT.read_text())
PAGE = ("--allowed-origin", "https://app.example.com")
OPERATOR = "sesame"
# It has no end where there is room for it.
NO_STREAM = ("--exclude-operation-id", "openEventStream")


def judge(url, *options):
    """Has schemathesis ask for everything in the document, but what ends the server; it keeps its notes in a folder that goes."""
    command = [str(Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml"), "--no-color", "run", str(DOCUMENT),
               "--url", url, "--exclude-path", "/drain", *options]
    env = {**os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "hooks"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def guarded(*flags):
    """A server that expects tokens, with a door for operators; and the address of that."""
    with Slackwater("--notify-interval", "0", "--admin", "127.0.0.1:0", "--publish-token", OPERATOR, *PAGE, *BY_SECRET, *flags) as server:
        yield server, server.wait_for(r".*Operators are answered on (http://\S+)")[1]


def test_every_answer_is_in_the_document():
    with Slackwater("--notify-interval", "0", *PAGE) as server:
        judge(server.http, *NO_STREAM)


def test_every_answer_at_the_doors_of_a_guarded_server_is_in_the_document():
    with guarded() as (server, admin):
        rights = ("-H", f"Authorization: Bearer {granting('*')}")
        judge(server.http, *NO_STREAM, "--phases", "examples", *rights)
        judge(admin, "--include-tag", "operators", "--include-tag", "publishing", "--phases", "examples", "-H", f"Authorization: Bearer {OPERATOR}")


def test_every_answer_of_a_server_that_is_full_is_in_the_document():
    """An event stream ends at once there, and is told when to come back."""
    with Slackwater("--notify-interval", "0", "--limit-concurrency", "2", *PAGE) as server, connected(server.ws, 2):
        judge(server.http, "--phases", "examples,fuzzing", "--max-examples", "3", "--exclude-checks",
              "not_a_server_error,positive_data_acceptance,unsupported_method")


def ask(operation_id, base, query="", **options):
    """The answer to a request, which has to be as the document has it."""
    operation = SCHEMA.find_operation_by_id(operation_id)
    answer = requests.request(operation.method, f"{base}{operation.path}{query}", timeout=PATIENCE, **options)
    operation.validate_response(answer)
    return answer


@pytest.mark.parametrize("status, flags, request_of_it", [
    (400, [], {"headers": {"Host": "a b"}}),
    (401, ["--publish-token", OPERATOR], {}),
    (403, ["--forwarded-allow-ips", ""], {"headers": {"X-Forwarded-For": "203.0.113.5"}}),
    (413, ["--max-publish-size", "1000"], {"data": "x" * 2000}),
    (415, [], {"data": '{"data":1}', "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    (422, [], {"query": "?topic=a%20b", "data": "x"}),
    (429, ["--limit-per-ip", "1"], {}),
    (431, [], {"headers": {"X-Long": "x" * 20_000}}),
    (503, ["--limit-concurrency", "1"], {"data": "x"}),
], ids=lambda value: str(value) if isinstance(value, int) else "")
def test_each_way_to_refuse_a_publication_is_in_the_document(status, flags, request_of_it):
    with Slackwater(*flags) as server, connected(server.ws, 1):
        assert ask("publish", server.http, **request_of_it).status_code == status


def test_a_transfer_coding_that_is_not_spoken_is_refused_as_the_document_says():
    with Slackwater() as server:
        assert ask("isAlive", server.http, headers={"Transfer-Encoding": "gzip"}).status_code == 501


def test_a_version_of_http_that_is_not_spoken_is_refused_as_the_document_says(monkeypatch):
    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_http_vsn_str", "HTTP/2.0")
    with Slackwater() as server:
        assert ask("isAlive", server.http).status_code == 505


def test_whoever_does_not_end_a_request_is_answered_as_the_document_says():
    operation = SCHEMA.find_operation_by_id("publish")
    with Slackwater("--handshake-timeout", "0.2") as server, requests.Session() as session:
        request = session.prepare_request(requests.Request("POST", f"{server.http}/publish"))
        request.headers["Content-Length"] = "10"
        answer = session.send(request, timeout=PATIENCE)
    assert answer.status_code == 408
    operation.validate_response(answer)


def closed(schema):
    """A schema that takes no field that it does not name."""
    match schema:
        case {"properties": _}:
            return {"additionalProperties": False, **{key: closed(value) for key, value in schema.items()}}
        case dict():
            return {key: closed(value) for key, value in schema.items()}
        case list():
            return [closed(item) for item in schema]
    return schema


@pytest.mark.parametrize("query, schema", [("", "Status"), ("?connections", "Connections")])
def test_the_status_has_no_field_that_is_not_in_the_document(query, schema):
    with Slackwater("--drain-delay", "60") as server, connected(server.ws, 2), streaming(server):
        for _ in range(2):
            assert unknown(schema, ask("howIsIt", server.http, query).json()) == []
            ask("drain", server.http)
            server.wait_for(r"\[INFO\] Shutdown signal received")


def test_nor_has_it_one_with_an_engine_and_after_a_hand_over(tmp_path):
    with engine(tmp_path) as redis, Slackwater("--engine", f"redis://127.0.0.1:{redis.port}") as server:
        server.hand_over()
        for word in ("up", "down"):
            wait_until(lambda: ask("howIsIt", server.http).json()["engine"]["status"] == word, f"the engine is not {word}")
            told = ask("howIsIt", server.http).json()
            assert told["handover"]["result"] == "completed"
            assert unknown("Status", told) == []
            redis.kill()


def unknown(schema, told):
    """What stands there that is not in the document."""
    strict = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": closed(OPENAPI["components"])})
    return [error.message for error in strict.iter_errors(told)]


@contextlib.contextmanager
def streaming(server):
    with requests.get(f"{server.http}/events", stream=True, timeout=PATIENCE):
        yield


def test_every_answer_of_a_server_that_leaves_is_in_the_document():
    with Slackwater("--drain-delay", "60") as server, connected(server.ws, 1):
        assert ask("isReady", server.http).status_code == 200
        assert ask("drain", server.http).status_code == 202
        server.wait_for(r"\[INFO\] Shutdown signal received")
        assert ask("isReady", server.http).json()["status"] == "draining"
        assert ask("howIsIt", server.http).json()["drain"]
        assert ask("isAlive", server.http).status_code == 200


def test_a_websocket_begins_with_the_fields_of_the_document():
    told = OPENAPI["paths"]["/ws"]["get"]["responses"]["101"]["headers"]
    with Slackwater("--ws-per-message-deflate") as server, connect(server.ws, subprotocols=["slackwater"], compression="deflate") as ws:
        for name, header in told.items():
            assert Draft202012Validator(header["schema"]).is_valid(ws.response.headers[name]), name


def test_each_path_is_answered_at_the_doors_that_the_document_says():
    with guarded() as (server, admin):
        for path, item in OPENAPI["paths"].items():
            for method, operation in item.items():
                public, operators = (requests.request(method, base + path, timeout=PATIENCE, stream=True).status_code != 404
                                     for base in (server.http, admin))
                tag = operation["tags"][0]
                assert public == (tag in {"listening", "page"} or path == "/healthz"), (method, path)
                assert operators == (tag in {"publishing", "operators"} or path == "/"), (method, path)


def test_the_document_is_one_of_openapi():
    openapi_spec_validator.validate(OPENAPI)

"""What is shared by all: publications through a proxy, and figures that are told in the end, from whichever process they come."""
import http.client
import json

import pytest

from slackwater import PATIENCE


@pytest.fixture
def post():
    """Publishes at a port, by the path and with the token if there is one; gives back the status and the answer, where it
    is the server's."""
    def post(port, data, token=None, path="/publish"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            connection.request("POST", path, json.dumps({"data": data}), headers)
            answer = connection.getresponse()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(answer.read()) if is_json else None
        finally:
            connection.close()
    return post


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed"):
        for _, told in report.user_properties:
            terminalreporter.write_line(told)

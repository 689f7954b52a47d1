"""Runs curl, and reads what it says an answer was."""
import json
import subprocess
from dataclasses import dataclass

from slackwater import PATIENCE


@dataclass
class Answer:
    status: int
    headers: dict  # names in lower case
    body: str

    @property
    def json(self):
        return json.loads(self.body)


def run_curl(*arguments, stdin=b""):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=stdin).stdout.decode()


def curl(*arguments, stdin=b""):
    """One request's answer, whatever its status."""
    head, _, body = run_curl("--include", *arguments, stdin=stdin).partition("\r\n\r\n")
    if head.startswith("HTTP/1.1 100 "):
        head, _, body = body.partition("\r\n\r\n")
    status_line, *fields = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answer(int(status_line.split()[1]), headers, body)

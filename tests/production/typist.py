"""Types what a guide shows into one shell, in a folder of its own, and tells what was seen of each command. Ports are led to free
ones, `cargo run --release` is the server, and whatever was started is ended by its pid."""
import contextlib
import os
import re
import signal
import subprocess

from programs import free_port, wait_until
from slackwater import PATIENCE

DONE = "that was all"
# A server at the prompt: everything else typed is over when the next prompt comes.
SERVER = re.compile(r"slackwater(?: serve)?(?: -|$| &)|cargo run --release")


class Typist:
    """`with Typist(folder, block…) as typist: …`: `typist.seen` has each command with what is to be seen and what was."""

    def __init__(self, folder, blocks, files=(), left_out=(), changes=(), env=()):
        self.folder, self.files = folder, files
        self.port, self.admin_port = free_port(), free_port()
        self.steps = [step for block in blocks for step in block.steps() if not step[0].startswith(tuple(left_out))]
        self.changes = {":8000": f":{self.port}", "--port 8000": f"--port {self.port}", ":9000": f":{self.admin_port}", **dict(changes)}
        self.env = dict(env)
        self.seen = []

    def _prepare(self):
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "slackwater").symlink_to(os.environ["SLACKWATER_BIN"])
        cargo = self.folder / "bin" / "cargo"
        cargo.write_text('#!/bin/sh\n[ "$*" = "run --release" ] && exec slackwater\n')
        cargo.chmod(0o755)
        for name, text in dict(self.files).items():
            (self.folder / name).write_text(text)
        (self.folder / ".curlrc").write_text(f'noproxy = "*"\nsilent\nmax-time = {PATIENCE}\n')

    def _adapted(self, text):
        for shown, taken in self.changes.items():
            text = re.sub(rf"{re.escape(shown)}(?!\d)", lambda _: taken, text)
        return text

    def _script(self):
        for number, (command, _) in enumerate(self.steps):
            command = self._adapted(command)
            if SERVER.match(command):
                # Several may stand in one line; each writes into the log of that line.
                servers = command.rstrip(" &").count("&") + 1
                yield (f"{{ {command.rstrip(' &')} & }} 2>{number}.log\n"
                       f"until [ $(grep -c Serving {number}.log) = {servers} ]; do kill -0 $!; sleep 0.02; done\n")
            else:
                yield f"{command}\n"
            yield f"echo '{DONE}'\n"
        yield "read -r _\n"

    def _told(self):
        return (self.folder / "out").read_text().split(f"{DONE}\n")

    def __enter__(self):
        self._prepare()
        (self.folder / "typed").write_text("set -euo pipefail\n" + "".join(self._script()))
        env = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "CURL_HOME": str(self.folder), "HOME": str(self.folder),
               "SLACKWATER_PORT": str(self.port), **self.env}
        with (self.folder / "out").open("w") as out, (self.folder / "errors").open("w") as errors:
            # All that it starts is one process group.
            self.shell = subprocess.Popen(["bash", "typed"], cwd=self.folder, env=env, stdin=subprocess.PIPE, stdout=out,
                                          stderr=errors, start_new_session=True)
        try:
            wait_until(lambda: len(self._told()) > len(self.steps) or self.shell.poll() is not None, self.said)
            assert len(self._told()) > len(self.steps), self.said()
        except BaseException:
            self.__exit__()
            raise
        self.seen = [(command, wanted, self.output(number)) for number, (command, wanted) in enumerate(self.steps)]
        return self

    def output(self, number):
        """What was seen of a command, by the ports that the guide shows."""
        log = self.folder / f"{number}.log"
        text = log.read_text() if log.exists() else self._told()[number]
        for shown, taken in self.changes.items():
            text = re.sub(rf"{re.escape(taken)}(?!\d)", lambda _: shown, text)
        return text.splitlines()

    def said(self):
        logs = [log.read_text() for log in sorted(self.folder.glob("*.log"))]
        return "\n".join(["\n".join(self._told()), (self.folder / "errors").read_text(), *logs])

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait(PATIENCE)
        self.shell.stdin.close()

"""Handshakes by OpenSSL's own client, and ones written by hand, with what is answered."""
import contextlib
import re
import select
import socket
import struct
import subprocess

from authority import AUTHORITY
from slackwater import PATIENCE

HANDSHAKE, ALERT = 22, 21
PROTOCOL_VERSION = 70
HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def s_client(port, *options, said="Q\n"):
    """What `openssl s_client` says of a connection that it opens and ends, whatever comes of it."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", AUTHORITY.certificate, *options]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, input=said, text=True,
                          errors="replace", timeout=PATIENCE, check=False).stdout


def agreed(said):
    """The version and the cipher suite that were agreed on, if they were."""
    found = re.search(r"^(?:New|Reused), (\S+), Cipher is (\S+)$", said, re.MULTILINE)
    return found.groups() if found and found[2] != "(NONE)" and ":error:" not in said else None


class Conversation:
    """`openssl s_client` that is typed to."""

    def __init__(self, port, *options):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", AUTHORITY.certificate, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = ""

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, text):
        """Waits until it has said that, behind all that was waited for before."""
        while text not in self.said:
            piece = self._more()
            assert piece, f"waited for {text!r}:\n{self.said}"
            self.said += piece
        self.said = self.said.partition(text)[2]

    def rest(self):
        """All that it says until it ends."""
        while piece := self._more():
            self.said += piece
        return self.said

    def _more(self):
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"it says no more than this:\n{self.said}"
        return self.process.stdout.read1().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def vector(content, width=2):
    return len(content).to_bytes(width, "big") + content


def extension(number, content):
    return struct.pack(">H", number) + vector(content)


def client_hello(version=0x0303, suites=(0x1301, 0xc02b, 0xc02f), compression=b"\0", extensions=b""):
    """A record with a ClientHello (RFC 8446 §4.1.2)."""
    hello = struct.pack(">H", version) + b"r" * 32 + vector(b"", 1)
    hello += vector(b"".join(struct.pack(">H", suite) for suite in suites)) + vector(compression, 1)
    hello += vector(extensions) if extensions else b""
    message = b"\1" + vector(hello, 3)
    return bytes([HANDSHAKE]) + struct.pack(">H", min(version, 0x0301)) + vector(message)


def answer(port, octets):
    """The type and the content of the first record that is answered; `None` if the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as peer:
        peer.sendall(octets)
        heard = b""
        while len(heard) < 5 or len(heard) < 5 + int.from_bytes(heard[3:5], "big"):
            try:
                piece = peer.recv(4096)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            heard += piece
        return heard[0], heard[5:5 + int.from_bytes(heard[3:5], "big")]


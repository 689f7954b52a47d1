"""TLS by Python's `ssl` over a socket that the test sends to and reads from itself, so that it sees how each side ends."""
import socket
import ssl

from authority import AUTHORITY
from slackwater import PATIENCE

PAGE = b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


class Connection:
    """One that has shaken hands."""

    def __init__(self, port, version="1.3", session=None):
        context = AUTHORITY.context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self._until_done(self.tls.do_handshake)

    def send(self, octets):
        self.tls.write(octets)
        self.flush()

    def flush(self):
        if octets := self.outgoing.read():
            self.socket.sendall(octets)

    def close_notify(self):
        """Ends this side as TLS has it; the stream beneath stays."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def read(self):
        """What comes next."""
        return self._until_done(lambda: self.tls.read(65536))

    def rest(self):
        """All that comes, up to `close_notify`; an end without it is an error."""
        heard = b""
        try:
            while piece := self._until_done(lambda: self.tls.read(65536)):
                heard += piece
        except ssl.SSLZeroReturnError:
            pass
        return heard

    def ends(self):
        """Whether nothing but the end of the stream beneath follows."""
        return self.socket.recv(65536) == b""

    def _until_done(self, act):
        while True:
            try:
                done = act()
                self.flush()
                return done
            except ssl.SSLWantReadError:
                self.flush()
                octets = self.socket.recv(65536)
                self.incoming.write(octets) if octets else self.incoming.write_eof()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

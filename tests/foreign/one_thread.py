"""Sockets over TLS that let in one thread after the other.

OpenSSL allows one object to one thread at a time, and CPython 3.11 does not see to it. The blocking client of
`websockets` reads in a thread of its own: now and then it is stuck or cut off when the tickets of TLS 1.3 come while
it sends its request, whoever serves.
"""
import select
import ssl
import threading


class OneThreadAtATime(ssl.SSLSocket):
    """Once its handshake is done it waits outside OpenSSL, for as long as it takes."""

    def __new__(cls, *arguments, **options):
        self = super().__new__(cls, *arguments, **options)
        self.alone = threading.Lock()
        self.is_agreed = False
        return self

    def do_handshake(self, block=False):
        super().do_handshake(block)
        super().settimeout(0)
        self.is_agreed = True

    def settimeout(self, timeout):
        """Bounds the handshake. Afterwards the tests end what hangs."""
        if not self.is_agreed:
            super().settimeout(timeout)

    def recv(self, *arguments):
        return self.wait_for(super().recv, *arguments)

    def send(self, *arguments):
        return self.wait_for(super().send, *arguments)

    def wait_for(self, act, *arguments):
        while True:
            with self.alone:
                try:
                    return act(*arguments)
                except (ssl.SSLWantReadError, BlockingIOError):
                    readers, writers = [self], []
                except ssl.SSLWantWriteError:
                    readers, writers = [], [self]
            select.select(readers, writers, [])


def trusting(authority):
    """What such a client says that believes in nobody else."""
    context = ssl.create_default_context(cafile=authority)
    context.sslsocket_class = OneThreadAtATime
    return context

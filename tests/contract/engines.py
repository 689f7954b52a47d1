"""A Redis, for servers that share what is published."""
import contextlib
import socket

from programs import Program, free_port


@contextlib.contextmanager
def engine(folder):
    """A Redis, which orders and remembers what is published."""
    with Program(free_port(), folder) as redis:
        redis.run("redis-server", "--port", str(redis.port), "--save", "", "--dir", str(folder))
        yield redis


def flush(redis):
    with socket.create_connection(("127.0.0.1", redis.port)) as link:
        link.sendall(b"FLUSHALL\r\n")
        assert link.recv(100).startswith(b"+OK")

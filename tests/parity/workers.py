"""The workers of an engine one by one: for tests of what each of several does by itself.

The kernel chooses which worker a connection comes to, so connections are made until the wanted one has one.  Envoy counts
them by worker; the workers of twistproxy are processes, whose descriptors /proc shows.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .harness import Proxy, wait_for
from .wire import Client

#: That this many all come to one of two workers does not happen.
_TRIES = 64
_TITLE = re.compile(rb"twistproxy: worker (\d+)")


class Workers:
    """The workers, each by its number."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.numbers = range(proxy.concurrency)
        self.kept: list[Client] = []

    def client(self, worker: int, name: str = "main") -> Client:
        """A new connection to the worker of this number, to the listener of this name."""
        if self.proxy.concurrency == 1:
            return self.proxy.client(name)
        made = []
        for _ in range(_TRIES):
            before = _totals(self.proxy, name)
            made.append(self.proxy.client(name))
            if _accepted_by(self.proxy, name, made[-1], before) == worker:
                break
        *others, client = made
        for each in others:  # only now: until then the next one is of another port
            each.close()
        return client

    def new_clients(self, name: str = "main") -> list[Client]:
        """A new connection to each."""
        return [self.client(number, name) for number in self.numbers]

    def clients(self) -> list[Client]:
        """A connection to each, always the same."""
        self.kept = self.kept or self.new_clients()
        return self.kept

    def ask(self, path: str, count: int = 1, headers: str = "") -> list[list[str]]:
        """What each worker answers to so many requests, one after the other: the content, or the status if it is not
        200.  `headers` are lines ending in CRLF."""
        request = f"GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n"
        found = []
        for client in self.clients():
            answers = [client.send(request).read() for _ in range(count)]
            found.append([each.text if each.status == 200 else str(each.status) for each in answers])
        return found

    def share(self, path: str, count: int) -> list[str]:
        """All answers to so many requests, of which each worker gets the same part."""
        return [answer for answers in self.ask(path, count // len(self.numbers)) for answer in answers]

    def close(self) -> None:
        for client in self.kept:
            client.close()


def _accepted_by(proxy: Proxy, name: str, client: Client, before: list[int]) -> int:
    """The worker that has accepted a connection, at Envoy the only one since `before`."""
    if proxy.engine == "envoy":
        assert wait_for(lambda: sum(_totals(proxy, name)) > sum(before)), "nobody accepts"
        grown = [now > then for now, then in zip(_totals(proxy, name), before, strict=True)]
        return grown.index(True)
    inode = wait_for(lambda: _inode(client))
    assert inode, "nobody accepts"
    (found,) = (number for number, pid in _processes(proxy).items() if inode in _sockets(pid))
    return found


def _totals(proxy: Proxy, name: str) -> list[int]:
    """Envoy's connections to a listener so far, by worker."""
    if proxy.engine != "envoy":
        return []
    prefix = f"listener.127.0.0.1_{proxy.port(name)}.worker_"
    stats = proxy.stats(f"^{prefix}.*downstream_cx_total$")
    return [stats[f"{prefix}{number}.downstream_cx_total"] for number in range(proxy.concurrency)]


def _inode(client: Client) -> int:
    """Which socket is the proxy's end of a connection; 0 until it is accepted."""
    ends = [f"0100007F:{port:04X}" for port in (client.socket.getpeername()[1], client.local_port)]
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1:3] == ends:
            return int(fields[9])
    return 0


def _processes(proxy: Proxy) -> dict[int, int]:
    """The process ids of the workers by their numbers."""
    assert proxy.process is not None
    found = {}
    waiting = [proxy.process.pid]
    while waiting:
        pid = waiting.pop()
        waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        if title := _TITLE.match(Path(f"/proc/{pid}/cmdline").read_bytes()):
            found[int(title[1])] = pid
    return found


def _sockets(pid: int) -> set[int]:
    """The inodes of the sockets that a process has."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            kind, _, inode = os.readlink(entry.path).partition(":")
        except OSError:  # closed meanwhile
            continue
        if kind == "socket":
            found.add(int(inode.strip("[]")))
    return found

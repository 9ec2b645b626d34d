"""Which update a proxy's workers work with: requests over several connections, the kernel having spread those over the
workers, and the answers tell (`scale_world`).

An answer tells of an update only if its request met the marker.  So what one connection has learnt is known of its
worker, and which connections have a worker in common is seen by the origin: to it their requests come on the same
connections.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from dataclasses import dataclass, field

from loadtests.scale_world import update_of
from loadtests.tools import LoadTestError

_X_HOST = re.compile(rb"\r\nx-host: ([0-9.]+)\r\n", re.IGNORECASE)
_UPSTREAM = re.compile(rb"\r\nx-connection: (\d+)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass
class _Connection:
    socket: socket.socket
    number: int
    worker: int
    newest: int = -1
    buffer: bytes = b""
    waiting: bool = False
    due: float = 0.0


@dataclass
class Watcher:
    """`watch(seconds)` keeps asking; `lags[update]` has for each connection when it first knew of that update or a newer
    one.  `requests` counts the answers, `failed` those that were not 200.

    pause_s  between the answer and the next request of a connection
    """

    port: int
    connections: int = 8
    pause_s: float = 0.0
    requests: int = 0
    failed: int = 0
    updates: dict[int, float] = field(default_factory=dict)
    lags: dict[int, dict[int, float]] = field(default_factory=dict)
    _all: list[_Connection] = field(default_factory=list)
    _upstream: dict[bytes, _Connection] = field(default_factory=dict)
    _by_fd: dict[int, _Connection] = field(default_factory=dict)
    _count: int = 0

    def __enter__(self) -> Watcher:
        self._poll = select.epoll()
        for number in range(self.connections):
            one = _Connection(socket.create_connection(("127.0.0.1", self.port), 10), number, number)
            one.socket.setblocking(False)
            self._all.append(one)
            self._by_fd[one.socket.fileno()] = one
            self._poll.register(one.socket.fileno(), select.EPOLLIN)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._poll.close()
        for one in self._all:
            one.socket.close()

    def written(self, update: int) -> None:
        """This update has just been put in place."""
        self.updates[update] = time.monotonic()
        self.lags[update] = {}

    def reached(self, update: int) -> bool:
        """Whether all workers know of it."""
        late = {one.worker for one in self._all} - {one.worker for one in self._all if one.newest >= update}
        return not late

    def watch(self, seconds: float, until: int | None = None) -> None:
        """Ask for so long, or until all workers know of update `until`."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and not (until is not None and self.reached(until)):
            for number, one in enumerate(self._all):
                if not one.waiting and one.due <= now:
                    self._ask(one, number)
            due = min((one.due for one in self._all if not one.waiting), default=end)
            for fd, _ in self._poll.poll(max(0.0, min(due, end) - time.monotonic())):
                self._read(self._by_fd[fd])

    def _ask(self, one: _Connection, number: int) -> None:
        self._count += 1
        path = f"/1k?watch={self._count}"
        one.socket.send(f"GET {path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n".encode())
        one.waiting = True

    def _read(self, one: _Connection) -> None:
        data = one.socket.recv(65536)
        if not data:
            raise LoadTestError("the proxy closed a connection")
        one.buffer += data
        head, found, body = one.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or len(body) < int(length[1]):
            return
        one.buffer = b""
        one.waiting = False
        # At random: in step with each other, connections would meet the same endpoints in every turn.
        one.due = time.monotonic() + self.pause_s * random.uniform(0.2, 1.8)
        self.requests += 1
        host = _X_HOST.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200") or host is None:
            self.failed += 1
            return
        upstream = _UPSTREAM.search(head + b"\r\n")
        if upstream is not None:
            self._same_worker(one, self._upstream.setdefault(upstream[1], one))
        update = update_of(host[1].decode())
        if update is not None and update > one.newest:
            self._news(one, update)

    def _same_worker(self, one: _Connection, other: _Connection) -> None:
        former = one.worker
        for each in self._all:
            if each.worker == former:
                each.worker = other.worker

    def _news(self, one: _Connection, update: int) -> None:
        now = time.monotonic()
        for number in range(one.newest + 1, update + 1):
            if number in self.updates:
                self.lags[number][one.number] = now - self.updates[number]
        one.newest = update

    def lag_s(self, update: int) -> float:
        """Seconds until the last worker knew of it; endless if one never did."""
        found: dict[int, float] = {}
        for one in self._all:
            lag = self.lags[update].get(one.number, float("inf"))
            found[one.worker] = min(lag, found.get(one.worker, lag))
        return max(found.values())

"""A data plane for tests of the processes: it answers HTTP/1.1 requests itself, with the pid of its worker.

GET /sleep/SECONDS answers after that time, GET /stop stops the whole worker in its tracks, anything else at once.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twistproxy.observe.stats import Scope


class FakePlane:
    def __init__(self, clock: Any, connector: Any, log_files: Any, options: Any, board: Any) -> None:
        self.clock = clock
        self.connections: set[FakeConnection] = set()
        self.draining = False
        self.requests = 0
        self.bootstrap: Any = None
        self.values: dict[str, Any] = {}

    def apply(self, bootstrap: Any) -> None:
        if any(cluster.name == "refused by workers" for cluster in bootstrap.clusters):
            raise RuntimeError("no such cluster, please")
        self.bootstrap = bootstrap

    def accept(self, listener_name: str) -> Any:
        def accepted(transport: Any, remote: Any, local: Any) -> FakeConnection:
            return FakeConnection(self, transport, listener_name)

        return accepted

    def expects_redirected(self, listener_name: str) -> bool:
        return False

    def bypasses_overload(self, listener_name: str) -> bool:
        return False

    def set_runtime(self, values: Any) -> None:
        self.values = dict(values)

    def set_overload(self, values: Any) -> None: ...

    def update_endpoints(self, endpoints: Any) -> None: ...

    def use_discovery(self, say: Any) -> None: ...

    def drain(self) -> None:
        self.draining = True

    def active_connections(self) -> int:
        return len(self.connections)

    def active_requests(self) -> int:
        return sum(connection.busy for connection in self.connections)

    def close_idle(self) -> None:
        for connection in tuple(self.connections):
            if not connection.busy:
                connection.transport.loseConnection()

    def abort_all(self) -> None:
        for connection in tuple(self.connections):
            connection.transport.abortConnection()

    def set_healthy(self, healthy: bool) -> None: ...

    def explain(self, question: dict[str, Any]) -> dict[str, Any]:
        return {"error": f"asked for {question['path']}"}

    def snapshot(self, scope: Scope, worker: int) -> dict[str, Any]:
        return {"counters": {"http.fake.downstream_rq_total": self.requests}, "gauges": {}}


class FakeConnection:
    def __init__(self, plane: FakePlane, transport: Any, listener: str) -> None:
        self.plane = plane
        self.transport = transport
        self.listener = listener
        self.buffer = b""
        self.busy = False
        plane.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while not self.busy and b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.plane.requests += 1
            self.busy = True
            if path == "/stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            if path.startswith("/sleep/"):
                self.plane.clock.call_later(float(path[7:]), self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        text = f"{os.getpid()} {self.listener} {len(self.plane.bootstrap.clusters)}"
        if self.plane.values:
            text += f" {self.plane.values}"
        body = text.encode()
        close = b"connection: close\r\n" if self.plane.draining else b""
        self.transport.write(b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (close, len(body), body))
        self.busy = False
        if self.plane.draining:
            self.transport.loseConnection()
        else:
            self.data_received(b"")

    def read_ended(self) -> None:
        self.transport.loseConnection()

    def connection_lost(self, reason: str) -> None:
        self.plane.connections.discard(self)
        self.busy = False


def main(control: Any, settings: Any) -> None:
    """A worker with this data plane."""
    from twistproxy.process.worker import run

    run(control, settings, FakePlane)


def failing_main(control: Any, settings: Any) -> None:
    """A worker that dies as soon as it is born."""
    os._exit(3)

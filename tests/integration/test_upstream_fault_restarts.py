"""Upstreams that end connections just as they are used again: nothing that may be asked twice is lost, and what may not
is never asked twice."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import Program, RealProgram, cluster, listener, wait_for

from tests.parity.sockets import sockets_to

pytestmark = pytest.mark.integration

CLIENTS = 12
SECONDS = 2.5
#: The upstream closes a connection after so many seconds without a request, and clients pause for about as long.
PATIENCE = 0.004


class Connection(asyncio.Protocol):
    """One connection of the proxy's to an upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._held = b""
        self.served = False
        self._closing: asyncio.TimerHandle | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._upstream.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._upstream.connections.discard(self)

    def close(self) -> None:
        self._transport.close()

    def _rest(self) -> None:
        """Wait for the next request, but not for long."""
        if self._closing is not None:
            self._closing.cancel()
        if self._upstream.patience:
            self._closing = asyncio.get_running_loop().call_later(self._upstream.patience, self.close)

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            head, _, self._held = self._held.partition(b"\r\n\r\n")
            self._upstream.asked[head.split(b" ")[1].decode()] += 1
            self.served = True
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            self._rest()


class Upstream(threading.Thread):
    """Upstreams, one after the other, on a listening socket that all of them have.

    asked     how often each path was asked for
    patience  seconds until a silent connection is closed, 0 for never
    """

    def __init__(self, patience: float) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self.listening.getsockname()[1]
        self.patience = patience
        self.asked: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.loop = asyncio.new_event_loop()
        self.start()

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.create_server(lambda: Connection(self), sock=self.listening)
        self.loop.run_until_complete(server)
        self.loop.run_forever()

    def replace(self) -> None:
        """As if another process had taken over: the old one ends all its connections at once, but for those that still
        wait for their first request, as servers do that stop gracefully."""

        def end() -> None:
            for connection in list(self.connections):
                if connection.served:
                    connection.close()

        self.loop.call_soon_threadsafe(end)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()
        self.loop.close()
        self.listening.close()


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    running = Upstream(request.param)
    yield running
    running.stop()


@pytest.fixture
def program(tmp_path: Path, upstream: Upstream) -> Iterator[Program]:
    one = RealProgram(tmp_path, "twistproxy")
    retried = {"cluster": "app", "retry_policy": {"retry_on": "reset", "num_retries": 1}}
    routes = [
        {"match": {"prefix": "/retried"}, "route": retried},
        {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
    ]
    main = json.loads(json.dumps(listener(one.port)))
    manager = main["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"] = routes
    app: dict[str, Any] = cluster("app")
    (endpoint,) = app["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"]["port_value"] = upstream.port
    app["circuit_breakers"] = {"thresholds": [{"max_retries": 1024}]}
    one.write([main], [app])
    one.start()
    yield one
    one.clean()


async def ask_for_a_while(port: int, method: str, prefix: str, number: int, found: Counter[str]) -> None:
    """One client, on connections that it keeps; statuses go into `found`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS
    dice = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = 0
    while loop.time() < until:
        turn += 1
        content = "content-length: 3\r\n\r\nabc" if method == "POST" else "\r\n"
        writer.write(f"{method} {prefix}/{number}-{turn} HTTP/1.1\r\nhost: a\r\n{content}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        found[head.split(b" ")[1].decode()] += 1
        await asyncio.sleep(dice.uniform(0, 2 * PATIENCE))
    writer.close()


def load(program: Program, method: str, prefix: str) -> Counter[str]:
    found: Counter[str] = Counter()

    async def all_of_them() -> None:
        clients = (ask_for_a_while(program.port, method, prefix, number, found) for number in range(CLIENTS))
        await asyncio.wait_for(asyncio.gather(*clients), 30)

    asyncio.run(all_of_them())
    return found


def stat(program: Program, name: str) -> int:
    lines = program.admin(f"/stats?filter=^{name}$").splitlines()
    return int(lines[0].partition(": ")[2]) if lines else 0


@pytest.mark.parametrize("upstream", [PATIENCE], indirect=True)
@pytest.mark.parametrize("prefix", ["/usual", "/retried"])
def test_connections_that_are_closed_as_they_are_used_again(
    program: Program, upstream: Upstream, prefix: str
) -> None:
    found = load(program, "GET", prefix)
    assert set(found) == {"200"}, program.admin("/stats?filter=upstream_(cx|rq)")
    assert found["200"] > 100
    # It did happen.
    assert stat(program, "cluster.app.upstream_cx_destroy_remote_with_active_rq") > 0
    repeated = stat(program, "cluster.app.upstream_rq_idle_race_retry")
    repeated += stat(program, "cluster.app.upstream_rq_retry")
    assert repeated == stat(program, "cluster.app.upstream_cx_destroy_remote_with_active_rq")

    def left(port: int) -> int:
        return sum(1 for _ in sockets_to(program.pid, port))

    # There may be connections that no request has needed.
    wait_for(
        lambda: left(upstream.port) == stat(program, "cluster.app.upstream_cx_active"),
        "all other sockets to be closed",
    )


@pytest.mark.parametrize("upstream", [PATIENCE], indirect=True)
def test_what_may_change_something_is_never_asked_twice(program: Program, upstream: Upstream) -> None:
    found = load(program, "POST", "/usual")
    assert set(found) <= {"200", "503"}
    assert max(upstream.asked.values()) == 1
    # Those that were lost are those whose connection ended.
    assert found["503"] == stat(program, "cluster.app.upstream_cx_destroy_remote_with_active_rq")


@pytest.mark.parametrize("upstream", [0.0], indirect=True)
@pytest.mark.parametrize("prefix", ["/usual", "/retried"])
def test_restarts_under_load(program: Program, upstream: Upstream, prefix: str) -> None:
    """All connections, idle or about to be used, end at the same moment, thirty times."""
    stopped = threading.Event()

    def restart() -> None:
        while not stopped.wait(SECONDS / 30):
            upstream.replace()

    restarting = threading.Thread(target=restart)
    restarting.start()
    found = load(program, "GET", prefix)
    stopped.set()
    restarting.join()
    assert set(found) == {"200"}
    assert stat(program, "cluster.app.upstream_cx_destroy_remote") > CLIENTS

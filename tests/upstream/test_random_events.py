"""Whatever happens to a cluster, in whatever order: each request ends once, and in the end nothing is in use.

Two workers with one board, each with the clusters of a `ClusterManager`; requests that come, wait, are cancelled and
answered; connections that come up, fail and end; hosts that come, go, fail and move; reloads."""

from __future__ import annotations

import types
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from twistproxy.api.codec import ResetReason
from twistproxy.api.upstream import PoolFailure
from twistproxy.filters.balancer_context import RequestContext
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, MaglevSettings, RingHashSettings
from twistproxy.model.cluster import ClusterSettings, ProxyProtocol, Thresholds
from twistproxy.model.discovery import StaticSource
from twistproxy.model.endpoint import Endpoint, EndpointSet
from twistproxy.model.hash_policy import HeaderHash
from twistproxy.model.health import FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK
from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.primitives.board import Board, WorkerBoard
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.requests import request_context
from twistproxy.upstream.cluster_manager import ClusterManager
from twistproxy.upstream.host import Host

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo",
    b"dy",
    b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"nonsense\r\n\r\n",
)
#: Rows of the board: of the clusters (two each), then of hosts.
ROWS = {"app": 1, "all": 3}
HOST_ROWS = 1 + 16384


class Request:
    """One request, and what has become of it."""

    def __init__(self, world: World, pool: Any) -> None:
        self.world = world
        self.pool = pool
        self.encoder: Any = None
        self.ends: list[str] = []

    def pool_ready(self, encoder: Any, host: Host) -> None:
        assert not self.ends and self.encoder is None
        self.encoder = encoder
        if self.pool.speaks_http:
            encoder.encode_headers(RequestHead(b"GET", b"/", b"a", [], {}), True)

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        assert self.encoder is None
        self._end(failure.name)
        self.world.failed()

    def decode_1xx(self, head: ResponseHead) -> None: ...

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        assert not self.ends
        if end_stream:
            self._end("answered")

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        assert not self.ends
        if end_stream:
            self._end("answered")

    def flush(self) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        self._end(reason.name)
        self.pool.stream_gone()

    def cancel(self) -> None:
        self._end("cancelled")
        if self.encoder is None:
            self.pool.cancel(self)
        else:
            self.encoder.reset()
            self.pool.stream_gone()

    def _end(self, how: str) -> None:
        self.ends.append(how)
        assert len(self.ends) == 1, self.ends
        self.world.requests.discard(self)


@cache
def context(key: int, subset: int | None) -> RequestContext:
    """Of a request that has a hash, and may want a subset."""
    wanted = None if subset is None else {"v": subset}
    headers = {"x-key": str(key)}
    return request_context(headers, metadata_match=wanted, hash_policies=(HeaderHash("x-key"),))


class Worker:
    def __init__(self, board: Board, column: int, clock: FakeClock, random: Random) -> None:
        self.connector = FakeConnector(clock)
        self.connector.hold = random.random() < 0.3
        self.deadlines = Deadlines(clock.monotonic, clock.call_later)
        self.board = WorkerBoard(board)
        self.board.use(column, ROWS)
        self.values = RuntimeValues()
        self.manager = ClusterManager(clock, self.connector, self.deadlines, random, self.values, self.board)


class World:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = FakeClock()
        self.board = Board(2)
        self.board.use_columns(2)
        self.workers = [Worker(self.board, column, self.clock, self.random) for column in range(2)]
        self.requests: set[Request] = set()
        self.all: list[Request] = []
        self.hosts: dict[int, Host] = {}
        self.limits: dict[int, Any] = {}
        self.settings = self.made_up()
        self.reload(self.settings)
        self.discover()

    # ---- what is configured

    def thresholds(self) -> Thresholds:
        random = self.random
        return Thresholds(
            max_connections=random.choice((1, 2, 1024)),
            max_pending_requests=random.choice((0, 1, 3, 1024)),
            max_requests=random.choice((1, 2, 1024)),
            max_connection_pools=random.choice((None, None, 1, 3)),
            max_connections_per_host=random.choice((None, None, 1, 2)),
        )

    def balancing(self) -> Balancing:
        random = self.random
        policy = random.choice(("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV"))
        hashing: Any = None
        if policy == "RING_HASH":
            hashing = RingHashSettings(16, 32, balance_factor=random.choice((0, 120)))
        if policy == "MAGLEV":
            hashing = MaglevSettings(31, balance_factor=random.choice((0, 120)))
        subsets = None
        if random.random() < 0.3:
            subsets = SubsetSettings(
                (SubsetSelector(("v",)),), random.choice(("ANY_ENDPOINT", "DEFAULT_SUBSET"))
            )
        return Balancing(policy, hashing=hashing, subsets=subsets)

    def made_up(self) -> ClusterSettings:
        random = self.random
        special = random.random() < 0.7
        return ClusterSettings(
            "app",
            self.balancing(),
            source=StaticSource("app", ()),
            max_requests_per_connection=random.choice((0, 0, 1, 2)),
            idle_timeout=random.choice((None, 1.0, 3600.0)),
            max_connection_duration=random.choice((None, None, 2.0)),
            default_thresholds=self.thresholds()
            if special
            else Thresholds(max_connections=random.choice((1, 9))),
            high_thresholds=self.thresholds() if special else Thresholds(),
            close_on_change=random.random() < 0.2,
            proxy_protocol=ProxyProtocol("V1") if special and random.random() < 0.2 else None,
            preconnect_ratio=random.choice((1.0, 1.0, 1.5, 3.0)) if special else 1.0,
            predictive_preconnect_ratio=random.choice((1.0, 1.0, 2.0)) if special else 1.0,
            pool_per_downstream_connection=special and random.random() < 0.2,
        )

    def reload(self, *settings: ClusterSettings) -> None:
        for worker in self.workers:
            worker.manager.apply((*settings, ClusterSettings("all", aggregate=("app", "none"))))
            self.notice(worker)

    def discover(self) -> None:
        random = self.random
        ports = [port for port in range(5) if random.random() < 0.6]
        random.shuffle(ports)
        endpoints = tuple(
            Endpoint(
                TcpAddress("10.0.0.1", port),
                weight=random.choice((1, 1, 3)),
                priority=random.randrange(3),
                health=random.choice(("UNKNOWN", "UNKNOWN", "UNHEALTHY", "DEGRADED")),
                metadata=random.choice(("", '{"envoy.lb": {"v": 1}}')),
                flags=random.choice((0, 0, 0, FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK)),
                row=HOST_ROWS + port,
                additional=(TcpAddress("10.0.0.2", port),) if random.random() < 0.05 else (),
            )
            for port in ports
        )
        for worker in self.workers:
            worker.manager.update_endpoints(EndpointSet("app", endpoints))
            self.notice(worker)

    def notice(self, worker: Worker) -> None:
        """Everybody whose counts must be zero in the end."""
        cluster = worker.manager.get("app")
        if cluster is not None:
            for host in cluster.hosts.values():
                self.hosts[id(host)] = host
            for limits in cluster.limits:
                self.limits[id(limits)] = limits

    # ---- what happens

    def ask(self) -> None:
        random = self.random
        cluster = random.choice(self.workers).manager.get(random.choice(("app", "app", "all")))
        if cluster is None:
            return
        wanted = context(random.randrange(5), random.choice((None, 0, 1)))
        host = cluster.choose(wanted) if cluster.contextual else cluster.pick()
        if host is None:
            return
        number = random.randrange(3)
        client: Any = types.SimpleNamespace(
            number=number, remote_text=f"9.9.9.9:{number}", local_text="8.8.8.8:80"
        )
        make = cluster.tcp_pool if random.random() < 0.1 else cluster.pool
        pool = make(host, random.random() < 0.2, client)
        if pool is None:
            return
        self.all.append(request := Request(self, pool))
        self.requests.add(request)
        if random.random() < 0.1:
            pool.new_stream_elsewhere(request)
        else:
            pool.new_stream(request)

    def cancel(self) -> None:
        if self.requests:
            self.random.choice(sorted(self.requests, key=self.all.index)).cancel()

    def failed(self) -> None:
        """A request has no connection: whoever hears of it may do something at once."""
        kind = self.random.randrange(8)
        if kind == 0:
            self.cancel()
        elif kind == 1:
            self.ask()

    def step(self) -> None:
        random = self.random
        worker = random.choice(self.workers)
        connections = [one for one in worker.connector.connections if not one.closed and not one.closing]
        attempts = [one for one in worker.connector.attempts if not one.over]
        kind = random.randrange(16)
        if kind < 5:
            self.ask()
        elif kind == 5:
            self.cancel()
        elif kind == 6:
            self.clock.advance(random.choice((0.0, 0.0, 0.5, 3.0)))
        elif kind == 7 and attempts:
            random.choice(attempts).fail("refused", random.random() < 0.3)
        elif kind == 8 and attempts:
            worker.connector.connections.append(random.choice(attempts).succeed())
        elif kind == 9 and connections:
            random.choice(connections).end()
        elif kind == 10 and connections:
            random.choice(connections).lose("reset")
        elif kind == 11 and random.random() < 0.5:
            self.discover()
        elif kind == 12 and random.random() < 0.3:
            self.settings = self.made_up() if random.random() < 0.5 else self.changed()
            self.reload(self.settings)
            self.discover()
        elif kind == 13 and random.random() < 0.15:
            self.reload()
        elif kind >= 14 and connections:
            random.choice(connections).receive(random.choice(ANSWERS))

    def changed(self) -> ClusterSettings:
        return replace(
            self.settings, default_thresholds=self.thresholds(), connect_timeout=self.random.random() + 1
        )

    # ---- what must be so

    def check(self) -> None:
        for limits in self.limits.values():
            counts = (limits.connections, limits.pending, limits.requests, limits.retries, limits.pools)
            assert min(counts) >= 0, counts
        for column, worker in enumerate(self.workers):
            cluster = worker.manager.get("app")
            if cluster is None:
                continue
            for high_priority, limits in enumerate(cluster.limits):
                line = self.line(ROWS["app"] + high_priority, column)
                assert line[:4] == [limits.connections, limits.pending, limits.requests, limits.retries]
                assert line[4] == limits.pools
            for host in cluster.hosts.values():
                assert host.stats.rq_active >= 0 and host.stats.cx_active >= 0
                if host.load is not None:
                    assert self.line(host.endpoint.row, column)[5] == host.stats.rq_active

    def line(self, row: int, column: int) -> list[int]:
        first = row * self.board.row_length + 8 * (1 + column)
        return list(self.board.cells[first : first + 8])

    def finish(self) -> None:
        """All clients go, all connections end, and time passes."""
        for request in list(self.requests):
            request.cancel()
        for worker in self.workers:
            for connection in worker.connector.connections:
                if not connection.closed:
                    connection.lose("")
            for attempt in worker.connector.attempts:
                if not attempt.over:
                    attempt.fail()
        self.clock.advance(10000)
        self.check()
        assert all(len(request.ends) == 1 for request in self.all)
        for limits in self.limits.values():
            assert (limits.connections, limits.pending, limits.requests, limits.pools) == (0, 0, 0, 0)
        for row in range(1, 5):
            for column in range(2):
                assert self.line(row, column) == [0] * 8, (row, column)
        for host in self.hosts.values():
            stats = host.stats
            assert (stats.rq_active, stats.cx_active, stats.rq_pending_active) == (0, 0, 0)
            assert not host.keyed_pools
        for worker in self.workers:
            assert len(worker.deadlines) == 0
            cluster = worker.manager.get("app")
            if cluster is not None:
                counts = cluster.stats
                assert (counts.upstream_cx_active, counts.upstream_rq_active) == (0, 0)
                assert counts.upstream_rq_pending_active == 0
                assert counts.upstream_cx_destroy == counts.upstream_cx_total
        self.reload()
        assert self.clock.pending() == []


@pytest.mark.parametrize("seed", range(150))
def test_random_events(seed: int) -> None:
    world = World(seed)
    for _ in range(world.random.randrange(10, 150)):
        world.step()
        world.check()
    world.finish()

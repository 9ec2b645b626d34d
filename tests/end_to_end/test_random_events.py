"""Whatever clients, upstreams and mirrors do, in whatever order, to requests that are delayed, held, retried, mirrored,
redirected or upgraded: each gets at most one answer, and when all is over nothing is left."""

from __future__ import annotations

from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.http_filters import BufferSettings, FaultSettings, HttpFilterSettings, RuntimeFraction
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad",
    b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 80000,
    b"x" * 10000,
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 302 X\r\nLocation: http://a/y\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 303 X\r\nLocation: /none\r\nContent-Length: 4\r\n\r\ngone",
    b"HTTP/1.1 302 X\r\nLocation: http://a/y\r\nContent-Length: 9\r\n\r\npart",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
    b"nonsense\r\n\r\n",
)
REQUESTS = (
    (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n", b"abcdef"),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", b"a" * 200000),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\nx: y\r\n\r\n"),
    (b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"frames"),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"frames"),
)
NEVER = RuntimeFraction(0)


def action(random: Random) -> ClusterAction:
    policy = RetryPolicy(
        RETRY_ON["5xx"] | RETRY_ON["connect-failure"],
        num_retries=random.randrange(4),
        per_try_timeout=random.choice((0.0, 0.2)),
        base_interval=0.05,
        max_interval=0.2,
    )
    plan = RequestPlan(
        policy,
        hedge=random.random() < 0.3,
        idle_timeout=random.choice((None, 0.5)),
        buffer_limit=random.choice((None, 4, 100000)),
        count_in_request=True,
    )
    return ClusterAction(
        "app",
        random.choice((0.0, 0.8)),
        plan=random.choice((None, plan)),
        mirrors=random.choice(
            ((), (MirrorSettings("mirror"),), (MirrorSettings("app"), MirrorSettings("mirror")))
        ),
        internal_redirects=random.choice((None, InternalRedirectSettings(2, frozenset((302, 303)), True))),
        high_priority=random.random() < 0.2,
    )


def plane(random: Random) -> DataPlane:
    share = RuntimeFraction(random.choice((0, 50, 100)))
    fault = FaultSettings(share, 100, "", random.choice((NEVER, RuntimeFraction(30))), 503, "")
    filters = [HttpFilterSettings("fault", fault), HttpFilterSettings("buffer", BufferSettings(1000))]
    connect = RouteSettings(
        RouteMatch(connect=True), ClusterAction("app", connect=random.choice((None, ConnectSettings())))
    )
    routes = [
        connect,
        RouteSettings(RouteMatch(prefix="/x"), action(random)),
        RouteSettings(RouteMatch(prefix="/y"), action(random)),
        RouteSettings(RouteMatch(prefix="/ws"), action(random)),
    ]
    settings = manager(
        routes_to(*routes),
        filters=tuple(one for one in filters if random.random() < 0.5),
        upgrades=(UpgradeSettings("websocket"), UpgradeSettings("connect", random.random() < 0.8)),
        stream_idle_timeout=random.choice((1.0, 300.0)),
        request_timeout=random.choice((0.0, 1.0)),
        proxy_100_continue=random.random() < 0.5,
    )
    limits = Thresholds(
        max_connections=random.choice((1, 1024)),
        max_pending_requests=random.choice((1, 1024)),
        max_requests=random.choice((1, 1024)),
        max_retries=random.randrange(3),
        track_remaining=True,
    )
    hosts = tuple(Endpoint(TcpAddress("10.0.0.1", port)) for port in (1, 2))
    mirror = (Endpoint(TcpAddress("10.0.0.2", 1)),)
    return DataPlane(
        settings,
        cluster(endpoints=hosts, default_thresholds=limits, high_thresholds=limits),
        cluster("mirror", endpoints=mirror, default_thresholds=limits),
    )


class Events:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.plane = plane(self.random)
        self.plane.connector.hold = self.random.random() < 0.2
        self.clients: list[tuple[MemoryTransport, list[bytes]]] = []
        self.asked: dict[MemoryTransport, int] = {}

    def step(self) -> None:
        random = self.random
        connections = [one for one in self.plane.connector.connections if not one.closed and not one.closing]
        kind = random.randrange(12)
        if kind == 0 and len(self.clients) < 3:
            head, body = random.choice(REQUESTS)
            size = max(2, len(body) // 4)
            client = self.plane.client()
            self.clients.append((client, [body[at : at + size] for at in range(0, len(body), size)]))
            self.asked[client] = head.count(b"HTTP/1.1")
            client.receive(head)
        elif kind == 1:
            self.plane.clock.advance(random.choice((0.0, 0.03, 0.2)))
        elif kind <= 4 and self.clients:
            client, left = random.choice(self.clients)
            if left and client.reading and not client.closed and not client.closing:
                client.receive(left.pop(0))
        elif kind == 5 and self.plane.connector.hold:
            waiting = [one for one in self.plane.connector.attempts if not one.over]
            if waiting:
                attempt = random.choice(waiting)
                if random.random() < 0.5:
                    attempt.fail("refused", random.random() < 0.5)
                else:
                    self.plane.connector.connections.append(attempt.succeed())
        elif kind == 6 and self.clients:
            client, _ = random.choice(self.clients)
            what = random.randrange(5)
            if client.closed or what == 0:
                return
            (client.block if what < 3 else client.unblock)()
        elif kind == 7 and connections:
            one = random.choice(connections)
            (one.block if random.random() < 0.6 else one.unblock)()
        elif kind == 8 and connections and random.random() < 0.5:
            one = random.choice(connections)
            one.end() if random.random() < 0.5 else one.lose("reset")
        elif kind == 9 and self.clients and random.random() < 0.2:
            client, _ = random.choice(self.clients)
            if not client.closed:
                client.lose("gone")
        elif connections:
            one = random.choice(connections)
            if one.reading:
                one.receive(random.choice(ANSWERS))

    def finish(self) -> None:
        plane = self.plane
        plane.connector.hold = False
        for one in (*[client for client, _ in self.clients], *plane.connector.connections):
            if not one.closed:
                one.unblock()
        if self.random.random() < 0.5:
            plane.clock.advance(1500.0)  # all requests that are left are silent: their time is over
            assert plane.runtime.active_requests() == 0
        for client, left in self.clients:
            assert bytes(client.take()).count(b"\r\nserver: twistproxy\r\n") <= self.asked[client]
            if not client.closed and not client.closing:
                assert client.reading or plane.runtime.active_requests(), left
                client.lose("")
        plane.turn()
        gauges = plane.runtime.snapshot()["gauges"]
        assert gauges.get("http.ingress.fault.active_faults", 0) == 0
        plane.clock.advance(1.0)  # mirrors are over time by then, but for those that have no limit
        for _ in range(6):  # these may wait for a connection
            for connection in plane.connector.connections:
                if not connection.closed:
                    connection.unblock()
                    connection.end()
            for attempt in plane.connector.attempts:
                if not attempt.over:
                    attempt.fail()
            plane.turn()
        plane.finish()
        for name in ("app", "mirror"):
            found = plane.runtime._clusters.get(name)
            assert found is not None
            for limits in found.limits:
                counts = (limits.connections, limits.pending, limits.requests, limits.retries)
                assert counts == (0, 0, 0, 0), (name, counts)


@pytest.mark.parametrize("seed", range(150))
def test_random_events(seed: int) -> None:
    events = Events(seed)
    for _ in range(events.random.randrange(5, 60)):
        events.step()
    events.finish()

"""Requests with retries, copies and redirects, while hosts come and go, clusters are reloaded and taken away: the client
has at most one answer, and nothing is left in use."""

from __future__ import annotations

from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad",
    b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    b"HTTP/1.1 302 Found\r\nLocation: http://a/y\r\nContent-Length: 0\r\n\r\n",
    b"nonsense\r\n\r\n",
)
REQUESTS = (
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)


class World:
    def __init__(self, seed: int) -> None:
        random = self.random = Random(seed)
        policy = RetryPolicy(
            RETRY_ON["5xx"],
            num_retries=random.randrange(4),
            per_try_timeout=random.choice((0.0, 0.2)),
            base_interval=0.05,
            max_interval=0.2,
            other_hosts=random.random() < 0.5,
        )
        plan = RequestPlan(policy, hedge=random.random() < 0.4) if random.random() < 0.7 else None
        mirrors = (MirrorSettings(random.choice(("app", "app", "copies"))),) if random.random() < 0.6 else ()
        name = random.choice(("app", "all"))
        redirects = InternalRedirectSettings(most=2) if random.random() < 0.4 else None
        action = ClusterAction(
            name, random.choice((0.0, 0.8)), plan=plan, mirrors=mirrors, internal_redirects=redirects
        )
        self.data = DataPlane(
            manager(routes_to(RouteSettings(RouteMatch(prefix="/"), action))), *self.clusters()
        )
        self.data.connector.hold = random.random() < 0.3
        self.left: dict[MemoryTransport, bytes] = {}

    def clusters(self) -> tuple[ClusterSettings, ...]:
        random = self.random
        ports = random.sample(range(4), random.randrange(4))
        app = cluster(
            endpoints=tuple(Endpoint(TcpAddress("10.0.0.1", port)) for port in ports),
            default_thresholds=Thresholds(
                max_connections=random.choice((1, 1024)),
                max_pending_requests=random.choice((1, 1024)),
                max_requests=random.choice((1, 3, 1024)),
                max_retries=random.randrange(3),
                max_connection_pools=random.choice((None, None, 1)),
            ),
            preconnect_ratio=random.choice((1.0, 1.0, 2.0)),
            connect_timeout=random.choice((1.0, 2.0)),
        )
        copies = cluster("copies", endpoints=(Endpoint(TcpAddress("10.0.0.2", 1)),))
        whole = ClusterSettings("all", aggregate=("app", "copies"))
        found = (app, copies, whole)
        return tuple(one for one in found if random.random() < 0.9) or (copies,)

    def step(self) -> None:
        random, data = self.random, self.data
        connections = [one for one in data.connector.connections if not one.closed and not one.closing]
        waiting = [one for one in data.connector.attempts if not one.over]
        clients = [one for one in data.clients if not one.closed and not one.closing]
        kind = random.randrange(14)
        if kind <= 2:
            client = random.choice(clients) if clients and random.random() < 0.5 else data.client()
            left = self.left.get(client) or random.choice(REQUESTS)
            cut = random.choice((len(left), random.randrange(1, len(left) + 1)))
            if client.reading:
                self.left[client] = left[cut:]
                client.receive(left[:cut])
        elif kind == 3 and clients and random.random() < 0.4:
            random.choice(clients).lose("gone")
        elif kind <= 5:
            data.clock.advance(random.choice((0.0, 0.0, 0.03, 0.2, 1.0)))
        elif kind == 6 and waiting:
            random.choice(waiting).fail("refused", random.random() < 0.5)
        elif kind == 7 and waiting:
            data.connector.connections.append(random.choice(waiting).succeed())
        elif kind == 8 and connections:
            random.choice(connections).end()
        elif kind == 9 and connections:
            random.choice(connections).lose("reset")
        elif kind == 10 and random.random() < 0.5:
            data.reload(None, *self.clusters())
        elif kind >= 11 and connections:
            connection = random.choice(connections)
            if connection.reading:
                connection.receive(random.choice(ANSWERS))


@pytest.mark.parametrize("seed", range(60))
def test_random_events(seed: int) -> None:
    world = World(seed)
    data = world.data
    for _ in range(world.random.randrange(10, 80)):
        world.step()
    for client in data.clients:
        if not client.closed:
            client.lose("")
    data.clock.advance(400.0)  # beyond all time limits
    data.connector.refused = {attempt.address for attempt in data.connector.attempts}
    for _ in range(20):
        for attempt in data.connector.attempts:
            if not attempt.over:
                attempt.fail()
        data.clock.advance(5.0)
    data.finish()
    snapshot = data.runtime.snapshot()
    breakers = {
        name: value
        for name, value in snapshot["gauges"].items()
        if value and ".circuit_breakers." in name and name.endswith("_open")
    }
    allowed = {name for name in breakers if name.endswith("rq_retry_open")}  # a limit of 0 is always reached
    assert breakers.keys() <= allowed
    for manager_cluster in ("app", "copies"):
        found = data.runtime._clusters.get(manager_cluster)
        if found is not None:
            for limits in found.limits:
                assert not limits.own_use()

"""Whatever upstreams and clients do, in whatever order: the client has at most one answer, and nothing is left."""

from __future__ import annotations

from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad",
    b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 20",
    b"nonsense\r\n\r\n",
)
REQUESTS = (
    (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n", b"abcdef"),
    (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\nx: y\r\n\r\n"),
)


def plan(random: Random) -> RequestPlan:
    policy = RetryPolicy(
        RETRY_ON["5xx"],
        num_retries=random.randrange(4),
        per_try_timeout=random.choice((0.0, 0.2)),
        per_try_idle_timeout=random.choice((0.0, 0.15)),
        base_interval=0.05,
        max_interval=0.2,
        other_hosts=random.random() < 0.5,
        priority_updates=random.randrange(2),
    )
    return RequestPlan(
        policy,
        hedge=random.random() < 0.4,
        max_duration=random.choice((None, 1.0)),
        buffer_limit=random.choice((None, 4)),
        count_in_request=True,
        count_in_response=True,
    )


def step(random: Random, data: DataPlane, client: MemoryTransport, left: list[bytes]) -> None:
    """Something happens."""
    connections = [one for one in data.connector.connections if not one.closed and not one.closing]
    waiting = [one for one in data.connector.attempts if not one.over]
    kind = random.randrange(7)
    if kind == 0:
        data.clock.advance(random.choice((0.0, 0.03, 0.2)))
    elif kind == 1 and left:
        piece = left.pop(0)
        if not client.closed and not client.closing:
            client.receive(piece)
    elif kind == 2 and waiting and data.connector.hold:
        random.choice(waiting).fail("refused", random.random() < 0.5)
    elif kind == 3 and connections:
        random.choice(connections).end()
    elif kind == 4 and connections:
        random.choice(connections).lose("reset")
    elif kind >= 5 and connections:
        random.choice(connections).receive(random.choice(ANSWERS))


@pytest.mark.parametrize("seed", range(100))
def test_random_events(seed: int) -> None:
    random = Random(seed)
    action = ClusterAction("app", 0.8, plan=plan(random))
    hosts = tuple(Endpoint(TcpAddress("10.0.0.1", port), priority=port % 2) for port in (1, 2, 3))
    thresholds = Thresholds(max_retries=random.randrange(3), track_remaining=True)
    data = DataPlane(
        manager(routes_to(RouteSettings(RouteMatch(prefix="/"), action))),
        cluster(endpoints=hosts, default_thresholds=thresholds),
    )
    data.connector.hold = random.random() < 0.2
    client = data.client()
    head, body = random.choice(REQUESTS)
    left = [body[at : at + 2] for at in range(0, len(body), 2)]
    client.receive(head)
    for _ in range(random.randrange(1, 25)):
        step(random, data, client, left)
    if random.random() < 0.3 and not client.closed:
        client.lose("gone")
    data.clock.advance(400.0)  # beyond all time limits
    assert len(data.log) == 1, data.log
    assert bytes(client.take()).count(b"\r\nserver: twistproxy\r\n") <= 1
    gauges = data.runtime.snapshot()["gauges"]
    assert gauges["cluster.app.circuit_breakers.default.rq_open"] == 0
    left_over = gauges["cluster.app.circuit_breakers.default.remaining_retries"]
    assert left_over == thresholds.max_retries
    data.connector.hold = False
    data.finish()

"""The race between an upstream that closes an idle connection and the next request on it."""

from __future__ import annotations

import pytest

from twistproxy.model.cluster import Thresholds
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
COUNTER = "cluster.app.upstream_rq_idle_race_retry"


def warm(plane: DataPlane, connections: int = 1) -> list[MemoryTransport]:
    """So many idle connections in the pool."""
    clients = [plane.client() for _ in range(connections)]
    for client in clients:
        client.receive(GET)
        plane.turn()
    for connection in plane.connector.connections:
        connection.receive(OK)
        connection.take()
    for client in clients:
        assert client.take().endswith(b"ok")
    return list(plane.connector.connections)


def test_all_idle_connections_end_at_once() -> None:
    """The request takes the newest of them, and then a new one, not another that is about to end."""
    plane = DataPlane()
    idle = warm(plane, 3)
    client = plane.client()
    client.receive(GET)
    used = next(connection for connection in idle if connection.take())
    used.end()
    fresh = plane.upstream
    assert fresh not in idle
    for connection in idle:
        if connection is not used:
            connection.end()
    assert fresh.take().startswith(b"GET /x HTTP/1.1\r\n")
    fresh.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter(COUNTER) == 1
    assert plane.counter("cluster.app.upstream_rq_total") == 5
    plane.finish()


def test_no_more_connections_are_allowed_than_there_are() -> None:
    plane = DataPlane(None, cluster(default_thresholds=Thresholds(max_connections=2)))
    idle = warm(plane, 2)
    client = plane.client()
    client.receive(GET)
    used, other = sorted(idle, key=lambda connection: not connection.take())
    used.end()
    fresh = plane.upstream
    assert fresh not in idle and not other.take()
    assert plane.runtime.snapshot()["gauges"]["cluster.app.upstream_cx_active"] == 2
    fresh.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_the_second_time_it_is_an_error() -> None:
    plane = DataPlane()
    (idle,) = warm(plane)
    client = plane.client()
    client.receive(GET)
    idle.end()
    plane.upstream.end()
    assert b" 503 " in client.take()
    assert plane.log[-1].startswith("GET /x 503 UC ")
    assert len(plane.connector.connections) == 2
    plane.finish()


def test_content_is_never_sent_twice() -> None:
    plane = DataPlane()
    (idle,) = warm(plane)
    client = plane.client()
    client.receive(POST)
    idle.end()
    plane.turn()
    assert b" 503 " in client.take()
    assert len(plane.connector.connections) == 1
    plane.finish()


def test_the_client_leaves_while_the_new_connection_comes_up() -> None:
    plane = DataPlane()
    (idle,) = warm(plane)
    client = plane.client()
    client.receive(GET)
    plane.connector.hold = True
    idle.end()
    client.lose("")
    plane.turn()
    assert plane.counter("cluster.app.upstream_rq_cancelled") == 1
    plane.finish()


def test_switched_off_by_the_runtime() -> None:
    plane = DataPlane()
    plane.runtime.set_runtime({"twistproxy.retry_idle_race": False})
    (idle,) = warm(plane)
    client = plane.client()
    client.receive(GET)
    idle.end()
    plane.turn()
    assert b" 503 " in client.take()
    plane.finish()


@pytest.mark.parametrize(("words", "counted"), [("reset", "upstream_rq_retry"), ("retriable-4xx", None)])
def test_the_policy_of_the_route_goes_first(words: str, counted: str | None) -> None:
    policy = RetryPolicy(RETRY_ON[words], base_interval=0.1, max_interval=0.1)
    action = ClusterAction("app", plan=RequestPlan(policy))
    plane = DataPlane(manager(routes_to(RouteSettings(RouteMatch(prefix="/"), action))))
    (idle,) = warm(plane)
    client = plane.client()
    client.receive(GET)
    idle.end()
    plane.clock.advance(0.2)
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter(COUNTER) == (0 if counted else 1)
    assert plane.counter("cluster.app.upstream_rq_retry") == (1 if counted else 0)
    plane.finish()

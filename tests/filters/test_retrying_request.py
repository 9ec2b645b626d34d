"""Retries, time limits and hedging, in virtual time."""

from __future__ import annotations

import pytest

from twistproxy.model.cluster import Thresholds
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad"
ON_5XX = RETRY_ON["5xx"]


def plane(
    retry: RetryPolicy | None = None,
    timeout: float = 15.0,
    thresholds: Thresholds | None = None,
    **plan: object,
) -> DataPlane:
    policy = retry or RetryPolicy(ON_5XX, num_retries=2, base_interval=0.1, max_interval=1.0)
    action = ClusterAction("app", timeout, plan=RequestPlan(policy, **plan))  # type: ignore[arg-type]
    routes = routes_to(RouteSettings(RouteMatch(prefix="/"), action))
    return DataPlane(manager(routes), cluster(default_thresholds=thresholds or Thresholds()))


def test_a_retry_waits_for_its_back_off() -> None:
    data = plane()
    client = data.client()
    client.receive(GET)
    data.upstream.receive(BAD)
    assert client.take() == b""
    assert len(data.connector.attempts) == 1
    data.clock.advance(0.11)
    assert len(data.connector.attempts) == 2
    data.upstream.receive(OK)
    assert client.take().endswith(b"\r\n\r\nok")
    assert data.counter("cluster.app.upstream_rq_retry") == 1
    assert data.counter("cluster.app.upstream_rq_retry_success") == 1
    data.finish()


def test_the_client_leaves_while_a_retry_waits() -> None:
    data = plane()
    client = data.client()
    client.receive(GET)
    data.upstream.receive(BAD)
    client.lose("")
    data.clock.advance(2.0)
    assert len(data.connector.attempts) == 1
    assert data.log == ["GET /x 0 DC downstream_remote_disconnect 0 0"]
    data.finish()


def test_no_more_retries_than_the_cluster_allows() -> None:
    data = plane(thresholds=Thresholds(max_retries=1))
    clients = [data.client() for _ in range(2)]
    for client in clients:
        client.receive(GET)
        data.upstream.receive(BAD)
    assert clients[0].take() == b""
    assert b" 503 " in clients[1].take()
    gauges = data.runtime.snapshot()["gauges"]
    assert gauges["cluster.app.circuit_breakers.default.rq_retry_open"] == 1
    data.clock.advance(0.11)
    data.upstream.receive(OK)
    assert clients[0].take().endswith(b"ok")
    gauges = data.runtime.snapshot()["gauges"]
    assert gauges["cluster.app.circuit_breakers.default.rq_retry_open"] == 0
    data.finish()


@pytest.mark.parametrize(
    ("percent", "least", "status"), [(100.0, 0, b"200"), (1.0, 0, b"503"), (1.0, 1, b"200")]
)
def test_budget(percent: float, least: int, status: bytes) -> None:
    """Another request is active, so that there is something to take a share of."""
    data = plane(thresholds=Thresholds(max_retries=0, retry_budget=(percent, least)))
    other, client = data.client(), data.client()
    other.receive(GET)
    data.turn()
    client.receive(GET)
    data.upstream.receive(BAD)
    data.clock.advance(0.11)
    if status == b"200":
        data.upstream.receive(OK)
    assert client.take()[9:12] == status
    data.finish()


def test_a_body_that_is_still_coming_goes_to_the_next_attempt() -> None:
    data = plane()
    client = data.client()
    client.receive(POST + b"abc")
    data.upstream.receive(BAD)
    data.clock.advance(0.11)
    second = data.upstream
    assert second.take().endswith(b"abc")
    client.receive(b"def")
    assert second.take() == b"def"
    second.receive(OK)
    assert client.take().endswith(b"ok")
    data.finish()


def test_too_much_content_ends_the_retries() -> None:
    data = plane(buffer_limit=4)
    client = data.client()
    client.receive(POST + b"abcdef")
    data.upstream.receive(BAD)
    assert client.take().endswith(b"bad")
    assert data.counter("cluster.app.retry_or_shadow_abandoned") == 1
    data.finish()


def test_per_try_timeout() -> None:
    data = plane(RetryPolicy(ON_5XX, 1, per_try_timeout=1.0, base_interval=0.1, max_interval=0.1))
    client = data.client()
    client.receive(GET)
    first = data.upstream
    data.clock.advance(1.2)
    assert first.aborted
    second = data.upstream
    assert second is not first
    assert client.take() == b""
    data.clock.advance(1.1)
    assert second.aborted
    assert b" 504 " in client.take()
    assert data.log == ["GET /x 504 URX,UT upstream_per_try_timeout 0 24"]
    data.finish()


def test_hedging_keeps_the_slow_attempt() -> None:
    policy = RetryPolicy(ON_5XX, 1, per_try_timeout=1.0, base_interval=0.1, max_interval=0.1)
    data = plane(policy, hedge=True)
    client = data.client()
    client.receive(GET)
    first = data.upstream
    data.clock.advance(1.2)
    second = data.upstream
    assert not first.closed
    first.receive(OK)
    assert client.take().endswith(b"ok")
    assert second.aborted
    data.finish()


def test_route_idle_timeout() -> None:
    data = plane(RetryPolicy(), idle_timeout=3.0)
    client = data.client()
    client.receive(GET)
    data.turn()
    data.clock.advance(3.1)
    assert client.take().endswith(b"stream timeout")
    assert data.log == ["GET /x 504 SI stream_idle_timeout 0 14"]
    data.finish()


@pytest.mark.parametrize("whole", [True, False])
def test_duration_of_the_stream(whole: bool) -> None:
    data = plane(RetryPolicy(), max_duration=3.0, replaces_timeout=True)
    client = data.client()
    client.receive(GET if whole else POST)
    data.clock.advance(2.9)
    assert client.take() == b""
    data.clock.advance(0.2)
    status = 504 if whole else 408
    assert data.log == [f"{'GET' if whole else 'POST'} /x {status} - max_duration_timeout 0 27"]
    assert data.counter("http.ingress.downstream_rq_max_duration_reached") == 1
    data.finish()


def test_a_head_whose_content_has_not_come_goes_to_a_connection_that_is_free() -> None:
    data = plane()
    for _ in range(2):
        other = data.client()
        other.receive(GET)
        data.turn()
    for connection in data.connector.connections:
        connection.receive(OK)
        connection.take()
    client = data.client()
    client.receive(POST)
    data.connector.connections[1].receive(BAD)
    data.clock.advance(0.11)
    assert data.connector.connections[0].take().startswith(b"POST /x ")
    client.lose("")
    data.finish()

"""Deadlines of downstream connections, and their end."""

from __future__ import annotations

from twistproxy.model.route import DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

ANSWER = RouteSettings(RouteMatch(prefix="/"), DirectResponse(200, b"x" * 1000))
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def answering(**settings: float) -> DataPlane:
    return DataPlane(manager(routes_to(ANSWER), **settings))


def closing(plane: DataPlane) -> MemoryTransport:
    """A client that does not read its last answer."""
    client = plane.client()
    client.block()
    client.receive(LAST)
    assert client.closing and client.buffered > 1000
    return client


def test_end_that_is_not_read() -> None:
    plane = answering(delayed_close_timeout=1.0)
    client = closing(plane)
    plane.clock.advance(0.9)
    assert not client.aborted
    plane.clock.advance(0.2)
    assert client.aborted
    assert plane.counter("http.ingress.downstream_cx_delayed_close_timeout") == 1
    plane.finish()


def test_end_that_is_read_slowly() -> None:
    plane = answering(delayed_close_timeout=1.0)
    client = closing(plane)
    for _ in range(5):
        client.drain(100)
        plane.clock.advance(1.0)
    assert not client.aborted
    client.unblock()
    plane.turn()
    assert client.closed and not client.aborted
    assert plane.counter("http.ingress.downstream_cx_delayed_close_timeout") == 0
    plane.finish()


def test_end_without_a_limit() -> None:
    plane = answering(delayed_close_timeout=0.0)
    client = closing(plane)
    plane.clock.advance(100.0)
    assert not client.aborted
    client.unblock()
    plane.finish()


def test_refused_client_that_keeps_its_end_open() -> None:
    plane = answering(delayed_close_timeout=1.0)
    client = plane.client()
    client.receive(b"nonsense\r\n\r\n")
    assert client.write_closed and client.take().startswith(b"HTTP/1.1 400 ")
    plane.clock.advance(1.1)
    assert client.aborted
    plane.finish()


def test_head_that_began_in_time_is_waited_for() -> None:
    plane = answering(idle_timeout=1.0, request_headers_timeout=5.0)
    client = plane.client()
    client.receive(GET[:10])
    plane.clock.advance(4.0)
    client.receive(GET[10:])
    assert client.take().startswith(b"HTTP/1.1 200 ")
    plane.clock.advance(1.5)
    plane.finish()
    assert plane.counter("http.ingress.downstream_cx_idle_timeout") == 1


def test_drained_within_a_long_response() -> None:
    plane = DataPlane(manager(max_connection_duration=1.0, drain_timeout=1.0))
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    upstream.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1")
    plane.clock.advance(10.0)
    assert not client.closing
    upstream.receive(b"2")
    assert b"connection: close" not in client.take()
    plane.clock.advance(2.1)
    assert client.closed and not client.aborted
    plane.finish()


def test_old_upstream_connections() -> None:
    plane = DataPlane(manager(), cluster(max_connection_duration=10.0, idle_timeout=8.0))
    client = plane.client()
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    client.receive(GET)
    upstream = plane.upstream
    upstream.receive(ok)
    for _ in range(2):
        plane.clock.advance(4.0)
        assert not upstream.closing
        client.receive(GET)
        upstream.receive(ok)
    plane.clock.advance(2.1)
    assert upstream.closing
    assert plane.counter("cluster.app.upstream_cx_max_duration_reached") == 1
    assert plane.counter("cluster.app.upstream_cx_idle_timeout") == 0
    client.receive(GET)
    second = plane.upstream
    assert second is not upstream
    plane.clock.advance(11.0)
    assert not second.closing
    second.receive(ok)
    assert second.closing
    plane.finish()


def test_connections_that_a_drain_ends() -> None:
    """Requests that are cut off are logged as Envoy does, at once, and the connections are counted as ended by us."""
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    idle = plane.client()
    assert plane.upstream.take()
    plane.runtime.abort_all()
    assert plane.log == ["GET / 0 DC downstream_local_disconnect 0 0"]
    plane.turn()
    assert client.closed and idle.closed
    counters = plane.runtime.snapshot()["counters"]
    prefix = "http.ingress.downstream_cx_destroy"
    found = {name.removeprefix(prefix): value for name, value in counters.items() if name.startswith(prefix)}
    expected = {
        "": 2,
        "_active_rq": 1,
        "_local": 2,
        "_local_active_rq": 1,
        "_remote": 0,
        "_remote_active_rq": 0,
    }
    assert found == expected
    plane.finish()


def test_connections_that_are_drained_are_counted() -> None:
    plane = answering()
    client, idle = plane.client(), plane.client()
    client.receive(GET)
    plane.runtime.drain()
    client.receive(GET)
    assert client.take().endswith(b"x" * 1000) and client.closing
    assert not idle.closing
    assert plane.counter("http.ingress.downstream_cx_drain_close") == 1
    plane.finish()

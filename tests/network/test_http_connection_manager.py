"""Connections: how long they live, and what ends them."""

from __future__ import annotations

from twistproxy.model.route import DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = routes_to(RouteSettings(RouteMatch(prefix="/"), DirectResponse(200, b"hi")))


def test_connection_that_is_too_old_is_drained() -> None:
    plane = DataPlane(manager(HELLO, max_connection_duration=10.0, drain_timeout=5.0))
    quiet, busy = plane.client(), plane.client()
    for _ in range(10):
        busy.receive(GET)
        assert b"connection: close" not in busy.take()
        plane.clock.advance(1.01)
    assert quiet.closed
    busy.receive(GET)
    assert b"connection: close" in busy.take()
    plane.turn()
    assert busy.closed
    assert plane.counter("http.ingress.downstream_cx_max_duration_reached") == 2
    plane.finish()


def test_slow_head_has_one_limit_however_often_bytes_come() -> None:
    plane = DataPlane(manager(HELLO, request_headers_timeout=2.0))
    client = plane.client()
    for byte in b"GET / HTTP/1.1\r\nHo":
        if client.write_closed:
            break
        client.receive(bytes((byte,)))
        plane.clock.advance(0.2)
    assert client.take().startswith(b"HTTP/1.1 408 Request Timeout")
    plane.clock.advance(1.1)
    assert client.closed
    assert plane.counter("http.ingress.downstream_rq_header_timeout") == 1
    plane.finish()


def test_limit_of_the_head_starts_anew_with_each_request() -> None:
    plane = DataPlane(manager(HELLO, request_headers_timeout=2.0))
    client = plane.client()
    for _ in range(5):
        client.receive(GET[:10])
        plane.clock.advance(1.5)
        client.receive(GET[10:])
        assert client.take().startswith(b"HTTP/1.1 200")
    plane.finish()


def test_slow_request_has_a_limit() -> None:
    plane = DataPlane(manager(request_timeout=3.0))
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na")
    plane.clock.advance(2.5)
    client.receive(b"b")
    plane.clock.advance(0.6)
    assert client.take().startswith(b"HTTP/1.1 408")
    assert plane.counter("http.ingress.downstream_rq_timeout") == 1
    plane.clock.advance(1.1)
    assert client.closed
    plane.finish()


def test_client_that_does_not_close_after_a_refusal_is_cut_off() -> None:
    plane = DataPlane(manager(HELLO, delayed_close_timeout=2.0))
    client = plane.client()
    client.receive(b"nonsense\r\n\r\n")
    assert client.write_closed
    plane.clock.advance(1.9)
    client.receive(b"more nonsense")
    assert not client.closed
    plane.clock.advance(0.2)
    assert client.aborted and client.closed
    plane.finish()


def test_refused_connection_closes_at_once_without_a_delay() -> None:
    plane = DataPlane(manager(HELLO, delayed_close_timeout=0.0))
    client = plane.client()
    client.receive(b"nonsense\r\n\r\n")
    plane.turn()
    assert client.closed and not client.aborted
    plane.finish()


def test_counts_of_connections() -> None:
    plane = DataPlane(manager(HELLO))
    first, second = plane.client(), plane.client()
    first.receive(GET)
    first.lose("")
    second.receive(GET[:-2] + b"Connection: close\r\n\r\n")
    plane.turn()
    assert second.closed
    prefix = "http.ingress.downstream_cx_"
    assert plane.counter(prefix + "total") == 2
    assert plane.counter(prefix + "destroy") == 2
    assert plane.counter(prefix + "destroy_remote") >= 1
    assert plane.counter("listener.127.0.0.1:10000.downstream_cx_total") == 2
    plane.finish()

"""What clients see and logs say when something is wrong."""

from __future__ import annotations

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.http1 import Http1Settings
from twistproxy.model.route import ClusterAction, DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = b"upstream connect error or disconnect/reset before headers. reset reason: "


def answer(client: MemoryTransport) -> tuple[int, bytes]:
    """Status and content of the one answer that was written."""
    head, _, body = client.take().partition(b"\r\n\r\n")
    return int(head[9:12]), body


def test_no_route() -> None:
    plane = DataPlane(manager(routes_to(RouteSettings(RouteMatch(path="/other"), ClusterAction("app")))))
    client = plane.client()
    client.receive(GET)
    assert answer(client) == (404, b"")
    assert plane.log == ["GET /x 404 NR route_not_found 0 0"]
    assert plane.counter("http.ingress.no_route") == 1
    plane.finish()


def test_unknown_cluster() -> None:
    plane = DataPlane(manager(), cluster("other"))
    client = plane.client()
    client.receive(GET)
    assert answer(client) == (503, b"")
    assert plane.log == ["GET /x 503 NC cluster_not_found 0 0"]
    plane.finish()


def test_no_healthy_host() -> None:
    plane = DataPlane(None, cluster(endpoints=()))
    client = plane.client()
    client.receive(GET)
    assert answer(client) == (503, b"no healthy upstream")
    assert plane.log == ["GET /x 503 UH no_healthy_upstream 0 19"]
    plane.finish()


@pytest.mark.parametrize(
    ("timed_out", "words"), [(False, "remote connection failure"), (True, "connection timeout")]
)
def test_connect_failure(timed_out: bool, words: str) -> None:
    plane = DataPlane()
    plane.connector.hold = True
    client = plane.client()
    client.receive(GET)
    plane.connector.attempts[0].fail("Connection refused", timed_out)
    assert answer(client) == (503, RESET + words.encode())
    assert plane.log[0].startswith(
        "GET /x 503 UF upstream_reset_before_response_started{" + words.replace(" ", "_")
    )
    assert plane.counter("cluster.app.upstream_cx_connect_fail") == 1
    client.receive(GET)
    assert len(plane.connector.attempts) == 2
    plane.connector.attempts[1].fail()
    plane.finish()


def test_overflow_of_pending_requests() -> None:
    thresholds = Thresholds(max_connections=1, max_pending_requests=1)
    plane = DataPlane(None, cluster(default_thresholds=thresholds))
    clients = [plane.client() for _ in range(3)]
    clients[0].receive(GET)
    plane.turn()
    for client in clients[1:]:
        client.receive(GET)
    sent = clients[2].take()
    assert sent.endswith(RESET + b"overflow") and b"\r\nx-envoy-overloaded: true\r\n" in sent
    assert " 503 UO " in plane.log[0]
    plane.upstream.receive(OK)
    plane.upstream.receive(OK)
    assert answer(clients[0])[0] == answer(clients[1])[0] == 200
    assert len(plane.connector.connections) == 1
    plane.finish()


def test_upstream_closes_before_the_head() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    plane.upstream.end()
    assert answer(client) == (503, RESET + b"connection termination")
    assert plane.log == ["GET /x 503 UC upstream_reset_before_response_started{connection_termination} 0 95"]
    plane.finish()


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nCont",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_upstream_breaks_the_protocol_before_anything_went_out(sent: bytes) -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    upstream.receive(sent)
    if not upstream.closing:
        upstream.end()
    assert answer(client) == (502, RESET + b"protocol error")
    assert " 502 UPE upstream_reset_before_response_started{protocol_error" in plane.log[0]
    plane.turn()
    assert upstream.closed
    client.receive(GET)
    plane.upstream.receive(OK)
    assert answer(client) == (200, b"ok")
    plane.finish()


@pytest.mark.parametrize("how", ["fin", "reset", "garbage"])
@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_upstream_gone_in_the_middle_of_the_answer(how: str, framing: bytes) -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    chunk = b"3\r\nabc\r\n" if b"chunked" in framing else b"abc"
    upstream.receive(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + chunk)
    if how == "fin":
        upstream.end()
    elif how == "reset":
        upstream.lose()
    elif b"chunked" in framing:
        upstream.receive(b"x\r\n")
    else:
        upstream.end()
    plane.turn()
    assert client.aborted
    assert plane.log[0].startswith("GET /x 200 UPE upstream_reset_after_response_started{protocol_error")
    plane.finish()


@pytest.mark.parametrize(
    "moment", ["before the connection", "before the head", "in the answer", "in the request"]
)
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_client_gone(moment: str, how: str) -> None:
    plane = DataPlane()
    plane.connector.hold = moment == "before the connection"
    client = plane.client()
    client.receive(POST if moment == "in the request" else GET)
    if moment != "before the connection":
        plane.turn()
    if moment == "in the answer":
        plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    if how == "fin":
        client.end()
        plane.turn()
    else:
        client.lose()
    status = "200" if moment == "in the answer" else "0"
    assert plane.log[0].split()[2:5] == [status, "DC", "downstream_remote_disconnect"]
    plane.turn()
    if moment != "before the connection":
        assert plane.connector.connections[0].aborted
        assert plane.counter("cluster.app.upstream_cx_destroy_local_with_active_rq") == 1
    else:
        assert plane.counter("cluster.app.upstream_rq_cancelled") == 1
    plane.finish()


def test_route_timeout() -> None:
    plane = DataPlane(
        manager(routes_to(RouteSettings(RouteMatch(prefix="/"), ClusterAction("app", timeout=2.0))))
    )
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    plane.clock.advance(1.9)
    assert client.take() == b""
    plane.clock.advance(0.2)
    assert answer(client) == (504, b"upstream request timeout")
    assert plane.log == ["GET /x 504 UT response_timeout 0 24"]
    assert upstream.aborted
    assert plane.counter("cluster.app.upstream_rq_timeout") == 1
    client.receive(GET)
    plane.upstream.receive(OK)
    plane.finish()


def test_route_timeout_starts_when_the_request_is_complete() -> None:
    plane = DataPlane(
        manager(routes_to(RouteSettings(RouteMatch(prefix="/"), ClusterAction("app", timeout=2.0))))
    )
    client = plane.client()
    client.receive(POST)
    plane.clock.advance(10)
    client.receive(b"defghij")
    plane.clock.advance(1.9)
    assert client.take() == b""
    plane.clock.advance(0.2)
    assert answer(client)[0] == 504
    plane.finish()


def test_route_timeout_within_the_answer_resets() -> None:
    plane = DataPlane(
        manager(routes_to(RouteSettings(RouteMatch(prefix="/"), ClusterAction("app", timeout=2.0))))
    )
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    plane.clock.advance(2.1)
    assert client.aborted
    assert plane.log == ["GET /x 200 UT response_timeout 0 3"]
    plane.finish()


def test_stream_idle_timeout() -> None:
    plane = DataPlane(manager(stream_idle_timeout=1.0))
    client = plane.client()
    client.receive(POST)
    plane.turn()
    plane.clock.advance(0.9)
    client.receive(b"d")
    plane.clock.advance(0.9)
    assert client.take() == b""
    plane.clock.advance(0.2)
    assert client.take().endswith(b"stream timeout")
    assert plane.log[0].split()[3] == "SI"
    plane.clock.advance(1.1)
    plane.finish()


def test_head_that_does_not_come_to_its_end() -> None:
    plane = DataPlane(manager(request_headers_timeout=1.0))
    client = plane.client()
    client.receive(b"GET / HT")
    plane.clock.advance(0.9)
    client.receive(b"TP/1.1\r\n")
    plane.clock.advance(0.2)
    assert answer(client)[0] == 408
    plane.clock.advance(1.1)
    assert client.closed
    plane.finish()


def test_idle_connection_is_drained_then_closed() -> None:
    plane = DataPlane(manager(idle_timeout=10.0))
    silent, used = plane.client(), plane.client()
    used.receive(GET)
    plane.upstream.receive(OK)
    plane.clock.advance(10.5)
    assert silent.closed and not used.closed
    plane.clock.advance(5.5)
    assert used.closed
    plane.finish()


def test_long_answer_is_not_idle() -> None:
    route = RouteSettings(RouteMatch(prefix="/"), ClusterAction("app", timeout=0.0))
    plane = DataPlane(manager(routes_to(route), idle_timeout=10.0))
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
    for _ in range(40):
        plane.clock.advance(1.0)
        plane.upstream.receive(b"x")
    assert not client.closing
    assert plane.log == ["GET /x 200 - via_upstream 0 40"]
    plane.finish()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 426),
        (b"GET /\r\n", 426),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 403),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 62000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 62000, 431),
    ],
)
def test_refused_request(sent: bytes, status: int) -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(sent + (GET if sent.endswith(b"\r\n\r\n") else b""))
    data = client.take()
    assert int(data[9:12]) == status
    assert b"\r\nconnection: close\r\n" in data and data.count(b"HTTP/1.") == 1
    assert plane.connector.attempts == []
    assert len(plane.log) == 1
    plane.clock.advance(1.1)
    assert client.closed
    plane.finish()


def test_limits_of_the_head_to_the_byte() -> None:
    plane = DataPlane(manager(http1=Http1Settings(max_head_bytes=1000, max_headers=3)))
    for size, status in ((1000, 200), (1001, 431)):
        client = plane.client()
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
        client.receive(head + b"y" * (size - len(head) - 4) + b"\r\n\r\n")
        if status == 200:
            plane.upstream.receive(OK)
        assert answer(client)[0] == status
    for count, status in ((2, 200), (3, 431)):
        client = plane.client()
        client.receive(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * count + b"\r\n")
        if status == 200:
            plane.upstream.receive(OK)
        assert answer(client)[0] == status
    plane.clock.advance(1.1)
    plane.finish()


def test_refusal_after_a_head_request_has_its_body() -> None:
    plane = DataPlane(manager(routes_to(RouteSettings(RouteMatch(prefix="/"), DirectResponse(200)))))
    client = plane.client()
    client.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.take().endswith(b"\r\n\r\n")
    client.receive(b"NONSENSE\r\n\r\n")
    assert client.take().endswith(b"\r\n\r\nBad Request")
    plane.finish()


def test_too_many_lines_are_refused_before_the_head_is_complete() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"GET / HTTP/1.1\nHost: foo.com\n" + b"a: b\n" * 150)
    assert client.take().startswith(b"HTTP/1.1 431 ")
    plane.turn()
    plane.finish()


@pytest.mark.parametrize("moment", ["held", "passed on"])
def test_malformed_chunk_of_a_request(moment: str) -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    if moment == "passed on":
        plane.turn()
    client.receive(b"xyz\r\n")
    assert answer(client) == (400, b"Bad Request")
    assert plane.log[0].split()[2:4] == ["400", "DPE"]
    plane.turn()
    if moment == "passed on":
        assert plane.connector.connections[0].aborted
    plane.clock.advance(1.1)
    plane.finish()


def test_answer_that_nobody_asked_for_closes_the_connection() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    first = plane.upstream
    first.receive(OK)
    first.receive(OK)
    client.take()
    client.receive(GET)  # in the same turn: the broken connection must not be taken
    second = plane.upstream
    assert second is not first and first.closed
    second.receive(OK)
    assert answer(client) == (200, b"ok")
    plane.finish()


def test_idle_upstream_connection_that_ends_is_not_taken_in_the_same_turn() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    first = plane.upstream
    first.receive(OK)
    first.end()
    client.receive(GET)
    assert plane.upstream is not first
    plane.upstream.receive(OK)
    assert plane.counter("cluster.app.upstream_cx_destroy_remote") == 1
    plane.finish()


def test_answer_longer_than_its_length_ends_the_connection_only() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    first = plane.upstream
    first.receive(OK + OK)
    assert answer(client) == (200, b"ok")
    plane.turn()
    assert first.closed
    plane.finish()


def test_upstreams_of_a_removed_host_finish() -> None:
    plane = DataPlane()
    busy = plane.client()
    busy.receive(GET)
    first = plane.upstream
    other = TcpAddress("10.0.0.2", 80)
    plane.reload(None, cluster(endpoints=(Endpoint(other),)))
    client = plane.client()
    client.receive(GET)
    assert plane.upstream is not first
    assert plane.connector.attempts[-1].address == other
    plane.upstream.receive(OK)
    first.receive(OK)
    assert answer(busy) == (200, b"ok")
    plane.turn()
    assert first.closed
    plane.finish()

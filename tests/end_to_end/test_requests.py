"""Requests and answers through the whole data plane, in memory."""

from __future__ import annotations

import pytest

from twistproxy.model.http1 import Http1Settings, UpstreamHttp1Settings
from twistproxy.model.route import DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to

WITH_TRAILERS = UpstreamHttp1Settings(enable_trailers=True)

DATE = b"date: Tue, 14 Nov 2023 22:13:20 GMT\r\nserver: twistproxy\r\n"
TIME = b"x-envoy-upstream-service-time: 0\r\n" + DATE
ADDED = b"x-forwarded-proto: http\r\nx-envoy-expected-rq-timeout-ms: 15000\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_OUT = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" + TIME + b"\r\nok"


def get(path: bytes, extra: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n"


def get_out(path: bytes, extra: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n" + extra + ADDED + b"\r\n"


def test_one_request() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x?y=z", b"X-Custom:  v \r\n"))
    upstream = plane.upstream
    assert upstream.take() == get_out(b"/x?y=z", b"x-custom: v\r\n")
    upstream.receive(OK)
    assert client.take() == OK_OUT
    assert plane.log == ["GET /x?y=z 200 - via_upstream 0 2"]
    plane.finish()


def test_keep_alive_on_both_sides() -> None:
    plane = DataPlane()
    client = plane.client()
    for number in range(5):
        path = b"/%d" % number
        client.receive(get(path))
        assert plane.upstream.take() == get_out(path)
        plane.upstream.receive(OK)
        assert client.take() == OK_OUT
    assert len(plane.connector.connections) == 1
    assert plane.counter("http.ingress.downstream_cx_total") == 1
    assert plane.counter("cluster.app.upstream_rq_200") == 5
    plane.finish()


def test_pipelined_requests_are_answered_in_order() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"".join(get(b"/%d" % n) for n in range(100)))
    for number in range(100):
        upstream = plane.upstream
        assert upstream.take() == get_out(b"/%d" % number)
        body = b"%d" % number
        upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert client.take().endswith(b"\r\n\r\n" + body)
    assert [line.split()[1] for line in plane.log] == [f"/{n}" for n in range(100)]
    plane.finish()


def test_pipelined_request_is_counted_as_active_while_it_runs() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/1") + get(b"/2"))
    plane.upstream.receive(OK)
    assert plane.runtime.active_requests() == 1
    plane.upstream.receive(OK)
    assert plane.runtime.active_requests() == 0
    plane.finish()


def test_garbage_behind_a_request_is_answered_after_it() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/1") + b"garbage\r\n\r\n")
    plane.upstream.receive(OK)
    answer = client.take()
    assert answer.startswith(OK_OUT + b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nBad Request")
    assert client.write_closed
    plane.clock.advance(1.1)
    assert client.closed
    assert [line.split()[2:4] for line in plane.log] == [["200", "-"], ["400", "DPE"]]
    plane.finish()


def test_sized_content_both_ways() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    upstream = plane.upstream
    assert upstream.take().endswith(b"content-length: 6\r\n" + ADDED + b"\r\nabc")
    client.receive(b"def" + get(b"/next"))
    assert upstream.take() == b"def"
    upstream.receive(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nwx")
    assert client.take().endswith(b"\r\n\r\nwx")
    upstream.receive(b"yz")
    assert client.take() == b"yz"
    assert upstream.take() == get_out(b"/next")
    upstream.receive(OK)
    assert plane.log[0] == "POST /x 201 - via_upstream 6 4"
    plane.finish()


def test_chunked_content_both_ways() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nab")
    upstream = plane.upstream
    assert upstream.take().endswith(ADDED + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
    client.receive(b"c\r\n0\r\nX-Trailer: lost\r\n\r\n")
    assert upstream.take() == b"1\r\nc\r\n0\r\n\r\n"
    upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\n" + TIME + b"transfer-encoding: chunked\r\n\r\n"
    upstream.receive(b"5\r\nhello\r\n")
    assert client.take() == b"5\r\nhello\r\n"
    upstream.receive(b"0\r\n\r\n")
    assert client.take() == b"0\r\n\r\n"
    assert plane.log == ["POST /x 200 - via_upstream 3 5"]
    plane.finish()


def test_trailers_where_they_are_enabled() -> None:
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=True)), cluster(http1=WITH_TRAILERS))
    client = plane.client()
    client.receive(
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX-One: 1\r\nContent-Length: 9\r\n\r\n"
    )
    upstream = plane.upstream
    assert upstream.take().endswith(b"1\r\na\r\n0\r\nx-one: 1\r\n\r\n")
    upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Two: 2\r\n\r\n")
    assert client.take().endswith(b"\r\n\r\n1\r\nb\r\n0\r\nx-two: 2\r\n\r\n")
    plane.finish()


def test_trailers_where_they_are_not() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x"))
    plane.upstream.receive(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Two: 2\r\n\r\n"
    )
    assert client.take().endswith(b"\r\n\r\n1\r\nb\r\n0\r\n\r\n")
    plane.finish()


def test_trailers_before_there_is_a_connection() -> None:
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=True)), cluster(http1=WITH_TRAILERS))
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-One: 1\r\n\r\n")
    assert plane.upstream.take().endswith(b"transfer-encoding: chunked\r\n\r\n0\r\nx-one: 1\r\n\r\n")
    plane.upstream.receive(OK)
    plane.finish()


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (b"Content-Length: 1234\r\n", b"content-length: 1234\r\n" + TIME + b"\r\n"),
        (b"Transfer-Encoding: chunked\r\n", TIME + b"transfer-encoding: chunked\r\n\r\n"),
        (b"", TIME + b"transfer-encoding: chunked\r\n\r\n"),
    ],
)
def test_head(framing: bytes, expected: bytes) -> None:
    plane = DataPlane()
    client = plane.client()
    for _ in range(2):
        client.receive(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        plane.upstream.receive(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        assert client.take() == b"HTTP/1.1 200 OK\r\n" + expected
    assert len(plane.connector.connections) == 1
    plane.finish()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_that_have_no_content(status: bytes) -> None:
    plane = DataPlane()
    client = plane.client()
    for _ in range(2):
        client.receive(get(b"/x"))
        plane.upstream.receive(b"HTTP/1.1 " + status + b"\r\n\r\n")
        assert client.take() == b"HTTP/1.1 " + status + b"\r\n" + TIME + b"\r\n"
    assert len(plane.connector.connections) == 1
    plane.finish()


def test_informational_answers_are_swallowed() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x"))
    plane.upstream.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK)
    assert client.take() == OK_OUT
    plane.finish()


def test_expectation_is_met_by_the_proxy() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b"\r\nexpect:" not in plane.upstream.take()
    client.receive(b"x")
    plane.upstream.receive(OK)
    assert client.take() == OK_OUT
    plane.finish()


def test_answer_that_ends_with_the_connection() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x"))
    upstream = plane.upstream
    upstream.receive(b"HTTP/1.1 200 OK\r\n\r\nab")
    upstream.receive(b"cd")
    upstream.end()
    plane.turn()
    assert client.take().endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    assert upstream.closed
    client.receive(get(b"/y"))
    plane.upstream.receive(OK)
    assert client.take() == OK_OUT
    plane.finish()


def test_connection_that_breaks_ends_such_an_answer_too() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x"))
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\n\r\nab")
    plane.upstream.lose()
    assert client.take().endswith(b"2\r\nab\r\n0\r\n\r\n")
    plane.finish()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_http_1_0_where_it_is_accepted(keep_alive: bool) -> None:
    plane = DataPlane(manager(http1=Http1Settings(accept_http_10=True)))
    client = plane.client()
    extra = b"Connection: keep-alive\r\n" if keep_alive else b""
    client.receive(b"GET /x HTTP/1.0\r\nHost: a\r\n" + extra + b"\r\n")
    plane.upstream.receive(OK)
    connection = b"keep-alive" if keep_alive else b"close"
    assert client.take() == (
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n" + TIME + b"connection: " + connection + b"\r\n\r\nok"
    )
    plane.turn()
    assert client.closed != keep_alive
    plane.finish()


def test_http_1_0_content_without_a_length_ends_with_the_connection() -> None:
    plane = DataPlane(manager(http1=Http1Settings(accept_http_10=True)))
    client = plane.client()
    client.receive(b"GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert client.take() == b"HTTP/1.0 200 OK\r\n" + TIME + b"connection: close\r\n\r\nok"
    plane.turn()
    assert client.closed
    plane.finish()


def test_connection_close_is_honoured() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x", b"Connection: close\r\n") + get(b"/ignored"))
    plane.upstream.receive(OK)
    assert b"\r\nconnection: close\r\n" in client.take()
    plane.turn()
    assert client.closed
    assert len(plane.log) == 1
    plane.finish()


def test_upstream_that_closes_is_not_used_again() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(get(b"/x"))
    plane.upstream.receive(OK[:17] + b"Connection: close\r\n" + OK[17:])
    client.receive(get(b"/y"))
    plane.upstream.receive(OK)
    assert len(plane.connector.connections) == 2
    assert client.take() == OK_OUT * 2
    plane.finish()


def test_direct_response_closes_only_with_content_unread() -> None:
    route = RouteSettings(RouteMatch(prefix="/"), DirectResponse(200, b"hi"))
    plane = DataPlane(manager(routes_to(route)))
    client = plane.client()
    client.receive(get(b"/x") * 3)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n" + DATE + b"\r\nhi"
    assert client.take() == answer * 3
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert b"\r\nconnection: close\r\n" in client.take()
    assert client.write_closed and not client.aborted
    plane.clock.advance(1.1)
    assert client.closed
    plane.finish()


def test_drain_asks_clients_to_close() -> None:
    plane = DataPlane()
    busy, idle = plane.client(), plane.client()
    busy.receive(get(b"/x"))
    plane.runtime.drain()
    plane.runtime.close_idle()
    plane.turn()
    assert idle.closed and not busy.closed
    plane.upstream.receive(OK)
    assert b"\r\nconnection: close\r\n" in busy.take()
    plane.turn()
    assert busy.closed
    plane.finish()


def test_request_ids_and_forwarded_for_at_an_edge() -> None:
    plane = DataPlane(manager(use_remote_address=True, generate_request_id=True))
    client = plane.client(remote="203.0.113.9")
    client.receive(get(b"/x", b"X-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\n"))
    sent = plane.upstream.take()
    assert b"\r\nx-forwarded-for: 1.2.3.4,203.0.113.9\r\n" in sent
    assert sent.count(b"x-request-id") == 1 and b"mine" not in sent
    plane.upstream.receive(OK)
    plane.finish()


def test_upload_may_go_on_after_the_answer_began() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    upstream = plane.upstream
    upstream.take()
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwx")
    assert b"\r\nconnection: close\r\n" in client.take()
    client.receive(b"cd")
    assert upstream.take() == b"cd"
    upstream.receive(b"yz")
    assert client.take() == b"yz"
    plane.turn()
    assert client.closed
    assert not upstream.closed
    plane.finish()


def test_whole_answer_before_the_request_gives_both_connections_up() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab")
    upstream = plane.upstream
    upstream.receive(b"HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\n\r\nbig")
    assert client.take().endswith(b"connection: close\r\n\r\nbig")
    assert upstream.aborted
    # What the client still sends is read and thrown away, so that it can get at the answer.
    client.receive(b"x" * 50)
    assert client.write_closed and not client.closed
    plane.clock.advance(1.1)
    assert client.closed
    assert plane.log == ["POST /x 413 - via_upstream 2 3"]
    plane.finish()


def test_max_requests_per_connection_upstream() -> None:
    plane = DataPlane(None, cluster(max_requests_per_connection=2))
    client = plane.client()
    for _ in range(4):
        client.receive(get(b"/x"))
        plane.upstream.receive(OK)
    assert len(plane.connector.connections) == 2
    assert plane.counter("cluster.app.upstream_cx_max_requests") == 2
    plane.finish()


def test_max_requests_per_connection_downstream() -> None:
    plane = DataPlane(manager(max_requests_per_connection=2))
    client = plane.client()
    client.receive(get(b"/1") + get(b"/2") + get(b"/3"))
    plane.upstream.receive(OK)
    assert b"connection: close" not in client.take()
    plane.upstream.receive(OK)
    assert b"connection: close" in client.take()
    plane.turn()
    assert client.closed and len(plane.log) == 2
    plane.finish()

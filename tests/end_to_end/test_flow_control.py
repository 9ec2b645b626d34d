"""Back-pressure: who reads slowly slows the other side down, exactly as long as need be."""

from __future__ import annotations

import pytest

from twistproxy.model.route import DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KIB = b"x" * 1024


def answer(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size


def upload(size: int) -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


def test_slow_client_stops_the_upstream() -> None:
    plane = DataPlane(high_water=4096)
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    client.block()
    upstream.receive(answer(64 * 1024))
    passed = 0
    for round_ in range(1, 9):
        while upstream.reading and passed < 64:
            upstream.receive(KIB)
            passed += 1
        assert passed == 64 or upstream.pauses == round_
        assert client.most_buffered <= 6 * 1024
        client.drain(client.buffered)
        assert upstream.reading
    client.unblock()
    while passed < 64:
        upstream.receive(KIB)
        passed += 1
    assert client.take().endswith(KIB * 64)
    plane.finish()


def test_slow_upstream_stops_the_client() -> None:
    plane = DataPlane(high_water=4096)
    client = plane.client()
    client.receive(upload(64 * 1024))
    upstream = plane.upstream
    upstream.block()
    passed = 0
    while passed < 64:
        while client.reading and passed < 64:
            client.receive(KIB)
            passed += 1
        assert upstream.most_buffered <= 6 * 1024
        upstream.drain(upstream.buffered)
        assert client.reading
    upstream.unblock()
    assert upstream.take().endswith(KIB * 64)
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter("cluster.app.upstream_flow_control_backed_up_total") == client.pauses
    plane.finish()


def test_content_before_there_is_a_connection_is_held_up_to_the_limit() -> None:
    plane = DataPlane(None, cluster(buffer_limit=8192))
    plane.connector.hold = True
    client = plane.client()
    client.receive(upload(32 * 1024))
    sent = 0
    while client.reading:
        client.receive(KIB)
        sent += 1
    assert sent == 9
    upstream = plane.connector.attempts[0].succeed()
    plane.connector.connections.append(upstream)
    assert upstream.take().endswith(KIB * 9)
    assert client.reading
    client.receive(KIB * 23)
    upstream.receive(OK)
    plane.finish()


def test_both_directions_at_once() -> None:
    plane = DataPlane(high_water=4096)
    client = plane.client()
    client.receive(upload(10 * 1024))
    upstream = plane.upstream
    upstream.receive(answer(10 * 1024))
    client.block()
    upstream.block()
    client.receive(KIB * 5)
    upstream.receive(KIB * 5)
    assert not client.reading and not upstream.reading
    upstream.unblock()
    assert client.reading and not upstream.reading
    client.unblock()
    assert upstream.reading
    client.receive(KIB * 5)
    upstream.receive(KIB * 5)
    plane.finish()


def test_answer_while_the_upload_is_stuck_leaves_the_client_readable() -> None:
    """The upload is all in the upstream's buffer when the answer comes: the pause ends with the request."""
    plane = DataPlane(high_water=4096)
    client = plane.client()
    client.receive(upload(8192))
    first = plane.upstream
    first.block()
    client.receive(KIB * 8)
    assert not client.reading
    first.receive(OK)
    assert client.reading
    assert client.take().endswith(b"ok")
    client.receive(GET)
    second = plane.upstream
    assert second is not first, "a connection with unsent content is not free"
    second.receive(OK)
    assert client.take().endswith(b"ok")
    plane.turn()
    assert first.closed
    plane.finish()


def test_answer_complete_while_the_client_is_slow_frees_the_upstream() -> None:
    plane = DataPlane(high_water=4096)
    slow, other = plane.client(), plane.client()
    slow.receive(GET)
    upstream = plane.upstream
    slow.block()
    upstream.receive(answer(8192) + KIB * 8)
    assert upstream.reading
    other.receive(GET)
    assert plane.upstream is upstream
    upstream.receive(OK)
    slow.unblock()
    assert slow.take().endswith(KIB * 8)
    plane.finish()


@pytest.mark.parametrize("at_once", [True, False])
def test_client_that_pipelines_and_does_not_read_is_not_served_ahead(at_once: bool) -> None:
    plane = DataPlane(high_water=4096)
    client = plane.client()
    client.block()
    if at_once:
        client.receive(GET * 50)
    else:
        client.receive(GET)
    served = 0
    while client.buffered < 4096:
        plane.upstream.receive(answer(1024) + KIB)
        served += 1
        if not at_once:
            client.receive(GET)
    assert served < 6
    assert len(plane.log) == served
    if not at_once:
        client.receive(GET * (49 - served))
    assert client.most_buffered < 8192
    while served < 50:
        client.drain(client.buffered)
        plane.upstream.receive(answer(1024) + KIB)
        served += 1
    client.unblock()
    assert client.take().count(KIB) == 50
    plane.finish()


def test_direct_responses_to_a_client_that_does_not_read() -> None:
    route = RouteSettings(RouteMatch(prefix="/"), DirectResponse(200, KIB))
    plane = DataPlane(manager(routes_to(route)), high_water=4096)
    client = plane.client()
    client.block()
    client.receive(GET * 100)
    assert client.most_buffered < 8192
    while len(plane.log) < 100:
        client.drain(client.buffered)
    client.unblock()
    assert client.take().count(KIB) == 100
    plane.finish()


def test_flood_of_pipelined_requests_is_bounded() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    plane.turn()
    sent = 1
    while client.reading:
        client.receive(GET)
        sent += 1
    assert sent * len(GET) < 70 * 1024
    for _ in range(sent):
        plane.upstream.receive(OK)
    assert client.reading
    assert client.take().count(b"HTTP/1.1 200 OK") == sent
    client.receive(GET)
    plane.upstream.receive(OK)
    plane.finish()


def test_large_pile_of_requests_in_one_piece() -> None:
    """More than is held at once comes in one read: reading stops and goes on all the same."""
    plane = DataPlane()
    client = plane.client()
    count = 100 * 1024 // len(GET)
    client.receive(GET * count)
    assert not client.reading
    for _ in range(count):
        plane.upstream.receive(OK)
    assert client.reading
    client.receive(GET)
    plane.upstream.receive(OK)
    assert client.take().count(b"HTTP/1.1 200 OK") == count + 1
    plane.finish()

"""Mirrored requests on memory transports: no end of one side leaves anything behind."""

from __future__ import annotations

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MIRROR = TcpAddress("10.0.0.2", 80)


def mirrored_plane(timeout: float = 5.0, **settings: object) -> DataPlane:
    """The cluster "app" mirrored to "mirror"."""
    action = ClusterAction("app", timeout=timeout, mirrors=(MirrorSettings("mirror"),))
    route = RouteSettings(RouteMatch(prefix="/"), action)
    settings.setdefault("endpoints", (Endpoint(MIRROR),))
    return DataPlane(manager(routes_to(route)), cluster(), cluster("mirror", **settings))


def both(plane: DataPlane) -> tuple[MemoryTransport, MemoryTransport]:
    """The connections to the upstream and to the mirror."""
    plane.turn()
    upstream, mirror = plane.connector.connections
    return upstream, mirror


def test_request_and_copy() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(GET)
    upstream, mirror = both(plane)
    assert b"host: a\r\n" in upstream.take()
    assert b"host: a-shadow\r\n" in mirror.take()
    mirror.receive(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nnoooo"[:-1])
    assert client.take() == b""
    upstream.receive(OK)
    assert client.take().endswith(b"\r\n\r\nok")
    assert plane.counter("cluster.mirror.internal.upstream_rq_500") == 1
    assert plane.counter("cluster.mirror.external.upstream_rq_500") == 0
    plane.finish()


def test_content_waits_for_each_connection() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    client.receive(b"world")
    upstream, mirror = both(plane)
    for one in (upstream, mirror):
        assert one.take().endswith(b"\r\n\r\nhelloworld")
        one.receive(OK)
    plane.finish()


def test_content_and_trailers_pass_on() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    upstream, mirror = both(plane)
    assert b"chunked" in mirror.take()
    upstream.take()
    client.receive(b"2\r\nab\r\n")
    client.receive(b"0\r\nx: 1\r\n\r\n")
    content = mirror.take()
    assert content == upstream.take()
    assert content.startswith(b"2\r\nab\r\n0\r\n")
    mirror.receive(OK)
    upstream.receive(OK)
    plane.finish()


def test_the_client_goes_away() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    _, mirror = both(plane)
    client.lose("")
    plane.turn()
    assert mirror.closed
    plane.finish()


def test_a_complete_copy_outlives_the_request() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(GET)
    _, mirror = both(plane)
    client.lose("")
    plane.turn()
    assert not mirror.closed
    mirror.receive(OK)
    assert plane.counter("cluster.mirror.upstream_rq_200") == 1
    plane.finish()


def test_the_upstream_fails_while_content_comes() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    upstream, mirror = both(plane)
    upstream.lose("")
    assert client.take().startswith(b"HTTP/1.1 503")
    plane.turn()
    assert mirror.closed
    plane.finish()


def test_the_mirror_fails_while_content_comes() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    upstream, mirror = both(plane)
    mirror.lose("")
    client.receive(b"world")
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter("cluster.mirror.upstream_rq_503") == 1
    plane.finish()


def test_the_mirror_answers_early() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    upstream, mirror = both(plane)
    mirror.receive(OK)
    client.receive(b"world")
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_the_mirror_is_too_slow() -> None:
    plane = mirrored_plane(timeout=1.0)
    client = plane.client()
    client.receive(GET)
    upstream, mirror = both(plane)
    upstream.receive(OK)
    plane.clock.advance(1.1)
    plane.turn()
    assert mirror.closed
    assert plane.counter("cluster.mirror.upstream_rq_timeout") == 1
    assert plane.counter("cluster.mirror.internal.upstream_rq_504") == 1
    plane.finish()


def test_the_mirror_cannot_be_reached() -> None:
    plane = mirrored_plane()
    client = plane.client()
    client.receive(HALF)
    plane.connector.attempts[1].fail()
    plane.turn()
    client.receive(b"world")
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter("cluster.mirror.internal.upstream_rq_503") == 1
    plane.finish()


def test_the_mirror_has_no_hosts() -> None:
    plane = mirrored_plane(endpoints=())
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter("cluster.mirror.upstream_cx_none_healthy") == 1
    plane.finish()


def test_the_mirror_is_full() -> None:
    plane = mirrored_plane(default_thresholds=Thresholds(max_pending_requests=0))
    client = plane.client()
    client.receive(HALF + b"world")
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.counter("cluster.mirror.upstream_rq_pending_overflow") == 1
    plane.finish()


def test_a_mirror_that_does_not_read() -> None:
    """Content is held up to the limit, then the copy ends; the client is never paused for it."""
    plane = mirrored_plane(buffer_limit=100)
    client = plane.client()
    client.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    upstream, mirror = both(plane)
    mirror.block()
    for _ in range(3):
        client.receive(b"x" * 60)  # 120 in the transport, 60 held
    plane.turn()
    assert not mirror.closed
    client.receive(b"x" * 60)
    plane.turn()
    assert mirror.closed
    assert plane.counter("cluster.mirror.retry_or_shadow_abandoned") == 1
    client.receive(b"x" * 760)
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_a_mirror_that_reads_again() -> None:
    plane = mirrored_plane(buffer_limit=5)
    client = plane.client()
    client.receive(HALF.replace(b"10", b"20"))
    upstream, mirror = both(plane)
    mirror.block()
    client.receive(b"0123456")  # more than the transport takes
    client.receive(b"78")
    assert mirror.take().endswith(b"hello")
    mirror.unblock()
    assert mirror.take() == b"012345678"
    client.receive(b"world!")
    assert mirror.take() == b"world!"
    mirror.receive(OK)
    upstream.receive(OK)
    plane.finish()

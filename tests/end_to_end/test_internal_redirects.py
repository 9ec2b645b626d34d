"""Internal redirects on memory transports: what is pipelined behind, who goes away when, and what is left."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.http_filters import FaultSettings, HttpFilterSettings, RuntimeFraction
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MOVED = b"HTTP/1.1 302 X\r\nLocation: http://a/b\r\nContent-Length: 0\r\n\r\n"
MOVED_WITH_CONTENT = MOVED.replace(b"th: 0", b"th: 4") + b"gone"


def plane_that_follows(manager_filters: tuple[HttpFilterSettings, ...] = (), **action: Any) -> DataPlane:
    """What begins with "/a" is followed; "/direct" answers; the rest goes to the cluster "app"."""
    policy = InternalRedirectSettings(most=3, cross_scheme=True)
    routes = (
        RouteSettings(RouteMatch(prefix="/a"), ClusterAction("app", internal_redirects=policy, **action)),
        RouteSettings(RouteMatch(prefix="/direct"), DirectResponse(200, b"direct")),
        RouteSettings(RouteMatch(prefix="/"), ClusterAction("app")),
    )
    other = cluster("mirror", endpoints=(Endpoint(TcpAddress("10.0.0.2", 80)),))
    return DataPlane(manager(routes_to(*routes), filters=manager_filters), cluster(), other)


@pytest.mark.parametrize("moved", [MOVED, MOVED_WITH_CONTENT])
def test_followed(moved: bytes) -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(GET)
    first = plane.upstream
    first.take()
    first.receive(moved)
    second = plane.upstream
    assert (second is first) == (moved is MOVED)
    assert second.take().startswith(b"GET /b HTTP/1.1\r\n")
    second.receive(OK)
    assert client.take().endswith(b"\r\n\r\nok")
    assert plane.log == ["GET /b 302 - internal_redirect 0 0", "GET /b 200 - via_upstream 0 2"]
    plane.finish()


def test_what_is_pipelined_waits() -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(GET + GET.replace(b"/a", b"/c"))
    plane.upstream.receive(MOVED_WITH_CONTENT)
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.upstream.take().count(b"GET /c") == 1
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_content_is_sent_again() -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(POST)
    plane.upstream.receive(MOVED)
    assert plane.upstream.take().endswith(b"\r\n\r\nhello")
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_a_response_that_comes_before_the_content() -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(POST[:-1])
    plane.upstream.receive(MOVED)
    assert client.take().startswith(b"HTTP/1.1 302")
    plane.finish()


@pytest.mark.parametrize("request_bytes", [GET, POST])
def test_to_an_answer_of_ours(request_bytes: bytes) -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(request_bytes)
    plane.upstream.receive(MOVED.replace(b"/b", b"/direct"))
    answer = client.take()
    assert answer.endswith(b"direct")
    assert b"connection: close" not in answer
    client.receive(GET)
    plane.upstream.receive(OK)
    plane.finish()


def test_the_client_goes_away_after_the_redirect() -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(MOVED)
    upstream = plane.upstream
    client.lose("")
    plane.turn()
    assert upstream.closed
    plane.finish()


def test_the_redirected_request_fails() -> None:
    plane = plane_that_follows()
    client = plane.client()
    client.receive(POST)
    plane.upstream.receive(MOVED)
    plane.upstream.lose("")
    assert client.take().startswith(b"HTTP/1.1 503")
    plane.finish()


def test_the_redirected_request_has_its_own_time() -> None:
    plane = plane_that_follows(timeout=1.0)
    client = plane.client()
    client.receive(GET)
    plane.clock.advance(0.9)
    plane.upstream.receive(MOVED.replace(b"/b", b"/a2"))
    plane.clock.advance(0.9)
    plane.upstream.receive(MOVED.replace(b"/b", b"/a3"))
    plane.clock.advance(1.1)
    assert client.take().startswith(b"HTTP/1.1 504")
    plane.finish()


def test_with_retries() -> None:
    """A retry and a redirect of the same request."""
    plan = RequestPlan(retry=RetryPolicy(retry_on=RETRY_ON["5xx"], num_retries=2))
    plane = plane_that_follows(plan=plan)
    client = plane.client()
    client.receive(POST)
    plane.upstream.receive(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
    plane.clock.advance(0.1)
    plane.upstream.receive(MOVED_WITH_CONTENT)
    assert plane.upstream.take().endswith(b"\r\n\r\nhello")
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_with_a_mirror() -> None:
    """The copy is of the request as it came first."""
    plane = plane_that_follows(mirrors=(MirrorSettings("mirror"),))
    client = plane.client()
    client.receive(POST)
    plane.turn()
    upstream, mirror = plane.connector.connections
    upstream.receive(MOVED)
    assert mirror.take().startswith(b"POST /a ")
    assert upstream.take().endswith(b"hello")
    mirror.receive(OK)
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    plane.finish()


def test_filters_hear_of_the_end_of_what_was_redirected() -> None:
    faults = HttpFilterSettings("f", FaultSettings(RuntimeFraction(100), 100, "", RuntimeFraction(0), 0, ""))
    plane = plane_that_follows(manager_filters=(faults,))
    client = plane.client()
    client.receive(GET)
    plane.clock.advance(0.11)
    plane.upstream.receive(MOVED)
    assert plane.runtime.snapshot()["gauges"]["http.ingress.fault.active_faults"] == 1
    plane.clock.advance(0.11)
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.runtime.snapshot()["gauges"]["http.ingress.fault.active_faults"] == 0
    plane.finish()

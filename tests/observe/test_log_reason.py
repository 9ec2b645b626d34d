"""`%REASON%` of real streams."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.route import ClusterAction, DirectResponse, RouteMatch, RouteSettings
from twistproxy.process.reasons import Reasons
from twistproxy.testing.data_plane import LOG, UPSTREAM, DataPlane, cluster, manager, routes_to
from twistproxy.upstream.host import Host

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def plane(*clusters: Any, routes: Any = None, **settings: Any) -> DataPlane:
    logs = (AccessLogSettings(LOG, LogFormat("%REASON%\n")),)
    return DataPlane(replace(manager(routes, **settings), access_logs=logs), *clusters)


def ask(plane: DataPlane, head: bytes = b"GET /x HTTP/1.1\r\nHost: a.b\r\n\r\n") -> Any:
    client = plane.client()
    client.receive(head)
    plane.turn()
    return client


def told(plane: DataPlane) -> str:
    (line,) = plane.log
    plane.finish()
    return line


def test_nothing_to_tell() -> None:
    data = plane()
    ask(data)
    data.upstream.receive(OK)
    assert told(data) == "-"


def test_no_route() -> None:
    routes = routes_to(RouteSettings(RouteMatch(prefix="/y"), ClusterAction("app")))
    data = plane(routes=routes)
    ask(data)
    assert told(data) == "no route matches GET /x on host a.b: virtual host 'all' has none (of 1 route)"


def test_no_virtual_host() -> None:
    data = plane(routes=routes_to(domains=("c.d",)))
    ask(data)
    assert told(data) == ("no route matches GET /x on host a.b: no virtual host of 'routes' is for this host")


def test_a_route_that_answers() -> None:
    data = plane(routes=routes_to(RouteSettings(RouteMatch(prefix="/"), DirectResponse(403), name="no")))
    ask(data)
    assert told(data) == "route 'no' in virtual host 'all' answers by itself"


def test_no_cluster() -> None:
    data = plane(routes=routes_to(RouteSettings(RouteMatch(prefix="/"), ClusterAction("gone"))))
    ask(data)
    assert told(data) == "the route in virtual host 'all' leads to cluster 'gone', which does not exist"


def test_no_host() -> None:
    data = plane(cluster(endpoints=()))
    ask(data)
    assert told(data) == "cluster 'app' has no host"


def test_no_healthy_host() -> None:
    hosts = {number: Host(Endpoint(TcpAddress("10.0.0.1", number), health="UNHEALTHY")) for number in (1, 2)}
    found: Any = SimpleNamespace(hosts=hosts, warm=True)
    reasons = Reasons(SimpleNamespace(table=None), lambda name: found)
    assert reasons.no_host("app") == (
        "cluster 'app' has no healthy host: 2 of 2 (discovery says that it is unhealthy)"
    )
    hosts.clear()
    found.warm = False
    assert reasons.no_host("app") == "cluster 'app' has no host: discovery has not told any so far"


def test_a_circuit_breaker() -> None:
    data = plane(cluster(default_thresholds=Thresholds(max_pending_requests=0)))
    ask(data)
    assert told(data) == "circuit breaker: 0 pending requests in cluster 'app'"


def test_no_connection() -> None:
    data = plane()
    data.connector.refused.add(UPSTREAM)
    client = ask(data)
    data.turn()
    assert client.take().startswith(b"HTTP/1.1 503")
    assert told(data) == "no connection to the upstream 10.0.0.1:80 of cluster 'app': Connection refused"


def test_an_upstream_that_leaves() -> None:
    data = plane()
    ask(data)
    data.upstream.lose("")
    data.turn()
    data.turn()
    assert told(data) == "the upstream 10.0.0.1:80 of cluster 'app' closed the connection before it answered"


def test_an_upstream_that_babbles() -> None:
    data = plane()
    ask(data)
    data.upstream.receive(b"what?\r\n\r\n")
    assert told(data) == (
        "the upstream 10.0.0.1:80 of cluster 'app' sent what is no HTTP/1.1 response: malformed response head"
    )


def test_route_timeout() -> None:
    data = plane()
    ask(data)
    _ = data.upstream
    data.clock.advance(15.1)
    assert told(data) == (
        "the upstream 10.0.0.1:80 of cluster 'app' did not answer within 15 s (route timeout)"
    )


def test_a_client_that_leaves() -> None:
    data = plane()
    client = ask(data)
    _ = data.upstream
    client.lose("")
    data.turn()
    assert told(data) == (
        "the client closed the connection before the upstream 10.0.0.1:80 of cluster 'app' answered"
    )


def test_what_is_no_request() -> None:
    data = plane()
    ask(data, b"GET / HTTP/1.1\r\nHost: a\r\nx a: 1\r\n\r\n")
    data.clock.advance(2.0)
    assert told(data) == "what the client sent is no HTTP/1.1"


def test_a_request_that_is_late() -> None:
    data = plane(request_timeout=3.0)
    ask(data, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    _ = data.upstream
    data.clock.advance(3.1)
    data.clock.advance(2.0)
    assert told(data) == "the request was not complete within 3 s (request_timeout)"

"""The whole graph, built from configurations one after the other, on fakes."""

from __future__ import annotations

from dataclasses import replace

from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import DnsSource
from twistproxy.model.endpoint import Endpoint, EndpointSet
from twistproxy.model.route import ClusterAction, DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import UPSTREAM, DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OTHER = TcpAddress("10.0.0.2", 80)


def answer(status: int) -> RouteSettings:
    return RouteSettings(RouteMatch(prefix="/"), DirectResponse(status, b""))


def status(client: MemoryTransport) -> int:
    client.receive(GET)
    return int(client.take()[9:12])


def test_changed_routes_serve_open_connections_at_once() -> None:
    plane = DataPlane(manager(routes_to(answer(201))))
    client = plane.client()
    assert status(client) == 201
    plane.reload(manager(routes_to(answer(202))))
    assert status(client) == 202
    assert not client.closing
    plane.finish()


def test_a_request_ends_on_the_routes_it_started_with() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    plane.reload(manager(routes_to(answer(202))))
    plane.upstream.receive(OK)
    assert client.take().startswith(b"HTTP/1.1 200 OK")
    assert status(client) == 202
    plane.finish()


def test_changed_manager_lets_old_connections_finish() -> None:
    plane = DataPlane()
    busy, idle = plane.client(), plane.client()
    busy.receive(GET)
    plane.reload(manager(server_name=b"new"))
    plane.upstream.receive(OK)
    old = busy.take()
    assert b"server: twistproxy" in old and b"connection: close" in old
    fresh = plane.client()
    fresh.receive(GET)
    plane.upstream.receive(OK)
    new = fresh.take()
    assert b"server: new" in new and b"connection: close" not in new
    assert plane.runtime.active_connections() == 3 - busy.closed
    plane.clock.advance(601)
    assert idle.closed and not fresh.closed
    plane.finish()


def test_removed_listener_is_still_counted_and_drained() -> None:
    plane = DataPlane()
    client, idle = plane.client(), plane.client()
    client.receive(GET)
    plane.runtime.apply(replace(plane.bootstrap, listeners=()))
    assert (plane.runtime.active_connections(), plane.runtime.active_requests()) == (2, 1)
    assert plane.runtime.snapshot()["gauges"]["http.ingress.downstream_rq_active"] == 1
    plane.runtime.drain()
    plane.runtime.close_idle()
    plane.turn()
    assert idle.closed
    plane.upstream.receive(OK)
    assert b"connection: close" in client.take()
    plane.turn()
    assert plane.runtime.active_connections() == 0
    plane.finish(drains=1)


def test_abort_reaches_connections_of_old_managers() -> None:
    plane = DataPlane()
    old = plane.client()
    plane.reload(manager(server_name=b"new"))
    new = plane.client()
    plane.runtime.abort_all()
    plane.turn()
    assert old.closed and new.closed
    plane.finish(drains=1)


def test_equal_cluster_keeps_its_connections_a_changed_one_does_not() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    first = plane.upstream
    first.receive(OK)
    plane.reload(None, cluster())
    client.receive(GET)
    assert plane.upstream is first
    first.receive(OK)
    plane.reload(None, cluster(connect_timeout=1.0))
    plane.turn()
    assert first.closed
    client.receive(GET)
    second = plane.upstream
    assert second is not first
    assert plane.connector.attempts[-1].timeout == 1.0
    second.receive(OK)
    assert plane.counter("cluster.app.upstream_rq_200") == 3
    assert plane.counter("cluster_manager.cluster_modified") == 1
    plane.finish()


def test_endpoints_from_discovery() -> None:
    source = DnsSource("app", False, ())
    plane = DataPlane(None, cluster(endpoints=(), source=source))
    assert plane.runtime.discovered_clusters() == {"app"}
    client = plane.client()
    assert status(client) == 503
    plane.runtime.update_endpoints(EndpointSet("app", (Endpoint(OTHER),), 1))
    client.receive(GET)
    first = plane.upstream
    assert plane.connector.attempts[-1].address == OTHER
    first.receive(OK)
    client.take()
    # A source that has not answered again takes nothing away; neither does a reload with the same source.
    plane.runtime.update_endpoints(EndpointSet("app", (), 2, resolved=False))
    plane.reload(None, cluster(endpoints=(), source=source, connect_timeout=2.0))
    client.receive(GET)
    plane.upstream.receive(OK)
    assert client.take().startswith(b"HTTP/1.1 200")
    plane.runtime.update_endpoints(EndpointSet("app", (), 3))
    assert status(client) == 503
    plane.runtime.update_endpoints(EndpointSet("nobody", (Endpoint(OTHER),), 1))
    plane.finish()


def test_health_check_failure_drains_until_it_is_ok_again() -> None:
    plane = DataPlane(manager(routes_to(answer(200))))
    plane.runtime.set_healthy(False)
    plane.reload(manager(routes_to(answer(200)), server_name=b"new"))
    client = plane.client()
    client.receive(GET)
    assert b"connection: close" in client.take()
    plane.runtime.set_healthy(True)
    client = plane.client()
    client.receive(GET)
    assert b"connection: close" not in client.take()
    plane.finish()


def test_snapshot_has_hosts_and_clusters() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(OK)
    kept = plane.runtime.snapshot("counts")
    assert kept["counters"]["http.ingress.downstream_rq_2xx"] == 1
    assert kept["gauges"]["http.ingress.downstream_cx_active"] == 1
    snapshot = plane.runtime.snapshot()
    (host,) = snapshot["hosts"]["app"]
    assert host["address"] == str(UPSTREAM)
    assert host["counters"]["rq_success"] == 1 and host["gauges"]["cx_active"] == 1
    assert snapshot["clusters"]["app"]["circuit_breakers"]["default"]["max_connections"] == 1024
    assert snapshot["gauges"]["cluster.app.membership_healthy"] == 1
    assert snapshot["counters"]["http.ingress.downstream_rq_2xx"] == 1
    assert snapshot["histograms"]["http.ingress.downstream_rq_time"] == {"0": 1}
    plane.finish()


def test_bytes_are_counted_open_and_closed() -> None:
    plane = DataPlane()
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(OK)
    received = plane.counter("http.ingress.downstream_cx_rx_bytes_total")
    upstream = plane.counter("cluster.app.upstream_cx_rx_bytes_total")
    assert (received, upstream) == (len(GET), len(OK))
    plane.finish()
    assert plane.counter("http.ingress.downstream_cx_rx_bytes_total") == received
    assert plane.counter("cluster.app.upstream_cx_rx_bytes_total") == upstream


def test_unknown_route_target_appears_with_a_reload() -> None:
    route = RouteSettings(RouteMatch(prefix="/"), ClusterAction("later"))
    plane = DataPlane(manager(routes_to(route)))
    client = plane.client()
    assert status(client) == 503
    plane.reload(None, cluster(), cluster("later"))
    client.receive(GET)
    plane.upstream.receive(OK)
    assert client.take().startswith(b"HTTP/1.1 200")
    plane.finish()

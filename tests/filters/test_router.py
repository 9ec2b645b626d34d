"""The router: what it answers without an upstream."""

from __future__ import annotations

from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_cluster_that_is_not_there() -> None:
    route = RouteSettings(RouteMatch(prefix="/"), ClusterAction("gone", cluster_not_found_status=404))
    plane = DataPlane(manager(routes_to(route)))
    plane.client().receive(GET)
    assert plane.log == ["GET /x 404 NC cluster_not_found 0 0"]
    assert plane.counter("http.ingress.no_cluster") == 1
    plane.finish()

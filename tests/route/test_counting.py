"""Where requests are counted beside their cluster."""

from __future__ import annotations

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.message import RequestHead
from twistproxy.model.route import (
    ClusterAction,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualCluster,
    VirtualHostSettings,
)
from twistproxy.observe.route_stats import RouteStatsRegistry
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.string_match import Exact, Prefix
from twistproxy.route.action import Route
from twistproxy.route.table import RouteTable

USERS = VirtualCluster(
    "users", (HeaderMatcher(":path", Prefix("/users/")), HeaderMatcher(":method", Exact("GET")))
)


def routes(
    registry: RouteStatsRegistry, clusters: tuple[VirtualCluster, ...] = (USERS,), prefix: str = "r"
) -> RouteTable:
    route = RouteSettings(RouteMatch(prefix="/"), ClusterAction("a"), stat_prefix=prefix)
    host = VirtualHostSettings("v", ("*",), (route,), virtual_clusters=clusters)
    return RouteTable(RouteConfiguration("c", (host,)), registry=registry)


def taken(table: RouteTable, path: bytes) -> tuple[Route, RequestHead]:
    head = RequestHead(b"GET", path, b"a", [], {})
    route = table.pick(head, None)
    assert route is not None
    return route, head


def counters(registry: RouteStatsRegistry) -> dict[str, int]:
    out = Snapshot()
    registry.collect(out)
    return {name: value for name, value in out.counters.items() if value}


def test_a_request_is_counted_by_its_virtual_cluster_and_its_route() -> None:
    registry = RouteStatsRegistry()
    route, head = taken(routes(registry), b"/users/1")
    assert route.counting is not None
    counts = route.counting.begin(head)
    assert counts.virtual_cluster == "users"
    counts.sent()
    counts.charge(503)
    counts.timed_out()
    counts.retried()
    counts.took(5)
    expected = {"2xx": 0, "5xx": 1, "503": 1, "completed": 1, "total": 1, "timeout": 1, "retry": 1}
    assert counters(registry) == {
        f"vhost.v.{of}.upstream_rq_{name}": value
        for of in ("vcluster.users", "route.r")
        for name, value in expected.items()
        if value
    }
    out = Snapshot()
    registry.collect(out)
    assert set(out.histograms) == {f"vhost.v.{of}.upstream_rq_time" for of in ("vcluster.users", "route.r")}


def test_others_and_tables_that_share_names() -> None:
    registry = RouteStatsRegistry()
    for table in (routes(registry), routes(registry)):
        route, head = taken(table, b"/other")
        assert route.counting is not None
        counts = route.counting.begin(head)
        assert counts.virtual_cluster == ""
        counts.sent()
    assert counters(registry) == {
        "vhost.v.vcluster.other.upstream_rq_total": 2,
        "vhost.v.route.r.upstream_rq_total": 2,
    }


def test_nothing_to_count() -> None:
    assert taken(routes(RouteStatsRegistry(), (), ""), b"/")[0].counting is None


def test_explanations_are_not_counted() -> None:
    registry = RouteStatsRegistry()
    registry.paused = True
    route, head = taken(routes(registry), b"/users/1")
    assert route.counting is not None
    counts = route.counting.begin(head)
    counts.sent()
    assert (counts.virtual_cluster, counters(registry)) == ("users", {})

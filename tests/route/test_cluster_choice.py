"""Routes whose cluster is chosen for each request."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.model.http_filters import RouteFilter
from twistproxy.model.route import (
    ClusterAction,
    ClusterHeader,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
    WeightedCluster,
    WeightedClusters,
)
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.route.table import RouteTable

ABC = (WeightedCluster(20, "a"), WeightedCluster(30, "b"), WeightedCluster(50, "c"))


def table(choice: WeightedClusters | ClusterHeader) -> RouteTable:
    route = RouteSettings(RouteMatch(prefix="/"), ClusterAction("", choice=choice, prefix_rewrite="/new"))
    return RouteTable(RouteConfiguration("r", (VirtualHostSettings("v", ("*",), (route,)),)))


def head(*items: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", b"/", b"host", list(items), dict(items))


def stream(number: int, runtime: RuntimeValues | None = None) -> Any:
    context = SimpleNamespace(runtime=runtime or RuntimeValues())
    return SimpleNamespace(context=context, random_value=lambda: number)


def chosen(routes: RouteTable, request: RequestHead, of: Any = None) -> str | None:
    route = routes.pick(request, of)
    assert route is not None and route.rewrites
    return route.cluster


def test_weights() -> None:
    routes = table(WeightedClusters(ABC))
    assert Counter(chosen(routes, head(), stream(number)) for number in range(1000)) == {
        "a": 200,
        "b": 300,
        "c": 500,
    }
    assert chosen(routes, head()) == "a"


def test_a_route_of_a_cluster_is_one_object() -> None:
    routes = table(WeightedClusters(ABC))
    assert routes.pick(head(), stream(0)) is routes.pick(head(), stream(100))
    assert routes.pick(head(), stream(0)) is not routes.pick(head(), stream(20))


def test_weights_of_the_runtime() -> None:
    routes = table(WeightedClusters(ABC, runtime_key_prefix="k"))
    runtime = RuntimeValues({"k.a": 0, "k.b": 0, "k.c": 1})
    assert {chosen(routes, head(), stream(number, runtime)) for number in range(100)} == {"c"}
    runtime.replace({"k.a": 0, "k.b": 0, "k.c": 0})
    assert chosen(routes, head(), stream(0, runtime)) == "a"
    assert chosen(routes, head(), stream(0)) == "a"


def test_names_from_headers_do_not_pile_up() -> None:
    routes = table(ClusterHeader("X-Cluster"))
    for number in range(1000):
        name = b"c%d" % number
        assert chosen(routes, head((b"x-cluster", name))) == name.decode()
    found = routes.search(b"host")[0]
    assert found is not None
    assert len(found.index.entries[0].choice._kept) <= 256  # type: ignore[attr-defined]
    assert chosen(routes, head()) == ""
    assert chosen(routes, head((b"x-cluster", b"\xff"))) == "\N{REPLACEMENT CHARACTER}"


def test_routes_that_headers_name_have_the_same_settings_of_filters() -> None:
    """Chains of filters are kept by that object, so there must not be one for each name."""
    routes = table(WeightedClusters((WeightedCluster(1, "", "x-cluster", filters={"f": RouteFilter()}),)))
    picked = [routes.pick(head((b"x-cluster", name)), stream(0)) for name in (b"a", b"b")]
    first, second = [one.filters for one in picked if one is not None]
    assert first is second
    assert first == ({"f": RouteFilter()},)


def test_a_header_among_weights() -> None:
    routes = table(WeightedClusters((WeightedCluster(1, "a"), WeightedCluster(1, "", "x-cluster"))))
    assert chosen(routes, head((b"x-cluster", b"z")), stream(0)) == "a"
    assert chosen(routes, head((b"x-cluster", b"z")), stream(1)) == "z"

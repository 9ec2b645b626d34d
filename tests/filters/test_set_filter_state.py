"""Filter state on the whole data plane: which connections to upstreams requests have for it, and what /explain says."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.api.filter_state import FACTORIES, shared_of
from twistproxy.model.access_log import LogFormat
from twistproxy.model.address import Cidr
from twistproxy.model.balancing import Balancing, RingHashSettings
from twistproxy.model.hash_policy import FilterStateHash
from twistproxy.model.http_filters import HttpFilterSettings, SetFilterStateSettings, StateRule
from twistproxy.model.route import (
    ClusterAction,
    DirectResponse,
    MatchLeaf,
    MatchMap,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
)
from twistproxy.primitives.string_match import Exact
from twistproxy.route.conditions import FilterStateAddress, FilterStateInput, FilterStateText
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to

SERVER = "envoy.network.upstream_server_name"


def rule(key: str, text: str = "%REQ(x-v)%", factory: str = "envoy.string", **more: Any) -> StateRule:
    return StateRule(key, factory, LogFormat(text), **more)


def setting(*rules: StateRule, clear: bool = False) -> tuple[HttpFilterSettings, ...]:
    return (HttpFilterSettings("state", SetFilterStateSettings(rules, clear)),)


def exchange(plane: DataPlane, value: str, then: str = "") -> int:
    """One request with its answer; the number of the upstream connection that it had."""
    client = plane.client()
    client.receive(f"GET / HTTP/1.1\r\nhost: a\r\nx-v: {value}\r\n{then}\r\n".encode())
    plane.turn()
    for number, connection in enumerate(plane.connector.connections):
        if connection.take():
            connection.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return number
    raise AssertionError("no request came")


@pytest.mark.parametrize(
    ("rules", "connections"),
    [
        ((rule("k"),), [0, 0, 0]),
        ((rule("k", shared=True),), [0, 0, 0]),
        ((rule("k", factory="envoy.hashable_string"),), [0, 0, 0]),
        ((rule("k", factory="envoy.hashable_string", shared=True),), [0, 1, 0]),
        ((rule(SERVER, factory=SERVER),), [0, 1, 0]),
        ((rule("k", factory=SERVER),), [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("special", [False, True])
def test_connections_of_their_own(
    rules: tuple[StateRule, ...], connections: list[int], special: bool
) -> None:
    app = cluster(preconnect_ratio=1.0, predictive_preconnect_ratio=1.01) if special else cluster()
    plane = DataPlane(manager(filters=setting(*rules)), app)
    assert [exchange(plane, value) for value in ("a", "b", "a")] == connections
    plane.finish()


def test_a_pool_that_is_empty_is_forgotten() -> None:
    plane = DataPlane(manager(filters=setting(rule("k", factory="envoy.hashable_string", shared=True))))
    exchange(plane, "a")
    exchange(plane, "b")
    [host] = plane.runtime._clusters.get("app").hosts.values()  # type: ignore[union-attr]
    assert len(host.keyed_pools) == 2
    plane.connector.connections[0].end()
    plane.turn()
    assert [key for _, key in host.keyed_pools] == ["\0b"]
    plane.finish()


def test_keys_of_pools_do_not_run_together() -> None:
    def key(*texts: str) -> str:
        state = {}
        for number, text in enumerate(texts):
            made = FACTORIES["envoy.hashable_string"](text)
            assert made is not None
            made.shared = True
            state[str(number)] = made
        found = shared_of(state)
        return "" if found is None else found.key

    assert len({key(), key(""), key("", ""), key("a", "b"), key("ab"), key("b", "a"), key("a,b")}) == 7


def test_nothing_is_kept_of_a_request_without_rules() -> None:
    plane = DataPlane(manager(filters=setting(rule("k", "", skip_if_empty=True))))
    exchange(plane, "a")
    plane.finish()


def test_a_connection_keeps_what_is_its_own() -> None:
    routes = routes_to(
        RouteSettings(
            RouteMatch(conditions=(FilterStateText("who", Exact("198.51.100.7")),)), DirectResponse(204)
        )
    )
    settings = manager(
        routes,
        filters=setting(rule("who", "somebody"), rule("mine", "1"), clear=True),
        connection_state=(rule("who", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),),
    )
    plane = DataPlane(settings)
    client = plane.client()
    for _ in range(2):
        client.receive(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.take().startswith(b"HTTP/1.1 204")
    other = plane.client("198.51.100.8")
    other.receive(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert other.take().startswith(b"HTTP/1.1 404")
    plane.finish()


def test_explained() -> None:
    ip = rule("ip", "%REQ(x-v)%", "envoy.network.ip")
    routes = routes_to(
        RouteSettings(
            RouteMatch(conditions=(FilterStateAddress("ip", (Cidr("10.0.0.0", 8),)),)),
            ClusterAction("app", hash_policies=(FilterStateHash("h"),)),
            "inside",
        ),
        RouteSettings(RouteMatch(), DirectResponse(404), "outside"),
    )
    rules = setting(ip, rule("h", factory="envoy.hashable_string"), clear=True)
    app = cluster(balancing=Balancing("RING_HASH", hashing=RingHashSettings()))
    plane = DataPlane(manager(routes, filters=rules), app)
    inside = plane.runtime.explain({"path": "/", "host": "a", "headers": [["x-v", "10.0.0.1"]]})
    assert inside["route"]["name"] == "inside"
    assert inside["route"]["hash"][0] == "by filter state h"
    outside = plane.runtime.explain({"path": "/", "host": "a", "headers": [["x-v", "11.0.0.1"]]})
    assert [one["failed"] for one in outside["routes"]] == [
        "not filter state 'ip' is an address in 10.0.0.0/8",
        "",
    ]
    plane.finish()


def test_a_tree_explained() -> None:
    leaf = MatchLeaf((RouteSettings(RouteMatch(), DirectResponse(204), "found"),))
    tree = MatchMap(FilterStateInput("who"), True, (("me", leaf),))
    host = VirtualHostSettings("all", ("*",), (), matcher=tree)
    settings = manager(RouteConfiguration("routes", (host,)), filters=setting(rule("who"), clear=True))
    plane = DataPlane(settings)
    found = plane.runtime.explain({"path": "/", "host": "a", "headers": [["x-v", "me"]]})
    assert found["virtual_host"]["matcher"] == ["filter state 'who' is 'me': yes"]
    plane.finish()

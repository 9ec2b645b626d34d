"""Explanations, on the whole graph with fakes: what they say is what traffic then gets."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.model.address import Cidr, TcpAddress
from twistproxy.model.balancing import Balancing, RingHashSettings
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.hash_policy import CookieHash, HeaderHash
from twistproxy.model.http_filters import (
    BufferSettings,
    FaultSettings,
    HttpFilterSettings,
    RouteFilter,
    RuntimeFraction,
)
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import (
    ClusterAction,
    DirectResponse,
    HostRewrite,
    RedirectAction,
    RouteMatch,
    RouteSettings,
)
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings
from twistproxy.testing.data_plane import UPSTREAM, DataPlane, cluster, manager, routes_to

SICK = TcpAddress("10.0.0.2", 80)


def plane_with(*routes: RouteSettings, **settings: Any) -> DataPlane:
    return DataPlane(manager(routes_to(*routes, **settings)))


def asked(plane: DataPlane, path: str, host: str = "a", *headers: str, **more: str) -> dict[str, Any]:
    """The explanation of a request; nothing may have happened for it."""
    pairs = [line.split(": ") for line in headers]
    counted = plane.runtime.snapshot()
    found = plane.runtime.explain({"path": path, "host": host, "headers": pairs, **more})
    assert plane.runtime.snapshot() == counted
    assert plane.connector.attempts == []
    assert plane.logs.files["/log"].text == ""
    return found


def forward(prefix: str, **action: Any) -> RouteSettings:
    return RouteSettings(RouteMatch(prefix=prefix), ClusterAction("app", **action), f"to {prefix}")


def test_the_routes_considered_and_what_they_failed_by() -> None:
    plane = plane_with(forward("/a"), RouteSettings(RouteMatch(path="/b"), DirectResponse(200)), forward("/"))
    found = asked(plane, "/c")
    assert [(one["number"], one["taken"]) for one in found["routes"]] == [(1, False), (2, False), (3, True)]
    assert "'/a'" in found["routes"][0]["failed"]
    assert "'/b'" in found["routes"][1]["failed"]
    assert found["virtual_host"] == {"route_configuration": "routes", "name": "all", "domain": "*"}
    assert found["route"]["name"] == "to /"
    plane.finish()


def test_the_request_is_what_the_upstream_gets() -> None:
    plane = plane_with(
        forward("/", prefix_rewrite="/new/", host_rewrite=HostRewrite(literal="b"), timeout=2.5)
    )
    request = asked(plane, "/x?q=1", "a", "X-One: 1")["request"]
    client = plane.client("127.0.0.1")
    client.receive(b"GET /x?q=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n\r\n")
    first, *lines = plane.upstream.take().decode().rstrip().split("\r\n")
    assert first == f"{request['method']} {request['path']} HTTP/1.1"
    fields = [line.split(": ", 1) for line in lines]
    assert sorted(fields) == sorted([["host", request["host"]], *request["headers"]])
    assert ["x-envoy-expected-rq-timeout-ms", "2500"] in request["headers"]
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    plane.finish()


def test_answers_by_the_proxy_itself() -> None:
    redirect = RouteSettings(RouteMatch(path="/to"), RedirectAction(host="b"))
    plane = plane_with(RouteSettings(RouteMatch(path="/no"), DirectResponse(403, b"no\n")), redirect)
    reply = asked(plane, "/no")["reply"]
    assert (reply["status"], reply["body"], reply["details"]) == (403, "no\n", "direct_response")
    assert ["location", "http://b/to"] in asked(plane, "/to")["reply"]["headers"]
    nothing = asked(plane, "/other")
    assert (nothing["reply"]["status"], nothing["reply"]["flags"]) == (404, "NR")
    assert [one["taken"] for one in nothing["routes"]] == [False, False]
    assert "404" in nothing["summary"]
    plane.finish()


def test_no_virtual_host_and_no_request() -> None:
    plane = plane_with(domains=("only.example",))
    found = asked(plane, "/", "other.example")
    assert found["virtual_host"]["name"] is None
    assert found["reply"]["flags"] == "NR"
    assert asked(plane, "/", "only.example")["virtual_host"]["domain"] == "only.example"
    broken = asked(plane, "/a b")
    assert broken["reply"]["status"] == 400
    assert "routes" not in broken
    plane.finish()


def test_hosts_that_are_out_and_why() -> None:
    hosts = (
        Endpoint(UPSTREAM),
        Endpoint(TcpAddress("10.0.0.3", 80)),
        Endpoint(SICK, health="UNHEALTHY"),
        Endpoint(TcpAddress("10.0.0.4", 80), priority=1),
    )
    plane = DataPlane(manager(), cluster(endpoints=hosts))
    found = asked(plane, "/")["cluster"]
    verdicts = {host["address"]: (host["eligible"], host["verdict"]) for host in found["hosts"]}
    assert verdicts["10.0.0.1:80"][0]
    assert not verdicts["10.0.0.2:80"][0]
    assert "discovery says that it is unhealthy" in verdicts["10.0.0.2:80"][1]
    assert verdicts["10.0.0.4:80"][0]  # two of three healthy hosts take 93 % of the requests
    assert sum("chosen this time" in verdict for _, verdict in verdicts.values()) == 1
    plane.finish()


@pytest.mark.parametrize("health", ["HEALTHY", "UNHEALTHY"])
def test_panic_and_better_priorities(health: str) -> None:
    hosts = (Endpoint(UPSTREAM, health=health), Endpoint(SICK, health="UNHEALTHY", priority=1))
    plane = DataPlane(manager(), cluster(endpoints=hosts))
    found = asked(plane, "/")["cluster"]
    assert [host["eligible"] for host in found["hosts"]] == [True, health == "UNHEALTHY"]
    assert any("panic" in note for note in found["notes"]) == (health == "UNHEALTHY")
    plane.finish()


def test_clusters_without_hosts_and_unknown_ones() -> None:
    plane = DataPlane(manager(), cluster(endpoints=()))
    found = asked(plane, "/")
    assert found["cluster"]["notes"] == ["it has no hosts"]
    assert (found["reply"]["status"], found["reply"]["flags"]) == (503, "UH")
    plane.finish()
    plane = DataPlane(manager(), cluster("other"))
    found = asked(plane, "/")
    assert (found["reply"]["flags"], "cluster" in found) == ("NC", False)
    plane.finish()


def test_long_lists_are_cut() -> None:
    routes = [forward(f"/{number}/") for number in range(250)]
    hosts = tuple(Endpoint(TcpAddress("10.0.1.1", port)) for port in range(1, 251))
    plane = DataPlane(manager(routes_to(*routes)), cluster(endpoints=hosts))
    found = asked(plane, "/249/x")
    assert (len(found["routes"]), found["routes_left_out"]) == (100, 150)
    assert found["routes"][-1]["taken"]
    assert (len(found["cluster"]["hosts"]), found["cluster"]["hosts_left_out"]) == (100, 150)
    plane.finish()


def test_listeners_by_name() -> None:
    plane = plane_with()
    assert asked(plane, "/", listener="main")["listener"]["name"] == "main"
    assert "there are: main" in asked(plane, "/", listener="mian")["error"]
    plane.finish()


INSIDE = {"internal_cidrs": (Cidr("127.0.0.0", 8),), "use_remote_address": True}
RETRIES = RequestPlan(
    RetryPolicy(RETRY_ON["5xx"], num_retries=3, per_try_timeout=0.5, base_interval=0.1, max_interval=1.0),
    idle_timeout=7.0,
    max_duration=60.0,
)


def test_time_limits_and_retries() -> None:
    plane = plane_with(forward("/", timeout=2.0, plan=RETRIES))
    route = asked(plane, "/")["route"]
    assert route["time_limits"] == [
        "response: 2 s from the end of the request on",
        "one attempt: 0.5 s, then 504",
        "silence of the stream: 7 s",
        "the whole stream: 60 s",
    ]
    assert route["retries"] == [
        "up to 3, on 5xx",
        "back-off: random, at first below 0.1 s, at most 1 s",
        "at once in the cluster: 3",
    ]
    assert "mirrors" not in route and "internal_redirects" not in route
    plane.finish()


def test_limits_that_the_request_itself_sets() -> None:
    plane = DataPlane(manager(routes_to(forward("/")), **INSIDE))
    headers = (
        "x-envoy-upstream-rq-timeout-ms: 300",
        "x-envoy-upstream-rq-per-try-timeout-ms: 100",
        "x-envoy-retry-on: 5xx,reset",
        "x-envoy-max-retries: 4",
    )
    route = asked(plane, "/", "a", *headers)["route"]
    assert route["time_limits"][:2] == [
        "response: 0.3 s from the end of the request on, as the request's own headers say",
        "one attempt: 0.1 s, then 504",
    ]
    assert route["retries"][0] == "up to 4, on 5xx, reset"
    from_outside = asked(plane, "/", "a", *headers, **{"from": "198.51.100.7"})["route"]
    assert from_outside["time_limits"][0] == "response: 15 s from the end of the request on"
    assert from_outside["retries"] == ["none"]
    plane.finish()


def test_a_cluster_with_limits_of_its_own() -> None:
    own = RetryPolicy(RETRY_ON["connect-failure"], other_hosts=True)
    budget = Thresholds(retry_budget=(20.0, 3))
    settings = cluster(retry=own, default_thresholds=budget, max_stream_duration=5.0)
    plane = DataPlane(manager(routes_to(forward("/"))), settings)
    route = asked(plane, "/")["route"]
    assert "one attempt in all: 5 s" in route["time_limits"]
    assert route["retries"] == [
        "up to 1, on connect-failure, as the cluster says",
        "back-off: random, at first below 0.025 s, at most 0.25 s",
        "at a host that was not tried, if a few looks find one",
        "at once in the cluster: 20 % of its requests, at least 3",
    ]
    plane.finish()


def test_hash_mirrors_and_redirects() -> None:
    one = forward(
        "/",
        hash_policies=(HeaderHash("x-user", terminal=True), CookieHash("c", ttl=5)),
        mirrors=(MirrorSettings("other"), MirrorSettings("other", numerator=0)),
        internal_redirects=InternalRedirectSettings(2),
    )
    other = cluster("other", endpoints=(Endpoint(SICK),))
    plane = DataPlane(
        manager(routes_to(one)), cluster(balancing=Balancing("RING_HASH", hashing=RingHashSettings())), other
    )
    found = asked(plane, "/", "a", "x-user: me")
    assert found["request"]["host"] == "a"  # the request's, not its copy's
    route = found["route"]
    assert route["hash"][:2] == [
        "by header x-user, and no further if it is there",
        "by cookie c, which a client without it is given",
    ]
    assert "this request's is" in route["hash"][2]
    assert route["mirrors"][0] == "copied to cluster 'other'"
    assert "not this time" in route["mirrors"][1]
    assert route["internal_redirects"] == "up to 2 with status 302 are followed, only to the same scheme"
    plane.finish()


def test_filters_that_delay_are_not_waited_for_and_routes_switch_them() -> None:
    faults = FaultSettings(RuntimeFraction(100), 5000, "", RuntimeFraction(0), 0, "")
    filters = (HttpFilterSettings("f", faults), HttpFilterSettings("b", BufferSettings(9), True))
    here = RouteSettings(
        RouteMatch(prefix="/off"), ClusterAction("app"), filters=({"f": RouteFilter(None, True)},)
    )
    plane = DataPlane(manager(routes_to(here, forward("/")), filters=filters))
    found = asked(plane, "/")
    assert found["request"]["path"] == "/"
    assert found["listener"]["http_filters"] == ["f", "b (disabled)", "envoy.filters.http.router"]
    names = asked(plane, "/off")["listener"]["http_filters"]
    assert names[0] == "f (disabled, as the route says)"
    plane.finish()


@pytest.mark.parametrize("proxy_protocol", ["", "V1", "V2"])
def test_a_connect_that_ends_here(proxy_protocol: str) -> None:
    connect = RouteSettings(
        RouteMatch(connect=True), ClusterAction("app", connect=ConnectSettings(proxy_protocol=proxy_protocol))
    )
    plane = DataPlane(manager(routes_to(connect), upgrades=(UpgradeSettings("connect"),)))
    found = asked(plane, "a:443", "a:443", method="CONNECT")
    assert "becomes a TCP connection to cluster 'app', this time to 10.0.0.1:80" in found["summary"]
    assert "request" not in found and "reply" not in found
    assert found["route"]["retries"] == ["none: a tunnel is tried once"]
    plane.finish()


def test_upgrades() -> None:
    plane = DataPlane(manager(upgrades=(UpgradeSettings("websocket"),)))
    found = asked(plane, "/ws", "a", "connection: upgrade", "upgrade: websocket")
    assert ["upgrade", "websocket"] in found["request"]["headers"]
    refused = asked(plane, "/ws", "a", "connection: upgrade", "upgrade: other")
    assert refused["reply"]["status"] == 403
    plane.finish()


def test_the_filters_of_an_upgrade() -> None:
    upgrades = (UpgradeSettings("websocket", True, (HttpFilterSettings("own", BufferSettings(5)),)),)
    plane = DataPlane(manager(upgrades=upgrades))
    found = asked(plane, "/ws", "a", "connection: upgrade", "upgrade: WebSocket")
    assert found["listener"]["http_filters"] == ["own", "envoy.filters.http.router"]
    assert asked(plane, "/ws", "a")["listener"]["http_filters"] == ["envoy.filters.http.router"]
    plane.finish()


def test_what_the_runtime_says_of_a_cluster() -> None:
    plane = DataPlane()
    plane.runtime.set_runtime({"upstream.maintenance_mode.app": 100})
    found = asked(plane, "/")
    assert found["reply"]["details"] == "maintenance_mode"
    plane.finish()

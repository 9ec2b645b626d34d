"""Explanations, on the whole graph with fakes: what they say is what traffic then gets."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.route import (
    ClusterAction,
    DirectResponse,
    HostRewrite,
    RedirectAction,
    RouteMatch,
    RouteSettings,
)
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

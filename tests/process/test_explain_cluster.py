"""Which hosts of a cluster are out, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from twistproxy.model import health
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.testing.data_plane import DataPlane, cluster, manager

HOSTS = tuple(Endpoint(TcpAddress("10.0.0.1", port)) for port in range(1, 6))


def asked(*endpoints: Endpoint, **settings: Any) -> dict[str, Any]:
    plane = DataPlane(manager(), cluster(endpoints=endpoints, **settings))
    found = plane.runtime.explain({"cluster": "app"})
    plane.finish()
    return found


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (health.FAILED_ACTIVE_HC, "it fails its health checks"),
        (health.FAILED_ACTIVE_HC | health.ACTIVE_HC_TIMEOUT, "it fails its health checks; they time out"),
        (health.FAILED_OUTLIER_CHECK, "outlier detection has ejected it"),
        (health.EDS_STATUS_DRAINING, "discovery says that it is draining"),
        (
            health.FAILED_ACTIVE_HC | health.FAILED_OUTLIER_CHECK,
            "it fails its health checks; outlier detection has ejected it",
        ),
    ],
)
def test_why_a_host_is_out(flags: int, words: str) -> None:
    found = asked(replace(HOSTS[0], flags=flags), *HOSTS[1:])
    told = {host["address"]: (host["eligible"], host["verdict"]) for host in found["cluster"]["hosts"]}
    assert told["10.0.0.1:1"] == (False, f"out: {words}")
    assert told["10.0.0.1:2"] == (True, "eligible, one of those that share 100 % of the requests")
    assert found["summary"] == "cluster 'app' has 5 hosts, 4 of them usable."


def test_a_panic() -> None:
    sick = [replace(host, flags=health.FAILED_ACTIVE_HC) for host in HOSTS[:4]]
    told = asked(*sick, HOSTS[4])["cluster"]
    assert all(host["eligible"] for host in told["hosts"])
    assert "it fails its health checks" in told["hosts"][0]["verdict"]
    assert "panic" in told["notes"][0]


def test_of_many_hosts_those_that_are_out_come_first() -> None:
    many = tuple(Endpoint(TcpAddress("10.0.0.1", port)) for port in range(1, 301))
    last = replace(many[-1], flags=health.FAILED_OUTLIER_CHECK)
    told = asked(*many[:-1], last)["cluster"]
    assert (told["hosts"][0]["address"], told["hosts"][0]["eligible"]) == ("10.0.0.1:300", False)
    assert (len(told["hosts"]), told["hosts_left_out"]) == (100, 200)


def test_circuit_breakers() -> None:
    limits = Thresholds(max_requests=7, retry_budget=(25.0, 4))
    in_use = asked(HOSTS[0], default_thresholds=limits)["cluster"]["in_use"]
    assert "default priority: 0 requests, of 7" in in_use
    assert "default priority: 0 retries, of 25 % but at least 4" in in_use
    assert "high priority: 0 retries, of 3" in in_use


def test_a_cluster_that_is_none() -> None:
    plane = DataPlane(manager())
    assert plane.runtime.explain({"cluster": "x"}) == {"error": "no cluster is called 'x'; there are: app"}
    plane.finish()

"""Requests that say which hosts they want."""

from __future__ import annotations

from random import Random
from typing import Any

from twistproxy.filters.balancer_context import RequestContext
from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, MaglevSettings, OverrideSource
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.hash_policy import HeaderHash
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.observe.stats import Snapshot
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.requests import request_context
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.make import make_chooser
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host

SOURCES = (OverrideSource("x-host"), OverrideSource(key="a", path=("b", "c")))


def request(header: str | None = None, metadata: dict[str, Any] | None = None) -> RequestContext:
    return request_context({} if header is None else {"x-host": header}, metadata)


def chooser(*ports: int, balancing: Balancing | None = None) -> Chooser:
    settings = ClusterSettings("app", balancing or Balancing(overrides=SOURCES))
    clock = FakeClock()
    params = LoadBalancerParams(settings.balancing, ClusterStats(), Random(1), clock.monotonic)
    made = make_chooser(settings, params, clock, None, None)
    assert made.contextual
    made.update(HostsUpdate([Host(Endpoint(TcpAddress("10.0.0.1", port))) for port in ports]))
    return made


def port(host: Host | None) -> int:
    return 0 if host is None else host.endpoint.address[1]  # type: ignore[return-value]


def test_each_attempt_takes_the_next() -> None:
    made = chooser(1, 2, 3)
    context = request("10.0.0.1:2, 10.0.0.1:9, 10.0.0.1:1", {"a": {"b": {"c": "10.0.0.1:3"}}})
    assert [port(made.choose(context)) for _ in range(3)] == [2, 1, 3]
    assert {port(made.choose(context)) for _ in range(3)} == {1, 2, 3}


def test_metadata_that_is_no_text() -> None:
    made = chooser(1)
    for metadata in ({}, {"a": 1}, {"a": {"b": {"c": 1}}}, {"a": {"b": "10.0.0.1:1"}}):
        context = request(None, metadata)
        assert port(made.choose(context)) == 1
        assert context.wanted == []


def test_hosts_that_come_and_go() -> None:
    made = chooser(1, 2)
    assert port(made.choose(request("10.0.0.1:2"))) == 2
    made.update(HostsUpdate([Host(Endpoint(TcpAddress("10.0.0.1", 1)))]))
    assert port(made.choose(request("10.0.0.1:2"))) == 1
    made.update(HostsUpdate([]))
    assert port(made.choose(request("10.0.0.1:2"))) == 0


def test_what_is_behind_it() -> None:
    balancing = Balancing("MAGLEV", hashing=MaglevSettings(11), overrides=SOURCES)
    made = chooser(1, 2, balancing=balancing)
    assert made.own_policies is not None
    hashed = request_context({"x-key": "5"}, hash_policies=(HeaderHash("x-key"),))
    assert made.choose(hashed) is made.choose(hashed)
    assert made.pick() is not None
    made.rebuild()
    out = Snapshot()
    made.collect("x.", out)
    assert out.gauges["x.maglev_lb.max_entries_per_host"] == 6


def test_what_is_behind_it_may_tell_ahead() -> None:
    clock = FakeClock()
    settings = ClusterSettings("a", Balancing(overrides=SOURCES), predictive_preconnect_ratio=2.0)
    params = LoadBalancerParams(settings.balancing, ClusterStats(), Random(1), clock.monotonic)
    made = make_chooser(settings, params, clock, None, None)
    made.update(HostsUpdate([Host(Endpoint(TcpAddress("10.0.0.1", number))) for number in (1, 2, 3)]))
    told = [made.peek(), made.peek()]
    assert [made.choose(request("")), made.choose(request(""))] == told
    assert chooser(1).peek() is None

"""What the bootstrap says of statistics and of the watchdog."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from twistproxy.config.build import build_bootstrap
from twistproxy.config.types import message_class
from twistproxy.errors import ConfigError
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import Bootstrap, WatchdogSettings
from twistproxy.model.server_options import ServerOptions
from twistproxy.model.statistics import StatsdSettings
from twistproxy.primitives.string_match import Prefix


def build(**fields: Any) -> Bootstrap:
    bootstrap = message_class("envoy.config.bootstrap.v3.Bootstrap")
    assert bootstrap is not None
    return build_bootstrap(ParseDict(fields, bootstrap()), ServerOptions())


def problems(**fields: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(**fields)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_limits_of_the_watchdog() -> None:
    assert build().watchdog == WatchdogSettings(0.2, 1.0)
    limits = {"miss_timeout": "0.5s", "megamiss_timeout": "3s"}
    assert build(watchdogs={"worker_watchdog": limits}).watchdog == WatchdogSettings(0.5, 3.0)
    assert build(watchdog=limits).watchdog == WatchdogSettings(0.5, 3.0)


def test_the_master_is_not_watched() -> None:
    [problem] = problems(watchdogs={"main_thread_watchdog": {"miss_timeout": "1s"}})
    assert problem.startswith("watchdogs.main_thread_watchdog: ")


def statsd(**fields: Any) -> dict[str, Any]:
    kind = fields.pop("kind", "envoy.config.metrics.v3.StatsdSink")
    return {"name": "s", "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}


ADDRESS = {"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": 8125}}


def test_sinks() -> None:
    dog = statsd(
        kind="envoy.config.metrics.v3.DogStatsdSink", address=ADDRESS, prefix="p", max_bytes_per_datagram=9
    )
    sinks = build(stats_sinks=[statsd(address=ADDRESS), dog]).stats.sinks
    where = TcpAddress("127.0.0.1", 8125)
    assert sinks == (StatsdSettings("envoy", udp=where), StatsdSettings("p", "dog", where, (), 9))


def test_a_statsd_cluster_is_static() -> None:
    named = {"node": {"id": "n", "cluster": "c"}}
    host = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}}}
    hosts = {"cluster_name": "sd", "endpoints": [{"lb_endpoints": [host]}]}
    cluster = {"name": "sd", "type": "STATIC", "load_assignment": hosts}
    sinks = [statsd(tcp_cluster_name="sd")]
    built = build(stats_sinks=sinks, static_resources={"clusters": [cluster]}, **named)
    assert built.stats.sinks == (StatsdSettings("envoy", tcp=(TcpAddress("127.0.0.1", 1),)),)
    cluster["type"] = "STRICT_DNS"
    [problem] = problems(stats_sinks=sinks, static_resources={"clusters": [cluster]}, **named)
    assert "the hosts of a STATIC cluster are needed" in problem


def test_a_sink_that_is_not_there() -> None:
    kind = "envoy.config.metrics.v3.HystrixSink"
    assert message_class(kind) is not None
    [problem] = problems(stats_sinks=[statsd(kind=kind)])
    assert problem == "stats_sinks[0].typed_config: is not implemented"


def test_a_pattern_needs_a_group() -> None:
    [problem] = problems(stats_config={"stats_tags": [{"tag_name": "a", "regex": "b"}]})
    assert problem == "stats_config.stats_tags[0].regex: 'b' has no group that says what the tag is"


def test_paths_that_the_admin_allows() -> None:
    admin = build(admin={"allow_paths": [{"prefix": "/stats"}], "socket_options": []}).admin
    assert admin.allow_paths == (Prefix("/stats"),)

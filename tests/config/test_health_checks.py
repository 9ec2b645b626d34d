from __future__ import annotations

import json
from typing import Any

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import StaticSource
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd
from twistproxy.model.health_check import CheckTarget, GrpcCheck, HttpCheck, Intervals, TcpCheck
from twistproxy.model.server_options import ServerOptions
from twistproxy.primitives.string_match import Prefix

BASE: dict[str, Any] = {"timeout": "1s", "interval": "2s", "unhealthy_threshold": 3, "healthy_threshold": 4}
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
AGGREGATE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
SINK = "type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
BOTH = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": OPTIONS,
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
    }
}


def built(check: dict[str, Any], target: dict[str, Any] | None = None, **cluster: Any) -> ClusterSettings:
    endpoint: dict[str, Any] = {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}
    if target is not None:
        endpoint["health_check_config"] = target
    settings = {
        "name": "app",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        "health_checks": [{**BASE, **check}],
        **cluster,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    document = load_text(json.dumps({"static_resources": {"clusters": [settings]}}))
    (found,) = build_bootstrap(document, ServerOptions()).clusters
    return found


def problems(check: dict[str, Any], target: dict[str, Any] | None = None, **cluster: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        built(check, target, **cluster)
    return str(caught.value)


def http(**fields: Any) -> dict[str, Any]:
    return {"http_health_check": {"path": "/", **fields}}


def test_defaults() -> None:
    found = built(http())
    assert found.endpoints == ()
    assert isinstance(found.source, StaticSource)
    assert [str(one.address) for one in found.source.endpoints] == ["10.0.0.1:80"]
    checks = found.health_checks
    assert checks is not None
    assert (checks.cluster, checks.stat_name, checks.wait, checks.keep_passing) == (
        "app",
        "app",
        False,
        False,
    )
    settings = checks.settings
    assert settings.check == HttpCheck("/")
    assert settings.intervals == Intervals(2.0, 2.0, 2.0, 2.0)
    assert (settings.timeout, settings.unhealthy_threshold, settings.healthy_threshold) == (1.0, 3, 4)
    assert settings.reuse_connection


def test_intervals_that_follow_others() -> None:
    found = built({**http(), "unhealthy_interval": "5s", "no_traffic_interval": "7s"}).health_checks
    assert found is not None
    assert found.settings.intervals == Intervals(2.0, 5.0, 5.0, 2.0, no_traffic=7.0, no_traffic_healthy=7.0)


def test_http() -> None:
    found = built(
        http(
            host="h",
            method="POST",
            send={"text": "616A"},
            receive=[{"text": "ff"}, {"binary": "AA=="}],
            response_buffer_size=0,
            expected_statuses=[{"start": 200, "end": 300}],
            retriable_statuses=[{"start": 500, "end": 600}],
            request_headers_to_add=[{"header": {"key": "A", "value": "%HOSTNAME%"}}],
            request_headers_to_remove=["B"],
            service_name_matcher={"prefix": "x"},
        )
    ).health_checks
    assert found is not None
    assert found.settings.check == HttpCheck(
        "/",
        "h",
        "POST",
        b"aj",
        (b"\xff", b"\0"),
        0,
        HeaderRules((HeaderToAdd("a", "%HOSTNAME%"),), ("b",)),
        ((200, 300),),
        ((500, 600),),
        Prefix("x"),
    )


def test_tcp() -> None:
    check = {"send": {"text": "00"}, "receive": [{"text": "01"}], "proxy_protocol_config": {"version": "V2"}}
    found = built({"tcp_health_check": check}).health_checks
    assert found is not None
    assert found.settings.check == TcpCheck(b"\0", (b"\1",), "V2")


def test_grpc() -> None:
    check = {
        "service_name": "s",
        "authority": "a",
        "initial_metadata": [{"header": {"key": "k", "value": "v"}}],
    }
    found = built({"grpc_health_check": check}, typed_extension_protocol_options=BOTH).health_checks
    assert found is not None
    assert found.settings.check == GrpcCheck("s", "a", HeaderRules((HeaderToAdd("k", "v"),)))


def test_the_cluster() -> None:
    found = built(
        {
            **http(),
            "event_log_path": "/a",
            "event_logger": [{"name": "x", "typed_config": {"@type": SINK, "event_log_path": "/b"}}],
        },
        alt_stat_name="other",
        ignore_health_on_host_removal=True,
        close_connections_on_host_health_failure=True,
        common_lb_config={
            "ignore_new_hosts_until_first_hc": True,
            "close_connections_on_host_set_change": True,
        },
    )
    assert found.close_on_failure
    assert found.close_on_change
    checks = found.health_checks
    assert checks is not None
    assert (checks.stat_name, checks.wait) == ("other", True)
    assert checks.settings.event_logs == ("/a", "/b")


def test_the_endpoint() -> None:
    where = {"socket_address": {"address": "10.0.0.2", "port_value": 1}}
    target = {"port_value": 2, "hostname": "h", "address": where, "disable_active_health_check": True}
    source = built(http(), target).source
    assert isinstance(source, StaticSource)
    assert source.endpoints[0].check == CheckTarget(TcpAddress("10.0.0.2", 1), 2, "h", True)


def test_passing_hosts_of_discovered_clusters_are_kept() -> None:
    eds = {"eds_config": {"path_config_source": {"path": "/eds.json"}}}
    options = {"type": "EDS", "eds_cluster_config": eds, "load_assignment": None}
    found = built(http(), **options).health_checks
    assert found is not None
    assert found.keep_passing
    found = built(http(), **options, ignore_health_on_host_removal=True).health_checks
    assert found is not None
    assert not found.keep_passing


# What Envoy refuses is in its own words.
REFUSED = {
    "HTTP health check cannot specify a request payload with method 'GET'": http(send={"text": "00"}),
    "Invalid http expected status range: expecting start >= 100, but found start=99": http(
        expected_statuses=[{"start": 99, "end": 200}]
    ),
    "Invalid http expected status range: expecting start < end, but found start=200 and end=200": http(
        expected_statuses=[{"start": 200, "end": 200}]
    ),
    "Invalid http retriable status range: expecting end <= 600, but found end=601": http(
        retriable_statuses=[{"start": 200, "end": 601}]
    ),
    "The expected response length '3' is over than http health response buffer size '2'": http(
        receive=[{"text": "000000"}], response_buffer_size=2
    ),
    "invalid hex string 'zz'": {"tcp_health_check": {"receive": [{"text": "zz"}]}},
    "invalid hex string '000'": {"tcp_health_check": {"send": {"text": "000"}}},
    "invalid hex string '0 0'": {"tcp_health_check": {"send": {"text": "0 0"}}},
    "app cluster must support HTTP/2 for gRPC healthchecking": {"grpc_health_check": {}},
    "never sent by Envoy": {"tcp_health_check": {"send": {"binary": "AA=="}}},
    "HTTP/3 is not implemented": http(codec_client_type="HTTP3"),
    "not implemented in health checks": http(
        request_headers_to_add=[{"header": {"key": "a", "value": "%DURATION%"}}]
    ),
    "alt_port": {**http(), "alt_port": 80},
    "tls_options": {**http(), "tls_options": {"alpn_protocols": ["a"]}},
    "transport_socket_match_criteria": {**http(), "transport_socket_match_criteria": {"a": "b"}},
    "health checkers other than": {"custom_health_check": {"name": "x"}},
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert text in problems(REFUSED[text])


def test_more_than_one() -> None:
    assert "more than one health check" in problems(
        {}, health_checks=[{**BASE, **http()}, {**BASE, **http()}]
    )


def test_clusters_whose_hosts_are_not_checked() -> None:
    original = {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "load_assignment": None}
    assert "of an ORIGINAL_DST cluster are not implemented" in problems(http(), **original)
    config = {"@type": AGGREGATE, "clusters": ["app"]}
    custom = {"name": "envoy.clusters.aggregate", "typed_config": config}
    aggregate = {"cluster_type": custom, "lb_policy": "CLUSTER_PROVIDED", "load_assignment": None}
    assert "has no hosts of its own" in problems(http(), **aggregate)


def test_a_socket_file_has_no_port() -> None:
    target = {"port_value": 1, "address": {"pipe": {"path": "/p"}}}
    assert "non-zero port for non-IP address" in problems(http(), target)

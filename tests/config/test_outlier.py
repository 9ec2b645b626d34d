"""Settings of outlier detection: what is read, what is refused and where."""

from __future__ import annotations

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.response_match import ResponseMatcher
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import StaticSource
from twistproxy.model.outlier import OutlierSettings
from twistproxy.model.server_options import ServerOptions
from twistproxy.primitives.string_match import Exact

HOST = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}"


def built(fields: str, manager: str = "{}") -> Bootstrap:
    text = f"""
static_resources:
  clusters:
  - name: app
    type: STATIC
    load_assignment: {{cluster_name: app, endpoints: [{{lb_endpoints: [{{{HOST}}}]}}]}}
    {fields}
cluster_manager: {manager}
"""
    return build_bootstrap(load_text(text, "test.yaml"), ServerOptions())


def cluster(fields: str) -> ClusterSettings:
    return built(fields).clusters[0]


def test_without() -> None:
    found = cluster("")
    assert found.outlier is None
    assert found.source is None
    assert len(found.endpoints) == 1


def test_defaults() -> None:
    found = cluster("outlier_detection: {}")
    assert found.outlier == OutlierSettings()
    assert isinstance(found.source, StaticSource)
    assert len(found.source.endpoints) == 1
    assert not found.endpoints


def test_all_fields() -> None:
    flags = ("split", "always_eject_one_host", "uneject_when_checked", "detect_degraded_hosts", "errors")
    times = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
    names = [name for name in OutlierSettings.__dataclass_fields__ if name not in flags + times]
    numbers = ", ".join(f"{name}: {number}" for number, name in enumerate(names, 1))
    others = (
        "interval: 1.5s, base_ejection_time: 2s, max_ejection_time: 3s, max_ejection_time_jitter: 0.25s, "
        "split_external_local_origin_errors: true, always_eject_one_host: true, "
        "successful_active_health_check_uneject_host: false, detect_degraded_hosts: true"
    )
    found = cluster(f"outlier_detection: {{{numbers}, {others}}}").outlier
    assert found is not None
    assert [getattr(found, name) for name in names] == list(range(1, len(names) + 1))
    assert (found.interval, found.base_ejection_time, found.max_ejection_time) == (1500, 2000, 3000)
    assert found.max_ejection_time_jitter == 250
    assert (found.split, found.always_eject_one_host, found.uneject_when_checked) == (True, True, False)
    assert found.detect_degraded_hosts


def test_the_longest_ejection_is_not_below_the_shortest() -> None:
    assert cluster("outlier_detection: {base_ejection_time: 400s}").outlier == OutlierSettings(
        base_ejection_time=400_000, max_ejection_time=400_000
    )


def test_error_matcher() -> None:
    rule = "http_response_headers_match: {headers: [{name: ':status', string_match: {exact: '404'}}]}"
    found = cluster(f"outlier_detection: {{}}\n    {protocol_options(rule)}").outlier
    assert found is not None
    assert found.errors == ResponseMatcher((HeaderMatcher(":status", Exact("404")),))
    nested = f"or_match: {{rules: [{{not_match: {{{rule}}}}}, {{any_match: true}}]}}"
    found = cluster(f"outlier_detection: {{}}\n    {protocol_options(nested)}").outlier
    assert found is not None
    assert found.errors is not None
    assert [one.invert for one in found.errors.any_of] == [True, False]


def test_requests_do_not_say_what_is_an_error() -> None:
    rule = "http_request_headers_match: {headers: [{name: a, present_match: true}]}"
    with pytest.raises(ConfigError, match="only the head of a response"):
        cluster(protocol_options(rule))


def protocol_options(rule: str) -> str:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return (
        f"typed_extension_protocol_options: {{{name}: {{'@type': type.googleapis.com/{name}, "
        f"explicit_http_config: {{http_protocol_options: {{}}}}, "
        f"outlier_detection: {{error_matcher: {{{rule}}}}}}}}}"
    )


def test_event_log() -> None:
    assert built("", "{outlier_detection: {event_log_path: /tmp/x}}").outlier_log == "/tmp/x"
    assert built("").outlier_log == ""


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            "{base_ejection_time: 10s, max_ejection_time: 5s}",
            "max_ejection_time: outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
        ),
        (
            "{monitors: [{name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Duration, value: 1s}}]}",
            "monitors: extensions of outlier detection are not implemented",
        ),
    ],
)
def test_refused(fields: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(f"outlier_detection: {fields}")
    assert [f"{one.path}: {one.message}" for one in caught.value.problems] == [
        f"static_resources.clusters[0].outlier_detection.{problem}"
    ]


def test_no_event_service() -> None:
    with pytest.raises(ConfigError):
        built("", "{outlier_detection: {event_service: {}}}")

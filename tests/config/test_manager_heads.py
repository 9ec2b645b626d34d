"""What a connection manager's fields about heads become, and which may not be together."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from twistproxy.config.fields import Reader, Report
from twistproxy.config.manager_heads import (
    build_detections,
    build_proxy_status,
    build_sanitise,
    build_scheme,
    build_tracing,
    internal_addresses,
)
from twistproxy.config.types import message_class
from twistproxy.model.address import Cidr
from twistproxy.model.bootstrap import Node
from twistproxy.model.http_manager import (
    HeaderDetection,
    ProxyStatusSettings,
    SanitiseSettings,
    TracingSettings,
    XffDetection,
)

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
DETECTION = "type.googleapis.com/envoy.extensions.http.original_ip_detection."


def reader(**fields: Any) -> Reader:
    kind = message_class(MANAGER)
    assert kind is not None
    for extension in ("xff.v3.XffConfig", "custom_header.v3.CustomHeaderConfig"):
        assert message_class(DETECTION.partition("/")[2] + extension) is not None  # it is known from now on
    return Reader(json_format.ParseDict(fields, kind()), Report())


def problems(found: Reader) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in found.report.problems]


def detection(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": "x", "typed_config": {"@type": DETECTION + kind, **fields}}


XFF = detection("xff.v3.XffConfig")


def test_ports_are_stripped_in_one_way() -> None:
    found = reader(strip_any_host_port=True, strip_matching_host_port=True)
    build_sanitise(found)
    assert problems(found) == [
        "strip_any_host_port: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set."
    ]
    assert build_sanitise(reader(strip_matching_host_port=True)) == SanitiseSettings(strip_port="matching")
    assert build_sanitise(reader()) == SanitiseSettings()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"use_remote_address": True}, "use_remote_address"),
        ({"xff_num_trusted_hops": 1}, "xff_num_trusted_hops"),
    ],
)
def test_detection_is_configured_in_one_way(fields: dict[str, Any], expected: str) -> None:
    found = reader(original_ip_detection_extensions=[XFF], **fields)
    build_detections(found)
    assert problems(found) == [
        f"original_ip_detection_extensions: Original IP detection extensions and {expected} may not be mixed"
    ]


def test_detections() -> None:
    assert build_detections(reader(xff_num_trusted_hops=2)) == (XffDetection(2),)
    cidrs = {"cidrs": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    found = reader(
        original_ip_detection_extensions=[
            detection(
                "custom_header.v3.CustomHeaderConfig",
                header_name="X-Ip",
                reject_with_status={"code": "OK"},
            ),
            detection("xff.v3.XffConfig", xff_trusted_cidrs=cidrs, skip_xff_append=False),
        ]
    )
    assert build_detections(found) == (
        HeaderDetection(b"x-ip", False, 403),
        XffDetection(0, (Cidr("10.0.0.0", 8),), True),
    )
    assert not problems(found) and not found.report.unread(found)


def test_trusted_proxies_are_named_or_counted() -> None:
    cidrs = {"cidrs": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    found = reader(
        original_ip_detection_extensions=[
            detection("xff.v3.XffConfig", xff_trusted_cidrs=cidrs, xff_num_trusted_hops=1)
        ]
    )
    build_detections(found)
    (problem,) = problems(found)
    assert problem.endswith("Cannot set both xff_num_trusted_hops and xff_trusted_cidrs")


def test_nobody_is_internal_unless_told() -> None:
    assert internal_addresses(reader()) == ((), False)
    ranges, unix = internal_addresses(reader(internal_address_config={"unix_sockets": True}))
    assert unix and Cidr("10.0.0.0", 8) in ranges


def test_scheme_of_the_upstream_is_not_implemented() -> None:
    found = reader(scheme_header_transformation={"match_upstream": True})
    assert build_scheme(found) == b""
    assert [problem.path for problem in found.report.unread(found)] == [
        "scheme_header_transformation.match_upstream"
    ]


def test_tracing() -> None:
    assert build_tracing(reader()) == (None, True)
    found = reader(tracing={"random_sampling": {"value": 12.34}, "client_sampling": {"value": 0}})
    assert build_tracing(found) == (TracingSettings(client=0, sampled=1234), True)
    assert not found.report.unread(found)


def test_a_provider_is_refused() -> None:
    found = reader(tracing={"provider": {"name": "p"}, "verbose": True})
    build_tracing(found)
    assert {problem.path for problem in found.report.unread(found)} == {"tracing.provider", "tracing.verbose"}


def test_proxy_status() -> None:
    node = Node("me", "us")
    assert build_proxy_status(reader(), b"srv", node) is None
    assert build_proxy_status(reader(proxy_status_config={}), b"srv", node) == ProxyStatusSettings(b"srv")
    named = reader(proxy_status_config={"use_node_id": True, "remove_details": True})
    assert build_proxy_status(named, b"srv", node) == ProxyStatusSettings(b"me", details=False)

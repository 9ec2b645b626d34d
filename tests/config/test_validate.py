"""The constraints in Envoy's protos, one of each kind."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from twistproxy.config.types import message_class
from twistproxy.config.validate import violations

CORE = "envoy.config.core.v3"
CLUSTER = "envoy.config.cluster.v3"
ROUTE = "envoy.config.route.v3"
HTTP = "envoy.extensions.filters.http"


def found(type_name: str, content: dict[str, Any]) -> list[tuple[str, str]]:
    kind = message_class(type_name)
    assert kind is not None
    message = json_format.ParseDict(content, kind())
    return [(problem.path, problem.message) for problem in violations(message)]


CHECK = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1}
STRUCT = "type.googleapis.com/google.protobuf.Struct"


@pytest.mark.parametrize(
    ("type_name", "content", "expected"),
    [
        # a member of a oneof, and messages that must be there
        (f"{CORE}.Address", {}, [("", "needs one of socket_address, pipe, envoy_internal_address")]),
        (f"{ROUTE}.Route", {"match": {"prefix": "/"}}, [("", "needs one of route, redirect, direct_response, "
         "filter_action, non_forwarding_action")]),
        (f"{ROUTE}.Route", {"direct_response": {"status": 200}}, [("match", "is required, and not set")]),
        # strings
        (f"{CORE}.SocketAddress", {"address": "", "port_value": 1}, [("address", "must not be empty")]),
        (f"{CORE}.HeaderValue", {"key": "a\nb"}, [("key", "must not have line breaks")]),
        (f"{CORE}.HeaderValue", {"key": "k" * 16385}, [("key", "must have at most 16384 bytes")]),
        (f"{ROUTE}.RouteMatch", {"path_separated_prefix": "/a/"},
         [("path_separated_prefix", "must match ^[^?#]+[^?#/]$")]),
        # numbers, wrapped and plain, and enums
        (f"{CORE}.SocketAddress", {"address": "a", "port_value": 65536},
         [("port_value", "must be at most 65535, is 65536")]),
        (f"{CORE}.Http2ProtocolOptions", {"max_concurrent_streams": 0},
         [("max_concurrent_streams", "must be from 1 to 2.14748e+09, is 0")]),
        ("envoy.type.v3.Percent", {"value": 100.5}, [("value", "must be from 0 to 100, is 100.5")]),
        (f"{ROUTE}.RedirectAction", {"response_code": 9}, [("response_code", "must be one of the values that "
         "RedirectResponseCode has: MOVED_PERMANENTLY, FOUND, SEE_OTHER, TEMPORARY_REDIRECT, PERMANENT_REDIRECT")]),
        # durations
        (f"{CORE}.HealthCheck", {**CHECK, "timeout": "0s", "tcp_health_check": {}},
         [("timeout", "must be more than 0s, is 0s")]),
        (f"{CLUSTER}.Cluster", {"name": "a", "dns_refresh_rate": "0.001s"},
         [("dns_refresh_rate", "must be more than 0.001s, is 0.001s")]),
        (f"{CORE}.HealthCheck", {**CHECK, "timeout": None, "tcp_health_check": {}},
         [("timeout", "is required, and not set")]),
        # lists, maps and what is in them
        (f"{ROUTE}.VirtualHost", {"name": "a"}, [("domains", "must have at least 1 item, has 0")]),
        (f"{ROUTE}.VirtualHost", {"name": "a", "domains": ["a"], "request_headers_to_remove": [""]},
         [("request_headers_to_remove[0]", "must not be empty")]),
        (f"{CORE}.Metadata", {"filter_metadata": {"": {}}}, [('filter_metadata[""]', "its key must not be empty")]),
        # what is within
        (f"{CLUSTER}.Cluster", {"name": "a", "load_assignment": {"cluster_name": "a", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "a", "mode": 512}}}}]}]}},
         [("load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.mode",
           "must be at most 511, is 512")]),
        (f"{CORE}.TypedExtensionConfig", {"name": "a", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.core.v3.SocketAddress", "address": "", "port_value": 1}},
         [("typed_config.address", "must not be empty")]),
    ],
)  # fmt: skip
def test_a_violation(type_name: str, content: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(type_name, content) == expected


@pytest.mark.parametrize(
    ("type_name", "content"),
    [
        (f"{CORE}.SocketAddress", {"address": "a", "port_value": 0}),
        (f"{CORE}.Http2ProtocolOptions", {}),
        (f"{CORE}.HealthCheck", {**CHECK, "tcp_health_check": {}}),
        (f"{CORE}.HeaderValue", {"key": "a,b", "value": ""}),
        (f"{ROUTE}.RedirectAction", {"host_redirect": ""}),
        (f"{ROUTE}.VirtualHost", {"name": "a", "domains": ["*"]}),
        (f"{CORE}.TypedExtensionConfig", {"name": "a", "typed_config": {"@type": STRUCT, "value": {"a": 1}}}),
    ],
)
def test_no_violation(type_name: str, content: dict[str, Any]) -> None:
    assert found(type_name, content) == []


def test_all_violations_are_found_at_once() -> None:
    content = {"name": "", "connect_timeout": "0s", "lb_policy": 99, "health_checks": [{}]}
    paths = {path for path, _ in found(f"{CLUSTER}.Cluster", content)}
    assert paths == {
        "name",
        "connect_timeout",
        "lb_policy",
        "health_checks[0]",
        "health_checks[0].timeout",
        "health_checks[0].interval",
        "health_checks[0].unhealthy_threshold",
        "health_checks[0].healthy_threshold",
    }


def test_an_any_of_unknown_type_is_left_to_its_reader() -> None:
    kind = message_class(f"{CORE}.TypedExtensionConfig")
    assert kind is not None
    message: Any = kind()
    message.name = "a"
    message.typed_config.type_url = "type.googleapis.com/nope.Nope"
    assert violations(message) == []

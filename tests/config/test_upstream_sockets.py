"""Sockets and transport sockets of clusters: what they come to, and what is refused, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings, ProxyProtocol
from twistproxy.model.server_options import ServerOptions
from twistproxy.model.sockets import LocalAddress, SocketOption, UpstreamSockets

TYPE = "type.googleapis.com/envoy."
RAW = {"@type": TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"}
PROXY = TYPE + "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
SELECTOR = TYPE + "config.upstream.local_address_selector.v3.DefaultLocalAddressSelector"
TOS = {"level": 0, "name": 1, "int_value": 32}
FREE = SocketOption(0, 15, 1)


def cluster(common: dict[str, Any] | None = None, /, **fields: Any) -> ClusterSettings:
    """A cluster of these fields; `common`: the bind config of all clusters."""
    bootstrap: dict[str, Any] = {
        "static_resources": {"clusters": [{"name": "c", "connect_timeout": "1s", **fields}]}
    }
    if common is not None:
        bootstrap["cluster_manager"] = {"upstream_bind_config": common}
    return build_bootstrap(load_text(json.dumps(bootstrap)), ServerOptions()).clusters[0]


def problems(common: dict[str, Any] | None = None, /, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        cluster(common, **fields)
    return [
        (each.path.removeprefix("static_resources.clusters[0]").removeprefix("."), each.message)
        for each in caught.value.problems
    ]


def bound(host: str, **more: Any) -> dict[str, Any]:
    return {"source_address": {"address": host, "port_value": 0}, **more}


def extra(host: str, **more: Any) -> dict[str, Any]:
    return {"address": {"address": host, "port_value": 0}, **more}


def proxied(**more: Any) -> dict[str, Any]:
    typed = {"@type": PROXY, "transport_socket": {"name": "raw", "typed_config": RAW}, **more}
    return {"name": "upstream_proxy_protocol", "typed_config": typed}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"upstream_connection_options": {}},
        {"upstream_bind_config": {}},
        {"upstream_connection_options": {"set_local_interface_name_on_upstream_connections": True}},
        {"transport_socket": {"name": "raw", "typed_config": RAW}},
        {"preconnect_policy": {"per_upstream_preconnect_ratio": 1, "predictive_preconnect_ratio": 1}},
    ],
)
def test_nothing_special(fields: dict[str, Any]) -> None:
    assert cluster(**fields).sockets is None
    assert not cluster(**fields).has_special_pools


@pytest.mark.parametrize(
    "fields",
    [
        {"upstream_bind_config": bound("127.0.0.2")},
        {"transport_socket": proxied()},
        {"preconnect_policy": {"per_upstream_preconnect_ratio": 1.1}},
        {"preconnect_policy": {"predictive_preconnect_ratio": 1.1}},
        {"connection_pool_per_downstream_connection": True},
        {"circuit_breakers": {"thresholds": [{"priority": "HIGH", "max_connection_pools": 3}]}},
        {"circuit_breakers": {"per_host_thresholds": [{"max_connections": 3}]}},
    ],
)
def test_special(fields: dict[str, Any]) -> None:
    assert cluster(**fields).has_special_pools


@pytest.mark.parametrize(
    ("common", "own", "expected"),
    [
        (None, bound("1.2.3.4", freebind=True), [("1.2.3.4", (FREE,))]),
        (
            bound("1.2.3.4", freebind=True, socket_options=[TOS]),
            None,
            [("1.2.3.4", (FREE, SocketOption(0, 1, 32)))],
        ),
        (bound("1.2.3.4", freebind=True), bound("5.6.7.8"), [("5.6.7.8", (FREE,))]),
        (bound("1.2.3.4", freebind=True), bound("5.6.7.8", freebind=False), [("5.6.7.8", ())]),
        (bound("1.2.3.4"), {"socket_options": [TOS]}, [("", (SocketOption(0, 1, 32),))]),
        (
            bound("1.2.3.4", socket_options=[TOS]),
            bound("::1", extra_source_addresses=[extra("5.6.7.8", socket_options={"socket_options": []})]),
            [("::1", (SocketOption(0, 1, 32),)), ("5.6.7.8", ())],
        ),
        (
            None,
            bound("::1", additional_source_addresses=[{"address": "5.6.7.8", "port_value": 7}]),
            [("::1", ()), ("5.6.7.8", ())],
        ),
    ],
)
def test_whose_bind_config_counts(
    common: dict[str, Any] | None, own: dict[str, Any] | None, expected: list[tuple[str, Any]]
) -> None:
    found = cluster(common, **({} if own is None else {"upstream_bind_config": own})).sockets
    assert found is not None
    assert [(one.address.host if one.address else "", one.options) for one in found.sources] == expected


def test_options() -> None:
    found = cluster(
        upstream_bind_config={
            "source_address": {"address": "127.0.0.2", "port_value": 7},
            "socket_options": [
                {"level": 0, "name": 1, "buf_value": "QAAAAA==", "description": "x", "type": {"stream": {}}}
            ],
            "local_address_selector": {"name": "x", "typed_config": {"@type": SELECTOR}},
        },
        upstream_connection_options={
            "tcp_keepalive": {"keepalive_probes": 5, "keepalive_interval": 0},
            "happy_eyeballs_config": {"first_address_family_version": "V6", "first_address_family_count": 2},
        },
    ).sockets
    keepalive = (SocketOption(1, 9, 1), SocketOption(6, 6, 5), SocketOption(6, 5, 0))
    options = (*keepalive, SocketOption(0, 1, b"@\0\0\0"))
    assert found == UpstreamSockets((LocalAddress(TcpAddress("127.0.0.2", 7), options),), 6, 2)


def test_proxy_protocol() -> None:
    added = [{"type": 0xE1, "value": "Zm9v"}, {"type": 0xE1, "value": "YmFy"}]
    found = cluster(transport_socket=proxied(config={"version": "V2", "added_tlvs": added})).proxy_protocol
    assert found == ProxyProtocol("V2", b"\xe1\0\3foo\xe1\0\3bar")
    assert cluster(transport_socket=proxied()).proxy_protocol == ProxyProtocol("V1")


BIND = "upstream_bind_config"


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        ({BIND: bound("foo")}, f"{BIND}.source_address.address", "malformed IP address: foo"),
        (
            {BIND: {"extra_source_addresses": [extra("::1")]}},
            BIND,
            "Cluster c's upstream binding config has extra",
        ),
        (
            {BIND: bound("::1", extra_source_addresses=[extra("::2")])},
            BIND,
            "two same IP version source addresses",
        ),
        (
            {BIND: bound("::1", extra_source_addresses=[extra("1.2.3.4"), extra("1.2.3.5")])},
            BIND,
            "more than one extra/additional source addresses",
        ),
        (
            {
                BIND: bound(
                    "::1",
                    extra_source_addresses=[extra("1.2.3.4")],
                    additional_source_addresses=[{"address": "1.2.3.4", "port_value": 0}],
                )
            },
            BIND,
            "Can't specify both `extra_source_addresses` and `additional_source_addresses`",
        ),
        (
            {BIND: {"socket_options": [TOS | {"state": "STATE_BOUND"}]}},
            f"{BIND}.socket_options[0].state",
            "only STATE_PREBIND",
        ),
        (
            {BIND: {"socket_options": [TOS | {"type": {"datagram": {}}}]}},
            f"{BIND}.socket_options[0].type.datagram",
            "no effect",
        ),
        (
            {BIND: {"local_address_selector": {"name": "x", "typed_config": RAW}}},
            f"{BIND}.local_address_selector",
            "default local address selector",
        ),
        (
            {"transport_socket": proxied(config={"version": "V2", "added_tlvs": [{"type": 1}]})},
            "transport_socket.typed_config.config.added_tlvs[0]",
            "Invalid TLV configuration: one of 'value' or 'format_string' must be set.",
        ),
        (
            {"transport_socket": proxied(config={"pass_through_tlvs": {"match_type": "INCLUDE_ALL"}})},
            "transport_socket.typed_config.config.pass_through_tlvs",
            "does not implement",
        ),
        (
            {"transport_socket": proxied(tlv_as_pool_key=True)},
            "transport_socket.typed_config.tlv_as_pool_key",
            "does not implement",
        ),
        (
            {"transport_socket": {"name": "x", "typed_config": {"@type": TYPE + "config.core.v3.Node"}}},
            "transport_socket",
            "envoy.config.core.v3.Node is not implemented; connections to upstreams are plain text",
        ),
        (
            {"circuit_breakers": {"per_host_thresholds": [{"max_connections": 1, "max_requests": 2}]}},
            "circuit_breakers.per_host_thresholds[0].max_requests",
            "Unsupported field in per_host_thresholds",
        ),
    ],
)
def test_refused(fields: dict[str, Any], place: str, text: str) -> None:
    ((path, message),) = problems(**fields)
    assert path == place
    assert text in message


def test_too_much_to_say() -> None:
    added = [{"type": 1, "value": "A" * 60000}] * 2
    ((path, _),) = problems(transport_socket=proxied(config={"version": "V2", "added_tlvs": added}))
    assert path == "transport_socket.typed_config.config.added_tlvs"


def test_several_addresses_belong_to_clusters_without_names() -> None:
    where = {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    other = {"socket_address": {"address": "::1", "port_value": 80}}
    endpoint = {"endpoint": {"address": where, "additional_addresses": [{"address": other}]}}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [endpoint]}]}
    (found,) = cluster(load_assignment=assignment).endpoints
    assert found.additional == (TcpAddress("::1", 80),)
    assert problems(type="STRICT_DNS", load_assignment=assignment)

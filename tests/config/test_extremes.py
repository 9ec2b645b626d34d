"""Values that no one means: each gets an error with its place, or is taken; nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}


def problems(route: dict[str, Any], **fields: Any) -> list[str]:
    """What is wrong with a configuration of one route, under a manager with these fields."""
    host = {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
    manager = {
        "@type": f"type.googleapis.com/{MANAGER}",
        "stat_prefix": "i",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [{"name": "r", "typed_config": ROUTER}],
        **fields,
    }
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "h", "typed_config": manager}]}],
    }
    whole = {"static_resources": {"listeners": [listener], "clusters": [{"name": "a"}]}}
    try:
        build_bootstrap(load_text(json.dumps(whole)), ServerOptions())
    except ConfigError as error:
        return [f"{one.path.rpartition('.')[2]}: {one.message}" for one in error.problems]
    return []


def header(value: str) -> dict[str, Any]:
    added = {"header": {"key": "x", "value": value}}
    return {"route": {"cluster": "a"}, "request_headers_to_add": [added]}


@pytest.mark.parametrize("duration", ["-1s", "-0.5s"])
def test_negative_durations(duration: str) -> None:
    words = "Invalid duration: Expected positive duration"
    assert problems({"route": {"cluster": "a", "timeout": duration}}) == [f"timeout: {words}"]
    assert problems({"route": {"cluster": "a"}}, drain_timeout=duration) == [f"drain_timeout: {words}"]


def test_durations_beyond_64_bits() -> None:
    words = "Invalid duration: Duration out-of-range"
    assert problems({"route": {"cluster": "a", "timeout": "315576000000s"}}) == [f"timeout: {words}"]
    assert problems({"route": {"cluster": "a", "timeout": "9223372036s"}}) == []


def test_deep_and_long_formats() -> None:
    (found,) = problems(header(f"%REQ(x):{'9' * 5000}%"))
    assert found.startswith("value: Incorrect configuration")
    assert problems(header("%UPSTREAM_METADATA(" + "[" * 3000 + "])%")) == []
    assert problems(header("%START_TIME(%E9999999999S)%")) == []


def test_a_file_name_with_a_nul() -> None:
    route = {"direct_response": {"status": 200, "body": {"filename": "/a\0b"}}}
    assert problems(route) == ["filename: Invalid path: /a\0b"]

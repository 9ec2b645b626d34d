"""Metadata in access logs: what the configuration says of route, virtual host, cluster, host and listener, and what
filters leave; and logs that leave health checks out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .harness import Proxy
from .settings import FILE_LOG, ROUTER, Config, access_log, bootstrap, cluster, endpoint, listener, read

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  metadata: {filter_metadata: {ns: {key: host}}}
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 200}}
  - match: {prefix: "/"}
    route: {cluster: app}
    metadata: {filter_metadata: {ns: {key: 15, list: [1, two, {t: true}], none: null, deep: {er: x}}}}
"""
OPERATORS = {
    "METADATA(ROUTE:ns:key)": 15,
    "METADATA(ROUTE:ns:list)": [1, "two", {"t": True}],
    "METADATA(ROUTE:ns:deep:er)": "x",
    "METADATA(ROUTE:ns)": {"key": 15, "list": [1, "two", {"t": True}], "none": None, "deep": {"er": "x"}},
    "METADATA(ROUTE:ns:none)": None,
    "METADATA(ROUTE:other)": None,
    "METADATA(ROUTE:ns:key:er)": None,
    "METADATA(VIRTUAL_HOST:ns:key)": "host",
    "METADATA(CLUSTER:ns:key)": True,
    "CLUSTER_METADATA(ns:key)": True,
    "METADATA(UPSTREAM_HOST:ns)": {"host": "meta"},
    "UPSTREAM_METADATA(ns:host)": "meta",
    "METADATA(LISTENER:ns:key)": "listener",
    "METADATA(LISTENER_FILTER_CHAIN:ns)": None,
    "METADATA(DYNAMIC:dyn:a:b)": 7,
    "DYNAMIC_METADATA(dyn)": {"a": {"b": 7}, "t": "text"},
    "DYNAMIC_METADATA(dyn:t):2": "te",
    "DYNAMIC_METADATA(none:t)": None,
}


def configure(proxy: Proxy) -> Config:
    typed = {
        "@type": FILE_LOG,
        "path": str(proxy.log().path),
        "log_format": {"json_format": {"path": "%REQ(:PATH)%", **{name: f"%{name}%" for name in OPERATORS}}},
    }
    text = "\t".join(["id=%REQ(:PATH)%", *[f"{number}=%{name}%" for number, name in enumerate(OPERATORS)]])
    checked = access_log(proxy.log("checked").path, "%REQ(:PATH)%\n")
    checked["filter"] = {"not_health_check_filter": {}}
    found = access_log(proxy.log("found").path, "%REQ(:PATH)%\n")
    matcher = read('{filter: dyn, path: [{key: t}], value: {string_match: {exact: "text"}}}')
    found["filter"] = {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}
    filters = "type.googleapis.com/envoy.extensions.filters.http."
    main = listener(
        "main",
        proxy.port(),
        VIRTUAL_HOSTS,
        access_log=[
            {"name": "log", "typed_config": typed},
            access_log(proxy.log("text").path, text + "\n"),
            checked,
            found,
        ],
        http_filters=[
            {
                "name": "envoy.filters.http.health_check",
                "typed_config": {
                    "@type": filters + "health_check.v3.HealthCheck",
                    "pass_through_mode": False,
                    "headers": [{"name": ":path", "string_match": {"exact": "/health"}}],
                },
            },
            {
                "name": "envoy.filters.http.set_metadata",
                "typed_config": {
                    "@type": filters + "set_metadata.v3.Config",
                    "metadata": [{"metadata_namespace": "dyn", "value": {"a": {"b": 7}, "t": "text"}}],
                },
            },
            {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
        ],
    )
    main["metadata"] = {"filter_metadata": {"ns": {"key": "listener"}}}
    host = {**endpoint(proxy.origin().port), "metadata": {"filter_metadata": {"ns": {"host": "meta"}}}}
    app = cluster("app", host, metadata={"filter_metadata": {"ns": {"key": True}}})
    return bootstrap(proxy.port("admin"), [main], [app])


@pytest.fixture(scope="module")
def typed(proxy: Proxy) -> dict[str, Any]:
    proxy.ask("/typed")
    found: dict[str, Any] = json.loads(proxy.log().line('"/typed"'))
    return found


@pytest.mark.parametrize("name", OPERATORS)
def test_value(typed: dict[str, Any], name: str) -> None:
    assert typed[name] == OPERATORS[name]


def test_text(proxy: Proxy) -> None:
    proxy.ask("/text")
    fields = list(proxy.log("text").fields("id=/text\t").values())[1:]
    structures = [field for field in fields if field.startswith(("{", "["))]
    assert structures == [
        '[1,"two",{"t":true}]',
        '{"deep":{"er":"x"},"key":15,"list":[1,"two",{"t":true}],"none":null}',
        '{"host":"meta"}',
        '{"a":{"b":7},"t":"text"}',
    ]
    assert [field for field in fields if field not in structures] == (
        ["15", "x", "-", "-", "-", "host", "true", "true", "meta", "listener", "-", "7", "te", "-"]
    )


def test_health_checks_are_left_out(proxy: Proxy) -> None:
    proxy.ask("/health")
    proxy.ask("/direct?last")
    proxy.log("checked").line("/direct?last")
    assert "/health" not in proxy.log("checked").lines()
    assert proxy.log("text").fields("id=/health\t")


def test_metadata_filter(proxy: Proxy) -> None:
    proxy.ask("/direct?with")
    assert proxy.log("found").line("/direct?with")

"""Routes beyond the usual: header and query matchers, header rules of routes and virtual hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Proxy, refused_paths
from .origin import text
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def answer(name: str, **match: object) -> Config:
    """A route that answers with its own name."""
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_string": name}},
    }


ROUTES = [
    answer("header", prefix="/h", headers=[{"name": "x-a", "string_match": {"exact": "1"}}]),
    answer("header-present", prefix="/h", headers=[{"name": "x-b", "present_match": True}]),
    answer("header-pseudo", prefix="/h", headers=[{"name": ":method", "string_match": {"exact": "PUT"}}]),
    answer("header-none", prefix="/h"),
    answer("query", prefix="/q", query_parameters=[{"name": "a", "string_match": {"exact": "1"}}]),
    answer("query-present", prefix="/q", query_parameters=[{"name": "b", "present_match": True}]),
    answer("query-none", prefix="/q"),
]

HEADER_RULES = r"""
- name: all
  domains: ["*"]
  request_headers_to_add: [{header: {key: x-level, value: vhost}}]
  response_headers_to_add: [{header: {key: x-answer, value: vhost}}]
  routes:
  - match: {prefix: "/rules"}
    route: {cluster: app}
    request_headers_to_add:
    - {header: {key: x-level, value: route}}
    - {header: {key: x-overwritten, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-if-absent, value: new}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-if-exists, value: new}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-from, value: "%REQ(x-src)%-%PROTOCOL%-%%"}}
    request_headers_to_remove: [x-gone]
    response_headers_to_add:
    - {header: {key: x-answer, value: route}}
    - {header: {key: x-code, value: "%RESPONSE_CODE%"}}
    response_headers_to_remove: [x-secret]
  - match: {prefix: "/local"}
    direct_response: {status: 200}
    response_headers_to_add: [{header: {key: x-answer, value: route}}]
    response_headers_to_remove: [server, date]
"""


def configure(proxy: Proxy) -> Config:
    hosts = [{"name": "all", "domains": ["*"], "routes": ROUTES}]
    listeners = [
        listener("main", proxy.port(), hosts),
        listener("rules", proxy.port("rules"), HEADER_RULES),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


MANAGER = (
    "static_resources.listeners[{}].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]"
)
RULES = (
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
)
REFUSED = {
    *(f"{MANAGER.format(1)}.{rule}" for rule in ("request_headers_to_add", "response_headers_to_add")),
    *(f"{MANAGER.format(1)}.routes[0].{rule}" for rule in RULES),
    *(f"{MANAGER.format(1)}.routes[1].{rule}" for rule in RULES[2:]),
}


@pytest.mark.parametrize("engine", ["twistproxy"])
def test_refused(engine: str, tmp_path: Path) -> None:
    assert refused_paths(configure, tmp_path) == REFUSED


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/q?a=1", "query"),
        ("/q?x=y&a=1", "query"),
        ("/q?a=2", "query-none"),
        ("/q?a=2&a=1", "query-none"),
        ("/q?b", "query-present"),
        ("/q?b=", "query-present"),
        ("/q?B=1", "query-none"),
        ("/q", "query-none"),
        ("/q?%61=1", "query-none"),
        ("/q?a=%31", "query-none"),
    ],
)
def test_query_matchers(proxy: Proxy, target: str, route: str) -> None:
    assert proxy.ask(target).text == route


@pytest.mark.parametrize(
    ("headers", "method", "route"),
    [
        ("x-a: 1\r\n", "GET", "header"),
        ("X-A:  1 \r\n", "GET", "header"),
        ("x-a: 2\r\n", "GET", "header-none"),
        ("x-a: 1\r\nx-a: 1\r\n", "GET", "header"),
        ("x-a: 1\r\nx-a: 2\r\n", "GET", "header"),
        ("x-a: 2\r\nx-a: 1\r\n", "GET", "header"),
        ("x-b:\r\n", "GET", "header-present"),
        ("", "PUT", "header-pseudo"),
        ("", "GET", "header-none"),
    ],
)
def test_header_matchers(proxy: Proxy, headers: str, method: str, route: str) -> None:
    assert proxy.ask("/h", method=method, headers=headers).text == route


def test_request_header_rules(proxy: Proxy) -> None:
    lines = "x-gone: 1\r\nx-overwritten: a\r\nx-overwritten: b\r\n"
    lines += "x-if-absent: old\r\nx-if-exists: old\r\nx-src: s\r\n"
    proxy.ask("/rules", "rules", headers=lines)
    seen = proxy.origin().take()
    found = [pair for pair in seen.headers if pair[0].startswith("x-") and pair[0] not in STANDARD]
    assert [value for name, value in found if name == "x-level"] == ["route", "vhost"]
    assert sorted(found) == [
        ("x-from", "s-HTTP/1.1-%"),
        ("x-if-absent", "old"),
        ("x-if-exists", "new"),
        ("x-level", "route"),
        ("x-level", "vhost"),
        ("x-overwritten", "new"),
        ("x-src", "s"),
    ]


STANDARD = ("x-forwarded-proto", "x-request-id", "x-envoy-expected-rq-timeout-ms")


def test_request_header_rules_without_any_header(proxy: Proxy) -> None:
    proxy.ask("/rules", "rules")
    seen = proxy.origin().take()
    assert (seen["x-overwritten"], seen["x-if-absent"], seen["x-if-exists"]) == ("new", "new", None)
    assert seen["x-from"] == "-HTTP/1.1-%"


def test_response_header_rules(proxy: Proxy) -> None:
    proxy.origin().on("/rules", text(headers="x-secret: 1\r\nx-answer: upstream\r\n"))
    response = proxy.ask("/rules", "rules")
    assert [pair for pair in response.headers if pair[0] in ("x-answer", "x-secret", "x-code")] == [
        ("x-answer", "upstream"),
        ("x-answer", "route"),
        ("x-code", "200"),
        ("x-answer", "vhost"),
    ]


def test_response_header_rules_on_own_answers(proxy: Proxy) -> None:
    response = proxy.ask("/local", "rules")
    assert response.normal == [
        ("content-length", "0"),
        ("date", "DATE"),
        ("server", "SERVER"),
        ("x-answer", "route"),
        ("x-answer", "vhost"),
    ]

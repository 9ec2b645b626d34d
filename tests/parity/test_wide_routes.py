"""Routes beyond the usual: header and query matchers."""

from __future__ import annotations

import pytest

from .harness import Proxy
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


def configure(proxy: Proxy) -> Config:
    hosts = [{"name": "all", "domains": ["*"], "routes": ROUTES}]
    return bootstrap(
        proxy.port("admin"), [listener("main", proxy.port(), hosts)], [cluster("app", proxy.origin().port)]
    )


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

"""`filters` of `upgrade_configs`: requests for an upgrade that go through a filter chain of their own."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .origin import raw
from .settings import ROUTER, Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

TYPE = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
VHOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/foo"}, route: {cluster: app, upgrade_configs: [{upgrade_type: foo}, {upgrade_type: closed}]}}
  - {match: {prefix: "/forbidden"}, route: {cluster: app, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}}
  - {match: {prefix: "/dead"}, route: {cluster: dead}}
  - match: {prefix: "/route"}
    route: {cluster: app}
    typed_per_filter_config:
      own:
        "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute
        mutations: {request_mutations: [{append: {header: {key: x-own, value: "route"}}}]}
  - {match: {prefix: "/app"}, route: {cluster: app}}
"""
SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {}\r\n\r\n"


def marking(name: str) -> Config:
    """A filter that says in both directions that it was there."""
    said = [{"append": {"header": {"key": f"x-{name}", "value": "1"}}}]
    mutations = {"request_mutations": said, "response_mutations": said}
    return {"name": name, "typed_config": {"@type": TYPE, "mutations": mutations}}


def configure(proxy: Proxy) -> Config:
    router = {"name": "router", "typed_config": {"@type": ROUTER}}
    upgrades: list[dict[str, Any]] = [
        {"upgrade_type": "WebSocket", "filters": [marking("own"), router]},
        {"upgrade_type": "bare", "filters": [router]},
        {"upgrade_type": "usual"},
        {"upgrade_type": "closed", "enabled": False, "filters": [marking("closed"), router]},
        {"upgrade_type": "CONNECT", "filters": [marking("connect"), router]},
    ]
    main = listener(
        "main", proxy.port(), VHOSTS, http_filters=[marking("usual"), router], upgrade_configs=upgrades
    )
    clusters = [cluster("app", proxy.origin().port), cluster("dead", proxy.port("no"))]
    return bootstrap(proxy.port("admin"), [main], clusters)


#: (path, upgrade): status, the filters that the request went through, those of the answer
CASES = {
    ("/app", ""): (200, "usual", "usual"),
    ("/app", "websocket"): (101, "own", "own"),
    ("/app", "WEBSOCKET"): (101, "own", "own"),
    ("/app", "bare"): (101, "", ""),
    ("/app", "usual"): (101, "usual", "usual"),
    ("/app", "closed"): (403, None, "usual"),
    ("/app", "unknown"): (403, None, "usual"),
    ("/foo", "foo"): (101, "usual", "usual"),
    ("/foo", "closed"): (101, "closed", "closed"),
    ("/forbidden", "websocket"): (403, None, "usual"),
    ("/dead", "websocket"): (503, None, "own"),
    ("/dead", "bare"): (503, None, ""),
    ("/dead", ""): (503, None, "usual"),
    ("/none", "websocket"): (404, None, "own"),
    ("/none", "bare"): (404, None, ""),
    ("/none", "unknown"): (404, None, "usual"),
    ("/route", "websocket"): (101, "own own", "own"),
}


@pytest.mark.parametrize(("path", "upgrade"), CASES)
def test_filters(proxy: Proxy, path: str, upgrade: str) -> None:
    status, asked, answered = CASES[path, upgrade]
    fields = ""
    if upgrade:
        fields = f"connection: upgrade\r\nupgrade: {upgrade}\r\n"
        proxy.origin().on(path, raw(SWITCHED.format(upgrade), then="close"))
    with proxy.client() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
        response = client.read_head()
    assert response.status == status
    assert marks(response.headers) == answered
    if asked is not None:
        assert marks(proxy.origin().take().headers) == asked


def marks(headers: list[tuple[str, str]]) -> str:
    """Which filters have been there."""
    names = [name.lower()[2:] for name, _ in headers]
    return " ".join(name for name in names if name in ("own", "usual", "closed", "connect"))


def test_connect_without_a_route(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
        response = client.read_head()
    assert (response.status, marks(response.headers)) == (404, "connect")
